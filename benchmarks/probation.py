"""How often, and how soon, a new champion on probation is rolled back: by what came since, and by all since the change.

    python -m benchmarks.probation [--runs 100] [--seed 1] [--quick]

Two models whose true AUCs are known meet on the gate's rows and then month by month. A new champion that did not pass
the gate's test is drawn again, so that those promoted by luck are what they are in life. "Since alone" rolls back
whatever is worse since the promotion; "the probation" is riskloop's, which also asks whether the new champion is
still better over all outcomes since the change that it was made for. docs/gate.md shows the table.
"""

import argparse
from collections.abc import Iterator
from typing import Final, NamedTuple

import numpy as np
from scipy.special import expit, logit
from scipy.stats import norm

from riskloop.core import stats
from riskloop.core.settings import GateSettings, ProbationSettings
from riskloop.core.types import Floats, Ints
from riskloop.promote import ProbationState, judge_probation
from riskloop.promote.probation import Earlier

RATE: Final = 0.22
OLD: Final = 0.72  # AUC of the old champion
BLOCKS: Final = 4
MONTHS: Final = 12
PATIENCE: Final = 2_000  # draws of one new champion that passes the gate


class Course(NamedTuple):
    """The true difference new − old in AUC: on the gate's rows, and in each month since."""

    name: str
    gate: float
    since: tuple[float, ...]


def courses() -> Iterator[Course]:
    """Worlds that stay, end, and come back."""
    yield Course("no better, promoted by luck", 0.0, (0.0,) * MONTHS)
    yield Course("0.01 worse, promoted by luck", -0.01, (-0.01,) * MONTHS)
    yield Course("no better, promoted by luck, then 0.02 worse", 0.0, (-0.02,) * MONTHS)
    yield Course("0.01 better, then 0.03 worse", 0.01, (-0.03,) * MONTHS)
    yield Course("0.03 better, then 0.05 worse", 0.03, (-0.05,) * MONTHS)
    yield Course("0.08 better, then 0.02 worse for good", 0.08, (-0.02,) * MONTHS)
    yield Course("0.08 better, then 0.05 worse for good", 0.08, (-0.05,) * MONTHS)
    yield Course("0.08 better, 0.03 worse for three months, better again", 0.08, (-0.03,) * 3 + (0.08,) * 9)


def drawn(rng: np.random.Generator, rows: int, gain: float, alike: float) -> tuple[Floats, Floats, Floats]:
    """Outcomes, and the PDs of the new and of the old champion, (rows,) each; ``alike`` is their correlation."""
    labels = (rng.random(rows) < RATE).astype(np.float64)
    shared, own = rng.standard_normal((2, rows))
    pds = []
    for area, noise in ((OLD + gain, alike * shared + (1.0 - alike**2) ** 0.5 * own), (OLD, shared)):
        distance = norm.ppf(area) * 2.0**0.5
        score = distance * labels + noise
        pds.append(expit(distance * score - distance**2 / 2.0 + logit(RATE)))
    return labels, pds[0], pds[1]


def passed(rng: np.random.Generator, rows: int, gain: float, alike: float) -> Earlier | None:
    """The gate's rows of a new champion that passed a single try; None: hardly one ever does."""
    gate = GateSettings()
    blocks: Ints = np.repeat(np.arange(BLOCKS), rows // BLOCKS)
    for _ in range(PATIENCE):
        labels, new, old = drawn(rng, blocks.size, gain, alike)
        test = stats.paired_delong(labels, old, new, blocks)
        if stats.normal_tail((test.difference - gate.least_gain) / test.std_error) <= gate.alpha:
            return Earlier(labels, new, old, blocks, np.arange(blocks.size))
    return None


def months_until_back(earlier: Earlier | None, since: list[tuple[Floats, Floats, Floats]]) -> int | None:
    """After how many months the old champion came back; None where it did not."""
    first = 0 if earlier is None else earlier.labels.size
    spent, harmed = 0.0, False
    for month in range(1, len(since) + 1):
        labels, new, old = (np.concatenate(columns) for columns in zip(*since[:month], strict=True))
        look = judge_probation(
            labels,
            new,
            old,
            ProbationSettings(),
            customers=first + np.arange(labels.size),
            spent=spent,
            harmed=harmed,
            earlier=earlier,
        )
        spent, harmed = look.spent, look.state is ProbationState.OUTWEIGHED
        if not look.state.goes_on:
            return month if look.state is ProbationState.HARMFUL else None
    return None


def share(found: list[int | None]) -> str:
    """How many came back, with Wilson's interval, and after how many months."""
    back = [month for month in found if month is not None]
    p, n, z = len(back) / len(found), len(found), 1.96
    centre, reach = p + z * z / (2 * n), z * (p * (1 - p) / n + z * z / (4 * n * n)) ** 0.5
    low, high = (centre - reach) / (1 + z * z / n), (centre + reach) / (1 + z * z / n)
    after = f", after {np.mean(back):.1f}" if back else ""
    return f"{p:.0%} ({max(0.0, low):.0%} to {high:.0%}){after}"


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n\n", 1)[0])
    parser.add_argument("--runs", type=int, default=100)
    parser.add_argument("--quick", action="store_true", help="five runs")
    parser.add_argument("--alike", type=float, default=0.7, help="correlation of both scores within a class")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--per-month", type=int, default=1000)
    parser.add_argument("--tested", type=int, default=2000, help="rows of the gate")
    given = parser.parse_args()
    runs = 5 if given.quick else given.runs
    print("| true difference in AUC | runs | rolled back, since alone: share, months | the probation |")
    print("|---|---:|---|---|")
    for number, course in enumerate(courses()):
        rng = np.random.default_rng([given.seed, number])
        alone: list[int | None] = []
        together: list[int | None] = []
        for _ in range(runs):
            earlier = passed(rng, given.tested, course.gate, given.alike)
            if earlier is None:
                break
            since = [drawn(rng, given.per_month, gain, given.alike) for gain in course.since]
            alone.append(months_until_back(None, since))
            together.append(months_until_back(earlier, since))
        if together:
            print(f"| {course.name} | {len(together)} | {share(alone)} | {share(together)} |", flush=True)


if __name__ == "__main__":
    main()
