"""CPU seconds and memory of ByzFL's and Flower's rules on `updates.npy` of a folder.

Called by `benchmarks/aggregation.py`, in their environment. ByzFL's geometric median runs as many
steps as ours. Of both only the rules are imported: the packages as a whole want data sets, plots
and servers.
"""

import ctypes
import json
import sys
import time
from collections.abc import Callable
from importlib import import_module
from pathlib import Path
from sysconfig import get_path
from types import ModuleType
from typing import Any

import numpy as np
import torch

Step = Callable[[Any], Any]

M_MMAP_THRESHOLD = -3
"""In glibc's malloc.h: from which size on an allocation is a mapping of its own."""

MOST_BYTES = 6 << 30
"""What one intermediate array may take."""
MOST_PAIRS = 4 * 10**10
"""Pairs of updates times coordinates, beyond which distances of numpy input take a minute."""


def hollow(name: str, **contents: object) -> None:
    """A package that is imported without what its own `__init__` imports."""
    package = ModuleType(name)
    package.__path__ = [str(Path(get_path("purelib")).joinpath(*name.split(".")))]
    vars(package).update(contents)
    sys.modules[name] = package


def byzfl_steps(n: int, tau: float) -> dict[str, list[Step]]:
    """The classes that make up each rule, by our names."""
    rules = import_module("byzfl.aggregators.aggregators")
    pre_steps = import_module("byzfl.aggregators.preaggregators")
    f = n // 5
    trimmed = rules.TrMean(f)
    return {
        "mean": [rules.Average()],
        "clipped_mean": [pre_steps.Clipping(tau), rules.Average()],
        "median": [rules.Median()],
        "trimmed_mean": [trimmed],
        "krum": [rules.Krum(f)],
        "multi_krum": [rules.MultiKrum(f)],
        "minimum_diameter": [rules.MDA(f)],
        "geometric_median": [rules.GeometricMedian(nu=0.1, T=32)],
        "centered_clipping": [rules.CenteredClipping(m=None, L=1, tau=tau)],
        "arc+trimmed_mean": [pre_steps.ARC(f), trimmed],
        "nnm+trimmed_mean": [pre_steps.NNM(f), trimmed],
        "arc+nnm+trimmed_mean": [pre_steps.ARC(f), pre_steps.NNM(f), trimmed],
    }


def flower_steps(n: int) -> dict[str, list[Step]]:
    """The functions that Flower's strategies aggregate with, by our names."""
    rules = import_module("flwr.server.strategy.aggregate")
    f, least = n // 5, (n - 3) // 4

    def counted(counts: list[int]) -> Step:
        return lambda rows: [([row], count) for row, count in zip(rows, counts, strict=True)]

    equal = counted([1] * n)
    steps: dict[str, list[Step]] = {
        "mean": [equal, rules.aggregate],
        "weighted_mean": [counted(list(range(1, n + 1))), rules.aggregate],
        "median": [equal, rules.aggregate_median],
        "trimmed_mean": [equal, lambda x: rules.aggregate_trimmed_avg(x, f / n)],
        "krum": [equal, lambda x: rules.aggregate_krum(x, f, 0)],
        "multi_krum": [equal, lambda x: rules.aggregate_krum(x, f, n - f)],
        "bulyan": [
            equal,
            lambda x: rules.aggregate_bulyan(x, min(f, least), rules.aggregate_krum, to_keep=0),
        ],
    }
    # A model is a list of layers; this one has one.
    return {rule: [*applied, lambda layers: layers[0]] for rule, applied in steps.items()}


def affordable(rule: str, given: str, n: int, d: int) -> bool:
    # NNM gathers n - f neighbours of each of n updates in one array.
    if "nnm" in rule and n * (n - n // 5) * d * 4 > MOST_BYTES:
        return False
    if rule == "minimum_diameter":
        return n <= 10  # it tries every subset
    if given == "torch" or not ("krum" in rule or "nnm" in rule or rule == "bulyan"):
        return True
    pairs = sum(k * k for k in range(n)) if rule == "bulyan" else n * n
    return pairs * d <= MOST_PAIRS


def seconds(make_steps: Callable[[], list[Step]], updates: Any) -> tuple[float, Any]:
    """CPU seconds, the best of some, and the aggregate."""
    spent: list[float] = []
    while not spent or (len(spent) < 3 and sum(spent) < 1.0):
        # Some steps change their input, and some remember.
        found = updates.copy() if isinstance(updates, np.ndarray) else updates.clone()
        steps = make_steps()
        begun = time.process_time()
        for step in steps:
            found = step(found)
        spent.append(time.process_time() - begun)
    return min(spent), found


def extra_bytes(make_steps: Callable[[], list[Step]], updates: Any) -> int:
    """What the process held at its peak beyond the input, less the result, as the kernel counts it.

    Unlike Python's own count it has what torch allocates too. Linux and glibc only.
    """
    found = updates.copy() if isinstance(updates, np.ndarray) else updates.clone()
    steps = make_steps()
    # Every array beyond 64 KiB is given back to the kernel when it is freed, so it counts anew.
    libc = ctypes.CDLL(None)
    libc.mallopt(M_MMAP_THRESHOLD, 1 << 16)
    libc.malloc_trim(0)
    Path("/proc/self/clear_refs").write_text("5", encoding="ascii")
    before = resident("VmRSS")
    for step in steps:
        found = step(found)
    return max(0, resident("VmHWM") - before - np.asarray(found).nbytes)


def resident(field: str) -> int:
    """Bytes of this process in memory: now (VmRSS), or at the peak (VmHWM)."""
    status = Path("/proc/self/status").read_text(encoding="ascii")
    (line,) = [line for line in status.splitlines() if line.startswith(f"{field}:")]
    return int(line.split()[1]) * 1024


def main() -> None:
    """Prints a JSON object by `library/input/rule`: seconds and bytes, or null where it is dear."""
    folder, tau = Path(sys.argv[1]), float(sys.argv[2])
    torch.set_num_threads(1)
    hollow("byzfl")
    hollow("flwr.common", FitRes=None, NDArray=Any, NDArrays=Any, parameters_to_ndarrays=None)
    hollow("flwr.server.client_proxy", ClientProxy=None)
    for name in ("flwr", "flwr.server", "flwr.server.strategy"):
        hollow(name)
    numpy_updates = np.load(folder / "updates.npy").astype(np.float32)
    n, d = numpy_updates.shape
    inputs = [
        ("byzfl", "numpy", numpy_updates, lambda: byzfl_steps(n, tau)),
        ("byzfl", "torch", torch.from_numpy(numpy_updates), lambda: byzfl_steps(n, tau)),
        ("flower", "numpy", numpy_updates, lambda: flower_steps(n)),
    ]
    figures: dict[str, dict[str, float] | None] = {}
    ran: list[tuple[str, Callable[[], list[Step]], Any]] = []
    for library, given, updates, steps in inputs:
        for rule in steps():
            name = f"{library}/{given}/{rule}"
            figures[name] = None
            if affordable(rule, given, n, d):
                ran.append((name, lambda s=steps, r=rule: s()[r], updates))
                spent, found = seconds(*ran[-1][1:])
                figures[name] = {"cpu_seconds": spent}
                np.save(folder / f"{name.replace('/', '-')}.npy", np.asarray(found))
    # All times come first, for what memory is measured with slows allocation.
    for name, make_steps, updates in ran:
        figures[name] |= {"extra_bytes": extra_bytes(make_steps, updates)}
    print(json.dumps(figures))


if __name__ == "__main__":
    main()
