"""The round machine's mirror: which phase when, and that time only ever moves a round forward."""

from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from protocol.commitment import counted
from protocol.rounds import (
    ENDED,
    can_commit_scores,
    can_distribute,
    can_draw,
    can_flag_result,
    can_flag_update,
    can_open,
    can_post_result,
    can_post_update,
    can_publish,
    can_reclaim,
    can_refute_unavailable,
    can_reveal_scores,
    can_vote,
    deadlines,
    ended_at,
    excluded,
    included,
    is_exhausted,
    is_outvoted,
    is_undrawn,
    is_withheld,
    lacks_votes,
    next_deadline,
    outvoted_by,
    phase,
    publication,
    votes_to_stand,
)
from protocol.state import (
    MAX_REFUTATIONS,
    Deadlines,
    Flag,
    Phase,
    Published,
    RoundState,
    Seat,
    TaskState,
)
from protocol.task import ZERO_HASH, PreSteps, RewardRule, Rule, TaskParams

pytestmark = pytest.mark.unit

exact = settings(deadline=None)

# Windows of 10, 20, 30, 40, 60 seconds from 1000: they end at 1010, 1030, 1060, 1100, 1160.
PARAMS = replace(
    TaskParams.default(
        model_spec_hash=bytes([1]) * 32,
        genesis_model_root=bytes([2]) * 32,
        dimension=1,
        closes_at=5_000,
    ),
    selection_seconds=10,
    commit_seconds=20,
    reveal_seconds=30,
    availability_seconds=40,
    aggregator_seconds=50,
    aggregate_seconds=60,
    challenge_seconds=70,
    quorum=3,
)
# Scores of 40 seconds from 1100: committed until 1120, revealed until 1140.
SCORING = replace(PARAMS, reward_rule=RewardRule.SCORES, score_seconds=40)


def with_reveals(facts, count):
    return replace(facts, updates_hash=counted(ZERO_HASH, count))


OPEN = RoundState(opened_at=1_000)
QUORATE = with_reveals(OPEN, 3)
PUBLISHED = replace(QUORATE, published_at=1_120)
REFUTED = replace(QUORATE, restarted_at=1_150, refutations=1)
LAST_CHANCE = replace(REFUTED, refutations=MAX_REFUTATIONS - 1)
WORN_OUT = replace(REFUTED, refutations=MAX_REFUTATIONS)
# Four revealed, of whom the second, or the second and the last, are missing.
ONE_MISSING = replace(with_reveals(OPEN, 4), unavailable=0b0010)
TWO_MISSING = replace(with_reveals(OPEN, 4), unavailable=0b1010)
AGAIN = replace(REFUTED, published_at=1_200)
LATEST = 10**10

windows = st.integers(0, 50)


@st.composite
def rounds(draw, published=None):
    """A task's windows, zero lengths included, and a round that the contract could hold."""
    aggregate_seconds = draw(windows) + 1
    params = replace(
        PARAMS,
        selection_seconds=draw(windows),
        commit_seconds=draw(windows) + 1,
        reveal_seconds=draw(windows) + 1,
        availability_seconds=draw(windows),
        aggregator_seconds=draw(st.integers(0, aggregate_seconds)),
        aggregate_seconds=aggregate_seconds,
        challenge_seconds=draw(windows),
        score_seconds=draw(windows),
        rule=draw(st.sampled_from([Rule.TRIMMED_MEAN, Rule.MINIMUM_DIAMETER])),
    )
    least = params.quorum if published else 0
    facts = RoundState(opened_at=draw(st.integers(1, 1000)))
    facts = with_reveals(facts, draw(st.integers(least, 6)))
    if facts.revealed >= params.quorum:
        missing = facts.revealed - (params.quorum if published else 0)
        gone = draw(st.sets(st.integers(0, facts.revealed - 1), max_size=missing))
        facts = replace(facts, unavailable=sum(1 << index for index in gone))
    if facts.included >= params.quorum and draw(st.booleans()):
        last = deadlines(params, facts).aggregate + params.challenge_seconds
        facts = replace(
            facts,
            restarted_at=draw(st.integers(deadlines(params, facts).availability, last)),
            refutations=draw(st.integers(1, MAX_REFUTATIONS - bool(published))),
        )
    ends = deadlines(params, facts)
    may_publish = facts.included >= params.quorum and facts.refutations < MAX_REFUTATIONS
    if published or (may_publish and draw(st.booleans())):
        earliest = facts.restarted_at or ends.availability
        moment = draw(st.integers(earliest, ends.aggregate - 1))
        facts = replace(facts, published_at=moment)
        if params.by_votes:
            most = draw(st.integers(0, facts.included))
            facts = replace(facts, votes=draw(st.integers(0, most)), most_votes=most)
    return params, facts


@pytest.mark.parametrize(
    ("facts", "now", "expected"),
    [
        (RoundState(), 1_000, Phase.NONE),
        (OPEN, 1_000, Phase.SELECTION),
        (OPEN, 1_009, Phase.SELECTION),
        (OPEN, 1_010, Phase.COMMIT),
        (OPEN, 1_029, Phase.COMMIT),
        (OPEN, 1_030, Phase.REVEAL),
        (OPEN, 1_059, Phase.REVEAL),
        (OPEN, 1_060, Phase.VOID),
        (with_reveals(OPEN, 2), 1_060, Phase.VOID),
        (QUORATE, 1_030, Phase.REVEAL),
        (QUORATE, 1_060, Phase.AVAILABILITY),
        (QUORATE, 1_099, Phase.AVAILABILITY),
        (QUORATE, 1_100, Phase.AGGREGATE),
        (QUORATE, 1_159, Phase.AGGREGATE),
        (QUORATE, 1_160, Phase.VOID),
        (PUBLISHED, 1_120, Phase.CHALLENGE),
        (PUBLISHED, 1_160, Phase.CHALLENGE),
        (PUBLISHED, 1_189, Phase.CHALLENGE),
        (PUBLISHED, 1_190, Phase.FINAL),
        (PUBLISHED, LATEST, Phase.FINAL),
        (REFUTED, 1_150, Phase.AGGREGATE),
        (REFUTED, 1_209, Phase.AGGREGATE),
        (REFUTED, 1_210, Phase.VOID),
        (AGAIN, 1_200, Phase.CHALLENGE),
        (AGAIN, 1_269, Phase.CHALLENGE),
        (AGAIN, 1_270, Phase.FINAL),
        (LAST_CHANCE, 1_209, Phase.AGGREGATE),
        (WORN_OUT, 1_150, Phase.VOID),
        (replace(LAST_CHANCE, published_at=1_200), 1_269, Phase.CHALLENGE),
        (TWO_MISSING, 1_099, Phase.AVAILABILITY),
        (TWO_MISSING, 1_100, Phase.VOID),
        (ONE_MISSING, 1_100, Phase.AGGREGATE),
        (OPEN, LATEST, Phase.VOID),
    ],
)
def test_phase_follows_from_facts_and_clock(facts, now, expected):
    assert phase(PARAMS, facts, now) == expected


def test_deadlines_are_ends_of_windows():
    assert deadlines(PARAMS, PUBLISHED) == Deadlines(
        selection=1_010,
        commit=1_030,
        reveal=1_060,
        availability=1_100,
        aggregator=1_150,
        aggregate=1_160,
        challenge=1_190,
        flag_update=1_080,
        flag_result=1_143,
        post_result=1_166,
    )


def test_refuted_result_gives_the_whole_window_again_without_a_head_start():
    ends = deadlines(PARAMS, REFUTED)
    assert (ends.aggregator, ends.aggregate, ends.challenge) == (1_150, 1_210, 0)
    assert deadlines(PARAMS, AGAIN).challenge == 1_270
    assert next_deadline(PARAMS, REFUTED, 1_151) == 1_210


def test_nothing_is_published_at_the_time_of_a_refutation():
    assert phase(PARAMS, REFUTED, 1_150) is Phase.AGGREGATE
    assert not can_publish(PARAMS, REFUTED, 1_150)
    assert next_deadline(PARAMS, REFUTED, 1_150) == 1_151
    assert can_publish(PARAMS, REFUTED, 1_151)
    assert can_publish(PARAMS, QUORATE, 1_100)
    assert not can_publish(PARAMS, PUBLISHED, 1_120)


@exact
@given(rounds(published=True), st.integers(0, 200))
def test_refuted_round_is_open_for_another_result_and_ends_by_time_alone(facts_of_round, later):
    params, facts = facts_of_round
    moment = facts.published_at + later
    if phase(params, facts, moment) is not Phase.CHALLENGE:
        return
    refuted = replace(facts, published_at=0, restarted_at=moment, refutations=facts.refutations + 1)
    if refuted.refutations == MAX_REFUTATIONS:
        assert phase(params, refuted, moment) is Phase.VOID
        return
    assert phase(params, refuted, moment) is Phase.AGGREGATE
    assert phase(params, refuted, moment + params.aggregate_seconds) is Phase.VOID
    ends, before = deadlines(params, refuted), deadlines(params, facts)
    assert (ends.aggregator, ends.aggregate) == (moment, moment + params.aggregate_seconds)
    assert replace(ends, aggregator=0, aggregate=0) == replace(
        before, aggregator=0, aggregate=0, challenge=0, flag_result=0, post_result=0
    )


@exact
@given(st.one_of(rounds(published=True), rounds(published=False)))
def test_round_that_ended_was_over_from_the_second_that_is_named(facts_of_round):
    params, facts = facts_of_round
    last = max(deadlines(params, facts).aggregate, deadlines(params, facts).challenge)
    assert phase(params, facts, last) in ENDED
    over = ended_at(params, facts)
    assert phase(params, facts, over) in ENDED
    # The last refutation ends a round at once, so a second before it these are not its facts.
    if facts.refutations < MAX_REFUTATIONS:
        assert phase(params, facts, over - 1) not in ENDED


def test_round_whose_last_result_was_refuted_ended_then():
    over = replace(REFUTED, refutations=MAX_REFUTATIONS)
    assert ended_at(PARAMS, over) == REFUTED.restarted_at
    assert phase(PARAMS, over, REFUTED.restarted_at) is Phase.VOID


def test_publication_is_named_by_its_time_its_publisher_and_its_roots():
    assert publication(QUORATE) == publication(REFUTED) == ""
    again = replace(PUBLISHED, published_at=PUBLISHED.published_at + 1)
    by_another = replace(PUBLISHED, publisher="0x" + "11" * 20)
    with_another_root = replace(PUBLISHED, model_root=b"\1" * 32)
    names = [publication(each) for each in (PUBLISHED, again, by_another, with_another_root)]
    assert len(set(names)) == 4
    assert publication(replace(PUBLISHED, settled=True)) == names[0]


def test_nothing_is_contested_before_it_is_published():
    ends = deadlines(PARAMS, QUORATE)
    assert ends.challenge == ends.flag_result == ends.post_result == 0


def test_round_that_does_not_exist_has_no_deadlines():
    assert deadlines(PARAMS, RoundState()) == Deadlines()
    assert next_deadline(PARAMS, RoundState(), 5) is None


def test_windows_of_no_length_are_skipped():
    params = replace(PARAMS, selection_seconds=0, availability_seconds=0, challenge_seconds=0)
    assert phase(params, OPEN, 1_000) == Phase.COMMIT
    assert phase(params, QUORATE, deadlines(params, QUORATE).reveal) == Phase.AGGREGATE
    published = replace(QUORATE, published_at=deadlines(params, QUORATE).reveal)
    assert phase(params, published, published.published_at) == Phase.FINAL


@exact
@given(rounds(), st.integers(0, 1500), st.integers(0, 300))
def test_time_never_moves_a_round_back(facts_of_round, now, later):
    params, facts = facts_of_round
    assert phase(params, facts, now) <= phase(params, facts, now + later)


def permitted(params, facts, now):
    """Everything that time alone can take away or give."""
    asked, flag = replace(facts, result_flags=0b01), Flag(1, 0, 0, "0x" + "11" * 20)
    unflagged, flagged = Published.MODEL, Published.AGGREGATE
    return (
        phase(params, facts, now),
        can_flag_update(params, facts, now),
        can_flag_result(params, asked, unflagged, now),
        can_post_result(params, asked, flagged, flag, now),
        can_refute_unavailable(params, asked, flagged, flag, now),
        can_commit_scores(params, facts, now),
        can_reveal_scores(params, facts, now),
        can_vote(params, facts, Seat(active_from=1, committed_round=1), 1, now),
        can_publish(params, facts, now),
    )


@exact
@given(rounds(), st.integers(0, 1500))
def test_next_deadline_is_the_next_time_at_which_something_changes(facts_of_round, now):
    params, facts = facts_of_round
    before, change = permitted(params, facts, now), next_deadline(params, facts, now)
    if change is None:
        assert permitted(params, facts, LATEST) == before
        return
    assert change > now
    assert permitted(params, facts, change - 1) == before
    after = permitted(params, facts, change)
    assert after != before or change == deadlines(params, facts).aggregator


@exact
@given(rounds())
def test_time_alone_ends_every_round(facts_of_round):
    params, facts = facts_of_round
    now, steps = facts.opened_at, 0
    while (change := next_deadline(params, facts, now)) is not None:
        now, steps = change, steps + 1
    assert steps <= len(Deadlines.__dataclass_fields__)
    is_final = facts.published_at and not lacks_votes(params, facts)
    assert phase(params, facts, now) == (Phase.FINAL if is_final else Phase.VOID)


@exact
@given(rounds())
def test_phase_ends_at_the_deadline_of_its_name(facts_of_round):
    params, facts = facts_of_round
    now = facts.opened_at
    while (change := next_deadline(params, facts, now)) is not None:
        before, ends = phase(params, facts, now), deadlines(params, facts)
        if phase(params, facts, change) != before:
            assert change == getattr(ends, before.name.lower())
        now = change


@exact
@given(rounds(), st.integers(0, 1500))
def test_one_more_reveal_changes_only_what_follows_the_reveal_phase(facts_of_round, now):
    params, facts = facts_of_round
    more = with_reveals(facts, facts.revealed + 1)
    if phase(params, facts, now) <= Phase.REVEAL:
        assert phase(params, more, now) == phase(params, facts, now)


@exact
@given(rounds(published=True))
def test_publishing_starts_the_challenge_at_once_or_ends_the_round(facts_of_round):
    params, facts = facts_of_round
    moment = facts.published_at
    assert phase(params, replace(facts, published_at=0), moment) == Phase.AGGREGATE
    at_once = Phase.VOID if lacks_votes(params, facts) else Phase.FINAL
    assert phase(params, facts, moment) == (
        Phase.CHALLENGE if params.challenge_seconds else at_once
    )


# One may lie, so two votes are needed.
BY_VOTES = replace(PARAMS, rule=Rule.MINIMUM_DIAMETER)
REVEALED_SEAT = Seat(active_from=1, committed_round=4)


@pytest.mark.parametrize(("votes", "wanted"), [(0, Phase.VOID), (1, Phase.VOID), (2, Phase.FINAL)])
def test_result_by_votes_is_final_with_one_vote_more_than_may_lie(votes, wanted):
    voted = replace(PUBLISHED, votes=votes, most_votes=votes)
    assert phase(BY_VOTES, voted, 1_189) is Phase.CHALLENGE
    assert phase(BY_VOTES, voted, 1_190) is wanted
    assert lacks_votes(BY_VOTES, voted) == (wanted is Phase.VOID)
    assert ended_at(BY_VOTES, voted) == 1_190
    assert phase(PARAMS, voted, 1_190) is Phase.FINAL


@pytest.mark.parametrize(
    ("votes", "most_votes", "wanted"),
    [(2, 3, Phase.VOID), (3, 3, Phase.FINAL), (1, 3, Phase.VOID)],
)
def test_result_by_votes_that_another_one_has_outvoted_is_void(votes, most_votes, wanted):
    voted = replace(PUBLISHED, votes=votes, most_votes=most_votes)
    assert phase(BY_VOTES, voted, 1_189) is Phase.CHALLENGE
    assert phase(BY_VOTES, voted, 1_190) is wanted
    assert votes_to_stand(BY_VOTES, voted) == most_votes
    assert votes_to_stand(BY_VOTES, QUORATE) == 2
    assert phase(PARAMS, voted, 1_190) is Phase.FINAL


@pytest.mark.parametrize(
    ("facts", "now", "may"),
    [
        (QUORATE, 1_099, False),
        (QUORATE, 1_100, True),
        (REFUTED, 1_209, True),
        (PUBLISHED, 1_189, True),
        (PUBLISHED, 1_190, False),
        (QUORATE, 1_160, False),
    ],
)
def test_vote_is_cast_while_a_result_can_be_published_or_contested(facts, now, may):
    assert can_vote(BY_VOTES, facts, REVEALED_SEAT, 4, now) == may
    assert not can_vote(PARAMS, facts, REVEALED_SEAT, 4, now)


@pytest.mark.parametrize(
    "seat",
    [
        Seat(),
        replace(REVEALED_SEAT, committed_round=3),
        replace(REVEALED_SEAT, commitment=b"\1" * 28),
        replace(REVEALED_SEAT, voted_round=4),
    ],
)
def test_only_who_revealed_in_the_round_votes_and_once(seat):
    assert not can_vote(BY_VOTES, QUORATE, seat, 4, 1_100)
    assert can_vote(BY_VOTES, QUORATE, replace(REVEALED_SEAT, voted_round=3), 4, 1_100)


@pytest.mark.parametrize(
    ("for_published", "for_another", "outvoted"),
    [(0, 1, False), (0, 2, True), (1, 2, True), (2, 2, False), (2, 3, True), (3, 2, False)],
)
def test_more_votes_than_may_lie_and_than_the_published_result_has_refute_it(
    for_published, for_another, outvoted
):
    facts = replace(PUBLISHED, votes=for_published)
    assert is_outvoted(BY_VOTES, facts, for_another) == outvoted
    assert not is_outvoted(PARAMS, facts, for_another)


def test_published_result_is_refuted_by_the_first_that_outvotes_it_in_time():
    facts = replace(PUBLISHED, votes=1)
    votes = {"one": "ab", "other": "abc", "few": "a"}
    assert outvoted_by(BY_VOTES, facts, votes, 1_189) == "one"
    assert outvoted_by(BY_VOTES, facts, {"few": "a"}, 1_189) is None
    assert outvoted_by(BY_VOTES, facts, votes, 1_190) is None
    assert outvoted_by(PARAMS, facts, votes, 1_189) is None


RUNNING = TaskState(sponsor="0x" + "11" * 20, round=1, seats=5, active=5)
FIRST = replace(RUNNING, round=0, active=0, entering=5)


@pytest.mark.parametrize(
    ("state", "latest", "now", "expected"),
    [
        (FIRST, RoundState(), 1_000, True),
        (FIRST, RoundState(), 4_999, True),
        (FIRST, RoundState(), 5_000, False),
        (replace(FIRST, entering=3), RoundState(), 1_000, True),
        (replace(FIRST, entering=2), RoundState(), 1_000, False),
        (replace(FIRST, entering=2, pending=3), RoundState(), 1_000, False),
        (replace(FIRST, closed=True), RoundState(), 1_000, False),
        (replace(FIRST, ended=True), RoundState(), 1_000, False),
        (replace(RUNNING, active=2, entering=1), OPEN, 1_060, True),
        (replace(RUNNING, active=2), OPEN, 1_060, False),
        (RUNNING, OPEN, 1_059, False),
        (RUNNING, OPEN, 1_060, True),
        (RUNNING, QUORATE, 1_159, False),
        (RUNNING, QUORATE, 1_160, True),
        (RUNNING, PUBLISHED, 1_189, False),
        (RUNNING, PUBLISHED, 1_190, True),
        (replace(RUNNING, round=9), PUBLISHED, 1_190, True),
        (replace(RUNNING, round=10), PUBLISHED, 1_190, False),
    ],
)
def test_next_round_opens_only_after_the_latest_ended(state, latest, now, expected):
    assert can_open(PARAMS, state, latest, now) is expected


def test_no_round_opens_for_a_task_that_does_not_exist():
    assert not can_open(PARAMS, TaskState(), RoundState(), 1_000)


FLAG = Flag(round=1, index=1, posted=0, flagger="0x" + "11" * 20, root=b"\1" * 32)
ANSWERED = replace(FLAG, flagger=Flag().flagger)


@pytest.mark.parametrize(
    ("now", "flagging", "posting", "reclaiming"),
    [
        (1_059, False, False, False),
        (1_060, True, True, False),
        (1_079, True, True, False),
        (1_080, False, True, False),
        (1_099, False, True, False),
        (1_100, False, False, True),
        (LATEST, False, False, True),
    ],
)
def test_updates_are_flagged_first_and_posted_until_availability_ends(
    now, flagging, posting, reclaiming
):
    assert can_flag_update(PARAMS, ONE_MISSING, now) is flagging
    assert can_post_update(PARAMS, ONE_MISSING, FLAG, now) is posting
    assert can_reclaim(PARAMS, ONE_MISSING, FLAG, now) is reclaiming
    assert not can_post_update(PARAMS, ONE_MISSING, ANSWERED, now)
    assert not can_reclaim(PARAMS, ONE_MISSING, ANSWERED, now)


def test_nothing_is_flagged_in_a_round_that_lacks_reveals():
    assert not can_flag_update(PARAMS, OPEN, 1_060)


@pytest.mark.parametrize(
    ("now", "flagging", "posting", "refuting"),
    [
        (1_119, False, False, False),
        (1_120, True, True, False),
        (1_142, True, True, False),
        (1_143, False, True, False),
        (1_165, False, True, False),
        (1_166, False, False, True),
        (1_189, False, False, True),
        (1_190, False, False, False),
    ],
)
def test_results_are_flagged_then_posted_then_refuted(now, flagging, posting, refuting):
    known = PUBLISHED if now >= PUBLISHED.published_at else QUORATE
    flagged = replace(known, result_flags=1 << Published.MODEL)
    assert can_flag_result(PARAMS, known, Published.MODEL, now) is flagging
    assert can_flag_result(PARAMS, flagged, Published.AGGREGATE, now) is flagging
    assert not can_flag_result(PARAMS, flagged, Published.MODEL, now)
    assert not can_flag_result(PARAMS, known, Published.TABLE, now)
    mixing = replace(PARAMS, pre_steps=PreSteps.NNM)
    assert can_flag_result(mixing, known, Published.TABLE, now) is flagging
    for can, expected in ((can_post_result, posting), (can_refute_unavailable, refuting)):
        assert can(PARAMS, flagged, Published.MODEL, FLAG, now) is expected
        assert not can(PARAMS, flagged, Published.MODEL, ANSWERED, now)
        assert not can(PARAMS, flagged, Published.AGGREGATE, FLAG, now)


def test_included_and_excluded_share_the_revealed_between_them():
    assert included(TWO_MISSING, "abcd") == ("a", "c")
    assert excluded(TWO_MISSING, "abcd") == ("b", "d")


@pytest.mark.parametrize(
    ("state", "now", "expected"),
    [
        (RUNNING, 4_999, False),
        (RUNNING, 5_000, True),
        (replace(RUNNING, round=10), 1_000, True),
        (replace(RUNNING, ended=True), 1_000, True),
    ],
)
def test_a_task_is_exhausted_by_its_rounds_its_time_or_its_sponsor(state, now, expected):
    assert is_exhausted(PARAMS, state, now) is expected


DRAWING = replace(RUNNING, draws=True)


@pytest.mark.parametrize(
    ("state", "now", "expected"),
    [
        (DRAWING, 1_000, True),
        (DRAWING, 1_029, True),
        (DRAWING, 1_030, False),
        (RUNNING, 1_000, False),
        (replace(DRAWING, draw=b"\1" * 32), 1_000, False),
        (replace(RUNNING, draw=b"\1" * 32), 1_000, False),  # an earlier round's
    ],
)
def test_seats_are_drawn_once_and_while_somebody_can_still_commit(state, now, expected):
    assert can_draw(PARAMS, state, OPEN, now) is expected
    assert is_undrawn(state) is (state == DRAWING)


COMMITTED = Seat(active_from=1, committed_round=1, commitment=b"\1" * 28)


@pytest.mark.parametrize(
    ("seat", "committed", "now", "expected"),
    [
        (COMMITTED, OPEN, 1_059, False),
        (COMMITTED, OPEN, 1_060, True),
        (COMMITTED, QUORATE, LATEST, True),
        (COMMITTED, with_reveals(OPEN, PARAMS.cohort - 1), 1_060, True),
        (COMMITTED, with_reveals(OPEN, PARAMS.cohort), 1_060, False),
        (replace(COMMITTED, commitment=bytes(28)), OPEN, 1_060, False),
        (Seat(), RoundState(), LATEST, False),
    ],
)
def test_a_commitment_is_withheld_once_it_could_have_been_opened(seat, committed, now, expected):
    assert is_withheld(PARAMS, committed, seat, now) is expected


@pytest.mark.parametrize(
    ("now", "committing", "revealing"),
    [
        (1_099, False, False),
        (1_100, True, False),
        (1_119, True, False),
        (1_120, False, True),
        (1_139, False, True),
        (1_140, False, False),
    ],
)
def test_scores_are_committed_to_and_then_revealed(now, committing, revealing):
    early = replace(QUORATE, published_at=1_101)
    for facts in (QUORATE, early):
        assert can_commit_scores(SCORING, facts, now) is committing
        assert can_reveal_scores(SCORING, facts, now) is revealing
        assert not can_commit_scores(PARAMS, facts, now)
        assert not can_reveal_scores(PARAMS, facts, now)
    assert not can_commit_scores(SCORING, OPEN, now)
    assert not can_reveal_scores(SCORING, TWO_MISSING, now)


def test_scoring_has_deadlines_where_there_is_any():
    ends = deadlines(SCORING, QUORATE)
    assert (ends.score_commit, ends.score_reveal) == (1_120, 1_140)
    odd = deadlines(replace(SCORING, score_seconds=3), QUORATE)
    assert (odd.score_commit, odd.score_reveal) == (1_101, 1_103)
    assert next_deadline(SCORING, QUORATE, 1_100) == 1_120
    assert next_deadline(SCORING, PUBLISHED, 1_120) == 1_140


def test_a_reward_is_distributed_once_and_only_of_a_final_round():
    assert can_distribute(PARAMS, PUBLISHED, 1_190)
    assert not can_distribute(PARAMS, PUBLISHED, 1_189)
    assert not can_distribute(PARAMS, replace(PUBLISHED, distributed=True), 1_190)
    assert not can_distribute(PARAMS, OPEN, LATEST)
