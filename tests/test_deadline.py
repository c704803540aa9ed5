"""A deadline ends what waits for another machine, and leaves alone what is over before it."""

import socket
import time

import pytest
import requests

from riskloop.deadline import Deadline, beginning
from tests.receiver import receiving


def test_who_waits_on_a_watched_connection_is_told_of_the_end() -> None:
    ours, theirs = socket.socketpair()
    with ours, theirs, Deadline(0.1) as deadline:
        deadline.watch(ours)
        assert ours.recv(1) == b""  # would wait for ever
        assert deadline.over


def test_a_connection_that_comes_too_late_is_shut_at_once() -> None:
    ours, theirs = socket.socketpair()
    with ours, theirs, Deadline(0.0) as deadline:
        while not deadline.over:
            time.sleep(0.001)
        deadline.watch(ours)
        assert ours.recv(1) == b""


def test_what_is_in_time_stays_as_it_is() -> None:
    ours, theirs = socket.socketpair()
    with ours, theirs:
        with Deadline(60) as deadline:
            deadline.watch(ours)
        theirs.sendall(b"x")
        assert ours.recv(1) == b"x"
        assert not deadline.over


def test_a_session_is_one_of_requests() -> None:
    with receiving() as server, Deadline(60) as deadline, deadline.session() as session:
        server.judge = lambda _body: (418, "a teapot, and more")
        answer = session.post(server.url, json={}, stream=True)
        assert answer.status_code == 418
        assert beginning(answer, 8) == "a teapot"


def test_a_session_ends_with_the_deadline() -> None:
    with receiving() as server, Deadline(0.2) as deadline, deadline.session() as session:
        server.waiting.clear()
        with pytest.raises(requests.RequestException):
            session.post(server.url, json={}, timeout=60)
        assert deadline.over
