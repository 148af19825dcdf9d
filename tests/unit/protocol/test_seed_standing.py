"""A round's seed is asked of its source only where seats are to be drawn, and may be broken."""

from dataclasses import replace
from types import SimpleNamespace

import pytest

from protocol.chain import seed
from protocol.chain.seed import Standing, standing
from protocol.errors import ChainAnswerInvalid, Reverted
from protocol.state import RoundState, TaskState
from protocol.task import TaskParams

pytestmark = pytest.mark.unit

SOURCE = "0x" + "5e" * 20
T0 = 1_000_000
PARAMS = replace(
    TaskParams.default(
        model_spec_hash=b"\1" * 32, genesis_model_root=b"\1" * 32, dimension=10, closes_at=2 * T0
    ),
    cohort=3,
    seats=9,
    seed_source=SOURCE,
)
UNDRAWN = TaskState(sponsor=SOURCE, round=1, seats=9, active=9, draws=True, opened_block=5)
ROUND = RoundState(opened_at=T0)


def snapshot(now):
    return SimpleNamespace(chain="chain", block=SimpleNamespace(number=7, timestamp=now))


@pytest.mark.parametrize(
    ("found", "lacks", "expected"),
    [
        (b"\1" * 32, 6, Standing(known=True)),
        (bytes(32), 6, Standing(recordable=6)),
        (bytes(32), None, Standing()),
    ],
)
def test_seed_is_asked_of_its_source(monkeypatch, found, lacks, expected):
    asked = []
    monkeypatch.setattr(seed, "seed_of", lambda *place, at: asked.append((place, at)) or found)
    monkeypatch.setattr(seed, "to_record", lambda *_, at: lacks)  # noqa: ARG005 - as it is called
    look = snapshot(T0 + 6)

    assert standing(look, PARAMS, UNDRAWN, ROUND) == expected
    assert asked == [(("chain", SOURCE, 5), look.block)]


@pytest.mark.parametrize(
    "failure", [Reverted("seedOf", "unknown", {}), ChainAnswerInvalid("no seed")]
)
def test_source_that_is_broken_stops_nothing_else(monkeypatch, failure):
    def broken(*_, at):  # noqa: ARG001 - as it is called
        raise failure

    monkeypatch.setattr(seed, "seed_of", broken)

    assert standing(snapshot(T0 + 6), PARAMS, UNDRAWN, ROUND) == Standing()


@pytest.mark.parametrize(
    ("task", "now"),
    [
        (replace(UNDRAWN, draw=b"\4" * 32), T0 + 6),
        (UNDRAWN, T0 + 100),
        (TaskState(round=1), T0 + 6),
    ],
)
def test_no_source_is_asked_where_there_is_nothing_to_draw(task, now):
    assert standing(snapshot(now), PARAMS, task, ROUND) == Standing()
