"""What a participant does next: the same facts, the same action, and never one out of its phase."""

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from node.actions import (
    Challenge,
    ChallengeNorm,
    ClaimAward,
    Commit,
    CommitScores,
    Distribute,
    DrawSeats,
    Drive,
    FlagResult,
    FlagUpdate,
    Join,
    PostResult,
    PostUpdate,
    Publish,
    ReclaimDeposit,
    RecordHeader,
    RefuteOutvoted,
    RefuteUnavailable,
    RelayCommit,
    RelayReveal,
    RelayVote,
    Restore,
    Reveal,
    RevealScores,
    Seal,
    SealNorm,
    SlashWithheld,
    Verify,
    Vote,
    Wait,
)
from node.decide import decide
from node.facts import Dispute, Facts, Relaying
from node.turns import own_turn
from protocol import rounds
from protocol.state import SUSPENDED, Flag, Phase, Published, RoundState, Seat, TaskState
from protocol.task import ZERO_ADDRESS, RewardRule, Rule, TaskParams

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
    seats=6,
    drawn=4,
    seed_source="0x" + "5e" * 20,
    stake_wei=100,
    slice_wei=30,
    min_samples=50,
    rounds=10,
    selection_seconds=5,
    commit_seconds=20,
    reveal_seconds=10,
    availability_seconds=8,
    aggregator_seconds=10,
    aggregate_seconds=20,
    challenge_seconds=18,
)
BY_VOTES = replace(PARAMS, rule=Rule.MINIMUM_DIAMETER)  # one may lie, so two votes are needed
BY_SCORES = replace(PARAMS, reward_rule=RewardRule.SCORES, score_seconds=18)
TASK = TaskState(sponsor="0x" + "aa" * 20, round=LATEST, seats=4, active=4, model_root=MODEL)
UNDRAWN = replace(TASK, draws=True, opened_block=7)
DRAWN = replace(UNDRAWN, draw=b"\4" * 32)


def hash_of(updates: int) -> bytes:
    return b"\6" * 31 + bytes([updates])


OPEN = RoundState(opened_at=T0, updates_hash=hash_of(0))
REVEALED = replace(OPEN, updates_hash=hash_of(3))
PUBLISHED = replace(REVEALED, published_at=T0 + 44, model_root=MODEL)
SEAT = Seat(stake_wei=100, active_from=1, samples=60)
COMMITTED = replace(SEAT, committed_round=LATEST, commitment=b"\7" * 28)
OPENED = replace(SEAT, committed_round=LATEST)
SLICED = replace(SEAT, stake_wei=70, active_from=SUSPENDED, missed=1, slashed=1)
# The windows end at +5, +25, +35, +43, +63; what is published at +44 is final from +62.
IN_SELECTION, IN_COMMIT, IN_REVEAL, IN_AVAILABILITY = T0, T0 + 5, T0 + 25, T0 + 35
IN_AGGREGATE, IN_CHALLENGE, AFTER = T0 + 43, T0 + 45, T0 + 62
# In availability flags go from +37 to +39; in the challenge phase flags end at +50, posts at +56.
FLAGGING, POSTING, HEAD_START_OVER = T0 + 37, T0 + 39, T0 + 53
FLAGS_OVER, POSTS_OVER = T0 + 50, T0 + 56
# Scores are committed to until +52 and revealed until +61.
SCORES_OPEN, SCORES_OVER = T0 + 52, T0 + 61
# A relayer has two thirds of the commit phase and of the reveal phase, and a twelfth more if it
# took what is to be sent.
OWN_COMMIT, OWN_COMMIT_IF_TAKEN, OWN_REVEAL = T0 + 18, T0 + 20, T0 + 31


def facts(**changes) -> Facts:
    default = Facts(
        params=PARAMS,
        task=TASK,
        round_state=OPEN,
        seat=SEAT,
        now=IN_COMMIT,
        may_commit=True,
        committed=False,
        judges=True,
        scored=False,
        votes_alike=None,
        verified_round=LATEST - 1,
        verified_model_root=b"\1" * 32,
        mismatch="",
        dispute=None,
        unfetched=None,
        false_norm=None,
        place=0,
        owes_update=False,
        owes_result=None,
        claims_award=False,
        reclaimable=None,
        withheld=None,
        undistributed=None,
        seed_known=False,
        recordable=None,
        relaying=None,
        samples=60,
        own_address=OWN,
        wants_seat=True,
        restores=False,
        watches=False,
        drives=False,
        challenges=True,
        flags=True,
        publishes=False,
    )
    return replace(default, **changes)


PROVABLE = Dispute(
    wrong=Published.AGGREGATE,
    provable=True,
    sealed=False,
    flag=None,
    for_votes=False,
    outvoted=False,
)
SEALED = replace(PROVABLE, sealed=True)
FOR_VOTES = replace(PROVABLE, provable=False, for_votes=True)
OUTVOTED = replace(FOR_VOTES, outvoted=True)
HIDDEN = replace(PROVABLE, provable=False)
HIDDEN_AND_FLAGGED = {
    "dispute": replace(HIDDEN, flag=Flag(flagger=OTHER)),
    "round_state": replace(PUBLISHED, result_flags=1 << Published.AGGREGATE),
}
WRONG = facts(
    now=IN_CHALLENGE, round_state=PUBLISHED, mismatch="round 3: model root", dispute=PROVABLE
)
WRONG_BY_VOTES = replace(WRONG, params=BY_VOTES, dispute=FOR_VOTES)
VOTING = facts(now=IN_AGGREGATE, params=BY_VOTES, round_state=REVEALED, seat=OPENED, votes_alike=0)
VERIFIED = {"verified_round": LATEST, "verified_model_root": MODEL}
JUST_REFUTED = replace(REVEALED, restarted_at=IN_AGGREGATE, refutations=1)
REFUSING = "refusing to go on: round 3: model root"
AVAILABLE = facts(now=FLAGGING, round_state=REVEALED)
ASKING = Relaying(signs=True, taken=False, ask_from=0, affords=True)
TAKEN = replace(ASKING, taken=True, ask_from=T0 + 7)
RELAYED = facts(relaying=ASKING)
RELAYED_VOTE = replace(VOTING, relaying=ASKING)
TAKEN_VOTE = replace(ASKING, taken=True)
VOTED_BY_RELAY = replace(RELAYED_VOTE, relaying=TAKEN_VOTE, round_state=PUBLISHED, **VERIFIED)
# No further round can open, and the latest is settled and verified.
LAST = {
    "task": replace(TASK, ended=True),
    "round_state": replace(PUBLISHED, settled=True),
    "verified_round": LATEST,
    "verified_model_root": MODEL,
}
VOID = {"round_state": replace(OPEN, settled=True)}
# Duties have this window, as seats take turns in it.
PACE = PARAMS.commit_seconds
OPENING = facts(now=IN_REVEAL, committed=True, seat=COMMITTED, relaying=ASKING)
JUDGING = facts(params=BY_SCORES, now=IN_AGGREGATE, round_state=REVEALED, seat=OPENED)


@st.composite
def any_dispute(draw) -> Dispute:
    provable = draw(st.booleans())
    return Dispute(
        wrong=draw(st.sampled_from(Published)),
        provable=provable,
        sealed=provable and draw(st.booleans()),
        flag=draw(st.sampled_from([None, Flag(), Flag(flagger=OTHER)])),
        for_votes=not provable and draw(st.booleans()),
        outvoted=draw(st.booleans()),
    )


@st.composite
def any_relaying(draw) -> Relaying:
    return Relaying(
        signs=draw(st.booleans()),
        taken=draw(st.booleans()),
        ask_from=draw(st.just(0) | st.integers(T0, T0 + 40)),
        affords=draw(st.booleans()),
    )


@st.composite
def any_facts(draw) -> Facts:
    """Facts that the contract and a node could come to, and some that they could not."""
    number = draw(st.sampled_from([0, 1, LATEST, PARAMS.rounds]))
    revealed = draw(st.sampled_from([0, 2, 3, 5]))
    state = RoundState()
    if number:
        state = RoundState(
            opened_at=T0, updates_hash=hash_of(revealed), settled=draw(st.booleans())
        )
        if revealed >= PARAMS.quorum and draw(st.booleans()):
            at = draw(st.integers(IN_AGGREGATE, T0 + 62))
            flags = draw(st.sampled_from([0, 0, 1, 6]))
            state = replace(state, published_at=at, model_root=MODEL, result_flags=flags)
            votes = draw(st.sampled_from([0, 2]))
            state = replace(state, votes=votes, most_votes=draw(st.sampled_from([votes, 3])))
    near = st.sampled_from([0, max(number - 1, 0), number, number + 1])
    params = draw(st.sampled_from([PARAMS, BY_SCORES, BY_VOTES]))
    seats = draw(st.integers(0, PARAMS.seats))
    found = Facts(
        params=replace(params, aggregator=draw(st.sampled_from([ZERO_ADDRESS, OWN, OTHER]))),
        task=replace(
            draw(st.sampled_from([TASK, UNDRAWN, DRAWN])),
            round=number,
            seats=seats,
            active=draw(st.integers(0, seats)),
            closed=draw(st.booleans()),
            ended=draw(st.booleans()),
        ),
        round_state=state,
        seat=replace(
            SEAT,
            active_from=draw(near | st.just(SUSPENDED)),
            missed=draw(st.integers(0, PARAMS.max_missed + 1)),
            samples=draw(st.sampled_from([0, 10, 60])),
            committed_round=draw(near),
            commitment=draw(st.sampled_from([bytes(28), b"\7" * 28])),
        ),
        now=draw(st.integers(T0, T0 + 90) | st.just(PARAMS.closes_at)),
        may_commit=draw(st.booleans()),
        committed=draw(st.booleans()),
        judges=draw(st.booleans()),
        scored=draw(st.booleans()),
        votes_alike=None,
        verified_round=draw(near),
        verified_model_root=draw(st.sampled_from([b"", MODEL, OTHER_MODEL])),
        mismatch=draw(st.sampled_from(["", "", "", "round 1: model root"])),
        dispute=draw(st.none() | any_dispute()),
        unfetched=draw(st.sampled_from([None, 0, 2])),
        false_norm=draw(st.sampled_from([None, None, False, True])),
        place=draw(st.integers(0, max(seats - 1, 0))),
        owes_update=draw(st.booleans()),
        owes_result=draw(st.sampled_from([None, *Published])),
        claims_award=draw(st.sampled_from([False, False, True])),
        reclaimable=draw(st.sampled_from([None, None, OTHER])),
        withheld=draw(st.sampled_from([None, None, OTHER, OWN])),
        undistributed=draw(st.sampled_from([None, None, 1])),
        seed_known=draw(st.booleans()),
        recordable=draw(st.sampled_from([None, 9])),
        relaying=draw(st.none() | any_relaying()),
        samples=draw(st.sampled_from([10, 60])),
        own_address=OWN,
        wants_seat=draw(st.booleans()),
        restores=draw(st.booleans()),
        watches=draw(st.booleans()),
        drives=draw(st.booleans()),
        challenges=draw(st.booleans()),
        flags=draw(st.booleans()),
        publishes=draw(st.booleans()),
    )
    if rounds.can_vote(found.params, state, found.seat, number, found.now):
        return replace(found, votes_alike=draw(st.none() | st.integers(0, 3)))
    return found


def enough_votes(known: Facts) -> int:
    """What makes a result final, or refutes the published one."""
    refuting = known.round_state.votes + 1 if known.mismatch else 0
    return max(known.params.votes_needed, known.round_state.most_votes, refuting)


def phase_of(known: Facts) -> Phase:
    return rounds.phase(known.params, known.round_state, known.now)


@given(any_facts())
def test_same_facts_give_the_same_action(known):
    assert decide(known) == decide(replace(known))


@given(any_facts())
def test_commits_only_in_the_commit_phase_from_a_seat_that_may_and_once(known):
    if isinstance(decide(known), Commit | RelayCommit):
        assert phase_of(known) is Phase.COMMIT
        assert 0 < known.seat.active_from <= known.task.round
        assert known.may_commit
        assert not rounds.is_undrawn(known.task)
        assert not known.committed


@given(any_facts())
def test_reveals_only_what_it_committed_to_in_this_round_and_once(known):
    if isinstance(decide(known), Reveal | RelayReveal):
        assert phase_of(known) is Phase.REVEAL
        assert known.committed
        assert known.seat.committed_round == known.task.round
        assert any(known.seat.commitment)
        assert known.round_state.revealed < known.params.cohort


@given(any_facts())
def test_relayer_gets_nothing_where_there_is_none_and_no_second_signature(known):
    action, relaying = decide(known), known.relaying
    if isinstance(action, RelayCommit | RelayReveal):
        assert relaying is not None
        assert not relaying.taken
        assert known.now >= relaying.ask_from
    if isinstance(action, RelayCommit):
        assert relaying.signs


@given(any_facts())
def test_who_has_a_relayer_sends_itself_only_in_the_last_third_and_with_gas(known):
    action, relaying = decide(known), known.relaying
    if relaying is None or not isinstance(action, Commit | Reveal):
        return
    ends = rounds.deadlines(known.params, known.round_state)
    committing = isinstance(action, Commit)
    begins, end = (ends.selection, ends.commit) if committing else (ends.commit, ends.reveal)
    assert relaying.affords
    is_late = known.now >= own_turn(begins, end, taken=relaying.taken)
    assert is_late or (committing and not relaying.signs)


@given(any_facts())
def test_scores_are_committed_and_revealed_by_whoever_revealed_and_in_their_time(known):
    action = decide(known)
    if not isinstance(action, CommitScores | RevealScores):
        return
    ends = rounds.deadlines(known.params, known.round_state)
    assert phase_of(known) in {Phase.AGGREGATE, Phase.CHALLENGE}
    assert known.judges
    assert known.seat.revealed_in(known.task.round)
    if isinstance(action, CommitScores):
        assert not known.scored
        assert ends.availability <= known.now < ends.score_commit
    else:
        assert known.scored
        assert ends.score_commit <= known.now < ends.score_reveal


@given(any_facts())
def test_suspended_seat_serves_no_round_and_is_restored_only_if_told_and_forgiven(known):
    action = decide(known)
    if known.seat.suspended:
        assert not isinstance(action, Join | Commit | RelayCommit | Reveal | RelayReveal)
    if isinstance(action, Restore):
        assert known.restores
        assert known.seat.suspended
        assert known.seat.missed <= known.params.max_missed
        assert not rounds.is_exhausted(known.params, known.task, known.now)


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
        assert known.task.seats < known.params.seats
        assert not known.task.closed
        assert not rounds.is_exhausted(known.params, known.task, known.now)


@given(any_facts())
def test_declares_what_it_declared_before_and_never_less_than_the_task_asks_for(known):
    action = decide(known)
    if isinstance(action, Join):
        assert action.samples == (known.seat.samples or known.samples)
        assert action.samples >= known.params.min_samples


@given(any_facts())
def test_drives_only_if_told_and_only_what_the_contract_would_accept(known):
    action = decide(known)
    if not isinstance(action, Drive | RecordHeader | DrawSeats | SlashWithheld | Distribute):
        return
    if action == SlashWithheld(OWN):
        assert known.withheld == OWN
        return
    assert known.drives
    assert not known.mismatch
    phase = phase_of(known)
    if isinstance(action, DrawSeats | RecordHeader):
        assert known.seed_known is isinstance(action, DrawSeats)
        assert rounds.can_draw(known.params, known.task, known.round_state, known.now)
    elif isinstance(action, SlashWithheld):
        assert action.participant == known.withheld
    elif isinstance(action, Distribute):
        assert action.round == known.undistributed
    elif action.function == "openRound":
        assert rounds.can_open(known.params, known.task, known.round_state, known.now)
    else:
        assert not known.round_state.settled
        assert (action.function, phase) in {("finalise", Phase.FINAL), ("voidRound", Phase.VOID)}


@given(any_facts())
def test_mismatch_is_contested_or_stops_everything_and_is_named(known):
    action = decide(known)
    contesting = Seal | Challenge | FlagResult | RefuteUnavailable | RefuteOutvoted
    answering = PostUpdate | PostResult | ReclaimDeposit | ClaimAward
    judging = CommitScores | RevealScores | Vote | RelayVote
    if known.mismatch and not isinstance(action, contesting | answering | judging):
        assert isinstance(action, Wait)
        assert known.mismatch in action.why


@given(any_facts())
def test_contests_only_if_told_and_only_while_the_contract_listens(known):
    action = decide(known)
    if not isinstance(action, Seal | Challenge | FlagResult | RefuteUnavailable | RefuteOutvoted):
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
        case RefuteOutvoted():
            assert known.dispute.outvoted
            assert not known.dispute.provable
        case FlagResult(what):
            assert known.flags
            assert not known.dispute.for_votes
            assert what is known.dispute.wrong
            assert not known.round_state.is_flagged(what)
            assert known.now < ends.flag_result
        case RefuteUnavailable(what):
            assert what is known.dispute.wrong
            assert known.round_state.is_flagged(what)
            assert known.dispute.flag == Flag(flagger=OTHER), "and nobody has posted it since"
            assert known.now >= ends.post_result


@given(any_facts())
def test_proves_norms_false_only_if_told_and_in_the_availability_phase(known):
    action = decide(known)
    if isinstance(action, SealNorm | ChallengeNorm):
        assert known.challenges
        assert known.false_norm is not None
        assert phase_of(known) is Phase.AVAILABILITY
    if isinstance(action, SealNorm):
        assert not known.false_norm


@given(any_facts())
def test_flags_updates_only_if_told_and_between_patience_and_the_deadline(known):
    action = decide(known)
    if isinstance(action, FlagUpdate):
        assert known.flags
        assert action.index == known.unfetched
        assert rounds.can_flag_update(known.params, known.round_state, known.now)
        assert known.now >= rounds.patient_until(known.params, known.round_state)
        assert known.watches or known.seat.active_from


@given(any_facts(), st.data())
def test_turn_comes_in_the_first_quarter_of_its_window_and_the_first_seat_waits_for_nobody(
    known, data
):
    first = decide(replace(known, place=0))
    later = decide(replace(known, place=data.draw(st.integers(0, max(known.task.seats - 1, 0)))))
    ends = rounds.deadlines(known.params, known.round_state)
    begins, end = {
        **dict.fromkeys(
            (FlagUpdate, SealNorm, ChallengeNorm),
            (rounds.patient_until(known.params, known.round_state), ends.flag_update),
        ),
        FlagResult: (known.round_state.published_at, ends.flag_result),
        RefuteUnavailable: (ends.post_result, ends.challenge),
        Seal: (known.round_state.published_at, ends.challenge),
        Challenge: (known.round_state.published_at, ends.challenge),
        RefuteOutvoted: (known.round_state.published_at, ends.challenge),
        # As long as the challenge phase, which here is the shorter one.
        Vote: (ends.availability, ends.availability + PARAMS.challenge_seconds),
        **dict.fromkeys((Drive, SlashWithheld, Distribute), (known.now, known.now + PACE)),
    }.get(type(first), (0, 0))
    if later == first:
        return
    assert begins, "only disputes and others' duties wait for others"
    if isinstance(later, Wait):
        assert known.now < later.until < begins + max((end - begins) / 4, 1)
    else:
        # Whatever can be done meanwhile is.
        waiting_for_nothing = ClaimAward | ReclaimDeposit | SlashWithheld | Distribute
        judging = CommitScores | RevealScores | Vote | RelayVote
        assert isinstance(later, waiting_for_nothing | judging)


@given(any_facts())
def test_votes_where_votes_are_missing_when_there_is_nothing_else_to_do(known):
    action = decide(known)
    if isinstance(action, Vote):
        assert known.votes_alike < enough_votes(known)
        nothing = {"claims_award": False, "reclaimable": None}
        nothing |= {"withheld": None, "undistributed": None}
        assert isinstance(decide(replace(known, votes_alike=None, **nothing)), Wait)
    if known.votes_alike is not None and known.votes_alike < enough_votes(known):
        assert not isinstance(decide(replace(known, place=0, relaying=None)), Wait)


@given(any_facts())
def test_who_has_a_relayer_sends_its_vote_itself_only_in_the_last_third_and_with_gas(known):
    action, relaying = decide(known), known.relaying
    if isinstance(action, RelayVote):
        assert relaying is not None
        assert not relaying.taken
        assert known.now >= relaying.ask_from
        assert known.votes_alike < enough_votes(known)
    if isinstance(action, Vote) and relaying is not None:
        published_at = known.round_state.published_at
        ends = rounds.deadlines(known.params, known.round_state)
        assert relaying.affords
        assert published_at
        assert known.now >= own_turn(published_at, ends.challenge, taken=relaying.taken)


@given(any_facts())
def test_every_seat_votes_in_time_for_a_result_that_is_published_at_once(known):
    last = max(known.task.seats - 1, 0)
    action = decide(replace(known, place=last, relaying=None))
    ends = rounds.deadlines(known.params, known.round_state)
    if known.votes_alike == 0 and known.now >= ends.availability + PARAMS.challenge_seconds // 4:
        assert not isinstance(action, Wait)


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
        nothing = {"reclaimable": None, "withheld": None, "undistributed": None}
        assert isinstance(decide(replace(known, **nothing)), Wait)
    assert not (isinstance(action, Wait) and known.reclaimable)


@given(any_facts())
def test_award_of_a_copied_proof_is_claimed_when_there_is_nothing_more_urgent(known):
    action = decide(known)
    if isinstance(action, ClaimAward):
        assert known.claims_award
    assert not (isinstance(action, ReclaimDeposit | Wait) and known.claims_award)


@given(any_facts())
def test_others_duties_are_done_when_there_is_nothing_else_to_do(known):
    action = decide(known)
    if isinstance(action, SlashWithheld | Distribute) and action != SlashWithheld(OWN):
        assert isinstance(decide(replace(known, withheld=None, undistributed=None)), Wait)
    known = replace(known, place=0)
    action = decide(known)
    is_divisible = known.undistributed != known.task.round or phase_of(known) is Phase.FINAL
    is_due = known.withheld is not None or (known.undistributed is not None and is_divisible)
    if known.drives and not known.mismatch and is_due:
        assert not isinstance(action, Wait)


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
        binding = Join | Restore | Commit | RelayCommit | Reveal | RelayReveal
        assert not isinstance(decide(known), binding)


@given(any_facts())
def test_waiting_says_why_and_until_a_time_to_come(known):
    action = decide(known)
    if isinstance(action, Wait):
        assert action.why
        assert action.until is None or action.until > known.now


@pytest.mark.parametrize(
    ("known", "expected"),
    [
        (facts(now=IN_SELECTION), Wait(IN_COMMIT, "round 3 is in selection")),
        (facts(), Commit()),
        (facts(committed=True, seat=COMMITTED), Wait(IN_REVEAL, "committed in round 3; reveals o")),
        (facts(seat=replace(SEAT, active_from=4)), Wait(IN_REVEAL, "this seat may act from round")),
        # A commitment to something this node no longer has is replaced while there is time.
        (facts(seat=COMMITTED), Commit()),
        (facts(now=IN_REVEAL, committed=True, seat=COMMITTED), Reveal()),
        (facts(now=IN_REVEAL, seat=COMMITTED), Wait(IN_AVAILABILITY, "the commitment of round 3")),
        (facts(now=IN_REVEAL), Wait(IN_AVAILABILITY, "did not commit in round 3")),
        (
            facts(now=IN_REVEAL, committed=True, seat=OPENED),
            Wait(IN_AVAILABILITY, "revealed in round 3"),
        ),
        (
            facts(
                now=IN_REVEAL,
                committed=True,
                seat=COMMITTED,
                round_state=replace(OPEN, updates_hash=hash_of(5)),
            ),
            Wait(IN_AVAILABILITY, "round 3 is full; nothing is lost"),
        ),
        # A draw comes before anybody may commit, and whoever drives makes it.
        (facts(task=UNDRAWN), Wait(IN_REVEAL, "the seats of round 3 are not drawn yet")),
        (facts(task=UNDRAWN, seed_known=True), Wait(IN_REVEAL, "the seats of round 3 are not dr")),
        (facts(task=UNDRAWN, seed_known=True, drives=True), DrawSeats()),
        (facts(task=UNDRAWN, now=IN_SELECTION, seed_known=True, drives=True), DrawSeats()),
        (facts(task=UNDRAWN, recordable=9, drives=True), RecordHeader(9)),
        (facts(task=UNDRAWN, recordable=9), Wait(IN_REVEAL, "the seats of round 3 are not drawn")),
        (facts(task=UNDRAWN, drives=True), Wait(IN_REVEAL, "the seats of round 3 are not drawn")),
        (
            facts(task=UNDRAWN, seed_known=True, drives=True, seat=Seat(), watches=True),
            DrawSeats(),
        ),
        (facts(task=DRAWN, seed_known=True, drives=True), Commit()),
        (facts(task=DRAWN, may_commit=False), Wait(IN_REVEAL, "this seat was not drawn for round")),
        # A slice is paid back where that is wanted and can help.
        (facts(seat=SLICED), Wait(IN_REVEAL, "this seat is suspended until 30 wei are paid")),
        (facts(seat=SLICED, restores=True), Restore()),
        (facts(seat=SLICED, restores=True, now=AFTER), Restore()),
        (
            facts(seat=replace(SLICED, missed=4), restores=True),
            Wait(
                IN_REVEAL, "this seat is suspended for good: 4 commitments were not opened, 3 are"
            ),
        ),
        (
            facts(seat=SLICED, restores=True, task=replace(TASK, ended=True)),
            Wait(IN_REVEAL, "this seat is suspended and the task opens no further round"),
        ),
        (facts(seat=SLICED, now=IN_CHALLENGE, round_state=PUBLISHED), Verify()),
        # The relayer comes first, and its word is not taken for the chain's.
        (RELAYED, RelayCommit()),
        (replace(RELAYED, committed=True, seat=COMMITTED), Wait(IN_REVEAL, "committed in round 3")),
        (
            replace(RELAYED, relaying=replace(ASKING, ask_from=T0 + 7)),
            Wait(T0 + 7, "round 3: the relayer did not take what is to be sent; its time ends at"),
        ),
        (
            replace(RELAYED, relaying=TAKEN),
            Wait(OWN_COMMIT_IF_TAKEN, "round 3: the relayer has what is to be sent"),
        ),
        (replace(RELAYED, now=OWN_COMMIT), Commit()),
        (
            replace(RELAYED, now=OWN_COMMIT, relaying=TAKEN),
            Wait(OWN_COMMIT_IF_TAKEN, "round 3: the relayer has what is to be sent"),
        ),
        (replace(RELAYED, now=OWN_COMMIT_IF_TAKEN, relaying=TAKEN), Commit()),
        (
            replace(RELAYED, now=OWN_COMMIT, relaying=replace(ASKING, affords=False)),
            RelayCommit(),
        ),
        (
            replace(
                RELAYED,
                now=OWN_COMMIT,
                relaying=replace(ASKING, affords=False, ask_from=T0 + 19),
            ),
            Wait(T0 + 19, "round 3: the relayer sent nothing, and gas cannot be paid"),
        ),
        (
            replace(RELAYED, now=OWN_COMMIT_IF_TAKEN, relaying=replace(TAKEN, affords=False)),
            Wait(IN_REVEAL, "round 3: the relayer sent nothing, and gas cannot be paid"),
        ),
        (replace(RELAYED, relaying=replace(ASKING, signs=False)), Commit()),
        (
            replace(RELAYED, relaying=replace(ASKING, signs=False, affords=False)),
            Wait(IN_REVEAL, "another commitment to round 3 may have been signed"),
        ),
        (OPENING, RelayReveal()),
        (replace(OPENING, relaying=replace(ASKING, signs=False)), RelayReveal()),
        (replace(OPENING, now=OWN_REVEAL), Reveal()),
        (
            replace(OPENING, relaying=replace(ASKING, taken=True)),
            Wait(T0 + 32, "round 3: the relayer has what is to be sent"),
        ),
        # Scores come before whatever may fail for want of bytes, and after disputes.
        (JUDGING, CommitScores()),
        (replace(JUDGING, publishes=True), CommitScores()),
        (replace(JUDGING, scored=True, publishes=True), Publish()),
        (replace(JUDGING, scored=True), Wait(SCORES_OPEN, "round 3 is in aggregate")),
        (replace(JUDGING, judges=False), Wait(SCORES_OPEN, "round 3 is in aggregate")),
        (replace(JUDGING, seat=COMMITTED), Wait(SCORES_OPEN, "round 3 is in aggregate")),
        (replace(JUDGING, params=PARAMS), Wait(HEAD_START_OVER, "round 3 is in aggregate")),
        (replace(JUDGING, scored=True, now=SCORES_OPEN), RevealScores()),
        (
            replace(JUDGING, scored=True, round_state=PUBLISHED, now=SCORES_OPEN),
            RevealScores(),
        ),
        (replace(JUDGING, now=SCORES_OPEN), Wait(HEAD_START_OVER, "round 3 is in aggregate")),
        (
            replace(JUDGING, scored=True, round_state=PUBLISHED, now=SCORES_OVER),
            Verify(),
        ),
        (replace(WRONG, params=BY_SCORES, seat=OPENED), Seal()),
        (replace(WRONG, params=BY_SCORES, seat=OPENED, **HIDDEN_AND_FLAGGED), CommitScores()),
        # What anybody may do is done by whoever drives, when nothing else is to be done.
        (facts(now=IN_SELECTION, withheld=OTHER, drives=True), SlashWithheld(OTHER)),
        (facts(now=IN_COMMIT, withheld=OWN), SlashWithheld(OWN)),
        (facts(now=IN_SELECTION, undistributed=2, drives=True), Distribute(2)),
        (
            facts(now=T0, undistributed=2, drives=True, place=3),
            Wait(T0 + 3, "round 3 is in selection"),
        ),
        (facts(now=T0 + 3, undistributed=2, drives=True, place=3), Distribute(2)),
        (
            facts(now=AFTER, undistributed=3, drives=True, **LAST),
            Distribute(3),
        ),
        (
            facts(now=AFTER, undistributed=3, drives=True, place=3, **LAST),
            Wait(AFTER + 3, "no round is running"),
        ),
        (
            facts(now=AFTER, withheld=OTHER, drives=True, place=3, **LAST),
            SlashWithheld(OTHER),
        ),
        (
            facts(now=T0 + 36, withheld=OTHER, drives=True, place=3, **(LAST | VOID)),
            Wait(T0 + 38, "no round is running"),
        ),
        (facts(now=IN_SELECTION, undistributed=2), Wait(IN_COMMIT, "round 3 is in selection")),
        (facts(now=IN_COMMIT, undistributed=2, withheld=OTHER, drives=True), Commit()),
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
            Wait(HEAD_START_OVER, "round 3 is in aggregate"),
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
            Wait(FLAGS_OVER, "round 3 is in challenge"),
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
        (replace(AVAILABLE, false_norm=False), SealNorm()),
        (replace(AVAILABLE, false_norm=True, unfetched=1), ChallengeNorm()),
        # One of eight seconds is left for a proof.
        (replace(AVAILABLE, false_norm=False, now=IN_AGGREGATE - 1), ChallengeNorm()),
        (replace(AVAILABLE, false_norm=False, challenges=False, unfetched=1), FlagUpdate(1)),
        (replace(AVAILABLE, false_norm=True, owes_update=True), PostUpdate()),
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
        (replace(WRONG, **HIDDEN_AND_FLAGGED), Wait(POSTS_OVER, "its publisher must post it")),
        (
            replace(WRONG, **HIDDEN_AND_FLAGGED, now=POSTS_OVER),
            RefuteUnavailable(Published.AGGREGATE),
        ),
        (
            replace(WRONG, **HIDDEN_AND_FLAGGED | {"dispute": replace(HIDDEN, flag=Flag())}),
            Wait(FLAGS_OVER, REFUSING),
        ),
        (replace(WRONG, **HIDDEN_AND_FLAGGED | {"dispute": PROVABLE}), Seal()),
        (replace(WRONG_BY_VOTES, dispute=FOR_VOTES), Wait(FLAGS_OVER, "it is for votes to refute")),
        (replace(WRONG_BY_VOTES, votes_alike=1), Vote()),
        (replace(WRONG_BY_VOTES, votes_alike=2), Wait(FLAGS_OVER, "it is for votes to refute")),
        (
            replace(WRONG_BY_VOTES, votes_alike=2, round_state=replace(PUBLISHED, votes=2)),
            Vote(),
        ),
        (replace(WRONG_BY_VOTES, dispute=OUTVOTED), RefuteOutvoted()),
        (replace(WRONG_BY_VOTES, dispute=OUTVOTED, votes_alike=1), RefuteOutvoted()),
        (replace(WRONG_BY_VOTES, dispute=OUTVOTED, challenges=False), Wait(None, REFUSING)),
        (
            replace(WRONG_BY_VOTES, dispute=OUTVOTED, place=3),
            Wait(T0 + 47, "seats before this one may do it first"),
        ),
        # A proof earns an award, votes do not.
        (replace(WRONG_BY_VOTES, dispute=replace(PROVABLE, outvoted=True)), Seal()),
        (VOTING, Vote()),
        (replace(VOTING, votes_alike=2), Wait(HEAD_START_OVER, "round 3 is in aggregate")),
        (replace(VOTING, votes_alike=None), Wait(HEAD_START_OVER, "round 3 is in aggregate")),
        (replace(VOTING, publishes=True), Publish()),
        # The last of four seats waits for three sixteenths of the eighteen seconds to challenge.
        (replace(VOTING, place=3), Wait(IN_AGGREGATE + 3, "round 3 is in aggregate")),
        (replace(VOTING, place=3, now=IN_AGGREGATE + 3), Vote()),
        (replace(VOTING, now=IN_CHALLENGE, round_state=PUBLISHED), Verify()),
        (replace(VOTING, now=FLAGS_OVER, round_state=PUBLISHED), Vote()),
        (replace(VOTING, now=FLAGS_OVER, round_state=PUBLISHED, votes_alike=2), Verify()),
        (
            replace(VOTING, now=IN_CHALLENGE, round_state=PUBLISHED, **VERIFIED),
            Vote(),
        ),
        # A relayer gets a vote at once; what it does not send is sent late in the challenge phase,
        # which begins at +44: from two thirds of it on, or three quarters if the relayer took it.
        (RELAYED_VOTE, RelayVote()),
        (replace(RELAYED_VOTE, place=3), RelayVote()),
        (
            replace(RELAYED_VOTE, relaying=TAKEN_VOTE),
            Wait(HEAD_START_OVER, "round 3 is in aggregate"),
        ),
        (
            replace(RELAYED_VOTE, relaying=replace(ASKING, ask_from=T0 + 46)),
            Wait(T0 + 46, "round 3 is in aggregate"),
        ),
        (replace(RELAYED_VOTE, now=IN_CHALLENGE, round_state=PUBLISHED, **VERIFIED), RelayVote()),
        (replace(RELAYED_VOTE, now=FLAGS_OVER, round_state=PUBLISHED), RelayVote()),
        (replace(RELAYED_VOTE, now=T0 + 55, round_state=PUBLISHED, **VERIFIED), RelayVote()),
        (replace(RELAYED_VOTE, now=T0 + 56, round_state=PUBLISHED, **VERIFIED), Vote()),
        (
            replace(VOTED_BY_RELAY, now=T0 + 56),
            Wait(T0 + 57, "round 3 is in challenge"),
        ),
        (replace(VOTED_BY_RELAY, now=T0 + 57), Vote()),
        (
            replace(VOTED_BY_RELAY, now=T0 + 57, place=3, task=replace(TASK, seats=5)),
            Vote(),
        ),
        (
            replace(VOTED_BY_RELAY, now=T0 + 57, relaying=replace(TAKEN_VOTE, affords=False)),
            Wait(AFTER, "round 3 is in challenge"),
        ),
        # Votes for another result than what is published, and than this node's own, are to be met.
        (
            replace(
                VOTING,
                now=IN_CHALLENGE,
                round_state=replace(PUBLISHED, votes=2, most_votes=3),
                votes_alike=2,
                **VERIFIED,
            ),
            Vote(),
        ),
        (
            replace(VOTING, publishes=True, round_state=JUST_REFUTED, votes_alike=2),
            Wait(IN_AGGREGATE + 1, "round 3 was refuted just now"),
        ),
        (
            replace(
                VOTING,
                publishes=True,
                round_state=JUST_REFUTED,
                votes_alike=2,
                now=IN_AGGREGATE + 1,
            ),
            Publish(),
        ),
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
        (facts(now=IN_COMMIT, seat=Seat(), watches=True), Wait(IN_REVEAL, "round 3 is in commit")),
        (facts(now=AFTER, round_state=PUBLISHED, seat=Seat(), watches=True), Verify()),
        (facts(now=AFTER), Wait(None, "no round is running")),
        (facts(now=AFTER, drives=True), Drive("openRound")),
        (facts(now=T0 + 35, drives=True, place=2), Wait(T0 + 37, "seats before this one may do")),
        (facts(now=T0 + 37, drives=True, place=2), Drive("openRound")),
        (facts(now=AFTER, drives=True, task=replace(TASK, active=2)), Drive("voidRound")),
        # One seat of four waits at most for three sixteenths of a window.
        (replace(WRONG, place=3), Wait(T0 + 47, "seats before this one may do it first")),
        (replace(WRONG, place=3, now=T0 + 47), Seal()),
        (replace(WRONG, place=3, now=T0 + 47, dispute=SEALED), Challenge()),
        (replace(WRONG, place=3, dispute=HIDDEN), FlagResult(Published.AGGREGATE)),
        (facts(seat=Seat()), Join(60)),
        (facts(seat=Seat(samples=55)), Join(55)),
        (
            facts(seat=Seat(), samples=49),
            Wait(IN_REVEAL, "the task asks for at least 50 training samples, this node has 49"),
        ),
        (facts(seat=Seat(), task=replace(TASK, ended=True)), Wait(None, "the task takes no more")),
        (facts(seat=Seat(), wants_seat=False), Wait(IN_REVEAL, "this node has no seat and was no")),
        (facts(seat=Seat(), task=replace(TASK, seats=6)), Wait(IN_REVEAL, "all 6 seats are taken")),
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
    early = replace(TASK, round=0, active=0, entering=2)
    known = facts(task=early, round_state=RoundState(), drives=True)

    assert decide(known) == Wait(None, "no round is running")
    assert decide(replace(known, task=replace(early, entering=3))) == Drive("openRound")
