"""A desk fits a shared model to its own quotes by a command, and prices with the result."""

import json
from collections.abc import Callable
from dataclasses import replace
from datetime import timedelta
from functools import partial
from pathlib import Path

import numpy as np
import polars as pl
import pytest
import torch
from click.testing import CliRunner, Result

from node.evaluation.audit import LIMITS
from node.learning.training import LocalTraining, TrainingSettings
from node.market.desks import write_desk
from node.market.layouts import read_batches
from node.market.named_options import Market, read_options
from node.market.synthetic import market
from node.models.architecture import DEFAULT_SHIFT, LAST_LAYER
from node.models.greeks import model_greeks
from node.models.smile import SMILE
from node.private_data import own_and_anchors
from protocol.blobs import DirectoryStore
from protocol.encoding import decode, encode_model, encode_update
from protocol.exit_codes import ExitCode
from protocol.numbers import to_float, to_model
from scripts import named_model, personal, price

pytestmark = pytest.mark.unit

CHUNK_LENGTH = 256
SETTINGS = TrainingSettings(rounds=2, steps_per_round=30, batch_size=64)
STEEPER = 0.02
"""By how much the desk's marks lie above everybody's, decimal."""


@pytest.fixture(scope="module")
def quotes() -> pl.DataFrame:
    return market(3, days=12, snapshots_per_day=2)


@pytest.fixture(scope="module")
def data(quotes: pl.DataFrame, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder of one desk's quotes: BTC to 30 days."""
    left = pl.col("expiry") - pl.col("timestamp")
    own = quotes.filter((pl.col("currency") == "BTC") & (left <= pl.duration(days=30)))
    folder = tmp_path_factory.mktemp("desk")
    write_desk(folder, own)
    return folder


@pytest.fixture(scope="module")
def reference(quotes: pl.DataFrame, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder of everybody's quotes, which the panel is read off."""
    folder = tmp_path_factory.mktemp("public")
    write_desk(folder, quotes)
    return folder


@pytest.fixture(scope="module")
def shared(tmp_path_factory: pytest.TempPathFactory, data: Path, reference: Path) -> Path:
    """A shared model two vol points too high, as a blob store keeps it."""
    own, _ = own_and_anchors(data, reference)
    genesis = to_float(SMILE.genesis(0), DEFAULT_SHIFT)
    off = replace(own, target_vol=own.target_vol + STEEPER)
    vector = LocalTraining(off, SETTINGS).train(genesis, seed=1).vector
    store = DirectoryStore(tmp_path_factory.mktemp("blobs"))
    content = encode_model(to_model(vector, DEFAULT_SHIFT), DEFAULT_SHIFT)
    return store.file_of(store.put(content, chunk_length=CHUNK_LENGTH))


@pytest.fixture
def run(monkeypatch: pytest.MonkeyPatch) -> Callable[..., Result]:
    monkeypatch.setattr(named_model, "TrainingSettings", partial(TrainingSettings, 2, 10, 64))
    return lambda command, *options: CliRunner().invoke(command.main, [str(o) for o in options])


@pytest.fixture
def folders(data: Path, reference: Path) -> list[object]:
    return ["--data", data, "--reference", reference]


def values_of(file: Path) -> np.ndarray:
    return decode(file.read_bytes()).values


def test_desk_gets_a_head_that_prices_its_later_quotes_better(run, folders, shared, tmp_path):
    file = tmp_path / "new" / "own.model"
    done = run(personal, "--model", shared, *folders, "--out", file, "--json")
    assert done.exit_code == ExitCode.OK, done.output
    said = json.loads(done.stdout)
    assert said["model_root"] == "0x" + shared.name
    assert said["model_root_checked"] is True
    assert said["round"] is None
    errors = said["rmse_vol_points"]
    assert errors["head"] < 0.9 * errors["shared"]
    assert errors[said["chosen"]] == min(errors.values())
    assert said["quotes"] > said["later_quotes"] > 0


def test_what_is_written_is_what_was_measured_and_prices(run, folders, shared, tmp_path):
    file, csv = tmp_path / "own.model", tmp_path / "prices.csv"
    said = json.loads(run(personal, "--model", shared, *folders, "--out", file, "--json").stdout)
    options = ["--model", file, "--root", said["root"], *folders, "--all", "--out", csv]
    done = run(price, *options, "--json")
    assert done.exit_code == ExitCode.OK, done.output
    table = pl.read_csv(csv, try_parse_dates=True)
    assert table.height == json.loads(done.stdout)["quotes"]
    later = table.filter(pl.col("timestamp").dt.replace_time_zone(None) >= _day(said["later_from"]))
    assert later.height == said["later_quotes"]
    found = 100 * ((later["model_vol"] - later["mark_vol"]) ** 2).mean() ** 0.5
    assert found == pytest.approx(said["rmse_vol_points"][said["chosen"]], abs=1e-4)


def _day(text: str) -> pl.Expr:
    return pl.lit(text).str.to_datetime(time_zone="UTC").dt.replace_time_zone(None)


def test_only_the_last_layer_of_a_head_is_the_desk_s_own(
    run, folders, shared, tmp_path, monkeypatch
):
    monkeypatch.setattr(personal, "train_alone", lambda genesis, *_given, **_named: genesis + 9.0)
    file = tmp_path / "own.model"
    said = json.loads(run(personal, "--model", shared, *folders, "--out", file, "--json").stdout)
    assert said["chosen"] == "head"
    before, after = (SMILE.spec.unflatten(values_of(each)) for each in (shared, file))
    for name, value in after.items():
        assert (value != before[name]).any() == name.startswith(LAST_LAYER)


def test_desk_that_is_best_alone_keeps_its_own_model(run, folders, shared, tmp_path, monkeypatch):
    own = to_float(values_of(shared), DEFAULT_SHIFT)
    good = LocalTraining(own_and_anchors(*folders[1::2])[0], SETTINGS).train(own, seed=2).vector
    monkeypatch.setattr(personal, "train_alone", lambda *_given, **_named: good)
    monkeypatch.setattr(personal, "fit_head", lambda shared, *_given, **_named: shared)
    file = tmp_path / "own.model"
    said = json.loads(run(personal, "--model", shared, *folders, "--out", file, "--json").stdout)
    assert said["chosen"] == "local"
    np.testing.assert_array_equal(values_of(file), to_model(good, DEFAULT_SHIFT))


@pytest.fixture
def blend(run, folders, shared, tmp_path, monkeypatch) -> tuple[Path, dict]:
    """A desk's file and what was said of it: its own model errs to the other side of the head."""
    own = own_and_anchors(*folders[1::2])[0]
    low = replace(own, target_vol=own.target_vol - STEEPER)
    start = to_float(values_of(shared), DEFAULT_SHIFT)
    vector = LocalTraining(low, SETTINGS).train(start, seed=2).vector
    monkeypatch.setattr(personal, "train_alone", lambda *_given, **_named: vector)
    monkeypatch.setattr(personal, "fit_head", lambda shared, *_given, **_named: shared)
    file = tmp_path / "blend.model"
    done = run(personal, "--model", shared, *folders, "--out", file, "--json")
    assert done.exit_code == ExitCode.OK, done.output
    return file, json.loads(done.stdout)


def test_a_blend_is_written_as_both_models_and_its_share_and_prices_as_measured(
    run, folders, shared, tmp_path, blend
):
    file, said = blend
    assert said["chosen"] == "blend"
    assert 0.2 < said["share_of_local"] < 0.8
    assert said["rmse_vol_points"]["blend"] < 0.9 * said["rmse_vol_points"]["local"]
    values = values_of(file)
    np.testing.assert_array_equal(values[: SMILE.spec.dimension], values_of(shared))
    assert values[-1] == said["share_of_local"] * 2**DEFAULT_SHIFT

    csv = tmp_path / "prices.csv"
    options = ["--model", file, "--root", said["root"], *folders, "--all", "--out", csv]
    done = run(price, *options, "--json")
    assert done.exit_code == ExitCode.OK, done.output
    assert json.loads(done.stdout)["architecture"] == "smile_blend"
    table = pl.read_csv(csv, try_parse_dates=True)
    later = table.filter(pl.col("timestamp").dt.replace_time_zone(None) >= _day(said["later_from"]))
    found = 100 * ((later["model_vol"] - later["mark_vol"]) ** 2).mean() ** 0.5
    assert found == pytest.approx(said["rmse_vol_points"]["blend"], abs=1e-4)


def test_a_blend_is_no_shared_model(run, folders, tmp_path, blend):
    refused = run(personal, "--model", blend[0], *folders, "--out", tmp_path / "again.model")
    assert refused.exit_code == ExitCode.CONFIG
    assert "found a desk's blend" in refused.stderr
    assert not (tmp_path / "again.model").exists()


def test_training_alone_is_stopped_by_the_later_quotes(run, folders, shared, tmp_path, monkeypatch):
    stopped_by = []

    def trained(genesis, earlier, _settings, *, validation, **_named):
        stopped_by.append(validation)
        assert validation.snapshot.min() > earlier.snapshot.max()
        return genesis

    monkeypatch.setattr(personal, "train_alone", trained)
    done = run(personal, "--model", shared, *folders, "--out", tmp_path / "own.model", "--json")
    assert [len(later) for later in stopped_by] == [json.loads(done.stdout)["later_quotes"]]


def test_a_gpu_that_is_not_there_is_refused(run, folders, shared, tmp_path, monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    options = [*folders, "--out", tmp_path / "own.model", "--device", "cuda"]
    refused = run(personal, "--model", shared, *options)
    assert refused.exit_code == ExitCode.CONFIG
    assert "device: wanted cuda, found no GPU" in refused.stderr


def test_people_read_four_errors_and_which_was_chosen(run, folders, shared, tmp_path):
    done = run(personal, "--model", shared, *folders, "--out", tmp_path / "own.model")
    lines = done.stdout.splitlines()
    assert [line.split()[0] for line in lines if "on the later quotes" in line] == [
        "shared",
        "head",
        "local",
        "blend",
    ]
    assert done.stdout.count("<- chosen") == 1


def test_days_to_choose_by_can_be_named(run, folders, shared, tmp_path, quotes):
    day = quotes["timestamp"].max().date()
    options = [*folders, "--later-from", day.isoformat(), "--out", tmp_path / "own.model"]
    said = json.loads(run(personal, "--model", shared, *options, "--json").stdout)
    assert said["later_from"].startswith(day.isoformat())

    options[-3] = "2035-01-01"
    refused = run(personal, "--model", shared, *options)
    assert refused.exit_code == ExitCode.DATA
    assert "found" in refused.stderr


def test_latest_snapshot_is_priced_with_greeks(run, folders, shared, tmp_path, quotes):
    csv = tmp_path / "prices.csv"
    done = run(price, "--model", shared, *folders, "--out", csv)
    assert done.exit_code == ExitCode.OK, done.output
    table = pl.read_csv(csv, try_parse_dates=True)
    assert table["timestamp"].n_unique() == 1
    latest = quotes.filter(pl.col("timestamp") == quotes["timestamp"].max())
    assert set(table["strike_usd"]) <= set(latest["strike_usd"])
    assert set(table["expiry"].dt.epoch("us")) <= set(latest["expiry"].dt.epoch("us"))
    usd = table["price_coin"] * table["forward_usd"]
    np.testing.assert_allclose(table["price_usd"], usd, rtol=1e-9)
    calls = table.filter(pl.col("is_call"))
    assert calls["delta"].is_between(0, 0.6).all()
    assert f"{table.height:,}" in done.stdout


def test_model_without_a_known_root_is_said_to_be_unchecked(run, folders, shared, tmp_path):
    file = tmp_path / "somebody.model"
    file.write_bytes(shared.read_bytes())
    done = run(price, "--model", file, *folders, "--out", tmp_path / "prices.csv")
    assert f"0x{shared.name}, unchecked" in done.stdout


@pytest.mark.parametrize("command", [personal, price])
def test_model_of_another_root_is_refused(run, folders, shared, tmp_path, command):
    options = [*folders, "--out", tmp_path / "out"]
    refused = run(command, "--model", shared, "--root", "0x" + "12" * 32, *options)
    assert refused.exit_code == ExitCode.BLOB
    assert shared.name in refused.stderr

    renamed = tmp_path / ("ab" * 32)
    renamed.write_bytes(shared.read_bytes())
    assert run(command, "--model", renamed, *options).exit_code == ExitCode.BLOB
    assert not (tmp_path / "out").exists()


def test_model_in_other_units_than_the_task_s_is_refused(run, folders, shared, tmp_path):
    file = tmp_path / "coarse"
    file.write_bytes(encode_model(values_of(shared) // 8, DEFAULT_SHIFT - 3))
    options = ["--model", file, *folders, "--out", tmp_path / "prices.csv"]
    refused = run(price, *options)
    assert refused.exit_code == ExitCode.CONFIG
    assert f"2^-{DEFAULT_SHIFT - 3}" in refused.stderr
    assert run(price, *options, "--shift", DEFAULT_SHIFT - 3).exit_code == ExitCode.OK


def test_file_that_is_too_large_for_a_model_is_not_read(run, folders, shared, tmp_path):
    file = tmp_path / "large"
    file.write_bytes(2 * shared.read_bytes())
    refused = run(price, "--model", file, *folders, "--out", tmp_path / "prices.csv")
    assert refused.exit_code == ExitCode.CONFIG
    assert "wanted at most" in refused.stderr


def test_what_is_no_model_of_the_architecture_is_refused(run, folders, shared, tmp_path):
    options = [*folders, "--out", tmp_path / "out"]
    for content, message in (
        (b"nothing", "wanted a model's bytes"),
        (encode_update(np.zeros(9987, np.int16), DEFAULT_SHIFT), "kind UPDATE"),
        (encode_model(np.zeros(5, np.int32), DEFAULT_SHIFT), "with 5"),
    ):
        file = tmp_path / "some.model"
        file.write_bytes(content)
        refused = run(price, "--model", file, *options)
        assert refused.exit_code == ExitCode.CONFIG
        assert message in refused.stderr
    refused = run(price, "--model", shared, "--architecture", "set_attention", *options)
    assert (refused.exit_code, "12195" in refused.stderr) == (ExitCode.CONFIG, True)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ([], "either --model FILE or --rpc URL"),
        (["--task", "0x12"], "give --rpc"),
        (["--root", "0x12"], "either --model FILE or --rpc URL"),
    ],
)
def test_a_model_must_be_named_in_one_way(run, folders, tmp_path, options, message):
    refused = run(price, *folders, "--out", tmp_path / "out", *options)
    assert refused.exit_code == ExitCode.CONFIG
    assert message in refused.stderr


def test_root_is_64_digits(run, folders, shared, tmp_path):
    options = ["--model", shared, "--root", "0x12", "--out", tmp_path / "out"]
    refused = run(price, *folders, *options)
    assert refused.exit_code == ExitCode.CONFIG
    assert "64 hexadecimal digits" in refused.stderr


def priced(run: Callable[..., Result], *options: object) -> pl.DataFrame:
    done = run(price, *options, "--json")
    assert done.exit_code == ExitCode.OK, done.output
    return pl.DataFrame(json.loads(done.stdout)["options"])


def test_any_option_is_priced_as_its_quote_would_be(run, folders, shared, tmp_path):
    csv = tmp_path / "prices.csv"
    run(price, "--model", shared, *folders, "--out", csv)
    quoted = pl.read_csv(csv)
    # The very file of prices names the options: it has their columns.
    found = priced(run, "--model", shared, *folders[2:], "--options", csv)
    for name in ("model_vol", "price_coin", "delta", "vega_usd", "theta_usd"):
        np.testing.assert_allclose(found[name], quoted[name], rtol=1e-6)
    assert found["trained_on"].all()


def test_options_that_no_quote_exists_for_are_priced_together_with_their_twins(
    run, folders, shared, tmp_path, quotes
):
    now = quotes["timestamp"].max()
    spot = quotes.filter(currency="ETH")["forward_usd"][-1]
    file = tmp_path / "options.csv"
    lines = [
        f"ETH,{(now + timedelta(days=days)).isoformat()},{spot * share:.2f},{kind}"
        for days in (0.5, 11.3, 500)
        for share in (0.5, 0.97, 1.6)
        for kind in ("call", "put")
    ]
    file.write_text("\n".join(["currency,expiry,strike_usd,is_call", *lines]) + "\n")
    found = priced(run, "--model", shared, *folders[2:], "--options", file)
    calls, puts = found.filter("is_call"), found.filter(~pl.col("is_call"))
    np.testing.assert_allclose(
        calls["price_usd"] - puts["price_usd"],
        calls["forward_usd"] - calls["strike_usd"],
        atol=1e-6 * spot,
    )
    np.testing.assert_array_equal(calls["model_vol"], puts["model_vol"])
    np.testing.assert_array_equal(calls["trained_on"], puts["trained_on"])
    assert calls["trained_on"].to_list()[4] is True
    assert calls["trained_on"].to_list()[::8] == [False, False]


def test_people_read_the_prices_of_the_options_they_name(run, folders, shared, tmp_path, quotes):
    name = f"BTC-{quotes['timestamp'].max() + timedelta(days=20):%d%b%y}-91234-P".upper()
    csv = tmp_path / "prices.csv"
    done = run(price, "--model", shared, *folders[2:], "--option", name, "--out", csv)
    assert done.exit_code == ExitCode.OK, done.output
    assert "91234 put" in done.stdout
    assert pl.read_csv(csv)["strike_usd"].to_list() == [91234.0]


def test_options_are_priced_by_a_part_of_a_chain_where_that_is_asked(
    run, data, shared, tmp_path, quotes
):
    name = f"BTC-{quotes['timestamp'].max() + timedelta(days=90):%d%b%y}-91234-P".upper()
    asked = ["--model", shared, "--data", data, "--option", name]
    refused = run(price, *asked)
    assert refused.exit_code == ExitCode.DATA, refused.output
    assert "let the panel be completed (--least-known 9)" in refused.stderr
    done = run(price, *asked, "--least-known", 9)
    assert done.exit_code == ExitCode.OK, done.output
    assert "UTC, 9 of the panel's 15 volatilities known" in done.stdout
    said = json.loads(run(price, *asked, "--least-known", 9, "--json").stdout)
    assert said["panel_known"] == {"BTC": 9}
    assert 0.2 < said["options"][0]["model_vol"] < 1.5
    of_quotes = run(price, *asked[:4], "--out", tmp_path / "prices.csv", "--least-known", 9)
    assert of_quotes.exit_code == ExitCode.CONFIG, of_quotes.output


def test_greeks_are_the_models_along_its_smile_where_that_is_asked(run, folders, shared, tmp_path):
    csv = tmp_path / "prices.csv"
    run(price, "--model", shared, *folders, "--out", csv)
    asked = ["--model", shared, *folders[2:], "--options", csv]
    held, along = priced(run, *asked), priced(run, *asked, "--along-smile")
    for name in ("model_vol", "price_usd", "vega_usd"):
        np.testing.assert_allclose(along[name], held[name], rtol=1e-4)
    assert (along["delta"] - held["delta"]).abs().max() > 0.005
    model = named_model.from_file(shared, None, SMILE, CHUNK_LENGTH, DEFAULT_SHIFT)
    samples = Market.latest(read_batches(folders[3])).samples(read_options(csv))
    for table, is_held in ((held, True), (along, False)):
        greeks = model_greeks(
            SMILE, model.vector, samples, table["is_call"].to_numpy(), sticky_strike=is_held
        ).in_usd(samples.forward)
        for name in ("delta", "vanna", "volga"):
            column = name if name == "delta" else f"{name}_usd"
            np.testing.assert_allclose(table[column], getattr(greeks, name), rtol=1e-9, atol=1e-12)


def with_arbitrage(shared: Path, folder: Path) -> Path:
    """A file with a model that gives volatilities, but of a rough surface."""
    drawn = np.random.default_rng(2).integers(-4000, 4000, SMILE.spec.dimension)
    file = folder / "rough.model"
    units = (values_of(shared) + drawn).astype(np.int32)
    file.write_bytes(encode_model(units, DEFAULT_SHIFT))
    return file


def test_model_that_holds_arbitrage_where_it_prices_is_warned_of(run, folders, shared, tmp_path):
    rough, csv = with_arbitrage(shared, tmp_path), tmp_path / "prices.csv"
    for options in (["--out", csv], ["--option", "BTC-27DEC30-90000-C"]):
        done = run(price, "--model", rough, *folders, *options)
        assert done.exit_code == ExitCode.OK, done.output
        assert "warning: on the panels that it prices by" in done.stderr
        assert "calendar" in done.stderr
        said = json.loads(run(price, "--model", rough, *folders, *options, "--json").stdout)
        found = said["arbitrage"]
        assert found["calendar"] > LIMITS.calendar
        assert any(reason.startswith("calendar ") for reason in found["beyond_limits"])
        # One moment: a panel of each coin that is priced.
        assert found["panels"] == 1


def test_model_without_much_of_it_is_not_warned_of(run, folders, tmp_path):
    untrained = tmp_path / "untrained.model"
    untrained.write_bytes(encode_model(SMILE.genesis(0), DEFAULT_SHIFT))
    options = ["--model", untrained, *folders, "--out", tmp_path / "prices.csv"]
    assert "warning" not in run(price, *options).stderr
    said = json.loads(run(price, *options, "--json").stdout)
    assert said["arbitrage"]["beyond_limits"] == []
    every = json.loads(run(price, *options, "--all", "--json").stdout)["arbitrage"]
    assert every["panels"] > said["arbitrage"]["panels"] == 1


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--option", "BTC-27MAR26-90000-C"], "--reference: wanted a folder"),
        (["--option", "gold"], "--reference: wanted a folder"),
        ([], "--option NAME"),
    ],
)
def test_what_is_to_be_priced_must_be_named(run, shared, options, message):
    refused = run(price, "--model", shared, *options)
    assert refused.exit_code == ExitCode.CONFIG
    assert message in refused.stderr


def test_all_snapshots_are_for_quotes(run, folders, shared):
    options = ["--option", "BTC-27MAR26-90000-C", "--all"]
    refused = run(price, "--model", shared, *folders, *options)
    assert (refused.exit_code, "--all is for quotes" in refused.stderr) == (ExitCode.CONFIG, True)


def test_quotes_that_are_left_out_are_counted(run, quotes, shared, reference, tmp_path):
    some = quotes.filter(pl.col("timestamp") == quotes["timestamp"].max()).with_row_index("row")
    crossed = pl.when(pl.col("row") % 3 == 0).then(pl.col("ask_coin") * 2).otherwise("bid_coin")
    folder = tmp_path / "crossed"
    write_desk(folder, some.with_columns(bid_coin=crossed).drop("row"))
    options = ["--data", folder, "--reference", reference, "--out", tmp_path / "prices.csv"]
    done = run(price, "--model", shared, *options)
    assert "left out" in done.stdout
    left_out = json.loads(run(price, "--model", shared, *options, "--json").stdout)["left_out"]
    assert left_out["crossed"] > some.height // 4


@pytest.mark.parametrize("command", [personal, price])
@pytest.mark.parametrize("last_layer", [2**30, -(2**30)])
def test_model_that_gives_no_volatilities_is_blamed_itself(
    run, folders, shared, tmp_path, *, command, last_layer
):
    garbage = SMILE.spec.unflatten(values_of(shared))
    garbage = {
        name: np.full_like(value, last_layer if name.startswith(LAST_LAYER) else 1)
        for name, value in garbage.items()
    }
    file, out = tmp_path / "garbage.model", tmp_path / "out"
    units = SMILE.spec.flatten(garbage).astype(np.int32)
    file.write_bytes(encode_model(units, DEFAULT_SHIFT))
    refused = run(command, "--model", file, *folders, "--out", out)
    assert refused.exit_code == ExitCode.DATA
    assert "The fault is the model's, not the quotes'" in refused.stderr
    assert not out.exists()
