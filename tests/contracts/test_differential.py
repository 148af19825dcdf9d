"""The rules in Python and in Solidity give the same bits, and the contract judges by them.

Random rounds are played in an EVM. What Python computed is published, so a challenge of any chunk
must fail; then one coordinate is wrong, and exactly the challenge of its chunk must succeed.
"""

import numpy as np
import pytest

from protocol.errors import Reverted
from protocol.numbers import Int32Array
from protocol.sumtree import SumTree
from protocol.task import Rule
from tests.contracts.revm import Revm, account
from tests.contracts.stage import CHALLENGER, Stage, drawn_updates

pytestmark = pytest.mark.contracts

# Every number of updates, for every rule, with several dimensions and tolerances.
COUNTS = range(3, 65)
CHUNKS = 8


@pytest.mark.parametrize("rule", Rule)
def test_contract_finds_no_fraud_but_where_a_coordinate_is_wrong(rule: Rule) -> None:
    random = np.random.default_rng([rule, 1])
    for count in COUNTS:
        stage = drawn_stage(random, rule, count)
        judge_right_result(stage)
        judge_wrong_aggregate(stage, random)
        judge_wrong_model(stage, random)


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


def drawn_stage(
    random: np.random.Generator, rule: Rule, count: int, tolerance: int | None = None
) -> Stage:
    """A round in its aggregate phase, some of its updates excluded."""
    chunk_length = int(random.choice([16, 32, 48]))
    dimension = int(random.integers((CHUNKS - 1) * chunk_length + 1, CHUNKS * chunk_length + 1))
    updates = drawn_updates(random, count, dimension)
    excluded = random.choice(count, int(random.integers(0, 3)) if count > 4 else 0, replace=False)
    most = rule.most_liars(count - len(excluded))
    stage = Stage(
        Revm(),
        updates,
        drawn_base(random, dimension),
        rule=rule,
        tolerance=int(random.integers(most + 1)) if tolerance is None else min(tolerance, most),
        clip_norm=int(random.integers(1, 2**19)) if rule is Rule.CLIPPED_MEAN else 0,
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
