"""Choices by tables of inner products, against vectors, slow ones and the rules."""

from math import isqrt
from typing import Any

import numpy as np
import pytest
from eth_hash.auto import keccak
from hypothesis import given
from hypothesis import strategies as st

from protocol import choice
from protocol.choice import Chosen
from protocol.gram import Table
from protocol.rules import RULES, aggregate, compose
from protocol.rules.pre_steps import arc
from protocol.task import PreSteps, Rule
from tests.unit.protocol.tables import CASES, drawn, raw, table_of, updates, updates_of
from tests.vectors import reference, reference_gram, reference_rules

pytestmark = pytest.mark.unit


def trusted_of(case: dict[str, Any]) -> int | None:
    return None if case["trusted"] == case["count"] else int(case["trusted"])


@pytest.mark.parametrize("case", CASES)
def test_choice_is_that_of_the_vectors(case):
    sums = table_of(case).sums
    chosen = choice.chosen_by(Rule(case["rule"]), sums, case["tolerance"], trusted_of(case))
    assert choice.encode_chosen(chosen) == raw(case["choice"])
    assert choice.choice_hash(chosen) == raw(case["choiceHash"])


@pytest.mark.parametrize("case", CASES)
def test_aggregate_of_the_vectors_is_that_of_the_rule(case):
    """What the contract finds by a choice is what everybody finds without any."""
    rule, steps = Rule(case["rule"]), PreSteps.ARC if case["arc"] else PreSteps.NONE
    if rule.takes_ranks:
        steps |= PreSteps.NNM
    found = aggregate(
        rule,
        updates_of(case),
        tolerance=case["tolerance"],
        clip_norm=0,
        pre_steps=steps,
        trusted_row=trusted_of(case),
    )
    assert found.astype(">i2").tobytes() == raw(case["aggregate"])


@given(updates(least=3), st.data())
def test_neighbours_are_what_mixing_averages(rows, data):
    f = data.draw(st.integers(0, (len(rows) - 1) // 2))
    masks = choice.neighbours(Table.of(rows, 16).sums, f)
    assert list(masks) == reference_gram.neighbours(rows.tolist(), f)
    assert all(mask.bit_count() == len(rows) - f for mask in masks)
    mixed = compose(["nnm"], "median", f=f)(rows)
    assert (mixed == RULES["median"](means(rows, masks))).all()


@given(updates(least=3), st.data())
def test_best_are_what_krum_takes_and_multi_krum_averages(rows, data):
    f = data.draw(st.integers(0, (len(rows) - 3) // 2))
    sums = Table.of(rows, 16).sums
    for rule, m in (("krum", 1), ("multi_krum", len(rows) - f)):
        masks = choice.best(sums, f, m)
        assert list(masks) == reference_gram.best(rows.tolist(), f, m)
        assert (RULES[rule](rows, f=f) == means(rows, masks)[0]).all()
    assert choice.best(sums, f) == masks


@given(updates(least=3), st.booleans(), st.data())
def test_weights_are_those_of_the_geometric_median(rows, clipped, data):
    f = data.draw(st.integers(0, (len(rows) - 1) // 2))
    taken = arc(rows, f).array() if clipped else rows
    *weights, divisor = choice.chosen_by(Rule.GEOMETRIC_MEDIAN, Table.of(taken, 16).sums, f)
    slow = reference_rules.geometric_median_weights(taken.tolist(), 2**20, 32)
    assert (weights, divisor) == (slow, sum(slow))
    steps = PreSteps.ARC if clipped else PreSteps.NONE
    found = aggregate(Rule.GEOMETRIC_MEDIAN, rows, tolerance=f, clip_norm=0, pre_steps=steps)
    assert (found == weighted(taken, weights, divisor)).all()


@given(updates(least=3), st.data())
def test_weights_are_those_of_trust(rows, data):
    place = data.draw(st.integers(0, len(rows) - 1))
    *weights, divisor = choice.trust(Table.of(rows, 16).sums, place)
    assert [*weights, divisor] == reference_gram.trust(rows.tolist(), place)
    assert weights[place] == 0
    found = aggregate(Rule.FLTRUST, rows, tolerance=1, clip_norm=0, trusted_row=place)
    assert (found == weighted(rows, weights, divisor)).all()


@pytest.mark.parametrize(
    ("rows", "place"),
    [
        pytest.param(drawn(4, 20), None, id="no trusted one"),
        pytest.param(np.zeros((4, 20), np.int16), 2, id="zeros"),
        pytest.param(np.array([[5], [-1], [-7]], np.int16), 0, id="all point away"),
        pytest.param(np.array([[5]], np.int16), 0, id="alone"),
    ],
)
def test_who_trusts_nobody_weighs_nothing(rows, place):
    assert choice.trust(Table.of(rows, 16).sums, place) == (0,) * (len(rows) + 1)


# The greatest squared norm of a contract's row is below 2^63.
@pytest.mark.parametrize("square", [1, 2**62, 2**63 - 1])
@pytest.mark.parametrize("other", [1, 2**40, 2**63 - 1])
def test_largest_weights_fit_their_places(square, other):
    product = isqrt(square * other)
    sums = np.array([[square, product], [product, other]], dtype=object)
    *weights, divisor = choice.trust(sums, 0)
    assert max(weights) <= 2**30
    assert divisor < 2**31


def weighted(rows: np.ndarray, weights: list[int], divisor: int) -> np.ndarray:
    """As a contract does it: a floor, held within int16, and zero by zero."""
    if divisor == 0:
        return np.zeros(rows.shape[1], np.int16)
    sums = np.array(weights, dtype=object) @ rows.astype(object)
    return np.clip(sums // divisor, -(2**15), 2**15 - 1).astype(np.int16)


def means(rows: np.ndarray, masks: Chosen) -> np.ndarray:
    """One floor mean for each mask."""
    members = [[i for i in range(len(rows)) if mask >> i & 1] for mask in masks]
    return np.array(
        [[reference.mean(column) for column in rows[i].T.tolist()] for i in members],
        dtype=np.int16,
    )


def test_numbers_have_eight_bytes_and_a_mask_its_first_row_last():
    assert choice.encode_chosen((1, 1 << 63)) == bytes(7) + b"\1\x80" + bytes(7)
    assert choice.choice_hash((5,)) == keccak(bytes(7) + b"\5")
