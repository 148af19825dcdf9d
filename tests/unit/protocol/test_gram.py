"""Tables of inner products, against vectors and slow sums."""

from itertools import combinations_with_replacement

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from protocol import gram
from protocol.errors import VerificationFailed
from protocol.gram import Geometry, Table
from tests.unit.protocol.tables import CASES, drawn, raw, table_of, updates
from tests.vectors import reference_gram

pytestmark = pytest.mark.unit


@pytest.mark.parametrize("case", CASES)
def test_table_has_the_root_and_the_nodes_of_the_vectors(case):
    table = table_of(case)
    assert table.root == raw(case["root"])
    assert table.pair_nodes == raw(case["pairNodes"])
    assert table.path(case["leaf"]) == raw(case["path"])
    (part,) = table.parts()
    assert part == (raw(case["leaves"]), raw(case["siblings"]))


@given(updates(), st.sampled_from([16, 32]))
def test_table_is_that_of_slow_sums(rows, chunk_length):
    table = Table.of(rows, chunk_length)
    products = reference_gram.products(rows.tolist(), chunk_length)
    levels = reference_gram.levels(products)
    assert table.products.tolist() == products
    assert table.root == reference_gram.root(len(rows), levels[-1][0])
    assert table.geometry.height == len(levels) - 1
    leaf = len(levels[0]) * 2 // 3
    assert table.path(leaf) == reference_gram.path(levels, leaf)
    exact = rows.astype(object)
    assert (table.sums == exact @ exact.T).all()


@pytest.mark.parametrize("extreme", [-(2**15), 2**15 - 1])
def test_longest_chunk_of_extremes_is_exact(extreme):
    rows = np.full((2, 2 * 512), extreme, dtype=np.int16)
    table = Table.of(rows, 512)
    assert (table.products == 512 * extreme**2).all()
    rows[1] = -1 - extreme
    assert Table.of(rows, 512).sums[0, 1] == -1024 * extreme * (1 + extreme)


def test_blocks_of_chunks_join_seamlessly(monkeypatch):
    rows = drawn(5, 1000)
    whole = Table.of(rows, 16).products
    monkeypatch.setattr(gram, "_FLOAT_VALUES", 5 * 16 * 7)
    assert (Table.of(rows, 16).products == whole).all()


@given(st.integers(1, 20), st.integers(1, 9), st.data())
def test_leaf_numbers_run_through_the_pairs(count, chunks, data):
    geometry = Geometry(count, chunks)
    pairs = list(combinations_with_replacement(range(count), 2))
    assert geometry.pairs == len(pairs)
    number = data.draw(st.integers(0, len(pairs) - 1))
    chunk = data.draw(st.integers(0, chunks - 1))
    i, j = pairs[number]
    assert geometry.leaf(i, j, chunk) == geometry.leaf(j, i, chunk)
    assert geometry.leaf(i, j, chunk) == (number << geometry.depth) + chunk


def test_total_wraps_as_the_contract_does():
    products = np.full((3, 1), 2**62, dtype=np.int64)
    table = Table.over(products, 2)
    assert table.levels[-1][0].sum == 3 * 2**62
    assert table.sums[0, 1] == 2**62


def test_other_than_int16_rows_are_refused():
    with pytest.raises(TypeError, match="int16"):
        Table.of(np.zeros((2, 3), dtype=np.int32), 16)


@settings(max_examples=20)
@given(updates())
def test_parts_give_the_table_back(rows):
    table = Table.of(rows, 16)
    parts = list(table.parts())
    assert gram.joined([part.chunks for part in parts], table.geometry).root == table.root


def test_large_table_has_parts_of_4096_leaves():
    table = Table.of(drawn(11, 100 * 16), 16)
    parts = list(table.parts())
    assert [len(part.chunks) for part in parts] == [32_768] * 3
    assert gram.joined([part.chunks for part in parts], table.geometry).root == table.root
    levels = reference_gram.levels(table.products.tolist())
    assert [reference_gram.part(levels, number) for number in range(3)] == parts


def test_missing_part_is_refused():
    table = Table.of(drawn(11, 100 * 16), 16)
    leaves = [part.chunks for part in table.parts()]
    with pytest.raises(VerificationFailed, match="must have"):
        gram.joined(leaves[:2], table.geometry)


@pytest.mark.parametrize("leaf", [3, 4 * 6 - 1, 4 * 6, 4 * 8 - 1])
def test_padding_that_is_not_zero_is_refused(leaf):
    """Behind the chunks of the first and of the last of six pairs, and behind the pairs."""
    leaves = bytearray(8 * 4 * 8)
    assert gram.joined([bytes(leaves)], Geometry(3, 3)).products.shape == (6, 3)
    leaves[8 * leaf + 7] = 1
    with pytest.raises(VerificationFailed, match="zeros"):
        gram.joined([bytes(leaves)], Geometry(3, 3))
