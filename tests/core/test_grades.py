import numpy as np
import pytest

from riskloop.core.grades import RATE_GAP, grades_off
from riskloop.core.settings import RiskLevelSettings
from riskloop.monitor.breakdown import grade_findings
from riskloop.monitor.matured import Matured


@pytest.mark.parametrize("rows", [400, 4_000])
def test_a_sound_book_shows_a_grade_as_rarely_as_the_level_says(rows: int) -> None:
    rng, windows, level = np.random.default_rng(7), 1_500, 0.05
    levels = RiskLevelSettings()
    shown = 0
    for _ in range(windows):
        pds = rng.beta(1.2, 5.0, rows)
        part = Matured(pds, (rng.random(rows) < pds).astype(np.float64))
        found = grade_findings(part, part, levels, level)
        assert len(found) > 2
        shown += bool(grades_off(found))
        assert len(grades_off(found, RATE_GAP)) <= len(grades_off(found))
    chance = 2.6 * np.sqrt(level * (1 - level) / windows)
    assert shown / windows < level + chance
    assert shown > 0.2 * level * windows
