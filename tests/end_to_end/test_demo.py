"""The main job from its command line: the rounds become final, and the files hold every number."""

import json
import math
import re
from pathlib import Path

import pytest
from click.testing import CliRunner

from protocol.exit_codes import ExitCode
from scripts import demonstration
from scripts.task_config import TaskConfig

pytestmark = pytest.mark.chain

README = Path(__file__).parents[2] / "README.md"
COMPARED = {"federated", "central", "local_mean", "local_best", "local_worst", "quadratic"}


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, str]:
    """A folder with what the smallest demo wrote, and what it said."""
    folder = tmp_path_factory.mktemp("demo") / "new"
    options = ["--rounds", "2", "--desks", "3", "--json", str(folder / "numbers.json")]
    done = CliRunner().invoke(
        demonstration.main, [*options, "--report", str(folder / "report.html")]
    )
    assert done.exit_code == ExitCode.OK, done.output
    return folder, done.stdout


@pytest.fixture(scope="module")
def numbers(finished: tuple[Path, str]) -> dict:
    def refuse(constant: str) -> None:
        raise AssertionError(f"{constant} is not JSON")

    text = (finished[0] / "numbers.json").read_text()
    return json.loads(text, parse_constant=refuse)


def test_every_round_is_final_and_everybody_verified_it(numbers):
    assert [each["phase"] for each in numbers["rounds"]] == ["final", "final"]
    assert [each["updates"] for each in numbers["rounds"]] == [3, 3]
    assert numbers["rounds_final"] == 2
    assert numbers["verified_by"] == 3
    assert all(each["gas"] > 0 for each in numbers["rounds"])
    assert len({each["model_root"] for each in numbers["rounds"]}) == 2


def test_nobody_s_money_is_left_in_the_contract(numbers):
    assert numbers["left_wei"] == numbers["burned_wei"] == 0


def test_every_round_s_reward_was_divided_among_the_desks(numbers):
    assert [each["served"] for each in numbers["services"]] == [2, 2, 2]
    assert [each["missed"] for each in numbers["services"]] == [0, 0, 0]
    share_wei = TaskConfig().params(0).reward_wei // 3
    assert [each["reward_wei"] for each in numbers["services"]] == [str(2 * share_wei)] * 3


def test_numbers_hold_every_comparison_on_test_and_under_stress(numbers):
    found = numbers["rmse_vol_points"]

    assert COMPARED | {"stress"} <= set(found)
    assert set(found["stress"]) >= COMPARED
    for window in (found, found["stress"]):
        for name in COMPARED:
            assert math.isfinite(window[name])
            assert window[name] > 0
        assert window["local_best"] <= window["local_mean"] <= window["local_worst"]


def test_training_together_helps_from_the_first_round(numbers):
    first, second = (each["validation_rmse"] for each in numbers["rounds"])
    assert second < first


def test_report_and_screen_show_the_same_numbers(finished, numbers):
    folder, said = finished
    report = (folder / "report.html").read_text(encoding="utf-8")
    for name in COMPARED:
        shown = f"{numbers['rmse_vol_points'][name]:.3f}"
        assert shown in said, name
        assert shown in report, name
    assert numbers["task"] in report
    assert numbers["rounds"][1]["model_root"] in report
    assert "2 of 2 rounds are final" in said


def in_words(line: str) -> str:
    return " ".join(re.findall("[A-Za-z]+", line))


def test_readme_shows_what_the_demo_prints_but_for_the_numbers(finished):
    (excerpt,) = re.findall(r"```\n( *RMSE on quotes.*?)```", README.read_text(), re.DOTALL)
    said = {in_words(line) for line in finished[1].splitlines()}

    # How the sentence about sharing ends depends on the numbers.
    shown = [line for line in excerpt.splitlines() if not line.startswith("against")]
    assert len(shown) > len(COMPARED)
    assert [line for line in shown if in_words(line) not in said] == []


def test_more_liars_than_the_desks_can_outvote_are_refused(tmp_path):
    options = ["--desks", "3", "--rule", "trimmed_mean", "--tolerance", "2", "--rounds", "1"]
    done = CliRunner().invoke(demonstration.main, [*options, "--report", str(tmp_path / "r.html")])

    assert done.exit_code == ExitCode.CONFIG
    assert "tolerating 2 liars takes 5 desks; found 3" in done.stderr


def test_folder_without_chains_is_refused(tmp_path):
    done = CliRunner().invoke(demonstration.main, ["--data", str(tmp_path)])

    assert done.exit_code == ExitCode.DATA
    assert str(tmp_path) in done.stderr
