"""What a participant does next: the same facts, the same action, and never one out of its phase."""

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from node.decide import Challenge, Commit, Drive, Facts, Join, Publish, Reveal, Verify, Wait, decide
from protocol import rounds
from protocol.task import ZERO_ADDRESS, Phase, RoundState, Seat, TaskParams, TaskState

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
    availability_seconds=5,
    aggregator_seconds=10,
    aggregate_seconds=20,
    challenge_seconds=5,
)
TASK = TaskState(sponsor="0x" + "aa" * 20, round=LATEST, seats=4, model_root=MODEL)
OPEN = RoundState(opened_at=T0)
REVEALED = replace(OPEN, revealed=3)
PUBLISHED = replace(REVEALED, published_at=T0 + 41, model_root=MODEL)
SEAT = Seat(stake_wei=1, active_from=1)
COMMITTED = replace(SEAT, committed_round=LATEST, commitment=b"\7" * 28)
# The windows end at +5, +25, +35, +40, +60; what is published at +41 is final from +46.
IN_SELECTION, IN_COMMIT, IN_REVEAL, IN_AVAILABILITY = T0, T0 + 5, T0 + 25, T0 + 35
IN_AGGREGATE, IN_CHALLENGE, AFTER = T0 + 40, T0 + 45, T0 + 46


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
        provable=False,
        own_address=OWN,
        wants_seat=True,
        watches=False,
        drives=False,
        challenges=True,
        publishes=False,
    )
    return replace(default, **changes)


WRONG = facts(
    now=IN_CHALLENGE, round_state=PUBLISHED, mismatch="round 3: model root", provable=True
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
            at = draw(st.integers(IN_AGGREGATE, T0 + 59))
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
        now=draw(st.integers(T0, T0 + 80) | st.just(PARAMS.closes_at)),
        committed=draw(st.booleans()),
        verified_round=draw(near),
        verified_model_root=draw(st.sampled_from([b"", MODEL, OTHER_MODEL])),
        mismatch=draw(st.sampled_from(["", "", "", "round 1: model root"])),
        provable=draw(st.booleans()),
        own_address=OWN,
        wants_seat=draw(st.booleans()),
        watches=draw(st.booleans()),
        drives=draw(st.booleans()),
        challenges=draw(st.booleans()),
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
def test_mismatch_leads_to_a_challenge_or_stops_everything_and_is_named(known):
    action = decide(known)
    if known.mismatch and not isinstance(action, Challenge):
        assert isinstance(action, Wait)
        assert action.until is None
        assert known.mismatch in action.why


@given(any_facts())
def test_challenges_only_if_told_and_only_what_it_can_prove_in_time(known):
    if isinstance(decide(known), Challenge):
        assert known.challenges
        assert known.mismatch
        assert known.provable
        assert phase_of(known) is Phase.CHALLENGE


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
        (facts(now=IN_AGGREGATE, round_state=REVEALED), Wait(T0 + 60, "round 3 is in AGGREGATE")),
        (facts(now=IN_CHALLENGE, round_state=PUBLISHED), Verify()),
        (facts(now=AFTER, round_state=PUBLISHED), Verify()),
        (
            facts(
                now=IN_CHALLENGE,
                round_state=PUBLISHED,
                verified_round=LATEST,
                verified_model_root=MODEL,
            ),
            Wait(AFTER, "round 3 is in CHALLENGE"),
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
        (WRONG, Challenge()),
        (replace(WRONG, challenges=False), Wait(None, "refusing to go on: round 3: model root")),
        (replace(WRONG, provable=False), Wait(None, "refusing to go on: round 3: model root")),
        (replace(WRONG, now=AFTER), Wait(None, "refusing to go on: round 3: model root")),
        (replace(WRONG, seat=Seat(), watches=True), Challenge()),
        (facts(now=IN_AGGREGATE, round_state=REVEALED, publishes=True), Publish()),
        (
            facts(
                now=IN_AGGREGATE,
                round_state=REVEALED,
                publishes=True,
                params=replace(PARAMS, aggregator=OTHER),
            ),
            Wait(T0 + 50, f"{OTHER} may publish round 3 first"),
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
