from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from node import baselines, smile
from node.baselines import (
    FORMULAS,
    LOWEST_VOL,
    flat,
    quadratic_smile,
    term_structure,
    train_alone,
    train_boosting,
    train_central,
)
from node.cleaning import clean
from node.deribit_parquet import read_chains
from node.evaluation import measure
from node.features import RECORDED_SPLIT, build_samples
from node.panel import build_panel
from node.quotes import DAYS_PER_YEAR
from node.training import TrainingSettings, train_locally
from protocol import numbers
from tests.unit.node.small_market import frame, quote, samples

pytestmark = pytest.mark.unit

RECORDED = Path(__file__).parents[4] / "shared" / "data" / "deribit_chains"
GENESIS = numbers.to_float(smile.genesis(0), smile.DEFAULT_SHIFT)
OUT_BIAS = smile.spec().dimension - smile.WIDTH - 1
"""Sorted names end with out.bias, out.weight."""
SHORT = TrainingSettings(rounds=3, steps_per_round=10, batch_size=64, learning_rate=3e-3)


def variance(z):
    return 0.36 - 0.03 * z + 0.02 * z**2


def parabola():
    """Samples whose variance is exactly quadratic in z, the same at every expiry."""
    rows = []
    for days in (1.0, 3.0, 12.0, 45.0, 120.0, 300.0):
        sigma = np.sqrt(variance(0.0) * days / DAYS_PER_YEAR)
        rows.extend(
            quote(days, 100.0 * np.exp(z * sigma), np.sqrt(variance(z)))
            for z in np.linspace(-3.0, 3.0, 13)
        )
    # The panel reads the wings at exactly one standard deviation, which is among the strikes.
    quotes = frame(rows)
    return build_samples(quotes, build_panel(quotes))


def test_the_quadratic_smile_reproduces_a_quadratic_variance():
    exact = parabola()
    np.testing.assert_allclose(quadratic_smile(exact), exact.target_vol, rtol=1e-6)


def test_the_quadratic_smile_passes_through_the_panel():
    for column, z in enumerate((-1.0, 0.0, 1.0)):
        moved = replace(samples(), z=np.full(len(samples()), z))
        np.testing.assert_allclose(quadratic_smile(moved), samples().panel_vols[:, column])


def test_the_quadratic_smile_never_leaves_the_positive_numbers():
    frowning = np.tile([0.3, 0.5, 0.3], (len(samples()), 1))
    far = replace(samples(), panel_vols=frowning, z=np.full(len(samples()), 9.0))
    assert (quadratic_smile(far) == LOWEST_VOL).all()


def test_each_formula_sees_more_of_the_panel_and_errs_less():
    error = {name: measure(price(samples()), samples()).rmse for name, price in FORMULAS.items()}
    assert error["quadratic"] < error["term_structure"] < error["flat"]


def test_flat_is_one_volatility_a_coin_and_snapshot():
    found = samples()
    first = (found.snapshot == found.snapshot[0]) & found.is_btc
    assert np.unique(flat(found)[first]).size == 1
    assert np.unique(term_structure(found)[first]).size > 5


def test_boosting_learns_from_its_samples_and_prices_others():
    found = samples()
    early = found.snapshot < np.median(found.snapshot)
    price = train_boosting(found.take(early), seed=0, trees=40)
    late = found.take(~early)
    learned, formula = measure(price(late), late), measure(term_structure(late), late)
    assert learned.rmse < 0.6 * formula.rmse


def counted(monkeypatch):
    steps = []

    def train(vector, samples, settings, **_):
        steps.append((settings.steps_per_round, len(samples)))
        return real(vector, samples, settings, seed=0)

    real = baselines.train_locally
    monkeypatch.setattr(baselines, "train_locally", train)
    return steps


def test_the_central_model_takes_as_many_steps_as_all_participants(monkeypatch):
    steps = counted(monkeypatch)
    train_central(GENESIS, samples(), SHORT, participants=5, validation=samples(), seed=1)
    assert steps == [(50, len(samples()))] * 3


def test_a_desk_alone_takes_as_many_steps_as_in_the_federation(monkeypatch):
    steps = counted(monkeypatch)
    train_alone(GENESIS, samples(), SHORT, seed=1)
    assert steps == [(10, len(samples()))] * 3


def test_the_central_model_is_its_best_round_on_validation(monkeypatch):
    rounds = iter(GENESIS + bias * (np.arange(GENESIS.size) == OUT_BIAS) for bias in (3, 0.01, 2))
    outcome = train_locally(GENESIS, samples(), replace(SHORT, steps_per_round=1), seed=1)
    found = [replace(outcome, vector=vector) for vector in rounds]
    monkeypatch.setattr(baselines, "train_locally", lambda *_, **__: answers.pop(0))
    answers = list(found)
    kept = train_central(GENESIS, samples(), SHORT, participants=5, validation=samples(), seed=1)
    np.testing.assert_array_equal(kept, found[1].vector)


def test_training_alone_is_reproducible_and_learns():
    first = train_alone(GENESIS, samples(), SHORT, seed=1)
    np.testing.assert_array_equal(train_alone(GENESIS, samples(), SHORT, seed=1), first)
    vols = smile.predict(first, samples().x, samples().atm_vol)
    formula = measure(term_structure(samples()), samples())
    assert measure(vols, samples()).rmse < formula.rmse


@pytest.mark.data
@pytest.mark.skipif(not RECORDED.is_dir(), reason=f"no recorded chains in {RECORDED}")
def test_formulas_err_on_recorded_june_as_measured_before():
    quotes = clean(read_chains(RECORDED, start=RECORDED_SPLIT.test_start)).quotes
    june = build_samples(quotes, build_panel(quotes))
    found = {name: measure(price(june), june).rmse for name, price in FORMULAS.items()}
    wanted = {"flat": 10.296, "term_structure": 8.657, "quadratic": 1.886}
    assert found == pytest.approx(wanted, abs=2e-3)
