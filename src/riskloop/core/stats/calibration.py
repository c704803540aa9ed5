"""Do the probabilities say what happens? Scores of accuracy, tests of calibration.

Labels are outcomes 0/1, probabilities lie in [0, 1], both of shape (n,).
"""

import math
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from riskloop.core.errors import DataError
from riskloop.core.stats._arrays import (
    TINY,
    in_errors,
    logit,
    normal_tail,
    outcomes,
    probabilities,
    require_both_classes,
)
from riskloop.core.stats._logistic import fit_logistic
from riskloop.core.stats.customers import count_customers, design_effect, squared_error
from riskloop.core.types import Bools, Floats, Ints


@dataclass(frozen=True, slots=True)
class Coefficient:
    """One coefficient of the calibration line with its Wald test against the value that perfect calibration has."""

    estimate: float
    std_error: float
    z: float
    p_value: float  # two-sided


@dataclass(frozen=True, slots=True)
class GradeTest:
    """Jeffreys test of one risk grade."""

    grade: int
    n: int
    defaults: int
    pd: float  # mean probability of the grade
    p_value: float


@dataclass(frozen=True, slots=True)
class PairedLoss:
    """Log loss of champion and challenger on the same rows. H₀: the challenger's is not lower."""

    champion: float
    challenger: float
    difference: float  # challenger − champion: below 0 the challenger is better
    std_error: float  # of the difference
    t: float  # −difference / std_error
    p_one_sided: float  # small: the challenger is better
    p_worse: float  # small: the challenger is worse


def brier(labels: npt.ArrayLike, probability: npt.ArrayLike) -> float:
    """Mean squared error of the probabilities. Source: Brier, Monthly Weather Review 78 (1950) 1–3."""
    defaults, p = _pair(labels, probability)
    return float(np.square(p - defaults).mean())


def log_loss(labels: npt.ArrayLike, probability: npt.ArrayLike) -> float:
    """Mean of −ln P(what happened), in nats; probabilities are kept 1e-15 away from 0 and 1."""
    return float(_row_losses(*_pair(labels, probability)).mean())


def paired_log_loss_test(
    labels: npt.ArrayLike,
    champion: npt.ArrayLike,
    challenger: npt.ArrayLike,
    customers: npt.ArrayLike | None = None,
) -> PairedLoss:
    """Paired t-test on the rows' differences in log loss, one-sided both ways; needs two rows, of two customers.

    With ``customers`` (n,) the rows of one customer are one witness. Equal probabilities give difference 0 and p = 1.
    Source: Diebold & Mariano, Journal of Business & Economic Statistics 13 (1995) 253–263, for independent rows;
    Liang & Zeger, Biometrika 73 (1986) 13–22, for customers.
    """
    from scipy.special import stdtr

    defaults, first = _pair(labels, champion)
    second = probabilities(challenger, "challenger probabilities", length=defaults.size)
    witnesses = count_customers(customers, np.ones(defaults.size, dtype=np.bool_))
    if witnesses < 2:
        raise DataError("A paired test needs at least two rows, of two customers.")
    before, after = _row_losses(defaults, first), _row_losses(defaults, second)
    change = after - before
    difference = float(change.mean())
    correction = witnesses / (witnesses - 1)
    std_error = math.sqrt(squared_error((change - difference) / change.size, customers) * correction)
    t = in_errors(-difference, std_error)
    equal = not difference and not std_error
    return PairedLoss(
        champion=float(before.mean()),
        challenger=float(after.mean()),
        difference=difference,
        std_error=std_error,
        t=t,
        p_one_sided=1.0 if equal else float(stdtr(witnesses - 1, -t)),
        p_worse=1.0 if equal else float(stdtr(witnesses - 1, t)),
    )


def jeffreys(defaults: npt.ArrayLike, totals: npt.ArrayLike, pds: npt.ArrayLike, two_sided: bool = False) -> Floats:
    """p-values, one per risk grade, of H₀: the grade's true PD is at most ``pds``; NaN for a grade without rows.

    The posterior Beta(D+½, N−D+½) below the PD: small means that the PD is underestimated. ``two_sided`` doubles the
    smaller tail. Source: European Central Bank, Instructions for reporting the validation results of internal
    models (2019), section 2.5.3.1.
    """
    from scipy.special import betainc

    d, n, pd = np.broadcast_arrays(*(np.asarray(a, dtype=np.float64) for a in (defaults, totals, pds)))
    if not (np.all((d >= 0.0) & (d <= n)) and np.all((pd >= 0.0) & (pd <= 1.0))):
        raise DataError("Every grade needs 0 ≤ defaults ≤ total and a PD between 0 and 1.")
    p = np.where(n > 0.0, betainc(d + 0.5, n - d + 0.5, pd), np.nan)
    result: Floats = np.minimum(1.0, 2.0 * np.minimum(p, 1.0 - p)) if two_sided else p
    return result


def jeffreys_by_grade(
    labels: npt.ArrayLike,
    probability: npt.ArrayLike,
    grades: npt.ArrayLike,
    two_sided: bool = False,
    customers: npt.ArrayLike | None = None,
) -> tuple[GradeTest, ...]:
    """:func:`jeffreys` from rows; ``grades`` holds each row's risk grade, a whole number. Empty grades are left out.

    With ``customers`` (n,) the test counts as many rows and defaults as are independent (`design_effect`).
    """
    y, p = _pair(labels, probability)
    grade, member = np.unique(np.asarray(grades), return_inverse=True)
    if member.size != y.size:
        raise DataError(f"There are {member.size} grades for {y.size} rows; both must have the same length.")
    totals = np.bincount(member)
    defaults = np.bincount(member, weights=y)
    # A mean of equal numbers can round past 1.
    pds = np.minimum(np.bincount(member, weights=p) / totals, 1.0)
    effects = _design_effects(y - p, member, customers)
    p_values = jeffreys(defaults / effects, totals / effects, pds, two_sided)
    columns = zip(grade, totals, defaults, pds, p_values, strict=True)
    return tuple(GradeTest(int(g), int(n), int(d), float(pd), float(q)) for g, n, d, pd, q in columns)


def _design_effects(residuals: Floats, member: Ints, customers: npt.ArrayLike | None) -> Floats:
    """`design_effect` of every grade's residuals, shape (grades,)."""
    if customers is None:
        return np.ones(int(member.max()) + 1)
    names = np.asarray(customers)
    if names.shape != residuals.shape:
        raise DataError(f"There are {names.size} customers for {residuals.size} rows; give one per row.")
    return np.array(
        [design_effect(residuals[member == grade], names[member == grade]) for grade in range(int(member.max()) + 1)]
    )


def calibration_in_the_large(labels: npt.ArrayLike, probability: npt.ArrayLike) -> Coefficient:
    """Intercept α of logit P(default) = α + logit(p), slope held at 1; above 0, the PDs are too low on the whole.

    H₀: α = 0. Source: Cox, Biometrika 45 (1958) 562–565; Steyerberg, Clinical Prediction Models, 2nd ed. (2019),
    section 15.3.
    """
    defaults, p = _pair(labels, probability)
    require_both_classes(defaults)
    fit = fit_logistic(np.ones((defaults.size, 1)), defaults, offset=logit(p))
    return _coefficient(float(fit.coefficients[0]), float(fit.covariance[0, 0]), null=0.0)


def calibration_slope(labels: npt.ArrayLike, probability: npt.ArrayLike) -> Coefficient:
    """Slope β of logit P(default) = α + β·logit(p); below 1, the PDs are too extreme (overfitted).

    H₀: β = 1. Source: as :func:`calibration_in_the_large`. Refuses probabilities that are all equal.
    """
    defaults, p = _pair(labels, probability)
    require_both_classes(defaults)
    fit = fit_logistic(np.column_stack((np.ones(defaults.size), logit(p))), defaults)
    return _coefficient(float(fit.coefficients[1]), float(fit.covariance[1, 1]), null=1.0)


def _pair(labels: npt.ArrayLike, probability: npt.ArrayLike) -> tuple[Bools, Floats]:
    defaults = outcomes(labels)
    return defaults, probabilities(probability, length=defaults.size)


def _row_losses(defaults: Bools, p: Floats) -> Floats:
    kept = np.clip(p, TINY, 1.0 - TINY)
    losses: Floats = -np.log(np.where(defaults, kept, 1.0 - kept))
    return losses


def _coefficient(estimate: float, variance: float, null: float) -> Coefficient:
    std_error = math.sqrt(variance)
    z = (estimate - null) / std_error
    return Coefficient(estimate, std_error, z, min(1.0, 2.0 * normal_tail(abs(z))))
