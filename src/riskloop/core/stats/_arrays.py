"""Checks on the arrays that every statistic takes: one place, so that they all refuse in the same words."""

import math
from statistics import NormalDist

import numpy as np
import numpy.typing as npt

from riskloop.core.errors import DataError
from riskloop.core.types import Bools, Floats

TINY = 1e-15  # probabilities are kept this far from 0 and 1 where a logarithm follows


def outcomes(labels: npt.ArrayLike) -> Bools:
    """Labels 0/1 (or False/True) of shape (n,), n ≥ 1, as booleans: True is a default."""
    values = np.asarray(labels)
    if values.ndim != 1 or values.size == 0:
        raise DataError(f"Outcomes must be a non-empty column, not an array of shape {values.shape}.")
    if values.dtype == np.bool_:
        return values
    values = values.astype(np.float64)
    defaults: Bools = values == 1.0
    if not np.all(defaults | (values == 0.0)):
        raise DataError("Outcomes must all be 0 or 1; leave immature and unknown ones (NaN) out first.")
    return defaults


def numbers(values: npt.ArrayLike, name: str, length: int | None = None) -> Floats:
    """``values`` of shape (n,) as float64 without NaN, of that ``length`` where one is asked for."""
    array = np.asarray(values, dtype=np.float64)
    if array.ndim != 1 or array.size == 0:
        raise DataError(f"The {name} must be a non-empty column, not an array of shape {array.shape}.")
    if length is not None and array.size != length:
        raise DataError(f"There are {array.size} {name} for {length} rows; both must have the same length.")
    if np.isnan(array).any():
        raise DataError(f"The {name} contain NaN; leave those rows out first.")
    return array


def probabilities(values: npt.ArrayLike, name: str = "probabilities", length: int | None = None) -> Floats:
    """Like :func:`numbers`, and every value must be in [0, 1]."""
    array = numbers(values, name, length)
    if array.min() < 0.0 or array.max() > 1.0:
        raise DataError(f"The {name} must lie between 0 and 1; they range {array.min():g} to {array.max():g}.")
    return array


def require_both_classes(defaults: Bools, least: int = 1) -> tuple[int, int]:
    """The numbers of defaults and of non-defaults; refuses fewer than ``least`` of either."""
    count = int(np.count_nonzero(defaults))
    others = defaults.size - count
    if min(count, others) < least:
        raise DataError(
            f"This needs at least {least} default(s) and {least} non-default(s); "
            f"there are {count} and {others}. Wait until more outcomes have matured."
        )
    return count, others


def require_share(value: float, name: str) -> None:
    """Refuse an ``alpha``, level or power that is not strictly between 0 and 1."""
    if not 0.0 < value < 1.0:
        raise DataError(f"{name} must be strictly between 0 and 1, not {value!r}.")


def logit(p: Floats) -> Floats:
    """ln(p/(1−p)), finite also for p = 0 and p = 1."""
    kept = np.clip(p, TINY, 1.0 - TINY)
    result: Floats = np.log(kept) - np.log1p(-kept)
    return result


def in_errors(difference: float, std_error: float) -> float:
    """``difference`` in standard errors; 0 when there is none, ±∞ when there is one without any error."""
    if std_error > 0.0:
        return difference / std_error
    return math.copysign(math.inf, difference) if difference else 0.0


def normal_tail(z: float) -> float:
    """P(Z > z) of the standard normal, accurate in the far tail (1 − Φ(z) is not)."""
    return 0.5 * math.erfc(z / math.sqrt(2.0))


def upper_quantile(share: float) -> float:
    """What a standard normal exceeds with probability ``share``, z₁₋ₐ; accurate for tiny shares (Φ⁻¹(1 − α) is not)."""
    return -NormalDist().inv_cdf(share)
