"""What every rule promises, and what each tolerates: one suite over the whole table."""

import tracemalloc
from math import isqrt

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from threadpoolctl import threadpool_limits

from protocol.errors import RuleError
from protocol.rules import PRE_STEPS, RULES, arc, compose, fixed_point, nnm
from protocol.rules.diameter import minimum_diameter_weights
from protocol.rules.distances import gram
from protocol.rules.rows import Rows
from protocol.rules.sorting import mean_about_median, mean_at_ranks
from tests.vectors import reference, reference_rules

pytestmark = pytest.mark.unit

exact = settings(deadline=None)
LOWEST, HIGHEST = -(2**15), 2**15 - 1
ONE = fixed_point.ONE

int16s = st.integers(LOWEST, HIGHEST)
elements = st.one_of(int16s, st.sampled_from([LOWEST, -1, 0, 1, HIGHEST]))

LEAST = {
    "bulyan": lambda f: 4 * f + 3,
    "krum": lambda f: 2 * f + 3,
    "multi_krum": lambda f: 2 * f + 3,
    "minimum_diameter": lambda f: 2 * f + 1,
    "trimmed_mean": lambda f: 2 * f + 1,
}
"""Updates that a rule asks for to tolerate f liars; rules without f take any number."""


def parameters(rule, updates, f):
    """What `rule` is called with when f may lie: nothing that depends on the order of updates."""
    given_to = {
        "clipped_mean": {"clip_norm": 1000},
        "centered_clipping": {"tau": 500, "iterations": 3},
        "weighted_mean": {"weights": [2**30 - abs(int(row[0])) % 7 for row in updates]},
        "fltrust": {"reference": updates.max(axis=0)},
    }
    return {"f": f} if rule in LEAST else given_to.get(rule, {})


def expected(rule, array, f):
    """The definition, spelled out."""
    updates, given = array.tolist(), parameters(rule, array, f)
    match rule:
        case "mean" | "clipped_mean" | "median" | "trimmed_mean":
            number = ["mean", "clipped_mean", "median", "trimmed_mean"].index(rule)
            return reference.aggregate(number, updates, f, 1000)
        case "krum":
            return reference_rules.krum(updates, f)
        case "multi_krum":
            return reference_rules.multi_krum(updates, f, len(updates) - f)
        case "bulyan":
            return reference_rules.bulyan(updates, f)
        case "minimum_diameter":
            return reference_rules.minimum_diameter(updates, f)
        case "weighted_mean":
            return reference_rules.weighted_mean(updates, given["weights"])
        case "fltrust":
            trusted, width_bytes = given["reference"].tolist(), given["reference"].itemsize
            return reference_rules.fltrust(updates, trusted, width_bytes)
        case "geometric_median":
            return reference_rules.geometric_median(updates, 2**20, 32)
        case "centered_clipping":
            return reference_rules.centered_clipping(updates, 500, 3, [0] * len(updates[0]))
    raise AssertionError(rule)


@st.composite
def problems(draw, rule):
    f = draw(st.integers(0, 2))
    least = LEAST.get(rule, lambda f: 2 * f + 1)(f)
    shape = draw(st.tuples(st.integers(least, least + 4), st.integers(1, 6)))
    return draw(arrays(np.int16, shape, elements=draw(st.sampled_from([elements, int16s])))), f


def drawn(count, dimension, seed=0, spread=1000):
    generator = np.random.default_rng(seed)
    return generator.integers(-spread, spread, (count, dimension)).astype(np.int16)


EVERY_RULE = pytest.mark.parametrize("rule", RULES)
EVERY_TYPE = pytest.mark.parametrize("dtype", [np.int16, np.int32])


@EVERY_RULE
@settings(deadline=None, max_examples=40)
@given(data=st.data())
def test_rule_is_its_definition(rule, data):
    updates, f = data.draw(problems(rule))
    found = RULES[rule](updates, **parameters(rule, updates, f))
    assert found.dtype == np.int16
    assert found.tolist() == expected(rule, updates, f)


@EVERY_RULE
@settings(deadline=None, max_examples=40)
@given(data=st.data())
def test_int32_updates_give_what_int16_updates_give(rule, data):
    updates, f = data.draw(problems(rule))
    wide = RULES[rule](updates.astype(np.int32), **parameters(rule, updates.astype(np.int32), f))
    assert wide.dtype == np.int32
    # FLTrust alone may leave the range of its updates.
    np.testing.assert_array_equal(
        wide.clip(LOWEST, HIGHEST), RULES[rule](updates, **parameters(rule, updates, f))
    )


@EVERY_RULE
@settings(deadline=None, max_examples=25)
@given(data=st.data())
def test_full_int32_range_is_exact(rule, data):
    shape = (data.draw(st.integers(7, 9)), 3)
    ends = st.sampled_from([-(2**31), 2**31 - 1, 2**15, -(2**15) - 1, 0])
    either = st.one_of(ends, st.integers(-(2**31), 2**31 - 1))
    updates = data.draw(arrays(np.int32, shape, elements=either))
    found = RULES[rule](updates, **parameters(rule, updates, 1))
    assert found.tolist() == expected(rule, updates, 1)


@EVERY_RULE
@pytest.mark.parametrize("seed", range(5))
def test_order_of_updates_does_not_matter_without_ties(rule, seed):
    updates = drawn(15, 40, seed)
    order = np.random.default_rng(seed).permutation(15)
    np.testing.assert_array_equal(
        RULES[rule](updates[order], **parameters(rule, updates[order], 3)),
        RULES[rule](updates, **parameters(rule, updates, 3)),
    )


def test_of_equally_good_updates_krum_takes_the_first_participants():
    updates = np.array([[0], [1], [2], [3], [4]], dtype=np.int16)
    # With two neighbours each, the three in the middle score 2.
    assert RULES["krum"](updates, f=1).tolist() == [1]
    assert RULES["krum"](updates[::-1], f=1).tolist() == [3]


@EVERY_RULE
@EVERY_TYPE
def test_updates_are_not_changed_nor_shared(rule, dtype):
    updates = drawn(11, 30).astype(dtype)
    before = updates.copy()
    updates.flags.writeable = False
    found = RULES[rule](updates, **parameters(rule, updates, 2))
    assert found.flags.writeable
    assert not np.shares_memory(found, updates)
    np.testing.assert_array_equal(updates, before)


# Clipping about zero is not equivariant, nor is an angle.
@pytest.mark.parametrize(
    "rule", sorted(RULES.keys() - {"clipped_mean", "centered_clipping", "fltrust"})
)
@exact
@given(data=st.data(), shift=st.integers(-500, 500))
def test_shifted_updates_give_a_shifted_result(rule, data, shift):
    updates, f = data.draw(problems(rule))
    updates = (updates // 64).astype(np.int16)
    found = RULES[rule]((updates + shift).astype(np.int16), **parameters(rule, updates, f))
    np.testing.assert_array_equal(
        found, RULES[rule](updates, **parameters(rule, updates, f)) + shift
    )


@EVERY_TYPE
@settings(deadline=None, max_examples=60)
@given(updates=arrays(np.int16, (5, 4), elements=elements), tau=st.integers(1, 2**17))
def test_centered_clipping_starts_from_zero_unless_told(dtype, updates, tau):
    wide = updates.astype(dtype)
    found = RULES["centered_clipping"](wide, tau)
    from_zeros = RULES["centered_clipping"](wide, tau, v0=np.zeros(4, dtype=dtype))
    np.testing.assert_array_equal(found, from_zeros)


def test_centered_clipping_shifts_with_its_start():
    updates, start = drawn(9, 20), drawn(1, 20, seed=1)[0]
    found = RULES["centered_clipping"](updates + np.int16(77), 300, 2, start + np.int16(77))
    np.testing.assert_array_equal(found, RULES["centered_clipping"](updates, 300, 2, start) + 77)


@EVERY_RULE
@pytest.mark.parametrize("count", [1, 2, 3, 7, 64, 300])
@pytest.mark.parametrize("value", [LOWEST, HIGHEST])
def test_extremes_do_not_wrap(rule, count, value):
    if count < LEAST.get(rule, lambda _: 1)(0):
        with pytest.raises(RuleError, match=f"needs at least 3 updates; got {count}"):
            RULES[rule](np.full((count, 3), value, dtype=np.int16), f=0)
        return
    loose = {"clipped_mean": {"clip_norm": 2**40}, "centered_clipping": {"tau": 2**40}}
    updates = np.full((count, 3), value, dtype=np.int16)
    found = RULES[rule](updates, **loose.get(rule, parameters(rule, updates, 0)))
    # Shares of an n-th each are rounded down, and what is left of 2^30 stays at the start.
    slack = int(rule == "centered_clipping")
    assert all(abs(coordinate - value) <= slack for coordinate in found.tolist())


@pytest.mark.parametrize("rule", ["median", "trimmed_mean"])
@pytest.mark.parametrize("lie", [LOWEST, HIGHEST])
def test_liars_cannot_leave_the_range_of_the_honest(rule, lie):
    updates = drawn(15, 200)
    updates[:3] = lie
    honest = updates[3:]
    found = RULES[rule](updates, **parameters(rule, updates, 3))
    assert np.all((honest.min(axis=0) <= found) & (found <= honest.max(axis=0)))


@settings(deadline=None, max_examples=60)
@given(
    honest=arrays(np.int16, (9, 3), elements=elements),
    lies=arrays(np.int16, (2, 3), elements=elements),
)
def test_liars_take_bulyan_no_farther_than_the_honest_are_apart(honest, lies):
    found = RULES["bulyan"](np.concatenate([lies, honest]), f=2).astype(int)
    low, high = honest.min(axis=0).astype(int), honest.max(axis=0).astype(int)
    width = high - low
    assert np.all((low - width <= found) & (found <= high + width))


@pytest.mark.parametrize("rule", ["krum", "multi_krum"])
@pytest.mark.parametrize("lie", [LOWEST, HIGHEST])
def test_far_liars_are_not_chosen(rule, lie):
    updates = drawn(15, 50)
    updates[::5] = lie
    honest = np.delete(updates, slice(None, None, 5), axis=0)
    found = RULES[rule](updates, **parameters(rule, updates, 3))
    if rule == "krum":
        assert found.tolist() in honest.tolist()
    else:
        np.testing.assert_array_equal(found, RULES["mean"](honest))


def distance(left, right):
    return float(np.linalg.norm(left.astype(float) - right))


@pytest.mark.parametrize(("count", "f"), [(5, 2), (10, 2), (10, 4), (21, 10)])
@pytest.mark.parametrize("near", [False, True])
def test_minimum_diameter_averaging_stays_within_its_bound(count, f, near):
    updates = drawn(count, 30)
    updates[:f] = updates[-1] + np.int16(1500 if near else 15000)
    honest = updates[f:]
    diameter = max(distance(left, right) for left in honest for right in honest)
    found = RULES["minimum_diameter"](updates, f)
    assert distance(found, honest.mean(axis=0)) <= 2 * f / (count - f) * diameter + isqrt(30) + 1


def test_of_sets_of_one_diameter_the_one_nearest_to_all_is_averaged():
    # 0, 4, 8 and 4, 8, 12 are both 8 wide, and 12 is nearer to all than 0.
    updates = np.array([[0], [4], [8], [12], [90]], dtype=np.int16)
    for order in ([0, 1, 2, 3, 4], [3, 1, 4, 2, 0], [4, 3, 2, 1, 0]):
        assert RULES["minimum_diameter"](updates[order], 2).tolist() == [8]
    # Of four equally near ones, the first participants.
    corners = np.array([[0, 0], [8, 0], [0, 8], [8, 8]], dtype=np.int16)
    assert RULES["minimum_diameter"](corners, 1).tolist() == [2, 2]
    assert RULES["minimum_diameter"](corners[::-1], 1).tolist() == [5, 5]


@pytest.mark.parametrize(("liars", "f", "crowd"), [(4, 4, 5), (31, 31, 33), (33, 32, 33)])
def test_minimum_diameter_averages_the_crowd_if_f_are_enough_to_leave_out(liars, f, crowd):
    # Liars on axes of their own are as far from each other as can be.
    updates = np.zeros((liars + crowd, liars), dtype=np.int16)
    updates[:liars] = HIGHEST * np.eye(liars, dtype=np.int16)
    found = RULES["minimum_diameter"](updates, f)
    assert found.tolist() == [0] * liars if liars <= f else found.any()


@pytest.mark.parametrize("pairs", [10, 14, 18, 22])
@pytest.mark.parametrize("f", [3, 4, 5])
def test_minimum_diameter_searches_any_graph_of_far_pairs(pairs, f):
    count, draw = 11, np.random.default_rng([pairs, f])
    squares = np.full((count, count), 400) - 400 * np.eye(count, dtype=int)
    for _ in range(100):
        table = squares.copy()
        for i, j in draw.integers(count, size=(pairs, 2)):
            if i != j:
                table[i, j] = table[j, i] = draw.integers(201, 203) * 2
        # Updates of norm 1000 that are so far apart have these inner products.
        weights = minimum_diameter_weights((1000**2 - table // 2).astype(object), f)
        found = [i for i, weight in enumerate(weights) if weight]
        assert found == reference_rules.of_least_diameter(table.tolist(), f), table.tolist()


@settings(deadline=None, max_examples=60)
@given(updates=arrays(np.int16, (7, 4), elements=elements), trusted=arrays(np.int16, 4))
def test_whatever_all_send_fltrust_follows_the_trusted_update(updates, trusted):
    found = RULES["fltrust"](updates.astype(np.int32), trusted.astype(np.int32)).tolist()
    length = isqrt(sum(int(value) ** 2 for value in trusted)) + 1
    assert sum(value**2 for value in found) <= (length + 2) ** 2  # floors of four coordinates
    below = sum(abs(int(value)) for value in trusted)
    assert sum(a * int(b) for a, b in zip(found, trusted, strict=True)) >= -below


@pytest.mark.parametrize("lie", [LOWEST, HIGHEST])
def test_fltrust_withstands_a_majority_that_agrees_on_nothing(lie):
    trusted = drawn(1, 400, seed=9)[0]
    updates = trusted + drawn(10, 400, spread=100)
    updates[:8] = lie
    found = RULES["fltrust"](updates, trusted).astype(float)
    cosine = found @ trusted / np.linalg.norm(found) / np.linalg.norm(trusted)
    assert cosine > 0.9


def test_fltrust_makes_updates_as_long_as_the_trusted_one():
    trusted = np.array([300, 400], dtype=np.int16)
    assert RULES["fltrust"](np.array([[3000, 4000]], dtype=np.int16), trusted).tolist() == [
        300,
        400,
    ]
    assert RULES["fltrust"](np.array([[30, 40]], dtype=np.int16), trusted).tolist() == [300, 400]
    # Cosines 0.6 and 0.8 of two axes of length 500.
    axes = np.array([[1000, 0], [0, 100]], dtype=np.int16)
    assert RULES["fltrust"](axes, trusted).tolist() == [int(500 * 0.6 / 1.4), int(500 * 0.8 / 1.4)]


def test_fltrust_without_agreement_does_not_move():
    updates, opposite = np.array([[1, 2], [0, 0]], dtype=np.int16), np.array([-2, -1], np.int16)
    assert RULES["fltrust"](updates, opposite).tolist() == [0, 0]
    assert RULES["fltrust"](updates, np.zeros(2, np.int16)).tolist() == [0, 0]


def test_fltrust_holds_a_lengthened_update_within_its_type():
    trusted = np.full(9, HIGHEST, dtype=np.int16)
    axis = np.zeros((1, 9), dtype=np.int16)
    axis[0, 3] = 30_000
    assert RULES["fltrust"](axis, trusted)[3] == HIGHEST
    wide = RULES["fltrust"](axis.astype(np.int32), trusted.astype(np.int32))
    assert abs(int(wide[3]) - 3 * HIGHEST) <= 1


def test_weights_count_updates_several_times():
    updates = drawn(4, 50)
    repeated = np.repeat(updates, [3, 0, 1, 2], axis=0)
    np.testing.assert_array_equal(
        RULES["weighted_mean"](updates, [3, 0, 1, 2]), RULES["mean"](repeated)
    )


@pytest.mark.parametrize(("count", "f"), [(5, 1), (10, 2), (10, 4), (21, 8), (21, 10)])
@pytest.mark.parametrize("lie", [LOWEST, HIGHEST])
def test_geometric_median_stays_within_its_bound(count, f, lie):
    updates = drawn(count, 30)
    updates[:f] = lie
    honest = updates[f:]
    middle = honest.mean(axis=0)
    radius = max(distance(row, middle) for row in honest)
    bound = 2 * radius * (count - f) / (count - 2 * f)
    assert distance(RULES["geometric_median"](updates), middle) <= bound


@pytest.mark.parametrize("lie", [LOWEST, HIGHEST])
def test_one_liar_moves_centered_clipping_by_twice_tau_over_n(lie):
    updates, tau = drawn(10, 50), 100
    lying = updates.copy()
    lying[0] = lie
    moved = distance(
        RULES["centered_clipping"](updates, tau=tau),
        RULES["centered_clipping"](lying, tau=tau),
    )
    assert moved <= 2 * tau / 10 + isqrt(50) + 1  # rounding may move each coordinate by 1


@exact
@given(updates=arrays(np.int16, (6, 4), elements=elements), tau=st.integers(1, 10**5))
def test_centered_clipping_goes_no_farther_than_tau_a_step(updates, tau):
    found = RULES["centered_clipping"](updates, tau, 3)
    assert np.linalg.norm(found.astype(float)) <= 3 * tau + 2 + 1e-6


@pytest.mark.parametrize(
    ("rule", "wanted"),
    [
        ("mean", 360),
        ("median", 0),
        ("trimmed_mean", 300),
        ("krum", 0),
        ("multi_krum", 225),
        ("minimum_diameter", 225),
        ("geometric_median", 0),
    ],
)
def test_two_minorities_of_ones_among_zeros(rule, wanted):
    # n - 2f zeros, f ones that may be honest and f ones that may lie; one is 900 units.
    updates = np.array([[0]] * 6 + [[900]] * 4, dtype=np.int16)
    assert abs(int(RULES[rule](updates, **parameters(rule, updates, 2))[0]) - wanted) <= 1


@pytest.mark.parametrize(
    "rule",
    [
        *("median", "trimmed_mean", "krum", "multi_krum", "bulyan"),
        *("minimum_diameter", "geometric_median"),
    ],
)
def test_no_rule_beats_the_bound_for_a_minority_that_may_lie_or_not(rule):
    # If the f ones lie, all honest updates are zero and so must be the result. If f of the zeros
    # lie instead, that result is off by f/(n - 2f) honest variances: no rule can do better at both.
    n, f, one = 11, 2, 900
    updates = np.array([[0]] * (n - f) + [[one]] * f, dtype=np.int16)
    found = int(RULES[rule](updates, **parameters(rule, updates, f))[0])
    assert found == 0
    honest = [0] * (n - 2 * f) + [one] * f
    error = (found - np.mean(honest)) ** 2 / np.var(honest)
    assert error == pytest.approx(f / (n - 2 * f))


Z = np.array([[1, 10, -3], [2, 9, -1], [3, 7, 0], [4, 8, 2], [100, -50, 1000]])
UNIT = 1 << 16


@pytest.mark.parametrize(
    ("rule", "arguments", "found_by_byzfl"),
    [
        ("mean", {}, [22, -3.2, 199.6]),
        ("median", {}, [3, 8, 0]),
        ("trimmed_mean", {"f": 1}, [3, 8, 0.333333]),
        ("krum", {"f": 1}, [2, 9, -1]),
        ("multi_krum", {"f": 1}, [2.5, 8.5, -0.5]),
        ("geometric_median", {"nu": 1 << 10}, [2.804702, 8.014120, 0.330925]),
        ("centered_clipping", {"tau": 100 * UNIT}, [3.987616, 5.806192, 19.476160]),
        (
            "centered_clipping",
            {"tau": 5 * UNIT, "iterations": 3},
            [2.573182, 8.091933, 0.840809],
        ),
    ],
)
def test_rule_agrees_with_byzfl_but_for_rounding(rule, arguments, found_by_byzfl):
    found = RULES[rule]((Z * UNIT).astype(np.int32), **arguments) / UNIT
    np.testing.assert_allclose(found, found_by_byzfl, atol=3e-5)


@pytest.mark.parametrize(
    ("step", "found_by_byzfl"),
    [("arc", [1.042315, -0.521157, 10.423146]), ("nnm", [27.25, -6.5, 250.25])],
)
def test_pre_step_agrees_with_byzfl_but_for_rounding(step, found_by_byzfl):
    found = PRE_STEPS[step]((Z * UNIT).astype(np.int32), f=1).array()[-1] / UNIT
    np.testing.assert_allclose(found, found_by_byzfl, atol=2e-5)


@settings(deadline=None, max_examples=60)
@given(data=st.data(), dtype=st.sampled_from([np.int16, np.int32]))
def test_pre_steps_are_their_definitions(data, dtype):
    updates, f = data.draw(problems("trimmed_mean"))
    wide, rows = updates.astype(dtype), updates.tolist()
    s, seed = data.draw(st.integers(1, 4)), data.draw(st.integers(0, 2**64 - 1))
    assert arc(wide, f).array().tolist() == reference_rules.arc(rows, f)
    assert nnm(wide, f).array().tolist() == reference_rules.nnm(rows, f)
    bucketed = PRE_STEPS["bucketing"](wide, s, seed).array()
    assert bucketed.tolist() == reference_rules.bucketing(rows, s, seed)


@pytest.mark.parametrize("count", [255, 256, 257])
def test_mixing_is_exact_where_float32_ends(count):
    updates = np.full((count, 40), HIGHEST, dtype=np.int16)
    updates[0] = HIGHEST - 1  # a mean of HIGHEST - 1/count must not be rounded up
    assert nnm(updates, 0).array().tolist() == [[HIGHEST - 1] * 40] * count


def test_composed_steps_run_in_the_order_of_their_names():
    updates = drawn(12, 60)
    updates[0] = HIGHEST
    found = compose(["arc", "nnm"], "krum", f=2)(updates)
    np.testing.assert_array_equal(found, RULES["krum"](nnm(arc(updates, 2).array(), 2).array(), 2))
    assert found.tolist() != compose(["nnm", "arc"], "krum", f=2)(updates).tolist()


@EVERY_RULE
def test_every_rule_takes_every_pre_step(rule):
    updates = drawn(23, 30)
    mixed = nnm(arc(PRE_STEPS["bucketing"](updates, 2, 5).array(), 1).array(), 1).array()
    given_to_all = {"s": 2, "seed": 5, "f": 1} | parameters(rule, mixed, 1)
    composed = compose(["bucketing", "arc", "nnm"], rule, **given_to_all)
    np.testing.assert_array_equal(
        composed(updates), RULES[rule](mixed, **parameters(rule, mixed, 1))
    )


def test_bucketing_depends_on_its_seed_and_tolerates_fewer_liars():
    updates = drawn(10, 4)
    bucketing = PRE_STEPS["bucketing"]
    assert bucketing(updates, 3, 1).count == 4
    assert bucketing(updates, 3, 1).array().tolist() != bucketing(updates, 3, 2).array().tolist()
    with pytest.raises(RuleError, match="bucketing by 3 tolerating 2 liars needs at least 13"):
        bucketing(updates, 3, 1, f=2)


@pytest.mark.parametrize(
    ("call", "wanted"),
    [
        (lambda x: RULES["multi_krum"](x, f=1, m=5), "from 1 to 4 of them; got m = 5"),
        (lambda x: RULES["multi_krum"](x, f=1, m=0), "from 1 to 4 of them; got m = 0"),
        (lambda x: RULES["krum"](x, f=-1), "f >= 0 liars; got f = -1"),
        (lambda x: RULES["geometric_median"](x, nu=0), "nu from 1 to 1073741824"),
        (lambda x: RULES["geometric_median"](x, iterations=0), "iterations of at least 1; got 0"),
        (lambda x: RULES["centered_clipping"](x, tau=0), "tau of at least 1; got 0"),
        (lambda x: RULES["centered_clipping"](x, 1, 1, x[0, :1]), "v0 of 2 coordinates"),
        (lambda x: RULES["minimum_diameter"](x, f=3), "needs at least 7 updates; got 5"),
        (lambda x: RULES["weighted_mean"](x, [1] * 4), "as many weights; got 4"),
        (lambda x: RULES["weighted_mean"](x, [0] * 5), "not all of them zero"),
        (lambda x: RULES["weighted_mean"](x, [1, 1, 1, 1, -1]), "from 0 to 1073741824 .* got -1"),
        (lambda x: RULES["weighted_mean"](x, [2**30 + 1] * 5), "got 1073741825"),
        (lambda x: RULES["fltrust"](x, x), "a reference of 2 coordinates"),
        (lambda x: PRE_STEPS["bucketing"](x, 0, 0), "s of at least 1; got 0"),
        (lambda x: PRE_STEPS["bucketing"](x, 1, -1), "seed from 0"),
        (lambda _: compose(["arc"], "meen"), "no rule 'meen'; known are bulyan, "),
        (lambda _: compose(["ark"], "mean"), "no pre-step 'ark'; known are arc, "),
    ],
)
def test_parameter_out_of_range_is_refused_with_what_was_needed(call, wanted):
    with pytest.raises(RuleError, match=wanted):
        call(np.ones((5, 2), dtype=np.int16))


def test_misspelt_parameter_is_a_programming_error():
    with pytest.raises(TypeError, match="tolerance"):
        compose(["arc"], "mean", f=0, tolerance=1)
    with pytest.raises(TypeError, match="v0 must be int16"):
        RULES["centered_clipping"](drawn(3, 2), 1, 1, np.zeros(2, dtype=np.int32))
    with pytest.raises(TypeError, match="integer"):
        RULES["weighted_mean"](drawn(3, 2), [0.5, 1, 1])
    with pytest.raises(TypeError, match="reference must be int16"):
        RULES["fltrust"](drawn(3, 2), np.zeros(2, dtype=np.int32))


@EVERY_RULE
@EVERY_TYPE
def test_number_of_blas_threads_does_not_matter(rule, dtype):
    # Large enough that the library shares the work out when it may.
    updates = drawn(40, 8_000, spread=HIGHEST).astype(dtype) * np.iinfo(dtype).max // HIGHEST
    steps = compose(["arc", "nnm"], rule, **{"f": 4} | parameters(rule, updates, 4))
    with threadpool_limits(1, user_api="blas"):
        alone = steps(updates)
    with threadpool_limits(2, user_api="blas"):
        np.testing.assert_array_equal(steps(updates), alone)


@EVERY_RULE
@pytest.mark.parametrize("dtype", [np.int64, np.float32, np.uint16])
def test_other_number_types_are_a_programming_error(rule, dtype):
    updates = np.zeros((9, 2), dtype=dtype)
    with pytest.raises(TypeError, match="int16 or int32"):
        RULES[rule](updates, **parameters(rule, updates, 1))


@pytest.mark.parametrize(("count", "dimension"), [(16, 10**6), (50, 10**4), (200, 10**4)])
@pytest.mark.parametrize(
    ("steps", "rule"),
    [
        *(([], rule) for rule in RULES),
        *((steps, "trimmed_mean") for steps in (["arc"], ["nnm"], ["arc", "nnm"])),
    ],
)
def test_extra_memory_is_below_a_tenth_of_int16_updates(steps, rule, count, dimension):
    updates = drawn(count, dimension)
    composed = compose(steps, rule, **parameters(rule, updates, 3))
    composed(updates)  # compiles what it runs
    tracemalloc.start()
    try:
        found = composed(updates)
        peak_bytes = tracemalloc.get_traced_memory()[1] - found.nbytes
    finally:
        tracemalloc.stop()
    assert peak_bytes < updates.nbytes / 10


@EVERY_TYPE
def test_gram_matrix_of_many_blocks_is_exact_at_the_ends_of_the_range(dtype):
    ends = np.iinfo(dtype)
    updates = np.full((3, 50_001), ends.min, dtype=dtype)
    updates[1] = ends.max
    table = gram(Rows.of(updates)).tolist()
    assert table[0][0] == ends.min**2 * 50_001
    assert table[0][1] == table[1][0] == ends.min * ends.max * 50_001
    assert table[1][1] == ends.max**2 * 50_001


def test_sorted_rows_do_not_touch_the_block():
    block = drawn(9, 9)
    before = block.copy()
    mean_at_ranks(block, range(4, 5), np.empty(9, dtype=np.int16))
    mean_about_median(block, 3, np.empty(9, dtype=np.int16))
    np.testing.assert_array_equal(block, before)
