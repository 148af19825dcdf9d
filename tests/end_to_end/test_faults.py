"""Whatever one role does wrong, the next round opens, nothing is lost, and lies are named."""

import os
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from node.memory import MemoryFile
from node.relay import Relayer
from node.tick import DEFAULT_MANDATE, Mandate, Participant
from protocol import rounds as round_rules
from protocol.errors import BlobCorrupt, BlobNotFound
from protocol.recompute import Combined, combine
from protocol.state import Phase, Seat
from protocol.task import ZERO_ADDRESS, Rule
from scripts.network import EmbeddedNetwork
from scripts.verify_round import Verifier

pytestmark = pytest.mark.chain

Make = Callable[..., EmbeddedNetwork]


def phase_of(network: EmbeddedNetwork, number: int) -> Phase:
    return round_rules.phase(network.params, network.round_state(number), network.embedded.now())


def run_until(network: EmbeddedNetwork, number: int, *phases: Phase) -> None:
    for _ in range(200):
        if phase_of(network, number) in phases:
            return
        network.step()
    raise AssertionError(f"round {number} never came to {phases}")


def seat_all(network: EmbeddedNetwork) -> None:
    for participant in network.participants:
        participant.tick()


def verdicts(network: EmbeddedNetwork) -> list[str]:
    snapshot = network.chain.at(network.chain.head())
    return [
        verdict.verdict
        for verdict in Verifier(snapshot, network.task_id, network.blobs).check("all")
    ]


def withdraw_all(network: EmbeddedNetwork) -> int:
    return network.wind_up().left_wei


def test_every_round_becomes_final_and_everybody_agrees(make_network: Make) -> None:
    network = make_network()

    records = list(network.rounds())

    assert [record.phase for record in records] == ["final", "final"]
    assert records[0].model_root != records[1].model_root
    summary = network.wind_up()
    assert summary.verified_by == len(network.participants)
    assert summary.left_wei == 0
    assert verdicts(network) == ["verified", "verified"]
    assert network.failures == []


@pytest.mark.parametrize("rule", ["median", "trimmed_mean", "clipped_mean"])
def test_every_rule_carries_a_round(make_network: Make, rule: str) -> None:
    special = {"trimmed_mean": {"tolerance": 1, "quorum": 3}, "clipped_mean": {"clip_norm": 0.05}}

    records = list(make_network(rule=rule, rounds=1, **special.get(rule, {})).rounds())

    assert [(record.phase, record.updates) for record in records] == [("final", 3)]


def seat_of(network: EmbeddedNetwork, participant: Participant) -> Seat:
    snapshot = network.chain.at(network.chain.head())
    return snapshot.seat(network.task_id, participant.account.address)


def test_desk_that_never_reveals_loses_a_slice_and_comes_back_once_it_is_paid(
    make_network: Make,
) -> None:
    network = make_network(rounds=3)
    seat_all(network)
    run_until(network, 1, Phase.REVEAL)
    silent, absent = network.participants[-1], network.ticks.pop()

    run_until(network, 1, Phase.FINAL)
    assert seat_of(network, silent).suspended
    assert "is suspended until" in why_in_commit(network, 2, silent)
    silent.mandate = Mandate(restores=True)
    network.ticks.append(absent)
    run_until(network, 3, Phase.FINAL)

    assert [network.round_state(number).revealed for number in (1, 2, 3)] == [2, 2, 3]
    assert verdicts(network) == ["verified"] * 3
    seat, slice_wei = seat_of(network, silent), network.params.slice_wei
    assert (seat.missed, seat.slashed, seat.stake_wei) == (1, 1, network.params.stake_wei)
    # The other half was credited to the orchestrator, which proved it.
    assert withdraw_all(network) == slice_wei - slice_wei // 2


def why_in_commit(network: EmbeddedNetwork, number: int, participant: Participant) -> str:
    """What a participant waits for in a round's commit phase."""
    run_until(network, number, Phase.COMMIT)
    outcome = participant.tick()
    assert outcome.acted is None
    return outcome.why


def test_seat_that_missed_more_than_is_forgiven_stays_suspended(make_network: Make) -> None:
    network = make_network(rounds=3, max_missed=0)
    seat_all(network)
    run_until(network, 1, Phase.REVEAL)
    silent, absent = network.participants[-1], network.ticks.pop()
    silent.mandate = Mandate(restores=True)
    run_until(network, 1, Phase.FINAL)
    network.ticks.append(absent)

    assert "suspended for good" in why_in_commit(network, 2, silent)
    run_until(network, 2, Phase.FINAL)
    assert seat_of(network, silent).suspended
    assert silent.memory.verified_round == 2, "its owner may still know what came of the task"


def test_participants_slash_and_divide_where_the_orchestrator_does_not(make_network: Make) -> None:
    network = make_network(rounds=1)
    seat_all(network)
    driver = network.participants[0]
    run_until(network, 1, Phase.REVEAL)
    silent, _ = network.participants[-1], network.ticks.pop()
    run_until(network, 1, Phase.AVAILABILITY)
    network.ticks.pop(0)
    driver.mandate = Mandate(drives=True, publishes=True)

    run_until(network, 1, Phase.FINAL)
    for _ in range(3):
        network._tick_all()

    snapshot = network.chain.at(network.chain.head())
    assert seat_of(network, silent).suspended
    assert snapshot.credit(ZERO_ADDRESS, driver.account.address) >= network.params.slice_wei // 2
    shares = snapshot.shares_wei(network.task_id, 1)
    assert (len(shares), sum(shares)) == (2, network.params.reward_wei)


def test_rounds_below_quorum_are_void_and_the_next_one_opens(make_network: Make) -> None:
    network = make_network(rounds=3)
    seat_all(network)
    for participant in network.participants:
        participant.mandate = Mandate(restores=True)
    run_until(network, 1, Phase.REVEAL)
    silent, network.ticks = network.ticks[2:], network.ticks[:2]

    run_until(network, 1, Phase.VOID)
    network.ticks += silent
    run_until(network, 3, Phase.FINAL)

    # Round 2 opened before those who had been silent had paid.
    assert [network.round_state(number).revealed for number in (1, 2, 3)] == [1, 1, 3]
    assert verdicts(network) == ["void", "void", "verified"]


def spoil_what_the_first_desk_serves(network: EmbeddedNetwork) -> bytes:
    """Reveals its update and flips a bit of what it serves; the update's root."""
    desk, served = network.participants[0], network.stores[0]
    assert desk.memory.pending is not None
    root = desk.memory.pending.update_root
    desk.tick()
    blob = bytearray(served.file_of(root).read_bytes())
    blob[-1] ^= 1
    served.file_of(root).write_bytes(bytes(blob))
    return root


def test_desk_that_serves_garbage_and_answers_no_flag_is_left_out_of_its_round(
    make_network: Make,
) -> None:
    network = make_network()
    seat_all(network)
    run_until(network, 1, Phase.REVEAL)
    root = spoil_what_the_first_desk_serves(network)
    silent = network.ticks.pop(1)

    run_until(network, 1, Phase.FINAL)
    network.ticks.insert(1, silent)
    run_until(network, 2, Phase.FINAL)

    with pytest.raises(BlobCorrupt, match="answered a blob with root"):
        network.stores[0].get(root, chunk_length=network.params.chunk_length)
    assert (network.round_state(1).revealed, network.round_state(1).included) == (3, 2)
    assert network.round_state(2).included == 3
    assert verdicts(network) == ["verified", "verified"]
    assert withdraw_all(network) == 0


def test_desk_whose_served_copy_was_spoilt_answers_the_flag_and_stays_included(
    make_network: Make,
) -> None:
    network = make_network()
    seat_all(network)
    run_until(network, 1, Phase.REVEAL)
    root = spoil_what_the_first_desk_serves(network)

    run_until(network, 1, Phase.FINAL)

    assert network.round_state(1).included == 3
    flag = network.chain.at(network.chain.head()).update_flag(
        network.task_id, network.participants[0].account.address
    )
    assert (flag.root, flag.posted > 0) == (root, True)
    assert verdicts(network)[0] == "verified"
    run_until(network, 2, Phase.FINAL)
    assert withdraw_all(network) == 0


def test_dead_aggregator_voids_the_round_and_another_one_finishes_the_next(
    make_network: Make,
) -> None:
    network = make_network()
    seat_all(network)
    run_until(network, 1, Phase.AGGREGATE)
    dead = network.ticks.pop(0)

    run_until(network, 1, Phase.VOID)
    network.ticks.insert(0, dead)
    run_until(network, 2, Phase.FINAL)

    assert network.round_state(1).published_at == 0
    assert verdicts(network) == ["void", "verified"]
    assert withdraw_all(network) == 0


def test_participants_open_rounds_when_nobody_else_does(make_network: Make) -> None:
    network = make_network(rounds=1)
    seat_all(network)
    network.ticks.pop(0)
    network.participants[1].mandate = Mandate(drives=True)

    run_until(network, 1, Phase.COMMIT)

    assert network.round_state(1).opened_at > 0


def lie_about_one_coordinate(network: EmbeddedNetwork, monkeypatch: pytest.MonkeyPatch) -> None:
    def lie(params: object, base: np.ndarray, revealed: object, blobs: object) -> Combined:
        from protocol.recompute import recompute_round  # noqa: PLC0415 - the honest one

        honest = recompute_round(params, base, revealed, blobs)  # type: ignore[arg-type]
        aggregate = honest.aggregate.copy()
        aggregate[17] += 1
        return combine(replace(network.params, rule=Rule.MEAN), base, aggregate[None, :])

    monkeypatch.setattr("orchestrator.results.recompute_round", lie)


def test_one_wrong_coordinate_is_refuted_and_the_round_ends_with_the_honest_model(
    make_network: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    network = make_network()
    seat_all(network)
    lie_about_one_coordinate(network, monkeypatch)
    run_until(network, 1, Phase.CHALLENGE)
    liar, network.ticks = network.ticks[0], network.ticks[1:]
    monkeypatch.undo()
    network.participants[1].mandate = Mandate(publishes=True)

    run_until(network, 1, Phase.FINAL)
    network.ticks.insert(0, liar)
    run_until(network, 2, Phase.FINAL)

    first = network.round_state(1)
    assert first.restarted_at > 0
    assert first.publisher == network.participants[1].account.address
    assert network.round_state(2).revealed == len(network.participants)
    assert verdicts(network) == ["verified", "verified"]
    summary = network.wind_up()
    assert summary.verified_by == len(network.participants)
    assert summary.left_wei == summary.burned_wei == network.params.bond_wei // 2


def test_aggregator_that_lied_may_end_the_round_with_the_truth(
    make_network: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    network = make_network(rounds=1)
    seat_all(network)
    lie_about_one_coordinate(network, monkeypatch)
    run_until(network, 1, Phase.CHALLENGE)
    monkeypatch.undo()

    run_until(network, 1, Phase.FINAL)

    assert network.round_state(1).restarted_at > 0
    assert verdicts(network) == ["verified"]
    assert withdraw_all(network) == network.params.bond_wei // 2


def test_wrong_result_that_nobody_challenged_is_refused_by_everybody(
    make_network: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    network = make_network()
    seat_all(network)
    for participant in network.participants:
        participant.mandate = Mandate(challenges=False)
    lie_about_one_coordinate(network, monkeypatch)
    run_until(network, 1, Phase.FINAL)
    monkeypatch.undo()
    run_until(network, 2, Phase.VOID)

    for participant in network.participants:
        assert participant.memory.mismatch is not None
        assert "aggregate root: the included updates give" in participant.memory.mismatch.why
    snapshot = network.chain.at(network.chain.head())
    wrong = Verifier(snapshot, network.task_id, network.blobs).check("1")[0]
    assert wrong.verdict == "wrong"
    assert "aggregate root" in wrong.why
    assert withdraw_all(network) == 0


def test_flipped_byte_of_an_update_is_caught_by_the_outsider(make_network: Make) -> None:
    network = make_network(rounds=1)
    list(network.rounds())
    snapshot = network.chain.at(network.chain.head())
    root = snapshot.revealed(network.task_id, 1)[1].update_root
    file = network.blobs.file_of(root)
    blob = bytearray(file.read_bytes())
    blob[100] ^= 0x40
    file.write_bytes(bytes(blob))

    verdict = Verifier(snapshot, network.task_id, network.blobs).check("1")[0]

    assert verdict.verdict == "unavailable"
    assert "answered a blob with root" in verdict.why


def test_missing_update_is_named_by_the_outsider(make_network: Make) -> None:
    network = make_network(rounds=1)
    list(network.rounds())
    snapshot = network.chain.at(network.chain.head())
    root = snapshot.revealed(network.task_id, 1)[0].update_root
    network.blobs.file_of(root).unlink()

    with pytest.raises(BlobNotFound):
        network.blobs.get(root, chunk_length=network.params.chunk_length)
    verdict = Verifier(snapshot, network.task_id, network.blobs).check("1")[0]
    assert verdict.verdict == "unavailable"
    assert root.hex() in verdict.why


def reborn(
    network: EmbeddedNetwork,
    number: int,
    *,
    relayer: Relayer | None = None,
    mandate: Mandate = DEFAULT_MANDATE,
) -> Participant:
    """The same participant after kill -9: nothing but its folder and its key is left."""
    old = network.participants[number]
    return Participant(
        chain=network.chain,
        transactor=network._transactors[old.account.address],
        account=old.account,
        task_id=network.task_id,
        trainer=old._trainer,
        stores=old.stores,
        memory_file=MemoryFile(old.memory_file.path),
        relayer=relayer,
        mandate=mandate,
    )


@pytest.mark.parametrize("phase", [Phase.COMMIT, Phase.REVEAL, Phase.AGGREGATE, Phase.CHALLENGE])
def test_participant_killed_in_any_phase_loses_nothing(make_network: Make, phase: Phase) -> None:
    network = make_network()
    seat_all(network)
    run_until(network, 1, phase)

    network.ticks[1:] = [
        reborn(network, number).tick for number in range(len(network.participants))
    ]
    run_until(network, 2, Phase.FINAL)

    assert [network.round_state(number).revealed for number in (1, 2)] == [3, 3]
    assert verdicts(network) == ["verified", "verified"]


def test_participant_killed_between_saving_and_committing_commits_the_same_update(
    make_network: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    network = make_network(rounds=1)
    seat_all(network)
    network.orchestrator.tick()
    victim = network.participants[0]

    def die(*_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(victim._sending, "send", die)
    with pytest.raises(KeyboardInterrupt):
        victim.tick()
    assert victim.memory.pending is not None
    before = victim.memory.pending.update_root
    after = reborn(network, 0)
    after.tick()

    assert after.memory.pending is not None
    assert after.memory.pending.update_root == before
    seat = network.chain.at(network.chain.head()).seat(network.task_id, after.account.address)
    assert seat.committed_round == 1


def test_second_copy_of_a_participant_does_nothing_twice(make_network: Make) -> None:
    network = make_network(rounds=1)
    seat_all(network)
    network.ticks += [reborn(network, number).tick for number in range(len(network.participants))]

    run_until(network, 1, Phase.FINAL)

    assert network.round_state(1).revealed == 3
    assert verdicts(network) == ["verified"]


def test_participant_that_lost_its_disk_after_revealing_goes_on(make_network: Make) -> None:
    network = make_network()
    seat_all(network)
    run_until(network, 1, Phase.AGGREGATE)
    network.participants[0].memory_file.path.unlink()
    for file in network.stores[0].path.iterdir():
        file.unlink()
    fresh = reborn(network, 0)
    network.ticks[1] = fresh.tick

    run_until(network, 2, Phase.FINAL)
    network.step()

    assert [network.round_state(number).revealed for number in (1, 2)] == [3, 3]
    assert fresh.memory.verified_round == 2
    assert fresh.memory.unverified_rounds == ()


def with_an_absent_desk(network: EmbeddedNetwork) -> list[tuple[Path, bytes]]:
    """The first desk misses the end of round 1, whose updates are gone when round 2 opens.

    Returns what is gone.
    """
    seat_all(network)
    run_until(network, 1, Phase.AGGREGATE)
    absent = network.ticks.pop(1)
    run_until(network, 1, Phase.FINAL)
    snapshot = network.chain.at(network.chain.head())
    gone = []
    for update in snapshot.revealed(network.task_id, 1):
        for store in (network.blobs, *network.stores):
            file = store.file_of(update.update_root)
            if file.exists():
                gone.append((file, file.read_bytes()))
                file.unlink()
    run_until(network, 2, Phase.COMMIT)
    network.ticks.insert(1, absent)
    return gone


def test_desk_trains_on_nothing_that_came_of_a_round_it_cannot_recompute(
    make_network: Make,
) -> None:
    network = make_network()
    with_an_absent_desk(network)

    run_until(network, 2, Phase.FINAL)
    network.step()

    late = network.participants[0]
    assert (late.unverified, late.memory.unverified_rounds) == ((1,), (1,))
    # What is published later is verified all the same, by the base that the contract names.
    assert late.memory.verified_round == 2
    assert network.round_state(2).revealed == 2
    assert "unless adopt_unverified names it" in str(network.failures[-1])


def test_desk_trains_on_what_its_owner_accepts(make_network: Make) -> None:
    network = make_network()
    with_an_absent_desk(network)
    network.ticks[1] = reborn(network, 0, mandate=Mandate(adopts=(1,))).tick

    run_until(network, 2, Phase.FINAL)
    network.step()

    assert network.round_state(2).revealed == 3
    assert network.failures == []


def test_desk_trains_again_when_it_can_recompute_what_it_had_taken_over(
    make_network: Make,
) -> None:
    network = make_network()
    gone = with_an_absent_desk(network)
    late = network.participants[0]
    with pytest.raises(BlobNotFound, match="round 1 is final and was not recomputed"):
        late.tick()
    assert late.unverified == (1,)
    for file, content in gone:
        file.write_bytes(content)

    run_until(network, 2, Phase.FINAL)
    network.step()

    assert late.memory.unverified_rounds == ()
    assert late.memory.verified_round == 2
    assert network.round_state(2).revealed == 3


def test_verified_result_that_a_reorganisation_takes_away_is_not_built_on(
    make_network: Make,
) -> None:
    network = make_network()
    seat_all(network)
    run_until(network, 1, Phase.AGGREGATE)
    before = network.embedded.snapshot()
    run_until(network, 1, Phase.CHALLENGE)
    for participant in network.participants:
        participant.tick()
    taken_away = network.round_state(1).model_root
    assert {p.memory.verified_model_root for p in network.participants} == {taken_away}
    network.embedded.revert(before)
    dead = network.ticks.pop(0)

    run_until(network, 1, Phase.VOID)
    network.ticks.insert(0, dead)
    run_until(network, 2, Phase.FINAL)

    assert network.round_state(2).revealed == 3
    assert verdicts(network) == ["void", "verified"]


def test_training_gives_the_same_bits_in_another_process(make_network: Make) -> None:
    program = (
        "from node.models.smile import SMILE; from protocol.sumtree import SumTree;"
        "print(SumTree.of(SMILE.genesis(0), 256).root.hex())"
    )
    answered = subprocess.run(  # noqa: S603 - this interpreter, that program
        [sys.executable, "-c", program],
        check=True,
        capture_output=True,
        text=True,
        env={**os.environ, "OMP_NUM_THREADS": "2"},
    ).stdout.strip()

    assert answered == make_network().params.genesis_model_root.hex()
