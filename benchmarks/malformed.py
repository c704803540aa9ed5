"""Ten thousand files that went wrong on their way: what `init` and `train` would say of each, and whether all is well.

    python -m benchmarks.malformed [--quick] [--files N] [--seed K]

Each file is a small history with damaged cells, headers, rows, bytes or container, drawn by hypothesis from a seed,
most of them with a planted column that knows the outcome. Well is: it is read and the planted column is left out, or
it is refused in one sentence that names the file. Exit code 1 for anything else.
"""

import argparse
import re
import sys
import tempfile
from collections import Counter
from pathlib import Path

from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import seed as seeded

from benchmarks._malformed import Plan, fate, plans


def main() -> None:
    """Print how often each fate was met."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="500 files")
    parser.add_argument("--files", type=int, default=10_000)
    parser.add_argument("--seed", type=int, default=0)
    given_ = parser.parse_args()
    fates: Counter[str] = Counter()
    wrong: dict[str, Plan] = {}
    ignored: list[str] = []
    sys.unraisablehook = lambda event: ignored.append(f"on the terminal: {event.exc_value}")  # which users would see
    with tempfile.TemporaryDirectory() as folder:

        @seeded(given_.seed)
        @settings(
            max_examples=500 if given_.quick else given_.files,
            deadline=None, database=None, phases=[Phase.generate], suppress_health_check=list(HealthCheck),
        )  # fmt: skip
        @given(plans())
        def meet(plan: Plan) -> None:
            try:
                said = fate(plan, Path(folder))
                if ignored:
                    raise AssertionError(ignored.pop())
            except Exception as error:  # noqa: BLE001 - all of them are counted
                said = f"WRONG: {type(error).__name__}: {str(error).splitlines()[0][:150] if str(error) else ''}"
                wrong.setdefault(said, plan)
            fates["read" if said == "read" else kind_of(said)] += 1

        meet()
    total = sum(fates.values())
    print(f"{total:,} files, {fates['read'] / total:.0%} of them read; {len(wrong)} kinds of wrong fates.")
    for said, count in fates.most_common(None if wrong else 25):
        print(f"{count:>6} {said}")
    for said, plan in wrong.items():
        print(f"{said}\n  {plan}")
    sys.exit(1 if wrong else 0)


def kind_of(sentence: str) -> str:
    """The sentence without what differs from file to file."""
    return re.sub(
        r"\d[\d.,]*", "N", re.sub(r"'[^']*'|\"[^\"]*\"", "'…'", re.sub(r"\S*h\.\w+(\.gz)?", "FILE", sentence))
    )[:130]


if __name__ == "__main__":
    main()
