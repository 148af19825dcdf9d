"""What the comparison of methods runs and how it is read."""

from dataclasses import replace

import numpy as np
import pytest

from benchmarks.learning import Bench, Row, of_weeks, reached
from benchmarks.methods import METHODS
from node.evaluation.metrics import measure
from node.learning.cross_validation import cross_validated
from node.learning.federation import federate
from node.learning.training import TrainingSettings
from node.models.plain_smile import PLAIN_SMILE
from protocol.task import Rule
from tests.unit.benchmarks import small_field

pytestmark = pytest.mark.unit

RECIPE = TrainingSettings(rounds=2, steps_per_round=6, batch_size=64, arbitrage_weight=0)


@pytest.fixture(scope="module")
def bench():
    field = small_field.dealt(3, anchor_every=50)
    return Bench(replace(field, own_test=field.desks), "desks", 0, RECIPE)


def test_a_run_is_priced_after_every_round_and_counts_what_was_sent(bench):
    row, vector = bench.federated("fedavg", METHODS["fedavg"], rounds=3, rule=Rule.TRIMMED_MEAN)
    assert (len(row.validation), len(row.own_test)) == (3, 3)
    assert row.update_bytes == 3 * 2 * vector.size
    assert min(row.own_test) <= row.test <= max(row.own_test)
    assert row.test == row.stress == bench.row("again", vector).test


def test_the_plain_network_is_averaged_by_desks_that_have_nothing_public(bench):
    row, vector = bench.federated("plain", METHODS["plain_network"])
    apart = replace(bench, field=replace(bench.field, anchors=bench.field.desks[0]))
    _, again = apart.federated("plain", METHODS["plain_network"])
    np.testing.assert_array_equal(vector, again)
    assert vector.size == PLAIN_SMILE.spec.dimension
    test = bench.field.held_out["test"]
    assert row.test == round(measure(PLAIN_SMILE.predict(vector, test), test).rmse, 4)


def test_anchors_are_what_desks_train_on_beside_their_quotes(bench):
    own = [len(desk) for desk in bench.field.desks]
    sizes = {
        name: [len(desk) - size for desk, size in zip(bench.desks(name), own, strict=True)]
        for name in ("none", "panel", "synthetic", "both")
    }
    public, drawn = len(bench.field.anchors), sizes["synthetic"][0]
    assert drawn > 0
    assert sizes["none"] == [0] * 3
    assert sizes["panel"] == [public] * 3
    assert sizes["both"] == [public + drawn] * 3


def test_settings_are_judged_by_weeks_beside_the_first_of_them(bench):
    lines = list(of_weeks(bench, (0.0, 0.5), folds=2))
    assert len(lines) == 4
    first, other = ([cell.strip() for cell in line.strip("|").split("|")] for line in lines[2:])
    assert (first[0], other[0]) == ("weight decay 0", "weight decay 0.5")
    assert first[2] == "0.000 ± 0.000" != other[2]
    errors = cross_validated(
        bench.field.desks,
        bench.field.anchors,
        {"decayed": replace(RECIPE, weight_decay=0.5)},
        folds=2,
        train=lambda desks, settings: federate(desks, settings, rule=Rule.MEAN, tolerance=0),
    )["decayed"]
    assert other[1] == f"{np.mean(errors):.3f} ± {np.std(errors):.3f}"


def row(name, *validation, update_bytes=1_000_000):
    return Row("desks", 0, name, validation, 1.5, 2.5, (1.1, 1.9), update_bytes)


def test_methods_are_told_by_when_they_reach_plain_averagings_last_error():
    rows = [row("fedavg, full", 3.0, 2.0, 1.0), row("fast", 1.5, 0.9, 0.8), row("slow", 3.0, 2.0)]
    central = row("central", 0.5, update_bytes=0)
    assert list(reached([*rows, central]))[2:] == [
        "| fedavg, full | 1.000 | 1.500 | 2.500 | 1.900 | 3 | 3.00 |",
        "| fast | 0.800 | 1.500 | 2.500 | 1.900 | 2 | 2.00 |",
        "| slow | 2.000 | 1.500 | 2.500 | 1.900 | not in 2 |  |",
    ]
