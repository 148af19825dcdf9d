"""The benchmark runs whole, on a market and a recipe that are small enough for a test."""

import sys
from functools import partial

import pytest

from benchmarks import arbitrage
from node.learning.training import TrainingSettings
from node.market.sources import quotes_of

pytestmark = pytest.mark.unit


@pytest.fixture
def small(monkeypatch):
    monkeypatch.setattr(arbitrage, "quotes_of", partial(quotes_of, days=14))
    recipe = TrainingSettings(rounds=1, steps_per_round=4, batch_size=32)
    monkeypatch.setattr(arbitrage, "TrainingSettings", lambda: recipe)

    def run(*options):
        monkeypatch.setattr(sys, "argv", ["arbitrage", *options])
        arbitrage.main()

    return run


def test_every_weight_and_every_formula_gets_a_line(small, capsys):
    small("--weights", "0", "7")
    printed = capsys.readouterr().out
    for name in ("flat", "network of round 0", "federated, weight 0, seed 0", "weight 7, seed 0"):
        assert name in printed


def test_rates_of_single_snapshots_are_held_against_the_limits(small, capsys):
    small("--limits", "--weights", "0")
    untrained, trained = capsys.readouterr().out.splitlines()
    assert untrained.startswith("round 0      beyond 0 of ")
    assert "; wide_butterfly 0, at most 0.0" in untrained
    assert trained.startswith("weight 0     beyond ")


def test_updates_are_judged_round_by_round(small, capsys):
    small("--updates", "--weights", "5")
    assert capsys.readouterr().out.startswith("weight 5\n  round   1: honest at most +0.0")


def test_smiles_fitted_to_quotes_stand_beside_the_network_at_listed_expiries(small, capsys):
    small("--listed")
    lines = capsys.readouterr().out.splitlines()
    assert [line.split("|z|")[0].split()[1] for line in lines] == [
        *("svi,", "svi,", "ssvi,", "ssvi,", "ssvi,", "quadratic,", "federated")
    ]
    fitted, formula = (float(line.split("|z|")[0].split()[-1]) for line in (lines[0], lines[5]))
    assert fitted < formula
