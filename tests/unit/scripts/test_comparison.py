"""The comparison is fair: all are scored on the same held-out quotes."""

from dataclasses import replace

import numpy as np
import pytest

from node.evaluation.books import book_weights
from node.evaluation.metrics import Metrics, measure
from node.learning.alone import versions
from node.learning.division import Market
from node.learning.training import TrainingSettings
from node.market.cleaning import clean
from node.market.synthetic import market
from node.models.formulas import FORMULAS, quadratic_smile
from node.models.smile import SMILE
from protocol.numbers import to_float
from scripts.comparison import Comparison, Contestants, Scores, compare, smiles

pytestmark = pytest.mark.unit

SHIFT = 16
SETTINGS = TrainingSettings(rounds=2, steps_per_round=3, batch_size=64)


@pytest.fixture(scope="module")
def divided() -> Market:
    return Market.of(clean(market(3, days=12)).quotes).divided("desks", 3, 3)


@pytest.fixture(scope="module")
def genesis() -> np.ndarray:
    return to_float(SMILE.genesis(0, SHIFT), SHIFT)


def metrics(rmse: float) -> Metrics:
    return Metrics(1, rmse, rmse, rmse, rmse, rmse, rmse, 0.5, rmse, rmse)


def scores(test: float, stress: float) -> Scores:
    return Scores(metrics(test), metrics(stress))


@pytest.fixture(scope="module")
def trained(divided: Market, genesis: np.ndarray) -> tuple[Contestants, list[str]]:
    said: list[str] = []
    settings, progress = SETTINGS, said.append
    return (
        Contestants.trained(divided, genesis, genesis, settings, seed=1, progress=progress),
        said,
    )


def test_every_model_is_scored_on_the_same_held_out_quotes(divided, genesis, trained):
    contestants, said = trained
    found = compare(divided, contestants)

    for window in ("test", "stress"):
        held = getattr(divided, window)
        federated = measure(SMILE.predict(genesis, held), held)
        assert getattr(found.federated, window) == federated
    everything = [found.federated, found.central, *found.local, *found.formulas.values()]
    assert {each.test.quotes for each in everything} == {len(divided.test)}
    assert {each.stress.quotes for each in everything} == {len(divided.stress)}
    assert len(found.local) == 3
    assert set(found.formulas) == set(FORMULAS)
    assert "training on all data together" in said
    best = measure(found.best_desk(divided.test), divided.test)
    assert best.rmse == min(each.test.rmse for each in found.local)


def test_shared_models_go_by_name_beside_the_baselines(trained):
    contestants, _ = trained

    assert set(contestants.shared) == {"federated", "central", *FORMULAS}
    assert contestants.shared["central"] is contestants.central


def test_summary_names_the_best_the_worst_and_the_mean_desk_in_both_windows():
    found = Comparison(
        federated=scores(1.0, 2.0),
        central=scores(0.9, 1.9),
        local=(scores(3.0, 9.0), scores(2.0, 8.0), scores(7.0, 7.0)),
        formulas={"quadratic": scores(1.5, 2.5)},
        best_desk=quadratic_smile,
    )
    assert found.rmse_vol_points() == {
        "federated": 1.0,
        "central": 0.9,
        "local_mean": 4.0,
        "local_best": 2.0,
        "local_worst": 7.0,
        "quadratic": 1.5,
        "stress": {
            "federated": 2.0,
            "central": 1.9,
            "local_mean": 8.0,
            "local_best": 7.0,
            "local_worst": 9.0,
            "quadratic": 2.5,
        },
    }


def test_a_desk_alone_is_stopped_by_its_own_book_of_the_validation_days(divided, genesis):
    first, last = versions(genesis, divided.desks[0], SETTINGS, seed=1)
    held, known = divided.test, divided.validation
    # Its own book has the first round's answers, the other quotes the last one's.
    in_book = book_weights(divided.own[0], known) > 0
    target = np.where(in_book, SMILE.predict(first, known), SMILE.predict(last, known))
    priced = replace(divided, validation=replace(known, target_vol=target))
    found = Contestants.trained(priced, genesis, genesis, SETTINGS, seed=1, progress=str)
    np.testing.assert_array_equal(found.local[0](held), SMILE.predict(first, held))


@pytest.mark.parametrize("is_btc", [True, False])
def test_picture_is_one_expiry_of_one_coin_in_order_of_strike(divided, is_btc):
    drawn = smiles([("quadratic", quadratic_smile)], divided.test, is_btc=is_btc)

    assert drawn["coin"] == ("BTC" if is_btc else "ETH")
    assert drawn["log_moneyness"] == sorted(drawn["log_moneyness"])
    length = len(drawn["log_moneyness"])
    assert length > 3
    assert {len(drawn[name]) for name in ("mark", "bid", "ask")} == {length}
    assert len(drawn["models"]["quadratic"]) == length
    days = divided.test.tenor_days[divided.test.is_btc == is_btc]
    assert np.abs(days - drawn["days"]).min() < 0.1
    latest = divided.test.snapshot == divided.test.snapshot.max()
    known = set(divided.test.target_vol[latest].tolist())
    assert set(drawn["mark"]) <= known
