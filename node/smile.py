"""The shared network corrects the volatility at the money: sigma = sigma_ATM(T) exp(net(x)).

The last layer starts at zero, so round 0 prices with the term structure alone.
"""

import math

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn

from node.features import INPUTS, NORMALISATION
from node.panel import TENOR_DAYS, Floats
from protocol import numbers
from protocol.errors import DataError
from protocol.model_spec import ModelSpec

WIDTH = 64
"""Wider networks and longer training over-fit these data."""
HIDDEN_LAYERS = 3
DEFAULT_SHIFT = 14
"""One unit is 2^-14 = 6.1e-5; an int16 update then reaches +-2 a coordinate."""
DEFAULT_MAX_NORM = 1.99
"""Below 2, so that no coordinate of a clipped update leaves int16. After the first round a desk
moves by about 0.9: honest updates are seldom clipped."""


class Smile(nn.Module):
    """Three hidden layers of 64 with SiLU: 9,153 parameters, all zero until a vector is loaded."""

    def __init__(self) -> None:
        super().__init__()
        self.hidden = nn.ModuleList(
            _linear(INPUTS if layer == 0 else WIDTH, WIDTH) for layer in range(HIDDEN_LAYERS)
        )
        self.out = _linear(WIDTH, 1)

    def forward(self, x: Tensor, atm_vol: Tensor) -> Tensor:
        """Volatility of each quote.

        Shape: x [n, 11], atm_vol [n] -> [n].
        """
        for layer in self.hidden:
            x = nn.functional.silu(layer(x))
        correction: Tensor = self.out(x)
        return atm_vol * torch.exp(correction.squeeze(-1))


def spec() -> ModelSpec:
    """What every participant must agree on about the network, hashed into the task."""
    parameters = tuple((name, tuple(value.shape)) for name, value in Smile().state_dict().items())
    settings: dict[str, float | str] = {"activation": "silu", "output": "atm_vol * exp(net)"}
    for name, centre, scale in NORMALISATION:
        settings[f"centre.{name}"], settings[f"scale.{name}"] = centre, scale
    for row, days in enumerate(TENOR_DAYS.tolist()):
        settings[f"tenor_days.{row}"] = days
    return ModelSpec("smile", 1, parameters, settings)


def to_vector(module: nn.Module) -> Floats:
    """The parameters as one float64 vector in the spec's canonical order."""
    state = {name: value.detach().cpu().numpy() for name, value in module.state_dict().items()}
    return spec().flatten(state)


def load_vector(module: nn.Module, vector: Floats) -> None:
    """Set the parameters from a vector in canonical order.

    Raises: DataError on a wrong dimension or a value that is not finite.
    """
    wanted = spec()
    if vector.shape != (wanted.dimension,) or not np.isfinite(vector).all():
        raise DataError(
            f"a vector of {wanted.dimension} finite numbers is wanted, found shape {vector.shape}"
            f" with {int((~np.isfinite(vector)).sum())} not finite"
        )
    state = {name: torch.from_numpy(value) for name, value in _float32(wanted, vector).items()}
    module.load_state_dict(state)


def genesis(seed: int, shift: int = DEFAULT_SHIFT) -> npt.NDArray[np.int32]:
    """The model of round 0: every machine gets the same bits.

    Hidden weights are uniform within 1 / sqrt(inputs of the layer), biases and the last layer zero.
    Only PCG64's raw stream, which NumPy promises to keep, and exactly rounded arithmetic are used.

    Shape: [d], in units of 2^-shift.
    """
    stream = np.random.PCG64(seed)
    initial = {
        name: _uniform(stream, shape) if _is_hidden_weight(name) else np.zeros(shape)
        for name, shape in sorted(spec().parameters)
    }
    return numbers.to_model(spec().flatten(initial), shift)


def predict(vector: Floats, x: npt.NDArray[np.float32], atm_vol: Floats) -> Floats:
    """Volatilities that a model vector gives quotes, on the CPU.

    Shape: vector [d], x [n, 11], atm_vol [n] -> [n].
    """
    module = Smile()
    load_vector(module, vector)
    with torch.inference_mode():
        vols = module(torch.from_numpy(x), torch.from_numpy(atm_vol.astype(np.float32)))
    return np.asarray(vols.numpy(), dtype=np.float64)


def _linear(inputs: int, outputs: int) -> nn.Linear:
    # torch's own initialisation would draw from the process's random numbers, only to be replaced.
    layer = nn.Linear(inputs, outputs, device="meta").to_empty(device="cpu")
    for parameter in layer.parameters():
        nn.init.zeros_(parameter)
    return layer


def _float32(wanted: ModelSpec, vector: Floats) -> dict[str, npt.NDArray[np.float32]]:
    return {name: value.astype(np.float32) for name, value in wanted.unflatten(vector).items()}


def _is_hidden_weight(name: str) -> bool:
    return name.startswith("hidden.") and name.endswith(".weight")


def _uniform(stream: np.random.PCG64, shape: tuple[int, ...]) -> Floats:
    """Uniform on (-b, b) with b = 1 / sqrt(inputs): the top 53 bits of each raw word."""
    words = stream.random_raw(int(np.prod(shape))).astype(np.uint64)
    unit = (words >> np.uint64(11)).astype(np.float64) * 2.0**-53
    return np.asarray((2.0 * unit - 1.0) / math.sqrt(shape[1])).reshape(shape)
