"""What an update's precision costs: bytes on the way, and accuracy, side by side.

A task's rounds without a chain, every desk at one precision, for each rule. Bytes are those of one
update, without HTTP's headers, in the canonical encoding and in codings of it; only gzip of zero
runs (`gzip`) is what the blob server does, the others say what is left to gain. A task is appended
to the JSON lines of `--json` when it is over, and one that is there is not run again.
"""

import argparse
import time
import zlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from importlib.util import find_spec
from itertools import groupby
from pathlib import Path
from statistics import fmean, stdev
from typing import Any

import numpy as np
import torch

from benchmarks.field import Field
from benchmarks.results_file import resumed
from node.evaluation.metrics import measure
from node.learning.federation import federate
from node.learning.training import TrainingSettings
from node.learning.update import Precision
from node.models.architecture import DEFAULT_SHIFT
from node.models.smile import SMILE
from protocol.content_coding import gzipped
from protocol.encoding import HEADER, encode_update
from protocol.numbers import Int16Array
from protocol.task import Rule

RULES = {"mean": (Rule.MEAN, 0), "trimmed_mean": (Rule.TRIMMED_MEAN, 1)}
"""Each rule with the liars that it is asked to tolerate."""
PRECISIONS = (
    Precision(16),
    Precision(8),
    Precision(5),
    Precision(4),
    Precision(8, 0.25),
    Precision(8, 0.1),
)


def packed(update: Int16Array) -> bytes:
    """The update without the zero bits that all its values end in, in a byte each if they fit."""
    sent = update[update != 0].astype(int)
    step = int(np.bitwise_or.reduce(sent)) if sent.size else 1
    values = update // (step & -step)
    fits = np.abs(values).max() < 2**7
    return values.astype("i1").tobytes() if fits else _shuffled(values.astype(">i2").tobytes())


def _shuffled(raw: bytes) -> bytes:
    """All high bytes, then all low bytes."""
    return np.frombuffer(raw, np.uint8).reshape(-1, 2).T.tobytes()


def _gzip(raw: bytes) -> int:
    return sum(map(len, gzipped([raw])))


def _dense(coding: Callable[[bytes], int]) -> Callable[[Int16Array], int]:
    return lambda update: coding(encode_update(update, DEFAULT_SHIFT))


def entropy_bytes(update: Int16Array) -> int:
    """What no coding goes below that knows nothing but how often each value occurs."""
    _, counts = np.unique(update, return_counts=True)
    share = counts / update.size
    return HEADER.size + round(-(share * np.log2(share)).sum() * update.size / 8)


CODINGS: Mapping[str, Callable[[Int16Array], int]] = {
    "identity": _dense(len),
    "gzip": _dense(_gzip),
    "gzip_9": _dense(lambda raw: len(zlib.compress(raw, 9, wbits=31))),
    "gzip_shuffled": _dense(lambda raw: _gzip(raw[: HEADER.size] + _shuffled(raw[HEADER.size :]))),
    "gzip_packed": lambda update: HEADER.size + 1 + _gzip(packed(update)),
    "entropy": entropy_bytes,
}


def codings() -> dict[str, Callable[[Int16Array], int]]:
    """All there are here; zstd where its package is."""
    found = dict(CODINGS)
    if find_spec("zstandard"):
        import zstandard  # noqa: PLC0415 - no package of ours

        found["zstd_19"] = _dense(lambda raw: len(zstandard.compress(raw, 19)))
    return found


@dataclass(frozen=True)
class Case:
    """What one task is."""

    partition: str
    desks: int
    rounds: int
    rule: str
    bits: int
    largest: float
    seed: int


@dataclass(frozen=True)
class Row:
    """What became of it."""

    case: Case
    update_bytes: dict[str, float]
    """By coding; of one update on average."""
    rmse_vol_points: dict[str, float]
    """By stretch of days."""

    @classmethod
    def from_dict(cls, told: Mapping[str, Any]) -> "Row":
        """The row of which `asdict` and JSON made this."""
        return cls(**{**told, "case": Case(**told["case"])})


def run(field: Field, case: Case) -> Row:
    """Every round of one task."""
    rule, tolerance = RULES[case.rule]
    bytes_by: dict[str, list[int]] = {name: [] for name in codings()}

    def count(updates: Int16Array) -> None:
        for name, coding in codings().items():
            bytes_by[name] += [coding(update) for update in updates]

    vector = federate(
        field.desks,
        replace(TrainingSettings(), rounds=case.rounds),
        rule=rule,
        tolerance=tolerance,
        seed=case.seed,
        precision=Precision(case.bits, case.largest),
        on_updates=count,
    )
    return Row(
        case=case,
        update_bytes={name: fmean(counted) for name, counted in bytes_by.items()},
        rmse_vol_points={
            name: measure(SMILE.predict(vector, held), held).rmse
            for name, held in field.windows.items()
        },
    )


def wanted_cases(asked: argparse.Namespace) -> Iterator[Case]:
    """Seeds first, so that a run that is cut off has every row, if of fewer seeds."""
    for seed in range(asked.seeds):
        for rule in asked.rule or RULES:
            for each in asked.precision or PRECISIONS:
                place = (asked.partition, asked.desks, asked.rounds)
                yield Case(*place, rule, each.bits, each.largest, seed)


def table(rows: Sequence[Row]) -> str:
    """One line for each rule and precision, averaged over seeds, in Markdown."""
    names = [name for name in rows[0].update_bytes if name != "identity"]
    stretches = list(rows[0].rmse_vol_points)
    head = ["rule", "bits", "part", "seeds", "fetched a round", "identity", *names, *stretches]
    lines = ["| " + " | ".join(head) + " |", "|---" * len(head) + "|"]
    for case, group in groupby(rows, key=lambda row: replace(row.case, seed=0)):
        alike = list(group)
        mean = {
            name: fmean(row.update_bytes[name] for row in alike) for name in ("identity", *names)
        }
        cells = [case.rule, f"{case.bits}", f"{case.largest:g}", f"{len(alike)}"]
        # A participant fetches everybody's update but its own.
        cells.append(f"{(case.desks - 1) * mean['gzip']:,.0f}")
        cells += [f"{size:,.0f}" for size in mean.values()]
        for stretch in stretches:
            found = [row.rmse_vol_points[stretch] for row in alike]
            spread = f" ± {stdev(found):.3f}" if len(found) > 1 else ""
            cells.append(f"{fmean(found):.3f}{spread}")
        lines.append("| " + " | ".join(cells) + " |")
    return "\n".join(lines)


def precision_of(text: str) -> Precision:
    """A precision as an argument names it: BITS or BITS:PART."""
    bits, _, part = text.partition(":")
    return Precision(int(bits), float(part or 1.0))


def main() -> None:
    """Print a table; a row of it takes one task a seed."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", type=Path, help="folder of recorded chains; made up without")
    parser.add_argument("--partition", default="desks")
    parser.add_argument("--desks", type=int, default=5)
    parser.add_argument("--rounds", type=int, default=TrainingSettings().rounds)
    parser.add_argument("--seeds", type=int, default=1)
    parser.add_argument("--rule", choices=RULES, action="append")
    parser.add_argument("--precision", type=precision_of, action="append", metavar="BITS[:PART]")
    parser.add_argument("--json", type=Path, help="JSON lines, one a task; resumed where present")
    asked = parser.parse_args()
    torch.set_num_threads(1)
    field = Field.cut(asked.data, asked.partition, asked.desks, 0, anchored=True)
    found = resumed(
        asked.json,
        wanted_cases(asked),
        lambda case: run(field, case),
        read=Row.from_dict,
        key=lambda row: row.case,
    )
    print(table(sorted(found.values(), key=_in_the_table)))
    print(f"\n{time.process_time():.0f} CPU s")


def _in_the_table(row: Row) -> tuple[object, ...]:
    case = row.case
    return (case.rule, -case.largest, -case.bits, case.seed)


if __name__ == "__main__":
    main()
