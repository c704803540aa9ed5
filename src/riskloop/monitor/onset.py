"""Since when? The first day of a change, for sentences that a person can act on."""

from collections.abc import Iterable
from dataclasses import replace
from datetime import date, timedelta
from typing import Final

import numpy as np

from riskloop.core.findings import SCORE
from riskloop.core.stats import Bins
from riskloop.core.types import DAY, EPOCH, Finding, Floats, Ints, Severity
from riskloop.monitor.profile import Reference

CHANGED: Final = frozenset({Severity.FAULT, Severity.DRIFTED, Severity.SEVERE})
GAIN: Final = 8.0  # log-likelihood by which a later first day must beat the window's own


def dated(
    findings: Iterable[Finding], reference: Reference, features: Floats, scores: Floats, times: Ints
) -> list[Finding]:
    """The findings, each change among them with its first day (ISO) as ``details["since"]``.

    ``features`` (n, k), ``scores`` (n,) and ``times`` (n,) in microseconds are the window's rows. A change without a
    column of its own dates from the earliest column that moved with it, else from the window's first day.
    """
    found = list(findings)
    if not len(times):
        return found
    first = int(times.min()) // DAY
    names = reference.schema.names
    known: dict[str, int] = {}
    for finding in found:
        if finding.severity in CHANGED and finding.subject not in known:
            if finding.subject == SCORE:
                known[SCORE] = onset(reference.score_bins, reference.own.score_counts, scores, times)
            elif finding.subject in names:
                j = names.index(finding.subject)
                known[finding.subject] = onset(reference.bins[j], reference.own.counts[j], features[:, j], times)
    return [_with_day(f, known, first) if f.severity in CHANGED else f for f in found]


def _with_day(finding: Finding, known: dict[str, int], first: int) -> Finding:
    together = [known[name] for name in finding.details.get("drifted", ()) if name in known]
    day = known.get(finding.subject, min(together, default=first))
    return replace(finding, details={**finding.details, "since": iso(day)})


def onset(bins: Bins, expected: Ints, column: Floats, times: Ints) -> int:
    """The first day (since the epoch) on which ``column`` does not look like the reference any more.

    The likeliest split of the days into some drawn from the reference's shares and then some drawn from others
    (Hinkley, Biometrika 57, 1970, 1–17); the window's own first day unless a later one is much likelier.
    """
    day, member = np.unique(times // DAY, return_inverse=True)
    table = np.zeros((day.size, len(bins)))
    np.add.at(table, (member, bins.assign(column)), 1.0)
    after = table[::-1].cumsum(axis=0)[::-1]  # from each day on
    usual = np.log((expected + 0.5) / (expected + 0.5).sum())
    shares = (after + 0.5) / (after + 0.5).sum(axis=1, keepdims=True)
    likelihood = (after[0] - after) @ usual + (after * np.log(shares)).sum(axis=1)
    best = int(np.argmax(likelihood))
    return int(day[best if likelihood[best] - likelihood[0] > GAIN else 0])


def iso(day: int) -> str:
    """A day since the epoch as ISO text."""
    return (EPOCH.date() + timedelta(days=day)).isoformat()


def day_of(text: str) -> int:
    """The inverse of :func:`iso`."""
    return (date.fromisoformat(text) - EPOCH.date()).days
