"""ByzFL's CPU seconds on `updates.npy` of a folder; runs in ByzFL's own environment.

Called by `benchmarks/aggregation.py`. Its geometric median runs as many steps as ours. Only its
rules are imported: the package as a whole wants torchvision, data sets and plots.
"""

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

_package = ModuleType("byzfl")
_package.__path__ = [str(Path(get_path("purelib")) / "byzfl")]
sys.modules["byzfl"] = _package
_rules = import_module("byzfl.aggregators.aggregators")
_pre_steps = import_module("byzfl.aggregators.preaggregators")

MOST_BYTES = 6 << 30
"""What one intermediate array may take."""
MOST_PAIRS = 10**9
"""n n d, beyond which its distances of numpy input take minutes."""

Step = Callable[[Any], Any]


def steps(n: int, tau: float) -> dict[str, list[Step]]:
    """The classes that make up each rule, by our names."""
    f = n // 5
    trimmed = _rules.TrMean(f)
    return {
        "mean": [_rules.Average()],
        "clipped_mean": [_pre_steps.Clipping(tau), _rules.Average()],
        "median": [_rules.Median()],
        "trimmed_mean": [trimmed],
        "krum": [_rules.Krum(f)],
        "multi_krum": [_rules.MultiKrum(f)],
        "geometric_median": [_rules.GeometricMedian(nu=0.1, T=32)],
        "centered_clipping": [_rules.CenteredClipping(m=None, L=1, tau=tau)],
        "arc+trimmed_mean": [_pre_steps.ARC(f), trimmed],
        "nnm+trimmed_mean": [_pre_steps.NNM(f), trimmed],
        "arc+nnm+trimmed_mean": [_pre_steps.ARC(f), _pre_steps.NNM(f), trimmed],
    }


def affordable(rule: str, given: str, n: int, d: int) -> bool:
    # NNM gathers n - f neighbours of each of n updates in one array.
    if "nnm" in rule and n * (n - n // 5) * d * 4 > MOST_BYTES:
        return False
    by_distance = "krum" in rule or "nnm" in rule
    return given == "torch" or not by_distance or n * n * d <= MOST_PAIRS


def main() -> None:
    """Prints a JSON object of seconds by `rule/input`."""
    folder, tau = Path(sys.argv[1]), float(sys.argv[2])
    torch.set_num_threads(1)
    numpy_updates = np.load(folder / "updates.npy").astype(np.float32)
    n, d = numpy_updates.shape
    inputs = {"numpy": numpy_updates, "torch": torch.from_numpy(numpy_updates)}
    figures: dict[str, float | None] = {}
    for rule in steps(n, tau):
        for given, updates in inputs.items():
            if not affordable(rule, given, n, d):
                figures[f"{rule}/{given}"] = None
                continue
            spent: list[float] = []
            while not spent or (len(spent) < 3 and sum(spent) < 1.0):
                # Some of its steps change their input.
                found = updates.copy() if given == "numpy" else updates.clone()
                applied = steps(n, tau)[rule]  # anew: centered clipping remembers
                begun = time.process_time()
                for step in applied:
                    found = step(found)
                spent.append(time.process_time() - begun)
            figures[f"{rule}/{given}"] = min(spent)
            np.save(folder / f"{rule}-{given}.npy", np.asarray(found))
    print(json.dumps(figures))


if __name__ == "__main__":
    main()
