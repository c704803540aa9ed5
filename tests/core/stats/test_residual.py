"""What the features say beside a score, against brute force, quadrature and simulation."""

import numpy as np
import pytest
from scipy import integrate, linalg, optimize, stats
from scipy.special import expit, logit

from riskloop.core.errors import DataError
from riskloop.core.stats.residual import HARMLESS, HARMS, LEARNED, Residual, residual_evidence
from riskloop.core.types import Bools, Floats


def sample(seed: int, beside: Floats, rows: int = 800) -> tuple[Bools, Floats, Floats]:
    rng = np.random.default_rng(seed)
    directions = rng.standard_normal((rows, beside.size))
    odds = -1.2 + rng.standard_normal(rows) + 0.5 * directions[:, 0]
    defaults = rng.random(rows) < expit(odds + directions @ beside)
    return defaults, expit(odds), directions


@pytest.mark.parametrize("seed", [1, 2, 3])
def test_score_and_information_are_the_likelihoods_derivatives(seed: int) -> None:
    defaults, p, directions = sample(seed, np.array([0.3, 0.0, -0.2]), 300)
    design = np.column_stack((np.ones(300), logit(p), directions))

    def loss(beta: Floats) -> float:
        eta = design @ beta
        return float(np.sum(np.logaddexp(0.0, eta) - defaults * eta))

    line = optimize.minimize(lambda b: loss(np.array([*b, 0.0, 0.0, 0.0])), [0.0, 1.0], tol=1e-12).x
    at = np.array([*line, 0.0, 0.0, 0.0])
    gradient = optimize.approx_fprime(at, loss, 1e-7)
    hessian = np.array([optimize.approx_fprime(at, lambda b, k=k: optimize.approx_fprime(b, loss, 1e-5)[k], 1e-4) for k in range(5)])  # fmt: skip  # noqa: E501
    schur = hessian[2:, 2:] - hessian[2:, :2] @ np.linalg.solve(hessian[:2, :2], hessian[:2, 2:])
    found = Residual.of(defaults, p, directions)
    np.testing.assert_allclose(found.score, -gradient[2:], atol=2e-2)
    np.testing.assert_allclose(found.information, schur, rtol=2e-2, atol=0.2)


def test_who_has_an_outcome_by_the_score_moves_nothing() -> None:
    """With nothing beside the score, the statistic is χ² among the approved as among all."""
    found = []
    for seed in range(300):
        defaults, p, directions = sample(seed, np.zeros(3), 600)
        for known in (p < 2.0, p < 0.3):
            one = Residual.of(defaults[known], p[known], directions[known])
            found.append((float(one.score @ np.linalg.solve(one.information, one.score)), bool(known.all())))
    for whole in (True, False):
        values = [value for value, everybody in found if everybody is whole]
        assert stats.kstest(values, stats.chi2(3).cdf).pvalue > 0.01


def test_another_level_or_slope_leaves_nothing() -> None:
    defaults, p, directions = sample(5, np.zeros(3))
    one, other = (Residual.of(defaults, expit(a + b * logit(p)), directions) for a, b in ((0.0, 1.0), (-0.7, 2.5)))
    np.testing.assert_allclose(one.score, other.score, atol=1e-6)
    np.testing.assert_allclose(one.information, other.information, rtol=1e-6)


def test_the_evidence_is_the_ratio_of_marginal_likelihoods() -> None:
    window = Residual(np.array([14.0]), np.array([[60.0]]))
    history = Residual(np.array([30.0]), np.array([[900.0]]))
    usual = 30.0 / 900.0

    def marginal(variance: float) -> float:
        def density(gamma: float) -> float:
            return float(
                stats.norm.pdf(14.0, 60.0 * gamma, np.sqrt(60.0)) * stats.norm.pdf(gamma, usual, np.sqrt(variance))
            )

        return float(integrate.quad(density, -4.0, 4.0, epsabs=1e-12, points=[usual])[0])

    calm = LEARNED / 900.0 + HARMLESS**2
    wanted = np.mean([marginal(calm + harm**2) / marginal(calm) for harm in HARMS])
    evidence, latest = residual_evidence([window], history, np.ones(1))
    assert evidence == latest == pytest.approx(wanted, rel=1e-5)


def some_windows(seed: int, count: int, size: int = 3) -> tuple[list[Residual], Residual, Floats]:
    rng = np.random.default_rng(seed)

    def informed(rows: float) -> Floats:
        root = rng.standard_normal((size, size + 3))
        return np.asarray(rows / (size + 3) * root @ root.T)

    history = Residual(10.0 * rng.standard_normal(size), informed(400.0))
    windows = [Residual(8.0 * rng.standard_normal(size), informed(60.0)) for _ in range(count)]
    spread = rng.random(size)
    return windows, history, spread / spread.sum()


@pytest.mark.parametrize("again", [0.0, 0.4])
@pytest.mark.parametrize("seed", [1, 2, 3])
def test_the_evidence_is_that_of_all_windows_together(seed: int, again: float) -> None:
    """Score vectors of all windows in one normal distribution, changed since each window or harmlessly so."""
    windows, history, spread = some_windows(seed, 4)
    size, known = spread.size, np.linalg.inv(history.information)
    each = np.concatenate([w.score for w in windows])
    blocks = np.concatenate([w.information for w in windows])  # the scores' means are these times the coefficients
    noise = linalg.block_diag(*(w.information for w in windows))
    shared = again * np.linalg.inv(np.mean([w.information for w in windows], axis=0))
    usual = blocks @ (LEARNED * known + shared) @ blocks.T

    def likelihood(since: int, deviation: float) -> float:
        moved = blocks.copy()
        moved[: since * size] = 0.0
        covariance = noise + usual + deviation**2 * moved @ np.diag(spread) @ moved.T
        return float(stats.multivariate_normal.logpdf(each, blocks @ known @ history.score, covariance))

    wanted = [
        np.mean([np.exp(likelihood(k, np.hypot(harm, HARMLESS)) - likelihood(k, HARMLESS)) for harm in HARMS])
        for k in range(len(windows))
    ]
    evidence, latest = residual_evidence(windows, history, spread, again=again)
    assert evidence == pytest.approx(sum(wanted), rel=1e-4)
    assert latest == pytest.approx(wanted[-1], rel=1e-4)


def test_no_window_is_no_evidence() -> None:
    assert residual_evidence([], Residual(np.zeros(2), np.eye(2)), np.full(2, 0.5)) == (0.0, 0.0)


def test_windows_before_a_change_make_it_clearer_and_what_they_share_makes_none() -> None:
    history, spread = Residual(np.zeros(2), 60.0 * np.eye(2)), np.array([0.5, 0.5])
    calm, odd = (Residual(np.array([at, 0.0]), 100.0 * np.eye(2)) for at in (0.0, 45.0))
    alone = residual_evidence([odd, odd], history, spread, again=0.5)[0]
    assert residual_evidence([calm, calm, calm, odd, odd], history, spread, again=0.5)[0] > 5.0 * alone
    # The same customers show the same every month: that is no change.
    assert residual_evidence([odd] * 8, history, spread, again=0.9)[0] < 20.0


@pytest.mark.parametrize("lasting", [0.3, 0.7])
def test_a_panel_in_which_nothing_changes_is_not_called(lasting: float) -> None:
    """The same customers each month, given to default by more than their PDs say, as they are in the history."""
    rng, spread, rows, alarms, ratios = np.random.default_rng(0), np.full(3, 1 / 3), 600, 0, []
    for _ in range(100):
        directions, odds = rng.standard_normal((rows, 3)), rng.standard_normal(rows) - 1.2
        own = np.sqrt(lasting) * rng.standard_normal(rows)

        def month(directions: Floats = directions, odds: Floats = odds, own: Floats = own) -> Bools:
            latent = own + np.sqrt(1.0 - lasting) * rng.standard_normal(rows)
            return np.asarray(latent < stats.norm.ppf(expit(odds)))

        past = np.concatenate([month() for _ in range(4)])
        who = np.tile(np.arange(rows), 4)
        history = Residual.of(past, np.tile(expit(odds), 4), np.tile(directions, (4, 1)), who)
        windows = [Residual.of(month(), expit(odds), directions) for _ in range(8)]
        each = [residual_evidence(windows[: k + 1], history, spread, again=history.again) for k in range(8)]
        alarms += any(evidence >= 50.0 for evidence, _ in each)
        ratios += [last for _, last in each]
    assert np.mean(ratios) < 1.1
    assert alarms <= 2


@pytest.mark.parametrize("rows", [60, 1_000])
def test_nothing_changed_gives_a_mean_of_one_at_most_and_few_alarms(rows: int) -> None:
    """With the error of history and champion drawn anew each time, as the promise is over champions."""
    rng, spread = np.random.default_rng(0), np.full(3, 1 / 3)
    ratios, alarms = [], 0
    for seed in range(150):
        past = Residual.of(*sample(10_000 + seed, np.zeros(3), 4_000))
        wrong = rng.multivariate_normal(np.zeros(3), np.linalg.inv(past.information))  # of the champion
        windows = [Residual.of(*sample(1_000 * seed + k, wrong, rows)) for k in range(8)]
        ratios += [residual_evidence([one], past, spread)[0] for one in windows]
        alarms += any(residual_evidence(windows[: k + 1], past, spread)[0] >= 50.0 for k in range(8))
    assert np.mean(ratios) < 1.1
    assert alarms <= 2


@pytest.mark.parametrize("lasting", [0.0, 0.5, 0.9])
@pytest.mark.parametrize("times", [2, 6, 12])
def test_a_customers_rows_are_one_witness(times: int, lasting: float) -> None:
    """The covariance of the score vector over many samples of customers, beside what one sample says of it."""
    rng, customers = np.random.default_rng(times), 300
    scores, told = [], []
    for _ in range(120):
        who = np.repeat(np.arange(customers), times)
        directions = np.repeat(rng.standard_normal((customers, 2)), times, axis=0)
        latent = np.sqrt(lasting) * np.repeat(rng.standard_normal(customers), times)
        odds = rng.standard_normal(who.size)
        chance = expit(odds - 1.2)
        defaults = latent + np.sqrt(1.0 - lasting) * rng.standard_normal(who.size) < stats.norm.ppf(chance)
        plain, one = Residual.of(defaults, chance, directions), Residual.of(defaults, chance, directions, who)
        scores.append(np.linalg.solve(np.linalg.cholesky(plain.information), plain.score))
        told.append((plain.information[0, 0] / one.information[0, 0], one.again))
    effect, again = np.mean(told, axis=0)
    wanted = float(np.square(scores).mean())
    assert effect == pytest.approx(wanted, rel=0.25)
    assert again == pytest.approx((wanted - 1.0) / (times - 1), abs=0.05 + 0.3 / (times - 1))


def test_customers_who_come_once_change_nothing_and_one_customer_is_one_witness() -> None:
    defaults, p, directions = sample(9, np.zeros(3))
    plain, once = Residual.of(defaults, p, directions), Residual.of(defaults, p, directions, np.arange(p.size))
    np.testing.assert_array_equal(plain.information, once.information)
    assert once.again == 0.0
    # A copy of each row says nothing new: all are worth half.
    rows = np.repeat(np.arange(p.size), 2)
    twice = Residual.of(defaults[rows], p[rows], directions[rows], rows)
    np.testing.assert_allclose(twice.information, plain.information, rtol=0.15)
    assert twice.again == pytest.approx(1.0, abs=0.15)


def test_without_a_line_nothing_is_said() -> None:
    with pytest.raises(DataError):
        Residual.of(np.array([True, False]), np.array([0.9, 0.1]), np.ones((2, 1)))
