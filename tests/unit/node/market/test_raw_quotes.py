import polars as pl
import pytest

from node.market.quotes import QUOTES
from node.market.raw_quotes import RAW_QUOTES, SKIPPED, complete
from node.market.synthetic import market
from protocol.errors import DataError
from tests.unit.node.recorded import NOON

pytestmark = pytest.mark.unit


@pytest.fixture(scope="module")
def chain():
    return market(5, days=1)


def raw(quotes: pl.DataFrame, *, in_usd: bool = False) -> pl.DataFrame:
    """The quotes as a venue would send them that pays in coin or in dollars."""
    unit = pl.col("forward_usd") if in_usd else pl.lit(1.0)
    sides = [(pl.col(f"{name}_coin") * unit).alias(name) for name in ("bid", "ask", "mark")]
    return quotes.with_columns(*sides, in_usd=pl.lit(in_usd)).select(list(RAW_QUOTES))


def without(table: pl.DataFrame, *names: str) -> pl.DataFrame:
    return table.with_columns(pl.lit(None, dtype=RAW_QUOTES[name]).alias(name) for name in names)


def test_whole_raw_quotes_in_coin_are_the_quote_table_itself(chain):
    completed = complete(raw(chain))
    assert completed.quotes.equals(chain)
    assert completed.skipped == {}
    assert completed.without_forward.is_empty()


def test_premiums_in_dollars_become_coin_at_the_forward(chain):
    quotes = complete(raw(chain, in_usd=True)).quotes
    for name in ("bid_coin", "ask_coin", "mark_coin"):
        assert (quotes[name] - chain[name]).abs().max() < 1e-12
        assert quotes[name].is_null().equals(chain[name].is_null())
    assert quotes.drop("bid_coin", "ask_coin", "mark_coin").equals(
        chain.drop("bid_coin", "ask_coin", "mark_coin")
    )


@pytest.mark.parametrize("in_usd", [False, True])
def test_missing_forwards_are_estimated_before_dollars_are_converted(chain, in_usd):
    completed = complete(without(raw(chain, in_usd=in_usd), "forward_usd"))
    both = completed.quotes.join(
        chain, on=["timestamp", "currency", "expiry", "strike_usd", "is_call"]
    )
    off = (both["forward_usd"] / both["forward_usd_right"] - 1.0).abs()
    assert off.median() < 5e-4
    assert off.max() < 5e-3
    assert completed.quotes.height + sum(completed.skipped.values()) == chain.height


def test_expiry_whose_forward_cannot_be_estimated_is_named_and_its_rows_are_counted(chain):
    first = chain["expiry"].min()
    one = (pl.col("expiry") == first) & (pl.col("currency") == "ETH")
    bare = without(raw(chain), "forward_usd").with_columns(
        bid=pl.when(one).then(None).otherwise("bid")
    )
    completed = complete(bare)
    lost = chain.filter(one)
    assert completed.skipped["no_forward"] == lost.height
    assert completed.without_forward.height == lost["timestamp"].n_unique()
    assert set(completed.without_forward["expiry"]) == {first}
    assert set(completed.without_forward["currency"]) == {"ETH"}


def test_forward_that_the_venue_names_is_kept_beside_estimated_ones(chain):
    known = pl.col("expiry") == chain["expiry"].max()
    table = raw(chain).with_columns(forward_usd=pl.when(known).then("forward_usd"))
    quotes = complete(table).quotes
    assert quotes.filter(known).equals(chain.filter(known))


def test_missing_volatility_is_inverted_from_the_mark(chain):
    liquid = chain.filter(pl.col("mark_coin") > 0.005, pl.col("delta").abs().is_between(0.1, 0.9))
    quotes = complete(without(raw(liquid), "mark_iv")).quotes
    assert quotes.height == liquid.height
    # The made-up mark is rounded to a millionth of a coin.
    assert (quotes["mark_iv"] - liquid["mark_iv"]).abs().max() < 3e-3


def one(**changed: object) -> pl.DataFrame:
    """A raw quote with its changes, beside an unchanged one of another strike."""
    plain: dict[str, object] = {
        "timestamp": NOON,
        "currency": "BTC",
        "expiry": NOON.replace(day=27),
        "strike_usd": 90_000.0,
        "is_call": True,
        "forward_usd": 80_000.0,
        "in_usd": False,
        "bid": 0.0095,
        "ask": 0.01,
        "mark": 0.00974,
        "mark_iv": 0.5,
        "delta": None,
        "open_interest_coin": None,
        "volume_coin": None,
    }
    rows = [plain | changed, plain | {"strike_usd": 91_000.0}]
    return pl.DataFrame(rows, schema=RAW_QUOTES)


@pytest.mark.parametrize(
    ("changed", "reason"),
    [
        ({"currency": "SOL"}, "other_coin"),
        ({"expiry": NOON}, "expired"),
        ({"mark": None}, "no_mark"),
        ({"forward_usd": None, "expiry": NOON.replace(day=28)}, "no_forward"),
        ({"mark": 0.0, "mark_iv": None}, "no_volatility"),
    ],
)
def test_what_cannot_be_priced_is_left_out_and_counted(changed, reason):
    completed = complete(one(**changed))
    assert completed.skipped == {reason: 1}
    assert reason in SKIPPED
    assert completed.quotes["strike_usd"].to_list() == [91_000.0]


def test_linear_option_beside_the_same_one_in_coin_is_left_out():
    both = pl.concat([one(in_usd=True, bid=760.0, ask=800.0, mark=780.0), one().head(1)])
    completed = complete(both)
    assert completed.skipped == {"linear_twin": 1}
    assert completed.quotes.sort("strike_usd")["bid_coin"].to_list() == [0.0095, 0.0095]


def test_side_of_0_is_none():
    quotes = complete(one(bid=0.0, ask=0.0)).quotes
    assert quotes.select("bid_coin", "ask_coin").row(0) == (None, None)


@pytest.mark.parametrize(
    ("changed", "column"),
    [
        ({"strike_usd": None}, "strike_usd"),
        ({"is_call": None}, "is_call"),
        ({"currency": None}, "currency"),
        ({"expiry": None}, "expiry"),
        ({"forward_usd": -1.0}, "forward_usd"),
        ({"bid": -1.0}, "bid_coin"),
        ({"mark": -1.0}, "mark_coin"),
        ({"delta": 2.0}, "delta"),
    ],
)
def test_value_that_cannot_be_is_refused_by_name(changed, column):
    with pytest.raises(DataError, match=f"column {column}: wanted"):
        complete(one(**changed))


def test_nothing_stays_nothing():
    assert complete(RAW_QUOTES.to_frame()).quotes.schema == QUOTES
