"""What one cell of LoopBench's fraction says, and figures over cells with intervals at 95%.

Windows of one stream share a champion and are no independent witnesses: their shares have Wilson intervals at the
effective size (Korn & Graubard, Survey Methodology 24 (1998) 193–201), the streams being the clusters. Means over
streams have t intervals.
"""

import math
from collections.abc import Callable, Sequence
from datetime import datetime
from typing import Any, Final

import numpy as np

from benchmarks._cells import LOOP
from benchmarks._triggers import TOLD
from riskloop.core.stats import wilson_interval
from riskloop.core.types import Json
from riskloop.simulation.catalogue import STARTS

LAST: Final = 3  # months at the end over which recovery is measured
FIRST_WINDOWS: Final = 2  # in which a fault has to be found
REAL: Final = ("covariate_shift", "prior_shift", "concept_drift")
FAULTS: Final = ("data_fault", "label_fault")
LEAST_LOSS: Final = 0.005  # of AUC, that `told` wins; of less there is nothing to recover
MONTH: Final = 30.44  # days

Measure = Callable[[Json], tuple[float, float] | None]  # of a cell: a number and out of how many; None: says nothing


# --------------------------------------------------------------------------- one cell


def row(record: Json, policy: str = LOOP) -> Json | None:
    """What a policy did in a cell; None where it was not played."""
    return next((one for one in record["rows"] if one["policy"] == policy), None)


def change_of(record: Json) -> int:
    """Position of the first changed month; of the month after the last where nothing changes."""
    months = record["rows"][0]["months"]
    if record["group"] == "labels":
        return STARTS
    quiet = record["group"] == "stable"
    return len(months) if quiet else next((k for k, month in enumerate(months) if month[1] > 0.0), len(months))


def unchanged(record: Json) -> list[list[Any]]:
    """The loop's judged windows in which nothing had changed yet, nor the labels that they are judged by."""
    loop = row(record)
    assert loop is not None
    until = 1 if record["group"] == "labels" else change_of(record)
    return [window for window in loop["windows"][:until] if window[1] != "not_enough_data"]


def false_alarms(record: Json) -> tuple[float, float]:
    """Confirmed findings among windows in which nothing had changed."""
    windows = unchanged(record)
    return sum(w[2] and w[1] in (*REAL, *FAULTS) for w in windows), len(windows)


def quarantines(record: Json) -> tuple[float, float]:
    """Windows or outcomes set aside while nothing was broken, of all unchanged windows."""
    loop, until = row(record), _start(record)
    assert loop is not None
    labels = sum(case[1] == "label_fault" and case[0] < until for case in loop["cases"])
    # Where labels break, the customers' data stay sound to the end.
    sound = loop["windows"] if record["group"] == "labels" else unchanged(record)
    return sum(w[3] for w in sound) + labels, max(1, len(sound))


def retrained_unchanged(record: Json) -> tuple[float, float] | None:
    """Retrainings in a stable year; of streams that are stable to their end."""
    loop = row(record)
    return (len(loop["retrainings"]), 1) if loop is not None and record["group"] == "stable" else None


def retrained_at_all(record: Json) -> tuple[float, float] | None:
    """Whether a stable stream was retrained on."""
    found = retrained_unchanged(record)
    return None if found is None else (float(found[0] > 0), 1)


def delay(record: Json) -> tuple[float, float] | None:
    """Months from the first changed day until a real change opened a case, or was confirmed without one."""
    loop, months, start = row(record), record["rows"][0]["months"], change_of(record)
    if loop is None or record["group"] not in ("recession", "shifts"):
        return None
    begun = _month(months[start][0])
    opened = [case[0] for case in loop["cases"] if case[1] in REAL and _moment(case[0]) > begun]
    # Who the customers are is known when the window closes; a finding that costs nothing opens no case.
    seen = [k for k, w in enumerate(loop["windows"]) if k >= start and w[2] and w[1] == "covariate_shift"]
    waits = [(_moment(at) - begun).days / MONTH for at in opened] + [float(k + 1 - start) for k in seen]
    return (min(waits), 1) if waits else None


def found(record: Json) -> tuple[float, float] | None:
    """Whether a real change was found at all."""
    return (float(delay(record) is not None), 1) if record["group"] in ("recession", "shifts") else None


def recovery(record: Json) -> tuple[float, float] | None:
    """AUC won over never retraining in the last months, and what `told` won: a ratio of sums."""
    told, loop, never = row(record, TOLD), row(record), row(record, "never")
    if told is None or loop is None or never is None or end_of(told) - end_of(never) < LEAST_LOSS:
        return None
    return end_of(loop) - end_of(never), end_of(told) - end_of(never)


def fault_found(record: Json) -> tuple[float, float] | None:
    """Whether one of the first two broken windows was called a fault."""
    loop = row(record)
    if loop is None or record["group"] != "faults":
        return None
    start = change_of(record)
    return float(any(w[1] == "data_fault" for w in loop["windows"][start : start + FIRST_WINDOWS])), 1


def fault_learned(record: Json) -> tuple[float, float] | None:
    """Whether the loop retrained after a fault had come into the feed."""
    loop = row(record)
    if loop is None or record["group"] != "faults":
        return None
    first = record["rows"][0]["months"][change_of(record)][0]
    return float(any(period >= first for period in loop["retrainings"])), 1


def labels_found(record: Json) -> tuple[float, float] | None:
    """Whether a fault of the labels was found, and nothing learned from it went live unattended."""
    loop = row(record)
    if loop is None or record["group"] != "labels":
        return None
    said = loop["labels"] or any(case[1] == "label_fault" for case in loop["cases"])
    return float(bool(said) and not labels_learned(record)[0]), 1  # type: ignore[index]


def labels_learned(record: Json) -> tuple[float, float] | None:
    """Whether a model was promoted unattended after labels had broken."""
    loop = row(record)
    if loop is None or record["group"] != "labels":
        return None
    first = record["rows"][0]["months"][STARTS][0]
    return float(any(promotion["period"] >= first for promotion in loop["promotions"])), 1


def gain(record: Json, policy: str = LOOP) -> tuple[float, float] | None:
    """Mean AUC over all months less that of never retraining."""
    one, never = row(record, policy), row(record, "never")
    if one is None or never is None or one is never:
        return None
    pairs = [(a, b) for a, b in zip(one["auc"], never["auc"], strict=True) if a is not None and b is not None]
    return float(np.mean([a - b for a, b in pairs])), 1


def end_of(one: Json) -> float:
    """Mean AUC over the last months."""
    return float(np.mean([value for value in one["auc"][-LAST:] if value is not None]))


def _month(name: str) -> datetime:
    return datetime.fromisoformat(f"{name}-01T00:00:00+00:00")


def _moment(at: str) -> datetime:
    return datetime.fromisoformat(at)


def _start(record: Json) -> str:
    """When the first changed month begins, as cases write their dates."""
    months, start = record["rows"][0]["months"], change_of(record)
    return f"{months[start][0]}-01" if start < len(months) else "9999"


# --------------------------------------------------------------------------- figures with intervals


def share(pairs: Sequence[tuple[float, float]]) -> str:
    """Events of trials, cell by cell, with the interval of their share at the effective size."""
    events, trials = (float(sum(pair[side] for pair in pairs)) for side in (0, 1))
    if not trials:
        return "–"
    p = events / trials
    effective = trials
    if 0.0 < p < 1.0 and len(pairs) > 1 and max(of for _, of in pairs) > 1:
        residual = np.array([e - p * n for e, n in pairs])
        variance = len(pairs) / (len(pairs) - 1) * float(residual @ residual) / trials**2
        effective = min(trials, max(1.0, p * (1.0 - p) / variance)) if variance else trials
    ends = wilson_interval(min(round(p * effective), round(effective)), max(1, round(effective)))
    return f"{_percent(p)} ({_percent(min(p, ends.lower))} to {_percent(max(p, ends.upper))}) of {trials:.0f}"


def mean(pairs: Sequence[tuple[float, float]], form: str = ".2f") -> str:
    """The mean over cells with a t interval."""
    values = np.array([value / of for value, of in pairs])
    if not values.size:
        return "–"
    if values.size == 1:
        return f"{values[0]:{form}} (one stream)"
    reach = t_quantile(values.size - 1) * float(values.std(ddof=1)) / math.sqrt(values.size)
    return f"{values.mean():{form}} ({values.mean() - reach:{form}} to {values.mean() + reach:{form}}) of {values.size}"


def ratio(pairs: Sequence[tuple[float, float]]) -> str:
    """Sum over sum, with the interval of the jackknife over cells."""
    if not pairs:
        return "–"
    won, there = (np.array([pair[side] for pair in pairs]) for side in (0, 1))
    value, n = won.sum() / there.sum(), len(pairs)
    if n == 1:
        return f"{value:.0%} (one stream)"
    without = (won.sum() - won) / (there.sum() - there)
    reach = t_quantile(n - 1) * math.sqrt((n - 1) / n * float(np.square(without - without.mean()).sum()))
    return f"{value:.0%} ({value - reach:.0%} to {value + reach:.0%}) of {n}"


def _percent(value: float) -> str:
    return f"{value:.1%}" if 0.0 < value < 0.1 else f"{value:.0%}"


def t_quantile(freedom: int) -> float:
    from scipy.special import stdtrit

    return float(stdtrit(freedom, 0.975))
