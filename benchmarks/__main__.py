"""Runs the benchmarks one after the other, each in a process of its own.

    python -m benchmarks [--quick] [--list] [NAME ...]

Every module here that has a `main` is a benchmark; its docstring says what it measures. What it prints goes to
standard output, progress to standard error. Exit code 1 when a benchmark failed; the others are run all the same.
"""

import argparse
import ast
import subprocess
import sys
import time
from pathlib import Path


def found() -> dict[str, str]:
    """Names and first sentences of the benchmarks. They are read, not imported: some bring heavy libraries."""
    benchmarks = {}
    for path in sorted(Path(__file__).parent.glob("[!_]*.py")):
        tree = ast.parse(path.read_text(encoding="utf-8"))
        if any(isinstance(node, ast.FunctionDef) and node.name == "main" for node in tree.body):
            benchmarks[path.stem] = (ast.get_docstring(tree) or "").split("\n\n", 1)[0].replace("\n", " ")
    return benchmarks


def run(name: str, options: list[str]) -> int:
    """Run one benchmark; its exit code."""
    sys.stderr.write(f"== {name}\n")
    sys.stdout.write(f"\n== {name}\n")
    sys.stdout.flush()
    started = time.monotonic()
    code = subprocess.run([sys.executable, "-m", f"benchmarks.{name}", *options], check=False).returncode
    sys.stderr.write(
        f"== {name}: {'done' if code == 0 else f'FAILED ({code})'} in {time.monotonic() - started:.0f} s\n"
    )
    return code


def main() -> None:
    """Run the named benchmarks, or all."""
    benchmarks = found()
    listed = "\n".join(f"  {name:<12} {sentence}" for name, sentence in benchmarks.items())
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks",
        description="Runs the benchmarks, all of them when none is named.",
        epilog=f"benchmarks:\n{listed}",
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("names", nargs="*", metavar="NAME")
    parser.add_argument(
        "--quick", action="store_true", help="short variants: seconds instead of minutes, rough figures"
    )
    parser.add_argument("--list", action="store_true", help="name the benchmarks and stop")
    given = parser.parse_args()
    if given.list:
        print(listed)
        return
    unknown = [name for name in given.names if name not in benchmarks]
    if unknown:
        sys.exit(f"There is no benchmark '{unknown[0]}'; there are {', '.join(benchmarks)}.")
    options = ["--quick"] if given.quick else []
    failed = [name for name in given.names or benchmarks if run(name, options) != 0]
    if failed:
        sys.exit(f"Failed: {', '.join(failed)}.")


if __name__ == "__main__":
    main()
