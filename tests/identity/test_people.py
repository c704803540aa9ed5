from datetime import UTC, datetime, timedelta

import pytest

from riskloop.core.errors import ConfigError
from riskloop.identity.people import later

NOW = datetime(2025, 5, 1, 12, tzinfo=UTC)


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("90d", NOW + timedelta(days=90)),
        ("12h", NOW + timedelta(hours=12)),
        ("2025-12-31", datetime(2026, 1, 1, tzinfo=UTC)),
        ("2025-12-31T08:00", datetime(2025, 12, 31, 8, tzinfo=UTC)),
        ("2025-12-31T08:00+02:00", datetime(2025, 12, 31, 6, tzinfo=UTC)),
        (None, None),
    ],
)
def test_an_end_is_a_duration_a_date_or_a_moment(text: str | None, found: datetime | None) -> None:
    assert later(text, NOW) == found


@pytest.mark.parametrize("text", ["", "soon", "90", "99999999999999d", "2025-13-01"])
def test_any_other_end_is_refused(text: str) -> None:
    with pytest.raises(ConfigError):
        later(text, NOW)
