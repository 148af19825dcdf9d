"""Desks: who holds which quotes.

Experiments cut one table into desks (`partition`); a real desk is a folder of its own files in any
layout that `node/market/layouts.py` knows.
"""

import os
from collections.abc import Callable, Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Final, Literal
from uuid import uuid4

import numpy as np
import polars as pl
from numpy.typing import NDArray

from node.market.quotes import (
    DAYS_PER_YEAR,
    QUOTES,
    check_quotes,
    log_moneyness,
    snapshot_id,
    years_to_expiry,
)
from protocol.errors import ConfigError, DataError
from protocol.storage import unwritable, writing

Partition = Literal["desks", "dirichlet", "time", "moneyness"]
Owners = NDArray[np.int64]

LONG_DAYS: Final = 90.0
"""Days to expiry above which both coins are one desk's book."""
DIRICHLET_CONCENTRATION: Final = 0.3
"""Uneven but not disjoint: the lower, the more a desk lives in few cells."""

_TWO_BOOK_EDGES: Final = {"BTC": (14.0,), "ETH": (30.0,)}
"""Days to expiry; ETH lists fewer short expiries, so its short book reaches further."""
_SHORTEST_EDGE_DAYS: Final = 2.0
_SMALLEST_SHARE: Final = 0.1
"""Of an equal share: a desk dealt less could not train."""
_DEALS: Final = 1000


def partition(quotes: pl.DataFrame, how: Partition, desks: int, seed: int) -> list[pl.DataFrame]:
    """Disjoint and complete parts, one a desk, each in the order of `quotes`.

    - desks: by coin and days to expiry; all above 90 days is one desk's. Five desks are BTC to 14
      days, BTC 14-90, both above 90, ETH to 30, ETH 30-90. The edges depend on `desks` alone.
    - dirichlet: each of those five cells is dealt out at random in Dirichlet(0.3) shares. Source:
      T. Hsu, H. Qi, M. Brown, "Measuring the effects of non-identical data distribution", 2019.
    - time: blocks of consecutive snapshots, as equal as whole snapshots allow.
    - moneyness: equal counts by strike in standard deviations, k / (mark_iv sqrt T).

    Only "dirichlet" draws on `seed`. Columns beyond the quote table's are kept.

    Raises: ConfigError for no desks or an unknown partition; DataError if a desk would get nothing.
    """
    owners_of = _PARTITIONS.get(how)
    if owners_of is None:
        raise ConfigError(f"partition: wanted one of {list(_PARTITIONS)}, found {how!r}")
    if desks < 1:
        raise ConfigError(f"desks: wanted 1 or more, found {desks}")
    owners = owners_of(quotes, desks, np.random.default_rng(seed))
    sizes = np.bincount(owners, minlength=desks)
    if not sizes.all():
        raise DataError(
            f"partition {how}: desk {int(sizes.argmin())} of {desks} would get none of "
            f"{quotes.height} quotes; use fewer desks or more days"
        )
    return [quotes.filter(pl.Series(owners == desk)) for desk in range(desks)]


def _by_book(quotes: pl.DataFrame, desks: int, _rng: np.random.Generator) -> Owners:
    if desks == 1:
        return np.zeros(quotes.height, dtype=np.int64)
    is_btc = (quotes["currency"] == "BTC").to_numpy()
    if desks == 2:
        return np.where(is_btc, 0, 1)
    days = _days(quotes)
    btc_books = desks // 2
    eth_books = desks - 1 - btc_books
    btc = np.searchsorted(_book_edges("BTC", btc_books), days, side="left")
    eth = btc_books + 1 + np.searchsorted(_book_edges("ETH", eth_books), days, side="left")
    return np.where(days > LONG_DAYS, btc_books, np.where(is_btc, btc, eth)).astype(np.int64)


def _book_edges(currency: str, books: int) -> tuple[float, ...]:
    """Days to expiry between a coin's books up to `LONG_DAYS`, about equal on a log scale."""
    if books == 2:
        return _TWO_BOOK_EDGES[currency]
    ratio = _SHORTEST_EDGE_DAYS / LONG_DAYS
    return tuple(LONG_DAYS * ratio ** (1.0 - book / books) for book in range(1, books))


def _by_dirichlet(quotes: pl.DataFrame, desks: int, rng: np.random.Generator) -> Owners:
    cells = _by_book(quotes, 5, rng)
    for _ in range(_DEALS):
        owners = np.empty(quotes.height, dtype=np.int64)
        for cell in range(5):
            rows = rng.permutation(np.flatnonzero(cells == cell))
            shares = rng.dirichlet(np.full(desks, DIRICHLET_CONCENTRATION))
            cuts = np.rint(np.cumsum(shares)[:-1] * rows.size).astype(np.int64)
            for desk, dealt in enumerate(np.split(rows, cuts)):
                owners[dealt] = desk
        if np.bincount(owners, minlength=desks).min() >= _SMALLEST_SHARE * quotes.height / desks:
            return owners
    raise DataError(
        f"partition dirichlet: none of {_DEALS} deals gave each of {desks} desks a tenth of an "
        f"equal share of {quotes.height} quotes; use fewer desks"
    )


def _by_time(quotes: pl.DataFrame, desks: int, _rng: np.random.Generator) -> Owners:
    ids = quotes.select(snapshot_id()).to_series().to_numpy()
    snapshots, rank = np.unique(ids, return_inverse=True)
    return (rank * desks // max(snapshots.size, 1)).astype(np.int64)


def _by_moneyness(quotes: pl.DataFrame, desks: int, _rng: np.random.Generator) -> Owners:
    deviation = pl.col("mark_iv") * years_to_expiry().sqrt()
    strikes = quotes.select(log_moneyness() / deviation).to_series().to_numpy()
    rank = np.empty(quotes.height, dtype=np.int64)
    rank[np.argsort(strikes, kind="stable")] = np.arange(quotes.height)
    return rank * desks // max(quotes.height, 1)


def _days(quotes: pl.DataFrame) -> NDArray[np.float64]:
    return quotes.select(years_to_expiry() * DAYS_PER_YEAR).to_series().to_numpy()


_PARTITIONS: Mapping[Partition, Callable[[pl.DataFrame, int, np.random.Generator], Owners]] = (
    MappingProxyType(
        {
            "desks": _by_book,
            "dirichlet": _by_dirichlet,
            "time": _by_time,
            "moneyness": _by_moneyness,
        }
    )
)


def write_desk(folder: Path, quotes: pl.DataFrame, *, name: str = "quotes") -> Path:
    """Writes a checked quote table to `folder/name.parquet`: the whole file or nothing.

    Columns beyond the quote table's are left out. An existing file of that name is replaced.

    Raises: StorageError.
    """
    table = check_quotes(quotes.select(list(QUOTES)))
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / f"{name}.parquet"
    # A name no reader globs, in the same folder, so that the rename is atomic.
    part = folder / f".{name}.{uuid4().hex}.part"
    try:
        with writing(path):
            table.write_parquet(part)
            with part.open("rb") as written:
                os.fsync(written.fileno())
            part.replace(path)
    except pl.exceptions.ComputeError as error:
        # Polars says so of a disk that is full in the middle of a file.
        raise unwritable(path, str(error)) from error
    finally:
        part.unlink(missing_ok=True)
    return path
