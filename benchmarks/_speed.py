"""Seconds that profiles and tests of a window take, beside Evidently's preset and NumPy's sum of the same bytes."""

import sys
import time
from collections.abc import Callable, Sequence
from typing import Any, Final

import numpy as np

from benchmarks._evidently import preset_share
from benchmarks._judgement import Rows, goal
from riskloop.core.settings import DriftSettings
from riskloop.core.types import Floats
from riskloop.loop.champion import ReferenceModel
from riskloop.monitor.drift import profile_findings

LARGE: Final = 1_000_000  # rows that the targets are for
BATCH: Final = 10_000  # rows of a batch that is scored
NANNYML: Final = 4_400.0  # ms of NannyML 0.13's univariate calculator on LARGE x 23, measured once: no dependency here


def speed(champion: ReferenceModel, quick: bool) -> Rows:
    """Milliseconds, the best of several."""
    table = []
    for rows in (BATCH, 100_000) if quick else (BATCH, LARGE):
        table.append(_speed(champion, rows))
        print(table[-1], file=sys.stderr, flush=True)
    return table


def _speed(champion: ReferenceModel, rows: int) -> dict[str, Any]:
    features, scores = distinct_rows(champion, rows)
    reference = champion.reference

    def tested(threads: int) -> None:
        profile = reference.profile(features, scores, threads=threads)
        profile_findings(reference, profile, DriftSettings())

    against = champion.features if rows == BATCH else features
    preset_share(champion.features[:1_000], features[:1_000])  # the import is paid for
    entry = {
        "rows": rows,
        "NumPy sum": best(features.sum),
        "profile": best(lambda: reference.profile(features, scores)),
        "profile and tests": best(lambda: tested(1)),
        "with 2 threads": best(lambda: tested(2)),
        "scoring": best(lambda: champion.model.probabilities(features), 3),
        "Evidently's preset": best(lambda: preset_share(against, features), 1),
    }
    fastest = min(entry["profile and tests"], entry["with 2 threads"])
    return {
        **entry,
        "added to scoring": entry["profile"] / entry["scoring"],
        "times Evidently": entry["Evidently's preset"] / fastest,
        "times the sum": fastest / entry["NumPy sum"],
    }


def speed_goals(table: Sequence[dict[str, Any]]) -> Rows:
    """What must be reached with a million rows, and with a batch."""
    batch, large = table[0], table[-1]
    fastest = min(large["profile and tests"], large["with 2 threads"])
    name = f"{large['rows']:,} rows x 23"
    return [
        goal(f"{name}: Evidently's preset / profile and tests", large["times Evidently"], 300.0, least=True),
        goal(
            f"{name}: NannyML's univariate calculator ({NANNYML / 1e3:g} s for {LARGE:,}) / profile and tests",
            NANNYML * large["rows"] / LARGE / fastest,
            30.0,
            least=True,
        ),
        goal(f"{name}: profile and tests / NumPy's sum", large["times the sum"], 5.0, least=False),
        goal(f"{batch['rows']:,} rows: profile / scoring", batch["added to scoring"], 0.15, least=False),
    ]


def distinct_rows(champion: ReferenceModel, rows: int) -> tuple[Floats, Floats]:
    """Rows as in production, hardly one of them a copy: amounts of the history's customers, a little changed."""
    rng = np.random.default_rng(0)
    drawn = rng.integers(0, len(champion.features), rows)
    features = champion.features[drawn]
    for j, feature in enumerate(champion.model.schema.features):
        if feature.name.startswith(("BILL", "PAY_AMT")):
            features[:, j] += rng.integers(0, 10, rows)
    return features, champion.reference_scores[drawn]


def best(work: Callable[[], Any], times: int = 7) -> float:
    """The shortest of several runs, in milliseconds."""
    taken = []
    for _ in range(times):
        started = time.perf_counter()
        work()
        taken.append(time.perf_counter() - started)
    return min(taken) * 1e3
