"""What a node's memory grows by with its quotes: the samples, once, and little else."""

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from benchmarks.pipeline import make_up, peak_bytes
from node.learning.training import LocalTraining, TrainingSettings
from node.market.pipeline import Tally
from node.market.samples import Samples
from node.models.architecture import DEFAULT_SHIFT
from node.models.smile import SMILE
from node.private_data import own_and_anchors
from protocol import numbers

pytestmark = pytest.mark.unit

DAYS = (8, 30)
"""Both fill a batch, so what a batch takes is in both peaks."""
MANY = 2_000_000
"""Samples: enough that what a round takes of any number of them does not count."""
SETTINGS = TrainingSettings(rounds=1, steps_per_round=10)


def peaks(folders: list[str]) -> dict[str, list[int]]:
    """Quotes read and the peak after each folder; the peak before and after a round."""
    quotes, read = [], []
    for folder in folders:
        tally = Tally()
        own, anchors = own_and_anchors(Path(folder), None, tally)
        quotes.append(tally.quotes)
        read.append(peak_bytes())
    parts = [own.take(np.arange(MANY) % len(own)), anchors]
    del own
    before = peak_bytes()
    samples = Samples.join_taking(parts)
    start = numbers.to_float(SMILE.genesis(0), DEFAULT_SHIFT)
    LocalTraining(samples, SETTINGS).train(start, seed=0)
    return {"quotes": quotes, "read": read, "round": [before, peak_bytes()]}


def test_quotes_are_never_held_and_samples_only_once(tmp_path):
    folders = [tmp_path / str(days) for days in DAYS]
    for folder, days in zip(folders, DAYS, strict=True):
        folder.mkdir()
        make_up(folder, days)
    program = (
        "import json, sys; from tests.unit.node.test_path_memory import peaks;"
        " print(json.dumps(peaks(sys.argv[1:])))"
    )
    ran = subprocess.run(  # noqa: S603 - this very file
        [sys.executable, "-c", program, *map(str, folders)],
        stdout=subprocess.PIPE,
        text=True,
        check=True,
    )
    found = json.loads(ran.stdout.splitlines()[-1])
    (few, many), (early, late) = found["quotes"], found["read"]
    assert many > 3 * few > 1_000_000
    # Cleaning takes about 1,000 bytes a quote of what it holds; of the samples there are 35.
    assert (late - early) / (many - few) < 300
    # A second copy of the samples would take 117 bytes each, what the module sees of them 108.
    before, after = found["round"]
    assert (after - before) / MANY < 100
