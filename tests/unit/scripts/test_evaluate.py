"""The evaluation from its command line: every key, every table, every picture; clear refusals."""

import ast
import json
import os
import runpy
import sys
from collections.abc import Callable, Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest
import torch
from click.testing import CliRunner, Result

from node.evaluation import audit
from node.learning.federation import federate
from node.learning.personal import PersonalSettings, fit_head
from node.learning.training import LocalTraining, TrainingSettings
from node.models.boosting import train_boosting
from node.models.formulas import FORMULAS
from protocol.exit_codes import ExitCode
from scripts import bootstrap, evaluate
from tests.unit.node.recorded import CHAINS, needs_chains

pytestmark = pytest.mark.unit

MODELS = {
    "federated",
    "central",
    "local_mean",
    "local_best",
    "local_worst",
    "unaided_mean",
    "unaided_best",
    "unaided_worst",
    "plain_mean",
    "plain_best",
    "plain_worst",
    "quadratic_in_volatility",
    "hist_gradient_boosting",
    *FORMULAS,
}
MORE = {"federated_tolerant", "federated_rule_alone", "set_attention"}
METRICS = {
    "rmse_vol_points",
    "mae_vol_points",
    "p95_vol_points",
    "rmse_mid_vol_points",
    "mae_mid_vol_points",
    "p95_mid_vol_points",
    "price_rmse_bp",
    "price_mae_bp",
}
FILE = Path(evaluate.__file__)
FEW = PersonalSettings(pieces=1, steps=2)
DATES = {
    "--train-end": "2026-01-12",
    "--validate-end": "2026-01-14",
    "--test": "2026-01-15:2026-01-17",
    "--stress": "2026-01-10:2026-01-11",
}


def listed(options: dict[str, str]) -> list[str]:
    return [word for pair in options.items() for word in pair]


def invoked(*options: str) -> Result:
    return CliRunner().invoke(evaluate.main, list(options))


@pytest.fixture(scope="module")
def invoked_small() -> Iterator[Callable[..., Result]]:
    """The command on a short market, with a short recipe and few trees."""
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(evaluate, "MADE_UP_DAYS", 14)
        recipe = partial(TrainingSettings, steps_per_round=4, batch_size=64)
        patched.setattr(evaluate, "TrainingSettings", recipe)
        patched.setattr(evaluate, "train_boosting", partial(train_boosting, trees=5))
        patched.setattr(evaluate, "fit_head", partial(fit_head, personal=FEW))
        patched.setattr(audit, "Z", np.linspace(-6.0, 6.0, 9))
        patched.setattr(audit, "YEARS", np.array([0.01, 0.1, 1.0]))
        yield invoked


@pytest.fixture(scope="module")
def finished(
    invoked_small: Callable[..., Result], tmp_path_factory: pytest.TempPathFactory
) -> tuple[Path, Result]:
    folder = tmp_path_factory.mktemp("evaluation") / "new"
    options = ["--rounds", "2", "--seeds", "1", "--desks", "3", "--data", "synthetic"]
    options += ["--tolerant", "trimmed_mean", "--also", "set_attention"]
    files = ["--json", str(folder / "numbers.json"), "--plots", str(folder / "plots")]
    done = invoked_small(*options, *files, *listed(DATES))
    assert done.exit_code == ExitCode.OK, done.output
    return folder, done


@pytest.fixture(scope="module")
def numbers(finished: tuple[Path, Result]) -> dict[str, Any]:
    def refuse(constant: str) -> None:
        raise AssertionError(f"{constant} is not JSON")

    text = (finished[0] / "numbers.json").read_text(encoding="utf-8")
    return json.loads(text, parse_constant=refuse)


def is_estimate(found: dict[str, Any]) -> bool:
    low, high = found["ci95"]
    return low <= high and len(found["seeds"]) == 1 and found["mean"] == found["seeds"][0]


def test_every_model_has_every_metric_with_an_interval_in_both_windows(numbers):
    for window in (numbers, numbers["stress"]):
        for metric in METRICS:
            assert set(window[metric]) - {"stress"} == MODELS | MORE
            for model in MODELS | MORE:
                assert is_estimate(window[metric][model])
                assert window[metric][model]["mean"] > 0


def test_stress_errors_stand_beside_the_test_s_too(numbers):
    assert numbers["rmse_vol_points"]["stress"] == numbers["stress"]["rmse_vol_points"]
    stress = numbers["stress"]["rmse_vol_points"]["quadratic"]["mean"]
    assert stress != numbers["rmse_vol_points"]["quadratic"]["mean"]


def test_shares_are_the_federated_model_s_and_beside_it_everybody_s(numbers):
    for window in (numbers, numbers["stress"]):
        inside = window["inside_bid_ask"]
        assert is_estimate(inside)
        assert set(inside["models"]) == MODELS | MORE
        assert inside["mean"] == inside["models"]["federated"]["mean"]
        for condition in ("calendar", "butterfly", "wings"):
            found = window["arbitrage"][condition]
            assert is_estimate(found)
            assert 0 <= found["mean"] <= 1
            assert set(found["models"]) == {"federated", "central", "quadratic"}


def test_desks_cells_ratios_and_hedges_are_told(numbers):
    for window in (numbers, numbers["stress"]):
        assert len(window["books"]) == 3
        own = {"local", "head", "chosen"}
        assert set(window["worst_book"]) == {"federated", "central"} | own
        assert sum(cell["quotes"] for cell in window["cells"]) == window["quotes"]
        for ratio in ("to_central", "tolerant_to_federated", "rule_alone_to_federated"):
            assert is_estimate(window["rmse_ratios"][f"federated_{ratio}"])
        for coin in ("BTC", "ETH"):
            hedges = window["day_pnl_deviation_bp"][coin]
            assert hedges["federated"]["mean"] < hedges["unhedged"]["mean"]
            assert {"exchange", "quadratic", "federated_along_smile"} <= set(hedges)


def test_the_rule_alone_and_the_recipe_that_tolerates_are_two_models(numbers):
    names = ("federated", "federated_rule_alone", "federated_tolerant")
    assert len({numbers["rmse_vol_points"][name]["mean"] for name in names}) == len(names)


def test_only_the_rule_is_another_where_the_rule_alone_is_measured(invoked_small, monkeypatch):
    asked = []

    def trained(desks, settings, **named):
        asked.append((named["rule"].name, named["tolerance"], settings.trusts(settings.rounds)))
        return federate(desks, settings, **named)

    monkeypatch.setattr(evaluate, "federate", trained)
    options = ["--rounds", "2", "--seeds", "1", "--desks", "3", "--rule", "mean"]
    done = invoked_small(*options, "--tolerant", "trimmed_mean")
    assert done.exit_code == ExitCode.OK, done.output
    assert asked == [
        ("MEAN", 0, True),
        ("TRIMMED_MEAN", 1, True),
        ("TRIMMED_MEAN", 1, False),
    ]


def test_a_desk_s_choice_is_what_erred_least_on_the_validation_days(numbers):
    (desks,) = numbers["choices"]
    assert len(desks) == 3
    for choice, book in zip(desks, numbers["books"], strict=True):
        assert set(choice["rmse"]) == {"shared", "head", "local", "blend"}
        assert choice["rmse"][choice["name"]] == min(choice["rmse"].values())
        assert 0.0 <= choice["share"] <= 1.0
        assert (choice["name"] == "blend") == (0.0 < choice["share"] < 1.0)
        if choice["name"] == "blend":
            assert book["chosen"] != book["head"]
        else:
            of = {"shared": "federated", "head": "head", "local": "local"}[choice["name"]]
            assert book["chosen"] == book[of]


def test_the_settings_say_what_was_done(numbers):
    said = numbers["settings"]
    assert said["train_end"] == "2026-01-13T00:00:00+00:00"
    assert said["validation_end"] == said["test_start"] == "2026-01-15T00:00:00+00:00"
    assert said["test_end"] == "2026-01-18T00:00:00+00:00"
    assert (said["stress_start"][:10], said["stress_end"][:10]) == ("2026-01-10", "2026-01-12")
    assert (said["partition"], said["rule"], said["rounds"], said["seeds"]) == (
        "desks",
        "mean",
        2,
        [0],
    )
    assert len(said["training_quotes"]) == 3
    assert numbers["days"] == 3
    assert numbers["stress"]["days"] == 2


def test_the_tables_show_what_the_file_holds(finished, numbers):
    said = finished[1].stdout
    for window in (numbers, numbers["stress"]):
        for model in MODELS:
            assert f"{window['rmse_vol_points'][model]['mean']:.3f}" in said
    assert f"{numbers['worst_book']['local']['mean']:.3f}" in said
    assert f"{numbers['day_pnl_deviation_bp']['ETH']['exchange']['mean']:.1f}" in said


def test_pictures_are_drawn_for_both_coins(finished):
    drawn = {path.name: path.read_text(encoding="utf-8") for path in finished[0].glob("plots/*")}
    kinds = ("smiles", "term-structure", "surface", "errors-by-cell")
    coins = ("btc", "eth")
    wanted = {f"{kind}-{coin}.svg" for kind in kinds for coin in coins} | {"errors-by-day.svg"}
    assert set(drawn) == wanted
    assert "bid" not in drawn["errors-by-day.svg"]
    for text in ("stress", "validation", "test", "federated"):
        assert f">{text}<" in drawn["errors-by-day.svg"]
    for text in ("mark", "federated", "quadratic", "BTC"):
        assert f">{text}<" in drawn["smiles-btc.svg"]


def test_another_seed_changes_the_networks_but_not_the_formulas(invoked_small, tmp_path):
    file = tmp_path / "numbers.json"
    options = ["--rounds", "1", "--desks", "3", "--seeds", "2", "--partition", "dirichlet"]
    done = invoked_small(*options, "--json", str(file))
    assert done.exit_code == ExitCode.OK, done.output
    found = json.loads(file.read_text(encoding="utf-8"))["rmse_vol_points"]
    assert set(found) - {"stress"} == MODELS
    one, other = found["federated"]["seeds"]
    assert one != other
    assert found["federated"]["mean"] == pytest.approx((one + other) / 2)
    assert len(set(found["quadratic"]["seeds"])) == 1


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"--train-end": "soon"}, "does not match the format"),
        ({"--test": "2026-01-15"}, "wanted YYYY-MM-DD:YYYY-MM-DD"),
        ({"--test": "2026-01-17:2026-01-15"}, "wanted the earlier day first"),
        ({"--stress": "2026-02-30:2026-03-01"}, "wanted YYYY-MM-DD:YYYY-MM-DD"),
        ({"--validate-end": "2026-01-12"}, "must leave days after --train-end"),
        ({"--test": "2026-01-13:2026-01-17"}, "must leave days after --train-end"),
        ({"--model": "crystal_ball"}, "is not installed"),
        ({"--rule": "trimmed_mean", "--tolerance": "3"}, "takes 7 desks; found 5"),
        ({"--tolerant": "trimmed_mean", "--desks": "2"}, "takes 3 desks; found 2"),
        ({"--also": "crystal_ball"}, "is not installed"),
        ({"--seeds": "0"}, "is not in the range"),
    ],
)
def test_wrong_arguments_are_refused_before_anything_is_read(changes, message):
    refused = invoked(*listed(DATES | changes))
    assert refused.exit_code == ExitCode.CONFIG
    assert message in refused.stderr


def test_every_network_is_trained_on_the_device_that_was_asked_for(invoked_small, monkeypatch):
    asked, train = [], LocalTraining.train

    def on_the_processor(self, *given, **named):
        asked.append(self.device)
        return train(replace(self, device="cpu"), *given, **named)

    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(LocalTraining, "train", on_the_processor)
    done = invoked_small("--rounds", "1", "--desks", "2", "--seeds", "1", "--device", "cuda")
    assert done.exit_code == ExitCode.OK, done.output
    # Two desks together, two rounds of the central model, two heads; two desks alone, unaided and
    # with the plain network.
    assert asked == ["cuda"] * 12


@pytest.mark.data
@needs_chains
def test_other_months_of_recorded_chains_and_one_coin_are_evaluated_too(invoked_small, tmp_path):
    month = pl.read_parquet(CHAINS / "2026-03.parquet")
    folder, plots, file = tmp_path / "chains", tmp_path / "plots", tmp_path / "numbers.json"
    folder.mkdir()
    month.filter(pl.col("currency") == "BTC").write_parquet(folder / "2026-03.parquet")
    dates = {
        "--train-end": "2026-03-12",
        "--validate-end": "2026-03-14",
        "--test": "2026-03-15:2026-03-17",
        "--stress": "2026-03-05:2026-03-06",
    }
    options = ["--rounds", "1", "--seeds", "1", "--desks", "2", "--partition", "dirichlet"]
    files = ["--data", str(folder), "--json", str(file), "--plots", str(plots)]
    done = invoked_small(*options, *files, *listed(dates))
    assert done.exit_code == ExitCode.OK, done.output
    found = json.loads(file.read_text(encoding="utf-8"))
    assert found["days"] == 3
    assert found["day_pnl_deviation_bp"]["ETH"]["unhedged"]["mean"] is None
    drawn = {path.name for path in plots.glob("*")}
    assert "smiles-btc.svg" in drawn
    assert not [name for name in drawn if "eth" in name]


def test_a_gpu_that_is_not_there_is_refused_before_anything_is_read(monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    refused = invoked("--device", "cuda", *listed(DATES))
    assert refused.exit_code == ExitCode.CONFIG
    assert "device: wanted cuda, found no GPU" in refused.stderr


@pytest.mark.parametrize("missing", DATES)
def test_dates_are_given_together(missing):
    refused = invoked(*listed({name: at for name, at in DATES.items() if name != missing}))
    assert refused.exit_code == ExitCode.CONFIG
    assert "together, or none of them" in refused.stderr


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"--train-end": "2025-01-01"}, "no quotes are left to train on"),
        ({"--test": "2027-01-15:2027-01-17"}, "the test window has no quotes"),
        ({"--stress": "2027-01-15:2027-01-17"}, "the stress window has no quotes"),
        ({"--test": "2026-01-15:2026-01-15"}, "at least two days"),
    ],
)
def test_windows_without_quotes_are_refused(invoked_small, changes, message):
    refused = invoked_small("--desks", "3", *listed(DATES | changes))
    assert refused.exit_code == ExitCode.DATA
    assert message in refused.stderr


def test_run_as_a_file_it_sets_the_machine_up_first(monkeypatch):
    done = []

    def become(module: str, arguments: list[str]) -> None:
        done.append((module, arguments))
        raise SystemExit(0)

    monkeypatch.setattr(bootstrap, "install_packages", lambda *, dev: done.append(dev))
    monkeypatch.setattr(bootstrap, "become", become)
    monkeypatch.setattr(sys, "argv", ["evaluate.py", "--seeds", "1"])
    monkeypatch.setattr(sys, "path", list(sys.path))

    with pytest.raises(SystemExit):
        runpy.run_path(str(FILE), run_name="__main__")
    assert done == [False, ("scripts.evaluate", ["--seeds", "1"])]
    assert os.access(FILE, os.X_OK)


def test_any_python_can_read_it_and_needs_nothing_until_the_machine_is_set_up():
    body = ast.parse(FILE.read_text(encoding="utf-8"), feature_version=(3, 8)).body
    before = body[: next(n for n, node in enumerate(body) if isinstance(node, ast.If))]
    assert [ast.unparse(node) for node in before[1:]] == [
        "import sys",
        "from pathlib import Path",
    ]


def test_folder_without_chains_is_refused(tmp_path):
    refused = invoked("--data", str(tmp_path))
    assert refused.exit_code == ExitCode.DATA
    assert str(tmp_path) in refused.stderr


def test_a_day_is_named_whole():
    day = datetime(2026, 1, 10, tzinfo=UTC)
    later = (day + timedelta(days=4), day + timedelta(days=5))
    found = evaluate.Dates(day, day + timedelta(days=9), later, (day, day)).split()
    assert found.train_end == day + timedelta(days=1)
    # Choices are made before the test begins, whatever was asked for.
    assert found.validation_end == found.test_start == day + timedelta(days=4)
    assert found.test_end == day + timedelta(days=6)
