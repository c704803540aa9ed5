from datetime import UTC, datetime

import numpy as np
import pytest

from riskloop.core.span import EVERYTHING, Span
from riskloop.core.types import to_micros

MAY, JUNE = datetime(2025, 5, 1, tzinfo=UTC), datetime(2025, 6, 1, tzinfo=UTC)


def test_the_beginning_is_inside_and_the_end_is_not() -> None:
    times = np.array([to_micros(MAY) - 1, to_micros(MAY), to_micros(JUNE) - 1, to_micros(JUNE)])
    assert Span.between(MAY, JUNE).mask(times).tolist() == [False, True, True, False]
    assert EVERYTHING.mask(times).all()


def test_limits_by_id_need_ids() -> None:
    times, ids = np.zeros(4, dtype=np.int64), np.arange(1, 5)
    assert Span(2, 3).mask(times, ids).tolist() == [False, True, True, False]
    with pytest.raises(ValueError, match="give the decisions' ids"):
        Span(2, 3).mask(times)


def test_a_time_without_a_zone_is_refused() -> None:
    with pytest.raises(ValueError, match="UTC"):
        Span.between(MAY.replace(tzinfo=None), JUNE)
