"""Which outcomes count now: the one place that training, gate, probation, monitoring and pages go by."""

from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from functools import lru_cache
from typing import Final

from riskloop.core.maturity import NOTHING, Maturity, complete_days, usual_share
from riskloop.core.periods import period_of
from riskloop.core.settings import Settings
from riskloop.core.span import Span
from riskloop.core.types import from_micros, to_micros
from riskloop.store.decisions import DecisionLog
from riskloop.store.deliveries import Deliveries
from riskloop.store.outcomes import Outcomes

USUAL: Final = timedelta(days=90)  # of settled decisions, whose coverage is the usual one
BEFORE_ALL: Final = -(2**62)  # microseconds: no decision is older


@dataclass(frozen=True, slots=True)
class FeedState:
    """Where the outcome feed stands."""

    complete_until: datetime | None  # every outcome that was final by then counts; None: nothing does
    given: bool  # as the feed says itself; else inferred from what arrived
    last_at: datetime | None  # when something was handed in last
    due: datetime | None  # when the file was due that is not there; None: none is late
    late: str | None  # the same as a sentence
    held: tuple[int, ...]  # deliveries in quarantine


@dataclass(frozen=True, slots=True)
class OutcomeFeed:
    """The outcomes of a portfolio as they come in, and what its settings say of them."""

    settings: Settings
    decisions: DecisionLog
    outcomes: Outcomes
    deliveries: Deliveries

    def maturity(self, now: datetime) -> Maturity:
        """What counts at ``now``, by the feed's watermark or, where it never gave one, by what has arrived.

        Without a watermark a feed of everybody is complete as far as nearly all approved customers have an outcome that
        usually get one; what has come after ``outcomes.patience`` counts in any case. A feed of defaults only is
        complete up to its last delivery, less that patience.
        """
        settings, window = self.settings.outcomes, self.settings.portfolio.outcome_window
        known = replace(self._handed_in(), until=to_micros(now - window))
        watermark = self.deliveries.watermark()
        if watermark is not None:
            # What was final before the watermark is settled; the watermark itself is exclusive.
            until = to_micros(min(now, watermark) - window) - (watermark <= now)
            return replace(known, until=until, given=True)
        if settings.reported == "defaults":
            last = self.deliveries.last_at()
            until = NOTHING if last is None else to_micros(min(now, last) - window - settings.patience)
            return replace(known, until=until)
        return replace(known, until=_arrived(self.decisions, known, settings.patience, self.decisions.last_id()))

    def keep_tallies(self) -> None:
        """Count on, so that nobody who asks has to count the log; for the worker."""
        self.decisions.keep_tallies(self._handed_in())

    def _handed_in(self) -> Maturity:
        """What is there and not in quarantine, whatever is final."""
        settings = self.settings.outcomes
        held = ((d.first_id, d.last_id) for d in self.deliveries.held())
        return Maturity(
            until=NOTHING,
            outcomes=self.outcomes.last_id(),
            silence="good" if settings.reported == "defaults" else "unknown",
            silent_declined=settings.silent_declined,
            held=tuple((first, last) for first, last in held if first is not None and last is not None),
        )

    def state(self, now: datetime) -> FeedState:
        """What status, pages and alerts say about the feed."""
        known, window = self.maturity(now), self.settings.portfolio.outcome_window
        last = self.deliveries.last_at()
        until = None if known.until < 0 or last is None else min(now, from_micros(known.until) + window)
        due = self._late_since(last, now)
        return FeedState(
            complete_until=until,
            given=known.given,
            last_at=last,
            due=due,
            late=None if due is None else _late_sentence(self.deliveries, self.settings, due, last),
            held=tuple(delivery.id for delivery in self.deliveries.held()),
        )

    def _late_since(self, last: datetime | None, now: datetime) -> datetime | None:
        """When a file was due that is late by now."""
        settings, earliest = self.settings.outcomes, self.decisions.next_time(BEFORE_ALL)
        if earliest is None:
            return None
        first_final = from_micros(earliest) + self.settings.portfolio.outcome_window
        if settings.due == "any":
            since = first_final if last is None else max(first_final, last)
            late = now - since > settings.patience and _final_since(self.decisions, self.settings, since, now)
            return since if late else None
        period = period_of(now - settings.grace, settings.due)
        end, watermark = period.first, self.deliveries.watermark()
        there = last is not None and last >= end if watermark is None else watermark >= end
        return None if there or first_final >= end else end


@lru_cache(maxsize=8)
def _arrived(decisions: DecisionLog, known: Maturity, patience: timedelta, _newest: int) -> int:
    """Up to which decision time nearly everything has arrived that usually does, or was waited for long enough.

    A cycle asks several times: the same question is answered once.
    """
    waited = known.until - patience // timedelta(microseconds=1)
    earlier = decisions.days(waited - USUAL // timedelta(microseconds=1), waited, known)
    days, expected, reported = decisions.days(waited + 1, known.until, known)
    complete = complete_days(expected, reported, usual_share(*earlier[1:]))
    if complete == len(days):
        return known.until
    return max(waited, int(days[complete]) - 1)


def _final_since(decisions: DecisionLog, settings: Settings, since: datetime, now: datetime) -> bool:
    window = settings.portfolio.outcome_window
    return decisions.holds(Span.between(since - window, now - window))


def _late_sentence(deliveries: Deliveries, settings: Settings, due: datetime, last: datetime | None) -> str:
    came = "none ever came" if last is None else f"the last one came on {last:%Y-%m-%d}"
    if settings.outcomes.due == "any":
        return f"No outcome has been handed in since {due:%Y-%m-%d}, though further ones are final: {came}."
    watermark = deliveries.watermark()
    if watermark is not None and last is not None and last >= due:
        came = f"the last one says that it is complete up to {watermark:%Y-%m-%d}"
    return f"The outcome file that was due on {due:%Y-%m-%d} is late: {came}."
