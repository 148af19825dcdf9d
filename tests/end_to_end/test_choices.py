"""Tasks that choose by distance: lies about a table or a choice are refuted, the honest go on."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from protocol.choice import Choice, Chosen, choice_hash, choice_of, neighbours
from protocol.commitment import Evidence
from protocol.gram import Table
from protocol.recompute import Combined
from protocol.rules import arc, mean, trimmed_mean
from protocol.state import Phase, Published, RoundState
from protocol.sumtree import SumTree
from protocol.task import PreSteps, Rule
from scripts.verify_round import Verifier
from tests.chain.network import Network
from tests.end_to_end.fixed_desks import CHUNK
from tests.end_to_end.random_desks import (
    AWARD_WEI,
    BOND_WEI,
    FALLBACK,
    FLAG_WEI,
    LIAR,
    PUBLISHER,
    WATCHER,
    RandomDesks,
    acts,
)

pytestmark = pytest.mark.chain


TRUSTED = 3
MIXING = {"pre_steps": PreSteps.ARC | PreSteps.NNM}
KINDS: dict[str, dict[str, Any]] = {
    "arc+nnm+trimmed_mean": MIXING,
    "arc+geometric_median": {"rule": Rule.GEOMETRIC_MEDIAN, "pre_steps": PreSteps.ARC},
    "fltrust": {"rule": Rule.FLTRUST},
}
EVERY_KIND = pytest.mark.parametrize("kind", KINDS.values(), ids=KINDS)


def played(embedded: Network, folder: Path, kind: dict[str, Any]) -> RandomDesks:
    """Three desks whose updates wait for a result."""
    trusts = kind.get("rule") is Rule.FLTRUST
    trusted = {"trusted": embedded.accounts[TRUSTED].address} if trusts else {}
    found = RandomDesks(embedded, folder, **kind, **trusted, rounds=1)
    assert not found.params.by_votes
    found.join()
    found.play_until_aggregate()
    return found


@pytest.fixture
def desks(embedded: Network, tmp_path: Path) -> RandomDesks:
    return played(embedded, tmp_path, MIXING)


def right_choice(desks: RandomDesks) -> Choice:
    choice = choice_of(desks.params, desks.all_updates(1), desks.trusted_row())
    assert choice is not None
    return choice


def mixed_by(desks: RandomDesks, masks: Chosen, table: Table) -> Combined:
    """The result that follows from a choice, right or not."""
    rows = arc(desks.all_updates(1), 1).array().astype(np.int64)
    chosen = [[row for row in range(len(rows)) if mask >> row & 1] for mask in masks]
    mixes = np.stack([rows[each].sum(axis=0) // len(each) for each in chosen])
    aggregate = trimmed_mean(mixes.astype(np.int16), 1).astype(np.int16)
    return result_of(desks, aggregate, Evidence(table.root, choice_hash(masks)))


def result_of(desks: RandomDesks, aggregate: np.ndarray, evidence: Evidence) -> Combined:
    model = desks.genesis + aggregate
    roots = [SumTree.of(values, CHUNK).root for values in (aggregate, model)]
    return Combined(aggregate, roots[0], model, roots[1], evidence)


def false_table(desks: RandomDesks) -> tuple[Combined, Table]:
    """Distances are false, and everything that follows from them is as they say."""
    right = right_choice(desks)
    products = right.table.products.copy()
    products[[0, 3, 5], 1] += 2**24 * np.array([1, 0, 2])
    table = Table.over(products, 3)
    masks = neighbours(table.sums, 1)
    assert masks != right.chosen
    return mixed_by(desks, masks, table), table


def false_choice(desks: RandomDesks) -> Combined:
    """The choice is not what the right table asks for, and the result is what it asks for."""
    right = right_choice(desks)
    if PreSteps.NNM not in desks.params.pre_steps:
        rows = desks.all_updates(1)
        alike = (*[1] * len(rows), len(rows))
        assert alike != right.chosen
        evidence = Evidence(right.table.root, choice_hash(alike))
        return result_of(desks, mean(rows).astype(np.int16), evidence)
    masks = tuple(mask ^ 0b111 | 1 << row for row, mask in enumerate(right.chosen))
    assert masks != right.chosen
    return mixed_by(desks, masks, right.table)


def post_table(desks: RandomDesks, table: Table) -> None:
    for number, part in enumerate(table.parts()):
        args = (desks.task_id, 1, Published.TABLE, *part)
        desks.senders[LIAR].send("postResult", args, purpose=f"post:{number}")


def flag_table(desks: RandomDesks, account: int) -> None:
    evidence = desks.snapshot().evidence(desks.task_id, 1)
    args = (desks.task_id, 1, *evidence)
    desks.senders[account].send("flagTable", args, value_wei=FLAG_WEI, purpose="flag table")


def assert_reopened(desks: RandomDesks) -> None:
    state: RoundState = desks.state(1)
    assert (desks.phase(1), state.published_at, state.bond_wei) == (Phase.AGGREGATE, 0, 0)
    assert desks.burned_wei() == BOND_WEI - AWARD_WEI


def end_honestly(desks: RandomDesks) -> None:
    """The honest orchestrator's turn, and what the watcher and an outsider make of it."""
    watcher = desks.node(WATCHER)
    assert "is in aggregate" in watcher.tick().why
    desks.fallback_publishes()
    acts(watcher, "verify")
    desks.travel(desks.ends().challenge)
    assert watcher.tick().acted is None
    honest = desks.honest(1)
    assert watcher.memory.verified_model_root == honest.model_root
    (verdict,) = Verifier(desks.snapshot(), desks.task_id, desks.blobs).check("1")
    assert (verdict.verdict, verdict.model_root) == ("verified", "0x" + honest.model_root.hex())
    assert desks.fallback.tick().acted == "distribute", "which settles the round, too"
    assert desks.snapshot().task_state(desks.task_id).model_root == honest.model_root
    assert desks.wind_up() == desks.burned_wei() == BOND_WEI - AWARD_WEI


def test_false_table_is_flagged_posted_and_refuted_by_a_product(desks: RandomDesks) -> None:
    lie, table = false_table(desks)
    desks.publish_result(1, lie)
    watcher = desks.node(WATCHER)

    acts(watcher, "verify", "flagresult")
    assert "its publisher must post it" in watcher.tick().why
    post_table(desks, table)
    acts(desks.node(WATCHER), "seal", "challenge")

    assert_reopened(desks)
    assert desks.credit(WATCHER) == AWARD_WEI
    assert desks.credit(LIAR) == FLAG_WEI
    end_honestly(desks)


def test_false_table_that_is_not_posted_is_refuted_by_time(desks: RandomDesks) -> None:
    lie, _ = false_table(desks)
    desks.publish_result(1, lie)

    acts(desks.node(WATCHER), "verify", "flagresult")
    desks.travel(desks.ends().post_result)
    acts(desks.node(WATCHER), "refuteunavailable")

    assert_reopened(desks)
    assert desks.credit(WATCHER) == AWARD_WEI + FLAG_WEI
    end_honestly(desks)


@EVERY_KIND
def test_false_choice_is_refuted_without_a_flag(
    embedded: Network, tmp_path: Path, kind: dict[str, Any]
) -> None:
    desks = played(embedded, tmp_path, kind)
    desks.publish_result(1, false_choice(desks))

    acts(desks.node(WATCHER), "verify", "seal", "challenge")

    assert_reopened(desks)
    assert desks.credit(WATCHER) == AWARD_WEI
    end_honestly(desks)


@EVERY_KIND
def test_false_coordinate_of_a_right_choice_is_refuted(
    embedded: Network, tmp_path: Path, kind: dict[str, Any]
) -> None:
    desks = played(embedded, tmp_path, kind)
    honest = desks.honest(1)
    aggregate = honest.aggregate.copy()
    aggregate[-1] += 1
    desks.publish_result(1, result_of(desks, aggregate, honest.evidence))

    acts(desks.node(WATCHER), "verify", "seal", "challenge")

    assert_reopened(desks)
    end_honestly(desks)


def test_honest_orchestrator_posts_the_table_that_somebody_flagged(desks: RandomDesks) -> None:
    desks.travel(desks.ends().aggregator)
    desks.fallback_publishes()
    flag_table(desks, WATCHER)

    assert desks.fallback.tick().acted == "post"

    assert desks.credit(FALLBACK) == FLAG_WEI
    assert desks.phase(1) is Phase.CHALLENGE
    acts(desks.node(WATCHER), "verify")
    assert desks.node(WATCHER).tick().acted is None


def test_node_that_published_posts_the_table_that_somebody_flagged(desks: RandomDesks) -> None:
    desks.travel(desks.ends().aggregator)
    publisher = desks.node(PUBLISHER, publishes=True)
    acts(publisher, "publish")
    assert desks.state(1).evidence_hash == desks.honest(1).evidence.hash
    flag_table(desks, WATCHER)

    # Made again, it has no more than its folder.
    acts(desks.node(PUBLISHER, publishes=True), "postresult", "verify")

    assert desks.credit(PUBLISHER) == FLAG_WEI
