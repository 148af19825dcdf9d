"""Training samples a second on this machine, beside the most that its arithmetic and memory allow.

    python benchmarks/training_speed.py [--model NAME] [--batch N] [--json FILE]

A step is forward, Huber loss, backward and Adam on one batch of the made-up market, on one CPU
thread and on a GPU where there is one: eager and compiled, in float32 and with the products in
bfloat16. The ceiling is the slower of two: the step's floating-point operations at the speed of a
large matrix product, and the bytes it must move at the speed of a large copy, both measured in the
same run. Bytes are the inputs once, what is saved for the backward pass written and read once, and
seven passes over the parameters (gradient written; parameter and Adam's two moments read, written).
"""

import argparse
import json
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, nullcontext
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path
from typing import Final

import numpy as np
import torch
from torch import Tensor
from torch.autograd.graph import saved_tensors_hooks
from torch.utils.flop_counter import FlopCounterMode

from node.learning.training import TrainingSettings
from node.market.cleaning import clean
from node.market.panel import Floats, build_panel
from node.market.quotes import VOL_POINTS
from node.market.samples import Samples, build_samples
from node.market.synthetic import market
from node.models.architecture import Architecture
from node.models.registry import installed

BATCHES: Final = {"cpu": (512, 8192), "cuda": (512, 8192, 65_536)}
MATRIX: Final = {"cpu": 512, "cuda": 8192}
COPIED_BYTES: Final = {"cpu": 1 << 28, "cuda": 1 << 30}
PRECISIONS: Final = {"float32": torch.float32, "bfloat16": torch.bfloat16}
PARAMETER_PASSES: Final = 7


@dataclass(frozen=True)
class Machine:
    """What a device does at best."""

    device: str
    flops: dict[str, float]
    """A second, by precision."""
    bytes: float
    """A second, read and written."""


@dataclass(frozen=True)
class Speed:
    """One way to train."""

    model: str
    device: str
    batch: int
    compiled: bool
    precision: str
    samples_per_second: float
    ceiling: float
    """Samples a second."""
    bound: str
    """What the ceiling is made of: arithmetic or memory."""
    flops_per_sample: float
    bytes_per_sample: float
    warm_up_seconds: float
    """Compiling, where that is done."""
    error_vol_points: float
    """Root mean square of what the precision changes in a price."""


class Step:
    """One training step on one batch, again and again."""

    def __init__(
        self, architecture: Architecture, samples: Samples, device: str, precision: str
    ) -> None:
        self.module = architecture.module()
        architecture.load(self.module, _rough(architecture))
        self.module.to(device)
        self.seen = tuple(part.to(device) for part in architecture.seen(samples))
        self.target = torch.from_numpy(VOL_POINTS * samples.target_vol).float().to(device)
        self.adam = torch.optim.AdamW(self.module.parameters(), lr=1e-4, fused=True)
        self.device, self.precision = device, precision
        self.forward: Callable[..., Tensor] = self.module

    def cast(self) -> AbstractContextManager[object]:
        if self.precision == "float32":
            return nullcontext()
        return torch.autocast(self.device, PRECISIONS[self.precision])

    def loss(self) -> Tensor:
        with self.cast():
            vols = self.forward(*self.seen)
        delta = TrainingSettings().huber_vol_points
        return torch.nn.functional.huber_loss(VOL_POINTS * vols.float(), self.target, delta=delta)

    def __call__(self) -> None:
        self.adam.zero_grad(set_to_none=True)
        self.loss().backward()  # type: ignore[no-untyped-call]  # torch leaves it untyped
        self.adam.step()

    def flops(self) -> int:
        """Of the matrix products, forward and backward; the rest is small."""
        with FlopCounterMode(display=False) as counter:
            self.loss().backward()  # type: ignore[no-untyped-call]  # torch leaves it untyped
        return int(counter.get_total_flops())

    def bytes(self) -> int:
        """What a step must move if nothing stays in a cache."""
        saved: dict[int, int] = {}

        def note(tensor: Tensor) -> Tensor:
            storage = tensor.untyped_storage()
            saved[storage.data_ptr()] = storage.nbytes()
            return tensor

        with saved_tensors_hooks(note, lambda tensor: tensor):
            loss = self.loss()
        parameters = list(self.module.parameters())
        for value in (*parameters, *self.seen):
            saved.pop(value.untyped_storage().data_ptr(), None)
        del loss
        inputs = sum(part.nbytes for part in (*self.seen, self.target))
        weights = sum(value.nbytes for value in parameters)
        return inputs + 2 * sum(saved.values()) + PARAMETER_PASSES * weights

    def vols(self) -> Tensor:
        with torch.inference_mode(), self.cast():
            return self.module(*self.seen).float()


def machine(device: str, seconds: float) -> Machine:
    """Measure the device."""
    side, size = MATRIX[device], COPIED_BYTES[device]
    flops = {}
    for name, dtype in PRECISIONS.items():
        left, right = (torch.rand(side, side, device=device).to(dtype) for _ in range(2))
        flops[name] = 2.0 * side**3 / _best(partial(torch.matmul, left, right), device, seconds)
    source = torch.rand(size // 4, device=device)
    sink = torch.empty_like(source)
    return Machine(device, flops, 2.0 * size / _best(partial(sink.copy_, source), device, seconds))


def speeds(
    architecture: Architecture,
    samples: Samples,
    found: Machine,
    batches: tuple[int, ...],
    seconds: float,
) -> Iterator[Speed]:
    """Every batch, precision and mode on one device."""
    device = found.device
    for batch in batches:
        rows = np.random.default_rng(0).integers(len(samples), size=batch)
        taken = samples.take(rows)
        exact = Step(architecture, taken, device, "float32").vols()
        for precision in PRECISIONS:
            for compiled in (False, True):
                step = Step(architecture, taken, device, precision)
                error = (step.vols() - exact).square().mean().sqrt().item() * VOL_POINTS
                flops, moved = step.flops(), step.bytes()
                if compiled:
                    step.forward = torch.compile(step.module)
                begun = time.perf_counter()
                _run(step, device)
                warm_up = time.perf_counter() - begun
                taken_seconds = _best(step, device, seconds)
                times = {
                    "arithmetic": flops / found.flops[precision],
                    "memory": moved / found.bytes,
                }
                bound = max(times, key=lambda name: times[name])
                yield Speed(
                    model=architecture.name,
                    device=device,
                    batch=batch,
                    compiled=compiled,
                    precision=precision,
                    samples_per_second=batch / taken_seconds,
                    ceiling=batch / times[bound],
                    bound=bound,
                    flops_per_sample=flops / batch,
                    bytes_per_sample=moved / batch,
                    warm_up_seconds=warm_up,
                    error_vol_points=error,
                )


def _rough(architecture: Architecture) -> Floats:
    """Random parameters: with a last layer of zeros no precision would change a price."""
    vector = 0.1 * np.random.default_rng(1).standard_normal(architecture.spec.dimension)
    return vector.astype(np.float32).astype(np.float64)


def _best(work: Callable[[], object], device: str, seconds: float) -> float:
    """The fastest of the runs that fit in so many seconds: others use the machine too."""
    _run(work, device)
    fastest, end = float("inf"), time.perf_counter() + seconds
    while time.perf_counter() < end:
        fastest = min(fastest, _run(work, device))
    return fastest


def _run(work: Callable[[], object], device: str) -> float:
    begun = time.perf_counter()
    work()
    if device == "cuda":
        torch.cuda.synchronize()
    return time.perf_counter() - begun


def main() -> None:
    """Print what the machine does and a table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--model", choices=sorted(installed()), action="append")
    parser.add_argument("--batch", type=int, action="append")
    parser.add_argument("--seconds", type=float, default=1.0, help="for each measurement")
    parser.add_argument("--json", type=Path)
    asked = parser.parse_args()
    torch.set_num_threads(1)
    quotes = clean(market(0, days=10)).quotes
    samples = build_samples(quotes, build_panel(quotes))
    machines, rows = [], []
    for device in ("cpu", "cuda") if torch.cuda.is_available() else ("cpu",):
        found = machine(device, asked.seconds)
        machines.append(found)
        shown = ", ".join(
            f"{name} {value / 1e9:,.1f} GFLOP/s" for name, value in found.flops.items()
        )
        print(f"{device}: {shown}, copy {found.bytes / 1e9:,.1f} GB/s\n")
        print("| model | batch | mode | precision | samples/s | ceiling | share | bound | error |")
        print("|---|---|---|---|---|---|---|---|---|")
        for name in asked.model or sorted(installed()):
            batches = tuple(asked.batch or BATCHES[device])
            for speed in speeds(installed()[name], samples, found, batches, asked.seconds):
                mode = f"compiled ({speed.warm_up_seconds:.0f} s)" if speed.compiled else "eager"
                print(
                    f"| {name} | {speed.batch:,} | {mode} | {speed.precision}"
                    f" | {speed.samples_per_second:,.0f} | {speed.ceiling:,.0f}"
                    f" | {speed.samples_per_second / speed.ceiling:.0%} | {speed.bound}"
                    f" | {speed.error_vol_points:.3f} |",
                    flush=True,
                )
                rows.append(speed)
    if asked.json:
        shown_rows = {
            "machines": [asdict(m) for m in machines],
            "speeds": [asdict(s) for s in rows],
        }
        asked.json.write_text(json.dumps(shown_rows, indent=1))


if __name__ == "__main__":
    main()
