"""Twenty lines that matter, each made wrong in a small way: a test beside it has to notice.

    python scripts/mutate.py [WORD ...]      all, or those whose file or line holds a word

The tree must be clean: each mutant is written into the file, its nearest tests run, and the file is put back. Ends
with 1 when a mutant survives, and with 2 when a line is not in its file any more or its tests do not run.
"""

import os
import subprocess
import sys
from pathlib import Path
from typing import NamedTuple

ROOT = Path(__file__).resolve().parent.parent
# Where no bytecode is kept, each of the twenty processes compiles all of its imports again.
ENVIRONMENT = {**os.environ, "PYTHONDONTWRITEBYTECODE": ""}


class Mutant(NamedTuple):
    """A line, what it becomes, and the tests that have to fail then."""

    file: str  # below src/riskloop
    line: str
    wrong: str
    tests: str  # below tests


MUTANTS = (
    Mutant("gate/checks.py", "upper <= margin", "upper < margin", "gate/test_checks.py"),
    Mutant(
        "gate/checks.py", "fewest >= settings.min_defaults", "fewest > settings.min_defaults", "gate/test_checks.py"
    ),
    Mutant("gate/improvement.py", "p <= granted.alpha and", "p >= granted.alpha and", "gate/test_improvement.py"),
    Mutant(
        "gate/improvement.py",
        "and granted.alpha > 0.0 else",
        "and granted.alpha >= 0.0 else",
        "gate/test_improvement.py",
    ),
    Mutant("gate/budget.py", "t.champion == champion and t.at > since", "t.at > since", "gate/test_budget.py"),
    Mutant("gate/fairness.py", "self.ratio.lower >= least", "self.ratio.estimate >= least", "gate/test_fairness.py"),
    Mutant("gate/verdict.py", 'check.sizes.get("undecided")', "False", "gate/test_fairness.py"),
    Mutant(
        "promote/probation.py", "ranking.p_one_sided > level", "ranking.p_one_sided >= 0.0", "promote/test_probation.py"
    ),
    Mutant("decide/policy.py", "known >= policy.renew * learned", "known > 0", "decide/test_renewal.py"),
    Mutant(
        "decide/policy.py",
        "context.auc_loss >= policy.harm_auc",
        "context.auc_loss <= policy.harm_auc",
        "decide/test_policy.py",
    ),
    Mutant("retrain/plan.py", "~tested[rows.customers[index]]", "~np.isin(index, test)", "retrain/test_plan.py"),
    Mutant("retrain/dataset.py", "~np.isnan(decisions.outcomes) & ~_within", "~_within", "retrain/test_dataset.py"),
    Mutant(
        "core/stats/customers.py",
        "np.square(sums).sum()",
        "np.square(influences).sum()",
        "core/stats/test_customers.py",
    ),
    Mutant("core/stats/stability.py", "float(chdtri(n_bins - 1", "float(chdtri(n_bins", "core/stats/test_stability.py"),
    Mutant("core/exploration.py", "version) < rate:", "version) <= 1.0:", "core/test_exploration.py"),
    Mutant(
        "scoring/decide.py",
        "probabilities >= model.threshold",
        "probabilities > model.threshold",
        "scoring/test_decide.py",
    ),
    Mutant("serve/door.py", "site not in _OURS", "site in _OURS", "serve/test_door.py"),
    Mutant("serve/door.py", "if size > most:", "if size < 0:", "serve/test_door.py"),
    Mutant("train/calibrate.py", "line.slope >= _LEAST_SLOPE", "line.slope >= -9.0", "train/test_calibrate.py"),
    Mutant("backtest/study.py", "declined=p >= at)", "declined=p >= 0.5)", "backtest/test_study.py"),
)


def survives(mutant: Mutant) -> bool:
    """Whether the nearest tests pass with the line made wrong."""
    path = ROOT / "src" / "riskloop" / mutant.file
    text = path.read_text(encoding="utf-8")
    if text.count(mutant.line) != 1:
        print(f"{mutant.file}: '{mutant.line}' is there {text.count(mutant.line)} times, not once; mend this list.")
        raise SystemExit(2)
    try:
        path.write_text(text.replace(mutant.line, mutant.wrong), encoding="utf-8")
        command = [sys.executable, "-m", "pytest", "-x", "-q", "-p", "no:cacheprovider", f"tests/{mutant.tests}"]
        done = subprocess.run(command, cwd=ROOT, env=ENVIRONMENT, capture_output=True, check=False)  # noqa: S603
        if done.returncode not in (0, 1):  # no test was there, or none could be read: that would look like a kill
            print(f"{mutant.file}: tests/{mutant.tests} did not run; mend this list.\n{done.stdout.decode()[-500:]}")
            raise SystemExit(2)
        return done.returncode == 0
    finally:
        path.write_text(text, encoding="utf-8")


def main() -> int:
    """Try the mutants and say which survive."""
    words = sys.argv[1:]
    chosen = [m for m in MUTANTS if not words or any(word in f"{m.file} {m.line}" for word in words)]
    left = []
    for mutant in chosen:
        alive = survives(mutant)
        left += [mutant] if alive else []
        print(f"{'SURVIVES' if alive else 'killed  '}  {mutant.file}: {mutant.line}  ->  {mutant.wrong}", flush=True)
    print(f"{len(chosen) - len(left)} of {len(chosen)} mutants were noticed.")
    return 1 if left else 0


if __name__ == "__main__":
    raise SystemExit(main())
