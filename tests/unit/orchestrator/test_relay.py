"""The relay takes what the contract would take, and sends it in time."""

from dataclasses import replace

import pytest

from orchestrator.relay import Relay
from orchestrator.relay_store import RelayStore
from protocol.draw import draw_of, is_drawn
from protocol.errors import Reverted
from protocol.state import SUSPENDED, TaskState
from tests.unit.orchestrator.relayed import (
    ACCOUNTS,
    ADDRESSES,
    AGGREGATE,
    AVAILABILITY,
    CHAIN_ID,
    COMMIT,
    CONTRACT,
    EXCLUDED,
    PARAMS,
    PUBLISHED,
    REVEAL,
    T0,
    TASK,
    domain,
    found_in,
    opening,
    reading,
    seats,
    signed,
    vote,
    voting,
)

pytestmark = pytest.mark.unit


@pytest.fixture
def store(tmp_path):
    store = RelayStore(tmp_path / "relay.sqlite")
    yield store
    store.close()


@pytest.fixture
def relay(store):
    return Relay(store, chain_id=CHAIN_ID, contract=CONTRACT)


def hand_in(relay, *desks, at=COMMIT, **facts):
    """Signed commitments, as known at a time."""
    relay.show(reading(at, **facts))
    for desk in desks:
        assert relay.take_commit(TASK, 1, ADDRESSES[desk], signed(desk)) is None


def opened(relay, *desks, at=REVEAL, committed=range(5)):
    relay.show(reading(at, found=seats(committed=committed)))
    for desk in desks:
        assert relay.take_opening(TASK, 1, opening(desk)) is None


def who(entries):
    return [ADDRESSES.index(entry.participant) for entry in entries]


# ------------------------------------------------------------------------------------- commitments


@pytest.mark.parametrize("now", [T0, COMMIT, REVEAL - 1])
def test_a_signed_commitment_is_taken_from_the_opening_of_its_round_on(relay, now):
    hand_in(relay, 0, at=now)
    assert who(relay.commits(reading(now))) == [0]


def refused_commit(relay, found=None, *, desk=0, number=1, commit=None):
    relay.show(found or reading())
    refusal = relay.take_commit(TASK, number, ADDRESSES[desk], commit or signed(desk))
    assert refusal is not None
    assert relay.commits(found or reading()) == ()
    return refusal


def with_seat(**changes):
    found = seats()
    return reading(found=found | {ADDRESSES[0]: replace(found[ADDRESSES[0]], **changes)})


DRAWS = TaskState(sponsor=CONTRACT, round=1, seats=9, active=9, draws=True)


@pytest.mark.parametrize(
    ("found", "status", "why"),
    [
        (reading(found={}), 403, "has no seat"),
        (with_seat(active_from=SUSPENDED), 403, "suspended"),
        (with_seat(active_from=2), 403, "active from round 2"),
        (reading(state=DRAWS), 403, "not drawn yet"),
        (reading(state=replace(DRAWS, draw=b"\1" * 24 + bytes(8))), 403, "was not drawn"),
        (reading(REVEAL), 409, "round 1 is in reveal"),
        (reading(AVAILABILITY), 409, "round 1 is in void"),
        (reading(number=2), 409, "not the latest one, 2"),
    ],
)
def test_who_cannot_commit_now_is_told_why(relay, found, status, why):
    refusal = refused_commit(relay, found)
    assert refusal.status == status
    assert why in refusal.why


def test_only_who_was_drawn_is_relayed(relay):
    draw = draw_of(b"\3" * 32, TASK, 1, drawn=5, active=9)
    found = reading(state=replace(DRAWS, draw=draw))
    relay.show(found)
    taken = [
        address
        for desk, address in enumerate(ADDRESSES)
        if relay.take_commit(TASK, 1, address, signed(desk)) is None
    ]
    assert taken == [address for address in ADDRESSES if is_drawn(draw, address)]
    assert 0 < len(taken) < len(ADDRESSES), "the seed is chosen so that both are seen"


def test_a_commitment_is_its_signers(relay):
    assert refused_commit(relay, commit=signed(1)).status == 403
    forged = signed(0)._replace(r=bytes(32))
    assert refused_commit(relay, commit=forged).status == 403
    elsewhere = domain(2).sign(ACCOUNTS[0], signed(0).commitment)
    assert refused_commit(relay, commit=elsewhere).status == 403
    blank = domain().sign(ACCOUNTS[0], b"\1" * 4 + bytes(28))
    assert refused_commit(relay, commit=blank).status == 422


def test_a_task_that_is_not_relayed_is_unknown_here(relay):
    assert relay.take_commit(TASK, 1, ADDRESSES[0], signed(0)).status == 404
    assert relay.take_opening(TASK, 1, opening(0)).status == 404


def test_handing_in_again_changes_nothing(relay):
    hand_in(relay, 0)
    hand_in(relay, 0)
    assert who(relay.commits(reading())) == [0]


def test_what_is_on_the_chain_is_accepted_and_not_sent_again(relay):
    committed = reading(found=seats(committed=[0]))
    relay.show(committed)
    assert relay.take_commit(TASK, 1, ADDRESSES[0], signed(0)) is None
    assert relay.commits(committed) == ()
    other = signed(0, squared_norm=4)
    assert "has committed directly" in relay.take_commit(TASK, 1, ADDRESSES[0], other).why


def test_who_signs_two_is_refused_and_the_first_goes(relay):
    hand_in(relay, 0, 1)
    second = signed(0, squared_norm=4)
    refusal = relay.take_commit(TASK, 1, ADDRESSES[0], second)
    assert refusal.status == 409
    assert "two commitments" in refusal.why
    assert relay.take_commit(TASK, 1, ADDRESSES[0], signed(0)).status == 409
    assert [commit.signed for commit in relay.commits(reading())] == [signed(0), signed(1)]
    assert relay.evidence(reading()) == {ADDRESSES[0]: (signed(0), second)}


@pytest.mark.parametrize(
    ("at", "states", "slashable"),
    [
        (COMMIT, {}, None),
        (COMMIT, {"committed": [0]}, 0),
        (REVEAL, {"committed": [0]}, 0),
        (REVEAL, {"revealed": [0]}, None),
        (AVAILABILITY, {"committed": [0]}, None),
    ],
)
def test_an_equivocator_is_slashed_between_its_commitment_and_its_reveal(
    relay, at, states, slashable
):
    hand_in(relay, 0)
    relay.take_commit(TASK, 1, ADDRESSES[0], signed(0, squared_norm=4))
    found = relay.slashable(reading(at, found=seats(**states)))
    assert found == (None if slashable is None else ADDRESSES[slashable])


def test_nobody_is_slashed_where_there_is_no_slice(relay):
    hand_in(relay, 0)
    relay.take_commit(TASK, 1, ADDRESSES[0], signed(0, squared_norm=4))
    found = reading(params=replace(PARAMS, slice_wei=0), found=seats(committed=[0]))
    assert relay.slashable(found) is None


# ---------------------------------------------------------------------------------------- openings


def test_an_opening_is_taken_in_reveal_and_only_there(relay, store):
    for now, phase in ((T0, "selection"), (REVEAL - 1, "commit"), (AVAILABILITY, "void")):
        relay.show(reading(now, found=seats(committed=[0])))
        refusal = relay.take_opening(TASK, 1, opening(0))
        assert refusal == (409, f"round 1 is in {phase}")
        assert store.openings(TASK, 1) == (), "a secret is not even kept"
    opened(relay, 0)
    assert who(relay.openings(relay.readings[0])) == [0]


@pytest.mark.parametrize(
    ("found", "status", "why"),
    [
        (reading(REVEAL), 403, "no commitment in round 1"),
        (reading(REVEAL, found={}), 403, "no commitment in round 1"),
        (reading(REVEAL, found=seats(revealed=[0])), 409, "revealed already"),
        (reading(REVEAL, revealed=5, found=seats(committed=[0])), 409, "has its 5 updates"),
    ],
)
def test_an_opening_that_nothing_waits_for_is_refused(relay, store, found, status, why):
    relay.show(found)
    refusal = relay.take_opening(TASK, 1, opening(0))
    assert refusal.status == status
    assert why in refusal.why
    assert store.openings(TASK, 1) == ()


@pytest.mark.parametrize(
    ("wrong", "why"),
    [
        (opening(0, squared_norm=8), "does not open"),
        (replace(opening(0), salt=bytes(32)), "does not open"),
        (replace(opening(0), tree_top=bytes(32)), "does not open"),
        (replace(opening(0), participant=ADDRESSES[1]), "does not open"),
        (opening(0, squared_norm=2**49), "squared_norm must be at most"),
    ],
)
def test_what_does_not_open_the_commitment_is_refused(relay, store, wrong, why):
    relay.show(reading(REVEAL, found=seats(committed=range(5))))
    refusal = relay.take_opening(TASK, 1, wrong)
    assert refusal.status == 422
    assert why in refusal.why
    assert store.openings(TASK, 1) == ()


def test_an_equivocators_opening_is_refused(relay):
    hand_in(relay, 0)
    relay.take_commit(TASK, 1, ADDRESSES[0], signed(0, squared_norm=4))
    relay.show(reading(REVEAL, found=seats(committed=[0])))
    assert relay.take_opening(TASK, 1, opening(0)).status == 409


def test_no_more_openings_are_sent_than_the_round_has_room_for(relay):
    opened(relay, *range(5))
    found = reading(REVEAL + 8, revealed=2, found=seats(committed=range(5)))
    assert who(relay.batch(found).entries) == [0, 1, 2]


# ------------------------------------------------------------------------------------------- votes


def take_vote(relay, desk, *, given=None, number=1, **changes):
    handed_in = given or vote(desk, number=number, **changes)
    return relay.take_vote(TASK, number, ADDRESSES[desk], handed_in.found, handed_in.signature)


def voted(relay, *desks, at=AGGREGATE, **changes):
    relay.show(voting(at))
    for desk in desks:
        assert take_vote(relay, desk, **changes) is None


@pytest.mark.parametrize("now", [AGGREGATE, PUBLISHED, PUBLISHED + 11])
def test_a_vote_is_taken_before_and_after_a_publication(relay, now):
    voted(relay, 0, at=now)
    voted(relay, 0, at=now)
    assert who(relay.votes(voting(now))) == [0]


@pytest.mark.parametrize(
    ("facts", "desk", "changes", "refused"),
    [
        (voting(AGGREGATE, params=PARAMS), 0, {}, (409, "no votes judge")),
        (voting(AGGREGATE - 1), 0, {}, (409, "round 1 is in availability")),
        (voting(PUBLISHED + 12), 0, {}, (409, "round 1 is in void")),
        (voting(), 0, {"number": 2}, (409, "not the latest one")),
        (voting(), EXCLUDED, {}, (403, "no included update")),
        (voting(voted=[0]), 0, {}, (403, "has voted")),
        (replace(voting(), seats={}), 0, {}, (403, "no included update")),
        (voting(), 0, {"unavailable": 0}, (409, "computed from other updates")),
        (voting(), 0, {"root": bytes(32)}, (422, "no root that is zero")),
        (voting(), 0, {"given": vote(1)}, (403, f"{ADDRESSES[1]} signed this vote")),
    ],
)
def test_a_vote_that_would_not_count_is_refused(relay, facts, desk, changes, refused):
    relay.show(facts)
    refusal = take_vote(relay, desk, **changes)
    status, why = refused
    assert refusal.status == status
    assert why in refusal.why
    assert relay.votes(facts) == ()


def test_of_two_votes_the_first_stays(relay):
    voted(relay, 0)
    refusal = take_vote(relay, 0, root=b"\7" * 32)
    assert (refusal.status, refusal.why) == (
        409,
        f"{ADDRESSES[0]} has signed another vote, which came first",
    )
    assert [each.found for each in relay.votes(voting(AGGREGATE))] == [found_in()]


def test_votes_wait_for_a_publication_and_then_for_everybody_who_is_included(relay):
    voted(relay, 0, 1)
    assert relay.due_at(voting(AGGREGATE)) is None
    assert relay.batch(voting(AGGREGATE)) is None
    waiting = voting(PUBLISHED, voted=[2])
    assert (relay.batch(waiting), relay.due_at(waiting)) == (None, PUBLISHED + 6)
    voted(relay, 3)
    batch = relay.batch(waiting)
    assert (batch.function, who(batch.entries)) == ("relayVotes", [0, 1, 3])
    assert batch.votes == 3
    result, signatures = batch.arguments
    assert result == tuple(found_in())
    assert signatures == tuple(tuple(vote(desk).signature) for desk in (0, 1, 3))


def test_votes_go_at_half_of_the_challenge_and_later_ones_at_two_thirds(relay):
    voted(relay, 0)
    assert relay.batch(voting(PUBLISHED + 5)) is None
    assert who(relay.batch(voting(PUBLISHED + 6)).entries) == [0]
    voted(relay, 1, at=PUBLISHED + 7)
    later = {"voted": [0]}
    assert relay.due_at(voting(PUBLISHED + 7, **later)) == PUBLISHED + 8
    assert who(relay.batch(voting(PUBLISHED + 8, **later)).entries) == [1]
    assert relay.batch(voting(PUBLISHED + 8, voted=[0, 1])) is None


def standing(roots, votes):
    """What is published, and its votes."""
    found = voting()
    (latest,) = found.rounds
    state = replace(latest.state, **roots._asdict(), votes=votes)
    return replace(
        found, rounds=(replace(latest, state=state, votes={roots: ADDRESSES[2:][:votes]}),)
    )


def test_votes_that_refute_what_is_published_go_at_once(relay):
    lie = found_in(root=b"\7" * 32).roots
    voted(relay, 0)
    assert relay.batch(standing(lie, votes=1)) is None, "one vote refutes nothing"
    voted(relay, 1)
    assert who(relay.batch(standing(lie, votes=1)).entries) == [0, 1]
    assert relay.batch(standing(lie, votes=2)) is None, "they are not more"
    assert relay.batch(standing(found_in().roots, votes=0)) is None, "others may hand theirs in"


def test_a_call_carries_the_votes_for_one_result_the_most_of_them_first(relay):
    voted(relay, 0, root=b"\7" * 32)
    voted(relay, 1, 2)
    now = PUBLISHED + 6
    assert who(relay.batch(voting(now)).entries) == [1, 2]
    rest = relay.batch(voting(now, voted=[1, 2]))
    assert (who(rest.entries), rest.found.aggregate_root) == ([0], b"\7" * 32)


def test_the_vote_that_others_were_cast_alike_goes_before_those_of_liars(relay):
    voted(relay, 0, root=b"\7" * 32)
    voted(relay, 1, root=b"\6" * 32)
    voted(relay, 2)
    found = voting(PUBLISHED + 6, voted=[3])
    (latest,) = found.rounds
    cast = {found_in().roots: (ADDRESSES[3],)}
    batch = relay.batch(replace(found, rounds=(replace(latest, votes=cast),)))
    assert (who(batch.entries), batch.votes) == ([2], 2)


def test_a_vote_that_the_contract_refuses_is_given_up_and_the_rest_goes(relay):
    voted(relay, 0, 1)
    found = voting(PUBLISHED + 6)

    def simulate(entries):
        if any(entry.participant == ADDRESSES[0] for entry in entries):
            raise Reverted("relayVotes", "NotIncluded", {"account": ADDRESSES[0]})

    sound = relay.weed(found, relay.batch(found), simulate)
    assert (who(sound.entries), sound.found) == ([1], found_in())
    assert list(relay.dropped(found)) == [ADDRESSES[0]]
    assert "NotIncluded" in take_vote(relay, 0).why


def test_votes_for_what_a_reorganisation_took_away_are_not_sent(relay):
    voted(relay, 0)
    before = voting(PUBLISHED + 6)
    (latest,) = before.rounds
    after = replace(before, rounds=(replace(latest, state=replace(latest.state, unavailable=0b1)),))
    assert relay.votes(after) == ()
    assert relay.batch(after) is None
    relay.show(after)
    assert take_vote(relay, 1, unavailable=0b1) is None
    assert who(relay.votes(after)) == [1]


# ------------------------------------------------------------------------------------------ sending


def test_a_batch_goes_at_half_of_the_window_and_what_came_later_at_two_thirds(relay):
    hand_in(relay, 0)
    assert relay.batch(reading(COMMIT + 5)) is None
    assert relay.due_at(reading(COMMIT + 5)) == COMMIT + 6
    batch = relay.batch(reading(COMMIT + 6))
    assert (batch.function, who(batch.entries)) == ("commitUpdates", [0])
    on_chain = seats(committed=[0])
    assert relay.batch(reading(COMMIT + 6, found=on_chain)) is None
    hand_in(relay, 1, at=COMMIT + 7, found=on_chain)
    assert relay.batch(reading(COMMIT + 7, found=on_chain)) is None
    assert relay.due_at(reading(COMMIT + 7, found=on_chain)) == COMMIT + 8
    assert who(relay.batch(reading(COMMIT + 8, found=on_chain)).entries) == [1]
    assert relay.batch(reading(REVEAL, found=on_chain)) is None


def test_a_batch_goes_as_soon_as_everybody_is_there(relay):
    found = seats(committed=[3])
    found[ADDRESSES[4]] = replace(found[ADDRESSES[4]], active_from=SUSPENDED)
    hand_in(relay, 0, 1, found=found)
    assert relay.batch(reading(found=found)) is None
    hand_in(relay, 2, found=found)
    assert who(relay.batch(reading(found=found)).entries) == [0, 1, 2]
    assert relay.batch(reading(T0, found=found)) is None, "the window is not open yet"
    assert relay.due_at(reading(T0, found=found)) == COMMIT


def test_openings_go_as_soon_as_all_that_committed_are_there(relay):
    committed = [0, 1]
    opened(relay, 0, committed=committed)
    found = reading(REVEAL, found=seats(committed=committed, revealed=[2]))
    assert relay.batch(found) is None
    assert relay.due_at(found) == REVEAL + 6
    opened(relay, 1, committed=committed)
    batch = relay.batch(found)
    assert (batch.function, who(batch.entries)) == ("revealUpdates", [0, 1])


def test_nothing_is_due_where_nothing_waits(relay):
    for now in (T0, COMMIT + 8, REVEAL + 8, AVAILABILITY):
        assert relay.due_at(reading(now)) is None
        assert relay.batch(reading(now)) is None


def test_what_the_contract_refuses_is_given_up_and_the_rest_goes(relay):
    hand_in(relay, 0, 1, 2)
    found = reading(COMMIT + 6)

    def simulate(entries):
        if any(entry.participant == ADDRESSES[1] for entry in entries):
            raise Reverted("commitUpdates", "AlreadyCommitted", {"account": ADDRESSES[1]})

    sound = relay.weed(found, relay.batch(found), simulate)
    assert who(sound.entries) == [0, 2]
    assert list(relay.dropped(found)) == [ADDRESSES[1]]
    assert who(relay.commits(found)) == [0, 2]
    refusal = relay.take_commit(TASK, 1, ADDRESSES[1], signed(1))
    assert refusal.status == 409
    assert "AlreadyCommitted" in refusal.why


def test_who_loses_the_seat_is_not_sent_any_more(relay):
    hand_in(relay, 0, 1)
    left = seats()
    del left[ADDRESSES[0]]
    assert who(relay.commits(reading(found=left))) == [1]


def test_the_next_round_starts_empty(relay, store):
    hand_in(relay, 0)
    relay.show(reading(number=2))
    assert store.commits(TASK, 1) == ()


def test_a_restart_loses_nothing(relay, tmp_path):
    hand_in(relay, 0)
    store = RelayStore(tmp_path / "relay.sqlite")
    again = Relay(store, chain_id=CHAIN_ID, contract=CONTRACT)
    again.show(reading())
    assert who(again.batch(reading(COMMIT + 6)).entries) == [0]
    store.close()
