"""Which steps of the level of default do outcomes leave open, by the date of the report?

A test that finds no step does not say that there is none: of few defaults it never finds one. So the question is turned
round: a step is excluded where it would have shown. Whoever learns from outcomes that leave one open may learn another
definition of default.
"""

from collections.abc import Sequence
from typing import Final, NamedTuple

import numpy as np

from riskloop.core.english import counted
from riskloop.core.stats.correlated import level_range
from riskloop.monitor.reports import DAY, Reports

MONTH: Final = 28  # days, so that no two files of a monthly feed fall into one
MONTHS: Final = 7  # latest ones
ALPHA: Final = 0.05  # that a step which is there is excluded, by a month; each side
TINY: Final = 1e-9


class LevelStep(NamedTuple):
    """What the reports since a day leave open of their level, beside what the champion expected of them."""

    since: int  # microseconds: when the first of them was handed in
    observed: int  # defaults
    expected: float
    fewest: float  # how many times the expected defaults the level is at least, …
    most: float  # … and at most: each wrong with the probability `ALPHA`

    def within(self, share: float) -> bool:
        """Whether a level lower by this ``share``, or higher by as much, is excluded."""
        return self.fewest > 1.0 - share and self.most < 1.0 / (1.0 - share)

    @property
    def lower(self) -> bool:
        """Whether fewer default than expected, beyond chance."""
        return self.most < 1.0

    @property
    def sentence(self) -> str:
        """What is known of the level."""
        day = np.datetime64(int(self.since // DAY), "D").astype(object)
        return (
            f"The outcomes reported since {day.day} {day:%B %Y} hold {counted(self.observed, 'default')}, where the "
            f"champion expected {self.expected:,.1f}: the level is between {_times(self.fewest)} and "
            f"{_times(self.most)} (each end with 95%)."
        )


def level_steps(reports: Reports, correlation: float, learned: float | None) -> list[LevelStep]:
    """Of the reports of the latest month, of the latest two, and so on: a step may have come with any of them.

    ``reports`` are the last ones on each decision. The defaults of a month of decisions have the asset ``correlation``;
    ``learned`` is the standard error of the champion's level in log-odds, None where nothing is known of it.
    """
    if not len(reports):
        return []
    ago = (reports.reported.max() - reports.reported) // (MONTH * DAY)
    months = (reports.decided.max() - reports.decided) // (MONTH * DAY)
    found: list[LevelStep] = []
    for last in range(min(MONTHS, int(ago.max()) + 1)):
        there = ago <= last
        if last and not (ago == last).any():
            continue
        sizes = np.bincount(months[there]).astype(np.float64)
        alike = correlation * float(np.square(sizes).sum()) / sizes.sum() ** 2
        p, defaults = np.clip(reports.probabilities[there], TINY, 1.0 - TINY), int(reports.outcomes[there].sum())
        ends = (0.0, np.inf) if learned is None else level_range(defaults, p, alike, learned, ALPHA)
        found.append(LevelStep(int(reports.reported[there].min()), defaults, float(p.sum()), *ends))
    return found


def step_doubt(steps: Sequence[LevelStep], share: float, *, ranked: bool) -> str | None:
    """Why a person has to see a promotion: the step that is left open the most, as a sentence.

    None where a level lower or higher by the ``share`` is excluded, whichever month it would have begun in. Where
    customers are ``ranked`` otherwise than before, which no definition explains, the world has changed and its level
    with it. Then a person is asked only where fewer default: a definition may have changed with the world.
    """
    open_ones = [step for step in steps if (step.lower if ranked else not step.within(share))]
    if not open_ones:
        return None
    step = min(open_ones, key=lambda one: min(one.fewest, 1.0 / max(one.most, TINY)))
    if ranked:
        return f"{step.sentence} The ranking has changed, too; the outcomes may follow another definition of default."
    return (
        f"{step.sentence} That does not exclude a step of the level by {share:.0%}, as another definition of default "
        "gives, and a challenger learns it."
    )


def _times(ratio: float) -> str:
    if ratio <= 0.0:
        return "any lower one"
    if np.isinf(ratio):
        return "any higher one"
    return f"{1.0 - ratio:.0%} lower" if ratio < 1.0 else f"{ratio - 1.0:.0%} higher"
