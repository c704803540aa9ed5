"""Weights of evidence and information value of bins, and whether their order is the one that was asked for."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from riskloop.core.errors import DataError
from riskloop.core.stats._arrays import upper_quantile
from riskloop.core.types import Bools, Floats, Ints


@dataclass(frozen=True, slots=True)
class Evidence:
    """What each bin tells of default, arrays of shape (bins,); a bin without rows tells nothing: 0."""

    rows: Ints
    defaults: Ints
    woe: Floats  # ln of the share of the defaults over the share of the others: above 0 is more risk
    parts: Floats  # of the information value, which is their sum

    @property
    def value(self) -> float:
        """The information value."""
        return float(self.parts.sum())


def bin_evidence(places: Ints, defaults: Bools, bins: int) -> Evidence:
    """Σ (b − g)·ln(b / g) over the bins, b and g the shares of the bad and the good; ½ is added to every count.

    ``places`` (n,) holds the bin of each row, below ``bins``. Source: Siddiqi, Credit Risk Scorecards (2006), chapter
    6. Raises DataError without an outcome of either class.
    """
    if defaults.all() or not defaults.any():
        raise DataError("Weights of evidence need rows that defaulted and rows that did not.")
    rows = np.bincount(places, minlength=bins)
    bad = np.bincount(places[defaults], minlength=bins)
    used = rows > 0
    poor, good = ((count + 0.5) * used for count in (bad, rows - bad))
    poor, good = poor / poor.sum(), good / good.sum()
    woe = np.log(np.divide(poor, good, out=np.ones(bins), where=used))
    return Evidence(rows, bad, woe, (poor - good) * woe)


def broken_order(
    rows: Floats | Ints, defaults: Floats | Ints, sign: int, level: float = 0.05
) -> tuple[int, int] | None:
    """Two bins, the earlier first, whose default rates go against ``sign`` (1: rising) by more than chance.

    The pair with the largest z of a pooled two-proportion test, one-sided, at ``level`` over the number of pairs
    (Bonferroni): bins that differ by chance alone are no contradiction. None where the order holds.
    """
    n, bad = np.asarray(rows, dtype=np.float64), np.asarray(defaults, dtype=np.float64)
    first, second = np.triu_indices(len(n), 1)
    there = (n[first] > 0.0) & (n[second] > 0.0)
    first, second = first[there], second[there]
    if not first.size:
        return None
    pooled = (bad[first] + bad[second]) / (n[first] + n[second])
    error = np.sqrt(pooled * (1.0 - pooled) * (1.0 / n[first] + 1.0 / n[second]))
    against = sign * (bad[first] / n[first] - bad[second] / n[second])
    z = np.divide(against, error, out=np.zeros(first.size), where=error > 0.0)
    worst = int(z.argmax())
    return (int(first[worst]), int(second[worst])) if z[worst] > upper_quantile(level / first.size) else None


def order_fault(
    name: str, labels: Sequence[str], rows: Floats | Ints, defaults: Floats | Ints, sign: int
) -> str | None:
    """What `broken_order` finds in the bins of a feature, as a sentence without its full stop."""
    pair = broken_order(rows, defaults, sign)
    if pair is None:
        return None
    said = [f"{defaults[i] / rows[i]:.1%} of {rows[i]:,.0f} rows with {labels[i]}" for i in pair]
    return (
        f"the bins by hand of '{name}' break monotone = {sign}: {said[0]} default, and {said[1]}, which is more than "
        "chance; merge bins, or remove 'monotone'"
    )
