"""A day's gain of an option, hedged: by hand, and in a world where Black and Scholes are right."""

from datetime import UTC, datetime, timedelta

import numpy as np
import polars as pl
import pytest

from node.evaluation.bootstrap import Days
from node.evaluation.hedging import Positions, deviation, open_positions
from node.market.black76 import delta, price_coin
from node.market.cleaning import clean
from node.market.panel import Panel, build_panel
from node.market.quotes import DAYS_PER_YEAR, QUOTES
from node.models.formulas import quadratic_smile, term_structure
from protocol.errors import DataError
from tests.unit.node.recorded import needs_chains, recorded_chain
from tests.unit.node.small_market import NOON

pytestmark = pytest.mark.unit

VOL = 0.6
EXPIRY = NOON + timedelta(days=45)
STRIKES = np.array([80.0, 90.0, 100.0, 110.0, 120.0])


def rows(at: datetime, forward: float, vol: float = VOL, **changed: object) -> pl.DataFrame:
    """All strikes' calls and puts of one expiry, fairly priced."""
    strike, is_call = np.repeat(STRIKES, 2), np.tile([True, False], STRIKES.size)
    years = (EXPIRY - at).total_seconds() / 86_400 / DAYS_PER_YEAR
    mark = price_coin(forward, strike, years, vol, is_call)
    plain = {
        "timestamp": [at] * strike.size,
        "currency": ["BTC"] * strike.size,
        "expiry": [EXPIRY] * strike.size,
        "strike_usd": strike,
        "is_call": is_call,
        "forward_usd": np.full(strike.size, forward),
        "bid_coin": 0.99 * mark,
        "ask_coin": 1.01 * mark,
        "mark_coin": mark,
        "mark_iv": np.full(strike.size, vol),
        "delta": delta(forward, strike, years, vol, is_call),
        "open_interest_coin": np.ones(strike.size),
        "volume_coin": np.ones(strike.size),
    }
    return pl.DataFrame(plain | changed, schema=QUOTES, strict=False)


def flat_panel(chain: pl.DataFrame, vol: float = VOL) -> Panel:
    moments = np.unique(chain["timestamp"].dt.epoch("us").to_numpy())
    return Panel(moments, np.ones(moments.size, dtype=bool), np.full((moments.size, 3, 5), vol), 0)


def opened(chain: pl.DataFrame) -> Positions:
    return open_positions(clean(chain).quotes, flat_panel(chain), chain)


@pytest.fixture(scope="module")
def world() -> tuple[Positions, Days]:
    """Forty days of a forward that moves as Black and Scholes have it."""
    rng = np.random.default_rng(3)
    step = VOL / np.sqrt(DAYS_PER_YEAR)
    path = 100.0 * np.exp(np.cumsum(step * rng.normal(size=41) - step**2 / 2))
    chain = pl.concat([rows(NOON + timedelta(days=day), at) for day, at in enumerate(path)])
    positions = opened(chain)
    return positions, Days(positions.samples.snapshot)


def test_gain_and_move_are_in_basis_points_of_the_first_forward():
    first = rows(NOON, 100.0, mark_coin=np.full(10, 0.05))
    later = rows(NOON + timedelta(days=1), 110.0, mark_coin=np.full(10, 0.08))
    found = opened(pl.concat([first, later]))
    # 0.08 coin at 110 USD less 0.05 coin at 100 USD are 3.8 USD on a forward of 100.
    np.testing.assert_allclose(found.gain_bp[: STRIKES.size], 380.0)
    np.testing.assert_allclose(found.moved_bp[: STRIKES.size], 1000.0)
    np.testing.assert_allclose(found.hedged_bp(np.full(len(found), 0.5))[: STRIKES.size], -120.0)


def test_hedging_leaves_little_of_the_deviation_where_the_model_is_right(world):
    positions, days = world
    model = positions.delta(term_structure(positions.samples))
    unhedged = deviation(positions.gain_bp, positions, days, is_btc=True)[0]
    hedged = deviation(positions.hedged_bp(model), positions, days, is_btc=True)[0]
    assert hedged < 0.25 * unhedged
    assert positions.gain_bp.std() == pytest.approx(unhedged)


def test_the_exchange_s_delta_is_the_model_s_where_both_are_right(world):
    positions, _ = world
    model = positions.delta(term_structure(positions.samples))
    np.testing.assert_allclose(positions.exchange_delta, model, atol=1e-9)


def test_half_a_hedge_hedges_less(world):
    positions, days = world
    model = positions.delta(term_structure(positions.samples))
    half, whole = (
        deviation(positions.hedged_bp(share * model), positions, days, is_btc=True)[0]
        for share in (0.5, 1.0)
    )
    assert half > 1.5 * whole


def test_a_coin_without_positions_has_no_deviation(world):
    positions, days = world
    assert np.isnan(deviation(positions.gain_bp, positions, days, is_btc=False)).all()


def test_a_flat_smile_has_one_delta_and_a_steep_one_two(world):
    positions, _ = world
    sticky = positions.delta(term_structure(positions.samples))
    np.testing.assert_allclose(positions.delta_along_smile(term_structure), sticky, atol=1e-9)
    chain = rows(NOON, 100.0)
    both = pl.concat([chain, rows(NOON + timedelta(days=1), 101.0)])
    slope = np.array([[0.7], [0.6], [0.5]]) * np.ones((3, 5))
    panel = Panel(flat_panel(chain).snapshot, np.array([True]), slope[None], 0)
    found = open_positions(clean(both).quotes, panel, both)
    # Volatility falls with the strike, so it rises where the forward does: more than Black's.
    vols = quadratic_smile(found.samples)
    assert (found.delta_along_smile(quadratic_smile) > found.delta(vols)).all()


def test_the_quote_nearest_to_a_day_later_is_taken():
    times = [timedelta(hours=hours) for hours in (0, 22, 25, 31)]
    forwards = [100.0, 101.0, 102.0, 103.0]
    chain = pl.concat(
        [rows(NOON + at, forward) for at, forward in zip(times, forwards, strict=True)]
    )
    found = opened(chain)
    first = found.samples.snapshot == found.samples.snapshot.min()
    np.testing.assert_allclose(found.moved_bp[first], 200.0)


def test_options_that_run_into_the_money_are_kept():
    chain = pl.concat([rows(NOON, 100.0), rows(NOON + timedelta(days=1), 160.0)])
    calls = opened(chain).is_call
    assert calls.sum() == (STRIKES >= 100.0).sum()


def test_an_unrecorded_delta_is_not_made_up():
    unknown = {"delta": [None] * 10}
    chain = pl.concat(
        [rows(NOON, 100.0, **unknown), rows(NOON + timedelta(days=1), 101.0, **unknown)]
    )
    found = opened(chain)
    assert np.isnan(found.exchange_delta).all()
    days = Days(np.array([0, 10**12]))
    hedged = found.hedged_bp(found.exchange_delta)
    assert np.isnan(deviation(hedged, found, days, is_btc=True)).all()


def test_a_chain_that_ends_too_early_is_refused():
    chain = pl.concat([rows(NOON, 100.0), rows(NOON + timedelta(hours=12), 101.0)])
    with pytest.raises(DataError, match="quoted again 1 day, 0:00:00 later"):
        opened(chain)


@needs_chains
@pytest.mark.data
def test_recorded_hedges_are_as_good_as_was_measured_and_look_better_on_surviving_quotes():
    june = datetime(2026, 6, 1, tzinfo=UTC)
    chain = recorded_chain(start=june, end=june + timedelta(days=31))
    quotes = clean(chain).quotes
    panel = build_panel(quotes)

    def measured(later: pl.DataFrame) -> tuple[float, ...]:
        found = open_positions(quotes, panel, later)
        days = Days(found.samples.snapshot, draws=1)
        hedged = found.hedged_bp(found.exchange_delta)
        return tuple(
            float(deviation(gains, found, days, is_btc=True)[0])
            for gains in (found.gain_bp, hedged)
        )

    # An independent measurement followed only quotes that survived cleaning on both days, and found
    # 47.0 and 16.3 basis points.
    assert measured(quotes) == pytest.approx((47.0, 16.3), abs=1.5)
    unhedged, hedged = measured(chain)
    assert hedged < 0.45 * unhedged
    assert hedged > 1.1 * 16.3
