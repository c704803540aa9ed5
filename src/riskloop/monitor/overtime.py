"""Evidence over time: what no single window shows and many do, for slow harm and for few defaults.

Each window of a champion carries the detectors of the window before on, with its own outcomes added. The findings of a
window hold all that the next one needs.
"""

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Final

import numpy as np

from riskloop.core.errors import DataError
from riskloop.core.findings import WINDOW, DeclaredCheck
from riskloop.core.numbers import evidence as told
from riskloop.core.stats import delong_variance
from riskloop.core.stats.correlated import correlation_in_time
from riskloop.core.stats.sequential import WEIGHTS, detect, level_ratios, ranking_ratios
from riskloop.core.types import Finding, Floats, Severity
from riskloop.monitor.correlation import Correlation
from riskloop.monitor.matured import Matured
from riskloop.monitor.performance import level_errors
from riskloop.monitor.selection import Comparison, on_one_scale, ranks

AUC_BAND: Final = 0.02  # of AUC that does not matter
LEVEL_BAND: Final = 0.05  # of log-odds that does not matter
KEPT: Final = 24  # windows whose defaults say how much the stream moves by itself

_SOURCE: Final = "E-detector (Shin, Ramdas & Rinaldo, 2024; Shiryaev, 1963; Roberts, 1966)"
LEVEL_OVER_TIME: Final = DeclaredCheck(
    "level_over_time",
    "window after window, as many default as the probabilities say",
    f"{_SOURCE} of likelihood ratios, with Vasicek's factor",
)
RANKING_OVER_TIME: Final = DeclaredCheck(
    "ranking_over_time",
    "window after window, the AUC is not lower than at training",
    f"{_SOURCE} of bets on placements (Waudby-Smith & Ramdas, 2024)",
)


def over_time_findings(
    compared: Comparison,
    correlation: Correlation,
    before: Sequence[Finding],
    *,
    alarm: float,
    drifted: bool = False,
    learns: bool = True,
) -> list[Finding]:
    """Level and ranking since the champion began; ``before`` are the findings of its window before.

    Defaults of one window move together by ``correlation``, and by as much as the windows before show by themselves
    where it ``learns``, as it does unless a person has told it: a calm history shows no cycle. The champion's level was
    learned from a few such periods, and is known as well as they allow. None where the history
    cannot say what is usual. Where the population has ``drifted``, the window adds nothing on
    the ranking: other customers are ranked otherwise in the same world. Nor does it where too few of the history are
    like those who have an outcome.
    """
    window, history = compared.window, compared.history
    if not history.enough:
        return []
    kept = {f.check: f.details for f in before}
    level, rank = (_Carried.of(kept.get(check.name)) for check in (LEVEL_OVER_TIME, RANKING_OVER_TIME))
    known = not math.isnan(compared.trained.auc)
    expected = max(0.0, compared.trained.auc - AUC_BAND - 2.0 * compared.trained.std_error) if known else 0.0
    past = list(kept.get(LEVEL_OVER_TIME.name, {}).get("past", []))
    allowed = max(correlation.asset, _shown(past, window.probabilities)) if learns else correlation.asset
    try:
        _, known_to = level_errors(window.probabilities, history, allowed, correlation.periods)
    except DataError:
        return []
    # A ratio to a power below 1 has at most the mean 1, too (Jensen); a customer's rows are one witness.
    ratios = level_ratios(window.outcomes, window.probabilities, allowed, LEVEL_BAND + known_to) ** (
        1.0 / window.effect
    )
    by_level = level.with_window(ratios, window)
    ranked = Matured(window.probabilities[:0], window.outcomes[:0]) if drifted or not known else window
    worth = _witnesses(ranked) / _ranking_effect(ranked)
    placements = _placements(ranked, history, compared.scales)
    by_rank = rank.with_window(ranking_ratios(placements, expected, worth), ranked)
    if window.outcomes.size:
        past.append([window.defaults, window.outcomes.size, float(window.probabilities.mean())])
    weighed, mean = (lambda d: float(np.dot(WEIGHTS, d))), (lambda d: float(d.mean()))
    told = by_level.finding(LEVEL_OVER_TIME, compared, level, weighed, alarm, "the level")
    return [
        replace(told, details={**told.details, "asset_correlation": allowed, "past": past[-KEPT:]}),
        by_rank.finding(RANKING_OVER_TIME, compared, rank, mean, alarm, "the ranking"),
    ]


def _shown(past: Sequence[Sequence[float]], like: Floats) -> float:
    """How much the defaults of earlier windows move together: rows of defaults, decisions and mean probability.

    Their customers are taken for ``like`` those of this window.
    """
    defaults, rows, expected = np.asarray(past, dtype=np.float64).reshape(-1, 3).T
    return correlation_in_time(defaults, rows, expected, like=like)


class _Carried:
    """Detectors and what they were fed."""

    def __init__(self, detectors: Floats, windows: int, rows: int, defaults: int, expected: float) -> None:
        self.detectors, self.windows, self.rows = detectors, windows, rows
        self.defaults, self.expected = defaults, expected

    @classmethod
    def of(cls, details: Mapping[str, object] | None) -> "_Carried":
        if details is None:
            return cls(np.zeros(0), 0, 0, 0, 0.0)
        told = {name: details[name] for name in ("windows", "rows", "defaults", "expected")}
        return cls(np.asarray(details["detectors"], dtype=np.float64), **told)  # type: ignore[arg-type]

    def with_window(self, ratios: Floats, window: Matured) -> "_Carried":
        """One window on; a window without outcomes adds nothing."""
        if not window.outcomes.size:
            return self if self.detectors.size else _Carried(np.zeros(ratios.size), 0, 0, 0, 0.0)
        detectors = self.detectors if self.detectors.size == ratios.size else np.zeros(ratios.size)
        return _Carried(
            detect(detectors, ratios),
            self.windows + 1,
            self.rows + window.outcomes.size,
            self.defaults + window.defaults,
            self.expected + float(window.probabilities.sum()),
        )

    def finding(
        self,
        check: DeclaredCheck,
        compared: Comparison,
        before: "_Carried",
        together: Callable[[Floats], float],
        alarm: float,
        what: str,
    ) -> Finding:
        """The evidence of all detectors ``together`` against the ``alarm``, and whether this window adds to it."""
        evidence = together(self.detectors)
        moved, adds = evidence >= alarm, self.windows > before.windows
        if adds and before.detectors.size == self.detectors.size:
            adds = evidence >= together(before.detectors)
        says = "speak against" if moved else "do not speak against"
        return check.finding(
            WINDOW,
            Severity.DRIFTED if moved else Severity.OK,
            (compared.window.outcomes.size, compared.history.outcomes.size),
            f"{self.windows:,} windows together, with {self.defaults:,} defaults of {self.rows:,} where "
            f"{self.expected:,.0f} were expected, {says} {what} (evidence {told(evidence)}, {alarm:g} is needed).",
            statistic=evidence,
            critical=alarm,
            details={
                "adds": adds,
                "detectors": self.detectors.tolist(),
                "windows": self.windows,
                "rows": self.rows,
                "defaults": self.defaults,
                "expected": self.expected,
            },
        )


def _placements(window: Matured, history: Matured, scales: tuple[Floats, Floats] | None = None) -> Floats:
    """For each decision the share of the history's other class that it is on the right side of; ties count half.

    Against one another the decisions of a window would not be independent: one odd score would count many times.
    The window's scores are of the champion and the history's of models of parts of it, each with a level and a spread
    of its own. So scores are compared by their ranks among the ``scales``, not as they are.
    """
    mine, past = on_one_scale(window.probabilities, history.probabilities, scales)
    placed = np.empty(window.outcomes.size)
    for label in (0.0, 1.0):
        own = window.outcomes == label
        share = ranks(mine[own], past[history.outcomes != label])
        placed[own] = share if label else 1.0 - share
    return placed


def _ranking_effect(window: Matured) -> float:
    """How many rows stand for one independent one in the AUC; 1 where nobody has several, or it cannot be told."""
    if window.customers is None:
        return 1.0
    try:
        alone, together = (
            delong_variance(window.outcomes, window.probabilities, who) for who in (None, window.customers)
        )
    except DataError:
        return float(np.unique(window.customers, return_counts=True)[1].max(initial=1))
    return max(1.0, together / alone) if alone else 1.0


def _witnesses(window: Matured) -> Floats:
    """What each decision's bet is worth, (n,): a class together no more than the rarer one.

    A thousand good customers beside four defaults say who comes, not who defaults.
    """
    bad = window.outcomes == 1.0
    rarer = min(window.defaults, bad.size - window.defaults)
    sizes = np.where(bad, window.defaults, bad.size - window.defaults)
    worth: Floats = rarer / np.maximum(1, sizes)
    return worth
