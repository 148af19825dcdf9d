"""A desk trains on its own quotes and on the early days, and nothing private is in its panel."""

from pathlib import Path

import numpy as np
import polars as pl
import pytest

from node.config import NodeConfig
from node.market.cleaning import clean
from node.market.desks import write_desk
from node.market.layouts import read_batches
from node.market.panel import build_panel
from node.market.quotes import QUOTES
from node.market.samples import Samples, build_samples
from node.market.split import split_for
from node.market.synthetic import market
from node.models.prior import prior_anchors
from node.private_data import at_public_snapshots, desk_samples, judging_desk_samples
from protocol.errors import ConfigError, DataError

pytestmark = pytest.mark.unit

SEED, DAYS = 3, 12


def config(**changes: object) -> NodeConfig:
    settings = {
        "rpc_url": "http://127.0.0.1:8545",
        "deployment": "deployment.json",
        "state_dir": "state",
        "data": "synthetic",
        "synthetic_days": DAYS,
        "seed": SEED,
        "desks": 3,
    }
    return NodeConfig.model_validate(settings | changes)


def same(one: Samples, other: Samples) -> bool:
    columns = set(Samples.columns()) - {"surface_row"}
    return all(
        np.array_equal(getattr(one, name), getattr(other, name)) for name in columns
    ) and np.array_equal(one.surfaces[one.surface_row], other.surfaces[other.surface_row])


@pytest.fixture(scope="module")
def chain() -> pl.DataFrame:
    return market(SEED, days=DAYS)


@pytest.fixture(scope="module")
def public(chain: pl.DataFrame, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("public")
    write_desk(folder, chain)
    return folder


@pytest.fixture(scope="module")
def own(chain: pl.DataFrame, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A desk that knows one coin's calls only."""
    folder = tmp_path_factory.mktemp("own")
    write_desk(folder, chain.filter(pl.col("is_call") & (pl.col("currency") == "ETH")))
    return folder


@pytest.mark.parametrize("partition", ["desks", "dirichlet", "time", "moneyness"])
def test_desks_of_the_made_up_market_share_its_early_days_without_overlap(chain, partition):
    quotes = clean(chain).quotes
    panel = build_panel(quotes)
    split = split_for(panel)

    parts = [desk_samples(config(partition=partition, desk=desk)) for desk in range(3)]

    anchors = len(split.train(prior_anchors(panel)))
    assert min(map(len, parts)) > anchors > 0
    own = sum(map(len, parts)) - 3 * anchors
    assert own == len(split.train(build_samples(quotes, panel)))
    for part in parts:
        assert len(split.train(part)) == len(part), "a held-out day was given away"


def test_made_up_desk_is_the_same_at_every_start():
    assert same(desk_samples(config(desk=1)), desk_samples(config(desk=1)))
    assert not same(desk_samples(config(desk=1)), desk_samples(config(desk=1, seed=4)))


def test_own_folder_is_trained_on_with_a_public_panel(own, public, chain):
    found = desk_samples(config(data=own, reference=public))

    panel = build_panel(clean(chain).quotes)
    own_quotes = clean(chain.filter(pl.col("is_call") & (pl.col("currency") == "ETH"))).quotes
    own_samples = build_samples(own_quotes, panel)
    assert same(found, Samples.join(own_samples, prior_anchors(panel)))
    assert not own_samples.is_btc.any()


def test_private_quotes_do_not_move_a_public_panel(own, public, tmp_path):
    quotes = pl.read_parquet(own / "quotes.parquet")
    write_desk(tmp_path, quotes.filter(pl.col("strike_usd") > quotes["strike_usd"].median()))

    whole = desk_samples(config(data=own, reference=public))
    part = desk_samples(config(data=tmp_path, reference=public))

    assert 0 < len(part) < len(whole)
    known = {key: row.tolist() for key, row in zip(keys_of(whole), whole.panel_vols, strict=True)}
    for key, row in zip(keys_of(part), part.panel_vols, strict=True):
        assert row.tolist() == known[key]


def keys_of(samples: Samples) -> list[tuple[int, bool, float]]:
    columns = (samples.snapshot, samples.is_btc, samples.years)
    return list(zip(*(column.tolist() for column in columns), strict=True))


def test_desk_without_public_quotes_takes_the_panel_from_its_own(public, chain):
    quotes = clean(chain).quotes
    panel = build_panel(quotes)

    expected = Samples.join(build_samples(quotes, panel), prior_anchors(panel))
    assert same(desk_samples(config(data=public)), expected)


def test_folder_that_is_missing_empty_or_of_other_things_is_refused_for_what_it_is(tmp_path, own):
    with pytest.raises(DataError, match="found it empty"):
        desk_samples(config(data=tmp_path))
    (tmp_path / "quotes.xlsx").write_text("")
    with pytest.raises(DataError, match=r"parquet, CSV or JSON files .*, found none among its 1"):
        desk_samples(config(data=tmp_path))
    missing = tmp_path / "qoutes"
    with pytest.raises(ConfigError, match=f"^data: .* found nothing at {missing}$"):
        desk_samples(config(data=missing))
    with pytest.raises(ConfigError, match=f"^reference: .* found nothing at {missing}$"):
        desk_samples(config(data=own, reference=missing))
    with pytest.raises(DataError, match="found no such folder"):
        read_batches(missing)


def test_own_quotes_are_dated_to_the_public_snapshot_before_them(own, public, tmp_path):
    quotes = pl.read_parquet(own / "quotes.parquet")
    write_desk(tmp_path, quotes.with_columns(pl.col("timestamp") + pl.duration(minutes=20)))

    found = desk_samples(config(data=tmp_path, reference=public))

    exact = desk_samples(config(data=own, reference=public))
    assert len(found) > 0.98 * len(exact)
    assert set(found.snapshot.tolist()) == set(exact.snapshot.tolist())


def test_quotes_an_hour_after_the_last_public_snapshot_have_no_panel(chain):
    quotes = clean(chain).quotes
    late = quotes.with_columns(pl.col("timestamp") + pl.duration(minutes=61))

    with pytest.raises(DataError, match="found none of"):
        list(at_public_snapshots([late], quotes["timestamp"]))


def test_later_of_two_quotes_by_one_snapshot_is_kept(chain):
    quotes = clean(chain).quotes
    early = quotes.with_columns(pl.col("timestamp") + pl.duration(minutes=1))
    late = quotes.with_columns(
        pl.col("timestamp") + pl.duration(minutes=5), mark_iv=pl.col("mark_iv") + 1.0
    )

    dated = pl.concat(at_public_snapshots([pl.concat([late, early])], quotes["timestamp"]))

    assert dated.height == quotes.height
    assert dated["mark_iv"].min() > 1.0


def test_own_quotes_in_pieces_are_dated_as_in_one(chain):
    quotes = clean(chain).quotes
    late = [quotes.with_columns(pl.col("timestamp") + pl.duration(minutes=m)) for m in (1, 30, 55)]
    own = pl.concat(late).sort("timestamp", maintain_order=True)
    # Cut within what one public snapshot prices.
    pieces = [own[:700], own[700:701], own[701:701], own[701:2500], own[2500:]]

    dated = pl.concat(at_public_snapshots(pieces, quotes["timestamp"]))

    assert dated.equals(pl.concat(at_public_snapshots([own], quotes["timestamp"])))
    assert dated.height == quotes.height


def test_panel_of_other_days_is_refused(own, tmp_path):
    late = market(SEED, days=1).with_columns(pl.col("timestamp", "expiry") + pl.duration(days=4000))
    write_desk(tmp_path, late.select(list(QUOTES)))

    with pytest.raises(DataError, match="found none of"):
        desk_samples(config(data=own, reference=tmp_path))


def test_public_folder_without_quotes_is_refused(own, tmp_path):
    write_desk(tmp_path, QUOTES.to_frame())

    with pytest.raises(DataError, match="found none of"):
        desk_samples(config(data=own, reference=tmp_path))


def test_judge_does_not_train_on_its_own_latest_days(own, public, chain):
    of_folder = config(data=own, reference=public)
    anchors = prior_anchors(build_panel(clean(chain).quotes))

    trained_on, held_out = judging_desk_samples(of_folder)

    later = anchors.snapshot >= held_out.snapshot.min()
    assert later.any()
    count = len(trained_on) - int((~later).sum())
    early, public_points = trained_on.take(slice(count)), trained_on.take(slice(count, None))
    assert same(public_points, anchors.take(~later))
    assert same(Samples.join(early, held_out, anchors), desk_samples(of_folder))
    assert 0 < len(held_out) < len(early) / 4
    assert early.snapshot.max() < held_out.snapshot.min()
