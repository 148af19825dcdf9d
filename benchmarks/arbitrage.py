"""What the penalty for static arbitrage takes away and costs, and what the audit of an update sees.

    python -m benchmarks.arbitrage --data DIR [--weights 0 250] [--rounds 15] [--seeds 3]
        [--margin 0.1] [--central] [--held-out]
    python -m benchmarks.arbitrage --data DIR --listed [--held-out]
    python -m benchmarks.arbitrage --data DIR --limits [--weights 0 250]
    python -m benchmarks.arbitrage --data DIR --updates [--weights 0 250] [--rounds 15]
    python -m benchmarks.arbitrage --steps

The first trains federated (five desks, mean) and, where asked, central models, and prints their
errors and the rates of arbitrage on the validation days, with `--held-out` also on the test and the
stress window. The second does so for smiles fitted to quotes, at listed expiries alone, beside the
federated model. The third audits models on one snapshot at a time, as `volquorum price` does, and
says how many snapshots' rates are beyond the limits. The fourth says at how much greater a share of
points an update breaks a condition than its base model does: of honest desks, of one that learned
bent smiles, of a flipped mean and of noise. The fifth times a training step with the penalty by
differences and by automatic differentiation.
"""

import argparse
import json
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import fields, replace
from functools import partial
from pathlib import Path
from typing import Any, Final

import numpy as np
import torch
from torch import Tensor

from node.evaluation.audit import LIMITS, audit, audit_listed
from node.evaluation.metrics import measure
from node.learning.alone import train_central
from node.learning.contribution import Judge
from node.learning.division import Market
from node.learning.federation import federate
from node.learning.training import LocalTraining, TrainingSettings
from node.market.panel import Floats
from node.market.pipeline import cleaned_chain
from node.market.samples import Samples
from node.market.sources import quotes_of
from node.market.split import hold_out
from node.models.arbitrage import MARGIN, REACH_Z, ROWS, Stencil, Watch
from node.models.architecture import DEFAULT_SHIFT
from node.models.expiries import visible_half
from node.models.formulas import FORMULAS, Pricer
from node.models.points import Points
from node.models.smile import SMILE
from node.models.ssvi import ssvi_from
from node.models.svi import svi
from protocol import numbers
from protocol.task import Rule

DESKS: Final = 5
LOOKED_AT: Final = (1, 2, 4, 8, 15, 30)
"""Rounds whose updates are judged."""
NEAR_Z: Final = 2.0
"""Within which nearly every listed expiry has quotes."""
SNAPSHOTS: Final = 32
"""Of a window, that are audited by themselves or at listed expiries; of both coins and evenly
spaced."""


def divided(data: Path | None) -> Market:
    """Five desks by coin and tenor."""
    return Market.of(cleaned_chain(quotes_of(data))).divided("desks", DESKS, 0)


def scored(
    name: str, price: Pricer, market: Market, windows: Sequence[str], spent: float
) -> dict[str, Any]:
    """Errors and rates of a pricer on some windows, printed as one line."""
    found: dict[str, Any] = {"name": name, "cpu_seconds": round(spent, 1)}
    shown = f"{name:32}"
    for window in windows:
        samples = market.windows[window]
        panel = market.panel.take(np.isin(market.panel.snapshot, samples.snapshot))
        rmse, audited = measure(price(samples), samples).rmse, audit(price, panel)
        found[window] = {"rmse": rmse} | vars(audited)
        shown += f" {window} {rmse:6.3f}"
        for rate, depth in (("calendar", "calendar_depth"), ("butterfly", "butterfly_depth")):
            shown += f" {rate} {getattr(audited, rate):8.4%} ({getattr(audited, depth):.2f})"
        shown += f" wings {audited.wings:.3%}"
        if audited.broken_days:
            first, last = audited.broken_days
            shown += f" at {first:.1f} to {last:.1f} d, |z| >= {audited.broken_from_z:.1f}"
        shown += f" wide calendar {audited.wide_calendar:.4%}"
        shown += f" butterfly {audited.wide_butterfly:.4%}"
        shown += ";"
    print(f"{shown} {spent:.0f} CPU s", flush=True)
    return found


def together(market: Market, settings: TrainingSettings, seed: int) -> Floats:
    """The desks' model by the mean, as `volquorum evaluate` takes it. Shape: -> [d]"""
    return federate(
        market.desks,
        settings,
        rule=Rule.MEAN,
        tolerance=0,
        seed=seed,
        validation=market.validation,
    )


def trained(
    market: Market, settings: TrainingSettings, seed: int, *, central: bool
) -> Iterator[tuple[str, Floats, float]]:
    """Kind, vector and CPU seconds; of each the version that is best on the validation days."""
    begun = time.process_time()
    vector = together(market, settings, seed)
    yield "federated", vector, time.process_time() - begun
    if central:
        begun = time.process_time()
        vector = train_central(
            numbers.to_float(SMILE.genesis(seed), DEFAULT_SHIFT),
            market.pooled,
            settings,
            validation=market.validation,
            seed=seed,
        )
        yield "central", vector, time.process_time() - begun


def windows_of(market: Market, asked: argparse.Namespace) -> list[str]:
    """The validation days, and others only where they are asked for."""
    return list(market.windows) if asked.held_out else ["validation"]


def compare(
    market: Market, recipe: TrainingSettings, weights: list[float], asked: argparse.Namespace
) -> list[dict[str, Any]]:
    """Formulas, the untrained model, then every weight and seed."""
    windows = windows_of(market, asked)
    untrained = partial(SMILE.predict, numbers.to_float(SMILE.genesis(0), DEFAULT_SHIFT))
    found = [
        scored(name, price, market, windows, 0.0)
        for name, price in {**FORMULAS, "network of round 0": untrained}.items()
    ]
    for weight in weights:
        for seed in range(asked.seeds):
            settings = replace(recipe, arbitrage_weight=weight)
            for kind, vector, spent in trained(market, settings, seed, central=asked.central):
                name = f"{kind}, weight {weight:g}, seed {seed}"
                found.append(scored(name, partial(SMILE.predict, vector), market, windows, spent))
    return found


def compare_listed(market: Market, settings: TrainingSettings, windows: Sequence[str]) -> None:
    """Print rates at listed expiries of smiles fitted to quotes, of formulas and of the network."""
    shared = partial(SMILE.predict, together(market, settings, 0))
    for window in windows:
        samples = market.windows[window]
        moments = np.unique(samples.snapshot)
        kept = moments[np.linspace(0, moments.size - 1, SNAPSHOTS).astype(np.int64)]
        quotes = samples.take(np.isin(samples.snapshot, kept))
        half = quotes.take(visible_half(quotes, 0))
        pricers = {
            "svi, all quotes visible": svi(quotes),
            "svi, half hidden": svi(half),
            "ssvi, all quotes visible": ssvi_from(quotes),
            "ssvi, half hidden": ssvi_from(half),
            "ssvi, panel": FORMULAS["ssvi"],
            "quadratic, panel": FORMULAS["quadratic"],
            "federated": shared,
        }
        for name, price in pricers.items():
            shown = f"{window:11}{name:26} {measure(price(quotes), quotes).rmse:6.3f}"
            for reach in (NEAR_Z, REACH_Z):
                found = audit_listed(price, quotes, reach)
                shown += f"  |z| <= {reach:.0f}: calendar {found.calendar:8.4%}"
                shown += f" butterfly {found.butterfly:8.4%}"
            print(shown, flush=True)


def compare_with_limits(market: Market, recipe: TrainingSettings, weights: Sequence[float]) -> None:
    """Print how many snapshots of the validation days have rates beyond the audit's limits."""
    moments = np.unique(market.validation.snapshot)
    moments = moments[np.linspace(0, moments.size - 1, SNAPSHOTS).astype(np.int64)]
    vectors = {"round 0": numbers.to_float(SMILE.genesis(0), DEFAULT_SHIFT)} | {
        f"weight {weight:g}": together(market, replace(recipe, arbitrage_weight=weight), 0)
        for weight in weights
    }
    for name, vector in vectors.items():
        found = [
            audit(
                partial(SMILE.predict, vector),
                market.panel.take(market.panel.snapshot == moment),
            )
            for moment in moments
        ]
        shown = f"{name:12} beyond {sum(bool(each.beyond()) for each in found)} of {len(found)}"
        for limit in fields(LIMITS):
            rates = [getattr(each, limit.name) for each in found]
            beyond = sum(rate > getattr(LIMITS, limit.name) for rate in rates)
            shown += f"; {limit.name} {beyond}, at most {max(rates):.3%}"
        print(shown, flush=True)


def judge_updates(market: Market, settings: TrainingSettings) -> None:
    """Print how much more the updates of some rounds break, worst of all desks' views."""
    held_out = [hold_out(part)[1] for part in market.own]
    first = market.desks[0]
    bent = replace(first, target_vol=first.target_vol * (1.0 + 0.5 * np.sin(3.0 * first.z)))
    rng = np.random.default_rng(0)
    models = [numbers.to_float(SMILE.genesis(0), DEFAULT_SHIFT)]
    federate(
        market.desks,
        settings,
        rule=Rule.MEAN,
        tolerance=0,
        on_round=lambda _, model: models.append(model),
    )
    for number in (each for each in LOOKED_AT if each <= settings.rounds):
        base = models[number - 1]

        def moved(
            samples: Samples, recipe: TrainingSettings, number: int = number, base: Floats = base
        ) -> Floats:
            local = LocalTraining(samples, recipe).train(base, seed=number, round_number=number)
            return local.vector - base

        honest = [moved(desk, settings) for desk in market.desks]
        mean = np.mean(honest, axis=0)
        noise = rng.normal(size=mean.size) * np.sqrt(np.mean(honest[0] ** 2))
        others = [moved(bent, replace(settings, arbitrage_weight=0.0)), -mean, noise]
        views = [Judge(part, base).arbitrage(np.stack([*honest, *others])) for part in held_out]
        worst = np.max(views, axis=0)
        names = ("bent", "flipped", "noise")
        shown = "".join(
            f"  {name} {more:+.3f}" for name, more in zip(names, worst[DESKS:], strict=True)
        )
        print(f"  round {number:3}: honest at most {worst[:DESKS].max():+.3f}{shown}", flush=True)


def step_costs() -> None:
    """Print CPU time of a step of 512 quotes, alone and with a look at points of surfaces."""
    samples = divided(None).own[0]
    module = SMILE.module()
    SMILE.load(module, numbers.to_float(SMILE.genesis(0), DEFAULT_SHIFT))
    seen = SMILE.seen(samples.take(slice(0, 512)))
    adam = torch.optim.Adam(module.parameters(), fused=True)

    def step(penalty: Callable[[], Tensor] | None) -> None:
        adam.zero_grad(set_to_none=True)
        loss = module(*seen).square().mean()
        loss = loss if penalty is None else loss + penalty()
        loss.backward()
        adam.step()

    def milliseconds(penalty: Callable[[], Tensor] | None, repeats: int = 200) -> float:
        step(penalty)
        begun = time.process_time()
        for _ in range(repeats):
            step(penalty)
        return 1e3 * (time.process_time() - begun) / repeats

    settings = TrainingSettings()
    print(f"step alone {milliseconds(None):.2f} ms")
    for count in (settings.arbitrage_points, 4 * settings.arbitrage_points):
        watch = Watch.over(SMILE, samples, (1, count), 0, "cpu")
        points = Stencil.scattered(samples, count, 0).samples.take(slice(0, None, ROWS))
        differences = milliseconds(partial(watch.penalty, module, 0))
        twice = milliseconds(lambda points=points: _differentiated(module, points))
        print(
            f"with {count} points: differences {differences:.2f} ms, differentiated {twice:.2f} ms"
        )


def _differentiated(module: torch.nn.Module, samples: Samples) -> Tensor:
    points = Points.of(samples)
    k, years = points.log_moneyness.requires_grad_(), points.years.requires_grad_()
    vols = module(*(part.float() for part in SMILE.inputs(points)))
    w = vols**2 * years
    slope, per_year = torch.autograd.grad(w.sum(), (k, years), create_graph=True)
    (bend,) = torch.autograd.grad(slope.sum(), k, create_graph=True)
    g = (1 - k * slope / (2 * w)) ** 2 - slope**2 / 4 * (1 / w + 0.25) + bend / 2
    return ((MARGIN - g).relu() ** 2 + (MARGIN - per_year * years / w).relu() ** 2).mean()


def main() -> None:
    """Print a line a model, or what else is asked for."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", type=Path, help="folder of quotes; made up without")
    parser.add_argument("--weights", type=float, nargs="+")
    parser.add_argument("--seeds", type=int, default=1)
    parser.add_argument("--rounds", type=int, default=TrainingSettings().rounds)
    parser.add_argument("--margin", type=float, default=MARGIN)
    parser.add_argument("--central", action="store_true")
    parser.add_argument("--held-out", action="store_true")
    parser.add_argument("--listed", action="store_true")
    parser.add_argument("--limits", action="store_true")
    parser.add_argument("--updates", action="store_true")
    parser.add_argument("--steps", action="store_true")
    parser.add_argument("--json", type=Path)
    asked = parser.parse_args()
    torch.set_num_threads(1)
    recipe = replace(TrainingSettings(), rounds=asked.rounds, arbitrage_margin=asked.margin)
    weights = asked.weights or [0.0, recipe.arbitrage_weight]
    if asked.steps:
        step_costs()
        return
    market = divided(asked.data)
    if asked.updates:
        for weight in weights:
            print(f"weight {weight:g}")
            judge_updates(market, replace(recipe, arbitrage_weight=weight))
        return
    if asked.limits:
        compare_with_limits(market, recipe, weights)
        return
    if asked.listed:
        compare_listed(market, recipe, windows_of(market, asked))
        return
    found = compare(market, recipe, weights, asked)
    if asked.json:
        asked.json.write_text(json.dumps(found, indent=1))


if __name__ == "__main__":
    main()
