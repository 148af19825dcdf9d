"""The relay's pages take one exact form, tell why they refuse, and repeat no secret."""

import asyncio
import json

import httpx
import pytest
import structlog
from fastapi import FastAPI

from orchestrator import relay_api
from orchestrator.relay import Relay
from orchestrator.relay_api import LARGEST_BODY_BYTES, relay_router
from orchestrator.relay_store import RelayStore
from protocol.storage import unwritable
from tests.unit.orchestrator.relayed import (
    ADDRESSES,
    AGGREGATE,
    CHAIN_ID,
    COMMIT,
    CONTRACT,
    REVEAL,
    SALT,
    TASK,
    opening,
    reading,
    seats,
    signed,
    vote,
    voting,
)

pytestmark = pytest.mark.unit


@pytest.fixture
def relay(tmp_path):
    store = RelayStore(tmp_path / "relay.sqlite")
    yield Relay(store, chain_id=CHAIN_ID, contract=CONTRACT)
    store.close()


@pytest.fixture
def ask(relay):
    """One request, answered in this process."""
    app = FastAPI()
    app.include_router(relay_router(relay))

    def ask(method, path, **content):
        async def answer():
            transport = httpx.ASGITransport(app)
            async with httpx.AsyncClient(transport=transport, base_url="http://relay") as client:
                return await client.request(method, path, **content)

        return asyncio.run(answer())

    return ask


def hexed(value):
    return "0x" + value.hex()


def commit_entry(desk=0, **changes):
    commit = signed(desk)
    entry = {"task_id": hexed(TASK), "round": 1, "participant": ADDRESSES[desk]}
    return entry | {name: hexed(part) for name, part in commit._asdict().items()} | changes


def opening_entry(desk=0, **changes):
    found = opening(desk)
    entry = {"task_id": hexed(TASK), "round": 1, "participant": ADDRESSES[desk]}
    entry |= {"tree_top": hexed(found.tree_top), "squared_norm": found.squared_norm}
    return entry | {"salt": hexed(SALT)} | changes


def test_entries_are_accepted_and_shown_without_what_is_in_them(relay, ask):
    relay.show(reading(COMMIT))
    answer = ask("POST", "/relay/commits", json=commit_entry(participant=ADDRESSES[0].lower()))
    assert (answer.status_code, answer.json()) == (202, {"accepted": True})
    (shown,) = ask("GET", "/relay").json()["tasks"]
    assert shown == {
        "task": hexed(TASK),
        "round": 1,
        "phase": "commit",
        "due_at": COMMIT + 6,
        "commits": [ADDRESSES[0]],
        "openings": [],
        "votes": [],
        "dropped": {},
        "equivocators": [],
    }
    relay.show(reading(REVEAL, found=seats(committed=[0, 1])))
    for desk, squared_norm in ((0, 9), (1, "9")):
        entry = opening_entry(desk, squared_norm=squared_norm)
        assert ask("POST", "/relay/openings", json=entry).status_code == 202
    page = ask("GET", "/relay")
    assert page.json()["tasks"][0]["openings"] == [ADDRESSES[0], ADDRESSES[1]]
    assert SALT.hex() not in page.text


def vote_entry(desk=0, **changes):
    given = vote(desk)
    parts = {name: hexed(part) for name, part in given.signature._asdict().items()}
    parts |= {
        name: hexed(getattr(given.found, name))
        for name in ("updates_hash", "aggregate_root", "model_root")
    }
    entry = {"task_id": hexed(TASK), "round": 1, "participant": ADDRESSES[desk]}
    return entry | parts | {"unavailable": given.found.unavailable} | changes


def test_votes_are_accepted_and_shown(relay, ask):
    relay.show(voting(AGGREGATE))
    for desk, unavailable in ((0, 16), (1, "16")):
        answer = ask("POST", "/relay/votes", json=vote_entry(desk, unavailable=unavailable))
        assert (answer.status_code, answer.json()) == (202, {"accepted": True})
    (shown,) = ask("GET", "/relay").json()["tasks"]
    assert (shown["phase"], shown["votes"]) == ("aggregate", [ADDRESSES[0], ADDRESSES[1]])
    assert shown["due_at"] is None
    refused = ask("POST", "/relay/votes", json=vote_entry(2, unavailable=0))
    assert (refused.status_code, refused.json()["detail"]) == (
        409,
        "it was computed from other updates than round 1 includes",
    )


@pytest.mark.parametrize("name", ["updates_hash", "unavailable", "aggregate_root", "r", "vs"])
def test_a_malformed_vote_is_refused_by_the_name_of_its_fault(relay, ask, name):
    relay.show(voting(AGGREGATE))
    answer = ask("POST", "/relay/votes", json=vote_entry(**{name: "0x12"}))
    assert answer.status_code == 422
    assert answer.json()["detail"].startswith(f"{name}: ")


@pytest.mark.parametrize(
    ("changes", "named"),
    [
        ({"task_id": "0x12"}, "task_id"),
        ({"task_id": hexed(TASK).upper()}, "task_id"),
        ({"task_id": None}, "task_id"),
        ({"round": 0}, "round"),
        ({"round": 2**32}, "round"),
        ({"round": "1"}, "round"),
        ({"round": True}, "round"),
        ({"participant": "0x12"}, "participant"),
        ({"commitment": hexed(bytes(31))}, "commitment"),
        ({"r": 5}, "r"),
        ({"vs": hexed(bytes(32)) + " "}, "vs"),
        ({"salt": hexed(SALT)}, "salt"),
    ],
)
def test_a_malformed_commitment_is_refused_by_the_name_of_its_fault(relay, ask, changes, named):
    relay.show(reading(COMMIT))
    answer = ask("POST", "/relay/commits", json=commit_entry(**changes))
    assert answer.status_code == 422
    assert answer.json()["detail"].startswith(f"{named}: ")


@pytest.mark.parametrize(
    "changes",
    [
        {"squared_norm": -1},
        {"squared_norm": 2**64},
        {"squared_norm": str(2**64)},
        {"squared_norm": "0x9"},
        {"squared_norm": "9" * 5000},
        {"squared_norm": "٩"},
        {"squared_norm": 9.5},
        {"squared_norm": True},
        {"salt": SALT.hex()},
        {"tree_top": [1]},
    ],
)
def test_a_malformed_opening_is_refused_and_not_repeated(relay, ask, changes):
    relay.show(reading(REVEAL, found=seats(committed=[0])))
    answer = ask("POST", "/relay/openings", json=opening_entry(**changes))
    assert answer.status_code in {413, 422}
    assert SALT.hex() not in answer.text


@pytest.mark.parametrize("body", [b"", b"{", b"[]", b"null", b'{"task_id": 1e999}', b"\xff"])
def test_what_is_no_entry_at_all_is_refused(relay, ask, body):
    relay.show(reading(COMMIT))
    for page in ("commits", "openings", "votes"):
        assert ask("POST", f"/relay/{page}", content=body).status_code == 422


def test_a_body_is_not_read_beyond_its_limit(ask):
    read = []

    async def endless():
        while True:
            read.append(1)
            yield b" " * 1024

    assert ask("POST", "/relay/commits", content=endless()).status_code == 413
    assert len(read) <= LARGEST_BODY_BYTES // 1024 + 2
    padded = json.dumps(commit_entry()).ljust(LARGEST_BODY_BYTES)
    assert ask("POST", "/relay/commits", content=padded).status_code == 404


def test_a_body_that_does_not_come_is_given_up(ask, monkeypatch):
    monkeypatch.setattr(relay_api, "SLOWEST_BODY_SECONDS", 0.05)

    async def dripping():
        yield b"{"
        await asyncio.sleep(60)
        yield b"}"

    assert ask("POST", "/relay/commits", content=dripping()).status_code == 408


def test_a_refusal_says_why_and_nothing_is_logged_that_was_sent(relay, ask):
    with structlog.testing.capture_logs() as logged:
        assert ask("POST", "/relay/openings", json=opening_entry()).status_code == 404
        relay.show(reading(COMMIT, found=seats(committed=[0])))
        early = ask("POST", "/relay/openings", json=opening_entry())
        assert (early.status_code, early.json()["detail"]) == (409, "round 1 is in commit")
        relay.show(reading(REVEAL, found=seats(committed=[0])))
        wrong = ask("POST", "/relay/openings", json=opening_entry(squared_norm=8))
        assert wrong.status_code == 422
        assert ask("POST", "/relay/openings", json=opening_entry()).status_code == 202
    assert SALT.hex() not in repr(logged) + early.text + wrong.text
    assert repr(SALT) not in repr(logged)


def test_an_equivocation_is_told_and_shown(relay, ask):
    relay.show(reading(COMMIT))
    assert ask("POST", "/relay/commits", json=commit_entry()).status_code == 202
    second = signed(0, squared_norm=4)
    parts = {name: hexed(part) for name, part in second._asdict().items()}
    answer = ask("POST", "/relay/commits", json=commit_entry(**parts))
    assert answer.status_code == 409
    assert "two commitments" in answer.json()["detail"]
    assert ask("GET", "/relay").json()["tasks"][0]["equivocators"] == [ADDRESSES[0]]


def test_relay_without_room_says_that_it_kept_nothing(ask, relay, monkeypatch):
    relay.show(reading(COMMIT))

    def full(*_: object) -> None:
        raise unwritable("/state/relay.sqlite", "database or disk is full")

    monkeypatch.setattr(relay._store._database, "execute", full)
    refused = ask("POST", "/relay/commits", json=commit_entry())
    assert refused.status_code == 503
    assert "send it yourself" in refused.text
    assert "/state" not in refused.text
    monkeypatch.undo()
    assert ask("POST", "/relay/commits", json=commit_entry()).status_code == 202
