"""Where quotes come from: a folder, or the market that is made up where there is none."""

from collections.abc import Iterable
from pathlib import Path
from typing import Final

from node.market.batches import EVERYTHING, Batch, Reading, within
from node.market.layouts import read_batches
from node.market.synthetic import market

SYNTHETIC: Final = "synthetic"
"""What settings and commands call the made-up market, in place of a folder."""
MADE_UP_DAYS: Final = 90
"""Length of the made-up market, unless told."""


def folder_named(data: Path | str) -> Path | None:
    """A folder that a person named; None for the made-up market."""
    return None if str(data) == SYNTHETIC else Path(data)


def quotes_of(
    folder: Path | None,
    *,
    seed: int = 0,
    days: int = MADE_UP_DAYS,
    reading: Reading = EVERYTHING,
) -> Iterable[Batch]:
    """A folder's quotes by time; without a folder those of the made-up market.

    Raises: DataError as `read_batches`.
    """
    if folder is not None:
        return read_batches(folder, reading=reading)
    return [Batch.of(within(market(seed, days=days).lazy(), reading).collect())]
