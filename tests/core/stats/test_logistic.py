"""The small logistic regression beside SciPy's general optimiser and the definition of its covariances."""

import numpy as np
import pytest
from scipy.optimize import minimize
from scipy.special import expit

from riskloop.core.errors import DataError
from riskloop.core.stats._logistic import fit_logistic

RNG = np.random.default_rng(5)
N = 400
DESIGN = np.column_stack([np.ones(N), RNG.normal(size=N), RNG.normal(size=N)])
LABELS = RNG.random(N) < expit(DESIGN @ np.array([-1.0, 0.8, -0.3]))
WEIGHTS = RNG.integers(1, 4, N).astype(float)
OFFSET = RNG.normal(size=N)


def by_optimiser(weights: np.ndarray, offset: np.ndarray) -> np.ndarray:
    def loss(beta: np.ndarray) -> float:
        eta = DESIGN @ beta + offset
        return float(weights @ (np.logaddexp(0.0, eta) - LABELS * eta))

    return np.asarray(minimize(loss, np.zeros(3), method="BFGS", options={"gtol": 1e-9}).x)


@pytest.mark.parametrize("weights", [None, WEIGHTS])
@pytest.mark.parametrize("offset", [None, OFFSET])
def test_coefficients_are_those_of_a_general_optimiser(weights: np.ndarray | None, offset: np.ndarray | None) -> None:
    found = fit_logistic(DESIGN, LABELS, weights, offset).coefficients
    wanted = by_optimiser(np.ones(N) if weights is None else weights, np.zeros(N) if offset is None else offset)
    np.testing.assert_allclose(found, wanted, atol=1e-5)


def test_the_covariance_is_the_inverse_information_and_with_weights_the_sandwich() -> None:
    plain, weighed = fit_logistic(DESIGN, LABELS), fit_logistic(DESIGN, LABELS, WEIGHTS)
    p = expit(DESIGN @ plain.coefficients)
    np.testing.assert_allclose(plain.covariance, np.linalg.inv(DESIGN.T @ np.diag(p * (1 - p)) @ DESIGN), rtol=1e-8)
    p = expit(DESIGN @ weighed.coefficients)
    bread = np.linalg.inv(DESIGN.T @ np.diag(WEIGHTS * p * (1 - p)) @ DESIGN)
    meat = DESIGN.T @ np.diag((WEIGHTS * (LABELS - p)) ** 2) @ DESIGN
    np.testing.assert_allclose(weighed.covariance, bread @ meat @ bread, rtol=1e-8)


@pytest.mark.parametrize("column", [np.linspace(-1.0, 1.0, 40), np.zeros(40), np.full(40, 3.0)])
def test_no_finite_maximum_is_refused_in_words(column: np.ndarray) -> None:
    design = np.column_stack([np.ones(40), column])
    with pytest.raises(DataError, match="separate"):
        fit_logistic(design, np.arange(40) >= 20)


def test_a_far_start_is_reached_all_the_same() -> None:
    """From a start where nearly all is flat, a whole Newton step would leave the numbers."""
    start = DESIGN @ np.array([12.0, 0.0, 0.0])
    found = fit_logistic(DESIGN, LABELS, offset=start).coefficients
    np.testing.assert_allclose(found + np.array([12.0, 0.0, 0.0]), fit_logistic(DESIGN, LABELS).coefficients, rtol=1e-6)
