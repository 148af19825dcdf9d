"""Greeks against QuantLib with a flat smile, differences with a model's, and the exchange's own."""

from dataclasses import fields, replace

import numpy as np
import polars as pl
import pytest
import QuantLib as ql  # noqa: N813  # its own documentation's name

from node.market.black76 import price_coin
from node.market.quotes import DAYS_PER_YEAR
from node.models import greeks as module
from node.models.greeks import Greeks, LocalVol, black_greeks, model_greeks
from node.models.smile import SMILE
from tests.unit.node.recorded import CHAINS, SUMMARY_CSV, needs_chains, needs_summary
from tests.unit.node.small_market import samples

pytestmark = pytest.mark.unit

RNG = np.random.default_rng(3)
MODEL = np.asarray(0.1 * RNG.normal(size=SMILE.spec.dimension), dtype=np.float32).astype(float)
SOME = samples().take(np.arange(0, len(samples()), 40))
IS_CALL = RNG.random(len(SOME)) < 0.5
EPSILON = np.finfo(float).eps


def flat_quotes(count=200):
    forward = RNG.uniform(1_000.0, 100_000.0, count)
    years = np.exp(RNG.uniform(np.log(1 / 365.25), 0.0, count))
    vol = RNG.uniform(0.2, 1.5, count)
    strike = forward * np.exp(RNG.uniform(-3.0, 3.0, count) * vol * np.sqrt(years))
    return forward, strike, years, vol, RNG.random(count) < 0.5


def quantlib(forward, strike, years, vol, is_call):
    """QuantLib's price, delta, gamma, vega and theta in USD; vanna and volga by its own vega."""

    def calculator(at_forward, at_vol):
        payoff = ql.PlainVanillaPayoff(ql.Option.Call if is_call else ql.Option.Put, strike)
        return ql.BlackCalculator(payoff, at_forward, at_vol * np.sqrt(years), 1.0)

    here, step = calculator(forward, vol), 1e-5

    def bent(steps):
        low, high = (calculator(*at).vega(years) for at in steps)
        return high - low

    in_forward = bent([(forward * (1 + sign * step), vol) for sign in (-1, 1)])
    in_vol = bent([(forward, vol + sign * step) for sign in (-1, 1)])
    return (
        here.value(),
        here.deltaForward(),
        here.gammaForward(),
        here.vega(years) / 100,
        here.theta(forward, years) / 365.25,
        in_forward / (2 * step * forward) / 100,
        in_vol / (2 * step) / 100**2,
    )


def test_with_a_flat_smile_they_are_quantlibs():
    forward, strike, years, vol, is_call = flat_quotes()
    found = black_greeks(forward, strike, years, LocalVol.sticky(vol), is_call).in_usd(forward)
    rows = zip(forward, strike, years, vol, is_call, strict=True)
    wanted = np.array([quantlib(*(value.item() for value in row)) for row in rows]).T
    for field, expected in zip(fields(Greeks), wanted, strict=True):
        scale = np.abs(expected).max()
        np.testing.assert_allclose(
            getattr(found, field.name), expected, rtol=2e-6, atol=1e-9 * scale, err_msg=field.name
        )


def test_price_is_the_one_of_the_formula():
    forward, strike, years, vol, is_call = flat_quotes()
    found = black_greeks(forward, strike, years, LocalVol.sticky(vol), is_call)
    expected = price_coin(forward, strike, years, vol, is_call)
    np.testing.assert_allclose(found.price, expected, rtol=1e-9, atol=1e-14)


YEAR_MICROSECONDS = 365.25 * 86_400e6


def model_price(forward, years, shift):
    """What the model asks in coin where the forward, the clock and all volatilities moved."""
    passed = np.rint((SOME.years - years) * YEAR_MICROSECONDS).astype(np.int64)
    moved = SOME.elsewhere(np.log(SOME.strike / forward), years)
    moved = replace(moved, forward=forward, strike=SOME.strike, snapshot=SOME.snapshot + passed)
    local = LocalVol.of(SMILE, MODEL, moved)
    return price_coin(forward, SOME.strike, years, local.vol + shift, IS_CALL)


def test_along_the_smile_they_are_the_differences_of_the_models_price():
    found = model_greeks(SMILE, MODEL, SOME, IS_CALL)
    step, day, point = 1e-4 * SOME.forward, 1e-6, 1e-3

    def at(forward=0.0, years=0.0, shift=0.0):
        return model_price(SOME.forward + forward * step, SOME.years + years * day, shift * point)

    here = at()
    differences = {
        "price": here,
        "delta": (at(1) - at(-1)) / (2 * step),
        "gamma": (at(1) - 2 * here + at(-1)) / step**2,
        "vega": (at(shift=1) - at(shift=-1)) / (2 * point) / 100,
        "theta": -(at(years=1) - at(years=-1)) / (2 * day) / 365.25,
        "vanna": (at(1, 0, 1) - at(1, 0, -1) - at(-1, 0, 1) + at(-1, 0, -1))
        / (4 * step * point)
        / 100,
        "volga": (at(shift=1) - 2 * here + at(shift=-1)) / point**2 / 100**2,
    }
    for name, expected in differences.items():
        value = getattr(found, name)
        error = np.abs(value - expected) / (np.abs(expected) + 1e-3 * np.abs(expected).max())
        assert np.quantile(error, 0.99) < 5e-3, name
        assert np.median(error) < 1e-4, name


def test_smile_moves_delta_by_vega_times_skew():
    along = model_greeks(SMILE, MODEL, SOME, IS_CALL)
    stuck = model_greeks(SMILE, MODEL, SOME, IS_CALL, sticky_strike=True)
    skew = LocalVol.of(SMILE, MODEL, SOME).skew
    expected = -100 * stuck.vega * skew / SOME.forward
    scale = np.abs(expected).max()
    np.testing.assert_allclose(along.delta - stuck.delta, expected, rtol=1e-3, atol=1e-4 * scale)
    np.testing.assert_allclose(along.vega, stuck.vega, rtol=1e-4, atol=1e-12)
    assert np.abs(along.gamma - stuck.gamma).max() > 1e-3 * np.abs(stuck.gamma).max()


def test_call_and_put_differ_by_the_forward():
    call, put = (
        model_greeks(SMILE, MODEL, SOME, np.full(len(SOME), side)).in_usd(SOME.forward)
        for side in (True, False)
    )
    np.testing.assert_allclose(call.price - put.price, SOME.forward - SOME.strike, rtol=1e-9)
    np.testing.assert_allclose(call.delta - put.delta, 1.0, rtol=1e-9)
    for name in ("gamma", "vega", "theta", "vanna", "volga"):
        scale = np.abs(getattr(call, name)).max()
        np.testing.assert_allclose(getattr(call, name), getattr(put, name), atol=1e-9 * scale)


def test_pieces_make_the_same_greeks(monkeypatch):
    whole = model_greeks(SMILE, MODEL, SOME, IS_CALL)
    monkeypatch.setattr(module, "AT_ONCE", 37)
    pieces = model_greeks(SMILE, MODEL, SOME, IS_CALL)
    for field in fields(Greeks):
        first, second = getattr(whole, field.name), getattr(pieces, field.name)
        np.testing.assert_allclose(
            first, second, rtol=1e-9, atol=1e3 * EPSILON * np.abs(first).max()
        )


def test_no_quotes_have_no_greeks():
    none = np.zeros(0, dtype=np.int64)
    assert model_greeks(SMILE, MODEL, SOME.take(none), IS_CALL[none]).price.shape == (0,)


@pytest.mark.data
@needs_chains
def test_recorded_chain_has_the_exchanges_delta_and_vega():
    """The exchange's own come minutes after its prices, so they differ by a little."""
    month = pl.read_parquet(CHAINS / "2026-05.parquet").filter(
        (pl.col("mark_price") >= 0.0002) & (pl.col("time_to_maturity") >= 1 / 365.25)
    )
    columns = ("underlying", "strike", "time_to_maturity", "implied_volatility")
    forward, strike, years, vol = (month[name].to_numpy().astype(float) for name in columns)
    is_call = month["option_type"].str.to_lowercase().str.starts_with("c").to_numpy()
    found = black_greeks(forward, strike, years, LocalVol.sticky(vol), is_call).in_usd(forward)
    out_of_money = is_call == (strike > forward)
    delta, vega = (month[name].to_numpy().astype(float)[out_of_money] for name in ("delta", "vega"))
    assert np.abs(found.delta[out_of_money] - delta).mean() < 0.01
    assert np.median(np.abs(found.vega[out_of_money] / vega - 1.0)) < 0.01


@pytest.mark.data
@needs_summary
def test_recorded_snapshot_has_the_exchanges_greeks_of_the_same_moment():
    """Of 2021, taken with its prices. The exchange gives gamma with five decimals."""
    recorded = (
        pl.read_csv(SUMMARY_CSV)
        .filter(pl.col("mark_iv") > 0)
        .with_columns(pl.col("instrument_name").str.split("-").alias("parts"))
        .with_columns(
            pl.col("parts").list.get(1).str.to_titlecase().str.to_date("%d%b%y").alias("expiry"),
            pl.col("parts").list.get(2).cast(pl.Float64).alias("strike"),
            (pl.col("parts").list.get(3) == "C").alias("is_call"),
        )
        .with_columns(
            (
                (pl.col("expiry").cast(pl.Datetime("ms")).dt.epoch("ms") - pl.col("timestamp"))
                / 86_400_000
                + 8 / 24
            ).alias("days")
        )
        .filter(
            pl.col("days") > 1, pl.col("is_call") == (pl.col("strike") > pl.col("underlying_price"))
        )
    )
    assert recorded.height > 200
    forward, strike, days, vol = (
        recorded[name].to_numpy() for name in ("underlying_price", "strike", "days", "mark_iv")
    )
    found = black_greeks(
        forward,
        strike,
        days / DAYS_PER_YEAR,
        LocalVol.sticky(vol / 100),
        recorded["is_call"].to_numpy(),
    ).in_usd(forward)
    for name, most in (("delta", 2e-4), ("gamma", 6e-6), ("vega", 0.2)):
        theirs = recorded[f"greeks.{name}"].to_numpy()
        np.testing.assert_allclose(getattr(found, name), theirs, atol=most)
    theta = recorded["greeks.theta"].to_numpy()
    assert np.median(np.abs(found.theta / theta - 1.0)) < 0.002
