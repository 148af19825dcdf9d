"""What a model is: its parameters and the settings that its code needs, hashed into the task.

Canonical order: names sorted, each array row-major.
"""

import json
import math
from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType

import numpy as np
import numpy.typing as npt
from eth_hash.auto import keccak

from protocol.errors import ConfigError
from protocol.numbers import FloatArray

Shape = tuple[int, ...]


def canonical_json(document: Mapping[str, object]) -> bytes:
    """One form for each document, to be hashed: sorted keys, no spaces, ASCII only."""
    return json.dumps(
        document, sort_keys=True, separators=(",", ":"), ensure_ascii=True, allow_nan=False
    ).encode("ascii")


@dataclass(frozen=True)
class ModelSpec:
    """A model's architecture; `parameters` are (name, shape) and are kept sorted by name."""

    name: str
    version: int
    parameters: tuple[tuple[str, Shape], ...]
    settings: Mapping[str, int | float | str]

    def __post_init__(self) -> None:
        ordered = tuple(sorted((name, tuple(shape)) for name, shape in self.parameters))
        if len({name for name, _ in ordered}) < len(ordered) or not ordered:
            raise ConfigError(f"a model needs parameters with distinct names; found {ordered}")
        if any(size < 1 for _, shape in ordered for size in shape):
            raise ConfigError(f"every side of a parameter must be at least 1; found {ordered}")
        object.__setattr__(self, "parameters", ordered)
        object.__setattr__(self, "settings", MappingProxyType(dict(self.settings)))

    @property
    def dimension(self) -> int:
        """Coordinates of the flat model."""
        return sum(math.prod(shape) for _, shape in self.parameters)

    @property
    def canonical(self) -> bytes:
        """The spec as JSON in its one form."""
        return canonical_json(
            {
                "name": self.name,
                "version": self.version,
                "parameters": [[name, list(shape)] for name, shape in self.parameters],
                "settings": dict(self.settings),
            }
        )

    @property
    def hash(self) -> bytes:
        """What a task names as its `model_spec_hash`."""
        return keccak(self.canonical)

    def flatten(self, arrays: Mapping[str, npt.NDArray[np.floating]]) -> FloatArray:
        """All parameters in canonical order. Shape: [dimension].

        Raises: ConfigError if a name or a shape is not the spec's.
        """
        found = tuple(sorted((name, array.shape) for name, array in arrays.items()))
        if found != self.parameters:
            raise ConfigError(f"model {self.name} has parameters {self.parameters}; found {found}")
        rows = [np.ravel(arrays[name], order="C") for name, _ in self.parameters]
        return np.concatenate(rows).astype(np.float64)

    def unflatten(self, values: FloatArray) -> dict[str, FloatArray]:
        """The arrays that `flatten` made `values` of.

        Raises: ConfigError if the dimension is not the spec's.
        """
        if values.shape != (self.dimension,):
            raise ConfigError(
                f"model {self.name} has {self.dimension} coordinates; found {values.shape}"
            )
        arrays: dict[str, FloatArray] = {}
        start = 0
        for name, shape in self.parameters:
            stop = start + math.prod(shape)
            arrays[name] = values[start:stop].reshape(shape).copy()
            start = stop
        return arrays
