"""A participant's training samples, from its own folder of quotes or from the made-up market.

The reference panel is public: it comes from a folder of public quotes, and no private quote is in
it. A desk without such a folder takes the panel from its own quotes. The panel's points are also
trained on: desks that share no quotes then still share these, which keeps their updates alike.
"""

from collections.abc import Iterable, Iterator
from datetime import timedelta
from pathlib import Path

import polars as pl
import structlog

from node.config import NodeConfig
from node.learning.division import Market
from node.market.batches import Batch
from node.market.layouts import read_batches
from node.market.pipeline import Tally, cleaned, panel_of, prepare, samples_of
from node.market.quotes import INSTANT, OPTION_KEY
from node.market.samples import Samples
from node.market.sources import SYNTHETIC, quotes_of
from node.market.split import hold_out
from node.models.prior import prior_anchors
from protocol.errors import ConfigError, DataError

PANEL_AGE = timedelta(hours=1)
"""How old the public snapshot may be that a private quote is priced by."""

log = structlog.get_logger("node")


def desk_samples(config: NodeConfig) -> Samples:
    """What this participant trains on.

    Raises: DataError, ConfigError.
    """
    return Samples.join_taking(list(_own_and_anchors(config)))


def judging_desk_samples(config: NodeConfig) -> tuple[Samples, Samples]:
    """What this participant trains on, and the latest days of its own, which it judges others by.

    Raises: DataError, ConfigError.
    """
    own, anchors = _own_and_anchors(config)
    trained_on, held_out = hold_out(own)
    parts = [trained_on, anchors.take(anchors.snapshot < held_out.snapshot.min())]
    # They hold the columns that the join lets go one by one.
    del own, trained_on
    return Samples.join_taking(parts), held_out


def _own_and_anchors(config: NodeConfig) -> tuple[Samples, Samples]:
    """This participant's quotes, and the points of the public panel."""
    if config.data == SYNTHETIC:
        return _made_up(config)
    if config.data is None:
        raise ConfigError("data is missing: a node that trains needs quotes")
    for name, folder in (("data", config.data), ("reference", config.reference)):
        if folder is not None and not folder.exists():
            raise ConfigError(f"{name}: wanted a folder of quotes, found nothing at {folder}")
    return own_and_anchors(config.data, config.reference)


def own_and_anchors(
    data: Path, reference: Path | None, tally: Tally | None = None
) -> tuple[Samples, Samples]:
    """A desk's quotes in a folder, and the points of the public panel that they are priced by.

    The panel is read off the quotes in `reference`; off the desk's own where that is left out.
    `tally` is told what became of the own quotes.

    Raises: DataError.
    """
    own = _cleaned(read_batches(data), "own", tally)
    if reference is None:
        prepared = prepare(own)
        return prepared.samples, prior_anchors(prepared.panel)
    snapshots = [pl.Series(dtype=INSTANT)]
    panel = panel_of(_noting(_cleaned(read_batches(reference), "reference"), snapshots))
    dated = at_public_snapshots(own, pl.concat(snapshots))
    return samples_of(dated, panel), prior_anchors(panel)


def _made_up(config: NodeConfig) -> tuple[Samples, Samples]:
    """Of the early days only, so that an evaluator on the same market judges fairly."""
    quotes = quotes_of(None, seed=config.seed, days=config.synthetic_days)
    market = Market.of(pl.concat(_cleaned(quotes, "made-up")))
    divided = market.divided(config.partition, config.desks, config.seed)
    return divided.own[config.desk], divided.anchors


def at_public_snapshots(
    own: Iterable[pl.DataFrame], snapshots: pl.Series
) -> Iterator[pl.DataFrame]:
    """Own quotes, dated to the latest public snapshot before them, whose panel they are priced by.

    A quote without one inside `PANEL_AGE` is left out; of several quotes of one option by the same
    snapshot the latest is kept. Tables of own quotes follow each other in time.

    Raises: DataError if no quote is left.
    """
    times = snapshots.unique().sort().alias("snapshot").to_frame()
    read = kept = 0
    # The next table may have later quotes by the snapshot that this one ended with.
    waiting: pl.DataFrame | None = None
    for table in own:
        read += table.height
        dated = _dated(table, times)
        if waiting is not None:
            dated = _latest(pl.concat([waiting, dated]))
        is_last = pl.col("timestamp") == pl.col("timestamp").max()
        waiting = dated.filter(is_last)
        kept += dated.height - waiting.height
        yield dated.filter(is_last.not_())
    if waiting is not None:
        kept += waiting.height
        yield waiting
    log.info("quotes_dated", kept=kept, without_panel_or_repeated=read - kept)
    if kept == 0:
        raise DataError(
            f"own quotes at most {PANEL_AGE} after a public snapshot are wanted, found none of "
            f"{read} after any of {times.height}: collect public quotes of the same days"
        )


def _dated(own: pl.DataFrame, times: pl.DataFrame) -> pl.DataFrame:
    dated = (
        own.sort("timestamp", maintain_order=True)
        .join_asof(times, left_on="timestamp", right_on="snapshot", tolerance=PANEL_AGE)
        .drop_nulls("snapshot")
        .with_columns(timestamp="snapshot")
        .drop("snapshot")
    )
    return _latest(dated)


def _latest(dated: pl.DataFrame) -> pl.DataFrame:
    return dated.unique(OPTION_KEY, keep="last", maintain_order=True)


def _noting(tables: Iterable[pl.DataFrame], snapshots: list[pl.Series]) -> Iterator[pl.DataFrame]:
    for table in tables:
        snapshots.append(table["timestamp"].unique())
        yield table


def _cleaned(
    batches: Iterable[Batch], which: str, tally: Tally | None = None
) -> Iterator[pl.DataFrame]:
    tally = tally or Tally()
    yield from cleaned(batches, tally)
    log.info(
        "quotes_cleaned",
        which=which,
        kept=tally.kept,
        dropped=dict(tally.dropped),
        skipped=dict(tally.skipped),
        expiries_without_forward=tally.without_forward,
    )
