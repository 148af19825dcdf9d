from dataclasses import replace
from datetime import timedelta

import polars as pl
import pytest

from node.market.black76 import delta, price_coin
from node.market.cleaning import DEFAULT_RULES, REASONS, CleaningRules, clean
from node.market.quotes import QUOTES
from node.market.synthetic import market
from tests.unit.node.recorded import NOON, needs_chains, quotes, recorded_chain

pytestmark = pytest.mark.unit


def priced(
    *,
    days: float = 25.0,
    strike_usd: float = 90_000.0,
    is_call: bool = True,
    bid_iv: float = 0.49,
    ask_iv: float = 0.51,
    mark_iv: float = 0.5,
    **changed: object,
) -> dict[str, object]:
    """Changes that make a quote whose prices have these volatilities at a forward of 80,000."""
    years = days / 365.25
    bid, ask, mark = (
        float(price_coin(80_000.0, strike_usd, years, vol, is_call))
        for vol in (bid_iv, ask_iv, mark_iv)
    )
    return {
        "expiry": NOON + timedelta(days=days),
        "strike_usd": strike_usd,
        "is_call": is_call,
        "bid_coin": bid,
        "ask_coin": ask,
        "mark_coin": mark,
        "mark_iv": mark_iv,
        "delta": float(delta(80_000.0, strike_usd, years, mark_iv, is_call)),
    } | changed


def dropped_by(*changes: dict[str, object], rules: CleaningRules = DEFAULT_RULES) -> dict[str, int]:
    return {name: count for name, count in clean(quotes(*changes), rules).dropped.items() if count}


def test_good_quote_is_kept_with_the_volatilities_of_its_prices():
    cleaned = clean(quotes(priced()))
    assert cleaned.quotes.select(list(QUOTES)).equals(quotes(priced()))
    assert cleaned.quotes.select("bid_iv", "ask_iv").row(0) == pytest.approx((0.49, 0.51))
    assert cleaned.quotes["mid_iv"].item() == pytest.approx(0.5, abs=1e-4)
    assert cleaned.dropped == dict.fromkeys(REASONS, 0)


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"bid_coin": None}, "one_sided"),
        ({"ask_coin": None}, "one_sided"),
        ({"bid_iv": 0.52}, "crossed"),
        ({"is_call": False}, "in_the_money"),
        ({"strike_usd": 79_999.0}, "in_the_money"),
        ({"days": 0.99}, "short_tenor"),
        ({"days": 366.0}, "long_tenor"),
        ({"mark_coin": 0.00019}, "small_mark"),
        ({"delta": 0.0099}, "small_delta"),
        ({"ask_coin": 1.5}, "not_invertible"),
        ({"bid_iv": 0.449, "ask_iv": 0.551}, "wide_spread"),
        ({"mark_iv": 0.54}, "mid_off_mark"),
    ],
)
def test_each_rule_drops_what_it_names(change, reason):
    assert dropped_by(priced(), priced(strike_usd=91_000.0) | priced(**change)) == {reason: 1}


@pytest.mark.parametrize(
    "change",
    [
        {"days": 1.0},
        {"days": 365.25},
        {"strike_usd": 80_000.0},
        {"strike_usd": 70_000.0, "is_call": False},
        {"delta": 0.01},
        {"mark_coin": 0.0002},
        {"bid_iv": 0.451, "ask_iv": 0.549},
        {"mark_iv": 0.528},
    ],
)
def test_quote_at_a_limit_is_kept(change):
    near = {"strike_usd": 80_500.0} if "days" in change else {}
    assert dropped_by(priced(**(near | change))) == {}


def test_quote_that_breaks_several_rules_is_counted_once_by_the_first():
    bad = priced(days=0.5, is_call=False, bid_coin=None, delta=0.0)
    assert dropped_by(bad) == {"one_sided": 1}


def test_missing_delta_is_computed_and_a_given_one_is_kept():
    given = priced(strike_usd=91_000.0, delta=0.123)
    cleaned = clean(quotes(priced(delta=None), given)).quotes
    expected = delta(80_000.0, 90_000.0, 25.0 / 365.25, 0.5, True)
    assert cleaned["delta"].to_list() == pytest.approx([float(expected), 0.123])


def test_missing_delta_of_a_far_strike_drops_it():
    far = priced(strike_usd=150_000.0, delta=None, mark_coin=0.0002)
    assert dropped_by(far) == {"small_delta": 1}


def test_rules_are_the_callers():
    wide = priced(bid_iv=0.44, ask_iv=0.55)
    assert dropped_by(wide, rules=replace(DEFAULT_RULES, max_spread_vol_points=12.0)) == {}


def test_counts_add_up_and_order_is_kept():
    chain = market(3, days=3)
    cleaned = clean(chain)
    assert cleaned.quotes.height + sum(cleaned.dropped.values()) == chain.height
    kept = chain.with_row_index().join(
        cleaned.quotes, on=["timestamp", "currency", "expiry", "strike_usd", "is_call"], how="semi"
    )
    assert kept.select(list(QUOTES)).equals(cleaned.quotes.select(list(QUOTES)))
    assert list(cleaned.dropped) == list(REASONS)


def test_stale_asks_of_the_made_up_market_are_found():
    assert clean(market(3, days=3)).dropped["wide_spread"] > 0


def test_cleaning_twice_drops_nothing_more():
    once = clean(market(3, days=2)).quotes
    again = clean(once.select(list(QUOTES)))
    assert again.quotes.equals(once)


def test_empty_table_stays_empty():
    cleaned = clean(QUOTES.to_frame())
    assert cleaned.quotes.is_empty()
    assert sum(cleaned.dropped.values()) == 0


@pytest.mark.data
@needs_chains
def test_recorded_chains_lose_as_much_as_was_counted():
    cleaned = clean(recorded_chain())
    assert cleaned.dropped == {
        "one_sided": 87_721,
        "crossed": 0,
        "in_the_money": 568_483,
        "short_tenor": 15_741,
        "long_tenor": 0,
        "small_mark": 18_869,
        "small_delta": 38_638,
        "not_invertible": 2,
        "wide_spread": 1_086,
        "mid_off_mark": 237,
    }
    assert cleaned.quotes["timestamp"].n_unique() == 722
    spread = (pl.col("ask_iv") >= pl.col("mid_iv")) & (pl.col("mid_iv") >= pl.col("bid_iv"))
    assert cleaned.quotes.select(spread.all()).item()
