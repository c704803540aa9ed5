"""Are corrections of outcomes that lead away from the truth quarantined, of each class, and sound ones not?

    python -m benchmarks.corrections [--seeds 300] [--quick]

Files of 2,000 outcomes each, of which a later one changes some, at three rates of default, with defaults that move
together (asset correlation) and without; no loop. docs/monitoring.md shows the table.
"""

import argparse
from collections.abc import Callable
from typing import Final

import numpy as np

from benchmarks._measured import share
from riskloop.core.stats.correlated import given_factor
from riskloop.core.types import Bools, Floats, Severity
from riskloop.monitor.corrections import Corrections, corrected_finding

RATES: Final = (0.22, 0.03, 0.005)
CORRELATIONS: Final = (0.0, 0.05)
ROWS: Final = 2_000
Change = Callable[[np.random.Generator, Bools, Floats], tuple[Bools, Bools]]  # what is said first, and afterwards


def _flipped(rng: np.random.Generator, true: Bools, _p: Floats) -> tuple[Bools, Bools]:
    return true ^ (rng.random(true.size) < 0.02), true


def _late(rng: np.random.Generator, true: Bools, _p: Floats) -> tuple[Bools, Bools]:
    return true & (rng.random(true.size) < 0.6), true


def _technical(rng: np.random.Generator, true: Bools, p: Floats) -> tuple[Bools, Bools]:
    return true | (rng.random(true.size) < 0.4 * p), true


def _cured(rng: np.random.Generator, true: Bools, _p: Floats) -> tuple[Bools, Bools]:
    return true, true & (rng.random(true.size) >= 0.05)


def _withdrawn(share_of: float) -> Change:
    return lambda rng, true, _p: (true, true & (rng.random(true.size) >= share_of))


def _turned(times: float) -> Change:
    return lambda rng, true, p: (true, true | (rng.random(true.size) < np.minimum(times * p.mean(), 0.9)))


SOUND: Final[dict[str, Change]] = {
    "2% of the reports were wrong": _flipped,
    "40% of the defaults were reported good": _late,
    "defaults of technical reasons withdrawn, 40% of the others": _technical,
    "5% of the defaults cured": _cured,
}
BROKEN: Final[dict[str, Change]] = {
    "all defaults withdrawn": _withdrawn(1.0),
    "80% of the defaults withdrawn": _withdrawn(0.8),
    "40% of the defaults withdrawn": _withdrawn(0.4),
    "as many good turned default as default": _turned(1.0),
    "three times as many": _turned(3.0),
}


def quarantined(rng: np.random.Generator, rate: float, correlation: float, change: Change) -> bool:
    """Whether a file that corrects an earlier one is."""
    p = rng.beta(1.2, 1.2 * (1.0 - rate) / rate, ROWS)
    given = given_factor(p, correlation, rng.standard_normal(1))[0] if correlation else p
    first, then = change(rng, rng.random(ROWS) < given, p)
    withdrawn, turned = int((first & ~then).sum()), int((~first & then).sum())
    classes = Corrections(int(first.sum()), int((~first).sum()), withdrawn, turned, float(p.sum()))
    return corrected_finding(ROWS, withdrawn + turned, ROWS, classes).severity is Severity.FAULT


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n\n", 1)[0])
    parser.add_argument("--seeds", type=int, default=300)
    parser.add_argument("--quick", action="store_true", help="thirty files of each")
    given = parser.parse_args()
    count = 30 if given.quick else given.seeds
    cells = [(rate, correlation) for rate in RATES for correlation in CORRELATIONS]
    head = " | ".join(f"{rate:.1%}, {correlation:g}" for rate, correlation in cells)
    print(f"| quarantined, by rate of default and asset correlation | {head} |\n|---|{'---|' * len(cells)}")
    for kind, changes in (("sound", SOUND), ("broken", BROKEN)):
        for number, (name, change) in enumerate(changes.items()):
            found = []
            for rate, correlation in cells:
                said = [
                    quarantined(np.random.default_rng((seed, number, int(1e4 * rate))), rate, correlation, change)
                    for seed in range(count)
                ]
                found.append(share([(float(one), 1.0) for one in said]))
            print(f"| {kind}: {name} | {' | '.join(found)} |")


if __name__ == "__main__":
    main()
