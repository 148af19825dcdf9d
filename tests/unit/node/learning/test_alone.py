from dataclasses import replace

import numpy as np
import pytest

from node.evaluation.metrics import measure
from node.learning import alone
from node.learning.alone import train_alone, train_central
from node.learning.training import TrainingSettings, train_locally
from node.models.architecture import DEFAULT_SHIFT
from node.models.smile import FACTORS, SMILE, WIDTH
from protocol import numbers
from tests.unit.node.small_market import samples

pytestmark = pytest.mark.unit

GENESIS = numbers.to_float(SMILE.genesis(0), DEFAULT_SHIFT)
OUT_BIAS = SMILE.spec.dimension - FACTORS * (WIDTH + 1)
"""Sorted names end with out.bias, out.weight."""
SHORT = TrainingSettings(rounds=3, steps_per_round=10, batch_size=64, learning_rate=3e-3)


def counted(monkeypatch):
    steps = []

    def train(vector, samples, settings, **_):
        steps.append((settings.steps_per_round, len(samples)))
        return real(vector, samples, settings, seed=0)

    real = alone.train_locally
    monkeypatch.setattr(alone, "train_locally", train)
    return steps


def test_the_central_model_takes_as_many_steps_as_all_participants(monkeypatch):
    steps = counted(monkeypatch)
    train_central(GENESIS, samples(), SHORT, participants=5, validation=samples(), seed=1)
    assert steps == [(50, len(samples()))] * 3


def test_a_desk_alone_takes_as_many_steps_as_in_the_federation(monkeypatch):
    steps = counted(monkeypatch)
    train_alone(GENESIS, samples(), SHORT, seed=1)
    assert steps == [(10, len(samples()))] * 3


def test_the_best_round_on_validation_is_kept_or_else_the_last(monkeypatch):
    rounds = iter(GENESIS + bias * (np.arange(GENESIS.size) == OUT_BIAS) for bias in (3, 0.01, 2))
    outcome = train_locally(GENESIS, samples(), replace(SHORT, steps_per_round=1), seed=1)
    found = [replace(outcome, vector=vector) for vector in rounds]
    monkeypatch.setattr(alone, "train_locally", lambda *_, **__: answers.pop(0))
    answers = list(found)
    kept = train_central(GENESIS, samples(), SHORT, participants=5, validation=samples(), seed=1)
    np.testing.assert_array_equal(kept, found[1].vector)
    answers += found
    kept = train_alone(GENESIS, samples(), SHORT, validation=samples(), seed=1)
    np.testing.assert_array_equal(kept, found[1].vector)
    answers += found
    kept = train_alone(GENESIS, samples(), SHORT, seed=1)
    np.testing.assert_array_equal(kept, found[2].vector)


def test_training_alone_is_reproducible_and_learns():
    first = train_alone(GENESIS, samples(), SHORT, seed=1)
    np.testing.assert_array_equal(train_alone(GENESIS, samples(), SHORT, seed=1), first)
    vols = SMILE.predict(first, samples())
    untrained = measure(SMILE.predict(GENESIS, samples()), samples())
    assert measure(vols, samples()).rmse < untrained.rmse
