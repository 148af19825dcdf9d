"""Holes are the same for every model, are in the panel alone, and cost something."""

from dataclasses import replace

import numpy as np
import pytest

from benchmarks.holes import (
    CASES,
    COPIES,
    LEAST,
    errors,
    fit,
    holed,
    holed_for_training,
    table,
    without_holes,
)
from node.learning.training import TrainingSettings
from node.market.completion import FACTORS, MEAN, NOISE, WHOLE
from node.market.panel import COLUMNS
from tests.unit.benchmarks import small_field
from tests.unit.node.small_market import samples

pytestmark = pytest.mark.unit


def known(found):
    return np.isfinite(found.surfaces).sum(axis=(1, 2))


@pytest.mark.parametrize("case", CASES)
def test_so_much_of_each_panel_is_known(case):
    found = holed(samples(), case, 3)
    wanted, whole_tenors = CASES[case]
    shown = np.isfinite(found.surfaces)
    assert (known(found) == wanted * (COLUMNS if whole_tenors else 1)).all()
    assert not whole_tenors or (shown == shown[:, :1]).all()
    np.testing.assert_array_equal(found.surfaces[shown], samples().surfaces[shown])
    if case != "whole":
        assert len(np.unique(shown, axis=0)) > 1
        assert (shown.mean(axis=0) > 0).all()


def test_holes_change_nothing_but_the_panel():
    found, whole = holed(samples(), "5 of 15", 3), samples()
    for name in found.columns():
        np.testing.assert_array_equal(getattr(found, name), getattr(whole, name))


def test_training_sees_each_panel_in_several_ways():
    found, whole = holed_for_training(samples(), 3), samples()
    assert len(found.surfaces) == COPIES * len(whole.surfaces)
    np.testing.assert_array_equal(found.surface_row % len(whole.surfaces), whole.surface_row)
    assert set(known(found).tolist()) == set(range(LEAST, WHOLE + 1))
    ways = np.unique(found.surface_row // len(whole.surfaces))
    assert ways.size == COPIES


def test_completing_keeps_what_is_known_and_leaves_no_hole():
    found = holed(samples(), "5 of 15", 3)
    shown = np.isfinite(found.surfaces)
    every = without_holes(found).surfaces
    np.testing.assert_array_equal(every[shown], found.surfaces[shown])
    assert np.isfinite(every).all()


def test_fit_finds_the_factors_that_panels_are_made_of():
    rng = np.random.default_rng(5)
    scores, noise = rng.normal(size=(20_000, len(FACTORS))), rng.normal(size=(20_000, *MEAN.shape))
    surfaces = np.exp(MEAN + np.tensordot(scores, FACTORS, 1) + NOISE * noise)
    made = replace(
        samples().take(np.resize(np.arange(len(samples())), 20_000)),
        surfaces=surfaces,
        surface_row=np.arange(20_000, dtype=np.int32),
    )
    mean, factors, found = fit(made)
    np.testing.assert_allclose(mean, MEAN, atol=0.01)
    wanted, explained = (np.tensordot(each, each, (0, 0)) for each in (FACTORS, factors))
    np.testing.assert_allclose(explained, wanted, atol=0.002)
    assert found == pytest.approx(NOISE, rel=0.1)


def test_every_model_errs_more_on_fewer_known():
    settings = TrainingSettings(rounds=1, steps_per_round=10, batch_size=64)
    found = errors(small_field.dealt(1, anchor_every=50), settings, 0)
    assert len(found) == 4
    for by_window in found.values():
        by_case = dict(zip(CASES, by_window["test"], strict=True))
        assert 0 < by_case["whole"] < by_case["2 of 15"]
        assert by_case["whole"] < by_case["1 tenor"]


def test_the_table_has_mean_and_spread_over_seeds():
    runs = [{"net": {"test": [first] + [2.0] * (len(CASES) - 1)}} for first in (1.0, 3.0)]
    rows = table(runs, "test").splitlines()
    assert rows[0].startswith("| test | whole | 10 of 15 | ")
    assert rows[2].startswith("| net | 2.000 ± 1.414 | 2.000 ± 0.000 | ")
    assert "1.000 ± 0.000" in table(runs[:1], "test")
