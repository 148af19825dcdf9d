"""What forecasters of volatility are worth beside persistence: DVOL a day ahead, the panel's
surfaces 6 and 24 hours ahead.

Everything walks forward: a forecast is made by what was fitted to targets that had come by then.
Losses are squared errors in vol points; intervals redraw days, and the Diebold-Mariano test asks
whether the difference from persistence could be luck.
"""

import argparse
import json
import resource
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import numpy as np
import polars as pl
import torch

from node.evaluation.bootstrap import INTERVAL, Days
from node.forecasting.comparison import DieboldMariano, diebold_mariano
from node.forecasting.forecasters import Forecaster, Subject, installed
from node.forecasting.pairs import Pairs, daily_pairs, surface_pairs
from node.forecasting.walk_forward import walk_forward
from node.market.layouts import read_batches
from node.market.moments import MICROSECOND, microseconds
from node.market.panel import (
    AT_MONEY,
    TENOR_DAYS,
    Booleans,
    Floats,
    Integers,
    Panel,
    build_panel,
)
from node.market.pipeline import cleaned_chain
from node.market.quotes import CURRENCIES
from node.market.split import Split, split_for
from node.market.state import (
    DAY,
    LAYOUTS,
    Series,
    chain_state,
    market_state,
    read_series,
    read_state,
)

HORIZONS = (timedelta(hours=6), timedelta(hours=24))
DAILY_REFITS = ("2023-01-01", "2024-01-01", "2025-01-01", "2025-07-01", "2026-01-01", "2026-07-01")
NEVER = "2100-01-01"
DAILY_WINDOWS = {
    "choices": ("2023-01-01", "2025-01-01"),
    "test": ("2025-01-01", NEVER),
}
"""Settings were chosen on the first; the second was looked at once."""

Window = tuple[int, int]
StateFiles = Sequence[tuple[str, Path]]
"""Files that tell the market's state, each beside its layout's name."""


@dataclass(frozen=True)
class Score:
    """One forecaster on one window, in vol points."""

    forecasts: int
    rmse: float
    rmse_ci95: tuple[float, float]
    mae: float
    to_persistence: float
    """Its RMSE over persistence's."""
    to_persistence_ci95: tuple[float, float]
    diebold_mariano: DieboldMariano


def of_day(text: str) -> int:
    """Midnight UTC of a day, microseconds since 1970."""
    return microseconds(datetime.fromisoformat(text).replace(tzinfo=UTC))


def errors(
    pairs: Pairs, forecasters: Mapping[str, Forecaster], refits: list[int], seeds: int
) -> dict[str, Floats]:
    """Vol points off by forecaster. Shape: [seeds, n, d]"""
    found = {}
    for name, forecaster in forecasters.items():
        begun = time.process_time()
        forecasts = [walk_forward(pairs, forecaster.fit, refits, seed) for seed in range(seeds)]
        found[name] = 100.0 * (np.exp(np.stack(forecasts)) - np.exp(pairs.later))
        print(f"  {name}: {time.process_time() - begun:.1f} CPU s", flush=True)
    return found


def scores(origin: Integers, off: Mapping[str, Floats], overlap: int) -> dict[str, Score]:
    """Scores of errors [seeds, n, d] by forecaster; errors at one origin are one observation."""
    days = Days(origin)
    squared = {name: (error**2).mean(axis=(0, 2)) for name, error in off.items()}
    totals = days.sums(origin, np.stack([*squared.values(), np.ones(origin.size)], axis=1))
    rmse = dict(zip(squared, np.sqrt(totals[:, :-1] / totals[:, -1:]).T, strict=True))
    _, row = np.unique(origin, return_inverse=True)
    coins = np.bincount(row)
    by_time = {name: np.bincount(row, loss) / coins for name, loss in squared.items()}
    return {
        name: Score(
            forecasts=origin.size,
            rmse=float(rmse[name][0]),
            rmse_ci95=_interval(rmse[name]),
            mae=float(np.abs(off[name]).mean()),
            to_persistence=float(rmse[name][0] / rmse["persistence"][0]),
            to_persistence_ci95=_interval(rmse[name] / rmse["persistence"]),
            diebold_mariano=diebold_mariano(by_time[name], by_time["persistence"], overlap),
        )
        for name in off
    }


def _interval(statistic: Floats) -> tuple[float, float]:
    low, high = np.percentile(statistic[1:], INTERVAL)
    return float(low), float(high)


def dvol(
    folder: Path, seeds: int, files: StateFiles = ()
) -> Iterator[tuple[str, dict[str, Score]]]:
    """Deribit's volatility index, a day ahead."""
    pairs = Pairs.join([dvol_pairs(folder, currency, files) for currency in CURRENCIES])
    refits = [at for day in DAILY_REFITS if (at := of_day(day)) < pairs.origin[-1]]
    off = errors(pairs, installed("daily"), refits, seeds)
    for window, (start, end) in DAILY_WINDOWS.items():
        inside = _inside(pairs, (of_day(start), of_day(end)))
        for currency in CURRENCIES:
            rows = inside & (pairs.is_btc == (currency == "BTC"))
            kept = {name: error[:, rows] for name, error in off.items()}
            yield f"dvol 1d {currency} {window}", scores(pairs.origin[rows], kept, 0)


def dvol_pairs(folder: Path, currency: str, files: StateFiles = ()) -> Pairs:
    """One coin's days, without the file's last, which was not over when it was fetched."""

    def bar(column: str) -> Series:
        layout = replace(LAYOUTS["dvol_daily"], value=column)
        series = read_series(folder / f"{currency.lower()}_dvol.csv", layout, currency)
        return Series(series.known_at[:-1], series.value[:-1])

    close = bar("close")
    state = market_state(close.known_at, read_state(files, currency), DAY).values
    return daily_pairs(close, bar("high"), bar("low"), is_btc=currency == "BTC", state=state)


def surfaces(
    folder: Path, seeds: int, files: StateFiles = (), until: str = NEVER
) -> Iterator[tuple[str, dict[str, Score]]]:
    """The panel's fifteen numbers, some hours ahead; targets of the day `until` are not scored."""
    quotes = cleaned_chain(read_batches(folder))
    panel = build_panel(quotes)
    state, split = state_of(quotes, panel, files), split_for(panel)
    columns: dict[str, Callable[[Floats], Floats]] = {
        "panel": lambda error: error,
        **{
            f"atm {TENOR_DAYS[tenor]:.0f}d": lambda error, at=AT_MONEY * TENOR_DAYS.size + tenor: (
                error[..., [at]]
            )
            for tenor in (0, 2, 4)
        },
    }
    for horizon in HORIZONS:
        pairs = surface_pairs(panel, horizon, state)
        refits, windows = calendar_of(split)
        off = errors(pairs, installed("surface"), refits, seeds)
        spacing = float(np.median(np.diff(np.unique(pairs.origin))))
        overlap = max(round(horizon / MICROSECOND / spacing) - 1, 0)
        for window, bounds in windows.items():
            rows = _inside(pairs, (bounds[0], min(bounds[1], of_day(until))))
            if not rows.any():
                continue
            for column, of in columns.items():
                kept = {name: of(error[:, rows]) for name, error in off.items()}
                hours = horizon / timedelta(hours=1)
                yield (
                    f"surface {hours:.0f}h {column} {window}",
                    scores(pairs.origin[rows], kept, overlap),
                )


def state_of(quotes: pl.DataFrame, panel: Panel, files: StateFiles = ()) -> Floats:
    """What the chain and a user's files tell of the market at each panel's snapshot.

    Shape: [m, f], the chain's columns first.
    """
    states = []
    for currency in CURRENCIES:
        rows = np.flatnonzero(panel.is_btc == (currency == "BTC"))
        series = chain_state(quotes, currency) | read_state(files, currency)
        states.append((rows, market_state(panel.snapshot[rows], series, DAY).values))
    found = np.empty((panel.snapshot.size, states[0][1].shape[1]))
    for rows, values in states:
        found[rows] = values
    return found


def calendar_of(split: Split) -> tuple[list[int], dict[str, Window]]:
    """A fit before the stress window, and one at each month's start after it; the windows.

    Choices were made on the months between the first of those and the test.
    """
    starts = [split.stress_start]
    month = split.stress_end.replace(day=1, hour=0, minute=0, second=0, microsecond=0)
    while (month := (month + timedelta(days=32)).replace(day=1)) < split.test_end:
        starts.append(month)
    at = {name: microseconds(moment) for name, moment in vars(split).items()}
    refits = [microseconds(moment) for moment in starts]
    return refits, {
        "choices": (refits[1], at["test_start"]),
        "test": (at["test_start"], at["test_end"]),
        "stress": (at["stress_start"], at["stress_end"]),
    }


def named(*subjects: Subject) -> dict[str, str]:
    """The hash of every forecaster of these by its name: which ones the scores are of."""
    return {
        name: f"0x{each.hash.hex()}"
        for subject in subjects
        for name, each in installed(subject).items()
    }


def _inside(pairs: Pairs, window: Window) -> Booleans:
    start, end = window
    known = np.isfinite(pairs.later).all(axis=1)
    return np.asarray((pairs.origin >= start) & (pairs.target < end) & known)


def state_file(text: str) -> tuple[str, Path]:
    """A layout's name and a file's."""
    name, _, path = text.partition("=")
    if name not in LAYOUTS or not path:
        raise argparse.ArgumentTypeError(
            f"wanted NAME=FILE with a name out of {', '.join(LAYOUTS)}, found {text!r}"
        )
    return name, Path(path)


def main() -> None:
    """Print a table for each question, and write all of it."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument(
        "--data", type=Path, required=True, help="folder that holds deribit_chains/ and dvol/"
    )
    parser.add_argument(
        "--state",
        type=state_file,
        action="append",
        default=[],
        metavar="NAME=FILE",
        help=f"more of the market's state; NAME is one of {', '.join(LAYOUTS)}; repeatable",
    )
    parser.add_argument("--seeds", type=int, default=1, help="each is three networks already")
    parser.add_argument("--only", choices=("dvol", "surface"))
    parser.add_argument("--until", default=NEVER, help="day whose surfaces are scored no more")
    parser.add_argument("--windows", nargs="+", default=["choices", "test", "stress"])
    parser.add_argument("--json", type=Path)
    asked = parser.parse_args()
    torch.set_num_threads(1)
    parts = {
        "dvol": lambda: dvol(asked.data / "dvol", asked.seeds, asked.state),
        "surface": lambda: surfaces(
            asked.data / "deribit_chains", asked.seeds, asked.state, asked.until
        ),
    }
    found = {}
    for name, part in parts.items():
        if asked.only not in (None, name):
            continue
        for question, scored in part():
            if question.split()[-1] in asked.windows:
                found[question] = {name: asdict(score) for name, score in scored.items()}
                show(question, scored)
    peak_mib = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    print(f"{time.process_time():.0f} CPU s, peak memory {peak_mib:.0f} MiB")
    if asked.json:
        hashes = named("daily", "surface")
        asked.json.write_text(json.dumps({"forecasters": hashes, **found}, indent=1))


def show(question: str, scored: Mapping[str, Score]) -> None:
    """One question as a table."""
    print(f"{question}: {next(iter(scored.values())).forecasts} forecasts")
    for name, score in scored.items():
        low, high = score.to_persistence_ci95
        print(
            f"  {name:18}{score.rmse:8.3f} [{score.rmse_ci95[0]:.3f}, {score.rmse_ci95[1]:.3f}]"
            f"{score.mae:8.3f}{score.to_persistence:8.3f} [{low:.3f}, {high:.3f}]"
            f"{score.diebold_mariano.statistic:8.2f}{score.diebold_mariano.p_value:8.3f}",
            flush=True,
        )


if __name__ == "__main__":
    main()
