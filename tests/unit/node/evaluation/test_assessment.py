"""Scores of models and seeds are summed up to one tree, ratios and best desks formed by window."""

import json
import math
from dataclasses import replace

import numpy as np
import pytest

from node.evaluation.assessment import (
    CENTRAL,
    CONDITIONS,
    FEDERATED,
    SeedScores,
    Window,
    hedged_along_smile,
    on_books,
    plain,
    score,
    summarise,
    violations,
)
from node.evaluation.audit import audit
from node.evaluation.books import book_weights
from node.evaluation.bootstrap import Estimate
from node.evaluation.hedging import open_positions
from node.evaluation.metrics import CELLS, by_cell, measure
from node.market.panel import Floats
from node.market.quotes import MICROSECONDS_PER_DAY
from node.market.samples import Samples
from node.market.split import split_for
from node.models.formulas import quadratic_smile, term_structure
from tests.unit.node.small_market import panel, quotes, samples

pytestmark = pytest.mark.unit


@pytest.fixture(scope="module")
def window() -> Window:
    held_out = split_for(panel()).test(samples())
    moments = np.unique(held_out.snapshot)
    at = quotes()["timestamp"].dt.epoch("us").is_in(moments.tolist())
    # Here the cleaned quotes serve as the whole chain, which has more.
    return Window.of(held_out, open_positions(quotes().filter(at), panel(), quotes()), panel())


def off_by(vol_points: float):
    def price(asked: Samples) -> Floats:
        return asked.target_vol + vol_points / 100.0

    return price


def books(window: Window) -> list[Floats]:
    found = window.samples
    return [
        book_weights(found.take(found.is_btc), found),
        book_weights(found.take(~found.is_btc), found),
    ]


UNAIDED = [6.0, 8.0]


def seed_of(window: Window, federated: float, central: float, desks: list[float]) -> SeedScores:
    scored = {
        error: score(off_by(error), window, books(window))
        for error in (federated, central, *desks, *UNAIDED)
    }
    return SeedScores(
        models={FEDERATED: scored[federated], CENTRAL: scored[central]},
        alone={
            "local": tuple(scored[error] for error in desks),
            "unaided": tuple(scored[error] for error in UNAIDED),
        },
        own={},
        violations={},
        along_smile_bp={},
    )


def test_window_holds_its_own_panels_and_days(window):
    assert set(window.panel.snapshot.tolist()) == set(window.samples.snapshot.tolist())
    assert len(window.days) == np.unique(window.samples.snapshot // MICROSECONDS_PER_DAY).size


def test_scores_begin_with_the_window_s_own(window):
    vols = term_structure(window.samples)
    found = score(term_structure, window, books(window))
    assert found.metrics["rmse"][0] == pytest.approx(measure(vols, window.samples).rmse)
    for cell in by_cell(vols, window.samples):
        where = (cell.coin, cell.tenor_days, cell.z)
        place = [(each.coin, each.tenor_days, each.z) for each in CELLS].index(where)
        assert found.cells[0, place] == pytest.approx(cell.metrics.rmse)
    btc = window.samples.is_btc
    alone = measure(vols[btc], window.samples.take(btc))
    assert found.books[0, 0] == pytest.approx(alone.rmse)


def test_mean_best_and_worst_desk_stand_beside_the_shared_models(window):
    found = summarise(window, [seed_of(window, 1.0, 2.0, [3.0, 5.0])]).metrics["rmse"]
    means = {name: round(estimate.mean, 6) for name, estimate in found.items()}
    assert means == {
        "federated": 1.0,
        "central": 2.0,
        "local_mean": 4.0,
        "local_best": 3.0,
        "local_worst": 5.0,
        "unaided_mean": 7.0,
        "unaided_best": 6.0,
        "unaided_worst": 8.0,
    }


def test_the_best_desk_has_most_quotes_inside_the_spread(window):
    inside = summarise(window, [seed_of(window, 1.0, 2.0, [0.0, 50.0])]).metrics["inside_spread"]
    assert inside["local_worst"].mean == 0.0
    assert inside["local_best"].mean > 0.8


def test_seeds_are_averaged_and_ratios_taken_within_each(window):
    seeds = [seed_of(window, 1.0, 2.0, [4.0, 5.0]), seed_of(window, 3.0, 3.0, [6.0, 4.0])]
    found = summarise(window, seeds)
    assert found.metrics["rmse"][FEDERATED].mean == pytest.approx(2.0)
    assert found.metrics["rmse"][FEDERATED].seeds == pytest.approx((1.0, 3.0))
    assert found.rmse_ratios["federated_to_central"].seeds == pytest.approx((0.5, 1.0))
    assert found.rmse_ratios["federated_to_local_best"].seeds == pytest.approx((0.25, 0.75))
    assert "central_to_quadratic" not in found.rmse_ratios


def test_a_book_shows_the_desk_s_own_model_and_the_worst_is_named(window):
    found = summarise(window, [seed_of(window, 1.0, 2.0, [3.0, 5.0])])
    own = [round(book["local"].mean, 6) for book in found.books]
    assert own == [3.0, 5.0]
    assert found.worst_book["local"].mean == pytest.approx(5.0)
    assert found.worst_book[FEDERATED].mean == pytest.approx(1.0)


def test_other_models_of_their_own_are_measured_on_their_desks_books(window):
    heads = (off_by(0.5), off_by(0.7))
    errors = tuple(
        on_books(price, window, books(window))[:, desk] for desk, price in enumerate(heads)
    )
    seed = replace(seed_of(window, 1.0, 2.0, [3.0, 5.0]), own={"head": errors})
    found = summarise(window, [seed])
    assert [round(book["head"].mean, 6) for book in found.books] == [0.5, 0.7]
    assert found.worst_book["head"].mean == pytest.approx(0.7)


def test_cells_hold_every_quote_that_lies_in_one(window):
    found = summarise(window, [seed_of(window, 1.0, 2.0, [3.0])])
    assert sum(cell.quotes for cell in found.cells) == len(window.samples)
    assert {round(cell.rmse_vol_points[CENTRAL].mean, 6) for cell in found.cells} == {2.0}


def test_a_hedge_stands_beside_none_and_the_exchange_s(window):
    seed = seed_of(window, 0.0, 2.0, [3.0])
    along = {FEDERATED: hedged_along_smile(term_structure, window)}
    found = summarise(window, [replace(seed, along_smile_bp=along)]).day_pnl_deviation_bp["BTC"]
    assert set(found) == {
        "unhedged",
        "exchange",
        "federated",
        "central",
        "federated_along_smile",
    }
    assert found["federated"].mean < 0.7 * found["unhedged"].mean
    assert found["federated"].mean == pytest.approx(found["exchange"].mean, rel=0.05)


def test_violations_are_those_of_the_days_audits(window):
    found = violations(quadratic_smile, window)
    assert set(found) == set(CONDITIONS)
    of_day = window.panel.snapshot // MICROSECONDS_PER_DAY
    audits = [
        audit(quadratic_smile, window.panel.take(of_day == day), panels=2)
        for day in np.unique(of_day)
    ]
    for name in CONDITIONS:
        assert found[name].shape == (1001,)
        assert found[name][0] == pytest.approx(np.mean([getattr(each, name) for each in audits]))


def test_a_result_is_json_and_what_is_not_finite_is_null(window):
    found = summarise(window, [seed_of(window, 1.0, 2.0, [3.0])])
    tree = json.loads(json.dumps(plain(found), allow_nan=False))
    assert tree["cells"][0]["z"][0] is None
    assert tree["metrics"]["rmse"]["federated"]["mean"] == pytest.approx(1.0)
    low, high = tree["metrics"]["rmse"]["federated"]["ci95"]
    assert low == pytest.approx(1.0)
    assert high == pytest.approx(1.0)
    empty = replace(found, worst_book={"local": Estimate(math.nan, (math.nan, math.nan), ())})
    assert plain(empty)["worst_book"]["local"] == {"mean": None, "ci95": [None, None], "seeds": []}
