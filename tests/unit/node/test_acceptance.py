"""A node says what it thinks of a model that it adopts, once, and goes on."""

import asyncio
from dataclasses import replace
from types import SimpleNamespace

import httpx
import numpy as np
import pytest
import structlog

from node import acceptance
from node.acceptance import Acceptance
from node.assembly import Assembled
from node.memory import Memory
from node.models.architecture import DEFAULT_SHIFT
from node.models.smile import SMILE
from protocol.blobs import DirectoryStore
from protocol.encoding import encode_model
from protocol.task import TaskParams
from tests.unit.node.small_market import samples

pytestmark = pytest.mark.unit

PARAMS = replace(
    TaskParams.default(
        model_spec_hash=SMILE.spec.hash,
        genesis_model_root=b"\1" * 32,
        dimension=SMILE.spec.dimension,
        closes_at=9,
    ),
    shift=DEFAULT_SHIFT,
)
GENESIS = SMILE.genesis(0)
ROUGH = GENESIS + np.random.default_rng(1).integers(-4000, 4000, GENESIS.size).astype(np.int32)


@pytest.fixture
def store(tmp_path):
    return DirectoryStore(tmp_path)


@pytest.fixture
def accepting(store):
    return Acceptance(SMILE, samples(), PARAMS, store)


def put(store, model):
    return store.put(encode_model(model, PARAMS.shift), chunk_length=PARAMS.chunk_length)


def test_model_without_much_arbitrage_is_adopted_in_silence(accepting, store):
    with structlog.testing.capture_logs() as said:
        accepting.look(put(store, GENESIS))
    assert said == []
    assert accepting.latest.panels == acceptance.PANELS
    assert (accepting.beyond, accepting.in_words) == ((), "")


def test_model_with_much_of_it_is_warned_of_once(accepting, store, monkeypatch):
    root = put(store, ROUGH)
    with structlog.testing.capture_logs() as said:
        accepting.look(root)
        monkeypatch.setattr(acceptance, "audit", None)
        accepting.look(root)
    (warning,) = said
    assert (warning["log_level"], warning["model_root"]) == ("warning", "0x" + root.hex())
    assert warning["beyond"] == accepting.beyond
    assert accepting.in_words.startswith("the model holds arbitrage: calendar ")


def test_the_next_model_takes_the_warning_back(accepting, store):
    for model in (ROUGH, GENESIS):
        accepting.look(put(store, model))
    assert accepting.in_words == ""


def test_model_that_is_not_kept_here_is_looked_at_when_it_is(accepting, store, tmp_path):
    elsewhere = DirectoryStore(tmp_path / "elsewhere")
    root = put(elsewhere, ROUGH)
    for nothing in (b"", root):
        accepting.look(nothing)
    assert accepting.latest is None
    put(store, ROUGH)
    accepting.look(root)
    assert accepting.beyond


def test_bytes_that_are_not_the_model_end_nothing(accepting, store):
    root = put(store, ROUGH)
    store.file_of(root).write_bytes(encode_model(GENESIS, PARAMS.shift))
    with structlog.testing.capture_logs() as said:
        accepting.look(root)
        accepting.look(root)
    assert [each["event"] for each in said] == ["model cannot be audited"]
    assert accepting.latest is None


def shown(participant, store):
    """The audit's lines on the page of metrics."""
    app = Assembled(participant, store, None).app(SimpleNamespace())

    async def page():
        async with httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://n") as to:
            return (await to.get("/metrics")).text

    lines = (
        line.removeprefix("volquorum_node_arbitrage") for line in asyncio.run(page()).splitlines()
    )
    return dict(line.split() for line in lines if line.startswith(("{", "_")))


def test_metrics_show_the_rates_of_the_adopted_model(accepting, store):
    participant = SimpleNamespace(
        acceptance=accepting, memory=Memory(np.zeros(1)), unverified=(), chain=None
    )
    before = shown(participant, store)
    assert before['{condition="calendar"}'] == "NaN"
    assert before["_beyond_limits"] == "0.0"
    accepting.look(put(store, ROUGH))
    after = shown(participant, store)
    for condition in ("calendar", "butterfly", "wings", "wide_calendar", "wide_butterfly"):
        found = float(after[f'{{condition="{condition}"}}'])
        assert found == getattr(accepting.latest, condition)
    assert float(after["_beyond_limits"]) == len(accepting.beyond) > 0


def test_watcher_without_panels_shows_no_rates(store):
    participant = SimpleNamespace(
        acceptance=None, memory=Memory(np.zeros(1)), unverified=(), chain=None
    )
    assert shown(participant, store) == {}
