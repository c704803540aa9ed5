"""Ten thousand files that went wrong on their way: what `init` and `train` would say of each, and whether all is well.

    nice -n 19 python -m benchmarks.malformed [--quick] [--files N] [--seed K] [--minutes M] [--keep FILE]

Each file is a small history with damaged cells, headers, rows, bytes or container, drawn by hypothesis from a seed,
most of them with a planted column that knows the outcome. Well is: it is read and the planted column is left out, or
it is refused in one sentence that names the file. Exit code 1 for anything else. Each part of 500 is printed when it is
played; with --keep runs add up over days, and `benchmarks/malformed.jsonl` holds those of the documentation.
"""

import argparse
import hashlib
import json
import re
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, Final

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
    parser.add_argument("--keep", type=Path, help="add each part to this file; parts that it holds are not drawn again")
    asked = parser.parse_args()
    until = time.monotonic() + 60.0 * asked.minutes
    wanted = 500 if asked.quick else asked.files
    known = asked.keep is not None and asked.keep.exists()
    parts: list[Part] = [json.loads(line) for line in asked.keep.read_text("utf-8").splitlines()] if known else []
    done = {(part["seed"], part["part"]) for part in parts}
    for number, first in enumerate(range(0, wanted, PART)):
        if (asked.seed, number) in done or time.monotonic() > until:
            continue
        part = met(min(PART, wanted - first), asked.seed, number)
        parts.append(part)
        print(
            f"part {number}: {part['fates'].get('read', 0)} of {part['files']} read, {len(part['wrong'])} wrong",
            flush=True,
        )
        if asked.keep is not None:
            with asked.keep.open("a", encoding="utf-8") as out:
                out.write(json.dumps(part) + "\n")
    sys.exit(1 if summed(parts) else 0)


Part = dict[str, Any]


def met(files: int, seed: int, number: int) -> Part:
    """What became of one part of the files: how often each fate was met, and the plans of those that are wrong."""
    fates: Counter[str] = Counter()
    wrong: dict[str, str] = {}
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
                wrong.setdefault(said, str(plan))
            fates["read" if said == "read" else kind_of(said)] += 1

        drawn(files, [seed, number], meet)
    return {
        "seed": seed, "part": number, "reader": reader(), "files": sum(fates.values()),
        "fates": dict(fates.most_common()), "wrong": wrong,
    }  # fmt: skip


def reader() -> str:
    """The code that read them, in eight letters."""
    import riskloop.core
    import riskloop.data

    folders = [Path(str(module.__file__)).parent for module in (riskloop.core, riskloop.data)]
    texts = [path.read_bytes() for folder in folders for path in sorted(folder.glob("*.py"))]
    return hashlib.blake2b(b"".join(texts), digest_size=4).hexdigest()


def summed(parts: Sequence[Part]) -> dict[str, str]:
    """Print the fates of all parts; the plans of those that are wrong."""
    fates: Counter[str] = Counter()
    for part in parts:
        fates.update(part["fates"])
    wrong = {said: plan for part in parts for said, plan in part["wrong"].items()}
    total = sum(fates.values())
    print(f"{total:,} files, {fates['read'] / max(1, total):.0%} of them read; {len(wrong)} kinds of wrong fates.")
    for said, count in fates.most_common(None if wrong else 25):
        print(f"{count:>6} {said}")
    for said, plan in wrong.items():
        print(f"{said}\n  {plan}")
    return wrong


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
