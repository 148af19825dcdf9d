"""Parts are whole subtrees whose root follows from their bytes and siblings alone."""

import numpy as np
import pytest
from eth_hash.auto import keccak
from hypothesis import given, settings
from hypothesis import strategies as st

from protocol.encoding import Kind
from protocol.errors import VerificationFailed
from protocol.posting import LARGEST_PART_BYTES, Geometry, joined, kind_of, parts
from protocol.sumtree import SumTree, depth_of
from protocol.task import CHUNK_LENGTH_STEP, MAX_CHUNK_LENGTH

pytestmark = pytest.mark.unit

DTYPES = {Kind.UPDATE: np.int16, Kind.MODEL: np.int32}


def vector(kind: Kind, dimension: int, seed: int = 1) -> np.ndarray:
    limits = np.iinfo(DTYPES[kind])
    drawn = np.random.default_rng(seed).integers(limits.min, limits.max, dimension, endpoint=True)
    return drawn.astype(DTYPES[kind])


@st.composite
def geometries(draw):
    chunk_length = CHUNK_LENGTH_STEP * draw(st.integers(1, MAX_CHUNK_LENGTH // CHUNK_LENGTH_STEP))
    return Geometry(draw(st.integers(1, 2**32 - 1)), chunk_length, draw(st.sampled_from(Kind)))


@given(geometries())
def test_part_is_the_largest_subtree_that_fits(geometry):
    depth = depth_of(geometry.dimension, geometry.chunk_length)
    assert 0 <= geometry.height <= depth
    assert geometry.chunk_bytes << geometry.height <= LARGEST_PART_BYTES
    larger = geometry.chunk_bytes << (geometry.height + 1)
    assert geometry.height == depth or larger > LARGEST_PART_BYTES


@given(geometries())
def test_parts_have_all_chunks_and_no_padding_leaf(geometry):
    chunks = -(-geometry.dimension // geometry.chunk_length)
    full = geometry.chunk_bytes << geometry.height
    last = geometry.part_bytes(geometry.count - 1)
    assert (geometry.count - 1) * full + last == chunks * geometry.chunk_bytes
    assert 0 < last <= full
    assert geometry.count == 1 or geometry.part_bytes(0) == full


def root_of_a_part(part, number: int, geometry: Geometry) -> bytes:
    """What the contract makes of one part, written from the layout."""
    width = geometry.kind.width_bytes
    size, height = geometry.chunk_bytes, geometry.height
    row: list[tuple[bytes, int]] = []
    for start in range(0, len(part.chunks), size):
        chunk = part.chunks[start : start + size]
        index = (number << height) + start // size
        words = [
            int.from_bytes(chunk[at : at + width], "big", signed=True)
            for at in range(0, size, width)
        ]
        tag = b"volquorum.leaf.1" + width.to_bytes(8, "big") + index.to_bytes(8, "big")
        row.append((keccak(tag + chunk), sum(word**2 for word in words) if width == 2 else 0))
    row += [(bytes(32), 0)] * ((1 << height) - len(row))

    def above(left: tuple[bytes, int], right: tuple[bytes, int]) -> tuple[bytes, int]:
        sums = left[1].to_bytes(8, "big") + right[1].to_bytes(8, "big")
        return keccak(left[0] + right[0] + b"volquorum.node.1" + sums), left[1] + right[1]

    while len(row) > 1:
        row = [above(row[i], row[i + 1]) for i in range(0, len(row), 2)]
    node = row[0]
    assert len(part.siblings) == 40 * (depth_of(geometry.dimension, geometry.chunk_length) - height)
    for step in range(len(part.siblings) // 40):
        raw = part.siblings[40 * step : 40 * step + 40]
        beside = raw[:32], int.from_bytes(raw[32:], "big")
        node = above(beside, node) if number >> step & 1 else above(node, beside)
    head = b"volquorum.root.1" + geometry.dimension.to_bytes(8, "big") + node[1].to_bytes(8, "big")
    return keccak(head + node[0])


@pytest.mark.parametrize("kind", Kind)
@pytest.mark.parametrize(
    ("dimension", "chunk_length"),
    [(1, 16), (17, 16), (300, 256), (8_192, 16), (16_384, 512), (40_000, 512), (33_000, 16)],
)
def test_every_part_leads_to_the_root(kind, dimension, chunk_length):
    values = vector(kind, dimension)
    geometry = Geometry(dimension, chunk_length, kind)
    found = parts(values, chunk_length)
    assert len(found) == geometry.count
    for number, part in enumerate(found):
        assert len(part.chunks) == geometry.part_bytes(number)
        root = root_of_a_part(part, number, geometry)
        assert root == SumTree.of(values, chunk_length).root


@settings(max_examples=30, deadline=None)
@given(st.integers(1, 40_000), st.sampled_from([16, 48, 512]), st.sampled_from(Kind))
def test_parts_are_joined_to_the_vector(dimension, chunk_length, kind):
    values = vector(kind, dimension)
    posted = [part.chunks for part in parts(values, chunk_length)]
    found = joined(posted, Geometry(dimension, chunk_length, kind))
    assert found.dtype == values.dtype
    np.testing.assert_array_equal(found, values)


WIDE = vector(Kind.UPDATE, 33_000)
WIDE_GEOMETRY = Geometry(WIDE.size, 16, Kind.UPDATE)
POSTED = [part.chunks for part in parts(WIDE, 16)]


@pytest.mark.parametrize(
    "chunks",
    [
        [],
        POSTED[:-1],
        POSTED[1:],
        [*POSTED, b""],
        [POSTED[0][:-1], *POSTED[1:]],
        [POSTED[0] + b"\0", *POSTED[1:]],
        [*POSTED[:-1], b""],
        [b"".join(POSTED)],
    ],
)
def test_parts_that_are_not_all_there_make_no_vector(chunks):
    with pytest.raises(VerificationFailed, match="the parts must have"):
        joined(chunks, WIDE_GEOMETRY)


def test_coordinates_behind_the_end_make_no_vector():
    dirty = [*POSTED[:-1], POSTED[-1][:-1] + b"\1"]
    with pytest.raises(VerificationFailed, match="zeros behind"):
        joined(dirty, WIDE_GEOMETRY)


def test_kind_follows_from_the_type():
    assert kind_of(np.zeros(1, dtype=np.int16)) is Kind.UPDATE
    assert kind_of(np.zeros(1, dtype=np.int32)) is Kind.MODEL
