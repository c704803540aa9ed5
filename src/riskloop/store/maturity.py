"""Which outcomes count now: the one place that training, gate, probation, monitoring and pages go by."""

from dataclasses import replace
from datetime import datetime, timedelta
from typing import Final

from riskloop.core.maturity import NOTHING, Maturity, complete_days, usual_share
from riskloop.core.types import to_micros
from riskloop.store.home import Home

USUAL: Final = timedelta(days=90)  # of settled decisions, whose coverage is the usual one


def maturity(home: Home, now: datetime) -> Maturity:
    """What counts at ``now``, by the feed's watermark or, where it never gave one, by what has arrived.

    Without a watermark a feed of everybody is complete as far as nearly all approved customers have an outcome that
    usually get one; what has come after ``outcomes.patience`` counts in any case. A feed of defaults only is complete
    up to its last delivery, less that patience.
    """
    settings, window = home.settings.outcomes, home.settings.portfolio.outcome_window
    held = tuple((d.first_id, d.last_id) for d in home.deliveries.held() if d.first_id is not None)
    known = Maturity(
        until=to_micros(now - window),
        outcomes=home.outcomes.last_id(),
        silence="good" if settings.reported == "defaults" else "unknown",
        silent_declined=settings.silent_declined,
        held=tuple((first, last) for first, last in held if last is not None),
    )
    watermark = home.deliveries.watermark()
    if watermark is not None:
        # What was final before the watermark is settled; the watermark itself is exclusive.
        until = to_micros(min(now, watermark) - window) - (watermark <= now)
        return replace(known, until=until, given=True)
    if settings.reported == "defaults":
        last = home.deliveries.last_at()
        until = NOTHING if last is None else to_micros(min(now, last) - window - settings.patience)
        return replace(known, until=until)
    return replace(known, until=_arrived(home, known, settings.patience))


def _arrived(home: Home, known: Maturity, patience: timedelta) -> int:
    """Up to which decision time nearly everything has arrived that usually does, or was waited for long enough."""
    waited = known.until - patience // timedelta(microseconds=1)
    earlier = home.decisions.days(waited - USUAL // timedelta(microseconds=1), waited, known)
    days, expected, reported = home.decisions.days(waited + 1, known.until, known)
    complete = complete_days(expected, reported, usual_share(*earlier[1:]))
    if complete == len(days):
        return known.until
    return max(waited, int(days[complete]) - 1)
