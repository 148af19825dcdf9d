"""A million quotes priced with their Greeks in one call, beside QuantLib, in one thread.

    python -m benchmarks.greeks [--data DIR] [--json FILE]

Ours are a premium and six Greeks by automatic differentiation, with given volatilities, with the
network's at a fixed strike and with the network's along its smile; the network's own work counts.
QuantLib has given volatilities alone and takes one quote at a time, so it is timed on a sample and
scaled: its `BlackCalculator`, the least it can do, and an option with a process and an analytic
engine, its usual way; a premium and the five Greeks that both have analytically (delta, gamma,
vega, theta, rho). `ratio` is QuantLib's CPU time over ours. What both compute is compared too.
"""

import argparse
import json
import resource
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import QuantLib as ql  # noqa: N813  # its own documentation's name
import torch

from node.market.panel import Floats
from node.market.pipeline import cleaned, prepare
from node.market.quotes import DAYS_PER_YEAR
from node.market.samples import Samples
from node.market.sources import quotes_of
from node.models.architecture import DEFAULT_SHIFT
from node.models.greeks import Greeks, LocalVol, black_greeks, model_greeks
from node.models.smile import SMILE
from protocol import numbers

SHARED = ("price", "delta", "gamma", "vega", "theta")
"""What both compute, in this order."""
DAY_COUNT = ql.Actual365Fixed()


def quotes(data: Path | None, count: int) -> Samples:
    """So many quotes, a market's over and over."""
    found = prepare(cleaned(quotes_of(data, days=30))).samples
    return found.take(np.resize(np.arange(len(found)), count))


def calculator(row: tuple[float, float, float, float, bool]) -> tuple[float, ...]:
    """The premium and Greeks of one quote by QuantLib's formula."""
    forward, strike, years, vol, is_call = row
    payoff = ql.PlainVanillaPayoff(ql.Option.Call if is_call else ql.Option.Put, strike)
    black = ql.BlackCalculator(payoff, forward, vol * years**0.5, 1.0)
    greeks = black.deltaForward(), black.gammaForward(), black.vega(years)
    return black.value(), *greeks, black.theta(forward, years), black.rho(years)


def engine(row: tuple[float, float, float, float, bool]) -> tuple[float, ...]:
    """The same by an option, a process and an analytic engine; time in whole days."""
    forward, strike, years, vol, is_call = row
    today = ql.Settings.instance().evaluationDate
    spot = ql.QuoteHandle(ql.SimpleQuote(forward))
    rate = ql.YieldTermStructureHandle(ql.FlatForward(today, 0.0, DAY_COUNT))
    smile = ql.BlackVolTermStructureHandle(
        ql.BlackConstantVol(today, ql.NullCalendar(), vol, DAY_COUNT)
    )
    payoff = ql.PlainVanillaPayoff(ql.Option.Call if is_call else ql.Option.Put, strike)
    exercise = ql.EuropeanExercise(today + max(1, round(years * DAYS_PER_YEAR)))
    option = ql.VanillaOption(payoff, exercise)
    option.setPricingEngine(ql.AnalyticEuropeanEngine(ql.BlackProcess(spot, rate, smile)))
    greeks = option.delta(), option.gamma(), option.vega(), option.theta(), option.rho()
    return option.NPV(), *greeks


def rows_of(samples: Samples, is_call: Any) -> Iterator[tuple[float, float, float, float, bool]]:
    columns = (samples.forward, samples.strike, samples.years, samples.target_vol, is_call)
    return zip(*(column.tolist() for column in columns), strict=True)


def timed(work: Callable[[], Any]) -> tuple[float, Any]:
    """CPU seconds and the answer."""
    begun = time.process_time()
    answer = work()
    return time.process_time() - begun, answer


def peak_mib() -> float:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def worst_difference(ours: Greeks, forward: Floats, theirs: Floats) -> dict[str, float]:
    """The largest difference in units of the largest value of each. Shape: theirs [n, 6]"""
    units = {"price": 1.0, "delta": 1.0, "gamma": 1.0, "vega": 100.0, "theta": DAYS_PER_YEAR}
    usd = ours.in_usd(forward)
    return {
        name: float(np.abs(getattr(usd, name) * units[name] - column).max() / np.abs(column).max())
        for name, column in zip(SHARED, theirs.T[: len(SHARED)], strict=True)
    }


def measure(data: Path | None, count: int, sampled: int) -> dict[str, Any]:
    """CPU seconds, ratios, memory and agreement."""
    samples = quotes(data, count)
    is_call = samples.strike > samples.forward
    vector = numbers.to_float(SMILE.genesis(0), DEFAULT_SHIFT)
    geometry = (samples.forward, samples.strike, samples.years)
    before = peak_mib()
    ours = {
        "given volatilities": lambda: black_greeks(
            *geometry, LocalVol.sticky(samples.target_vol), is_call
        ),
        "network, sticky strike": lambda: model_greeks(
            SMILE, vector, samples, is_call, sticky_strike=True
        ),
        "network, along the smile": lambda: model_greeks(SMILE, vector, samples, is_call),
    }
    seconds: dict[str, float] = {}
    memory: dict[str, float] = {}
    for name, work in ours.items():
        seconds[name], found = timed(work)
        memory[name] = peak_mib() - before
        if name == "given volatilities":
            given = found
        del found
    chosen = np.linspace(0, count - 1, sampled).astype(np.int64)
    some, calls = samples.take(chosen), is_call[chosen]
    ql.Settings.instance().evaluationDate = ql.Date(1, 1, 2026)
    theirs = {}
    for name, price in (("calculator", calculator), ("engine", engine)):
        spent, answers = timed(lambda price=price: [price(row) for row in rows_of(some, calls)])
        theirs[name] = spent * count / sampled
        if name == "calculator":
            exact = np.array(answers)
    part = Greeks(**{name: column[chosen] for name, column in vars(given).items()})
    return {
        "quotes": count,
        "quantlib_sample": sampled,
        "quantlib": ql.__version__,
        "seconds": {name: round(spent, 3) for name, spent in seconds.items()},
        "quantlib_seconds_scaled": {name: round(spent, 2) for name, spent in theirs.items()},
        "ratio": {
            name: {other: round(theirs[other] / spent, 1) for other in theirs}
            for name, spent in seconds.items()
        },
        "extra_memory_mib": {name: round(mib) for name, mib in memory.items()},
        "peak_memory_mib": round(peak_mib()),
        "worst_relative_difference": worst_difference(part, some.forward, exact),
    }


def main() -> None:
    """Print a table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", type=Path, help="folder of quotes; made up without")
    parser.add_argument("--quotes", type=int, default=1_000_000)
    parser.add_argument("--sample", type=int, default=20_000, help="quotes that QuantLib prices")
    parser.add_argument("--json", type=Path)
    asked = parser.parse_args()
    torch.set_num_threads(1)
    found = measure(asked.data, asked.quotes, asked.sample)
    for name, spent in found["seconds"].items():
        ratios = ", ".join(
            f"{ratio:8.1f} x {other}" for other, ratio in found["ratio"][name].items()
        )
        extra = found["extra_memory_mib"][name]
        print(f"{name:26}{spent:8.2f} CPU s  {extra:6} MiB more  {ratios}")
    print(f"QuantLib {found['quantlib']}, scaled CPU s: {found['quantlib_seconds_scaled']}")
    print(f"peak memory {found['peak_memory_mib']} MiB")
    print(f"largest difference: {found['worst_relative_difference']}")
    if asked.json:
        asked.json.write_text(json.dumps(found, indent=1))


if __name__ == "__main__":
    main()
