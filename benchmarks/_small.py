"""Champions of small histories in a world that does not change: is their own calibration slope called a change?"""

import tempfile
from collections.abc import Sequence
from datetime import date
from itertools import product
from pathlib import Path
from typing import Any, Final

from benchmarks._judgement import Rows, share
from benchmarks.streams import HISTORY_MONTHS, LATER, trained
from riskloop.core.stats import calibration_slope
from riskloop.core.types import Severity
from riskloop.data.read import rows_from
from riskloop.loop.champion import ReferenceModel
from riskloop.loop.examine import when_matured
from riskloop.monitor.matured import USUAL
from riskloop.simulation.embedded import ID, TARGET, month_starts, simulate

HISTORIES: Final = (1_500, 3_600)
LEARNERS: Final = ("lightgbm", "scorecard")
MONTHS: Final = month_starts(date(2024, 1, 1), 12)
PER_MONTH: Final = 2_000
MOVED: Final = (Severity.DRIFTED, Severity.SEVERE)


def small_histories(seeds: Sequence[int]) -> Rows:
    """For every learner and size of history: the slopes on new customers, and the shares of months with alarms."""
    table = []
    for learner, rows in product(LEARNERS, HISTORIES):
        worlds = [_world(learner, rows, seed) for seed in seeds]
        slopes = sorted(world["slope"] for world in worlds)
        months = [month for world in worlds for month in world["months"]]
        table.append(
            {
                "learner": learner,
                "history": rows,
                "worlds": len(worlds),
                "slopes": f"{slopes[0]:.2f} to {slopes[-1]:.2f}",
                "months": len(months),
                "slope against 1": share(month["against 1"] for month in months),
                "slope against its own": share("calibration_slope" in month["moved"] for month in months),
                "level": share("calibration" in month["moved"] for month in months),
                "ranking": share("auc" in month["moved"] for month in months),
            }
        )
    return table


def _world(learner: str, rows: int, seed: int) -> dict[str, Any]:
    with tempfile.TemporaryDirectory() as folder:
        history = simulate(HISTORY_MONTHS, rows // len(HISTORY_MONTHS), seed)
        champion, portfolio = trained(history, Path(folder), learner)
        frame = simulate(MONTHS, PER_MONTH, seed + LATER)
        outcomes = frame[TARGET].to_numpy(dtype=float)
        delivered = frame.drop(columns=TARGET).assign(**{ID: range(len(frame))})
        features = rows_from(delivered, champion.model.schema, target="absent", where="the stream").features
        scores = champion.model.probabilities(features)
        months = []
        for start in range(0, len(frame), PER_MONTH):
            part = slice(start, start + PER_MONTH)
            months.append(_month(champion, portfolio.home.settings, features[part], scores[part], outcomes[part]))
        portfolio.home.close()
    return {"slope": calibration_slope(outcomes, scores).estimate, "months": months}


def _month(champion: ReferenceModel, settings: Any, features: Any, scores: Any, outcomes: Any) -> dict[str, Any]:
    found = when_matured(champion, settings, features, scores, outcomes)
    plain = calibration_slope(outcomes, scores)
    return {
        "moved": [f.check for f in found if f.severity in MOVED],
        "against 1": abs(plain.estimate - 1.0) > USUAL.slope and plain.p_value < settings.drift.alpha / 6.0,
    }
