"""Finds the judge of a final model by name among the installed ones.

Evaluators belong to the participants' side; an entry point keeps the orchestrator from importing
it.
"""

from collections.abc import Mapping
from importlib.metadata import entry_points
from typing import Any, Protocol

from protocol.errors import ConfigError
from protocol.numbers import Int32Array

GROUP = "volquorum.evaluators"


class Evaluator(Protocol):
    """Judges a model in units of `2^-shift`; answers named numbers. Shape: model_units [d]."""

    def __call__(self, model_units: Int32Array, shift: int) -> Mapping[str, float]: ...


def load_evaluator(name: str, settings: Mapping[str, Any]) -> Evaluator:
    """The evaluator called `name`, made from its settings.

    Raises: ConfigError if there is none of this name or it cannot be loaded.
    """
    known = {entry.name: entry for entry in entry_points(group=GROUP)}
    if name not in known:
        listed = ", ".join(sorted(known)) or "none"
        raise ConfigError(f"evaluator {name!r} is not installed; known evaluators: {listed}")
    try:
        factory = known[name].load()
    except (ImportError, AttributeError) as error:
        raise ConfigError(
            f"evaluator {name!r} ({known[name].value}) cannot load: {error}"
        ) from error
    from_settings = getattr(factory, "from_settings", None)
    if from_settings is None:
        raise ConfigError(f"evaluator {name!r} ({known[name].value}) has no from_settings")
    evaluator: Evaluator = from_settings(settings)
    return evaluator
