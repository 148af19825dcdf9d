"""How much better a hedge looks where only quotes that survive cleaning a day later count.

    python -m benchmarks.survivors --data DIR

Deviations of a day's gain in basis points on the test, as `node/evaluation/hedging.py` has them:
of all positions, and of those whose quote a day later survives cleaning too.
"""

from datetime import timedelta
from pathlib import Path
from typing import Final

import click

from node.evaluation.assessment import COINS
from node.evaluation.bootstrap import Days
from node.evaluation.hedging import HELD, TOLERANCE, Positions, deviation, open_positions
from node.learning.division import Market
from node.market.batches import Reading, whole
from node.market.cleaning import clean
from node.market.pipeline import cleaned_chain
from node.market.sources import quotes_of

REACH: Final[timedelta] = HELD + TOLERANCE


def lines(data: Path | None) -> list[str]:
    """One for each coin and choice of positions."""
    market = Market.of(cleaned_chain(quotes_of(data)))
    split, days = market.split, Days(market.test.snapshot)
    reading = Reading(start=split.test_start, end=split.test_end + REACH)
    chain = whole(quotes_of(data, reading=reading))
    later = clean(chain).quotes
    opened = later.filter(later["timestamp"] < split.test_end)
    found = []
    for name, known in {"all": chain, "surviving": later}.items():
        positions = open_positions(opened, market.panel, known)
        for coin in COINS:
            unhedged, hedged = deviations(positions, days, is_btc=coin == "BTC")
            count = int((positions.samples.is_btc == (coin == "BTC")).sum())
            found.append(
                f"{coin} {name:10}{count:7,} positions  unhedged {unhedged:6.1f} bp"
                f"  exchange's delta {hedged:6.1f} bp"
            )
    return found


def deviations(positions: Positions, days: Days, *, is_btc: bool) -> tuple[float, float]:
    """Unhedged, and hedged by the exchange's delta."""
    gains = positions.gain_bp, positions.hedged_bp(positions.exchange_delta)
    unhedged, hedged = (deviation(each, positions, days, is_btc=is_btc)[0] for each in gains)
    return float(unhedged), float(hedged)


@click.command()
@click.option("--data", type=click.Path(path_type=Path, exists=True), help="Made up without.")
def main(data: Path | None) -> None:
    """Print the deviations."""
    click.echo("\n".join(lines(data)))


if __name__ == "__main__":
    main()
