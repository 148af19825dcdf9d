"""The orchestrator's tick over a real chain and real HTTP: rounds end, whatever others do."""

import json
import re
from dataclasses import replace

import numpy as np
import pytest

from orchestrator.judge import ATTEMPTS
from protocol import posting
from protocol.chain.deployment import SeedSource, deploy
from protocol.chain.gateway import Snapshot
from protocol.encoding import encode_model, encode_update
from protocol.errors import (
    ChainAnswerInvalid,
    ChainUnavailable,
    DataError,
    Reverted,
    StorageError,
)
from protocol.recompute import Result, check_published, combine, recompute_round
from protocol.scores import scores_commitment
from protocol.state import Phase, Published
from protocol.storage import unwritable
from protocol.sumtree import SumTree
from protocol.task import ZERO_ADDRESS, RewardRule
from tests.chain.network import SETTINGS
from tests.end_to_end.fixed_desks import (
    CHUNK,
    GENESIS,
    SALT,
    SHIFT,
    FixedDesks,
    Served,
    run_round,
    serving,
    update_of,
)

pytestmark = pytest.mark.chain


@pytest.fixture
def network(embedded, tmp_path):
    return FixedDesks(embedded, tmp_path)


@pytest.fixture
def remotes(network):
    with serving(network.desk_blobs) as remote:
        yield [remote]


@pytest.fixture
def desk(network, tmp_path, remotes):
    return Served(network, tmp_path / "orchestrator", remotes)


def test_rounds_run_to_the_end_and_every_result_is_the_one_of_its_updates(network, desk):
    assert desk.tick().why == "0 seats would be active, quorum is 3"
    network.join()
    model = GENESIS.copy()
    for number in range(1, 4):
        run_round(network, desk)
        model = model + update_of(1, number)
    # Dividing the last round's reward settles it.
    assert desk.tick().acted == "distribute"
    assert desk.tick().why == "all 3 rounds were opened"
    state = network.snapshot().task_state(network.task_id)
    assert state.model_root == SumTree.of(model, CHUNK).root
    blob = desk.own.get(state.model_root, chunk_length=CHUNK, shift=SHIFT)
    assert np.array_equal(blob.values, model)
    seats = [
        network.snapshot().seat(network.task_id, each.address) for each in network.senders[1:4]
    ]
    assert {(seat.served, seat.reward_wei) for seat in seats} == {
        (3, 3 * (network.params.reward_wei // 3))
    }
    for number in range(1, 4):
        snapshot = network.snapshot()
        assert snapshot.round_state(network.task_id, number).distributed
        base = desk.own.get(snapshot.base_model_root(network.task_id, number), chunk_length=CHUNK)
        combined = recompute_round(
            network.params, base.values, snapshot.revealed(network.task_id, number), desk.own
        )
        check_published(combined, snapshot.round_state(network.task_id, number))
    lines = [json.loads(line) for line in desk.file.read_text().splitlines()]
    assert [line["round"] for line in lines] == [1, 2, 3]
    assert lines[-1]["metrics"] == {"last": float(model[-1]) / 2**SHIFT}


def test_a_restart_at_any_point_repeats_nothing(network, tmp_path, remotes):
    network.join()
    acted = []

    def restarted_tick():
        fresh = Served(network, tmp_path / "orchestrator", remotes)
        acted.extend(
            [fresh.tick().acted, Served(network, fresh.own.path.parent, remotes).tick().acted]
        )

    restarted_tick()
    network.commit()
    restarted_tick()
    network.reveal()
    restarted_tick()
    network.travel(network.ends().availability)
    restarted_tick()
    network.travel(network.ends().challenge)
    restarted_tick()
    assert [action for action in acted if action] == ["open", "publish", "open", "distribute"]
    assert len((tmp_path / "orchestrator" / "metrics.jsonl").read_text().splitlines()) == 1


@pytest.mark.parametrize("content", [None, b"garbage", encode_update(update_of(9, 9), SHIFT)])
def test_an_update_that_cannot_be_had_voids_the_round_and_the_next_one_opens(
    network, desk, content
):
    network.join()
    desk.tick()
    network.commit()
    network.reveal()
    spoilt = network.desk_blobs.file_of(SumTree.of(update_of(0, 1), CHUNK).root)
    spoilt.unlink()
    if content is not None:
        spoilt.write_bytes(content)
    network.travel(network.ends().availability)
    waiting = desk.tick()
    assert waiting.acted is None
    assert network.senders[1].address in waiting.why
    network.travel(network.ends().aggregate)
    assert desk.tick().acted == "open"
    assert network.snapshot().phase(network.task_id, 1) is Phase.VOID
    network.commit()
    network.reveal()
    network.travel(network.ends().availability)
    assert desk.tick().acted == "publish"


def test_an_update_that_comes_late_in_the_window_is_still_used(network, desk):
    network.join()
    desk.tick()
    network.commit()
    network.reveal()
    late = network.desk_blobs.file_of(SumTree.of(update_of(0, 1), CHUNK).root)
    content = late.read_bytes()
    late.unlink()
    network.travel(network.ends().availability)
    assert desk.tick().acted is None
    late.write_bytes(content)
    assert desk.tick().acted == "publish"


def reveal_all_but_serve_two(network, desk):
    """A round with two of three updates to be had; what the first desk's blob held."""
    network.join()
    assert desk.tick().acted == "open"
    network.commit()
    network.reveal()
    hidden = network.desk_blobs.file_of(SumTree.of(update_of(0, 1), CHUNK).root)
    content = hidden.read_bytes()
    hidden.unlink()
    return content


def at_flagging_time(network):
    network.travel(network.ends().reveal + network.params.availability_seconds // 4)


def state_of(network, number=1):
    return network.snapshot().round_state(network.task_id, number)


@pytest.fixture
def tolerant(embedded, tmp_path):
    """A task that a round of two updates suffices for."""
    return FixedDesks(embedded, tmp_path, quorum=2, tolerance=0)


@pytest.fixture
def aggregator(tolerant, tmp_path):
    with serving(tolerant.desk_blobs) as remote:
        yield Served(tolerant, tmp_path / "orchestrator", [remote], task_ids=[tolerant.task_id])


def test_an_update_that_nobody_serves_is_flagged_after_some_patience_and_left_out(
    tolerant, aggregator
):
    reveal_all_but_serve_two(tolerant, aggregator)
    tolerant.travel(tolerant.ends().reveal)
    patient = aggregator.tick()
    assert patient.acted is None
    assert patient.wait_until == (
        tolerant.ends().reveal + tolerant.params.availability_seconds // 4
    )
    tolerant.travel(patient.wait_until)
    assert aggregator.tick().acted == "flag"
    assert state_of(tolerant).unavailable == 1
    assert aggregator.tick().acted is None

    tolerant.travel(tolerant.ends().availability)
    assert aggregator.tick().acted == "publish"
    combined = combine(tolerant.params, GENESIS, np.stack([update_of(1, 1), update_of(2, 1)]))
    check_published(combined, state_of(tolerant))

    shown = first_board(aggregator).rounds[0]
    assert [each.standing for each in shown.revealed] == ["excluded", "included", "included"]
    assert shown.included == 2
    assert aggregator.tick().acted == "reclaim"
    flag = tolerant.snapshot().update_flag(tolerant.task_id, tolerant.senders[1].address)
    assert (flag.round, flag.flagger) == (1, ZERO_ADDRESS)
    credited_wei = tolerant.snapshot().credit(ZERO_ADDRESS, tolerant.aggregator.address)
    assert credited_wei == tolerant.params.flag_wei


def test_an_update_that_was_posted_on_chain_is_fetched_from_there(tolerant, aggregator):
    reveal_all_but_serve_two(tolerant, aggregator)
    at_flagging_time(tolerant)
    assert aggregator.tick().acted == "flag"
    assert first_board(aggregator).rounds[0].revealed[0].standing == "included", "as it was read"
    aggregator.tick()
    assert first_board(aggregator).rounds[0].revealed[0].standing == "flagged"
    (part,) = posting.parts(update_of(0, 1), CHUNK)
    participant = tolerant.senders[1].address
    tolerant.senders[1].send(
        "postUpdate", (tolerant.task_id, 1, participant, *part), purpose="post"
    )

    tolerant.travel(tolerant.ends().availability)
    assert aggregator.tick().acted == "publish"
    combined = combine(
        tolerant.params, GENESIS, np.stack([update_of(each, 1) for each in range(3)])
    )
    check_published(combined, state_of(tolerant))
    assert tolerant.snapshot().credit(ZERO_ADDRESS, participant) == tolerant.params.flag_wei


def test_an_orchestrator_flags_neither_if_told_so_nor_in_a_task_that_it_was_not_given(
    tolerant, tmp_path, aggregator
):
    reveal_all_but_serve_two(tolerant, aggregator)
    at_flagging_time(tolerant)
    remotes = [tolerant.desk_blobs]
    told = {"task_ids": [tolerant.task_id], "flags": False}
    modest = Served(tolerant, tmp_path / "modest", remotes, **told)
    strangers = Served(tolerant, tmp_path / "of a stranger's task", remotes)
    for waiting in (modest.tick(), strangers.tick()):
        assert waiting.acted is None
        assert f"lacking the update of {tolerant.senders[1].address}" in waiting.why
    assert state_of(tolerant).unavailable == 0


def test_a_publisher_posts_what_is_flagged_and_earns_the_deposit(tolerant, aggregator):
    tolerant.join()
    run_round(tolerant, aggregator, to_its_end=False)
    before = state_of(tolerant)
    for what in (Published.AGGREGATE, Published.MODEL):
        tolerant.senders[5].send(
            "flagResult",
            (tolerant.task_id, 1, what),
            value_wei=tolerant.params.flag_wei,
            purpose=what.name,
        )
    assert [aggregator.tick().acted for _ in range(3)] == ["post", "post", None]
    shown = first_board(aggregator).rounds[0]
    assert [(each.what, each.flagger, each.posted) for each in shown.result_flags] == [
        ("aggregate", None, 1),
        ("model", None, 1),
    ]
    tolerant.travel(tolerant.ends().challenge)
    aggregator.tick()
    assert state_of(tolerant).settled
    assert state_of(tolerant).model_root == before.model_root
    owed_wei = tolerant.params.bond_wei + 2 * tolerant.params.flag_wei
    assert tolerant.snapshot().credit(ZERO_ADDRESS, tolerant.aggregator.address) == owed_wei


def test_a_round_below_quorum_is_void_and_the_next_one_opens(network, desk):
    network.join()
    desk.tick()
    network.commit()
    network.reveal(desks=range(2))
    network.travel(network.ends().reveal)
    assert desk.tick().acted == "open"
    assert network.snapshot().phase(network.task_id, 1) is Phase.VOID


def test_a_dry_run_sends_nothing_and_says_what_it_would_do(network, tmp_path, remotes):
    network.join()
    before = network.chain.head()
    watcher = Served(network, tmp_path / "watcher", remotes, transactor=None)
    assert watcher.tick().why == "dry run: would open round 1"
    assert network.chain.head() == before


def one_withholds(network, desk):
    network.join()
    assert desk.tick().acted == "open"
    network.commit()
    network.reveal(desks=range(2))
    network.travel(network.ends().reveal)


def test_who_withholds_is_slashed_once_for_half_of_the_slice(tolerant, aggregator):
    one_withholds(tolerant, aggregator)
    assert [aggregator.tick().acted for _ in range(2)] == ["slash", None]
    silent = tolerant.senders[3].address
    seat = tolerant.snapshot().seat(tolerant.task_id, silent)
    assert (seat.suspended, seat.missed, seat.slashed) == (True, 1, 1)
    award_wei = tolerant.params.slice_wei // 2
    assert tolerant.snapshot().credit(ZERO_ADDRESS, tolerant.aggregator.address) == award_wei
    board = first_board(aggregator)
    assert (board.summary.seats, board.summary.active) == (3, 2)
    assert [shown.active_from for shown in board.participants] == [1, 1, None]
    assert board.participants[2].missed == 1
    task = "0x" + tolerant.task_id.hex()
    assert count(aggregator, "volquorum_suspended_seats", task=task) == 1
    tolerant.travel(tolerant.ends().availability)
    assert aggregator.tick().acted == "publish"


def test_an_orchestrator_slashes_nobody_if_told_so(tolerant, tmp_path):
    modest = Served(
        tolerant, tmp_path / "modest", [tolerant.desk_blobs], flags=False, slashes=False
    )
    one_withholds(tolerant, modest)
    assert modest.tick().acted is None
    assert not tolerant.snapshot().seat(tolerant.task_id, tolerant.senders[3].address).suspended


def test_rewards_follow_the_scores_that_participants_gave(embedded, tmp_path):
    network = FixedDesks(
        embedded, tmp_path, rounds=1, reward_rule=RewardRule.SCORES, score_seconds=8, reward_wei=901
    )
    desk = Served(network, tmp_path / "orchestrator", [network.desk_blobs])
    network.join()
    run_round(network, desk, to_its_end=False)
    given = {0: bytes([255, 30, 60]), 2: bytes([30, 30, 255])}
    for voter, scores in given.items():
        bound = scores_commitment(
            chain_id=network.chain.chain_id,
            contract=network.chain.contract,
            task_id=network.task_id,
            round_number=1,
            participant=network.senders[voter + 1].address,
            scores=scores,
            salt=SALT,
        )
        network.senders[voter + 1].send("commitScores", (network.task_id, 1, bound), purpose="s")
    network.travel(network.ends().score_commit)
    for voter, scores in given.items():
        arguments = (network.task_id, 1, scores, SALT)
        network.senders[voter + 1].send("revealScores", arguments, purpose="r")
    network.travel(network.ends().challenge)
    assert [desk.tick().acted for _ in range(2)] == ["distribute", None]
    # The medians of what the others gave are 30, 30 and 60.
    (shown,) = first_board(desk).rounds
    assert [each.share_wei for each in shown.revealed] == [225, 225, 450]
    assert [each.scores for each in shown.revealed] == [(255, 30, 60), None, (30, 30, 255)]
    assert shown.distributed
    seats = [
        network.snapshot().seat(network.task_id, each.address) for each in network.senders[1:4]
    ]
    assert [seat.reward_wei for seat in seats] == [225, 225, 450]
    assert [each.reward_wei for each in first_board(desk).participants] == [225, 225, 450]


@pytest.fixture
def drawing(embedded, tmp_path):
    """A task of which each round draws three of five seats."""
    source = deploy(
        embedded.endpoint,
        embedded.accounts[0],
        seed_source=SeedSource("PrevrandaoSource", (2,)),
        settings=SETTINGS,
    ).seed_source
    return FixedDesks(
        embedded, tmp_path, seats=5, cohort=3, drawn=3, quorum=1, tolerance=0, seed_source=source
    )


def test_seats_are_drawn_with_the_header_that_the_source_lacked(drawing, tmp_path):
    desk = Served(drawing, tmp_path / "orchestrator", [drawing.desk_blobs])
    drawing.join(5)
    assert desk.tick().acted == "open"
    waiting = desk.tick()
    assert (waiting.acted, waiting.why) == (None, "round 1 waits for the seed that draws its seats")
    assert first_board(desk).detail.draw.draw is None
    for _ in range(3):
        drawing.travel(drawing.now() + 1)
    assert [desk.tick().acted for _ in range(3)] == ["record", "draw", None]
    shown = first_board(desk).detail.draw
    snapshot = drawing.snapshot()
    assert shown.draw == snapshot.task_state(drawing.task_id).draw
    addresses = [sender.address for sender in drawing.senders[1:6]]
    assert list(shown.drawn) == [
        address for address in addresses if snapshot.may_commit(drawing.task_id, address)
    ]


def test_a_source_that_answers_nonsense_leaves_the_round_void_and_the_tick_alive(
    embedded, tmp_path
):
    network = FixedDesks(
        embedded,
        tmp_path,
        seats=5,
        cohort=3,
        drawn=3,
        quorum=1,
        tolerance=0,
        seed_source=embedded.accounts[0].address,
    )
    desk = Served(network, tmp_path / "orchestrator", [])
    network.join(5)
    assert desk.tick().acted == "open"
    assert "waits for the seed" in desk.tick().why
    network.travel(network.ends().reveal)
    assert desk.tick().acted == "open"
    assert network.snapshot().phase(network.task_id, 1) is Phase.VOID


def test_seats_are_asked_for_again_only_where_something_happened(network, desk, monkeypatch):
    network.join()
    desk.tick()
    asked = []
    honest = Snapshot.seat

    def counted(snapshot, task_id, participant):
        asked.append(participant)
        return honest(snapshot, task_id, participant)

    monkeypatch.setattr(Snapshot, "seat", counted)
    desk.tick()
    assert asked == []
    network.commit(desks=[1])
    desk.tick()
    assert asked == [network.senders[2].address]
    assert first_board(desk).participants[1].committed_round == 1


def to_aggregate(network, desk):
    network.join()
    desk.tick()
    network.commit()
    network.reveal()
    network.travel(network.ends().availability)


def publish_as_stranger(network, aggregate_root, model_root):
    state = network.snapshot().round_state(network.task_id, 1)
    network.senders[5].send(
        "publish",
        (
            *(network.task_id, 1),
            Result(aggregate_root, model_root, state.updates_hash, state.unavailable),
        ),
        value_wei=network.params.bond_wei,
        purpose="stranger",
    )


def count(desk, name, **labels):
    return desk.orchestrator.metrics.registry.get_sample_value(name, labels)


def test_a_right_result_of_somebody_else_is_checked_and_kept(network, desk):
    to_aggregate(network, desk)
    updates = np.stack([update_of(number, 1) for number in range(3)])
    combined = combine(network.params, GENESIS, updates)
    publish_as_stranger(network, combined.aggregate_root, combined.model_root)
    desk.tick()
    kept = desk.own.get(combined.model_root, chunk_length=CHUNK, shift=SHIFT)
    assert np.array_equal(kept.values, combined.model)
    assert desk.own.has(combined.aggregate_root)
    task = "0x" + network.task_id.hex()
    assert count(desk, "volquorum_wrong_results_total", task=task) is None


def test_a_wrong_result_of_somebody_else_is_counted_once(network, desk):
    to_aggregate(network, desk)
    publish_as_stranger(network, b"\1" * 32, b"\2" * 32)
    for _ in range(3):
        desk.tick()
    task = "0x" + network.task_id.hex()
    assert count(desk, "volquorum_wrong_results_total", task=task) == 1


def test_a_result_that_cannot_be_checked_is_given_up_after_some_attempts(
    network, desk, monkeypatch
):
    to_aggregate(network, desk)
    network.desk_blobs.file_of(SumTree.of(update_of(0, 1), CHUNK).root).unlink()
    desk.own.file_of(SumTree.of(update_of(0, 1), CHUNK).root).unlink(missing_ok=True)
    publish_as_stranger(network, b"\1" * 32, b"\2" * 32)
    asked = []
    monkeypatch.setattr(
        "orchestrator.results.recompute_round",
        lambda *arguments: asked.append(1) or recompute_round(*arguments),
    )
    for _ in range(8):
        desk.tick()
    assert len(asked) == 5


def test_an_update_that_is_a_model_is_named_and_the_round_is_void(network, desk):
    # A tree of int32 values with a claimed norm of zero passes the contract's check at reveal.
    network.join()
    desk.tick()
    disguised = np.ones(GENESIS.size, dtype=np.int32)
    network.updates[0] = disguised
    network.commit()
    network.reveal()
    network.desk_blobs.put(encode_model(disguised, SHIFT), chunk_length=CHUNK)
    network.travel(network.ends().availability)
    outcome = desk.tick()
    assert outcome.acted is None
    assert f"update of {network.senders[1].address}: kind must be UPDATE" in outcome.why
    network.updates.clear()
    network.travel(network.ends().aggregate)
    assert desk.tick().acted == "open"


def test_a_model_that_leaves_its_range_has_no_result_and_the_next_round_opens(tmp_path, embedded):
    top = np.full(GENESIS.size, np.iinfo(np.int32).max, dtype=np.int32)
    network = FixedDesks(embedded, tmp_path, genesis=top)
    with serving(network.desk_blobs) as remote:
        desk = Served(network, tmp_path / "orchestrator", [remote])
        to_aggregate(network, desk)
        outcome = desk.tick()
        assert outcome.acted is None
        assert "outside int32" in outcome.why
        network.travel(network.ends().aggregate)
        assert desk.tick().acted == "open"


def test_somebody_quicker_is_no_failure(network, tmp_path, remotes):
    network.join()

    class Slow:
        address = network.aggregator.address

        def send(self, function, args, **settings):
            network.senders[5].send(function, args, purpose="quicker")
            return network.aggregator.send(function, args, **settings)

    desk = Served(network, tmp_path / "orchestrator", remotes, transactor=Slow())
    outcome = desk.tick()
    assert outcome.acted is None
    assert "RoundRunning" in outcome.why
    assert network.round_number() == 1


def test_one_tasks_trouble_does_not_stop_the_others(network, tmp_path, remotes):
    network.join()
    unknown = b"\7" * 32
    desk = Served(network, tmp_path / "orchestrator", remotes, task_ids=[unknown, network.task_id])
    with pytest.raises(Reverted, match="UnknownTask"):
        desk.tick()
    assert network.round_number() == 1
    failures = {"task": "0x" + unknown.hex(), "error": "Reverted"}
    assert count(desk, "volquorum_tick_failures_total", **failures) == 1


def test_a_silent_chain_is_asked_for_one_task_only(network, tmp_path, monkeypatch):
    asked = []

    def silent(method, *_):
        asked.append(method)
        raise ChainUnavailable("no answer")

    desk = Served(network, tmp_path / "orchestrator", [], task_ids=[bytes(32), network.task_id])
    monkeypatch.setattr(network.chain.rpc, "request", silent)
    with pytest.raises(ChainUnavailable):
        desk.tick()
    assert len(asked) == 1


def test_where_it_opens_no_rounds_it_settles_void_ones(network, tmp_path, remotes, desk):
    network.join()
    desk.tick()
    network.travel(network.ends().reveal)
    modest = Served(network, tmp_path / "modest", remotes, open_rounds=False)
    assert modest.tick().acted == "void"
    assert network.snapshot().round_state(network.task_id, 1).settled
    assert modest.tick().why == "round 2 is for somebody else to open"


def test_a_lie_about_the_revealed_set_stops_the_tick(network, desk, monkeypatch):
    to_aggregate(network, desk)
    honest = network.chain.rpc.request

    def without_last_log(method, *params):
        answer = honest(method, *params)
        return answer[:-1] if method == "eth_getLogs" else answer

    network.chain.events.forget((None, network.task_id))
    monkeypatch.setattr(network.chain.rpc, "request", without_last_log)
    with pytest.raises(ChainAnswerInvalid, match="the logs show 2 reveals"):
        desk.tick()


def test_a_judge_that_fails_stops_no_round(network, tmp_path, remotes):
    def failing(model_units, shift):
        raise DataError(f"no quotes for {model_units.size} parameters at shift {shift}")

    desk = Served(network, tmp_path / "orchestrator", remotes, evaluator=failing)
    network.join()
    run_round(network, desk)
    assert desk.tick().acted == "open"
    assert not desk.file.exists()


def test_journal_that_cannot_be_written_hides_nothing_that_was_sent(network, tmp_path, remotes):
    asked = []

    def counting(model_units, shift):
        asked.append(model_units.tobytes())
        return {"error": 1.0 / 2**shift}

    desk = Served(network, tmp_path / "orchestrator", remotes, evaluator=counting)
    network.join()
    run_round(network, desk)
    desk.file.mkdir()

    # The model of round 1 is judged behind what is sent.
    assert [desk.tick().acted for _ in range(2)] == ["open", "distribute"]
    with pytest.raises(StorageError, match=re.escape(f"{desk.file} cannot be written")):
        desk.tick()
    assert [shown.distributed for shown in first_board(desk).rounds] == [True, False]
    desk.file.rmdir()

    assert desk.tick().acted is None
    assert [json.loads(line)["round"] for line in desk.file.read_text().splitlines()] == [1]
    assert len(asked) == 1


def test_result_that_a_full_disk_refuses_is_kept_once_there_is_room(
    network, tmp_path, remotes, desk, monkeypatch
):
    def full(*_, **__):
        raise unwritable(other.own.path, "No space left on device")

    other = Served(network, tmp_path / "other", remotes, transactor=None)
    network.join()
    assert desk.tick().acted == "open"
    network.commit()
    network.reveal()
    network.travel(network.ends().availability)
    other.tick()
    assert desk.tick().acted == "publish"
    with monkeypatch.context() as patched:
        patched.setattr(other.own, "put", full)
        for _ in range(6):
            with pytest.raises(StorageError):
                other.tick()

    other.tick()

    state = network.snapshot().round_state(network.task_id, 1)
    assert other.own.has(state.model_root)


def test_model_that_cannot_be_judged_does_not_keep_later_ones_from_it(network, tmp_path, remotes):
    asked = []

    def failing_once(model_units, shift):
        asked.append(model_units.tobytes())
        if asked[-1] == asked[0]:
            raise DataError(f"no quotes for {model_units.size} parameters at shift {shift}")
        return {"error": 1.0}

    desk = Served(network, tmp_path / "orchestrator", remotes, evaluator=failing_once)
    network.join()
    for _ in range(2):
        run_round(network, desk)
    for _ in range(ATTEMPTS + 1):
        desk.tick()
    assert asked.count(asked[0]) == ATTEMPTS
    assert [json.loads(line)["round"] for line in desk.file.read_text().splitlines()] == [2]


def test_a_reorganisation_makes_settled_rounds_be_read_again(embedded, network, desk):
    network.join()
    before = embedded.snapshot()
    for _ in range(2):
        run_round(network, desk)
    desk.tick()
    assert [shown.phase for shown in first_board(desk).rounds[:2]] == ["final", "final"]
    embedded.revert(before)
    network.chain.events.forget((None, network.task_id))
    fresh = Served(network, desk.own.path.parent / "fresh", [desk.own])
    assert fresh.tick().acted == "open"
    network.commit()
    network.reveal(desks=range(2))
    network.travel(network.ends().reveal)
    assert fresh.tick().acted == "open"
    desk.tick()
    assert [shown.phase for shown in first_board(desk).rounds[:1]] == ["void"]


def first_board(desk):
    (board,) = desk.orchestrator.board.tasks
    return board


def test_all_tasks_of_the_contract_are_served_unless_some_are_named(network, tmp_path, remotes):
    params = replace(network.params, salt=b"\3" * 32)
    network.senders[0].send(
        "createTask",
        (params.abi_tuple(),),
        value_wei=params.budget_wei,
        purpose="create another",
    )
    every = Served(network, tmp_path / "every", remotes)
    every.tick()
    assert len(every.orchestrator.board.tasks) == 2
    one = Served(network, tmp_path / "one", remotes, task_ids=[network.task_id])
    one.tick()
    assert [board.summary.id for board in one.orchestrator.board.tasks] == [network.task_id]
