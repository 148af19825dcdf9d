"""One gzip stream in, one out, and nothing beyond a limit."""

import gzip

import pytest
from hypothesis import given
from hypothesis import strategies as st

from protocol.content_coding import gunzipped, gzip_overhead_bytes, gzipped, takes_gzip
from protocol.errors import EncodingError

pytestmark = pytest.mark.unit


@given(st.lists(st.binary(max_size=200), max_size=20))
def test_what_was_coded_is_got_by_anybody_who_knows_gzip(parts):
    content, coded = b"".join(parts), b"".join(gzipped(parts))
    assert gzip.decompress(coded) == content
    assert gunzipped(coded, limit_bytes=len(content)) == content


@given(st.binary(min_size=1, max_size=300))
def test_one_byte_beyond_the_limit_is_refused(content):
    with pytest.raises(EncodingError, match=f"more than the {len(content) - 1} bytes"):
        gunzipped(gzip.compress(content), limit_bytes=len(content) - 1)


@given(st.binary(max_size=100), st.data())
def test_a_changed_byte_is_refused_or_changes_nothing(content, data):
    coded = bytearray(gzip.compress(content, mtime=0))
    coded[data.draw(st.integers(0, len(coded) - 1))] ^= 1 << data.draw(st.integers(0, 7))
    try:
        found = gunzipped(bytes(coded), limit_bytes=10_000)
    except EncodingError:
        return
    assert found == content


@pytest.mark.parametrize("size", [0, 1, 100, 16_384, 10**6])
def test_noise_takes_no_more_than_the_overhead(size):
    noise = bytes((7 * number * number >> 3) % 251 for number in range(1000)) * (size // 1000 + 1)
    for coded in (b"".join(gzipped([noise[:size]])), gzip.compress(noise[:size], 0)):
        assert len(coded) <= size + gzip_overhead_bytes(size)


@pytest.mark.parametrize(
    ("offered", "takes"),
    [
        ("gzip", True),
        ("deflate, GZIP;q=0.1", True),
        ("br;q=1.0, gzip; q=1", True),
        ("identity", False),
        ("", False),
        ("*", False),
        ("x-gzip, gzipped", False),
        ("gzip;q=0", False),
        ("gzip ; Q=0.000", False),
    ],
)
def test_gzip_is_sent_to_who_names_it_as_welcome(offered, takes):
    assert takes_gzip(offered) is takes
