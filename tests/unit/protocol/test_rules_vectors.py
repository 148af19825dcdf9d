"""Rules beyond the contract's, pre-steps and their arithmetic compute what the vectors say."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from protocol import errors
from protocol.rules import PRE_STEPS, RULES, compose, fixed_point
from protocol.rules.distances import gram, squared_norms
from protocol.rules.rows import Rows
from tests.vectors import generate

pytestmark = pytest.mark.unit

FOLDER = Path(generate.__file__).parent
ALL_OF_A_CASE = {"name", "count", "dimension", "updates", "aggregate", "changed", "error"}


def cases(path: str) -> list[Any]:
    columns = json.loads((FOLDER / path).read_text(encoding="ascii"))
    rows = [dict(zip(columns, row, strict=True)) for row in zip(*columns.values(), strict=True)]
    return [pytest.param(row, id=f"{i}-{row.get('name', '')}") for i, row in enumerate(rows)]


def integers(text: str, width_bytes: int = 2) -> Any:
    return np.frombuffer(bytes.fromhex(text[2:]), f">i{width_bytes}").astype(f"=i{width_bytes}")


def updates_of(case: dict[str, Any], width_bytes: int = 2) -> Any:
    return integers(case["updates"], width_bytes).reshape(case["count"], case["dimension"])


def parameters_of(case: dict[str, Any]) -> dict[str, Any]:
    named = {name: cell for name, cell in case.items() if name not in ALL_OF_A_CASE}
    vectors = {name: integers(named[name]) for name in ("v0", "reference") if name in named}
    weights = {"weights": integers(named["weights"], 4)} if "weights" in named else {}
    return named | vectors | weights


def test_every_rule_and_pre_step_has_vectors():
    files = {path.stem for path in (FOLDER / "rules").glob("*.json")}
    others = {"fixed_point", "gram", "composed"}
    assert files - others == (RULES.keys() | PRE_STEPS.keys()) - {
        "mean",
        "clipped_mean",
        "median",
        "trimmed_mean",
    }


@pytest.mark.parametrize("case", cases("rules/fixed_point.json"))
def test_roots_and_ratios_round_down(case):
    a, b = (int(case[name], 16) for name in ("a", "b"))
    assert fixed_point.root_above(a) == int(case["rootAbove"], 16)
    assert fixed_point.ratio(a, b) == int(case["ratio"], 16)
    assert fixed_point.root_ratio(a, b) == int(case["rootRatio"], 16)
    assert fixed_point.distance(a, b) == int(case["distance"], 16)


@pytest.mark.parametrize("case", cases("rules/gram.json"))
def test_gram_matrix_is_exact(case):
    rows = Rows.of(updates_of(case, case["widthBytes"]))
    raw = bytes.fromhex(case["gram"][2:])
    entries = [int.from_bytes(raw[i : i + 16], "big", signed=True) for i in range(0, len(raw), 16)]
    table = gram(rows).tolist()
    assert [entry for row in table for entry in row] == entries
    assert squared_norms(rows) == [row[i] for i, row in enumerate(table)]


@pytest.mark.parametrize(
    "rule",
    [
        "krum",
        "multi_krum",
        "bulyan",
        "minimum_diameter",
        "geometric_median",
        "centered_clipping",
        "weighted_mean",
        "fltrust",
    ],
)
def test_rule_gives_the_aggregate(rule):
    for case in (param.values[0] for param in cases(f"rules/{rule}.json")):
        found = RULES[rule](updates_of(case), **parameters_of(case))
        assert found.dtype == np.int16
        np.testing.assert_array_equal(found, integers(case["aggregate"]), err_msg=case["name"])


@pytest.mark.parametrize("step", ["arc", "nnm", "bucketing"])
def test_pre_step_makes_these_rows(step):
    for case in (param.values[0] for param in cases(f"rules/{step}.json")):
        found = PRE_STEPS[step](updates_of(case), **parameters_of(case)).array()
        assert found.dtype == np.int16
        np.testing.assert_array_equal(
            found.ravel(), integers(case["changed"]), err_msg=case["name"]
        )


@pytest.mark.parametrize("case", cases("rules/composed.json"))
def test_composed_rule_gives_the_aggregate(case):
    rule = compose(["arc", "nnm"], "trimmed_mean", f=case["f"])
    np.testing.assert_array_equal(rule(updates_of(case)), integers(case["aggregate"]))


@pytest.mark.parametrize("case", cases("invalid/robust_rules.json"))
def test_too_few_updates_are_refused(case):
    refusing = (RULES | PRE_STEPS)[case["name"]]
    with pytest.raises(getattr(errors, case["error"]), match=r"needs at least \d+ updates; got"):
        refusing(updates_of(case), f=case["f"])
