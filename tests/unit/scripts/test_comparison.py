"""The comparison is fair: nobody trains on held-out days, and all are scored on the same ones."""

from dataclasses import replace
from datetime import timedelta
from itertools import combinations

import numpy as np
import polars as pl
import pytest

from node.evaluation.metrics import Metrics, measure
from node.learning.training import TrainingSettings
from node.market.cleaning import clean
from node.market.samples import Samples
from node.market.synthetic import market
from node.models.formulas import FORMULAS, quadratic_smile
from node.models.smile import SMILE
from protocol.errors import DataError
from protocol.numbers import to_float
from scripts import comparison
from scripts.comparison import Comparison, Contestants, Market, Scores, compare, smiles

pytestmark = pytest.mark.unit

SHIFT = 16
SETTINGS = TrainingSettings(rounds=2, steps_per_round=3, batch_size=64)


@pytest.fixture(scope="module")
def chain() -> pl.DataFrame:
    return clean(market(3, days=12)).quotes


@pytest.fixture(scope="module")
def divided(chain: pl.DataFrame) -> Market:
    return Market.of(chain, "desks", 3, 3)


@pytest.fixture(scope="module")
def genesis() -> np.ndarray:
    return to_float(SMILE.genesis(0, SHIFT), SHIFT)


def metrics(rmse: float) -> Metrics:
    return Metrics(1, rmse, rmse, rmse, rmse, rmse, 0.5, rmse, rmse)


def scores(test: float, stress: float) -> Scores:
    return Scores(metrics(test), metrics(stress))


def moments(samples: Samples) -> set[int]:
    return set(samples.snapshot.tolist())


def test_training_validation_test_and_stress_share_no_snapshot(divided):
    windows = [divided.pooled, divided.validation, divided.test, divided.stress]

    for one, other in combinations(map(moments, windows), 2):
        assert not one & other


def test_desks_together_hold_exactly_the_training_quotes(divided):
    joined = Samples.join(*divided.own, divided.anchors)

    assert len(divided.own) == 3
    assert len(joined) == len(divided.pooled)
    assert moments(joined) == moments(divided.pooled)


def test_every_desk_trains_on_its_own_quotes_and_on_the_public_anchors(divided):
    assert [len(desk) - len(divided.anchors) for desk in divided.desks] == list(
        map(len, divided.own)
    )


@pytest.mark.parametrize(
    ("window", "changes"),
    [
        ("validation", {"validation_end": "train_end"}),
        ("test", {"test_end": "test_start"}),
        ("stress", {"stress_end": "stress_start"}),
    ],
)
def test_data_without_a_held_out_window_is_refused(chain, divided, monkeypatch, window, changes):
    empty = replace(
        divided.split, **{end: getattr(divided.split, at) for end, at in changes.items()}
    )
    monkeypatch.setattr(comparison, "split_for", lambda _panel: empty)

    with pytest.raises(DataError, match=f"the {window} window has no quotes"):
        Market.of(chain, "desks", 3, 3)


def test_quotes_are_divided_at_the_times_that_are_told(chain, divided):
    earlier = replace(divided.split, train_end=divided.split.train_end - timedelta(days=2))
    told = Market.of(chain, "desks", 3, 3, earlier)

    assert told.split == earlier
    assert len(told.pooled) < len(divided.pooled)
    assert len(told.validation) > len(divided.validation)
    assert moments(told.test) == moments(divided.test)


def test_stress_days_are_neither_trained_nor_chosen_on_wherever_they_lie(chain, divided):
    split = divided.split
    about_the_end = timedelta(days=1)
    moved = replace(
        split,
        stress_start=split.train_end - about_the_end,
        stress_end=split.train_end + about_the_end,
    )
    told = Market.of(chain, "desks", 3, 3, moved)

    assert len(told.stress)
    assert not moments(told.stress) & (moments(told.pooled) | moments(told.validation))


def test_dates_before_all_quotes_leave_nothing_to_train_on(chain, divided):
    before = divided.split.train_end - timedelta(days=400)
    with pytest.raises(DataError, match="no quotes are left to train on"):
        Market.of(chain, "desks", 3, 3, replace(divided.split, train_end=before))


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
