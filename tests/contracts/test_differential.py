"""The rules in Python and in Solidity give the same bits, and the contract judges by them.

Random rounds are played in an EVM. What Python computed is published, so a challenge of any chunk
must fail; then one coordinate is wrong, and exactly the challenge of its chunk must succeed.
"""

import numpy as np
import pytest

from protocol.choice import choice_hash
from protocol.commitment import Evidence
from protocol.errors import Reverted
from protocol.gram import Table
from protocol.numbers import Int32Array
from protocol.sumtree import SumTree
from protocol.task import ZERO_ADDRESS, PreSteps, Rule
from tests.contracts.revm import Revm, account
from tests.contracts.stage import CHALLENGER, FIRST_DESK, METHODS, Stage, drawn_updates

pytestmark = pytest.mark.contracts

# Every number of updates, for every rule of ranks, with several dimensions and tolerances.
COUNTS = range(3, 65)
# Where all are asked before; two may be excluded, and five must remain for Krum and multi-Krum.
FEWER_COUNTS = (7, 8, 9, 13, 20, 33, 64)
CHUNKS = 8


@pytest.mark.parametrize(("rule", "pre_steps"), METHODS)
def test_contract_finds_no_fraud_but_where_a_coordinate_is_wrong(
    rule: Rule, pre_steps: PreSteps
) -> None:
    random = np.random.default_rng([rule, pre_steps, 1])
    by_distance = rule.chooses_by_distance or pre_steps
    for count in FEWER_COUNTS if by_distance else COUNTS:
        stage = drawn_stage(random, rule, count, pre_steps=pre_steps)
        judge_right_result(stage)
        judge_wrong_aggregate(stage, random)
        judge_wrong_model(stage, random)


@pytest.mark.parametrize(("rule", "pre_steps"), METHODS)
def test_contract_finds_no_fraud_but_where_a_table_or_a_choice_is_wrong(
    rule: Rule, pre_steps: PreSteps
) -> None:
    random = np.random.default_rng([rule, pre_steps, 4])
    for count in (7, 8, 16, 31):
        stage = drawn_stage(random, rule, count, pre_steps=pre_steps)
        assert (stage.choice is not None) == stage.params.has_table
        if stage.choice is not None:
            judge_right_evidence(stage, random)
            judge_wrong_product(stage, random)
            judge_wrong_choice(stage, random)


@pytest.mark.parametrize("rule", [Rule.MEDIAN, Rule.TRIMMED_MEAN])
def test_every_tolerance_trims_as_python_does(rule: Rule) -> None:
    random = np.random.default_rng([rule, 2])
    for count in (3, 4, 9, 16, 33, 64):
        for tolerance in range(rule.most_liars(count) + 1):
            stage = drawn_stage(random, rule, count, tolerance=tolerance)
            judge_right_result(stage)


def test_wrong_trim_is_fraud_wherever_it_changes_a_chunk() -> None:
    random = np.random.default_rng(3)
    changed = 0
    for count in (5, 8, 21):
        stage = drawn_stage(random, Rule.TRIMMED_MEAN, count, tolerance=1)
        right = stage.result().aggregate
        other = np.sort(stage.updates, axis=0)[2:-2].sum(axis=0, dtype=np.int64) // (count - 4)
        wrong = other.astype(np.int16)
        with stage.revm.undone():
            stage.publish(wrong, stage.result().model)
            found = [proven_wrong(stage, stage.tree(wrong), chunk) for chunk in chunks(stage)]
        step = stage.params.chunk_length
        differs = [bool(np.any((right != wrong)[k * step : (k + 1) * step])) for k in chunks(stage)]
        assert found == differs
        changed += sum(differs)
    assert changed


def judge_right_result(stage: Stage) -> None:
    right = stage.result()
    aggregate, model = stage.tree(right.aggregate), stage.tree(right.model)
    with stage.revm.undone():
        stage.publish(right.aggregate, right.model)
        for chunk in chunks(stage):
            assert not proven_wrong(stage, aggregate, chunk), (stage.params, chunk)
            assert not model_proven_wrong(stage, aggregate, model, chunk), (stage.params, chunk)


def judge_wrong_aggregate(stage: Stage, random: np.random.Generator) -> None:
    right = stage.result()
    place = int(random.integers(stage.params.dimension))
    wrong = right.aggregate.copy()
    wrong[place] += 1 if wrong[place] < 2**15 - 1 else -1
    with stage.revm.undone():
        stage.publish(wrong, right.model)
        assert guilty_chunks(stage, stage.tree(wrong)) == [place // stage.params.chunk_length]


def judge_wrong_model(stage: Stage, random: np.random.Generator) -> None:
    right = stage.result()
    place = int(random.integers(stage.params.dimension))
    wrong = right.model.copy()
    wrong[place] ^= 1 << int(random.integers(31))
    aggregate, model = stage.tree(right.aggregate), stage.tree(wrong)
    with stage.revm.undone():
        stage.publish(right.aggregate, wrong)
        found = [k for k in chunks(stage) if model_proven_wrong(stage, aggregate, model, k)]
        assert found == [place // stage.params.chunk_length]


def judge_right_evidence(stage: Stage, random: np.random.Generator) -> None:
    right, choice = stage.result(), stage.choice
    assert choice is not None
    with stage.revm.undone():
        stage.publish(right.aggregate, right.model)
        assert not choice_proven_wrong(stage, choice.table, choice.evidence.choice_hash)
        for leaf in drawn_leaves(choice.table, random):
            assert not product_proven_wrong(stage, choice.table, leaf, choice.evidence.choice_hash)


def judge_wrong_product(stage: Stage, random: np.random.Generator) -> None:
    right, choice = stage.result(), stage.choice
    assert choice is not None
    products = choice.table.products.copy()
    pair, chunk = (int(random.integers(length)) for length in products.shape)
    products[pair, chunk] += int(random.choice([-(2**40), -1, 1, 2**40]))
    wrong = Table.over(products, choice.table.geometry.rows)
    evidence = Evidence(wrong.root, choice.evidence.choice_hash)
    guilty = (pair << wrong.geometry.depth) + chunk
    with stage.revm.undone():
        stage.publish(right.aggregate, right.model, evidence)
        for leaf in {*drawn_leaves(wrong, random), guilty}:
            found = product_proven_wrong(stage, wrong, leaf, evidence.choice_hash)
            assert found == (leaf == guilty), (stage.params, leaf)


def judge_wrong_choice(stage: Stage, random: np.random.Generator) -> None:
    right, choice = stage.result(), stage.choice
    assert choice is not None
    chosen = list(choice.chosen)
    chosen[random.integers(len(chosen))] ^= 1 << int(random.integers(len(stage.included)))
    evidence = Evidence(choice.table.root, choice_hash(tuple(chosen)))
    with stage.revm.undone():
        stage.publish(right.aggregate, right.model, evidence)
        assert choice_proven_wrong(stage, choice.table, evidence.choice_hash), stage.params


def drawn_leaves(table: Table, random: np.random.Generator) -> list[int]:
    """Some of a table's leaves, the last one too."""
    last = (1 << table.geometry.height) - 1
    return [last, *random.integers(0, last, 8).tolist()]


def drawn_stage(
    random: np.random.Generator,
    rule: Rule,
    count: int,
    tolerance: int | None = None,
    pre_steps: PreSteps = PreSteps.NONE,
) -> Stage:
    """A round in its aggregate phase, some of its updates excluded."""
    chunk_length = int(random.choice([16, 32, 48]))
    dimension = int(random.integers((CHUNKS - 1) * chunk_length + 1, CHUNKS * chunk_length + 1))
    updates = drawn_updates(random, count, dimension)
    excluded = random.choice(count, int(random.integers(0, 3)) if count > 4 else 0, replace=False)
    most = rule.most_liars(count - len(excluded), pre_steps)
    least = int(rule.chooses_by_distance or pre_steps != 0)
    stage = Stage(
        Revm(),
        updates,
        drawn_base(random, dimension),
        rule=rule,
        pre_steps=pre_steps,
        tolerance=int(random.integers(least, most + 1))
        if tolerance is None
        else min(tolerance, most),
        clip_norm=int(random.integers(1, 2**19)) if rule.clips else 0,
        trusted=account(FIRST_DESK + int(random.integers(count)))
        if rule is Rule.FLTRUST
        else ZERO_ADDRESS,
        quorum=count - len(excluded),
        chunk_length=chunk_length,
    )
    stage.play_to_availability()
    for number in excluded:
        stage.flag(int(number))
    stage.end_availability()
    assert len(stage.included) == count - len(excluded)
    return stage


def drawn_base(random: np.random.Generator, dimension: int) -> Int32Array:
    """Any model to which an aggregate can be added."""
    return random.integers(-(2**31) + 2**15, 2**31 - 2**15, dimension).astype(np.int32)


def chunks(stage: Stage) -> range:
    return range(len(stage.base_tree.chunks))


def guilty_chunks(stage: Stage, published: SumTree) -> list[int]:
    return [chunk for chunk in chunks(stage) if proven_wrong(stage, published, chunk)]


def proven_wrong(stage: Stage, published: SumTree, chunk: int) -> bool:
    return succeeds(stage, "challengeAggregate", stage.against_aggregate(published, chunk))


def product_proven_wrong(stage: Stage, published: Table, leaf: int, choice_hash: bytes) -> bool:
    arguments = stage.against_product(published, leaf, choice_hash)
    return succeeds(stage, "challengeProduct", arguments)


def choice_proven_wrong(stage: Stage, published: Table, choice_hash: bytes) -> bool:
    return succeeds(stage, "challengeChoice", stage.against_choice(published, choice_hash))


def model_proven_wrong(stage: Stage, aggregate: SumTree, published: SumTree, chunk: int) -> bool:
    return succeeds(stage, "challengeModel", stage.against_model(aggregate, published, chunk))


def succeeds(stage: Stage, function: str, arguments: tuple[object, ...]) -> bool:
    """Whether a challenge succeeds; one that does not must find no fraud, and nothing else."""
    try:
        with stage.revm.undone():
            stage.revm.send(account(CHALLENGER), function, *arguments)
    except Reverted as refused:
        if refused.error != "NoFraud":
            raise
        return False
    return True
