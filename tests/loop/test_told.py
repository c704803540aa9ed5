"""One cycle as others see it: a trace with a span for each stage, and events of OpenLineage."""

import shutil
import threading
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from tests.receiver import receiving
from tests.spans import kept_spans

from riskloop.core.manifest import ModelManifest
from riskloop.core.types import Json
from riskloop.portfolio import Portfolio
from riskloop.store.home import Home

from .test_lineage import spec


@dataclass
class Told:
    """What a cycle did and told."""

    home: Home
    done: Json
    spans: list[Any]
    events: list[Json]

    def facets(self, job: str) -> list[Json]:
        return [e["run"]["facets"][f"riskloop_{job}"] for e in self.events if e["job"]["name"] == job]

    def named(self, name: str) -> list[Any]:
        return [span for span in self.spans if span.name == name]


@pytest.fixture(scope="module")
def told(drifted_folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Told]:
    folder = tmp_path_factory.mktemp("told") / "portfolio"
    shutil.copytree(drifted_folder, folder)
    config = folder / "riskloop.toml"
    with receiving() as server, kept_spans() as spans:
        server.judge = spec
        config.write_text(config.read_text() + f'\n[lineage]\nto = "{server.url.removesuffix("/hook")}"\n')
        portfolio = Portfolio.open(folder)
        done = portfolio.cycle(now=datetime(2025, 5, 1, tzinfo=UTC)).to_dict()
        for thread in threading.enumerate():
            if thread.name == "riskloop-lineage":
                thread.join()
        yield Told(portfolio.home, done, spans.all(), server.documents())
        portfolio.home.close()


def test_the_stages_are_spans_of_one_trace(told: Told) -> None:
    (root,) = told.named("cycle")
    assert {span.context.trace_id for span in told.spans} == {root.context.trace_id}
    stages = [span for span in told.spans if span is not root]
    assert {span.parent.span_id for span in stages} == {root.context.span_id}
    closed = [span.attributes["riskloop.window"] for span in stages if span.name == "close window"]
    assert closed == [window["name"] for window in told.done["closed"]]
    names = {span.name for span in stages}
    assert {"examine outcomes", "judge window", "renew", "train challenger", "follow verdict", "retain"} <= names
    trained = told.named("train challenger")
    assert {s.attributes["riskloop.case"] for s in trained} <= {case["id"] for case in told.done["cases"]}
    assert trained[0].end_time <= told.named("follow verdict")[0].start_time


def test_every_event_is_sound_and_a_run_of_its_own(told: Told) -> None:
    assert [spec(event)[0] for event in told.events] == [201] * len(told.events)
    assert {event["job"]["name"] for event in told.events} == {"train", "challenger", "monitor", "promote"}
    assert len({event["run"]["runId"] for event in told.events}) == len(told.events)


def test_versions_are_told_with_what_they_learned_from(told: Told) -> None:
    facets = [*told.facets("train"), *told.facets("challenger")]
    for facet, version in zip(facets, told.home.ledger.models(), strict=True):
        training = told.home.artefacts.read(version.artefact, ModelManifest, version.sha256).manifest.training
        made = training.record
        assert (facet["version"], facet["rows"]) == (version.version, training.rows)
        assert facet["fingerprint"] == (training.fingerprint if made is None else made.fingerprint)
    retrained = next(event for event in told.events if event["job"]["name"] == "challenger")
    assert {given["name"] for given in retrained["inputs"]} >= {"decisions", "model"}


def test_windows_and_promotions_are_told_as_they_are_on_record(told: Told) -> None:
    windows = {window.name: window for window in told.home.windows.latest(100)}
    facets = told.facets("monitor")
    assert {facet["window"] for facet in facets} == set(windows)
    for facet in facets:
        window = windows[facet["window"]]
        assert (facet["rows"], facet["diagnosis"]) == (window.rows, window.diagnosis.value)
        assert facet["judgedByOutcomes"] == (window.matured_at is not None)
    assert any(facet["judgedByOutcomes"] for facet in facets)
    promoted = [facet["version"] for facet in told.facets("promote")]
    assert promoted == [promotion.version for promotion in told.home.ledger.promotions()]
