"""CPU time and extra memory of every rule, beside ByzFL 0.0.11 on the same updates, one thread.

    python3.11 -m venv var/byzfl
    var/byzfl/bin/pip install torch==2.13.0 numpy==2.4.6 scipy==1.17.1
    var/byzfl/bin/pip install --no-deps byzfl==0.0.11
    python benchmarks/aggregation.py [--n N --d D] --json FILE

ByzFL lives in an environment of its own and gets the updates as float32, numpy and torch. Without
that environment, and where ByzFL has no such rule or would need too much time or memory, its
figures are null. Updates are drawn, a fifth of them (the f liars) far from the rest.
"""

import argparse
import json
import os
import subprocess
import tempfile
import time
import tracemalloc
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
from threadpoolctl import threadpool_limits

from protocol.rules import RULES, compose
from protocol.rules.rows import IntArray

ROOT = Path(__file__).parents[1]
THEIR_PYTHON = ROOT / "var" / "byzfl" / "bin" / "python"
COUNTS, DIMENSIONS = (10, 50, 100), (10**4, 10**5, 10**6)
INPUTS = ("numpy", "torch")
TAU = 1000
"""Of centered clipping and of the clipped mean, in units."""
ONE_THREAD = dict.fromkeys(("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"), "1")

Rule = Callable[[IntArray], IntArray]


def contestants(n: int) -> dict[str, Rule]:
    """Every rule with the parameters of n updates."""
    f, least = n // 5, (n - 3) // 4
    return {
        "mean": RULES["mean"],
        "clipped_mean": lambda x: RULES["clipped_mean"](x, clip_norm=TAU),
        "median": RULES["median"],
        "trimmed_mean": lambda x: RULES["trimmed_mean"](x, f=f),
        "krum": lambda x: RULES["krum"](x, f=f),
        "multi_krum": lambda x: RULES["multi_krum"](x, f=f),
        "bulyan": lambda x: RULES["bulyan"](x, f=min(f, least)),
        "geometric_median": RULES["geometric_median"],
        "centered_clipping": lambda x: RULES["centered_clipping"](x, tau=TAU),
        "arc+trimmed_mean": compose(["arc"], "trimmed_mean", f=f),
        "nnm+trimmed_mean": compose(["nnm"], "trimmed_mean", f=f),
        "arc+nnm+trimmed_mean": compose(["arc", "nnm"], "trimmed_mean", f=f),
    }


def drawn(n: int, d: int) -> IntArray:
    """Honest updates that agree roughly, and a fifth that do not. Shape: [n, d]."""
    generator = np.random.default_rng(n + d)
    updates = np.empty((n, d), dtype=np.int16)
    centre = generator.normal(0, 100, d).astype(np.float32)
    for i, row in enumerate(updates):
        spread = 3000 if i < n // 5 else 200
        row[:] = centre + spread * generator.standard_normal(d, dtype=np.float32)
    return updates


def our_figures(rule: Rule, updates: IntArray) -> tuple[float, int, IntArray]:
    """CPU seconds (the best of some), extra bytes at the peak, and the aggregate."""
    spent: list[float] = []
    while not spent or (len(spent) < 3 and sum(spent) < 1.0):
        begun = time.process_time()
        aggregate = rule(updates)
        spent.append(time.process_time() - begun)
    tracemalloc.start()
    rule(updates)
    extra_bytes = tracemalloc.get_traced_memory()[1] - aggregate.nbytes
    tracemalloc.stop()
    return min(spent), extra_bytes, aggregate


def their_figures(updates: IntArray, folder: Path) -> dict[str, float | None]:
    """CPU seconds by `rule/input`; their aggregates lie in `folder`."""
    if not THEIR_PYTHON.exists():
        return {}
    np.save(folder / "updates.npy", updates)
    command = [THEIR_PYTHON, Path(__file__).with_name("byzfl_figures.py"), folder, str(TAU)]
    # Their environment must not see this one's packages.
    clean = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
    ran = subprocess.run(  # noqa: S603 - a fixed program on files of our own
        command, stdout=subprocess.PIPE, text=True, check=True, env=clean | ONE_THREAD
    )
    figures: dict[str, float | None] = json.loads(ran.stdout)
    return figures


def measured(n: int, d: int) -> Iterator[dict[str, object]]:
    updates = drawn(n, d)
    with tempfile.TemporaryDirectory() as name, threadpool_limits(1):
        folder = Path(name)
        theirs = their_figures(updates, folder)
        for rule, apply in contestants(n).items():
            ours, extra_bytes, aggregate = our_figures(apply, updates)
            for given in INPUTS:
                seconds = theirs.get(f"{rule}/{given}")
                shown = "-" if seconds is None else f"{seconds:.4f}"
                ratio = None if seconds is None else seconds / ours
                saved = folder / f"{rule}-{given}.npy"
                off = np.abs(np.load(saved) - aggregate).max() if saved.exists() else np.nan
                print(
                    f"{rule:22}{n:5}{d:9}  {given:6}{shown:>9} s  ours {ours:.4f} s"
                    f"{ratio or np.nan:8.1f}x  extra {extra_bytes / 2**20:5.1f} MiB"
                    f" ({extra_bytes / updates.nbytes:6.1%})  off by {off:.3f}",
                    flush=True,
                )
                yield {
                    "rule": rule,
                    "n": n,
                    "d": d,
                    "library": "byzfl 0.0.11",
                    "input": given,
                    "their_cpu_seconds": seconds,
                    "our_cpu_seconds": ours,
                    "ratio": ratio,
                    "our_extra_bytes": extra_bytes,
                }


def main() -> None:
    """Measure, print and write the table."""
    parser = argparse.ArgumentParser(description="Aggregation rules beside ByzFL's")
    parser.add_argument("--n", type=int, help="updates; 10, 50 and 100 unless given")
    parser.add_argument("--d", type=int, help="coordinates; 1e4, 1e5 and 1e6 unless given")
    parser.add_argument("--json", type=Path, required=True)
    asked = parser.parse_args()
    rows = [
        row
        for n in ([asked.n] if asked.n else COUNTS)
        for d in ([asked.d] if asked.d else DIMENSIONS)
        for row in measured(n, d)
    ]
    asked.json.write_text(json.dumps(rows, indent=1) + "\n", encoding="ascii")


if __name__ == "__main__":
    main()
