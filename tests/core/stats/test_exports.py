import subprocess
import sys
from inspect import getdoc, isclass, isfunction

from riskloop.core import stats


def test_every_public_name_exists_and_explains_itself() -> None:
    for name in stats.__all__:
        value = getattr(stats, name)
        assert getdoc(value) if isfunction(value) or isclass(value) else isinstance(value, str), name


def test_importing_statistics_loads_no_heavy_library() -> None:
    code = "import sys, riskloop.core.stats; print([m for m in ('scipy', 'sklearn', 'pandas') if m in sys.modules])"
    answer = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert answer.stdout.strip() == "[]"
