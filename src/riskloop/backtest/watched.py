"""What a loop kept out of learning or could not judge in a back-test, and what that cost.

A loop that quarantines everything retrains on no fault and promotes nothing: its other figures look like those of a
calm year. So the answer says what was not looked at, and how the PDs of that time stand to what happened.
"""

import re
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np

from riskloop.backtest.history import History, Played
from riskloop.backtest.score import Scores, against
from riskloop.core import stats
from riskloop.core.english import counted
from riskloop.core.types import Diagnosis, Json

MOST_NAMED: Final = 3
MUCH: Final = 0.5  # of the windows: from here on the other figures say little about the loop
OUTCOMES_MISSING: Final = "Its outcomes were not complete when they should have been."
OUTCOMES_OPEN: Final = "Its outcomes are final only after the history's end."


@dataclass(frozen=True)
class _Seen:
    """One period with the window that the loop made of it."""

    place: int
    period: Played
    window: Json


def watched(
    history: History, windows: Mapping[str, Json], scores: Sequence[Scores], always: Sequence[Scores] | None
) -> Json:
    """How many windows were judged, quarantined and not judged; ``always`` is what refitting every period decided.

    ``windows`` are the loop's by the period's name; ``scores`` and ``always`` are aligned with the history's periods.
    """
    seen = [_Seen(k, p, windows[p.name]) for k, p in enumerate(history.periods) if p.name in windows]
    end, outcome_window = history.periods[-1].end, history.settings.portfolio.outcome_window
    kept_out = [s for s in seen if s.window["quarantined"]]
    rest = [s for s in seen if not s.window["quarantined"] and len(s.period.rows)]
    late = [s for s in rest if not s.window["mature"] and s.period.end + outcome_window <= end]
    few = [s for s in rest if s.window["diagnosis"] == Diagnosis.NOT_ENOUGH_DATA and s not in late]
    waiting = [s for s in rest if not s.window["mature"] and s not in late and s not in few]
    return {
        "windows": len(seen),
        "judged": len(rest) - len(late) - len(few) - len(waiting),
        "waiting": len(waiting),
        "quarantined": _kept_out(kept_out, history, scores, always) if kept_out else None,
        "not_judged": _not_judged(sorted(late + few, key=lambda s: s.place), late) if late or few else None,
        "reasons": {s.period.name: reason for s in seen if (reason := _reason(s, late, few, waiting))},
    }


def _reason(one: _Seen, late: Sequence[_Seen], few: Sequence[_Seen], waiting: Sequence[_Seen]) -> str | None:
    """Why a window was not judged by its outcomes; None: it was, or it was kept out, or is of no row."""
    if one in late:
        return OUTCOMES_MISSING
    return str(one.window["sentence"]) if one in few else OUTCOMES_OPEN if one in waiting else None


def _kept_out(
    found: Sequence[_Seen], history: History, scores: Sequence[Scores], always: Sequence[Scores] | None
) -> Json:
    there = [scores[s.place] for s in found]
    known = [s.known for s in there]
    y = np.concatenate([s.outcomes[k] for s, k in zip(there, known, strict=True)])
    p = np.concatenate([s.probabilities[k] for s, k in zip(there, known, strict=True)])
    rate = stats.wilson_interval(int(y.sum()), len(y)) if len(y) else None
    first = found[0].place
    sound = [s.period.name for s in found if s.period.truth not in (None, Diagnosis.DATA_FAULT)]
    return {
        **_extent(found),
        "sound": None if found[0].period.truth is None else len(sound),
        "reason": str(found[-1].window["sentence"]),
        "outcomes": len(y),
        "mean_pd": float(p.mean()) if len(y) else None,
        "default_rate": None if rate is None else rate.estimate,
        "default_rate_low": None if rate is None else rate.lower,
        "default_rate_high": None if rate is None else rate.upper,
        # Whoever learned from all of it all the time: what there was to win, or to lose, since the first of them.
        "always_since": None if always is None else against(always[first:], scores[first:], history.settings.money),
    }


def _not_judged(found: Sequence[_Seen], late: Sequence[_Seen]) -> Json:
    last: dict[str, str] = {}  # of reasons that differ in their figures only
    windows = Counter[str]()
    for s in found:
        reason = str(_reason(s, late, found, ()))
        kind = re.sub(r"\d[\d.,]*", "#", reason)
        last[kind] = reason
        windows[kind] += 1
    reasons = [{"reason": last[kind], "windows": count} for kind, count in windows.most_common()]
    said = [f"{one['reason']}" if len(reasons) == 1 else f"{one['windows']} × {one['reason']}" for one in reasons]
    return {**_extent(found), "without_outcomes": len(late), "reason": " ".join(said), "reasons": reasons}


def _extent(found: Sequence[_Seen]) -> Json:
    return {
        "windows": len(found),
        "decisions": sum(len(s.period.rows) for s in found),
        "first": found[0].period.name,
        "last": found[-1].period.name,
        "longest": _longest([s.place for s in found]),
    }


def _longest(places: Sequence[int]) -> int:
    """The longest stretch without a gap."""
    breaks = np.flatnonzero(np.diff(places) != 1) + 1
    return int(np.diff([0, *breaks, len(places)]).max())


# --------------------------------------------------------------------------- in words


def sentences(name: str, watch: Json | None) -> list[str]:
    """What was kept out and what was not judged under a policy, for the answer; nothing where all was judged."""
    if watch is None:
        return []
    said = []
    if watch["quarantined"]:
        said.append(_told_kept_out(name, watch["quarantined"], watch["windows"]))
    if watch["not_judged"]:
        less = watch["not_judged"]
        windows = counted(less["windows"], "window")
        said.append(
            f"{windows} of '{name}' ({_span(less)}) could not be judged, and say nothing for or against it: "
            f"{less['reason']}"
        )
    if watch["held_outcomes"]:
        held = ", ".join(watch["held_outcomes"][:MOST_NAMED])
        said.append(f"Outcomes under '{name}' are in quarantine and count nowhere: {held}.")
    if watch["windows"] and not watch["judged"]:
        waits = f" {OUTCOMES_OPEN.replace('Its', 'Their')}" if watch["waiting"] == watch["windows"] else ""
        said.append(
            f"'{name}' judged none of {counted(watch['windows'], 'window')} with its outcomes, so whether the loop "
            f"would have helped is not known.{waits}"
        )
    return said


def doubtful(watch: Json | None) -> bool:
    """Whether so much was kept out or not judged that the other figures say little about the loop."""
    if watch is None or not watch["windows"]:
        return False
    if not watch["judged"]:
        return True
    out = sum(watch[key]["windows"] for key in ("quarantined", "not_judged") if watch[key])
    return bool(out >= MUCH * watch["windows"])


def _told_kept_out(name: str, out: Json, windows: int) -> str:
    kept = f"{out['windows']} of {counted(windows, 'window')}"
    told = f"'{name}' kept {kept} out as faulty ({_span(out)}), learned nothing from their {out['decisions']:,} "
    told += "decisions, and went on deciding with the model that it had"
    if out["default_rate"] is not None:
        low, high = out["default_rate_low"], out["default_rate_high"]
        told += f": {out['default_rate']:.1%} ({low:.1%} to {high:.1%}) defaulted there at a PD of {out['mean_pd']:.1%}"
    told += "."
    since = out["always_since"]
    if since is not None and since["auc"] is not None:
        gain = f"{since['auc']:+.4f} ({since['auc_low']:+.4f} to {since['auc_high']:+.4f})"
        told += f" From the first of them on, refitting every period would have changed the mean AUC by {gain}."
    if out["sound"]:
        told += f" {out['sound']} of them were sound."
    return told


def _span(extent: Json) -> str:
    if extent["first"] == extent["last"]:
        return str(extent["first"])
    return f"{extent['first']} to {extent['last']}, {extent['longest']} in a row at most"
