"""Where a round's time and memory go, beside plain federated averaging without chain or proofs.

    python benchmarks/round_cost.py [--desks 5] [--rounds 10] [--json]

Runs whole tasks on an embedded chain with the demo's made-up market, and the same training as a
bare loop that averages float vectors: the price of commitments, verification by every participant
and the chain is the ratio of the two.
"""

import json
import resource
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import wraps
from pathlib import Path
from typing import Any

import click
import numpy as np

from node import tick
from node.learning.desk_trainer import DeskTrainer
from node.learning.division import Market
from node.learning.training import TrainingSettings
from node.market.pipeline import cleaned_chain
from node.market.sources import quotes_of
from node.models.architecture import DEFAULT_SHIFT
from node.models.smile import SMILE
from protocol import logs, recompute
from protocol.blobs import Backend
from protocol.chain.rpc import Rpc
from protocol.numbers import to_float
from scripts.network import EmbeddedNetwork
from scripts.task_config import TaskConfig


class Stopwatch:
    """CPU seconds by part; those inside an inner part are not counted for the outer one.

    CPU time, all threads together: on shared cores a clock on the wall tells what others did.
    """

    def __init__(self) -> None:
        self.seconds: Counter[str] = Counter()
        self._running: list[str] = []
        self._since = 0.0

    def _switch(self) -> None:
        now = time.process_time()
        if self._running:
            self.seconds[self._running[-1]] += now - self._since
        self._since = now

    @contextmanager
    def part(self, name: str) -> Iterator[None]:
        self._switch()
        self._running.append(name)
        try:
            yield
        finally:
            self._switch()
            self._running.pop()

    def around(self, owner: Any, method: str, name: str) -> None:
        original: Callable[..., Any] = getattr(owner, method)

        @wraps(original)
        def timed(*args: Any, **kwargs: Any) -> Any:
            with self.part(name):
                return original(*args, **kwargs)

        setattr(owner, method, timed)


@click.command()
@click.option("--desks", type=click.IntRange(1, 64), default=5, show_default=True)
@click.option("--rounds", type=click.IntRange(min=1), default=10, show_default=True)
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
def main(*, desks: int, rounds: int, as_json: bool) -> None:
    """Time a task and the same training without any of it."""
    logs.configure("error")
    divided = Market.of(cleaned_chain(quotes_of(None))).divided("desks", desks, 0)
    settings = TrainingSettings(rounds=rounds)

    def trainers() -> list[DeskTrainer]:
        """New ones: a trainer keeps what it works out in its first round."""
        return [DeskTrainer(each, settings, seed=n) for n, each in enumerate(divided.desks)]

    plain = plain_averaging(trainers(), rounds)
    watch = Stopwatch()
    watch.around(DeskTrainer, "train", "train")
    watch.around(Rpc, "request", "chain")
    watch.around(Backend, "put", "blobs")
    watch.around(Backend, "verified", "blobs")
    for module in (recompute, tick):
        watch.around(module, "combine", "aggregate")
    config = TaskConfig(rounds=rounds, quorum=(desks + 1) // 2, cohort=desks)
    with tempfile.TemporaryDirectory() as folder:
        network = EmbeddedNetwork(config, trainers(), folder=Path(folder))
        with watch.part("rest"):
            final = [record.phase for record in network.rounds()].count("final")
    total = sum(watch.seconds.values())
    result = {
        "desks": desks,
        "rounds": rounds,
        "rounds_final": final,
        "cpu_seconds_per_round": {
            name: round(seconds / rounds, 4) for name, seconds in watch.seconds.most_common()
        },
        "total_cpu_seconds_per_round": round(total / rounds, 4),
        "plain_averaging_cpu_seconds_per_round": round(plain / rounds, 4),
        "ratio_to_plain_averaging": round(total / plain, 3),
        "peak_memory_mib": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024,
    }
    if as_json:
        print(json.dumps(result, indent=2))
        return
    for name, value in result.items():
        print(f"{name:<40}{value}")


def plain_averaging(trainers: list[DeskTrainer], rounds: int) -> float:
    """CPU seconds of the same local training with float averaging in one loop, nothing else."""
    model = before = to_float(SMILE.genesis(0), DEFAULT_SHIFT)
    started = time.process_time()
    for number in range(1, rounds + 1):
        trained = [trainer.train(model, number, before) for trainer in trainers]
        before, model = model, np.mean(trained, axis=0)
    return time.process_time() - started


if __name__ == "__main__":
    main()
