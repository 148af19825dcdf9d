"""Quotes per second and peak memory from files to samples, beside the same in pandas and scipy.

    python3.11 -m venv var/pandas
    var/pandas/bin/pip install pandas==3.1.1 pyarrow==26.0.1 numpy==2.4.6 scipy==1.17.1
    python benchmarks/pipeline.py [--days 3] [--solver newton] [--json FILE]
    python benchmarks/pipeline.py --alone [--days 365] [--layout plain] [--json FILE]
    python benchmarks/pipeline.py --alone --data FOLDER [--json FILE]
    python benchmarks/pipeline.py --alone --train [--days 365] [--json FILE]

Reads, cleans, inverts three volatilities a quote, reads off the panels and makes the samples. The
quotes are made up, hourly chains of both coins, a file a month in a temporary folder: parquet quote
tables, plain CSV without what can be computed, or gzipped Tardis files of `TICKS` rows a quote.
Each contestant is a process of its own; its seconds begin after its imports and its memory is the
most it ever held, imports included. The others' environment is separate, and their program is
`pandas_pipeline.py`; its results are printed beside ours and are the same. `--train` goes on to
what a node does with the samples: it joins the panel's points and trains a round.
"""

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from datetime import timedelta
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl

from node.market.desks import write_desk
from node.market.layouts import read_batches
from node.market.pipeline import Tally, cleaned, prepare
from node.market.samples import Samples
from node.market.synthetic import DEFAULT_START, market
from protocol import numbers

ROOT = Path(__file__).parents[1]
THEIR_PYTHON = ROOT / "var" / "pandas" / "bin" / "python"
DAYS_A_FILE = 30
COMPUTED = ("forward_usd", "mark_coin", "mark_iv", "delta")
"""Columns that plain CSV files may lack."""
TICKS = 10
LAYOUTS = ("quotes", "plain", "tardis")
SOLVERS = ("newton", "brentq")
"""`scipy.optimize.newton` on whole columns, and `scipy.optimize.brentq` a row at a time."""


def make_up(folder: Path, days: int, layout: str = "quotes") -> None:
    """Hourly chains, never more than a month of them in memory."""
    for first in range(0, days, DAYS_A_FILE):
        start = DEFAULT_START + timedelta(days=first)
        here = min(DAYS_A_FILE, days - first)
        quotes = market(first, days=here, snapshots_per_day=24, start=start)
        if layout == "quotes":
            write_desk(folder, quotes, name=f"{start:%Y-%m-%d}")
        elif layout == "plain":
            quotes.drop(COMPUTED).write_csv(folder / f"{start:%Y-%m-%d}.csv")
        else:
            path = folder / f"{start:%Y-%m-%d}.csv.gz"
            ticks(quotes).write_csv(path, compression="gzip")


def ticks(quotes: pl.DataFrame) -> pl.DataFrame:
    """As Tardis files: `TICKS` rows of each quote, half a minute apart, the last a second before
    the snapshot's hour."""
    sent = pl.col("timestamp").dt.round("1h") - pl.duration(seconds=1)
    kind = pl.when("is_call").then(pl.lit("call")).otherwise(pl.lit("put"))
    expiry = pl.col("expiry").dt.strftime("%d%b%y").str.to_uppercase()
    rows = quotes.select(
        exchange=pl.lit("deribit"),
        symbol=pl.format("{}-{}-{}-{}", "currency", expiry, "strike_usd", kind.str.head(1)),
        local_timestamp=sent.dt.epoch("us"),
        type=kind,
        strike_price="strike_usd",
        expiration=pl.col("expiry").dt.epoch("us"),
        open_interest="open_interest_coin",
        bid_price="bid_coin",
        ask_price="ask_coin",
        mark_price="mark_coin",
        mark_iv=pl.col("mark_iv") * 100.0,
        underlying_price="forward_usd",
        delta="delta",
    )
    earlier = [
        rows.with_columns(pl.col("local_timestamp") - 30_000_000 * number)
        for number in range(TICKS)
    ]
    return pl.concat(earlier).sort("local_timestamp")


def ours(folder: Path, *, train: bool = False) -> dict[str, Any]:
    """What the pipeline makes of a folder, and what it takes."""
    samples_of = trained if train else prepared
    wall, cpu = time.perf_counter(), time.process_time()
    tally = Tally()
    samples = samples_of(folder, tally)
    return {
        "quotes": tally.quotes,
        "samples": len(samples),
        "wall_seconds": time.perf_counter() - wall,
        "cpu_seconds": time.process_time() - cpu,
        "peak_bytes": peak_bytes(),
        "sample_bytes": sum(getattr(samples, name).nbytes for name in samples.columns()),
        "not_inverted": tally.dropped["not_invertible"],
        "mean_mid_vol": float(np.mean(samples.mid_vol)),
        "mean_z": float(np.mean(samples.z)),
    }


def prepared(folder: Path, tally: Tally) -> Samples:
    """The samples of a folder."""
    return prepare(cleaned(read_batches(folder), tally)).samples


def trained(folder: Path, tally: Tally) -> Samples:
    """The samples of a folder and its panels' points, after a round of the default recipe."""
    # Imported here: without training torch is no part of the pipeline's memory.
    from node.learning.training import LocalTraining, TrainingSettings  # noqa: PLC0415
    from node.models.architecture import DEFAULT_SHIFT  # noqa: PLC0415
    from node.models.smile import SMILE  # noqa: PLC0415
    from node.private_data import own_and_anchors  # noqa: PLC0415

    samples = Samples.join_taking(list(own_and_anchors(folder, None, tally)))
    start = numbers.to_float(SMILE.genesis(0), DEFAULT_SHIFT)
    LocalTraining(samples, TrainingSettings()).train(start, seed=0)
    return samples


def peak_bytes() -> int:
    """The most this process ever held; getrusage would count what its parent held before it."""
    status = Path("/proc/self/status").read_text(encoding="ascii")
    (line,) = [line for line in status.splitlines() if line.startswith("VmHWM")]
    return int(line.split()[1]) * 1024


def measured(
    folder: Path, solvers: Sequence[str], *, train: bool = False
) -> Iterator[dict[str, Any]]:
    """The figures of every contestant, ours first."""
    own = [sys.executable, __file__, "--measure", str(folder), *(["--train"] if train else [])]
    yield {"contestant": "volquorum"} | _ran(own, dict(os.environ))
    if not THEIR_PYTHON.exists():
        return
    # Their environment must not see this one's packages.
    clean = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
    script = Path(__file__).with_name("pandas_pipeline.py")
    for solver in solvers:
        command = [str(THEIR_PYTHON), str(script), str(folder), solver]
        yield {"contestant": f"pandas + {solver}"} | _ran(command, clean)


def _ran(command: list[str], environment: dict[str, str]) -> dict[str, Any]:
    ran = subprocess.run(  # noqa: S603 - fixed programs on files of our own
        command, stdout=subprocess.PIPE, text=True, check=True, env=environment
    )
    # A node's log lines come before.
    figures: dict[str, Any] = json.loads(ran.stdout.splitlines()[-1])
    return figures


def shown(row: dict[str, Any], first: dict[str, Any]) -> str:
    """One line of the table."""
    return (
        f"{row['contestant']:18}{row['quotes']:12,} quotes{row['samples']:11,} samples"
        f"{row['wall_seconds']:9.2f} s ({row['cpu_seconds']:.2f} s CPU)"
        f"{row['quotes'] / row['wall_seconds']:12,.0f} quotes/s"
        f"{row['wall_seconds'] / first['wall_seconds']:7.1f}x"
        f" ({row['cpu_seconds'] / first['cpu_seconds']:.1f}x CPU)"
        f"{row['peak_bytes'] / 1e9:7.2f} GB  mean mid {row['mean_mid_vol']:.9f}"
        f"  not inverted {row['not_inverted']}"
    )


def main() -> None:
    """Measure, print and write the table."""
    parser = argparse.ArgumentParser(description="From quotes to samples, beside pandas")
    parser.add_argument("--days", type=int, default=3, help="of made-up hourly chains")
    parser.add_argument("--data", type=Path, help="folder of quotes of any layout; needs --alone")
    parser.add_argument("--solver", choices=SOLVERS, help="of pandas; both unless given")
    parser.add_argument("--layout", choices=LAYOUTS, default="quotes", help="of what is made up")
    parser.add_argument("--alone", action="store_true", help="leave pandas out")
    parser.add_argument("--train", action="store_true", help="and a round; needs --alone")
    parser.add_argument("--json", type=Path, help="file to write the figures to")
    parser.add_argument("--measure", type=Path, help=argparse.SUPPRESS)
    asked = parser.parse_args()
    if asked.measure is not None:
        print(json.dumps(ours(asked.measure, train=asked.train)))
        return
    if (asked.data or asked.layout != "quotes" or asked.train) and not asked.alone:
        parser.error("pandas makes samples of made-up quote tables only: give --alone")
    with tempfile.TemporaryDirectory(prefix="volquorum-") as name:
        folder = asked.data or Path(name)
        if asked.data is None:
            make_up(folder, asked.days, asked.layout)
        rows: list[dict[str, Any]] = []
        solvers = [] if asked.alone else [asked.solver] if asked.solver else SOLVERS
        for row in measured(folder, solvers, train=asked.train):
            rows.append(row)
            print(shown(row, rows[0]), flush=True)
    if asked.json is not None:
        asked.json.write_text(json.dumps(rows, indent=1) + "\n", encoding="ascii")


if __name__ == "__main__":
    main()
