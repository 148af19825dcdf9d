"""A relay over real HTTP: who has no ETH takes part, and who is left out is not kept out."""

from contextlib import contextmanager

import httpx
import pytest
from fastapi import FastAPI

from node.relay import Relayer
from orchestrator.journal import Journal
from orchestrator.relay import Relay
from orchestrator.relay_api import relay_router
from orchestrator.relay_store import RelayStore
from orchestrator.tick import Orchestrator
from protocol.chain.rpc import quantity
from protocol.http import HttpServer
from protocol.state import Phase
from protocol.task import ZERO_ADDRESS
from tests.end_to_end.fixed_desks import (
    DESKS,
    FixedDesks,
    Served,
    hexed,
    serving,
)
from tests.end_to_end.test_faults import reborn, run_until, seat_all

pytestmark = pytest.mark.chain


def joined(chain, folder):
    network = FixedDesks(chain, folder, quorum=2, tolerance=0)
    network.join()
    return network


@pytest.fixture
def network(embedded, tmp_path):
    return joined(embedded, tmp_path)


@contextmanager
def relaying(network, folder, **settings):
    """An orchestrator that relays, and its pages."""
    store = RelayStore(folder / "relay.sqlite")
    relay = Relay(store, chain_id=network.chain.chain_id, contract=network.chain.contract)
    told = {"task_ids": [network.task_id], "relay": relay} | settings
    with serving(network.desk_blobs) as remote:
        desk = Served(network, folder, [remote], **told)
        with HttpServer(desk.app(relay)) as server, httpx.Client(base_url=server.url) as client:
            yield desk, client
    store.close()


@pytest.fixture
def relayed(network, tmp_path):
    with relaying(network, tmp_path / "relay") as found:
        yield found


def to_commit(network, desk):
    assert desk.tick().acted == "open"
    network.travel(network.ends().selection)
    assert desk.tick().acted is None


def to_reveal(network, desk):
    network.travel(network.ends().commit)
    desk.tick()
    for number in range(DESKS):
        network.publish(number)


def seats_of(network):
    snapshot = network.snapshot()
    desks = network.senders[1 : DESKS + 1]
    return [snapshot.seat(network.task_id, desk.address) for desk in desks]


def halfway(start, end):
    return start + (end - start) // 2


def test_three_without_eth_take_part_in_a_round(anvil, tmp_path):
    network = joined(anvil, tmp_path)
    for sender in network.senders[1 : DESKS + 1]:
        network.chain.rpc.request("anvil_setBalance", sender.address, "0x0")
    with relaying(network, tmp_path / "relay") as (desk, client):
        whole_round(network, desk, client)


def whole_round(network, desk, client):
    to_commit(network, desk)
    for number in range(DESKS):
        answer = client.post("/relay/commits", json=network.signed_entry(number))
        assert answer.status_code == 202, answer.text
    assert desk.tick().acted == "relay", "everybody is there"
    assert network.snapshot().committed(network.task_id, 1) == tuple(
        sender.address for sender in network.senders[1 : DESKS + 1]
    )

    to_reveal(network, desk)
    for number in range(DESKS):
        answer = client.post("/relay/openings", json=network.opening_entry(number))
        assert answer.status_code == 202, answer.text
    assert desk.tick().acted == "relay"
    network.travel(network.ends().availability)
    assert desk.tick().acted == "publish"
    network.travel(network.ends().challenge)
    assert [desk.tick().acted for _ in range(2)] == ["open", "distribute"]
    assert [seat.served for seat in seats_of(network)] == [1, 1, 1]
    task = hexed(network.task_id)
    metrics = client.get("/metrics").text
    for call in ("commitUpdates", "revealUpdates"):
        assert f'volquorum_relayed_entries_total{{call="{call}",task="{task}"}} 3.0' in metrics


def test_who_is_left_out_commits_and_reveals_directly(network, relayed):
    desk, client = relayed
    to_commit(network, desk)
    ends = network.ends()
    for number in (0, 1):
        client.post("/relay/commits", json=network.signed_entry(number))
    waiting = desk.tick()
    assert (waiting.acted, waiting.wait_until) == (None, halfway(ends.selection, ends.commit))
    network.travel(waiting.wait_until)
    assert desk.tick().acted == "relay"
    network.commit(desks=[2])
    to_reveal(network, desk)
    for number in (0, 1):
        client.post("/relay/openings", json=network.opening_entry(number))
    assert desk.tick().wait_until == halfway(ends.commit, ends.reveal)
    network.reveal(desks=[2])
    assert desk.tick().acted == "relay", "nobody is missing any more"
    assert [seat.revealed_in(1) for seat in seats_of(network)] == [True] * 3
    revealed = network.snapshot().revealed(network.task_id, 1)
    assert [each.participant for each in revealed] == [
        network.senders[number].address for number in (3, 1, 2)
    ]


def test_a_relay_that_is_silent_delays_nobody(network, relayed, tmp_path):
    silent, client = relayed
    to_commit(network, silent)
    for number in range(DESKS):
        client.post("/relay/commits", json=network.signed_entry(number))
    # It took all of them, and was never seen again.
    other = Served(network, tmp_path / "other", [network.desk_blobs])
    ends = network.ends()
    network.travel(ends.selection + 2 * (ends.commit - ends.selection) // 3)
    network.commit()
    network.reveal()
    network.travel(network.ends().availability)
    assert other.tick().acted == "publish"


def test_what_was_handed_in_survives_a_kill(network, tmp_path):
    with relaying(network, tmp_path / "relay") as (desk, client):
        to_commit(network, desk)
        for number in range(DESKS):
            client.post("/relay/commits", json=network.signed_entry(number))
    with relaying(network, tmp_path / "relay") as (desk, client):
        assert desk.tick().acted == "relay"
        assert desk.tick().acted is None
        (shown,) = client.get("/relay").json()["tasks"]
        assert shown["commits"] == []
    assert [seat.committed_in(1) for seat in seats_of(network)] == [True] * 3


def test_an_entry_that_would_undo_the_batch_is_dropped_and_the_rest_goes(network, relayed):
    desk, client = relayed
    to_commit(network, desk)
    for number in range(DESKS):
        client.post("/relay/commits", json=network.signed_entry(number))
    # At the last moment it commits directly, which the reading does not show yet.
    honest = network.chain.head

    def before():
        head = honest()
        network.chain.head = honest
        network.commit(desks=[1])
        return head

    network.chain.head = before
    outcome = desk.tick()
    assert (outcome.acted, outcome.why) == ("relay", "round 1: 2 of commitUpdates")
    (shown,) = client.get("/relay").json()["tasks"]
    assert list(shown["dropped"]) == [network.senders[2].address]
    assert "AlreadyCommitted" in shown["dropped"][network.senders[2].address]
    assert [seat.committed_in(1) for seat in seats_of(network)] == [True] * 3


def test_an_equivocator_loses_a_slice_and_its_place_in_the_round(network, relayed):
    desk, client = relayed
    to_commit(network, desk)
    for number in range(DESKS):
        client.post("/relay/commits", json=network.signed_entry(number))
    second = client.post("/relay/commits", json=network.signed_entry(1, b"\6" * 32))
    assert second.status_code == 409
    assert [desk.tick().acted for _ in range(3)] == ["relay", "slash", None]
    assert [seat.suspended for seat in seats_of(network)] == [False, True, False]
    award_wei = network.params.slice_wei // 2
    assert network.snapshot().credit(ZERO_ADDRESS, network.aggregator.address) == award_wei
    to_reveal(network, desk)
    refused = client.post("/relay/openings", json=network.opening_entry(1))
    assert refused.status_code == 403
    for number in (0, 2):
        client.post("/relay/openings", json=network.opening_entry(number))
    assert desk.tick().acted == "relay"
    network.travel(network.ends().availability)
    assert desk.tick().acted == "publish"


def test_who_may_not_commit_any_more_is_not_relayed(network, relayed):
    desk, client = relayed
    to_commit(network, desk)
    for number in range(DESKS):
        client.post("/relay/commits", json=network.signed_entry(number))
    network.senders[2].send("leave", (network.task_id,), purpose="leave")
    assert desk.tick().why == "round 1: 2 of commitUpdates"
    assert client.post("/relay/commits", json=network.signed_entry(1)).status_code == 403


def test_openings_are_secrets_until_reveal_and_what_is_wrong_is_refused(network, relayed):
    desk, client = relayed
    to_commit(network, desk)
    network.commit()
    desk.tick()
    early = client.post("/relay/openings", json=network.opening_entry(0))
    assert (early.status_code, early.json()["detail"]) == (409, "round 1 is in commit")
    to_reveal(network, desk)
    stolen = network.opening_entry(0) | {"participant": network.senders[2].address}
    assert client.post("/relay/openings", json=stolen).status_code == 422
    late = client.post("/relay/commits", json=network.signed_entry(0))
    assert (late.status_code, late.json()["detail"]) == (409, "round 1 is in reveal")


def test_a_stranger_is_not_relayed_and_no_other_task_is(network, relayed):
    desk, client = relayed
    to_commit(network, desk)
    assert client.post("/relay/commits", json=network.signed_entry(4)).status_code == 403
    elsewhere = network.signed_entry(0) | {"task_id": hexed(b"\1" * 32)}
    assert client.post("/relay/commits", json=elsewhere).status_code == 404


def test_a_task_that_was_not_named_is_not_relayed(network, tmp_path):
    with relaying(network, tmp_path / "relay", task_ids=[]) as (desk, client):
        to_commit(network, desk)
        assert client.post("/relay/commits", json=network.signed_entry(0)).status_code == 404
        assert client.get("/relay").json() == {"tasks": []}


def test_without_a_relay_there_are_no_such_pages(network, tmp_path):
    desk = Served(network, tmp_path / "plain", [])
    with HttpServer(desk.app()) as server:
        assert httpx.get(server.url + "/relay").status_code == 404
        assert httpx.post(server.url + "/relay/commits", json={}).status_code == 404


def test_nodes_and_a_relay_understand_each_other(make_network, tmp_path):
    network = make_network(rounds=1)
    store = RelayStore(tmp_path / "relay.sqlite")
    chain = network.chain
    orchestrator = Orchestrator(
        chain,
        own=network.blobs,
        remotes=network.stores,
        transactor=network._transactors[network.embedded.accounts[1].address],
        task_ids=[network.task_id],
        relay=Relay(store, chain_id=chain.chain_id, contract=chain.contract),
        journal=Journal(tmp_path / "relay.jsonl"),
    )
    app = FastAPI()
    app.include_router(relay_router(orchestrator.relay))
    with HttpServer(app) as server:
        nodes = [
            reborn(network, number, relayer=Relayer(server.url))
            for number in range(len(network.participants))
        ]
        network.participants[:] = nodes
        network.ticks[:] = [orchestrator.tick, *(node.tick for node in nodes)]
        seat_all(network)
        run_until(network, 1, Phase.FINAL)
    store.close()
    for node in nodes:
        sent = chain.rpc.request("eth_getTransactionCount", node.account.address, "latest")
        assert quantity(sent, "nonce") == 1, "it has only joined"
    assert network.round_state(1).revealed == len(nodes)
