"""The decision is right in every phase, and following it always leads to an end."""

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from orchestrator.decide import Facts, Finalise, OpenRound, Publish, VoidRound, Wait, decide
from protocol import rounds
from protocol.task import ZERO_ADDRESS, Phase, RoundState, TaskParams, TaskState

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
    availability_seconds=5,
    aggregator_seconds=10,
    aggregate_seconds=20,
    challenge_seconds=5,
)
REVEALED = RoundState(opened_at=T0, revealed=3)
AVAILABLE_AT = T0 + 35
PUBLISHED = replace(REVEALED, published_at=AVAILABLE_AT, publisher=OWN, model_root=b"\2" * 32)


def facts(**changes):
    default = Facts(
        params=PARAMS,
        task_state=TaskState(sponsor=OTHER, round=1, seats=5),
        round_state=REVEALED,
        now=T0,
        own_address=OWN,
        open_rounds=True,
    )
    return replace(default, **changes)


def test_the_first_round_is_opened_once_quorum_is_seated():
    none_yet = TaskState(sponsor=OTHER, seats=2)
    waiting = decide(facts(task_state=none_yet, round_state=RoundState()))
    assert waiting == Wait(None, "2 seats taken, quorum is 3")
    enough = replace(none_yet, seats=3)
    assert decide(facts(task_state=enough, round_state=RoundState())) == OpenRound(1)


@pytest.mark.parametrize(
    ("now", "until", "phase"),
    [
        (T0, T0 + 20, "commit"),
        (T0 + 19, T0 + 20, "commit"),
        (T0 + 20, T0 + 30, "reveal"),
        (T0 + 30, T0 + 35, "availability"),
    ],
)
def test_running_windows_are_waited_for(now, until, phase):
    assert decide(facts(now=now)) == Wait(until, f"round 1 is in {phase}")


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
    assert decide(facts(round_state=PUBLISHED, now=AVAILABLE_AT + 4)) == Wait(
        AVAILABLE_AT + 5, "round 1 is in challenge"
    )
    assert decide(facts(round_state=PUBLISHED, now=AVAILABLE_AT + 5)) == OpenRound(2)


def test_a_round_below_quorum_is_followed_by_the_next():
    few = replace(REVEALED, revealed=2)
    assert decide(facts(round_state=few, now=T0 + 30)) == OpenRound(2)


@pytest.mark.parametrize(
    "changes",
    [
        {"open_rounds": False},
        {"task_state": TaskState(sponsor=OTHER, round=4, seats=5)},
        {"task_state": TaskState(sponsor=OTHER, round=1, seats=2)},
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
    closed = TaskState(sponsor=OTHER, round=1, seats=5, closed=True)
    assert decide(facts(task_state=closed)) == Wait(None, "the task is closed")


def test_a_dry_run_says_what_it_would_do():
    dry = facts(own_address=None, now=AVAILABLE_AT)
    assert decide(dry) == Wait(AVAILABLE_AT + 20, "dry run: would publish round 1")


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
        state = RoundState(opened_at=T0, revealed=draw(st.integers(0, 5)))
        ends = rounds.deadlines(params, state)
        if state.revealed >= params.quorum and draw(st.booleans()):
            published_at = draw(st.integers(ends.availability, ends.aggregate - 1))
            state = replace(state, published_at=published_at, model_root=b"\2" * 32)
    now = draw(st.integers(max(T0, state.published_at), T0 + 400))
    ended = rounds.phase(params, state, now) in rounds.ENDED
    return Facts(
        params=params,
        task_state=TaskState(
            sponsor=OTHER, round=number, seats=draw(st.integers(0, 5)), closed=False
        ),
        round_state=replace(state, settled=ended and draw(st.booleans())),
        now=now,
        own_address=draw(st.sampled_from([OWN, None])),
        open_rounds=draw(st.booleans()),
        missing=draw(st.sampled_from([(), ("an update",)])),
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
                    round_state=RoundState(opened_at=current.now, revealed=revealed),
                )
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
