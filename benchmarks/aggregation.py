"""CPU time and extra memory of every rule, beside ByzFL 0.0.11 and Flower 1.42.0, in one thread.

    python3.11 -m venv var/others
    var/others/bin/pip install torch==2.13.0 numpy==2.4.6 scipy==1.17.1
    var/others/bin/pip install --no-deps byzfl==0.0.11 flwr==1.42.0
    python benchmarks/aggregation.py [--n N --d D ...] --json FILE [--page FILE]

The others live in an environment of their own and get the same updates as float32, ByzFL as numpy
and as torch, Flower as numpy. Without that environment, and where a library has no such rule or
would need too much time or memory, its figures are null. Updates are drawn, a fifth of them (the f
liars) far from the rest. `our_reads` is our time divided by that of one read of the updates, and
`difference` the largest one between a coordinate of theirs and of ours, in units. `--page` renews
the page's table of these rows.
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
from typing import TypedDict

import numpy as np
from threadpoolctl import threadpool_limits

from benchmarks.aggregation_table import LIBRARIES, table, written
from benchmarks.gas_table import renewed
from protocol.rules import RULES, compose
from protocol.rules.rows import IntArray

ROOT = Path(__file__).parents[1]
THEIR_PYTHON = ROOT / "var" / "others" / "bin" / "python"
COUNTS, DIMENSIONS = (10, 50, 100, 200), (10**4, 10**5, 10**6)
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
        "minimum_diameter": lambda x: RULES["minimum_diameter"](x, f=f),
        "geometric_median": RULES["geometric_median"],
        "centered_clipping": lambda x: RULES["centered_clipping"](x, tau=TAU),
        "weighted_mean": lambda x: RULES["weighted_mean"](x, weights=range(1, n + 1)),
        "fltrust": lambda x: RULES["fltrust"](x, reference=x[-1]),
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
    """CPU seconds, extra bytes at the peak, and the aggregate."""
    aggregate = rule(updates)  # compiles what is not compiled yet
    seconds = least_seconds(lambda: rule(updates))
    tracemalloc.start()
    rule(updates)
    extra_bytes = tracemalloc.get_traced_memory()[1] - aggregate.nbytes
    tracemalloc.stop()
    return seconds, extra_bytes, aggregate


def least_seconds(work: Callable[[], object]) -> float:
    """CPU seconds, the best of some."""
    spent: list[float] = []
    while len(spent) < 3 or (len(spent) < 20 and sum(spent) < 0.5):
        begun = time.process_time()
        work()
        spent.append(time.process_time() - begun)
    return min(spent)


def read_once(updates: IntArray) -> object:
    """As fast as numpy reads them: eight bytes at a time, and only one number to keep."""
    return np.bitwise_xor.reduce(updates.reshape(-1)[: updates.size // 4 * 4].view(np.int64))


class Theirs(TypedDict):
    """What another library needed for one rule."""

    cpu_seconds: float
    extra_bytes: int


def their_figures(updates: IntArray, folder: Path) -> dict[str, Theirs | None]:
    """By `library/input/rule`; their aggregates lie in `folder`."""
    if not THEIR_PYTHON.exists():
        return {}
    np.save(folder / "updates.npy", updates)
    script = Path(__file__).with_name("other_libraries.py")
    command = [str(THEIR_PYTHON), str(script), str(folder), str(TAU)]
    # Their environment must not see this one's packages.
    clean = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
    ran = subprocess.run(  # noqa: S603 - a fixed program on files of our own
        command, stdout=subprocess.PIPE, text=True, check=True, env=clean | ONE_THREAD
    )
    figures: dict[str, Theirs | None] = json.loads(ran.stdout)
    return figures


def measured(n: int, d: int) -> Iterator[dict[str, object]]:
    updates = drawn(n, d)
    with tempfile.TemporaryDirectory() as name, threadpool_limits(1):
        folder = Path(name)
        theirs = their_figures(updates, folder)
        read_seconds = least_seconds(lambda: read_once(updates))
        for rule, apply in contestants(n).items():
            ours, extra_bytes, aggregate = our_figures(apply, updates)
            print(
                f"{rule:22}{n:5}{d:9}  ours {ours:.5f} s, {ours / read_seconds:6.1f} reads, extra "
                f"{extra_bytes / 2**20:6.2f} MiB ({extra_bytes / updates.nbytes:6.1%})",
                flush=True,
            )
            for library, given in LIBRARIES:
                key = f"{library.split()[0]}/{given}/{rule}"
                found = theirs.get(key)
                difference = None
                if found is not None:
                    aggregates = np.load(folder / f"{key.replace('/', '-')}.npy")
                    difference = float(np.abs(aggregates - aggregate).max())
                    print(
                        f"{'':36}  {library:14}{given:6}{found['cpu_seconds']:10.5f} s "
                        f"{found['cpu_seconds'] / ours:8.1f}x, extra "
                        f"{found['extra_bytes'] / 2**20:8.2f} MiB, off by {difference:.3f}",
                        flush=True,
                    )
                yield {
                    "rule": rule,
                    "n": n,
                    "d": d,
                    "library": library,
                    "input": given,
                    "their_cpu_seconds": found and found["cpu_seconds"],
                    "our_cpu_seconds": ours,
                    "ratio": found and found["cpu_seconds"] / ours,
                    "their_extra_bytes": found and found["extra_bytes"],
                    "our_extra_bytes": extra_bytes,
                    "our_reads": ours / read_seconds,
                    "difference": difference,
                }


def main() -> None:
    """Measure, print and write the table."""
    parser = argparse.ArgumentParser(description="Aggregation rules beside other libraries'")
    parser.add_argument("--n", type=int, nargs="+", default=COUNTS, help="updates")
    parser.add_argument("--d", type=int, nargs="+", default=DIMENSIONS, help="coordinates")
    parser.add_argument("--json", type=Path, required=True)
    parser.add_argument("--page", type=Path, help="renew its table")
    asked = parser.parse_args()
    rows = [row for n in asked.n for d in asked.d for row in measured(n, d)]
    asked.json.write_text(written(rows), encoding="ascii")
    if asked.page:
        page = asked.page.read_text(encoding="utf-8")
        asked.page.write_text(renewed(page, [table(rows)]), encoding="utf-8")


if __name__ == "__main__":
    main()
