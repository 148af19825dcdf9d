"""The server's Adam is the paper's, in integers, with a state of its own for each task."""

from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from benchmarks.server_adam import UNIT, ServerAdam, exact_root
from node.learning.federation import chosen_rule
from protocol.task import Rule

pytestmark = pytest.mark.unit

MEAN = chosen_rule(Rule.MEAN, 0)
PRESENT = range(3)


def rounds_of_updates():
    rng = np.random.default_rng(0)
    return [rng.integers(-3_000, 3_000, (3, 40)).astype(np.int16) for _ in range(6)]


def test_moves_are_those_of_the_paper_but_for_rounding():
    adam = ServerAdam(step_size=0.05, floor=0.01, first=Fraction(1, 2), second=Fraction(9, 10))
    moved = adam.over(MEAN)
    mean, square = np.zeros(40), np.full(40, 0.01**2)
    for updates in rounds_of_updates():
        found = MEAN(updates, PRESENT) / UNIT
        mean = 0.5 * mean + 0.5 * found
        square = 0.9 * square + 0.1 * found**2
        wanted = 0.05 * mean / (np.sqrt(square) + 0.01)
        np.testing.assert_allclose(moved(updates, PRESENT) / UNIT, wanted, atol=2 / UNIT, rtol=1e-2)


def test_it_begins_anew_with_each_task_and_gives_the_same_bits():
    adam, updates = ServerAdam(), rounds_of_updates()
    first, again = (adam.over(MEAN) for _ in range(2))
    for each in updates:
        np.testing.assert_array_equal(first(each, PRESENT), again(each, PRESENT))
    assert (first(updates[0], PRESENT) != adam.over(MEAN)(updates[0], PRESENT)).any()


def test_the_longest_updates_stay_inside_the_integers():
    moved = ServerAdam(step_size=1.9).over(MEAN)
    ends = np.array([[32_767, -32_768, 0]] * 3, dtype=np.int16)
    for _ in range(30):
        found = moved(ends, PRESENT)
        assert found[0] > 0 > found[1]
        assert found[2] == 0


@given(st.integers(0, 2**62 - 1), st.integers(0, 2**31 - 1))
def test_roots_are_exact(square, root):
    found = int(exact_root(np.array([square], dtype=np.int64))[0])
    assert found**2 <= square < (found + 1) ** 2
    assert exact_root(np.array([root**2], dtype=np.int64))[0] == root
