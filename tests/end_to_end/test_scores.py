"""Where the reward depends on scores, desks judge each other's updates, and the best earn most."""

from collections.abc import Callable

import pytest

from node.tick import Participant
from protocol.errors import DataError
from protocol.rounds import deadlines
from protocol.state import Phase
from scripts.network import EmbeddedNetwork
from tests.end_to_end.test_faults import reborn, run_until, seat_all, seat_of, verdicts

pytestmark = pytest.mark.chain

Make = Callable[..., EmbeddedNetwork]


def scored(make_network: Make, **task: object) -> EmbeddedNetwork:
    network = make_network(reward_rule="scores", rounds=1, **task)
    seat_all(network)
    return network


def scores_of(network: EmbeddedNetwork) -> dict[int, bytes]:
    return network.chain.at(network.chain.head()).scores(network.task_id, 1)


def shares_of(network: EmbeddedNetwork) -> tuple[int, ...]:
    """What was divided, once everybody has done what is left to do."""
    while network._tick_all():
        pass
    return network.chain.at(network.chain.head()).shares_wei(network.task_id, 1)


def is_scored(network: EmbeddedNetwork, participant: Participant) -> bool:
    seat = seat_of(network, participant)
    return seat.scored_round == 1 and any(seat.score_commitment)


def test_every_desk_scores_all_others_and_the_reward_follows_the_medians(
    make_network: Make,
) -> None:
    network = scored(make_network)

    run_until(network, 1, Phase.FINAL)
    given = scores_of(network)
    shares = shares_of(network)

    assert set(given) == {0, 1, 2}
    assert all(scores[voter] == 0 for voter, scores in given.items())
    # The lower one of two: each update is judged by two others.
    medians = [
        min(scores[number] for voter, scores in given.items() if voter != number)
        for number in range(3)
    ]
    reward_wei = network.params.reward_wei
    assert list(shares) == [reward_wei * median // sum(medians) for median in medians]
    assert verdicts(network) == ["verified"]


def test_desk_killed_between_commitment_and_reveal_reveals_the_same_scores(
    make_network: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    network = scored(make_network)
    victim = network.participants[0]
    while not is_scored(network, victim):
        network.step()
    committed = victim.memory.scores
    assert committed is not None

    judges_no_more(victim, monkeypatch)
    network.ticks[1] = reborn(network, 0).tick
    run_until(network, 1, Phase.FINAL)

    revealed = network.chain.at(network.chain.head()).revealed(network.task_id, 1)
    number = [update.participant for update in revealed].index(victim.account.address)
    assert scores_of(network)[number] == committed.given


def judges_no_more(participant: Participant, monkeypatch: pytest.MonkeyPatch) -> None:
    def fails(*_: object, **__: object) -> bytes:
        raise DataError("no quotes")

    monkeypatch.setattr(participant._trainer, "scores", fails)


def test_update_that_is_left_out_gets_no_score_and_nothing_of_the_reward(
    make_network: Make,
) -> None:
    network = scored(make_network)
    run_until(network, 1, Phase.REVEAL)
    desk, served = network.participants[0], network.stores[0]
    assert desk.memory.pending is not None
    root = desk.memory.pending.update_root
    desk.tick()
    served.file_of(root).unlink()
    absent = network.ticks.pop(1)

    run_until(network, 1, Phase.AGGREGATE)
    network.ticks.insert(1, absent)
    run_until(network, 1, Phase.FINAL)

    revealed = network.chain.at(network.chain.head()).revealed(network.task_id, 1)
    out = [update.update_root for update in revealed].index(root)
    given = scores_of(network)
    assert network.round_state(1).included == 2
    assert all(scores[out] == 0 for scores in given.values())
    assert shares_of(network)[out] == 0


def test_desk_that_cannot_judge_says_nothing_and_serves_on(
    make_network: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    network = scored(make_network)
    helpless = network.participants[0]
    judges_no_more(helpless, monkeypatch)

    run_until(network, 1, Phase.FINAL)
    network.step()

    assert len(scores_of(network)) == 2
    assert helpless.memory.verified_round == 1
    assert seat_of(network, helpless).scored_round == 0


def test_no_scores_are_told_before_their_commitments_are_closed(make_network: Make) -> None:
    network = scored(make_network)
    while not scores_of(network):
        now = network.embedded.now()
        network.step()

    assert now >= deadlines(network.params, network.round_state(1)).score_commit
    assert len(scores_of(network)) == len(network.participants)
