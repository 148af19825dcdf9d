"""Votes by relay over real HTTP: desks without any ether judge the results of their task."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx
import pytest
from structlog.testing import capture_logs

from node.relay import Relayer
from node.tick import Participant
from protocol.chain.rpc import quantity
from protocol.state import Phase
from protocol.task import Rule
from scripts.verify_round import Verifier
from tests.chain.network import Network
from tests.end_to_end.fixed_desks import DESKS, Served
from tests.end_to_end.random_desks import RandomDesks, acts
from tests.end_to_end.test_relay import relaying, to_commit, to_reveal
from tests.end_to_end.test_votes import false_result, task_model_root, wait_for_all_turns

pytestmark = pytest.mark.chain

POOR = range(1, DESKS + 1)


@contextmanager
def poor_desks(anvil: Network, folder: Path) -> Iterator[tuple[RandomDesks, Served, httpx.Client]]:
    """Desks that spent all their ether on their seats, whose updates a relay has revealed."""
    desks = RandomDesks(anvil, folder, rule=Rule.MINIMUM_DIAMETER)
    desks.join()
    for account in POOR:
        address = desks.senders[account].address
        desks.chain.rpc.request("anvil_setBalance", address, "0x0")
    with relaying(desks, folder / "relay") as (relay, client):
        to_commit(desks, relay)
        for number in desks.desks:
            assert client.post("/relay/commits", json=desks.signed_entry(number)).is_success
        assert relay.tick().acted == "relay"
        to_reveal(desks, relay)
        for number in desks.desks:
            assert client.post("/relay/openings", json=desks.opening_entry(number)).is_success
        assert relay.tick().acted == "relay"
        desks.travel(desks.ends().availability)
        yield desks, relay, client


def voters(desks: RandomDesks, client: httpx.Client) -> list[Participant]:
    relayer = Relayer(str(client.base_url))
    return [desks.node(account, relayer=relayer) for account in POOR]


def assert_nobody_paid(desks: RandomDesks) -> None:
    for account in POOR:
        address = desks.senders[account].address
        answer = desks.chain.rpc.request("eth_getBalance", address, "latest")
        assert quantity(answer, "eth_getBalance", bits=256) == 0


def test_result_of_desks_without_ether_becomes_final_by_their_votes(
    anvil: Network, tmp_path: Path
) -> None:
    with poor_desks(anvil, tmp_path) as (desks, relay, client):
        nodes = voters(desks, client)
        desks.travel(desks.ends().aggregator)
        assert relay.tick().acted == "publish"
        for node in nodes:
            acts(node, "verify", "relayvote")
            assert node.tick().acted is None
        assert desks.state(1).votes == 0
        assert relay.tick().acted == "relay", "everybody is there"
        assert desks.state(1).votes == DESKS
        assert [node.tick().acted for node in nodes] == [None] * DESKS
        task = "0x" + desks.task_id.hex()
        relayed = f'volquorum_relayed_entries_total{{call="relayVotes",task="{task}"}} 3.0'
        assert relayed in client.get("/metrics").text
        desks.travel(desks.ends().challenge)

        assert relay.tick().acted == "open"

        assert desks.phase(1) is Phase.FINAL
        assert task_model_root(desks) == desks.honest(1).model_root
        (verdict,) = Verifier(desks.snapshot(), desks.task_id, desks.blobs).check("1")
        assert verdict.verdict == "verified"
        assert_nobody_paid(desks)


def test_lie_falls_by_votes_that_desks_without_ether_handed_in_before_it(
    anvil: Network, tmp_path: Path
) -> None:
    with poor_desks(anvil, tmp_path) as (desks, relay, client):
        _, *nodes = voters(desks, client)
        assert relay.tick().acted is None, "it is the liar's turn"
        for node in nodes:
            acts(node, "relayvote")
        desks.publish_result(1, false_result(desks))
        assert relay.tick().acted == "relay", "they refute it, whoever keeps silent"
        for node in nodes:
            acts(node, "verify")
            assert "refusing to go on" in node.tick().why, "it cannot pay for a refutation"
        assert relay.tick().acted == "refute"
        desks.pass_refutation()
        assert relay.tick().acted == "publish"
        assert desks.state(1).votes == len(nodes), "votes outlive what they refuted"
        for node in nodes:
            acts(node, "verify")
        desks.travel(desks.ends().challenge)

        assert relay.tick().acted == "open"

        assert task_model_root(desks) == desks.honest(1).model_root
        assert_nobody_paid(desks)


def test_votes_that_the_relay_does_not_send_are_sent_in_time_by_whoever_can_pay(
    anvil: Network, tmp_path: Path
) -> None:
    with poor_desks(anvil, tmp_path) as (desks, relay, client):
        poor, *rich = voters(desks, client)
        for account in POOR[1:]:
            address = desks.senders[account].address
            desks.chain.rpc.request("anvil_setBalance", address, hex(10**18))
        desks.travel(desks.ends().aggregator)
        assert relay.tick().acted == "publish"
        for node in (poor, *rich):
            acts(node, "verify", "relayvote")
        assert "the relayer has what is to be sent" in poor.tick().why
        # Three quarters of the challenge phase, and a quarter of the rest for the seats' turns.
        published, ends = desks.state(1).published_at, desks.ends()
        desks.travel(published + (ends.challenge - published) * 13 // 16)
        assert "the relayer sent nothing, and gas cannot be paid" in poor.tick().why
        for node in rich:
            acts(node, "vote")
        assert desks.state(1).votes == desks.params.votes_needed
        desks.travel(ends.challenge)
        assert desks.phase(1) is Phase.FINAL


def test_who_can_neither_pay_nor_has_a_relayer_says_so_once(anvil: Network, tmp_path: Path) -> None:
    with poor_desks(anvil, tmp_path) as (desks, _, _):
        node = desks.node(1)
        wait_for_all_turns(desks)
        with capture_logs() as logged:
            assert [node.tick().acted for _ in range(2)] == [None, None]
    (said,) = [line for line in logged if "cannot vote" in line["event"]]
    assert said["account"] == desks.senders[1].address
    assert "relayer" in said["todo"]
