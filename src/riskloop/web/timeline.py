"""The time line: windows, cases, retrainings and promotions, each where it happened."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Final

from riskloop.cases import Case
from riskloop.core.types import Promotion
from riskloop.store.ledger import ModelVersion
from riskloop.store.windows import Window

MOST: Final = 4  # lanes of cases; the cases page has them all


@dataclass(frozen=True, slots=True)
class LanePart:
    """A case over the columns from ``start`` on; one without a case is a gap of that width."""

    width: int
    case: Case | None


@dataclass(frozen=True, slots=True)
class Timeline:
    """Columns are the windows, and at last the time since the newest one's end."""

    windows: list[Window]
    lanes: list[list[LanePart]]
    trained: list[list[ModelVersion]]  # by column
    promoted: list[list[Promotion]]

    @property
    def columns(self) -> int:
        """How many there are."""
        return len(self.windows) + 1


def timeline(
    windows: Sequence[Window], cases: Sequence[Case], models: Sequence[ModelVersion], promotions: Sequence[Promotion]
) -> Timeline:
    """Put everything that happened since the first window's start into its column."""
    columns = len(windows) + 1

    def column(moment: datetime) -> int:
        return sum(moment >= window.end_time for window in windows)

    start = windows[0].first_time if windows else None
    recent = [case for case in cases if start is None or case.closed_at is None or case.closed_at >= start]
    trained: list[list[ModelVersion]] = [[] for _ in range(columns)]
    promoted: list[list[Promotion]] = [[] for _ in range(columns)]
    for model in models:
        if start is None or model.created_at >= start:
            trained[column(model.created_at)].append(model)
    for promotion in promotions:
        if start is None or promotion.at >= start:
            promoted[column(promotion.at)].append(promotion)
    spans = [(column(c.opened_at), columns - 1 if c.closed_at is None else column(c.closed_at), c) for c in recent]
    return Timeline(list(windows), _lanes(sorted(spans, key=lambda s: (s[0], s[2].id)), columns), trained, promoted)


def _lanes(spans: Sequence[tuple[int, int, Case]], columns: int) -> list[list[LanePart]]:
    """As few rows as hold the spans without an overlap."""
    placed: list[list[tuple[int, int, Case]]] = []
    for span in spans:
        lane = next((lane for lane in placed if lane[-1][1] < span[0]), None)
        if lane is not None:
            lane.append(span)
        elif len(placed) < MOST:
            placed.append([span])
    return [_filled(lane, columns) for lane in placed]


def _filled(lane: Sequence[tuple[int, int, Case]], columns: int) -> list[LanePart]:
    """The lane with its gaps."""
    found, at = [], 0
    for first, last, case in lane:
        found += [LanePart(1, None)] * (first - at)
        found.append(LanePart(last - first + 1, case))
        at = last + 1
    return [*found, *[LanePart(1, None)] * (columns - at)]
