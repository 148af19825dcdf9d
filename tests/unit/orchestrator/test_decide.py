"""The decision is right in every phase, and following it always leads to an end."""

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from orchestrator.decide import (
    Distribute,
    DrawSeats,
    Facts,
    Finalise,
    FlagUpdate,
    OpenRound,
    PostResult,
    Publish,
    ReclaimDeposit,
    RecordSeed,
    RefuteOutvoted,
    SendBatch,
    SlashEquivocation,
    SlashWithheld,
    VoidRound,
    Wait,
    decide,
)
from orchestrator.relay_batches import Batch
from protocol import rounds
from protocol.commitment import counted
from protocol.recompute import Result, Roots
from protocol.state import Phase, Published, RoundState, TaskState
from protocol.task import ZERO_ADDRESS, TaskParams

pytestmark = pytest.mark.unit

OWN = "0x" + "aA" * 20
OTHER = "0x" + "bb" * 20
T0 = 1_000_000

PARAMS = TaskParams.default(
    model_spec_hash=bytes(32), genesis_model_root=b"\1" * 32, dimension=10, closes_at=T0 + 10**6
)
PARAMS = replace(
    PARAMS,
    quorum=3,
    cohort=5,
    rounds=4,
    selection_seconds=0,
    commit_seconds=20,
    reveal_seconds=10,
    availability_seconds=8,
    aggregator_seconds=10,
    aggregate_seconds=20,
    challenge_seconds=6,
)


def opened(revealed=0, at=T0):
    return RoundState(opened_at=at, updates_hash=counted(b"\5" * 32, revealed))


REVEALED = opened(3)
SEATED = TaskState(sponsor=OTHER, round=1, seats=5, active=5)
FLAGGING, POSTING, AVAILABLE_AT = T0 + 32, T0 + 34, T0 + 38
PUBLISHED = replace(REVEALED, published_at=AVAILABLE_AT, publisher=OWN, model_root=b"\2" * 32)


def facts(**changes):
    default = Facts(
        params=PARAMS,
        task_state=SEATED,
        round_state=REVEALED,
        now=T0,
        own_address=OWN,
        open_rounds=True,
    )
    return replace(default, **changes)


def test_the_first_round_is_opened_once_quorum_is_seated():
    none_yet = TaskState(sponsor=OTHER, seats=2, entering=2)
    waiting = decide(facts(task_state=none_yet, round_state=RoundState()))
    assert waiting == Wait(None, "2 seats would be active, quorum is 3")
    enough = replace(none_yet, seats=3, entering=3)
    assert decide(facts(task_state=enough, round_state=RoundState())) == OpenRound(1)


@pytest.mark.parametrize(
    ("now", "until", "phase"),
    [
        (T0, T0 + 20, "commit"),
        (T0 + 19, T0 + 20, "commit"),
        (T0 + 20, T0 + 30, "reveal"),
        (T0 + 30, FLAGGING, "availability"),
        (FLAGGING, POSTING, "availability"),
        (POSTING, AVAILABLE_AT, "availability"),
    ],
)
def test_running_windows_are_waited_for(now, until, phase):
    assert decide(facts(now=now)) == Wait(until, f"round 1 is in {phase}")


def test_a_missing_update_is_flagged_after_some_patience_and_before_the_deadline():
    missing = facts(unfetched=1, missing=("the update of 0xcc",))
    lacking = "round 1 is in availability, lacking the update of 0xcc"
    assert decide(replace(missing, now=T0 + 30)) == Wait(FLAGGING, lacking)
    assert decide(replace(missing, now=FLAGGING)) == FlagUpdate(1, 1)
    assert decide(replace(missing, now=FLAGGING, flags=False)) == Wait(POSTING, lacking)
    assert decide(replace(missing, now=POSTING)) == Wait(AVAILABLE_AT, lacking)


def test_a_flagged_result_of_its_own_is_posted():
    owed = facts(round_state=PUBLISHED, now=AVAILABLE_AT, owes_result=Published.MODEL)
    assert decide(owed) == PostResult(1, Published.MODEL)


def test_a_deposit_is_taken_back_when_there_is_nothing_else_to_do():
    idle = facts(now=T0, reclaimable=OTHER)
    assert decide(idle) == ReclaimDeposit(1, OTHER)
    assert decide(replace(idle, now=AVAILABLE_AT)) == Publish(1, AVAILABLE_AT + 20)
    closed = replace(SEATED, closed=True)
    assert decide(replace(idle, task_state=closed)) == ReclaimDeposit(1, OTHER)


def test_a_round_with_too_few_included_updates_is_void_and_the_next_one_opens():
    excluded = facts(round_state=replace(REVEALED, unavailable=0b10), now=AVAILABLE_AT)
    assert decide(excluded) == OpenRound(2)


def test_a_result_is_published_in_the_aggregate_window_and_only_there():
    assert decide(facts(now=AVAILABLE_AT)) == Publish(1, AVAILABLE_AT + 20)
    assert decide(facts(now=AVAILABLE_AT + 19)) == Publish(1, AVAILABLE_AT + 20)
    assert decide(facts(now=AVAILABLE_AT + 20)) == OpenRound(2)


def test_the_named_aggregator_has_its_head_start_and_no_more():
    named = replace(PARAMS, aggregator=OTHER)
    ahead = facts(params=named, now=AVAILABLE_AT + 9)
    assert decide(ahead) == Wait(AVAILABLE_AT + 10, f"{OTHER} may publish round 1 first")
    assert decide(replace(ahead, now=AVAILABLE_AT + 10)) == Publish(1, AVAILABLE_AT + 20)
    itself = replace(ahead, params=replace(PARAMS, aggregator=OWN.lower()))
    assert isinstance(decide(itself), Publish)


def test_without_an_update_nothing_is_published_and_the_next_round_opens():
    lacking = facts(now=AVAILABLE_AT, missing=("the update of 0xcc",))
    assert decide(lacking) == Wait(AVAILABLE_AT + 20, "round 1 lacks the update of 0xcc")
    assert decide(replace(lacking, now=AVAILABLE_AT + 20)) == OpenRound(2)


def test_a_published_round_is_waited_for_and_then_followed_by_the_next():
    for now, until in ((0, 2), (2, 4), (4, 6)):
        assert decide(facts(round_state=PUBLISHED, now=AVAILABLE_AT + now)) == Wait(
            AVAILABLE_AT + until, "round 1 is in challenge"
        )
    assert decide(facts(round_state=PUBLISHED, now=AVAILABLE_AT + 6)) == OpenRound(2)


def test_a_round_below_quorum_is_followed_by_the_next():
    assert decide(facts(round_state=opened(2), now=T0 + 30)) == OpenRound(2)


@pytest.mark.parametrize(
    "changes",
    [
        {"open_rounds": False},
        {"task_state": replace(SEATED, round=4)},
        {"task_state": replace(SEATED, active=2)},
        {"task_state": replace(SEATED, ended=True)},
        {"params": replace(PARAMS, closes_at=T0 + 1)},
    ],
)
def test_where_no_round_opens_the_last_one_is_settled(changes):
    late = AVAILABLE_AT + 100
    final = facts(round_state=PUBLISHED, now=late, **changes)
    number = final.task_state.round
    assert decide(final) == Finalise(number)
    assert decide(replace(final, round_state=REVEALED)) == VoidRound(number)
    settled = replace(final, round_state=replace(PUBLISHED, settled=True))
    assert isinstance(decide(settled), Wait)


def test_a_closed_task_needs_nothing():
    closed = replace(SEATED, closed=True)
    assert decide(facts(task_state=closed)) == Wait(None, "the task is closed")


def test_a_dry_run_says_what_it_would_do():
    dry = facts(own_address=None, now=AVAILABLE_AT)
    assert decide(dry) == Wait(AVAILABLE_AT + 10, "dry run: would publish round 1")
    flagging = replace(dry, now=FLAGGING, unfetched=0)
    assert decide(flagging) == Wait(POSTING, "dry run: would flag an update of round 1")


DRAWING = replace(SEATED, seats=9, active=9, draws=True, opened_block=7)


@pytest.mark.parametrize("now", [T0, T0 + 19])
def test_seats_are_drawn_before_anything_else_once_the_seed_is_known(now):
    undrawn = facts(task_state=DRAWING, now=now, round_state=opened(), batch=COMMITS)
    waiting = "round 1 waits for the seed that draws its seats"
    assert decide(undrawn) == Wait(T0 + 20, waiting)
    assert decide(replace(undrawn, recordable=9)) == RecordSeed(1, 9)
    assert decide(replace(undrawn, recordable=9, seed_known=True)) == DrawSeats(1)
    drawn = replace(DRAWING, draw=b"\1" * 32)
    assert decide(replace(undrawn, task_state=drawn)) == SendBatch(1, COMMITS)


def test_seats_that_nobody_drew_in_time_are_not_drawn_any_more():
    late = facts(task_state=DRAWING, now=T0 + 20, round_state=opened(), seed_known=True)
    assert decide(late) == Wait(T0 + 30, "round 1 is in reveal")


COMMITS = Batch("commitUpdates", ())


@pytest.mark.parametrize(("now", "end"), [(T0, 20), (T0 + 20, 30)])
def test_what_was_handed_in_is_sent_and_then_an_equivocation_slashed(now, end):
    relaying = facts(now=now, round_state=opened(), relay_until=T0 + end - 5)
    assert decide(relaying).until == T0 + end - 5
    assert decide(replace(relaying, equivocator=OTHER)) == SlashEquivocation(1, OTHER)
    assert decide(replace(relaying, equivocator=OTHER, batch=COMMITS)) == SendBatch(1, COMMITS)


FOUND = Result(b"\1" * 32, b"\3" * 32, REVEALED.updates_hash, 0)
VOTES = Batch("relayVotes", (), FOUND, PARAMS.votes_needed - 1)
ENOUGH = VOTES._replace(votes=PARAMS.votes_needed)


def test_votes_are_sent_while_a_result_may_be_contested():
    contested = facts(now=AVAILABLE_AT, round_state=PUBLISHED, relay_until=AVAILABLE_AT + 1)
    assert decide(contested) == Wait(AVAILABLE_AT + 1, "round 1 is in challenge")
    assert decide(replace(contested, batch=VOTES)) == SendBatch(1, VOTES)
    outvoted = replace(contested, outvoted_by=Roots(b"\1" * 32, b"\2" * 32))
    assert decide(outvoted) == RefuteOutvoted(1, Roots(b"\1" * 32, b"\2" * 32))
    held_up = decide(replace(outvoted, batch=VOTES))
    assert held_up == RefuteOutvoted(1, outvoted.outvoted_by), "the votes of liars may be many"
    published = replace(PUBLISHED, aggregate_root=FOUND.aggregate_root, model_root=FOUND.model_root)
    too_few = replace(outvoted, batch=VOTES, round_state=published)
    assert decide(too_few) == held_up, "nothing is final by so few"
    assert decide(replace(too_few, batch=ENOUGH)) == SendBatch(1, ENOUGH)
    assert decide(replace(outvoted, batch=ENOUGH)) == held_up, "they are for something else"


def test_votes_that_are_enough_do_not_wait_for_bytes_to_be_posted_and_those_of_few_liars_do():
    contested = facts(now=AVAILABLE_AT, round_state=PUBLISHED, owes_result=Published.MODEL)
    assert decide(replace(contested, batch=ENOUGH)) == SendBatch(1, ENOUGH)
    assert decide(replace(contested, batch=VOTES)) == PostResult(1, Published.MODEL)
    done = replace(contested, batch=VOTES, owes_result=None)
    assert decide(done) == SendBatch(1, VOTES)


def test_nothing_is_published_in_the_second_of_a_refutation():
    refuted = replace(REVEALED, restarted_at=AVAILABLE_AT + 2, refutations=1)
    again = facts(now=AVAILABLE_AT + 2, round_state=refuted)
    assert decide(again) == Wait(AVAILABLE_AT + 3, "round 1 was refuted just now")
    assert decide(replace(again, now=AVAILABLE_AT + 3)) == Publish(1, AVAILABLE_AT + 22)


def test_a_withheld_commitment_is_slashed_before_its_seat_can_serve_again():
    idle = facts(now=T0, withholder=OTHER, undistributed=1, reclaimable=OTHER)
    assert decide(idle) == SlashWithheld(1, OTHER)
    assert decide(replace(idle, batch=COMMITS, round_state=opened())) == SendBatch(1, COMMITS)
    assert decide(replace(idle, now=AVAILABLE_AT)) == Publish(1, AVAILABLE_AT + 20)


def test_a_reward_is_divided_as_soon_as_nothing_is_more_urgent():
    earlier = facts(now=T0, task_state=replace(SEATED, round=2), undistributed=1, reclaimable=OTHER)
    assert decide(earlier) == Distribute(1)
    over = facts(round_state=PUBLISHED, now=AVAILABLE_AT + 6, undistributed=1)
    assert decide(over) == OpenRound(2)
    # Dividing it settles the round, so that one transaction does both.
    last = replace(over, task_state=replace(SEATED, round=4), undistributed=4)
    assert decide(last) == Distribute(4)
    assert decide(replace(last, undistributed=3)) == Finalise(4)
    closed = replace(SEATED, closed=True)
    assert decide(replace(over, task_state=closed)) == Distribute(1)


seconds = st.integers(1, 50)


@st.composite
def any_facts(draw):
    params = replace(
        PARAMS,
        quorum=draw(st.integers(1, 5)),
        rounds=draw(st.integers(1, 4)),
        closes_at=T0 + draw(st.integers(0, 300)),
        aggregator=draw(st.sampled_from([ZERO_ADDRESS, OWN, OTHER])),
        selection_seconds=draw(st.integers(0, 50)),
        commit_seconds=draw(seconds),
        reveal_seconds=draw(seconds),
        availability_seconds=draw(st.integers(0, 50)),
        aggregate_seconds=draw(seconds),
        challenge_seconds=draw(st.integers(0, 50)),
    )
    params = replace(params, aggregator_seconds=draw(st.integers(0, params.aggregate_seconds)))
    number = draw(st.integers(0, params.rounds))
    state = RoundState()
    if number:
        state = opened(draw(st.integers(0, 5)))
        ends = rounds.deadlines(params, state)
        if state.revealed >= params.quorum and draw(st.booleans()):
            published_at = draw(st.integers(ends.availability, ends.aggregate - 1))
            state = replace(state, published_at=published_at, model_root=b"\2" * 32)
    now = draw(st.integers(max(T0, state.published_at), T0 + 400))
    ended = rounds.phase(params, state, now) in rounds.ENDED
    active = draw(st.integers(0, 9))
    draws = bool(number) and active > 5
    return Facts(
        params=params,
        task_state=TaskState(
            sponsor=OTHER,
            round=number,
            seats=active,
            active=active,
            draws=draws,
            draw=bytes(31) + draw(st.binary(min_size=1, max_size=1)) if draws else bytes(32),
        ),
        round_state=replace(state, settled=ended and draw(st.booleans())),
        now=now,
        own_address=draw(st.sampled_from([OWN, None])),
        open_rounds=draw(st.booleans()),
        flags=draw(st.booleans()),
        missing=draw(st.sampled_from([(), ("an update",)])),
        unfetched=draw(st.sampled_from([None, 0])) if state.revealed else None,
        seed_known=draw(st.booleans()),
        recordable=draw(st.sampled_from([None, 3])),
    )


@given(any_facts())
def test_the_contract_would_accept_every_action(given_facts):
    action = decide(given_facts)
    phase = rounds.phase(given_facts.params, given_facts.round_state, given_facts.now)
    number = given_facts.task_state.round
    match action:
        case Wait(until, why):
            assert why
            assert until is None or until > given_facts.now
            if phase not in rounds.WITHOUT_RUNNING_ROUND:
                assert until is not None
        case FlagUpdate(flagged, index):
            assert (flagged, index) == (number, given_facts.unfetched)
            assert given_facts.flags
            patient = rounds.patient_until(given_facts.params, given_facts.round_state)
            assert given_facts.now >= patient
            assert rounds.can_flag_update(
                given_facts.params, given_facts.round_state, given_facts.now
            )
        case DrawSeats(undrawn) | RecordSeed(undrawn, _):
            assert undrawn == number
            assert rounds.can_draw(
                given_facts.params,
                given_facts.task_state,
                given_facts.round_state,
                given_facts.now,
            )
        case Publish(published, until):
            assert (published, phase) == (number, Phase.AGGREGATE)
            assert given_facts.now < until
            assert not given_facts.missing
            assert given_facts.own_address is not None
        case OpenRound(opened):
            assert opened == number + 1
            assert given_facts.open_rounds
            assert rounds.can_open(
                given_facts.params,
                given_facts.task_state,
                given_facts.round_state,
                given_facts.now,
            )
        case Finalise(settled):
            assert (settled, phase) == (number, Phase.FINAL)
            assert not given_facts.round_state.settled
        case VoidRound(settled):
            assert (settled, phase) == (number, Phase.VOID)
            assert not given_facts.round_state.settled


@given(any_facts(), st.integers(0, 5))
def test_following_the_decisions_always_ends_with_everything_settled(given_facts, revealed):
    current = replace(given_facts, own_address=OWN)
    for _ in range(100):
        action = decide(current)
        match action:
            case Wait(None, _):
                break
            case Wait(until, _):
                current = replace(current, now=until)
            case OpenRound(number):
                current = replace(
                    current,
                    task_state=replace(current.task_state, round=number),
                    round_state=opened(revealed, at=current.now),
                )
            case RecordSeed():
                current = replace(current, recordable=None)
            case DrawSeats():
                drawn = replace(current.task_state, draw=b"\1" * 32)
                current = replace(current, task_state=drawn)
            case FlagUpdate():
                flagged = replace(current.round_state, unavailable=1)
                current = replace(current, round_state=flagged, unfetched=None)
            case Publish():
                published = replace(
                    current.round_state, published_at=current.now, model_root=b"\3" * 32
                )
                current = replace(current, round_state=published)
            case Finalise() | VoidRound():
                current = replace(current, round_state=replace(current.round_state, settled=True))
    else:
        pytest.fail("no end after 100 steps")
    assert current.task_state.round == 0 or current.round_state.settled
