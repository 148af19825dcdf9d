from datetime import timedelta

import numpy as np
import polars as pl
import pytest

from node.market.black76 import price_coin
from node.market.forwards import EXPIRY_KEY, FEWEST, parity_forwards
from node.market.quotes import QUOTES
from tests.unit.node.recorded import NOON, needs_chains, recorded_chain

pytestmark = pytest.mark.unit

FORWARD = 81_234.5
STRIKES = np.arange(60_000.0, 110_000.0, 2_500.0)


def expiry(
    *, in_usd: bool = False, strikes=STRIKES, forward: float = FORWARD, days: float = 30.0
) -> pl.DataFrame:
    """Calls and puts of one expiry whose mids keep parity, a tenth of a vol point wide or so."""
    strike, is_call = np.repeat(strikes, 2), np.tile([True, False], len(strikes))
    mid = price_coin(forward, strike, days / 365.25, 0.6, is_call)
    unit = forward if in_usd else 1.0
    return pl.DataFrame(
        {
            "timestamp": pl.Series([NOON] * strike.size, dtype=QUOTES["timestamp"]),
            "currency": "BTC",
            "expiry": pl.Series(
                [NOON + timedelta(days=days)] * strike.size, dtype=QUOTES["expiry"]
            ),
            "strike_usd": strike,
            "is_call": is_call,
            "in_usd": in_usd,
            "bid": (mid - 1e-5) * unit,
            "ask": (mid + 1e-5) * unit,
        }
    )


@pytest.mark.parametrize("in_usd", [False, True])
def test_forward_that_made_the_premiums_is_found(in_usd):
    found = parity_forwards(expiry(in_usd=in_usd))
    assert found["forward_usd"].item() == pytest.approx(FORWARD, rel=1e-9)


def test_every_expiry_of_every_snapshot_and_coin_has_its_own():
    near, far = expiry(), expiry(days=90.0, forward=83_000.0)
    later = far.with_columns(pl.col("timestamp") + pl.duration(hours=1))
    ether = expiry(strikes=STRIKES / 30, forward=2_500.0).with_columns(currency=pl.lit("ETH"))
    found = parity_forwards(pl.concat([near, later, ether, far]))
    assert found.columns == [*EXPIRY_KEY, "forward_usd", "strikes"]
    assert found["forward_usd"].to_list() == pytest.approx([FORWARD, 83_000.0, 2_500.0, 83_000.0])


def test_a_stale_quote_is_outvoted():
    stale = (pl.col("strike_usd") == 80_000.0) & pl.col("is_call")
    moved = expiry().with_columns(
        pl.when(stale).then(pl.col(side) + 0.05).otherwise(side).alias(side)
        for side in ("bid", "ask")
    )
    assert parity_forwards(moved)["forward_usd"].item() == pytest.approx(FORWARD, rel=1e-9)


def test_strike_with_one_side_missing_says_nothing():
    strikes = STRIKES[7:10]
    one_sided = expiry(strikes=strikes).with_columns(
        bid=pl.when(pl.col("strike_usd") > strikes[0]).then("bid")
    )
    found = parity_forwards(one_sided)
    assert found.select("forward_usd", "strikes").row(0) == (None, 2)


def test_fewest_strikes_are_enough():
    found = parity_forwards(expiry(strikes=STRIKES[7 : 7 + FEWEST]))
    assert found["forward_usd"].item() == pytest.approx(FORWARD, rel=1e-9)


def test_voters_that_disagree_say_nothing():
    scattered = pl.col("strike_usd").rank("dense") * pl.col("is_call") * 0.02
    wild = expiry().with_columns(pl.col("bid") + scattered, pl.col("ask") + scattered)
    assert parity_forwards(wild)["forward_usd"].item() is None


def test_no_quotes_have_no_forwards():
    assert parity_forwards(expiry().clear()).is_empty()


@pytest.mark.data
@needs_chains
def test_forwards_of_recorded_chains_are_the_venues_to_basis_points():
    chain = recorded_chain(end=NOON.replace(month=1, day=15)).rename(
        {"bid_coin": "bid", "ask_coin": "ask"}
    )
    named = chain.group_by(EXPIRY_KEY).agg(pl.col("forward_usd").median().alias("named"))
    found = named.join(
        parity_forwards(chain.with_columns(in_usd=pl.lit(value=False))), on=EXPIRY_KEY, how="left"
    )
    off = (found["forward_usd"] / found["named"] - 1.0).abs() * 1e4
    assert off.median() < 2.5
    assert off.quantile(0.95) < 15.0
    assert found["forward_usd"].null_count() < 0.05 * found.height
