"""A root binds every coordinate, its place, the width of the integers and the squared norm."""

from dataclasses import replace

import numpy as np
import pytest
from eth_hash.auto import keccak
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from protocol.errors import VerificationFailed
from protocol.numbers import squared_norm
from protocol.sumtree import (
    PADDING,
    Node,
    SumTree,
    chunk_count,
    depth_of,
    leaf_hash,
    parent,
    root_hash,
)
from tests.unit.protocol.openings import verify_opening
from tests.vectors import reference

pytestmark = pytest.mark.unit

exact = settings(deadline=None)
lengths = st.sampled_from([16, 32])
updates = arrays(np.int16, st.integers(1, 400))
models = arrays(np.int32, st.integers(1, 200))


def verified(tree, opening, **changes):
    shape = {
        "root": tree.root,
        "dimension": tree.dimension,
        "chunk_length": tree.chunk_length,
        "width_bytes": tree.width_bytes,
    }
    return verify_opening(opening, **(shape | changes))


def an_update(dimension=200):
    return np.arange(-50, dimension - 50, dtype=np.int16)


@exact
@given(updates | models, lengths)
def test_tree_is_the_plainly_computed_one(values, chunk_length):
    tree = SumTree.of(values, chunk_length)
    leaves = reference.leaves(values.tolist(), values.dtype.itemsize, chunk_length)
    top = reference.levels(leaves)[-1][0]
    assert (tree.top, tree.squared_norm) == top
    assert tree.root == reference.root(values.size, top)
    assert tree.depth == depth_of(values.size, chunk_length)


@exact
@given(updates, lengths)
def test_root_carries_the_squared_norm(values, chunk_length):
    tree = SumTree.of(values, chunk_length)
    assert tree.squared_norm == squared_norm(values)
    assert tree.root == root_hash(values.size, squared_norm(values), tree.top)


@exact
@given(models, lengths)
def test_models_carry_no_norm(values, chunk_length):
    assert SumTree.of(values, chunk_length).squared_norm == 0


@exact
@given(updates | models, lengths)
def test_every_chunk_opens_to_its_coordinates(values, chunk_length):
    tree = SumTree.of(values, chunk_length)
    found = [verified(tree, tree.opening(i)) for i in range(len(tree.chunks))]
    assert all(chunk.dtype == values.dtype for chunk in found)
    np.testing.assert_array_equal(np.concatenate(found), values)


@exact
@given(updates, lengths, st.data())
def test_one_changed_coordinate_changes_the_root(values, chunk_length, data):
    position = data.draw(st.integers(0, values.size - 1))
    changed = values.copy()
    changed[position] ^= data.draw(st.sampled_from([1, 2, 256, 16384]))
    assert SumTree.of(changed, chunk_length).root != SumTree.of(values, chunk_length).root


def test_mirrored_update_of_the_same_norm_has_another_root():
    values = an_update()
    assert SumTree.of(values, 16).root != SumTree.of(values[::-1], 16).root
    assert SumTree.of(values, 16).root != SumTree.of(-values, 16).root


def test_trailing_zeros_change_the_root():
    values = an_update(17)
    longer = np.append(values, np.int16(0))
    assert SumTree.of(values, 16).top == SumTree.of(longer, 16).top
    assert SumTree.of(values, 16).root != SumTree.of(longer, 16).root


def test_update_and_model_of_the_same_values_have_other_roots():
    zeros = np.zeros(16, dtype=np.int16)
    assert SumTree.of(zeros, 16).root != SumTree.of(zeros.astype(np.int32), 16).root


@pytest.mark.parametrize(
    ("dimension", "chunk_length", "chunks", "depth"),
    [
        (1, 16, 1, 0),
        (16, 16, 1, 0),
        (17, 16, 2, 1),
        (32, 16, 2, 1),
        (33, 16, 3, 2),
        (64, 16, 4, 2),
        (65, 16, 5, 3),
        (10**6, 256, 3907, 12),
        (2**32 - 1, 16, 2**28, 28),
    ],
)
def test_depth_follows_from_the_dimension(dimension, chunk_length, chunks, depth):
    assert chunk_count(dimension, chunk_length) == chunks
    assert depth_of(dimension, chunk_length) == depth


def test_single_chunk_has_its_leaf_as_top():
    tree = SumTree.of(np.array([2, 3], dtype=np.int16), 16)
    assert tree.top == leaf_hash(2, 0, b"\0\2\0\3" + bytes(28))
    assert tree.opening(0).siblings == ()


def test_missing_leaves_are_padding_nodes():
    tree = SumTree.of(an_update(16 * 5), 16)
    assert tree.opening(4).siblings[:2] == (PADDING, parent(PADDING, PADDING))


@pytest.mark.parametrize("index", [-1, 13])
def test_only_existing_chunks_open(index):
    with pytest.raises(IndexError, match=f"chunk {index} of 13"):
        SumTree.of(an_update(), 16).opening(index)


@exact
@given(updates, st.data())
def test_any_changed_byte_of_an_opening_is_refused(values, data):
    tree = SumTree.of(values, 16)
    opening = tree.opening(data.draw(st.integers(0, len(tree.chunks) - 1)))
    position = data.draw(st.integers(0, len(opening.chunk) - 1))
    chunk = bytearray(opening.chunk)
    chunk[position] ^= data.draw(st.integers(1, 255))
    with pytest.raises(VerificationFailed):
        verified(tree, replace(opening, chunk=bytes(chunk)))


@exact
@given(st.integers(17, 400), st.data())
def test_any_changed_sibling_is_refused(dimension, data):
    tree = SumTree.of(an_update(dimension), 16)
    opening = tree.opening(data.draw(st.integers(0, len(tree.chunks) - 1)))
    height = data.draw(st.integers(0, tree.depth - 1))
    found = opening.siblings[height]
    other = data.draw(
        st.sampled_from([Node(found.hash, found.sum + 1), Node(keccak(b"x"), found.sum)])
    )
    siblings = (*opening.siblings[:height], other, *opening.siblings[height + 1 :])
    with pytest.raises(VerificationFailed, match="root"):
        verified(tree, replace(opening, siblings=siblings))


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"root": bytes(32)}, "root"),
        ({"dimension": 201}, "root"),
        ({"dimension": 300}, "sibling count"),
        ({"chunk_length": 32}, "chunk bytes"),
        ({"width_bytes": 4}, "integer width"),
    ],
)
def test_opening_under_another_shape_is_refused(change, message):
    tree = SumTree.of(an_update(), 16)
    with pytest.raises(VerificationFailed, match=message):
        verified(tree, tree.opening(0), **change)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"index": 13}, "chunk index must be below 13; found 13"),
        ({"index": -1}, "chunk index"),
        ({"index": 2}, "root"),
        ({"chunk": b""}, "chunk bytes"),
        ({"siblings": ()}, "sibling count"),
        ({"siblings": (Node(bytes(31), 0),) * 4}, "sibling 0"),
        ({"siblings": (Node(bytes(32), -1),) * 4}, "sibling 0"),
        # Sums that wrap around 2^64 would hide any norm.
        ({"siblings": (Node(bytes(32), 2**63),) * 4}, "sibling 0"),
        ({"siblings": (Node(bytes(32), 2**62),) * 4}, "sibling 1"),
    ],
)
def test_malformed_opening_is_refused(change, message):
    tree = SumTree.of(an_update(), 16)
    with pytest.raises(VerificationFailed, match=message):
        verified(tree, replace(tree.opening(1), **change))


def test_coordinates_behind_the_dimension_must_be_zero():
    longer = SumTree.of(np.append(an_update(17), np.int16(1)), 16)
    # A liar's tree holds an 18th coordinate and claims the dimension 17.
    root = root_hash(17, longer.squared_norm, longer.top)
    with pytest.raises(VerificationFailed, match="padding"):
        verified(longer, longer.opening(1), root=root, dimension=17)


def test_false_norm_in_the_root_has_no_opening():
    tree = SumTree.of(an_update(), 16)
    lie = root_hash(tree.dimension, tree.squared_norm - 1, tree.top)
    for index in range(len(tree.chunks)):
        with pytest.raises(VerificationFailed, match="root"):
            verified(tree, tree.opening(index), root=lie)


def test_inner_node_is_no_leaf():
    # 64 bytes of chunk: leaf and node hash equally many bytes, so only the tags tell them apart.
    tree = SumTree.of(an_update(64), 32)
    left, right = tree.levels[0]
    as_leaf = leaf_hash(2, 0, left.hash + right.hash)
    assert as_leaf != parent(left, right).hash
    assert parent(left, right) != parent(right, left)


@pytest.mark.parametrize(
    ("values", "error"),
    [
        (np.zeros(4), TypeError),
        (np.zeros(4, dtype=np.int64), TypeError),
        (np.zeros(4, dtype=np.uint16), TypeError),
        (np.zeros(0, dtype=np.int16), ValueError),
        (np.zeros((2, 2), dtype=np.int16), ValueError),
    ],
)
def test_only_rows_of_int16_or_int32_have_trees(values, error):
    with pytest.raises(error):
        SumTree.of(values, 16)


def test_largest_sums_do_not_wrap():
    tree = SumTree.of(np.full(2**17, -(2**15), dtype=np.int16), 1024)
    assert tree.squared_norm == 2**47
