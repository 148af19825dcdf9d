import numpy as np
import polars as pl
import pytest

from node.market.panel import TENOR_DAYS, TENOR_YEARS, build_panel, panel_with_holes, vols_at
from node.market.quotes import DAYS_PER_YEAR
from protocol.errors import DataError
from tests.unit.node.small_market import frame, panel, quote, quotes

pytestmark = pytest.mark.unit

AT_MONEY = 1


def chain(days=(1.0, 4.0, 20.0, 60.0, 200.0), vol=0.5, lower=0.6, upper=0.55, **changed):
    """Quotes at z = -1, 0, +1 of each expiry, and far strikes that must not matter."""
    rows = []
    for tenor in days:
        sigma = vol * np.sqrt(tenor / DAYS_PER_YEAR)
        for z, quoted in ((-4, 2.0), (-1, lower), (0, vol), (1, upper), (4, 2.0)):
            rows.append(quote(tenor, 100.0 * np.exp(z * sigma), quoted, **changed))
    return rows


def test_panel_recovers_quotes_at_the_money_and_one_deviation_away():
    found = build_panel(frame(chain()))
    wanted = np.repeat([[0.6], [0.5], [0.55]], TENOR_DAYS.size, axis=1)
    np.testing.assert_allclose(found.vols[0], wanted, rtol=1e-7)
    assert found.is_btc.tolist() == [True]
    assert found.incomplete == 0


def test_total_variance_is_linear_between_expiries():
    rows = chain(days=(1.0,), vol=0.4, lower=0.4, upper=0.4)
    rows += chain(days=(3.0, 60.0, 200.0), vol=0.6, lower=0.6, upper=0.6)
    two_days = build_panel(frame(rows)).vols[0, AT_MONEY, 0]
    assert two_days**2 * 2.0 == pytest.approx((0.4**2 * 1.0 + 0.6**2 * 3.0) / 2.0)


def test_total_variance_is_linear_between_strikes():
    rows = [row for row in chain() if row["strike_usd"] != 100.0]
    found = build_panel(frame(rows))
    # Without a strike at the forward the money lies half way between z = -1 and z = +1.
    middle = np.sqrt((0.6**2 + 0.55**2) / 2.0)
    np.testing.assert_allclose(found.vols[0, AT_MONEY], middle, rtol=1e-7)


def test_an_expiry_without_a_wing_is_skipped():
    short = [row for row in chain(days=(2.0,), vol=0.9) if row["strike_usd"] <= 100.0]
    found = build_panel(frame(chain() + short))
    assert found.vols[0, AT_MONEY, 0] == pytest.approx(0.5)


def test_a_snapshot_that_does_not_reach_a_tenor_is_dropped_and_counted():
    found = build_panel(frame(chain() + chain(days=(5.0, 60.0, 200.0), currency="ETH")))
    assert found.is_btc.tolist() == [True]
    assert found.incomplete == 1


def test_a_tenor_out_of_reach_is_a_hole_where_holes_are_wanted():
    far = frame(chain() + chain(days=(5.0, 60.0, 200.0), currency="ETH"))
    found = panel_with_holes(far)
    assert found.is_btc.tolist() == [False, True]
    assert found.incomplete == 0
    assert np.isnan(found.vols[0]).tolist() == [[True, False, False, False, False]] * 3
    np.testing.assert_array_equal(found.vols[1:], build_panel(far).vols)
    wingless = [row for row in chain(currency="ETH") if row["strike_usd"] <= 100.0]
    assert panel_with_holes(frame(chain() + wingless)).incomplete == 1


def test_the_order_of_quotes_does_not_matter():
    shuffled = quotes().sample(fraction=1.0, shuffle=True, seed=3)
    np.testing.assert_array_equal(build_panel(shuffled).vols, panel().vols)


def test_two_quotes_of_one_strike_count_as_their_mean_variance():
    doubled = [*chain(), quote(4.0, 100.0, 0.7)]
    found = build_panel(frame(doubled)).vols[0, AT_MONEY, 1]
    inner = np.sqrt((0.5**2 + 0.7**2) / 2.0)
    variance = np.interp(7.0, [4.0, 20.0], [inner**2 * 4.0, 0.5**2 * 20.0])
    assert found == pytest.approx(np.sqrt(variance / 7.0))


def test_rows_finds_each_snapshot_and_coin_and_nothing_else():
    known = panel()
    order = np.random.default_rng(0).permutation(known.snapshot.size)
    found = known.rows(known.snapshot[order], known.is_btc[order])
    np.testing.assert_array_equal(found, order)
    assert (known.rows(known.snapshot + 1, known.is_btc) == -1).all()


def test_an_empty_panel_has_no_rows():
    empty = build_panel(frame(chain(days=(5.0,))))
    assert empty.incomplete == 1
    assert empty.rows(np.array([1]), np.array([True])).tolist() == [-1]


def test_vols_at_the_tenors_are_the_panel_and_flat_outside():
    vols = panel().vols
    for column, years in enumerate(TENOR_YEARS):
        at_tenor = vols_at(vols, np.full(len(vols), years))
        np.testing.assert_allclose(at_tenor, vols[:, :, column], rtol=1e-12)
    short = vols_at(vols, np.full(len(vols), 0.5 / DAYS_PER_YEAR))
    np.testing.assert_allclose(short, vols[:, :, 0], rtol=1e-12)
    long = vols_at(vols, np.full(len(vols), 2.0))
    np.testing.assert_allclose(long, vols[:, :, -1], rtol=1e-12)


def test_other_coins_are_refused():
    with pytest.raises(DataError, match="SOL"):
        build_panel(frame(chain(currency="SOL")))


def test_made_up_chain_gives_a_panel_for_every_snapshot_and_coin():
    listed = quotes().select("timestamp", "currency").n_unique()
    assert panel().snapshot.size + panel().incomplete == listed
    assert panel().snapshot.size > 0.9 * listed
    assert isinstance(quotes(), pl.DataFrame)
    assert ((panel().vols > 0.05) & (panel().vols < 5.0)).all()
