"""Desks that send updates of fewer bits: the chain, the verifiers and HTTP see nothing new."""

from collections.abc import Iterator
from contextlib import ExitStack

import httpx
import numpy as np
import pytest
from fastapi import FastAPI

from node.learning.division import Market
from node.learning.update import Precision
from node.memory import MemoryFile
from protocol.blob_server import blob_router
from protocol.blobs import FirstOf, HttpStore, largest_blob_bytes
from protocol.http import HttpServer
from protocol.numbers import to_float
from protocol.recompute import check_published, recompute_round
from scripts.network import EmbeddedNetwork
from tests.end_to_end.conftest import DESKS, network_of

pytestmark = [pytest.mark.chain, pytest.mark.http]

ROUNDS = 3
COARSE = Precision(bits=8, largest=0.25)


@pytest.fixture(scope="module")
def coarse(desks: Market, tmp_path_factory: pytest.TempPathFactory) -> EmbeddedNetwork:
    """A task whose three rounds are over."""
    folder = tmp_path_factory.mktemp("coarse")
    network = network_of(desks, folder, precision=COARSE, rounds=ROUNDS)
    phases = [record.phase for record in network.rounds()]
    assert phases == ["final"] * ROUNDS
    assert network.failures == []
    return network


@pytest.fixture
def urls(coarse: EmbeddedNetwork) -> Iterator[list[str]]:
    """Where everybody serves their blobs."""
    with ExitStack() as stack:
        urls = []
        for store in (coarse.blobs, *coarse.stores):
            app = FastAPI()
            app.include_router(blob_router(store))
            urls.append(stack.enter_context(HttpServer(app)).url)
        yield urls


def included(network: EmbeddedNetwork, number: int):
    snapshot = network.chain.at(network.chain.head())
    return snapshot.included(network.task_id, number)


def values_of(network: EmbeddedNetwork, root: bytes) -> np.ndarray:
    params = network.params
    stores = FirstOf([network.blobs, *network.stores])
    return stores.get(root, chunk_length=params.chunk_length, shift=params.shift).values


@pytest.mark.parametrize("number", range(1, ROUNDS + 1))
def test_every_revealed_update_is_dense_int16_and_as_coarse_as_told(coarse, number):
    reveals = included(coarse, number)
    assert len(reveals) == DESKS
    for reveal in reveals:
        values = values_of(coarse, reveal.update_root)
        assert (values.dtype, values.size) == (np.int16, coarse.params.dimension)
        sent = values[values != 0].astype(int)
        assert 0 < sent.size <= round(COARSE.largest * values.size)
        step = np.gcd.reduce(sent)
        assert np.abs(sent).max() // (step & -step) < 2 ** (COARSE.bits - 1)
        assert (values.astype(np.int64) ** 2).sum() == reveal.squared_norm


def test_what_was_not_sent_waits_on_the_disk(coarse):
    bound = np.ldexp(np.sqrt(coarse.params.max_squared_norm), -coarse.params.shift)
    for participant in coarse.participants:
        kept = MemoryFile(participant.memory_file.path).load(coarse.params.dimension).residual
        np.testing.assert_array_equal(kept, participant.memory.residual)
        assert 0 < np.linalg.norm(kept) <= bound
        # Far more than rounding to units leaves out.
        assert np.abs(kept).max() > to_float(np.array([10], np.int16), coarse.params.shift)[0]


def test_updates_fetched_gzipped_give_the_published_roots(coarse, urls):
    snapshot = coarse.chain.at(coarse.chain.head())
    params = coarse.params
    limit_bytes = largest_blob_bytes(params.dimension)
    stores = FirstOf([HttpStore(url, limit_bytes=limit_bytes) for url in urls])
    for number in range(1, ROUNDS + 1):
        root = snapshot.base_model_root(coarse.task_id, number)
        base = stores.get(root, chunk_length=params.chunk_length, shift=params.shift).values
        combined = recompute_round(params, base.astype(np.int32), included(coarse, number), stores)
        check_published(combined, coarse.round_state(number))


def test_coarse_update_takes_a_third_of_its_bytes_on_the_way(coarse, urls):
    for reveal in included(coarse, ROUNDS):
        address = f"/blobs/0x{reveal.update_root.hex()}"
        answers = [httpx.get(url + address) for url in urls]
        served = [answer for answer in answers if answer.status_code == 200]
        assert served
        for answer in served:
            assert answer.headers["content-encoding"] == "gzip"
            assert 3 * answer.num_bytes_downloaded < len(answer.content)


def test_everybody_verified_every_round(coarse):
    assert coarse.wind_up().verified_by == DESKS
