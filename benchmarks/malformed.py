"""Ten thousand files that went wrong on their way: what `init` and `train` would say of each, and whether all is well.

    nice -n 19 python -m benchmarks.malformed [--quick] [--files N] [--seed K] [--minutes M]

Each file is a small history with damaged cells, headers, rows, bytes or container, drawn by hypothesis from a seed,
most of them with a planted column that knows the outcome. Well is: it is read and the planted column is left out, or
it is refused in one sentence that names the file. Exit code 1 for anything else.
"""

import argparse
import json
import re
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Final

from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import seed as seeded

from benchmarks._malformed import Plan, fate, plans

PART: Final = 500  # files that are drawn from one seed


def main() -> None:
    """Print how often each fate was met."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="500 files")
    parser.add_argument("--files", type=int, default=10_000)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--minutes", type=float, default=1e9, help="draw no further files after so long")
    given_ = parser.parse_args()
    until = time.monotonic() + 60.0 * given_.minutes
    fates: Counter[str] = Counter()
    wrong: dict[str, Plan] = {}
    ignored: list[str] = []
    sys.unraisablehook = lambda event: ignored.append(f"on the terminal: {event.exc_value}")  # which users would see
    with tempfile.TemporaryDirectory() as folder:

        def meet(plan: Plan) -> None:
            try:
                said = fate(plan, Path(folder))
                if ignored:
                    raise AssertionError(ignored.pop())
            except Exception as error:  # noqa: BLE001 - all of them are counted
                said = f"WRONG: {type(error).__name__}: {str(error).splitlines()[0][:150] if str(error) else ''}"
                wrong.setdefault(said, plan)
            fates["read" if said == "read" else kind_of(said)] += 1

        wanted = 500 if given_.quick else given_.files
        for number, first in enumerate(range(0, wanted, PART)):
            if time.monotonic() < until:
                drawn(min(PART, wanted - first), [given_.seed, number], meet)
    total = sum(fates.values())
    print(f"{total:,} files, {fates['read'] / total:.0%} of them read; {len(wrong)} kinds of wrong fates.")
    for said, count in fates.most_common(None if wrong else 25):
        print(f"{count:>6} {said}")
    for said, plan in wrong.items():
        print(f"{said}\n  {plan}")
    sys.exit(1 if wrong else 0)


def drawn(files: int, seed: list[int], meet: Callable[[Plan], None]) -> None:
    """Let ``meet`` see so many files, the same for the same ``seed``."""
    options = settings(
        max_examples=files,
        deadline=None,
        database=None,
        phases=[Phase.generate],
        suppress_health_check=list(HealthCheck),
    )
    seeded(json.dumps(seed))(options(given(plans())(meet)))()


def kind_of(sentence: str) -> str:
    """The sentence without what differs from file to file."""
    return re.sub(
        r"\d[\d.,]*", "N", re.sub(r"'[^']*'|\"[^\"]*\"", "'…'", re.sub(r"\S*h\.\w+(\.gz)?", "FILE", sentence))
    )[:130]


if __name__ == "__main__":
    main()
