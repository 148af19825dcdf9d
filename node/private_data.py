"""A participant's training samples, from its own folder of quotes or from the made-up market.

The reference panel is public: it comes from a folder of public quotes, and no private quote is in
it. A desk without such a folder takes the panel from its own quotes. The panel's points are also
trained on: desks that share no quotes then still share these, which keeps their updates alike.
"""

from datetime import timedelta

import polars as pl
import structlog

from node.config import NodeConfig
from node.learning.contribution import hold_out
from node.market.cleaning import clean
from node.market.desks import partition, read_desk
from node.market.panel import build_panel
from node.market.samples import Samples, anchor_samples, build_samples
from node.market.split import Split, split_for
from node.market.synthetic import market
from protocol.errors import ConfigError, DataError

PANEL_AGE = timedelta(hours=1)
"""How old the public snapshot may be that a private quote is priced by."""
OPTION = ["timestamp", "currency", "expiry", "strike_usd", "is_call"]

log = structlog.get_logger("node")


def desk_samples(config: NodeConfig) -> Samples:
    """What this participant trains on.

    Raises: DataError, ConfigError.
    """
    return Samples.join(*_own_and_anchors(config))


def judging_desk_samples(config: NodeConfig) -> tuple[Samples, Samples]:
    """What this participant trains on, and the latest days of its own, which it judges others by.

    Raises: DataError, ConfigError.
    """
    own, anchors = _own_and_anchors(config)
    trained_on, held_out = hold_out(own)
    return Samples.join(trained_on, anchors), held_out


def _own_and_anchors(config: NodeConfig) -> tuple[Samples, Samples]:
    """This participant's quotes, and the points of the public panel."""
    if config.data == "synthetic":
        return _made_up(config)
    if config.data is None:
        raise ConfigError("data is missing: a node that trains needs quotes")
    own = _cleaned(read_desk(config.data), "own")
    reference = own
    if config.reference is not None:
        reference = _cleaned(read_desk(config.reference), "reference")
        own = at_public_snapshots(own, reference)
    panel = build_panel(reference)
    return build_samples(own, panel), anchor_samples(panel)


def _made_up(config: NodeConfig) -> tuple[Samples, Samples]:
    chain = _cleaned(market(config.seed, days=config.synthetic_days), "made-up")
    panel = build_panel(chain)
    # The later days stay unseen, so that an evaluator on the same market judges fairly.
    split = split_for(panel)
    early = training_days(chain, split)
    own = partition(early, config.partition, config.desks, config.seed)[config.desk]
    return build_samples(own, panel), split.train(anchor_samples(panel))


def training_days(chain: pl.DataFrame, split: Split) -> pl.DataFrame:
    """The quotes that may be trained on: only they are divided, so that every desk gets a part."""
    time = pl.col("timestamp")
    in_stress = (time >= split.stress_start) & (time < split.stress_end)
    return chain.filter((time < split.train_end) & ~in_stress)


def at_public_snapshots(own: pl.DataFrame, public: pl.DataFrame) -> pl.DataFrame:
    """Own quotes, dated to the latest public snapshot before them, whose panel they are priced by.

    A quote without one inside `PANEL_AGE` is left out; of several quotes of one option by the same
    snapshot the latest is kept.

    Raises: DataError if no quote is left.
    """
    snapshots = public.select(snapshot="timestamp").unique().sort("snapshot")
    dated = (
        own.sort("timestamp", maintain_order=True)
        .join_asof(snapshots, left_on="timestamp", right_on="snapshot", tolerance=PANEL_AGE)
        .drop_nulls("snapshot")
        .with_columns(timestamp="snapshot")
        .drop("snapshot")
        .unique(OPTION, keep="last", maintain_order=True)
    )
    log.info("quotes_dated", kept=dated.height, without_panel_or_repeated=own.height - dated.height)
    if dated.is_empty():
        raise DataError(
            f"own quotes at most {PANEL_AGE} after a public snapshot are wanted, found none of "
            f"{own.height} after any of {snapshots.height}: collect public quotes of the same days"
        )
    return dated


def _cleaned(quotes: pl.DataFrame, which: str) -> pl.DataFrame:
    cleaned = clean(quotes)
    log.info("quotes_cleaned", which=which, kept=cleaned.quotes.height, dropped=cleaned.dropped)
    return cleaned.quotes
