"""A node that signs for a relayer is in its rounds whatever the relayer does, if it can pay gas."""

from collections.abc import Callable
from dataclasses import dataclass, field

import pytest

from node import offers, tick
from node.tick import Participant
from protocol.chain.rpc import quantity
from protocol.service import Outcome
from protocol.signing import SignedCommit
from protocol.state import Phase
from scripts.network import EmbeddedNetwork
from tests.end_to_end.test_faults import reborn, run_until, seat_all, seat_of, verdicts

pytestmark = pytest.mark.chain

Make = Callable[..., EmbeddedNetwork]


@dataclass
class Relay:
    """Takes what it is given and sends it at its next turn, or does neither."""

    network: EmbeddedNetwork
    takes: bool = True
    sends: bool = True
    commits: dict[str, list[SignedCommit]] = field(default_factory=dict)
    openings: dict[str, tuple[object, ...]] = field(default_factory=dict)
    sent: set[str] = field(default_factory=set)

    def takes_commit(self, _: bytes, __: int, participant: str, signed: SignedCommit) -> bool:
        self.commits.setdefault(participant, []).append(signed)
        return self.takes

    def takes_opening(
        self,
        _: bytes,
        __: int,
        participant: str,
        *,
        tree_top: bytes,
        squared_norm: int,
        salt: bytes,
    ) -> bool:
        self.openings[participant] = (participant, tree_top, squared_norm, salt)
        return self.takes

    def tick(self) -> Outcome:
        """Sends what is complete: one batch of commitments and one of openings."""
        everybody = len(self.network.participants)
        commits = tuple(tuple(given[0]) for given in self.commits.values())
        openings = tuple(self.openings.values())
        for function, batch in (("commitUpdates", commits), ("revealUpdates", openings)):
            if self.sends and len(batch) == everybody and function not in self.sent:
                self.sent.add(function)
                arguments = (self.network.task_id, 1, batch)
                self.network._send(self.network.sponsor, function, arguments)
                return Outcome(function, None, "")
        return Outcome(None, None, "nothing to send")


def with_relay(network: EmbeddedNetwork, **behaviour: bool) -> Relay:
    """Every participant is told of one relay, which acts after all of them."""
    relay = Relay(network, **behaviour)
    for number in range(len(network.participants)):
        network.participants[number] = reborn(network, number, relayer=relay)
    network.ticks[1:] = [*(each.tick for each in network.participants), relay.tick]
    seat_all(network)
    return relay


def transactions_of(network: EmbeddedNetwork, participant: Participant) -> int:
    address = participant.account.address
    answer = network.chain.rpc.request("eth_getTransactionCount", address, "latest")
    return quantity(answer, "nonce")


def test_round_that_is_relayed_costs_its_participants_no_transaction(make_network: Make) -> None:
    network = make_network(rounds=1)
    relay = with_relay(network)

    run_until(network, 1, Phase.FINAL)

    assert relay.sent == {"commitUpdates", "revealUpdates"}
    assert network.round_state(1).revealed == len(network.participants)
    assert [transactions_of(network, each) for each in network.participants] == [1, 1, 1]
    assert verdicts(network) == ["verified"]


@pytest.mark.parametrize("takes", [True, False])
def test_relay_that_sends_nothing_delays_and_excludes_nobody(
    make_network: Make, *, takes: bool
) -> None:
    network = make_network(rounds=1)
    relay = with_relay(network, takes=takes, sends=False)

    run_until(network, 1, Phase.FINAL)

    assert network.round_state(1).revealed == len(network.participants)
    assert [transactions_of(network, each) for each in network.participants] == [3, 3, 3]
    for offered in relay.commits.values():
        assert len(set(offered)) == 1, "one signature a round"
        assert (len(offered) > 1) is not takes
    assert verdicts(network) == ["verified"]


def test_account_that_cannot_pay_gas_waits_for_its_relay_and_says_so(
    make_network: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    network = make_network(rounds=1)
    monkeypatch.setattr(offers, "can_pay_gas", lambda *_: False)
    with_relay(network, sends=False)
    run_until(network, 1, Phase.COMMIT)
    poor = network.participants[0]
    waiting = poor.tick()
    assert "the relayer has what is to be sent" in waiting.why
    assert waiting.wait_until is not None
    network.embedded.travel(waiting.wait_until)
    assert "the relayer sent nothing, and gas cannot be paid" in poor.tick().why

    run_until(network, 1, Phase.VOID)

    seat = seat_of(network, poor)
    assert not seat.committed_in(1)
    assert seat.stake_wei == network.params.stake_wei, "no commitment, nothing to lose"


def test_node_killed_before_its_signature_left_signs_the_same_again(
    make_network: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    network = make_network(rounds=1)
    relay = with_relay(network)
    network.orchestrator.tick()
    victim = network.participants[0]

    def die(*_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(victim._offers, "commitment", die)
    with pytest.raises(KeyboardInterrupt):
        victim.tick()
    signed = victim.memory.signed
    after = reborn(network, 0, relayer=relay)
    assert after.tick().acted == "relaycommit"

    assert signed is not None
    assert signed == after.memory.signed
    ((offered,),) = relay.commits.values()
    assert offered.commitment == signed.commitment
    assert [each.tick().acted for each in network.participants[1:]] == ["relaycommit"] * 2
    relay.tick()
    assert seat_of(network, after).committed_in(1)


def test_node_that_lost_its_memory_signs_nothing_in_the_running_round(make_network: Make) -> None:
    network = make_network(rounds=2)
    relay = with_relay(network, sends=False)
    network.orchestrator.tick()
    victim = network.participants[0]
    assert victim.tick().acted == "relaycommit"
    victim.memory_file.path.unlink()

    fresh = reborn(network, 0, relayer=relay)
    network.participants[0], network.ticks[1] = fresh, fresh.tick
    assert fresh.tick().acted == "commit"
    run_until(network, 2, Phase.FINAL)

    assert len({each.commitment for each in relay.commits[fresh.account.address]}) == 2
    assert [network.round_state(number).revealed for number in (1, 2)] == [3, 3]


def test_account_that_cannot_pay_gas_gives_no_scores_and_goes_on(
    make_network: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    network = make_network(rounds=1, reward_rule="scores")
    with_relay(network)
    monkeypatch.setattr(tick, "can_pay_gas", lambda *_: False)

    run_until(network, 1, Phase.FINAL)
    network.step()

    assert network.round_state(1).scored == 0
    assert [each.memory.verified_round for each in network.participants] == [1, 1, 1]
    assert network.failures == []
