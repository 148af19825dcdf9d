"""What a shared model is made of: its parameters, its inputs, and the code that prices with them.

An architecture is installed code that a task names by the hash of its spec; nothing that is
downloaded is ever run.
"""

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn

from node.market.panel import Floats
from node.market.samples import Samples
from node.models.points import Points
from protocol import numbers
from protocol.errors import DataError
from protocol.model_spec import ModelSpec, Shape

DEFAULT_SHIFT = 14
"""One unit is 2^-14 = 6.1e-5; an int16 update then reaches +-2 a coordinate."""
DEFAULT_MAX_NORM = 1.99
"""Below 2, so that no coordinate of a clipped update leaves int16. After the first round a desk
moves by about 0.9: honest updates are seldom clipped."""
LAST_LAYER = "out."
"""How the names of the last layer's parameters begin; they are zero in round 0."""
PRICED_AT_ONCE = 16_384
"""Samples a call of the module. Four times as many take a fifth longer: what is in between them and
the answer then leaves the processor's cache and is asked of the kernel anew each time."""


@dataclass(frozen=True)
class Architecture:
    """A kind of model that desks can train together."""

    spec: ModelSpec
    """What every participant must agree on, hashed into the task."""
    module: Callable[[], nn.Module]
    """A new module on the CPU. Its forward takes what `inputs` gives and answers decimal
    volatilities [n]; its parameters are those of the spec."""
    inputs: Callable[[Points], tuple[Tensor, ...]]
    """What the module sees of points, each tensor with one row a point, in the points' type;
    differentiable in the points' log-moneyness and time."""

    @property
    def name(self) -> str:
        """What configurations call it."""
        return self.spec.name

    def genesis(self, seed: int, shift: int = DEFAULT_SHIFT) -> npt.NDArray[np.int32]:
        """The model of round 0: every machine gets the same bits.

        Matrices are uniform within 1 / sqrt(columns); everything else and the last layer is zero.
        Only PCG64's raw stream, which NumPy promises to keep, and exactly rounded arithmetic are
        used.

        Shape: [d], in units of 2^-shift.
        """
        stream = np.random.PCG64(seed)
        initial = {
            name: _uniform(stream, shape) if _is_drawn(name, shape) else np.zeros(shape)
            for name, shape in self.spec.parameters
        }
        return numbers.to_model(self.spec.flatten(initial), shift)

    def vector(self, module: nn.Module) -> Floats:
        """A module's parameters in the spec's canonical order. Shape: [d]"""
        state = {name: value.detach().cpu().numpy() for name, value in module.state_dict().items()}
        return self.spec.flatten(state)

    def load(self, module: nn.Module, vector: Floats) -> None:
        """Set a module's parameters from a vector in canonical order.

        Raises: DataError on a wrong dimension or a value that is not finite.
        """
        if vector.shape != (self.spec.dimension,) or not np.isfinite(vector).all():
            raise DataError(
                f"a vector of {self.spec.dimension} finite numbers is wanted, found shape"
                f" {vector.shape} with {int((~np.isfinite(vector)).sum())} not finite"
            )
        values = self.spec.unflatten(vector)
        state = {name: torch.from_numpy(value.astype(np.float32)) for name, value in values.items()}
        module.load_state_dict(state)

    def predict(self, vector: Floats, samples: Samples) -> Floats:
        """Decimal volatilities that a model gives samples, on the CPU. Shape: [d] -> [n]"""
        module = self.module()
        self.load(module, vector)
        with torch.inference_mode():
            vols = torch.cat([module(*part) for part in self._parts(samples)])
        return np.asarray(vols.numpy(), dtype=np.float64)

    def seen(self, samples: Samples) -> tuple[Tensor, ...]:
        """The module's inputs for samples: float32 on the CPU, one row a sample."""
        count, parts = len(samples), self._parts(samples)
        # Filled piece by piece: joined at the end there would be two of everything.
        whole: tuple[Tensor, ...] = ()
        for first, part in zip(range(0, max(count, 1), PRICED_AT_ONCE), parts, strict=True):
            whole = whole or tuple(piece.new_empty((count, *piece.shape[1:])) for piece in part)
            for into, piece in zip(whole, part, strict=True):
                into[first : first + len(piece)] = piece
        return whole

    def _parts(self, samples: Samples) -> Iterator[tuple[Tensor, ...]]:
        for first in range(0, max(len(samples), 1), PRICED_AT_ONCE):
            points = Points.of(samples.take(slice(first, first + PRICED_AT_ONCE)))
            yield tuple(part.to(torch.float32) for part in self.inputs(points))


def linear(inputs: int, outputs: int) -> nn.Linear:
    """A layer of zeros: torch's own initialisation would draw from the process's random numbers."""
    layer = nn.Linear(inputs, outputs, device="meta").to_empty(device="cpu")
    for parameter in layer.parameters():
        nn.init.zeros_(parameter)
    return layer


def parameters(module: nn.Module) -> tuple[tuple[str, Shape], ...]:
    """Names and shapes of a module's parameters, for its spec."""
    return tuple((name, tuple(value.shape)) for name, value in module.state_dict().items())


def _is_drawn(name: str, shape: Shape) -> bool:
    return len(shape) == 2 and not name.startswith(LAST_LAYER)


def _uniform(stream: np.random.PCG64, shape: Shape) -> Floats:
    """Uniform on (-b, b) with b = 1 / sqrt(columns): the top 53 bits of each raw word."""
    words = stream.random_raw(math.prod(shape)).astype(np.uint64)
    unit = (words >> np.uint64(11)).astype(np.float64) * 2.0**-53
    return np.asarray((2.0 * unit - 1.0) / math.sqrt(shape[1])).reshape(shape)
