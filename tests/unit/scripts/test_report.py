"""The report is one valid page with every number in it, and asks nothing of any network."""

import copy
import json
import math
import re
from html.parser import HTMLParser

import pytest

from scripts.report import write_report
from scripts.standings import NAMES, standings, verdict

pytestmark = pytest.mark.unit

VOID_ELEMENTS = {"meta", "br", "hr", "img", "input", "link"}
LOADING_ATTRIBUTES = {"src", "srcset", "href", "xlink:href", "data", "poster", "action"}
RMSE = {
    "federated": 1.2341,
    "central": 1.1112,
    "local_mean": 2.5553,
    "local_best": 1.8884,
    "local_worst": 3.9995,
    "flat": 7.1236,
    "term_structure": 5.4327,
    "quadratic": 1.8908,
}


def smile(coin: str) -> dict:
    lines = {"federated": [0.6, 0.5, 0.55], "quadratic": [0.61, 0.5, 0.56]}
    return {
        "coin": coin,
        "days": 28.3,
        "log_moneyness": [-0.2, 0.0, 0.2],
        "mark": [0.62, 0.5, 0.54],
        "bid": [0.61, 0.49, math.nan],
        "ask": [0.63, 0.51, math.nan],
        "models": lines,
    }


def measured(inside: float, price_bp: float) -> dict:
    return {"test": {"inside_spread": inside, "price_rmse_bp": price_bp}}


RESULT = {
    "settings": {
        "market": "Deribit <chains> & marks",
        "partition": "desks",
        "desks": 5,
        "rounds": 2,
        "rule": "trimmed_mean",
        "tolerance": 1,
        "seed": 4711,
    },
    "is_made_up": False,
    "contract": "0x" + "c0" * 20,
    "task": "0x" + "7a" * 32,
    "rounds": [
        {
            "round": 1,
            "phase": "final",
            "updates": 5,
            "gas": 987_654,
            "model_root": "0x" + "a1" * 32,
            "validation_rmse": 3.3331,
        },
        {
            "round": 2,
            "phase": "void",
            "updates": 1,
            "gas": 123_456,
            "model_root": "",
            "validation_rmse": None,
        },
    ],
    "rounds_final": 1,
    "verified_by": 5,
    "services": [
        {"desk": 0, "served": 11, "missed": 0, "reward_wei": "1234500000000000"},
        {"desk": 1, "served": 10, "missed": 1, "reward_wei": "987000000000000000"},
    ],
    "left_wei": 0,
    "burned_wei": 0,
    "rmse_vol_points": {**RMSE, "stress": {name: value * 2 for name, value in RMSE.items()}},
    "metrics": {
        "local": [measured(0.25, 30.0), measured(0.35, 50.0)],
        **{name: measured(0.75, 7.7) for name in RMSE if not name.startswith("local")},
    },
    "cells": [
        {"model": model, "tenor_days": tenor, "z": z, "rmse": rmse}
        for model, rmse in (("federated", 1.5), ("quadratic", 2.5))
        for tenor in ([0.0, 7.0], [7.0, 30.0])
        for z in ([None, -1.0], [-1.0, 1.0], [1.0, None])
    ],
    "smiles": [smile("BTC"), smile("ETH")],
    "seconds": 12.3,
}


class Page(HTMLParser):
    """What a browser would see: balance, ids, references, text."""

    def __init__(self) -> None:
        super().__init__()
        self.open: list[str] = []
        self.ids: list[str] = []
        self.references: list[str] = []
        self.tags: list[str] = []
        self.text = ""

    def handle_starttag(self, tag, attrs):
        self.tags.append(tag)
        for name, value in attrs:
            if name == "id":
                self.ids.append(value)
            if name in LOADING_ATTRIBUTES:
                self.references.append(value)
        if tag not in VOID_ELEMENTS:
            self.open.append(tag)

    def handle_startendtag(self, tag, attrs):
        self.handle_starttag(tag, attrs)
        self.open.pop()

    def handle_endtag(self, tag):
        assert self.open, f"</{tag}> closes nothing"
        assert self.open.pop() == tag

    def handle_data(self, data):
        self.text += data


@pytest.fixture(scope="module")
def source(tmp_path_factory):
    path = tmp_path_factory.mktemp("report") / "new" / "report.html"
    write_report(path, RESULT)
    return path.read_text(encoding="utf-8")


@pytest.fixture(scope="module")
def page(source):
    parsed = Page()
    parsed.feed(source)
    parsed.close()
    return parsed


def test_every_element_is_closed_in_order(page):
    assert page.open == []
    assert page.tags.count("svg") == 5


def test_no_id_is_used_twice_and_every_reference_is_inside(page, source):
    assert len(page.ids) == len(set(page.ids))
    references = [*page.references, *re.findall(r"url\(([^)]*)\)", source)]
    other = {each for each in references if not each.startswith("data:image/png;base64,")}
    assert other
    assert {reference.removeprefix("#") for reference in other} <= set(page.ids)


def test_nothing_is_loaded_from_anywhere(page, source):
    assert not {"script", "link", "img", "iframe", "object", "embed"} & set(page.tags)
    assert "@import" not in source
    # What remains are names of XML vocabularies, which no browser opens.
    without_names = re.sub(r'\sxmlns(:\w+)?="[^"]*"', "", source)
    assert re.findall(r"https?://", without_names) == []


def test_every_number_of_the_result_is_in_the_page(page):
    shown = page.text
    for window in (RMSE, RESULT["rmse_vol_points"]["stress"]):
        for name, value in window.items():
            assert f"{value:.3f}" in shown, name
    for name in RMSE:
        assert NAMES[name] in shown
    for share in ("75 %", "30 %", "7.7", "40.0"):
        assert share in shown
    for number in ("987,654", "123,456", "3.333", "4711", "28.3"):
        assert number in shown, number
    for root in (RESULT["rounds"][0]["model_root"], RESULT["contract"], RESULT["task"]):
        assert root in shown


def test_verdict_says_who_gains(page):
    assert (
        "errs by 1.23 vol points against 2.56 for a desk alone, and 1.89 for the best" in page.text
    )

    lost = copy.deepcopy(RESULT)
    lost["rmse_vol_points"]["local_best"] = 1.0
    assert "but 1.00 for the best of them, which gains nothing" in verdict(lost)


def test_made_up_market_is_said_to_be_one(page, tmp_path):
    assert "made up" not in page.text
    write_report(tmp_path / "report.html", RESULT | {"is_made_up": True})
    assert "The market is made up" in (tmp_path / "report.html").read_text(encoding="utf-8")


def test_only_the_mean_of_the_desks_has_shares():
    shares = {each.key: each.inside_spread for each in standings(RESULT)}
    assert shares["local_mean"] == pytest.approx(0.3)
    assert shares["local_best"] is shares["local_worst"] is None


def test_what_was_given_is_text_and_never_markup(source):
    assert "Deribit &lt;chains&gt; &amp; marks" in source


def test_same_numbers_give_the_same_file(source, tmp_path):
    write_report(tmp_path / "report.html", RESULT)
    assert (tmp_path / "report.html").read_text(encoding="utf-8") == source


def test_task_without_a_final_round_has_a_report_too(tmp_path):
    nothing = copy.deepcopy(RESULT)
    nothing["rounds"] = [RESULT["rounds"][1]]
    write_report(tmp_path / "report.html", nothing)
    assert "void" in (tmp_path / "report.html").read_text(encoding="utf-8")


def test_rewards_are_shown_in_ether(page):
    assert "0.0012345 ETH" in page.text
    assert "0.987 ETH" in page.text


def test_result_is_what_json_can_hold():
    finite = copy.deepcopy(RESULT)
    for each in finite["smiles"]:
        each["bid"] = each["ask"] = []
    assert json.loads(json.dumps(finite, allow_nan=False)) == finite
