"""A task whose results no proof shows to be wrong: the participants' votes judge them."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from node.actions import RefuteOutvoted
from node.tick import Mandate, Participant
from orchestrator.views import Round as RoundView
from protocol.chain import calls
from protocol.errors import Reverted
from protocol.recompute import Combined, Roots, combine, combine_updates
from protocol.state import Phase
from protocol.sumtree import SumTree
from protocol.task import PreSteps, Rule
from scripts.comparison import Market
from scripts.due import due
from scripts.verify_round import Verifier
from tests.chain.network import Network
from tests.end_to_end.conftest import network_of
from tests.end_to_end.fixed_desks import CHUNK
from tests.end_to_end.random_desks import BOND_WEI, LIAR, PUBLISHER, RandomDesks, acts

pytestmark = pytest.mark.chain

# Accounts 1 to 5; the aggregator is one of them, so that a liar votes too.
FIVE = {"desks": 5, "quorum": 5, "cohort": 5, "tolerance": 1}
BOTH = PreSteps.ARC | PreSteps.NNM
COMPACT = {"rule": Rule.MINIMUM_DIAMETER}
# With a whole cohort its table would have 2^17 leaves.
TOO_HIGH_A_TABLE = {
    "rule": Rule.TRIMMED_MEAN,
    "pre_steps": BOTH,
    "cohort": 64,
    "seats": 64,
    "drawn": 64,
    "genesis": np.arange(17 * CHUNK, dtype=np.int32),
}
CLIPPING = {"rule": Rule.CENTERED_CLIPPING, "pre_steps": BOTH, "clip_norm": 1_500}
KINDS = {
    "minimum_diameter": COMPACT,
    "nnm+krum": {"rule": Rule.KRUM, "pre_steps": PreSteps.NNM},
    "too high a table": TOO_HIGH_A_TABLE,
    "arc+nnm+centered_clipping": CLIPPING,
}
EVERY_KIND = pytest.mark.parametrize("kind", KINDS.values(), ids=KINDS)


def played(embedded: Network, folder: Path, **changes: Any) -> RandomDesks:
    """Five desks whose updates wait for a result."""
    settings: dict[str, Any] = FIVE | COMPACT | changes
    desks = RandomDesks(embedded, folder, **settings)
    assert desks.params.by_votes
    desks.join()
    desks.play_until_aggregate()
    return desks


def false_result(desks: RandomDesks, number: int = 1) -> Combined:
    """One coordinate is off by one."""
    right = desks.honest(number)
    aggregate, model = right.aggregate.copy(), right.model.copy()
    aggregate[-1] += 1
    model[-1] += 1
    roots = [SumTree.of(values, CHUNK).root for values in (aggregate, model)]
    return Combined(aggregate, roots[0], model, roots[1])


def wait_for_all_turns(desks: RandomDesks) -> None:
    """A quarter of the challenge phase is enough for every seat to vote, or to refute."""
    desks.travel(desks.now() + desks.params.challenge_seconds // 4)


def cast(desks: RandomDesks, account: int, found: Combined) -> None:
    """A vote that no node casts."""
    number = desks.round_number()
    vote = calls.vote(number, found.result(desks.state(number)))
    desks.senders[account].send(vote.function, (desks.task_id, *vote.args), purpose=vote.purpose)


def votes(desks: RandomDesks, number: int = 1) -> dict[Roots, int]:
    found = desks.snapshot().votes(desks.task_id, number)
    return {roots: len(participants) for roots, participants in found.items()}


def task_model_root(desks: RandomDesks) -> bytes:
    return desks.snapshot().task_state(desks.task_id).model_root


def on_the_board(desks: RandomDesks, number: int) -> RoundView:
    board = desks.fallback.orchestrator.board.find(desks.task_id)
    assert board is not None
    assert board.summary.by_votes
    return board.rounds[number - 1]


def outvote(desks: RandomDesks, *nodes: Participant) -> None:
    """The nodes find the published result wrong and vote; the last one sees it refuted."""
    for node in nodes:
        acts(node, "verify")
    wait_for_all_turns(desks)
    for node in nodes:
        acts(node, "vote")
    acts(nodes[-1], "refuteoutvoted")


@EVERY_KIND
def test_lie_is_outvoted_and_an_honest_fallback_ends_the_round(
    embedded: Network, tmp_path: Path, kind: dict[str, Any]
) -> None:
    desks = played(embedded, tmp_path, **kind)
    honest = desks.honest(1)
    desks.publish_result(1, false_result(desks))

    outvote(desks, desks.node(1), desks.node(2))

    state = desks.state(1)
    assert (desks.phase(1), state.published_at, state.bond_wei) == (Phase.AGGREGATE, 0, 0)
    assert desks.burned_wei() == BOND_WEI, "nobody earns anything by a vote"
    assert votes(desks) == {honest.roots: 2}

    desks.fallback_publishes()
    assert desks.state(1).votes == 2, "votes outlive the publication that they refuted"
    third = desks.node(3)
    acts(third, "verify")
    wait_for_all_turns(desks)
    assert third.tick().acted is None, "enough others have voted"
    desks.travel(desks.ends().challenge)

    assert desks.phase(1) is Phase.FINAL
    assert desks.fallback.tick().acted == "open"
    assert task_model_root(desks) == honest.model_root
    (tally,) = on_the_board(desks, 1).votes
    assert tally.model_root == honest.model_root
    assert tally.participants == tuple(desks.senders[account].address for account in (1, 2))
    (verdict,) = Verifier(desks.snapshot(), desks.task_id, desks.blobs).check("1")
    assert verdict.verdict == "verified"
    assert [(each.is_published, each.is_right) for each in verdict.votes] == [(True, True)]


def test_wrong_model_of_the_right_aggregate_is_proven_and_earns_its_award(
    embedded: Network, tmp_path: Path
) -> None:
    desks = played(embedded, tmp_path)
    right = desks.honest(1)
    model = right.model.copy()
    model[0] -= 1
    root = SumTree.of(model, CHUNK).root
    desks.publish_result(1, replace(right, model=model, model_root=root))

    acts(desks.node(PUBLISHER), "verify", "seal", "challenge")

    assert desks.phase(1) is Phase.AGGREGATE
    assert desks.credit(PUBLISHER) == BOND_WEI // 2


def test_votes_are_cast_before_anything_is_published_and_end_a_lie_at_once(
    embedded: Network, tmp_path: Path
) -> None:
    desks = played(embedded, tmp_path)
    wait_for_all_turns(desks)
    for account in (5, 3):
        acts(desks.node(account), "vote")
    assert desks.node(2).tick().acted is None, "two votes are enough"
    desks.publish_result(1, false_result(desks))
    assert desks.state(1).votes == 0

    acts(desks.node(PUBLISHER), "verify", "refuteoutvoted")

    assert desks.phase(1) is Phase.AGGREGATE
    assert desks.burned_wei() == BOND_WEI


def test_liars_as_many_as_are_tolerated_change_nothing(embedded: Network, tmp_path: Path) -> None:
    desks = played(embedded, tmp_path, tolerance=2)
    wrong, right = false_result(desks), desks.honest(1)
    for account in (LIAR, 5):
        cast(desks, account, wrong)
    desks.travel(desks.ends().aggregator)
    desks.fallback_publishes()
    refuting = (desks.task_id, 1, *wrong.roots)
    with pytest.raises(Reverted, match=r"NotOutvoted\(.*votes=2, required=3"):
        desks.senders[LIAR].simulate("refuteOutvoted", refuting)
    assert not [each for each in due(desks.snapshot(), desks.task_id) if "refute" in each.what]

    nodes = [desks.node(account) for account in (1, 2, 3)]
    for node in nodes:
        acts(node, "verify")
    wait_for_all_turns(desks)
    for node in nodes:
        acts(node, "vote")
    assert votes(desks) == {wrong.roots: 2, right.roots: 3}
    desks.travel(desks.ends().challenge)

    assert desks.phase(1) is Phase.FINAL
    assert desks.fallback.tick().acted == "open"
    assert task_model_root(desks) == right.model_root
    (verdict,) = Verifier(desks.snapshot(), desks.task_id, desks.blobs).check("1")
    assert [(each.is_published, each.is_right) for each in verdict.votes] == [
        (False, False),
        (True, True),
    ]


def test_lie_that_tolerated_liars_vote_for_never_becomes_final(
    embedded: Network, tmp_path: Path
) -> None:
    desks = played(embedded, tmp_path, tolerance=2)
    wrong = false_result(desks)
    desks.publish_result(1, wrong)
    for account in (LIAR, 5):
        cast(desks, account, wrong)
    assert desks.state(1).votes == 2

    outvote(desks, *(desks.node(account) for account in (1, 2, 3)))

    assert desks.phase(1) is Phase.AGGREGATE
    assert desks.burned_wei() == BOND_WEI


def test_lie_that_was_outvoted_is_never_final_though_nobody_refutes_it(
    embedded: Network, tmp_path: Path
) -> None:
    desks = played(embedded, tmp_path)
    wrong, right = false_result(desks), desks.honest(1)
    desks.publish_result(1, wrong)
    for account in (LIAR, 5):
        cast(desks, account, wrong)
    assert desks.state(1).votes == desks.params.votes_needed
    for account in (1, 2, 3):
        cast(desks, account, right)
    desks.travel(desks.ends().challenge)

    assert desks.phase(1) is Phase.VOID
    assert (desks.state(1).votes, desks.state(1).most_votes) == (2, 3)
    (verdict,) = Verifier(desks.snapshot(), desks.task_id, desks.blobs).check("1")
    assert "2 voted for the published result, 3 for another one" in verdict.why
    assert [(each.is_published, each.is_right) for each in verdict.votes] == [
        (True, False),
        (False, True),
    ]
    assert desks.fallback.tick().acted == "open"
    shown = on_the_board(desks, 1)
    assert (shown.phase, shown.aggregate_root, shown.model_root) == ("void", None, None)
    assert [each.is_published for each in shown.votes] == [True, False]
    assert task_model_root(desks) == desks.params.genesis_model_root


def test_vote_goes_on_where_another_result_has_more(embedded: Network, tmp_path: Path) -> None:
    six = dict.fromkeys(("desks", "quorum", "cohort", "seats", "drawn"), 6)
    desks = played(embedded, tmp_path, **six)
    wrong = false_result(desks)
    wait_for_all_turns(desks)
    for account in (1, 2):
        acts(desks.node(account), "vote")
    third = desks.node(3)
    assert third.tick().acted is None, "two votes are enough"
    for account in (LIAR, 5, 6):
        cast(desks, account, wrong)

    acts(third, "vote")

    assert votes(desks) == {desks.honest(1).roots: 3, wrong.roots: 3}
    desks.travel(desks.ends().aggregator)
    desks.fallback_publishes()
    desks.travel(desks.ends().challenge)
    assert desks.phase(1) is Phase.FINAL


@pytest.mark.parametrize("lies", [False, True], ids=["right result", "wrong result"])
def test_round_void_for_want_of_votes_returns_the_bond_and_the_next_one_goes_on(
    embedded: Network, tmp_path: Path, *, lies: bool
) -> None:
    desks = played(embedded, tmp_path)
    published = false_result(desks) if lies else desks.honest(1)
    desks.publish_result(1, published)
    silent = [desks.node(account, votes=False) for account in (1, 2)]
    for node in silent:
        acts(node, "verify")
    wait_for_all_turns(desks)
    assert [node.tick().acted for node in silent] == [None, None]
    acts(desks.node(3), "verify", "vote")
    desks.travel(desks.ends().challenge)
    assert desks.phase(1) is Phase.VOID
    assert desks.state(1).votes == (not lies)
    found = Verifier(desks.snapshot(), desks.task_id, desks.blobs).check("1")
    assert [(each.verdict, each.model_root) for each in found] == [("void", "")]
    assert f"{int(not lies)} voted for the published result, 2 are needed" in found[0].why
    assert [each.is_right for each in found[0].votes] == [True]

    assert desks.fallback.tick().acted == "open", "which settles the round before it"

    assert desks.state(1).settled
    assert desks.credit(LIAR) == BOND_WEI
    assert desks.burned_wei() == 0
    assert task_model_root(desks) == desks.params.genesis_model_root
    desks.commit()
    desks.reveal()
    desks.travel(desks.ends().availability)
    base, updates = desks.genesis, desks.all_updates(2)
    right = combine(desks.params, base, updates)
    desks.publish_result(2, right)
    voters = [desks.node(account) for account in (1, 2)]
    for node in voters:
        acts(node, "verify")
        assert node.memory.mismatch is None
    wait_for_all_turns(desks)
    for node in voters:
        acts(node, "vote")
    desks.travel(desks.ends().challenge)
    assert desks.phase(2) is Phase.FINAL
    assert desks.fallback.tick().acted in {"finalise", "distribute"}
    assert task_model_root(desks) == right.model_root


def test_desks_that_train_vote_by_themselves_and_go_on_after_a_round_that_is_void(
    desks: Market, tmp_path: Path
) -> None:
    network = network_of(desks, tmp_path, rule="minimum_diameter", tolerance=1, quorum=3)
    for participant in network.participants:
        participant.mandate = Mandate(votes=False)

    phases = []
    for finished in network.rounds():
        phases.append(finished.phase)
        for participant in network.participants:
            participant.mandate = Mandate()

    assert phases == ["void", "final"]
    snapshot = network.chain.at(network.chain.head())
    assert snapshot.votes(network.task_id, 1) == {}
    assert snapshot.round_state(network.task_id, 1).published_at
    (voters,) = snapshot.votes(network.task_id, 2).values()
    assert len(voters) == 2, "the third has nothing to add"
    verdicts = Verifier(snapshot, network.task_id, network.blobs).check("all")
    assert [verdict.verdict for verdict in verdicts] == ["void", "verified"]


def test_last_round_that_is_void_for_want_of_votes_is_settled_and_all_money_leaves(
    embedded: Network, tmp_path: Path
) -> None:
    desks = played(embedded, tmp_path, rounds=1)
    desks.publish_result(1, desks.honest(1))
    desks.travel(desks.ends().challenge)

    assert desks.fallback.tick().acted == "void"

    assert desks.credit(LIAR) == BOND_WEI
    assert desks.wind_up() == desks.burned_wei() == 0


def test_model_that_no_int32_holds_gets_no_vote_and_is_proven_wrong(
    embedded: Network, tmp_path: Path
) -> None:
    genesis = np.full(7 * CHUNK, 2**31 - 1, dtype=np.int32)
    desks = played(embedded, tmp_path, genesis=genesis)
    wait_for_all_turns(desks)
    assert desks.node(1).tick().acted is None, "there is nothing to vote for"
    aggregate = combine_updates(desks.params, desks.all_updates(1))
    model = np.minimum(genesis.astype(np.int64) + aggregate, 2**31 - 1).astype(np.int32)
    roots = [SumTree.of(values, CHUNK).root for values in (aggregate, model)]
    desks.publish_result(1, Combined(aggregate, roots[0], model, roots[1]))

    acts(desks.node(1), "verify", "seal", "challenge")

    assert desks.phase(1) is Phase.AGGREGATE
    assert votes(desks) == {}


def test_node_that_is_killed_at_any_time_votes_once(embedded: Network, tmp_path: Path) -> None:
    desks = played(embedded, tmp_path)
    desks.publish_result(1, false_result(desks))
    wait_for_all_turns(desks)

    acts(desks.node(1), "verify")
    acts(desks.node(1), "vote")
    for _ in range(2):
        assert desks.node(1).tick().acted is None
    acts(desks.node(2), "verify")
    acts(desks.node(2), "vote")
    acts(desks.node(1), "refuteoutvoted")

    assert "is in aggregate" in desks.node(1).tick().why
    assert votes(desks) == {desks.honest(1).roots: 2}


def test_vote_that_a_reorganisation_takes_away_is_cast_again(
    embedded: Network, tmp_path: Path
) -> None:
    desks = played(embedded, tmp_path)
    wait_for_all_turns(desks)
    before = embedded.snapshot()
    node = desks.node(1)
    acts(node, "vote")
    assert votes(desks) == {desks.honest(1).roots: 1}
    embedded.revert(before)
    assert votes(desks) == {}

    acts(node, "vote")

    assert votes(desks) == {desks.honest(1).roots: 1}


def test_second_node_that_refutes_comes_too_late_and_goes_on(
    embedded: Network, tmp_path: Path
) -> None:
    desks = played(embedded, tmp_path)
    desks.publish_result(1, false_result(desks))
    quick, slow = desks.node(1), desks.node(2)
    for node in (quick, slow):
        acts(node, "verify")
    wait_for_all_turns(desks)
    for node in (quick, slow):
        acts(node, "vote")
    snapshot, facts = desks.snapshot(), slow._facts(desks.snapshot())
    acts(quick, "refuteoutvoted")

    slow._disputes.act(RefuteOutvoted(), snapshot, 1, facts.round_state)

    assert "is in aggregate" in slow.tick().why
    assert slow.memory.mismatch is None


def test_whose_update_is_excluded_has_no_vote(embedded: Network, tmp_path: Path) -> None:
    settings: dict[str, Any] = FIVE | COMPACT | {"quorum": 4}
    desks = RandomDesks(embedded, tmp_path, **settings)
    desks.join()
    desks.play_until_revealed()
    desks.hide(0, 1)
    desks.travel_to_flagging()
    acts(desks.node(PUBLISHER), "flagupdate")
    desks.travel(desks.ends().availability)
    wait_for_all_turns(desks)
    assert desks.node(1).tick().acted is None
    found = desks.honest(1, (1, 2, 3, 4))
    with pytest.raises(Reverted, match="NotIncluded"):
        cast(desks, 1, found)
    acts(desks.node(2), "vote")
    assert votes(desks) == {found.roots: 1}


def test_what_cannot_be_fetched_is_no_reason_to_stop(embedded: Network, tmp_path: Path) -> None:
    desks = played(embedded, tmp_path)
    wait_for_all_turns(desks)
    *others, last = (SumTree.of(desks.update(desk, 1), CHUNK).root for desk in desks.desks)
    hidden = desks.desk_blobs.file_of(last).read_bytes()
    desks.desk_blobs.file_of(last).unlink()
    node = desks.node(2, flags=False)
    assert node.tick().acted is None
    for root in others:
        desks.desk_blobs.file_of(root).unlink()  # they came once, which is enough
    assert node.tick().acted is None

    desks.desk_blobs.file_of(last).write_bytes(hidden)

    acts(node, "vote")


def test_anybody_finds_what_is_due_and_the_orchestrator_shows_the_votes_and_refutes(
    embedded: Network, tmp_path: Path
) -> None:
    desks = played(embedded, tmp_path)
    right, wrong = desks.honest(1), false_result(desks)
    desks.publish_result(1, wrong)
    for account in (1, 3):
        cast(desks, account, right)
    (refuting,) = due(desks.snapshot(), desks.task_id)
    assert refuting.what == "refute the result of round 1: 2 found another one"
    desks.senders[0].simulate(refuting.function, refuting.args)
    assert desks.fallback.tick().acted == "refute"
    shown = on_the_board(desks, 1)
    assert [tally.model_root for tally in shown.votes] == [right.model_root]
    sample = desks.fallback.orchestrator.metrics.registry.get_sample_value
    assert sample("volquorum_votes", {"task": "0x" + desks.task_id.hex()}) == 0
    assert sample("volquorum_wrong_results_total", {"task": "0x" + desks.task_id.hex()}) == 1

    assert desks.phase(1) is Phase.AGGREGATE, "whoever serves the task refutes it"
    assert due(desks.snapshot(), desks.task_id) == ()
