from datetime import UTC, datetime, timedelta
from itertools import pairwise

import numpy as np
import polars as pl
import pytest

from node.market import synthetic
from node.market.black76 import price_coin
from node.market.cleaning import clean
from node.market.quotes import DAYS_PER_YEAR, OPTION_KEY, QUOTES, log_moneyness, years_to_expiry
from node.market.synthetic import DEFAULT_START, market, stress_window
from protocol.errors import ConfigError

pytestmark = pytest.mark.unit

DAYS = 20


@pytest.fixture(scope="module")
def chain():
    return market(5, days=DAYS).with_columns(
        years_to_expiry(), log_moneyness(), days=years_to_expiry() * DAYS_PER_YEAR
    )


@pytest.fixture(scope="module")
def atm(chain):
    """The at-the-money volatility of each snapshot, coin and expiry."""
    return (
        chain.sort(pl.col("log_moneyness").abs())
        .group_by("timestamp", "currency", "expiry", "days")
        .agg(atm=pl.col("mark_iv").first(), forward_usd=pl.col("forward_usd").first())
        .sort("timestamp", "currency", "expiry")
    )


def test_same_seed_gives_the_same_quotes_and_another_does_not(chain):
    again = market(5, days=DAYS)
    assert again.equals(chain.select(list(QUOTES)))
    assert not market(6, days=DAYS).equals(again)


def test_snapshots_are_evenly_spaced_and_hold_both_coins(chain):
    times = chain["timestamp"].unique().sort()
    assert times.len() == 2 * DAYS
    assert set(times.diff().drop_nulls()) == {timedelta(hours=12)}
    assert chain.group_by("timestamp").agg(pl.col("currency").n_unique())["currency"].min() == 2


@pytest.mark.parametrize("snapshots_per_day", [1, 5, 24])
def test_any_number_of_snapshots_a_day_is_made(snapshots_per_day):
    assert market(1, days=2, snapshots_per_day=snapshots_per_day)["timestamp"].n_unique() == (
        2 * snapshots_per_day
    )


def test_start_moves_the_calendar():
    start = datetime(2027, 7, 1, tzinfo=UTC)
    made = market(1, days=1, start=start)
    assert start < made["timestamp"].min() < made["timestamp"].max() < start + timedelta(days=1)
    assert made["expiry"].min() > made["timestamp"].max() - timedelta(days=1)


@pytest.mark.parametrize(
    "wrong",
    [
        {"days": 0},
        {"snapshots_per_day": 0},
        {"snapshots_per_day": 25},
        {"start": DEFAULT_START.replace(tzinfo=None)},
    ],
)
def test_impossible_market_is_refused(wrong):
    with pytest.raises(ConfigError, match="market: wanted"):
        market(1, **wrong)


def test_expiries_are_the_exchanges(chain):
    expiry = chain["expiry"].unique()
    assert set(expiry.dt.hour()) == {8}
    far = chain.filter(pl.col("days") > 10)["expiry"].unique()
    assert set(far.dt.weekday()) == {5}
    one = chain.filter(timestamp=chain["timestamp"].min())
    assert 10 <= one["expiry"].n_unique() <= 15
    assert one["days"].max() > 270


def test_puts_and_calls_are_listed_in_pairs_at_one_volatility(chain):
    pairs = chain.group_by([name for name in OPTION_KEY if name != "is_call"]).agg(
        pl.len(), volatilities=pl.col("mark_iv").n_unique()
    )
    assert set(pairs["len"]) == {2}
    assert set(pairs["volatilities"]) == {1}


def test_marks_are_black_76_at_the_marks_volatility(chain):
    columns = (chain[name] for name in ("forward_usd", "strike_usd", "years_to_expiry", "mark_iv"))
    assert price_coin(*columns, chain["is_call"]) == pytest.approx(
        chain["mark_coin"].to_numpy(), abs=3e-5
    )


def test_prices_are_on_the_exchanges_ticks(chain):
    for side in ("bid_coin", "ask_coin"):
        premium = chain[side].drop_nulls().to_numpy()
        tick = np.where(premium > 0.005, 5e-4, 1e-4)
        assert np.abs(premium / tick - np.rint(premium / tick)).max() < 1e-6


def test_bids_are_below_asks_and_some_sides_are_missing(chain):
    both = chain.drop_nulls(["bid_coin", "ask_coin"])
    assert (both["bid_coin"] < both["ask_coin"]).all()
    missing = chain.null_count()
    assert 0.03 < missing["bid_coin"].item() / chain.height < 0.15
    assert 0.005 < missing["ask_coin"].item() / chain.height < 0.04


def test_spreads_widen_in_the_wings_and_near_expiry(chain):
    quotes = clean(chain.select(list(QUOTES))).quotes.with_columns(
        spread=pl.col("ask_iv") - pl.col("bid_iv"),
        days=years_to_expiry() * DAYS_PER_YEAR,
        z=(log_moneyness() / (pl.col("mark_iv") * years_to_expiry().sqrt())).abs(),
    )
    # Where ticks do not decide the spread.
    late = quotes.filter(pl.col("days") > 60, currency="BTC")
    middle, wing = late.filter(pl.col("z") < 0.5), late.filter(pl.col("z") > 1.8)
    assert wing["spread"].mean() > 1.55 * middle["spread"].mean()
    short, long = quotes.filter(pl.col("days") < 7), quotes.filter(pl.col("days") > 60)
    assert short["spread"].mean() > 1.5 * long["spread"].mean()


def test_one_snapshot_survives_cleaning_with_enough_quotes_of_each_coin(chain):
    kept = clean(chain.select(list(QUOTES))).quotes
    assert kept.group_by("timestamp", "currency").len()["len"].min() > 100


def test_smile_is_skewed_and_convex(chain, atm):
    rich = chain.join(atm.drop("forward_usd", "days"), on=["timestamp", "currency", "expiry"])
    rich = rich.with_columns(
        z=pl.col("log_moneyness") / (pl.col("atm") * pl.col("years_to_expiry").sqrt()),
        ratio=pl.col("mark_iv") / pl.col("atm"),
    )

    def mean_ratio(z: float) -> float:
        return rich.filter((pl.col("z") - z).abs() < 0.2, currency="BTC")["ratio"].mean()

    assert mean_ratio(-2.0) > mean_ratio(2.0)
    assert mean_ratio(-2.0) + mean_ratio(2.0) > 2.1


def test_total_variance_grows_with_expiry(atm):
    """Less what marks are noisy by: about 1 % of volatility."""
    for (_, _), curve in atm.group_by("timestamp", "currency"):
        variance = curve.sort("days").select(pl.col("atm") ** 2 * pl.col("days")).to_series()
        assert all(later > 0.95 * earlier for earlier, later in pairwise(variance))


@pytest.mark.parametrize("seed", range(3))
def test_surface_before_noise_admits_no_static_arbitrage(seed):
    rng = np.random.default_rng(seed)
    state = synthetic._simulated(rng, DAYS, 1)
    instants = 1_767_600_000_000_000 + np.arange(DAYS) * 86_400_000_000
    listing = synthetic._listed(instants, state)
    vol = synthetic._smile(listing, state)
    table = pl.DataFrame(
        {
            "snapshot": listing.snapshot,
            "coin": listing.coin,
            "expiry": listing.expiry,
            "strike": listing.strike_usd,
            "variance": listing.total_variance,
            "usd": listing.forward_usd
            * price_coin(listing.forward_usd, listing.strike_usd, listing.years, vol, True),
        }
    )
    over = ["snapshot", "coin", "expiry"]
    slope = (pl.col("usd").diff() / pl.col("strike").diff()).over(over).alias("slope")
    slopes = table.select(slope, *over).drop_nulls()
    assert slopes["slope"].max() <= 0
    assert slopes["slope"].min() >= -1
    # Butterflies: call prices are convex in strike.
    assert slopes.select(pl.col("slope").diff().over(over).min()).item() > -1e-9
    # Calendars: with one skew and curvature, smiles never cross if theta increases.
    theta = table.group_by(over).agg(pl.col("variance").first()).sort(over)
    assert theta.select(pl.col("variance").diff().over("snapshot", "coin").min()).item() > 0


@pytest.mark.parametrize("seed", range(5))
def test_the_crash_lies_inside_the_stress_window(seed):
    chain = market(seed, days=30)
    begins, ends = stress_window(30)
    month = chain.with_columns(days=years_to_expiry() * DAYS_PER_YEAR).filter(
        pl.col("days").is_between(20, 60), currency="BTC"
    )
    near = month.sort(log_moneyness().abs()).group_by("timestamp").first().sort("timestamp")
    before = near.filter(pl.col("timestamp") < begins).tail(1)
    within = near.filter(pl.col("timestamp").is_between(begins, ends, closed="left"))
    assert within["mark_iv"].max() > 1.25 * before["mark_iv"].item()
    assert within["forward_usd"].min() < 0.93 * before["forward_usd"].item()


@pytest.mark.parametrize("days", [1, 2, 7, 60, 365])
def test_stress_window_is_whole_days_inside_the_market(days):
    begins, ends = stress_window(days)
    assert DEFAULT_START <= begins < ends <= DEFAULT_START + timedelta(days=days)
    assert (ends - begins) % timedelta(days=1) == timedelta(0)
    assert ends - begins <= max(timedelta(days=1), timedelta(days=0.1 * days))
