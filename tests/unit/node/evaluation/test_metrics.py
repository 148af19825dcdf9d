from dataclasses import asdict, replace

import numpy as np
import pytest

from node.evaluation.bootstrap import Days
from node.evaluation.metrics import CELLS, by_cell, cell_of, measure, measure_redrawn
from node.market.split import split_for
from node.models.architecture import DEFAULT_SHIFT
from node.models.formulas import term_structure
from protocol.errors import DataError
from tests.unit.node.small_market import panel, samples

pytestmark = pytest.mark.unit

SHIFT = DEFAULT_SHIFT


def held_out():
    return split_for(panel()).validation(samples())


def test_a_perfect_model_has_no_error_and_prices_inside_the_spread():
    found = measure(samples().target_vol, samples())
    assert (found.rmse, found.mae, found.p95) == (0.0, 0.0, 0.0)
    assert found.quotes == len(samples())
    assert found.inside_spread > 0.9


def test_errors_are_in_vol_points():
    found = measure(samples().target_vol + 0.02, samples())
    assert (found.rmse, found.mae, found.p95) == pytest.approx((2.0, 2.0, 2.0))


def test_large_errors_count_more_in_the_root_mean_square():
    vols = samples().target_vol.copy()
    vols[: len(vols) // 10] += 0.10
    found = measure(vols, samples())
    assert found.mae == pytest.approx(1.0, rel=1e-3)
    assert found.rmse == pytest.approx(np.sqrt(10.0), rel=1e-3)
    assert found.p95 == pytest.approx(10.0)


def test_mid_errors_are_against_the_mid():
    found = measure(samples().mid_vol, samples())
    assert (found.rmse_mid, found.mae_mid, found.p95_mid) == (0.0, 0.0, 0.0)
    assert found.rmse > 0.0
    assert found.p95 > 0.0
    assert found.inside_spread == 1.0


def test_a_quote_outside_bid_and_ask_is_not_inside():
    wide = replace(samples(), bid_vol=samples().target_vol, ask_vol=samples().target_vol + 0.01)
    above, below = samples().target_vol + 0.02, samples().target_vol - 0.01
    half = np.where(np.arange(len(wide)) % 2 == 0, samples().target_vol + 0.005, above)
    assert measure(above, wide).inside_spread == measure(below, wide).inside_spread == 0.0
    assert measure(half, wide).inside_spread == pytest.approx(0.5, abs=1e-3)


def test_no_quotes_or_a_wrong_count_are_refused():
    with pytest.raises(DataError, match="one volatility"):
        measure(samples().target_vol[:-1], samples())
    nothing = samples().take(np.array([], dtype=np.int64))
    with pytest.raises(DataError, match="0 quotes"):
        measure(nothing.target_vol, nothing)


def test_every_quote_is_in_exactly_one_cell():
    vols = term_structure(samples())
    cells = by_cell(vols, samples())
    assert sum(cell.metrics.quotes for cell in cells) == len(samples())
    squares = sum(cell.metrics.quotes * cell.metrics.rmse**2 for cell in cells)
    whole = measure(vols, samples())
    assert squares / len(samples()) == pytest.approx(whole.rmse**2)
    assert {cell.coin for cell in cells} == {"BTC", "ETH"}


def test_a_cell_holds_the_quotes_between_its_edges():
    cell = by_cell(term_structure(samples()), samples())[-1]
    found = samples()
    inside = ~found.is_btc
    inside &= (found.tenor_days >= cell.tenor_days[0]) & (found.tenor_days < cell.tenor_days[1])
    inside &= (found.z >= cell.z[0]) & (found.z < cell.z[1])
    assert cell.coin == "ETH"
    assert cell.metrics.quotes == inside.sum()


def test_premiums_err_in_basis_points_of_the_forward():
    # At the money and with a small total volatility s, a premium is s / sqrt(2 pi) of the forward:
    # one vol point at a quarter of a year is 0.01 x 0.5 / sqrt(2 pi) = 19.95 basis points.
    one = samples().take(slice(0, 1))
    at = replace(one, strike=one.forward, years=np.array([0.25]), target_vol=np.array([0.20]))
    found = measure(np.array([0.21]), at)
    assert found.price_mae_bp == found.price_rmse_bp == pytest.approx(19.95, rel=2e-3)


def test_statistics_begin_with_the_metrics_of_the_window():
    found = samples()
    vols = term_structure(found)
    statistics = measure_redrawn(vols, found, Days(found.snapshot, draws=20))
    whole = asdict(measure(vols, found))
    assert set(statistics) == set(whole) - {"quotes"}
    for name, values in statistics.items():
        assert values.shape == (21,)
        assert values[0] == pytest.approx(whole[name])
        assert values.min() < whole[name] < values.max()


def test_cells_are_numbered_as_listed():
    found = samples()
    place = cell_of(found)
    for number in np.unique(place[place >= 0]):
        where, inside = CELLS[number], found.take(place == number)
        assert set(inside.is_btc.tolist()) == {where.coin == "BTC"}
        assert where.tenor_days[0] <= inside.tenor_days.min()
        assert inside.tenor_days.max() < where.tenor_days[1]
        assert where.z[0] <= inside.z.min() <= inside.z.max() < where.z[1]


def test_a_tenor_beyond_the_last_edge_is_in_no_cell():
    far = replace(samples().take(slice(0, 2)), years=np.array([1.0, 2.0]))
    assert cell_of(far).tolist()[1] == -1
    assert cell_of(far).tolist()[0] >= 0
