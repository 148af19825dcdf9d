"""What a participant does next: the same facts, the same action, and never one out of its phase."""

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from node.decide import (
    Challenge,
    Commit,
    Dispute,
    Drive,
    Facts,
    FlagResult,
    FlagUpdate,
    Join,
    PostResult,
    PostUpdate,
    Publish,
    ReclaimDeposit,
    RefuteUnavailable,
    Reveal,
    Seal,
    Verify,
    Wait,
    decide,
    patient_until,
)
from protocol import rounds
from protocol.task import (
    ZERO_ADDRESS,
    Phase,
    Published,
    RoundState,
    Seat,
    TaskParams,
    TaskState,
)

pytestmark = pytest.mark.unit

T0 = 1_000_000
LATEST = 3
MODEL, OTHER_MODEL = b"\2" * 32, b"\3" * 32
OWN, OTHER = "0x" + "Ab" * 20, "0x" + "cD" * 20
PARAMS = replace(
    TaskParams.default(
        model_spec_hash=b"\1" * 32,
        genesis_model_root=b"\1" * 32,
        dimension=10,
        closes_at=T0 + 10_000,
    ),
    quorum=3,
    cohort=5,
    rounds=10,
    selection_seconds=5,
    commit_seconds=20,
    reveal_seconds=10,
    availability_seconds=8,
    aggregator_seconds=10,
    aggregate_seconds=20,
    challenge_seconds=18,
)
TASK = TaskState(sponsor="0x" + "aa" * 20, round=LATEST, seats=4, model_root=MODEL)
OPEN = RoundState(opened_at=T0)
REVEALED = replace(OPEN, revealed=3)
PUBLISHED = replace(REVEALED, published_at=T0 + 44, model_root=MODEL)
SEAT = Seat(stake_wei=1, active_from=1)
COMMITTED = replace(SEAT, committed_round=LATEST, commitment=b"\7" * 28)
# The windows end at +5, +25, +35, +43, +63; what is published at +44 is final from +62.
IN_SELECTION, IN_COMMIT, IN_REVEAL, IN_AVAILABILITY = T0, T0 + 5, T0 + 25, T0 + 35
IN_AGGREGATE, IN_CHALLENGE, AFTER = T0 + 43, T0 + 45, T0 + 62
# In availability flags go from +37 to +39; in the challenge phase flags end at +50, posts at +56.
FLAGGING, POSTING, HEAD_START_OVER = T0 + 37, T0 + 39, T0 + 53
FLAGS_OVER, POSTS_OVER = T0 + 50, T0 + 56


def facts(**changes) -> Facts:
    default = Facts(
        params=PARAMS,
        task=TASK,
        round_state=OPEN,
        seat=SEAT,
        now=IN_COMMIT,
        committed=False,
        verified_round=LATEST - 1,
        verified_model_root=b"\1" * 32,
        mismatch="",
        dispute=None,
        unfetched=None,
        owes_update=False,
        owes_result=None,
        reclaimable=None,
        own_address=OWN,
        wants_seat=True,
        watches=False,
        drives=False,
        challenges=True,
        flags=True,
        publishes=False,
    )
    return replace(default, **changes)


PROVABLE = Dispute(
    wrong=Published.AGGREGATE, provable=True, sealed=False, flagged=False, answered=False
)
SEALED = replace(PROVABLE, sealed=True)
HIDDEN = replace(PROVABLE, provable=False)
FLAGGED = replace(HIDDEN, flagged=True)
WRONG = facts(
    now=IN_CHALLENGE, round_state=PUBLISHED, mismatch="round 3: model root", dispute=PROVABLE
)
REFUSING = "refusing to go on: round 3: model root"
AVAILABLE = facts(now=FLAGGING, round_state=REVEALED)


@st.composite
def any_dispute(draw) -> Dispute:
    provable, flagged = draw(st.booleans()), draw(st.booleans())
    return Dispute(
        wrong=draw(st.sampled_from(Published)),
        provable=provable,
        sealed=provable and draw(st.booleans()),
        flagged=flagged,
        answered=flagged and draw(st.booleans()),
    )


@st.composite
def any_facts(draw) -> Facts:
    """Facts that the contract and a node could come to, and some that they could not."""
    number = draw(st.sampled_from([0, 1, LATEST, PARAMS.rounds]))
    revealed = draw(st.sampled_from([0, 2, 3, 5]))
    state = RoundState()
    if number:
        state = RoundState(opened_at=T0, revealed=revealed, settled=draw(st.booleans()))
        if revealed >= PARAMS.quorum and draw(st.booleans()):
            at = draw(st.integers(IN_AGGREGATE, T0 + 62))
            state = replace(state, published_at=at, model_root=MODEL)
    near = st.sampled_from([0, max(number - 1, 0), number, number + 1])
    return Facts(
        params=replace(PARAMS, aggregator=draw(st.sampled_from([ZERO_ADDRESS, OWN, OTHER]))),
        task=replace(
            TASK,
            round=number,
            seats=draw(st.integers(0, PARAMS.cohort)),
            closed=draw(st.booleans()),
        ),
        round_state=state,
        seat=replace(
            SEAT,
            active_from=draw(near),
            committed_round=draw(near),
            revealed_round=draw(near),
        ),
        now=draw(st.integers(T0, T0 + 90) | st.just(PARAMS.closes_at)),
        committed=draw(st.booleans()),
        verified_round=draw(near),
        verified_model_root=draw(st.sampled_from([b"", MODEL, OTHER_MODEL])),
        mismatch=draw(st.sampled_from(["", "", "", "round 1: model root"])),
        dispute=draw(st.none() | any_dispute()),
        unfetched=draw(st.sampled_from([None, 0, 2])),
        owes_update=draw(st.booleans()),
        owes_result=draw(st.sampled_from([None, *Published])),
        reclaimable=draw(st.sampled_from([None, None, OTHER])),
        own_address=OWN,
        wants_seat=draw(st.booleans()),
        watches=draw(st.booleans()),
        drives=draw(st.booleans()),
        challenges=draw(st.booleans()),
        flags=draw(st.booleans()),
        publishes=draw(st.booleans()),
    )


def phase_of(known: Facts) -> Phase:
    return rounds.phase(known.params, known.round_state, known.now)


@given(any_facts())
def test_same_facts_give_the_same_action(known):
    assert decide(known) == decide(replace(known))


@given(any_facts())
def test_commits_only_in_the_commit_phase_from_an_active_seat_and_once(known):
    if isinstance(decide(known), Commit):
        assert phase_of(known) is Phase.COMMIT
        assert 0 < known.seat.active_from <= known.task.round
        assert not known.committed


@given(any_facts())
def test_reveals_only_what_it_committed_to_in_this_round_and_once(known):
    if isinstance(decide(known), Reveal):
        assert phase_of(known) is Phase.REVEAL
        assert known.committed
        assert known.seat.committed_round == known.task.round
        assert known.seat.revealed_round != known.task.round


@given(any_facts())
def test_verifies_only_what_is_published_and_not_verified(known):
    if isinstance(decide(known), Verify):
        assert phase_of(known) in {Phase.CHALLENGE, Phase.FINAL}
        assert (known.verified_round, known.verified_model_root) != (
            known.task.round,
            known.round_state.model_root,
        )


@given(any_facts())
def test_joins_only_where_a_seat_is_wanted_and_free_and_the_task_goes_on(known):
    if isinstance(decide(known), Join):
        assert known.wants_seat
        assert known.seat.active_from == 0
        assert known.task.seats < known.params.cohort
        assert not known.task.closed
        assert known.now < known.params.closes_at


@given(any_facts())
def test_drives_only_if_told_and_only_what_the_contract_would_accept(known):
    action = decide(known)
    if not isinstance(action, Drive):
        return
    assert known.drives
    phase = phase_of(known)
    if action.function == "openRound":
        assert rounds.can_open(known.params, known.task, known.round_state, known.now)
    else:
        assert not known.round_state.settled
        assert (action.function, phase) in {("finalise", Phase.FINAL), ("voidRound", Phase.VOID)}


@given(any_facts())
def test_mismatch_is_contested_or_stops_everything_and_is_named(known):
    action = decide(known)
    contesting = Seal | Challenge | FlagResult | RefuteUnavailable
    answering = PostUpdate | PostResult | ReclaimDeposit
    if known.mismatch and not isinstance(action, contesting | answering):
        assert isinstance(action, Wait)
        assert known.mismatch in action.why


@given(any_facts())
def test_contests_only_if_told_and_only_while_the_contract_listens(known):
    action = decide(known)
    if not isinstance(action, Seal | Challenge | FlagResult | RefuteUnavailable):
        return
    ends = rounds.deadlines(known.params, known.round_state)
    assert known.challenges
    assert known.mismatch
    assert known.dispute is not None
    assert phase_of(known) is Phase.CHALLENGE
    match action:
        case Seal():
            assert known.dispute.provable
            assert not known.dispute.sealed
        case Challenge():
            assert known.dispute.provable
        case FlagResult(what):
            assert known.flags
            assert what is known.dispute.wrong
            assert not known.dispute.flagged
            assert known.now < ends.flag_result
        case RefuteUnavailable(what):
            assert what is known.dispute.wrong
            assert known.dispute.flagged
            assert not known.dispute.answered
            assert known.now >= ends.post_result


@given(any_facts())
def test_flags_updates_only_if_told_and_between_patience_and_the_deadline(known):
    action = decide(known)
    if isinstance(action, FlagUpdate):
        assert known.flags
        assert action.index == known.unfetched
        assert rounds.can_flag_update(known.params, known.round_state, known.now)
        assert known.now >= patient_until(known.params, known.round_state)
        assert known.watches or known.seat.active_from


@given(any_facts())
def test_what_is_owed_on_chain_comes_before_everything_else(known):
    action, phase = decide(known), phase_of(known)
    if known.owes_update and phase is Phase.AVAILABILITY:
        assert action == PostUpdate()
    elif isinstance(action, PostUpdate):
        pytest.fail("nobody asked for an update")
    ends = rounds.deadlines(known.params, known.round_state)
    may_post = phase is Phase.CHALLENGE and known.now < ends.post_result
    if known.owes_result is not None and may_post:
        assert action == PostResult(known.owes_result)
    elif isinstance(action, PostResult):
        pytest.fail("nobody asked for a result, or not in time")


@given(any_facts())
def test_deposit_is_taken_back_when_there_is_nothing_else_to_do(known):
    action = decide(known)
    if isinstance(action, ReclaimDeposit):
        assert isinstance(decide(replace(known, reclaimable=None)), Wait)
    assert not (isinstance(action, Wait) and known.reclaimable)


@given(any_facts())
def test_publishes_only_if_told_and_only_what_the_contract_would_take(known):
    if isinstance(decide(known), Publish):
        assert known.publishes
        assert phase_of(known) is Phase.AGGREGATE
        head_start = rounds.deadlines(known.params, known.round_state).aggregator
        assert known.params.aggregator != OTHER or known.now >= head_start


@given(any_facts())
def test_watcher_takes_no_seat_and_binds_itself_to_nothing(known):
    if known.watches:
        assert not isinstance(decide(known), Join | Commit | Reveal)


@given(any_facts())
def test_waiting_says_why_and_until_a_time_to_come(known):
    action = decide(known)
    if isinstance(action, Wait):
        assert action.why
        assert action.until is None or action.until > known.now


@pytest.mark.parametrize(
    ("known", "expected"),
    [
        (facts(now=IN_SELECTION), Wait(IN_COMMIT, "round 3 is in SELECTION")),
        (facts(), Commit()),
        (facts(committed=True, seat=COMMITTED), Wait(IN_REVEAL, "committed in round 3; reveals o")),
        (facts(seat=replace(SEAT, active_from=4)), Wait(IN_REVEAL, "this seat may act from round")),
        # A commitment to something this node no longer has is replaced while there is time.
        (facts(seat=COMMITTED), Commit()),
        (facts(now=IN_REVEAL, committed=True, seat=COMMITTED), Reveal()),
        (facts(now=IN_REVEAL, seat=COMMITTED), Wait(IN_AVAILABILITY, "the commitment of round 3")),
        (facts(now=IN_REVEAL), Wait(IN_AVAILABILITY, "did not commit in round 3")),
        (
            facts(now=IN_REVEAL, committed=True, seat=replace(COMMITTED, revealed_round=LATEST)),
            Wait(IN_AVAILABILITY, "revealed in round 3"),
        ),
        (
            facts(now=IN_AVAILABILITY, round_state=REVEALED),
            Wait(FLAGGING, "round 3: updates are being fetched"),
        ),
        (AVAILABLE, Wait(POSTING, "round 3: what is not flagged was fetched")),
        (replace(AVAILABLE, unfetched=1), FlagUpdate(1)),
        (replace(AVAILABLE, unfetched=0, seat=Seat(), watches=True), FlagUpdate(0)),
        (
            replace(AVAILABLE, unfetched=1, flags=False),
            Wait(POSTING, "round 3: flagged updates may be posted"),
        ),
        (
            replace(AVAILABLE, unfetched=1, now=POSTING),
            Wait(IN_AGGREGATE, "round 3: flagged updates may be posted"),
        ),
        (replace(AVAILABLE, owes_update=True, unfetched=1), PostUpdate()),
        (replace(AVAILABLE, owes_update=True, now=POSTING), PostUpdate()),
        (replace(AVAILABLE, reclaimable=OTHER), ReclaimDeposit(OTHER)),
        (
            facts(now=IN_AGGREGATE, round_state=REVEALED),
            Wait(HEAD_START_OVER, "round 3 is in AGGREGATE"),
        ),
        (facts(now=IN_CHALLENGE, round_state=PUBLISHED), Verify()),
        (facts(now=AFTER, round_state=PUBLISHED), Verify()),
        (
            facts(
                now=IN_CHALLENGE,
                round_state=PUBLISHED,
                verified_round=LATEST,
                verified_model_root=MODEL,
            ),
            Wait(FLAGS_OVER, "round 3 is in CHALLENGE"),
        ),
        (
            facts(now=IN_CHALLENGE, round_state=PUBLISHED, owes_result=Published.MODEL),
            PostResult(Published.MODEL),
        ),
        (
            facts(now=POSTS_OVER, round_state=PUBLISHED, owes_result=Published.MODEL),
            Verify(),
        ),
        # What was verified is not what stands there now: look again.
        (
            facts(
                now=AFTER,
                round_state=PUBLISHED,
                verified_round=LATEST,
                verified_model_root=OTHER_MODEL,
            ),
            Verify(),
        ),
        (WRONG, Seal()),
        (replace(WRONG, dispute=SEALED), Challenge()),
        # Three of eighteen seconds are left for a seal, two are too few.
        (replace(WRONG, now=AFTER - 3), Seal()),
        (replace(WRONG, now=AFTER - 2), Challenge()),
        (replace(WRONG, challenges=False), Wait(None, REFUSING)),
        (replace(WRONG, dispute=None), Wait(None, REFUSING)),
        (replace(WRONG, now=AFTER), Wait(None, REFUSING)),
        (replace(WRONG, seat=Seat(), watches=True), Seal()),
        (replace(WRONG, dispute=HIDDEN), FlagResult(Published.AGGREGATE)),
        (replace(WRONG, dispute=HIDDEN, flags=False), Wait(FLAGS_OVER, REFUSING)),
        (replace(WRONG, dispute=HIDDEN, now=FLAGS_OVER), Wait(POSTS_OVER, REFUSING)),
        (replace(WRONG, dispute=FLAGGED), Wait(POSTS_OVER, "its publisher must post it")),
        (
            replace(WRONG, dispute=FLAGGED, now=POSTS_OVER),
            RefuteUnavailable(Published.AGGREGATE),
        ),
        (replace(WRONG, dispute=replace(FLAGGED, answered=True)), Wait(FLAGS_OVER, REFUSING)),
        (replace(WRONG, dispute=replace(FLAGGED, provable=True)), Seal()),
        (facts(now=IN_AGGREGATE, round_state=REVEALED, publishes=True), Publish()),
        (
            facts(
                now=IN_AGGREGATE,
                round_state=REVEALED,
                publishes=True,
                params=replace(PARAMS, aggregator=OTHER),
            ),
            Wait(HEAD_START_OVER, f"{OTHER} may publish round 3 first"),
        ),
        (facts(now=IN_COMMIT, seat=Seat(), watches=True), Wait(IN_REVEAL, "round 3 is in COMMIT")),
        (facts(now=AFTER, round_state=PUBLISHED, seat=Seat(), watches=True), Verify()),
        (facts(now=AFTER), Wait(None, "no round is running")),
        (facts(now=AFTER, drives=True), Drive("openRound")),
        (facts(now=AFTER, drives=True, task=replace(TASK, seats=2)), Drive("voidRound")),
        (facts(seat=Seat()), Join()),
        (facts(seat=Seat(), wants_seat=False), Wait(IN_REVEAL, "this node has no seat and was no")),
        (facts(seat=Seat(), task=replace(TASK, seats=5)), Wait(IN_REVEAL, "all 5 seats are taken")),
        (facts(seat=Seat(), task=replace(TASK, closed=True)), Wait(None, "the task takes no more")),
        (facts(seat=Seat(), task=replace(TASK, round=10)), Wait(None, "the task takes no more")),
    ],
)
def test_action_in_each_situation(known, expected):
    action = decide(known)

    assert type(action) is type(expected)
    if isinstance(expected, Wait):
        assert action.until == expected.until
        assert action.why.startswith(expected.why)
    else:
        assert action == expected


def test_driver_settles_the_last_round():
    last = replace(TASK, round=PARAMS.rounds)
    seen = {"verified_round": PARAMS.rounds, "verified_model_root": MODEL}
    known = facts(now=AFTER, task=last, round_state=PUBLISHED, drives=True, **seen)

    assert decide(known) == Drive("finalise")
    settled = replace(known, round_state=replace(PUBLISHED, settled=True))
    assert decide(settled) == Wait(None, "no round is running")


def test_driver_waits_for_seats_before_the_first_round():
    early = replace(TASK, round=0, seats=2)
    known = facts(task=early, round_state=RoundState(), drives=True)

    assert decide(known) == Wait(None, "no round is running")
    assert decide(replace(known, task=replace(early, seats=3))) == Drive("openRound")
