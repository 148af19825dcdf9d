"""An evaluator is found by name among the installed ones, or refused with the known names."""

from importlib.metadata import EntryPoint

import numpy as np
import pytest

from orchestrator import evaluator
from orchestrator.evaluator import GROUP, load_evaluator
from protocol.errors import ConfigError

pytestmark = pytest.mark.unit


class Counting:
    """Counts the model's parameters, times a factor."""

    def __init__(self, factor):
        self.factor = factor

    @classmethod
    def from_settings(cls, settings):
        return cls(settings["factor"])

    def __call__(self, model_units, shift):
        return {"size": self.factor * model_units.size, "shift": float(shift)}


class Unmade:
    """No way to make one."""


@pytest.fixture(autouse=True)
def installed(monkeypatch):
    def entry(name, target):
        return EntryPoint(name, f"{__name__}:{target}", GROUP)

    known = [entry("counting", "Counting"), entry("unmade", "Unmade"), entry("gone", "Gone")]
    monkeypatch.setattr(evaluator, "entry_points", lambda group: known if group == GROUP else [])


def test_an_evaluator_is_made_from_its_settings():
    found = load_evaluator("counting", {"factor": 2})
    assert found(np.zeros(5, dtype=np.int32), 16) == {"size": 10, "shift": 16.0}


def test_an_unknown_name_is_refused_with_the_known_ones():
    with pytest.raises(ConfigError, match="known evaluators: counting, gone, unmade"):
        load_evaluator("smlie", {})


@pytest.mark.parametrize(("name", "why"), [("gone", "cannot load"), ("unmade", "from_settings")])
def test_an_entry_point_that_leads_nowhere_is_refused(name, why):
    with pytest.raises(ConfigError, match=why):
        load_evaluator(name, {})
