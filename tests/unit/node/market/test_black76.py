import math

import numpy as np
import pytest
import QuantLib as ql  # noqa: N813 - as its own documentation has it
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from node.market.black76 import delta, implied_vol, price_coin, vega
from node.market.quotes import years_to_expiry
from tests.unit.node.recorded import needs_chains, recorded_chain

pytestmark = pytest.mark.unit

forwards = st.floats(100.0, 200_000.0)
moneyness = st.floats(-1.5, 1.5)
years = st.floats(1 / 365, 2.0)
vols = st.floats(0.05, 3.0)


@given(forwards, moneyness, years, vols, st.booleans())
def test_inverting_a_price_gives_its_volatility(forward, k, year, vol, call):
    strike = forward * math.exp(k)
    premium = price_coin(forward, strike, year, vol, call)
    # Where volatility hardly moves the premium, the premium's last bit decides.
    assume(vega(forward, strike, year, vol) > 1e-8)
    found = implied_vol(premium, forward, strike, year, call)
    assert found == pytest.approx(vol, abs=1e-6)


FORWARD = 80_000.0


def grid():
    """Strikes from e^-2 to e^2 forwards, an hour to two years, 5 to 400 %, calls and puts."""
    days = np.array([1 / 24, 1.0, 3.0, 7.0, 30.0, 90.0, 180.0, 365.0, 730.0])
    levels = np.array([0.05, 0.1, 0.2, 0.4, 0.6, 0.8, 1.2, 2.0, 4.0])
    axes = np.meshgrid(np.linspace(-2.0, 2.0, 41), days / 365.25, levels, [True, False])
    k, year, vol, call = (axis.ravel() for axis in axes)
    return FORWARD * np.exp(k), year, vol, call


def test_premiums_are_quantlibs_to_the_last_bits():
    strike, year, vol, call = grid()
    theirs = [
        ql.blackFormula(ql.Option.Call if c else ql.Option.Put, x, FORWARD, v * math.sqrt(t))
        for x, t, v, c in zip(strike, year, vol, call, strict=True)
    ]
    found = price_coin(FORWARD, strike, year, vol, call)
    np.testing.assert_allclose(found, np.array(theirs) / FORWARD, rtol=0, atol=1e-14)


def test_inverted_volatilities_are_quantlibs():
    strike, year, vol, call = grid()
    # Elsewhere the premium's last bit moves volatility by more than a millionth.
    told = vega(FORWARD, strike, year, vol) > 1e-8
    assert told.sum() > 3000
    strike, year, vol, call = strike[told], year[told], vol[told], call[told]
    premium = price_coin(FORWARD, strike, year, vol, call)
    theirs = [
        ql.blackFormulaImpliedStdDev(
            ql.Option.Call if c else ql.Option.Put,
            x,
            FORWARD,
            p * FORWARD,
            1.0,
            0.0,
            0.5,
            1e-14,
            200,
        )
        / math.sqrt(t)
        for x, t, p, c in zip(strike, year, premium, call, strict=True)
    ]
    found = implied_vol(premium, FORWARD, strike, year, call)
    # Measured: 1.4e-7 at most, and 3e-10 where vega is above 1e-6.
    np.testing.assert_allclose(found, theirs, rtol=0, atol=3e-7)
    plain = vega(FORWARD, strike, year, vol) > 1e-6
    np.testing.assert_allclose(found[plain], np.array(theirs)[plain], rtol=0, atol=1e-9)


@given(moneyness, years, vols, st.booleans(), st.floats(1e-3, 20.0))
def test_first_guess_changes_no_result(k, year, vol, call, start):
    strike = 100.0 * math.exp(k)
    premium = price_coin(100.0, strike, year, vol, call)
    assume(vega(100.0, strike, year, vol) > 1e-6)
    plain = implied_vol(premium, 100.0, strike, year, call)
    started = implied_vol(premium, 100.0, strike, year, call, start=start)
    assert started == pytest.approx(plain, abs=1e-8)


@given(forwards, moneyness, years, vols)
def test_put_call_parity_holds_in_coin(forward, k, year, vol):
    strike = forward * math.exp(k)
    difference = price_coin(forward, strike, year, vol, True) - price_coin(
        forward, strike, year, vol, False
    )
    assert difference == pytest.approx(1.0 - strike / forward, abs=1e-12)


@given(forwards, moneyness, years, vols, st.booleans())
def test_price_lies_between_the_no_arbitrage_bounds(forward, k, year, vol, call):
    strike = forward * math.exp(k)
    premium = price_coin(forward, strike, year, vol, call)
    intrinsic = max(0.0, (1 if call else -1) * (1.0 - strike / forward))
    assert intrinsic <= premium <= (1.0 if call else strike / forward) * (1 + 1e-15)


@given(forwards, moneyness, years, vols, st.booleans())
def test_delta_is_the_slope_of_the_usd_premium(forward, k, year, vol, call):
    strike, step = forward * math.exp(k), forward * 1e-5
    up, down = (
        each * price_coin(each, strike, year, vol, call)
        for each in (forward + step, forward - step)
    )
    slope = (up - down) / (2 * step)
    assert delta(forward, strike, year, vol, call) == pytest.approx(slope, abs=1e-5)


@given(forwards, moneyness, years, vols)
def test_vega_is_the_slope_in_volatility(forward, k, year, vol):
    strike, step = forward * math.exp(k), 1e-5
    up, down = (price_coin(forward, strike, year, each, True) for each in (vol + step, vol - step))
    assert vega(forward, strike, year, vol) == pytest.approx((up - down) / (2 * step), abs=1e-6)


def test_textbook_price():
    # At the money: 2 N(sigma sqrt(T) / 2) - 1.
    assert price_coin(100.0, 100.0, 1.0, 0.2, True) == pytest.approx(0.0796556746, abs=1e-10)


@pytest.mark.parametrize(
    ("premium", "call"),
    [
        (0.0, True),
        (-0.01, True),
        (1.0, True),
        (1.2, True),
        (0.25, False),
        (1.25, False),
        (2.0, False),
    ],
)
def test_premium_on_or_outside_its_bounds_has_no_volatility(premium, call):
    assert np.isnan(implied_vol(premium, 100.0, 125.0, 0.5, call))


@pytest.mark.parametrize(("premium", "call"), [(1e-9, True), (0.25 + 1e-9, False), (0.9999, True)])
def test_premium_just_inside_its_bounds_has_one(premium, call):
    found = implied_vol(premium, 100.0, 125.0, 0.5, call)
    assert price_coin(100.0, 125.0, 0.5, found, call) == pytest.approx(premium, abs=1e-14)


def test_expired_option_has_no_volatility_and_is_worth_its_intrinsic_value():
    assert np.isnan(implied_vol(0.1, 100.0, 100.0, 0.0, True))
    assert price_coin(100.0, 80.0, 0.0, 0.5, True) == pytest.approx(0.2)
    assert price_coin(100.0, 100.0, 0.0, 0.5, True) == 0.0


def test_missing_premium_stays_missing_and_spoils_no_other():
    found = implied_vol([np.nan, 0.05], 100.0, 100.0, 0.25, True)
    assert np.isnan(found[0])
    assert price_coin(100.0, 100.0, 0.25, found[1], True) == pytest.approx(0.05)


def test_arguments_broadcast():
    prices = price_coin(100.0, np.array([90.0, 100.0, 110.0]), np.array([[0.1], [0.5]]), 0.5, True)
    assert prices.shape == (2, 3)
    found = implied_vol(
        prices, 100.0, np.array([90.0, 100.0, 110.0]), np.array([[0.1], [0.5]]), True
    )
    assert found == pytest.approx(np.full((2, 3), 0.5))


@settings(max_examples=20)
@given(st.integers(0, 2**32 - 1))
def test_results_do_not_depend_on_what_else_is_in_the_array(seed):
    rng = np.random.default_rng(seed)
    strike = 100.0 * np.exp(rng.normal(0.0, 0.4, 50))
    premium = price_coin(100.0, strike, 0.3, rng.uniform(0.2, 1.5, 50), True)
    together = implied_vol(premium, 100.0, strike, 0.3, True)
    alone = np.array(
        [implied_vol(p, 100.0, k, 0.3, True) for p, k in zip(premium, strike, strict=True)]
    )
    assert np.array_equal(together, alone, equal_nan=True)


@pytest.mark.data
@needs_chains
@pytest.mark.parametrize(("currency", "limit_vol_points"), [("BTC", 0.025), ("ETH", 0.030)])
def test_recorded_marks_invert_to_the_volatility_the_exchange_reports(currency, limit_vol_points):
    chain = recorded_chain().filter(currency=currency).with_columns(years_to_expiry())
    is_otm = chain["is_call"] == (chain["strike_usd"] >= chain["forward_usd"])
    # Nearer expiry the exchange's clock, seconds off the snapshot's, decides.
    chain = chain.filter(
        is_otm,
        chain["years_to_expiry"].is_between(3 / 365.25, 1.0),
        chain["delta"].abs() >= 0.01,
        chain["mark_coin"] >= 0.0002,
    )
    found = implied_vol(
        *(chain[name] for name in ("mark_coin", "forward_usd", "strike_usd", "years_to_expiry")),
        chain["is_call"],
    )
    error_vol_points = 100 * np.abs(found - chain["mark_iv"].to_numpy())
    assert error_vol_points.mean() < limit_vol_points
