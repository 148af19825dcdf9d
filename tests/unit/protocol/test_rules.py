"""The rules a task can name: the definition, coordinate by coordinate, and what they promise."""

import tracemalloc

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from protocol import rules
from protocol.errors import RuleError
from protocol.rules.rows import BLOCK_COLUMNS
from protocol.rules.sorting import mean_at_ranks, network
from protocol.task import PreSteps, Rule
from tests.vectors import reference, reference_rules

pytestmark = pytest.mark.unit

exact = settings(deadline=None)
LOWEST, HIGHEST = -(2**15), 2**15 - 1
# The other ones look at whole updates, some want more; the tests of the whole family hold them.
BY_COORDINATE = [rule for rule in Rule if rule < Rule.MULTI_KRUM]
BY_WHOLE_UPDATES = [Rule.MINIMUM_DIAMETER, Rule.GEOMETRIC_MEDIAN, Rule.CENTERED_CLIPPING]
EVERY_RULE = pytest.mark.parametrize("rule", BY_COORDINATE, ids=lambda rule: rule.name.lower())

# Few distinct values make ties, the ends make overflows.
int16s = st.integers(LOWEST, HIGHEST)
elements = st.one_of(int16s, st.sampled_from([LOWEST, -1, 0, 1, HIGHEST]))


@st.composite
def problems(draw):
    """Updates, a tolerance that every rule but the mean allows, and a clipping norm."""
    shape = draw(st.tuples(st.integers(1, 13), st.integers(1, 9)))
    updates = draw(arrays(np.int16, shape, elements=draw(st.sampled_from([elements, int16s]))))
    tolerance = draw(st.integers(0, (shape[0] - 1) // 2))
    clip_norm = draw(st.one_of(st.integers(1, 10), st.integers(1, 200_000)))
    return updates, tolerance, clip_norm


def applied(rule, updates, tolerance=0, clip_norm=1000):
    """`rule` with the parameters that the task of such a rule has."""
    return rules.aggregate(
        rule,
        np.asarray(updates, dtype=np.int16),
        tolerance=tolerance * (rule is not Rule.MEAN),
        clip_norm=clip_norm * (rule is Rule.CLIPPED_MEAN),
    )


def test_every_rule_of_a_task_is_in_the_table():
    assert {rule.name.lower() for rule in Rule} <= rules.RULES.keys()


@EVERY_RULE
@exact
@given(problem=problems())
def test_rule_is_its_definition(rule, problem):
    updates, tolerance, clip_norm = problem
    found = applied(rule, *problem)
    assert found.dtype == np.int16
    assert found.tolist() == reference.aggregate(rule, updates.tolist(), tolerance, clip_norm)


@EVERY_RULE
@exact
@given(problem=problems(), data=st.data())
def test_order_of_updates_does_not_matter(rule, problem, data):
    updates, tolerance, clip_norm = problem
    order = data.draw(st.permutations(range(len(updates))))
    np.testing.assert_array_equal(
        applied(rule, updates[order], tolerance, clip_norm), applied(rule, *problem)
    )


@EVERY_RULE
@exact
@given(problem=problems())
def test_updates_are_not_changed(rule, problem):
    updates, tolerance, clip_norm = problem
    before = updates.copy()
    updates.flags.writeable = False
    found = applied(rule, updates, tolerance, clip_norm)
    assert not np.shares_memory(found, updates)
    np.testing.assert_array_equal(updates, before)


@pytest.mark.parametrize("rule", [Rule.MEAN, Rule.MEDIAN, Rule.TRIMMED_MEAN])
@exact
@given(problem=problems())
def test_result_lies_between_the_extremes_of_each_coordinate(rule, problem):
    updates, tolerance, clip_norm = problem
    found = applied(rule, updates, tolerance, clip_norm)
    assert np.all(found >= updates.min(axis=0))
    assert np.all(found <= updates.max(axis=0))


@pytest.mark.parametrize("rule", [Rule.MEDIAN, Rule.TRIMMED_MEAN])
@exact
@given(problem=problems(), lie=elements)
def test_tolerated_liars_cannot_leave_the_range_of_the_honest(rule, problem, lie):
    updates, tolerance, clip_norm = problem
    updates = updates.copy()
    updates[:tolerance] = lie
    honest = updates[tolerance:]
    found = applied(rule, updates, tolerance, clip_norm)
    assert np.all(found >= honest.min(axis=0))
    assert np.all(found <= honest.max(axis=0))


@EVERY_RULE
@pytest.mark.parametrize("count", [1, 2, 3, 5, 8, 64])
def test_equal_updates_give_that_update(rule, count):
    update = [LOWEST, -3, 0, 3, HIGHEST]
    found = applied(rule, [update] * count, (count - 1) // 2, clip_norm=10**6)
    assert found.tolist() == update


@EVERY_RULE
@pytest.mark.parametrize("count", [1, 2, 7, 64, 100])
@pytest.mark.parametrize("value", [LOWEST, HIGHEST])
def test_extremes_do_not_wrap(rule, count, value):
    found = applied(rule, np.full((count, 3), value), (count - 1) // 3, clip_norm=2**40)
    assert found.tolist() == [value] * 3


@EVERY_RULE
def test_division_rounds_down(rule):
    assert applied(rule, [[-1, 1], [0, 2]]).tolist() == [-1, 1]


@EVERY_RULE
@pytest.mark.parametrize("layout", ["C", "F", "strided"])
def test_memory_layout_does_not_matter(rule, layout):
    updates = np.random.default_rng(3).integers(LOWEST, HIGHEST, (7, 50)).astype(np.int16)
    spread = np.repeat(np.repeat(updates, 2, axis=0), 3, axis=1)[::2, ::3]
    laid_out = spread if layout == "strided" else np.array(updates, order=layout)
    np.testing.assert_array_equal(applied(rule, laid_out, 3), applied(rule, updates, 3))


@EVERY_RULE
@pytest.mark.parametrize("extra", [-1, 0, 1])
def test_blocks_join_without_a_seam(rule, extra):
    updates = (
        np.random.default_rng(4)
        .integers(LOWEST, HIGHEST, (5, 2 * BLOCK_COLUMNS + extra))
        .astype(np.int16)
    )
    whole = applied(rule, updates, 2, clip_norm=10**6)
    middle = slice(BLOCK_COLUMNS - 40, BLOCK_COLUMNS + 40)
    expected = reference.aggregate(rule, updates.tolist(), 2, 10**6)
    assert whole[middle].tolist() == expected[middle]
    assert whole.tolist() == expected


@EVERY_RULE
def test_extra_memory_does_not_grow_with_the_dimension(rule):
    updates = np.ones((16, 10**6), dtype=np.int16)
    applied(rule, updates[:, :1], 7)  # compiles what the rule runs
    tracemalloc.start()
    try:
        found = applied(rule, updates, 7)
        peak_bytes = tracemalloc.get_traced_memory()[1] - found.nbytes
    finally:
        tracemalloc.stop()
    assert peak_bytes < 4 * 2**20  # the updates themselves are 32 MB


@pytest.mark.parametrize(
    ("rule", "expected"),
    [
        # Coordinate means 22, -3.2, 199.6 and a trimmed mean of 1/3 in the last coordinate.
        (Rule.MEAN, [22, -4, 199]),
        (Rule.MEDIAN, [3, 8, 0]),
        (Rule.TRIMMED_MEAN, [3, 8, 0]),
        # Only the last update is longer than 100, and is scaled to [9.937, -4.969, 99.380].
        (Rule.CLIPPED_MEAN, [3, 5, 19]),
    ],
)
def test_one_outlier_among_five(rule, expected):
    updates = [[1, 10, -3], [2, 9, -1], [3, 7, 0], [4, 8, 2], [100, -50, 1000]]
    assert applied(rule, updates, 1, clip_norm=100).tolist() == expected


@pytest.mark.parametrize("rule", [Rule.MEDIAN, Rule.TRIMMED_MEAN])
def test_nobody_can_tell_which_of_two_minorities_lies(rule):
    # n - 2f zeros, f ones that may be honest and f that may lie: an error of f/(n - 2f) is certain.
    updates = np.array([[0]] * 6 + [[900]] * 4)
    found = int(applied(rule, updates, 2)[0])
    assert found == {Rule.MEDIAN: 0, Rule.TRIMMED_MEAN: 300}[rule]


@pytest.mark.parametrize("count", range(1, 17))
def test_sorting_network_sorts_every_sequence_of_zeros_and_ones(count):
    # A network that sorts all of these sorts everything (the 0-1 principle).
    patterns = (np.arange(2**count)[:, None] >> np.arange(count)) & 1
    columns = patterns.T.astype(np.int16)
    ordered = np.sort(columns, axis=0)
    found = np.empty(columns.shape[1], dtype=np.int16)
    for rank in range(count):
        mean_at_ranks(columns, range(rank, rank + 1), found)
        np.testing.assert_array_equal(found, ordered[rank])


def test_network_for_one_rank_is_smaller_than_for_all():
    one, every = network(64, range(31, 33)), network(64, range(64))
    assert len(one.rows) < len(every.rows) == 4 + 2 * (2 + 2) + (4 + 4)


@pytest.mark.parametrize("clip_norm", [1, 4, 5, 6, 7071, 46340, 46341, 2**31, 2**64 - 1])
def test_clipped_mean_divides_by_the_least_integer_not_below_the_norm(clip_norm):
    updates = [[3, 4], [-3, -5], [LOWEST, LOWEST], [HIGHEST, LOWEST]]
    found = rules.clipped_mean(np.array(updates, dtype=np.int16), clip_norm)
    assert found.tolist() == reference.aggregate(1, updates, 0, clip_norm)


def test_clipping_norm_itself_is_not_clipped():
    update = np.array([[3, -4]], dtype=np.int16)
    assert rules.clipped_mean(update, 5).tolist() == [3, -4]
    assert rules.clipped_mean(update, 4).tolist() == [2, -4]  # floor(2.4), floor(-3.2)


@pytest.mark.parametrize(
    ("rule", "count", "most"),
    [
        *[(Rule.MEAN, n, 0) for n in (1, 2, 9)],
        *[
            (rule, n, (n - 1) // 2)
            for rule in (Rule.CLIPPED_MEAN, Rule.MEDIAN, Rule.TRIMMED_MEAN)
            for n in (1, 2, 3, 4, 9)
        ],
        *[(rule, n, (n - 3) // 2) for rule in (Rule.KRUM, Rule.MULTI_KRUM) for n in (3, 4, 5, 9)],
        *[(Rule.BULYAN, n, (n - 3) // 4) for n in (3, 6, 7, 11)],
        *[(rule, n, (n - 1) // 2) for rule in BY_WHOLE_UPDATES for n in (1, 2, 3, 9)],
    ],
)
def test_rule_tolerates_so_many_liars_and_no_more(rule, count, most):
    assert_tolerates(rule, PreSteps.NONE, count, most)


@pytest.mark.parametrize("rule", [*BY_COORDINATE, *BY_WHOLE_UPDATES])
@pytest.mark.parametrize("steps", [PreSteps.ARC, PreSteps.NNM, PreSteps.ARC | PreSteps.NNM])
@pytest.mark.parametrize("count", [1, 2, 3, 8, 9])
def test_anything_after_a_pre_step_tolerates_a_minority_and_no_more(rule, steps, count):
    assert_tolerates(rule, steps, count, (count - 1) // 2)


def assert_tolerates(rule, steps, count, most):
    updates = np.ones((count, 2), dtype=np.int16)
    rules.aggregate(rule, updates, tolerance=most, clip_norm=1, pre_steps=steps)
    wanted = f"{rule.name} of {count} updates tolerates at most {most} liars; got {most + 1}"
    with pytest.raises(RuleError, match=wanted):
        rules.aggregate(rule, updates, tolerance=most + 1, clip_norm=1, pre_steps=steps)


@exact
@given(problem=problems(), steps=st.sampled_from(PreSteps), both=st.booleans())
@pytest.mark.parametrize("rule", [Rule.MEAN, Rule.MEDIAN, Rule.TRIMMED_MEAN])
def test_pre_steps_are_done_before_the_rule_clipping_first(rule, problem, steps, both):
    updates, tolerance, _ = problem
    steps = PreSteps.ARC | PreSteps.NNM if both else steps
    rows = updates.tolist()
    if PreSteps.ARC in steps:
        rows = reference_rules.arc(rows, tolerance)
    if PreSteps.NNM in steps:
        rows = reference_rules.nnm(rows, tolerance)
    if rule is Rule.MEAN and not steps:
        tolerance = 0
    found = rules.aggregate(rule, updates, tolerance=tolerance, clip_norm=0, pre_steps=steps)
    assert found.dtype == np.int16
    assert found.tolist() == reference.aggregate(rule, rows, tolerance, 0)


def test_multi_krum_of_a_task_averages_all_but_the_liars():
    updates = np.array([[9, 1], [0, 0], [1, 0], [0, 1], [1, 1], [90, -90], [2, 2]], dtype=np.int16)
    found = rules.aggregate(Rule.MULTI_KRUM, updates, tolerance=2, clip_norm=0)
    assert found.tolist() == reference_rules.multi_krum(updates.tolist(), 2, 5)


SEVEN = np.random.default_rng(5).integers(-900, 900, (7, 12)).astype(np.int16)
OF_TASKS = {
    Rule.MULTI_KRUM: lambda rows: reference_rules.multi_krum(rows, 1, 6),
    Rule.KRUM: lambda rows: reference_rules.krum(rows, 1),
    Rule.BULYAN: lambda rows: reference_rules.bulyan(rows, 1),
    Rule.MINIMUM_DIAMETER: lambda rows: reference_rules.minimum_diameter(rows, 1),
    Rule.GEOMETRIC_MEDIAN: lambda rows: reference_rules.geometric_median(rows, 1 << 20, 32),
    Rule.CENTERED_CLIPPING: lambda rows: reference_rules.centered_clipping(rows, 700, 1, [0] * 12),
    Rule.CLIPPED_MEAN: lambda rows: reference.aggregate(Rule.CLIPPED_MEAN, rows, 1, 700),
}


@pytest.mark.parametrize("steps", [PreSteps(bits) for bits in range(4)])
@pytest.mark.parametrize("rule", OF_TASKS, ids=lambda rule: rule.name.lower())
def test_rule_of_a_task_has_the_tasks_tolerance_and_clipping_norm(rule, steps):
    rows = SEVEN.tolist()
    if PreSteps.ARC in steps:
        rows = reference_rules.arc(rows, 1)
    if PreSteps.NNM in steps:
        rows = reference_rules.nnm(rows, 1)
    found = rules.aggregate(rule, SEVEN, tolerance=1, clip_norm=700, pre_steps=steps)
    assert found.dtype == np.int16
    assert found.tolist() == OF_TASKS[rule](rows)


@pytest.mark.parametrize("row", [0, 3, 6])
def test_fltrust_of_a_task_measures_the_other_updates_by_the_trusted_one(row):
    settings = {"tolerance": 1, "clip_norm": 0}
    found = rules.aggregate(Rule.FLTRUST, SEVEN, trusted_row=row, **settings)
    others = np.delete(SEVEN, row, axis=0).tolist()
    assert found.dtype == np.int16
    assert found.tolist() == reference_rules.fltrust(others, SEVEN[row].tolist())
    order = [row, *(each for each in range(7) if each != row)]
    again = rules.aggregate(Rule.FLTRUST, SEVEN[order], trusted_row=0, **settings)
    np.testing.assert_array_equal(again, found)


def test_fltrust_of_a_task_trusts_nobody_without_the_trusted_update_or_beside_it():
    nobody = rules.aggregate(Rule.FLTRUST, SEVEN, tolerance=1, clip_norm=0)
    assert (nobody.dtype, nobody.tolist()) == (np.int16, [0] * 12)
    alone = rules.aggregate(Rule.FLTRUST, SEVEN[:1], tolerance=0, clip_norm=0, trusted_row=0)
    assert (alone.dtype, alone.tolist()) == (np.int16, [0] * 12)


def test_trimming_everything_is_refused():
    updates = np.ones((4, 2), dtype=np.int16)
    with pytest.raises(RuleError, match="tolerating 2 liars needs at least 5 updates; got 4"):
        rules.trimmed_mean(updates, 2)
    with pytest.raises(RuleError):
        rules.trimmed_mean(updates, -1)


@pytest.mark.parametrize("clip_norm", [0, -1])
def test_clipped_mean_needs_a_norm(clip_norm):
    with pytest.raises(RuleError, match="clipping norm"):
        rules.clipped_mean(np.ones((3, 2), dtype=np.int16), clip_norm)


@EVERY_RULE
@pytest.mark.parametrize("shape", [(0, 3), (3, 0), (3,)])
def test_rule_needs_updates(rule, shape):
    with pytest.raises(RuleError, match="shape"):
        applied(rule, np.zeros(shape))


@EVERY_RULE
@pytest.mark.parametrize("dtype", [np.int32, np.int64, np.float64, np.uint16])
def test_other_number_types_are_a_programming_error(rule, dtype):
    with pytest.raises(TypeError, match="int16"):
        rules.aggregate(rule, np.zeros((3, 2), dtype=dtype), tolerance=0, clip_norm=1)
