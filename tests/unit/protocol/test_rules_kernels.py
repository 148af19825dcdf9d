"""The compiled loops: every layout, width and type, with a folder for machine code or without."""

import numpy as np
import pytest
from numba import njit

from protocol.rules import kernels, median, trimmed_mean
from protocol.rules.distances import gram, products_with, squared_distances, squared_norms
from protocol.rules.pre_steps import bucketing, nnm
from protocol.rules.rows import BLOCK_COLUMNS, Rows
from protocol.rules.sorting import mean_at_ranks, network

pytestmark = pytest.mark.unit

LOWEST, HIGHEST = -(2**15), 2**15 - 1
EVERY_TYPE = pytest.mark.parametrize("dtype", [np.int16, np.int32])


def drawn(count, dimension, dtype=np.int16):
    ends = np.iinfo(dtype)
    generator = np.random.default_rng(count + dimension)
    return generator.integers(ends.min, ends.max, (count, dimension), dtype=dtype, endpoint=True)


def mean_of(block, ranks):
    means = np.empty(block.shape[1], dtype=block.dtype)
    mean_at_ranks(block, ranks, means)
    return means


def fully_sorted(block):
    """Every row after all visits."""
    ordered = np.empty_like(block)
    visits = network(len(block), range(len(block)))
    for rank, row in enumerate(ordered):
        kernels.average_in_order(block, visits, range(rank, rank + 1), row)
    return ordered


def expected_mean(block, ranks):
    kept = np.sort(block, axis=0)[ranks.start : ranks.stop]
    return kept.sum(axis=0, dtype=np.int64) // len(ranks)


@EVERY_TYPE
@pytest.mark.parametrize("width", [1, 15, 16, 17, 32, 255, 256, 257, 1000])
@pytest.mark.parametrize("count", [1, 2, 9, 33])
def test_no_width_has_a_seam(count, width, dtype):
    block = drawn(count, width, dtype)
    for f in (0, (count - 1) // 2):
        ranks = range(f, count - f)
        np.testing.assert_array_equal(mean_of(block, ranks), expected_mean(block, ranks))
    np.testing.assert_array_equal(fully_sorted(block), np.sort(block, axis=0))


@pytest.mark.parametrize(
    "view",
    [
        lambda block: block[:, 3:40],
        lambda block: block[::2],
        lambda block: block[::-1],
        lambda block: block[:, ::-1],
        lambda block: block[:, ::3],
        np.asfortranarray,
        lambda block: np.broadcast_to(block[:1], block.shape),
        lambda block: np.frombuffer(block.tobytes(), dtype=np.int16).reshape(block.shape),
    ],
)
def test_rows_may_lie_in_memory_in_any_way(view):
    block = view(drawn(10, 50))
    before = block.copy()
    ranks = range(2, len(block) - 2)
    np.testing.assert_array_equal(mean_of(block, ranks), expected_mean(before, ranks))
    np.testing.assert_array_equal(nnm(block, f=1).array(), nnm(before, f=1).array())
    np.testing.assert_array_equal(gram(Rows.of(block)), gram(Rows.of(before)))
    assert squared_norms(Rows.of(block)) == squared_norms(Rows.of(before))
    np.testing.assert_array_equal(block, before)


@EVERY_TYPE
@pytest.mark.parametrize("width", [1, 255, 256, 257, 600])
@pytest.mark.parametrize("count", [1, 2, 3, 4, 5, 13])
def test_inner_products_are_exact_at_every_width_and_count(count, width, dtype):
    updates = drawn(count, width, dtype)
    exact = updates.astype(object) @ updates.astype(object).T
    rows = Rows.of(updates)
    np.testing.assert_array_equal(gram(rows), exact)
    assert squared_norms(rows) == np.diagonal(exact).tolist()
    wide = updates.astype(object)
    apart = [[((a - b) ** 2).sum() for b in wide] for a in wide]
    assert np.concatenate(list(squared_distances(gram(rows)))).tolist() == apart


@pytest.mark.parametrize("count", range(1, 15))
def test_network_for_a_mean_keeps_the_right_values_of_all_zeros_and_ones(count):
    patterns = (np.arange(2**count)[:, None] >> np.arange(count)) & 1
    for f in range((count + 1) // 2):
        ranks = range(f, count - f)
        # So many times the values that the mean is their sum.
        columns = (patterns.T * len(ranks)).astype(np.int16)
        found = mean_of(columns, ranks)
        np.testing.assert_array_equal(found, np.clip(patterns.sum(axis=1) - f, 0, len(ranks)))


@pytest.mark.parametrize(
    ("count", "run"),
    [(17, 16), (31, 16), (32, 16), (33, 32), (50, 32), (100, 64), (128, 64), (200, 128)],
)
def test_last_merge_sorts_every_pair_of_sorted_zeros_and_ones(count, run):
    # With the test above, and the sizes one by one, that is a proof by the 0-1 principle.
    ones, others = np.meshgrid(np.arange(run + 1), np.arange(count - run + 1))
    first = np.arange(run)[:, None] >= run - ones.ravel()
    second = np.arange(count - run)[:, None] >= count - run - others.ravel()
    columns = np.concatenate([first, second]).astype(np.int16)
    np.testing.assert_array_equal(fully_sorted(columns), np.sort(columns, axis=0))
    for f in (0, 1, count // 5, (count - 1) // 2):
        ranks = range(f, count - f)
        np.testing.assert_array_equal(mean_of(columns, ranks), expected_mean(columns, ranks))


@EVERY_TYPE
@pytest.mark.parametrize("count", [*range(15, 20), 63, 64, 65, 129, 256, 257, 500, 513, 1030])
def test_any_number_of_rows_is_sorted(count, dtype):
    block = drawn(count, 40, dtype)
    block[:, :20] >>= 8 * block.itemsize - 4  # many ties
    np.testing.assert_array_equal(fully_sorted(block), np.sort(block, axis=0))
    for f in (1, count // 3, (count - 1) // 2):
        ranks = range(f, count - f)
        np.testing.assert_array_equal(mean_of(block, ranks), expected_mean(block, ranks))


def test_mean_of_everything_compares_nothing_and_a_trimmed_mean_less_than_a_sort():
    ranks = range(20, 80)
    averaged, needed, every = (
        len(network(100, wanted, averaged=mean).rows)
        for wanted, mean in ((ranks, True), (ranks, False), (range(100), False))
    )
    assert averaged < needed < every
    assert len(network(100, range(100), averaged=True).rows) == 0


@EVERY_TYPE
@pytest.mark.parametrize("s", [1, 2, 3, 4, 5, 6, 11])
def test_groups_by_their_own_rows_or_by_the_others_have_the_same_means(s, dtype):
    updates = drawn(11, 300, dtype)
    found = bucketing(updates, s, seed=7).array()
    places = np.tile(np.arange(11, dtype=dtype), (300, 1)).T.copy()
    # With its place for an update, a bucket of one tells who is in it.
    order = bucketing(places, 1, seed=7).array()[:, 0]
    for i, start in enumerate(range(0, 11, s)):
        members = updates[order[start : start + s]].astype(np.int64)
        np.testing.assert_array_equal(found[i], members.sum(axis=0) // len(members))


@EVERY_TYPE
@pytest.mark.parametrize("divisor", [1, 3, 2**24 + 1, 2**30 - 1, 2**30])
def test_weighted_sums_are_rounded_down_however_near_to_an_integer(divisor, dtype):
    ends = np.iinfo(dtype)
    values = np.array([ends.min + 1, -3, -1, 0, 1, 2**15 - 2, ends.max - 1], dtype=dtype)
    means = np.empty_like(values)
    for more in (-1, 0, 1):
        block = np.stack([values, np.full_like(values, more)])
        kernels.average_by_weights(block, np.array([divisor, 1]), divisor, means)
        np.testing.assert_array_equal(means, values + more // divisor)


@EVERY_TYPE
def test_weighted_sums_beyond_the_type_are_held_at_its_ends(dtype):
    ends = np.iinfo(dtype)
    means = np.empty(3, dtype=dtype)
    block = np.array([[ends.min, 5, ends.max]], dtype=dtype)
    kernels.average_by_weights(block, np.array([3]), 1, means)
    assert means.tolist() == [ends.min, 15, ends.max]


@pytest.mark.parametrize("count", [1, 2, 5, 13])
@pytest.mark.parametrize("width", [31, 32, 33, 2047, 2048, 2049, 5000])
def test_inner_products_hold_the_greatest_sums(count, width):
    # Of low and of high bytes, and of both signs.
    ends = np.array([LOWEST, HIGHEST, -1, 255, -256], dtype=np.int16)
    block = np.repeat(np.resize(ends, count)[:, None], width, axis=1)
    exact = block.astype(object) @ block.astype(object).T
    np.testing.assert_array_equal(gram(Rows.of(block)), exact)
    assert squared_norms(Rows.of(block)) == np.diagonal(exact).tolist()
    for row in block:
        assert products_with(row, Rows.of(block)) == (block.astype(object) @ row).tolist()


@pytest.mark.parametrize("lanes", [8, 16, 32])
def test_inner_products_need_no_particular_instruction(lanes, monkeypatch):
    monkeypatch.setattr(kernels, "_FEATURES", {})
    monkeypatch.setattr(kernels, "_LANES", lanes)
    multiply = kernels._products(2, 2)

    @njit
    def multiplied(left, right, starts, width, found):
        multiply(left, right, starts, width, found)

    rows = drawn(4, 2048)
    rows[:, :96] = [[LOWEST], [-1], [LOWEST], [HIGHEST]]
    for width in (lanes, 1024):
        found = np.zeros(4, dtype=np.int64)
        multiplied(rows[:2].ravel(), rows[2:].ravel(), np.array([0, 2048, 0, 2048]), width, found)
        wide = rows[:, :width].astype(object)
        assert found.tolist() == (wide[:2] @ wide[2:].T).ravel().tolist()


@EVERY_TYPE
@pytest.mark.parametrize("width", [1, 255, 256, 257, 700, BLOCK_COLUMNS + 1])
@pytest.mark.parametrize(("count", "f"), [(1, 0), (5, 0), (11, 2), (11, 5), (40, 3)])
def test_means_of_neighbours_are_the_same_within_a_tile_as_in_rows(count, f, width, dtype):
    updates = drawn(count, width, dtype)
    mixed = nnm(updates, f)
    np.testing.assert_array_equal(trimmed_mean(mixed, f), trimmed_mean(mixed.array(), f))


@pytest.mark.parametrize("count", [300, 70_000])
def test_means_of_more_rows_than_a_float32_can_add_are_exact(count):
    updates = np.full((count, 3), HIGHEST, dtype=np.int16)
    updates[0] = HIGHEST - 1
    half = bucketing(updates, count // 2, seed=1)
    assert sorted(half.array()[:, 0].tolist()) == [HIGHEST - 1, HIGHEST]
    assert median(half).tolist() == [HIGHEST - 1] * 3


def test_made_blocks_are_small_beside_the_updates_and_views_are_not_cut():
    rows = Rows.of(drawn(10, 10_000))
    assert len(list(rows.slices())) == 1
    made = rows.changed(lambda block: block.copy())
    largest = max(made.block(columns).nbytes for columns in made.slices())
    assert largest * 20 < 10 * 10_000 * 2
    np.testing.assert_array_equal(trimmed_mean(made, f=2), trimmed_mean(rows, f=2))


def test_kernels_run_where_no_folder_can_keep_their_code(monkeypatch):
    def without_folder(kernel, *, cache=False, **options):
        if cache:
            raise RuntimeError("cannot cache function: no locator available")
        return njit(kernel, **options)

    def doubled(values, found):
        for i in range(len(values)):
            found[i] = 2 * values[i]

    monkeypatch.setattr(kernels, "njit", without_folder)
    found = np.zeros(3, dtype=np.int64)
    kernels.compiled(doubled)(np.arange(3), found)
    assert found.tolist() == [0, 2, 4]
