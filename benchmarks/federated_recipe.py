"""What the published recipe reaches: federated, alone, central and formulas, on held-out days.

Rounds are run without a chain but with the numbers of one: quantised updates, carried residuals and
an integer rule. The defaults of `TrainingSettings` and of `node.models.smile` come from here.
"""

import argparse
import json
import resource
import time
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import get_args

import numpy as np
import torch

from node.evaluation.metrics import Metrics, measure
from node.learning.alone import train_alone, train_central
from node.learning.training import TrainingSettings, train_locally
from node.learning.update import make_update
from node.market.cleaning import clean
from node.market.deribit_parquet import read_chains
from node.market.desks import Partition, partition
from node.market.panel import Floats, build_panel
from node.market.samples import Samples, anchor_samples, build_samples
from node.market.split import split_for
from node.market.synthetic import market
from node.models.architecture import DEFAULT_MAX_NORM, DEFAULT_SHIFT
from node.models.boosting import train_boosting
from node.models.formulas import FORMULAS, Pricer
from node.models.smile import SMILE
from protocol import numbers
from protocol.rules import aggregate
from protocol.task import Rule

PARTITIONS: tuple[Partition, ...] = get_args(Partition)
TOLERANCES = {Rule.MEAN: 0, Rule.MEDIAN: 1, Rule.TRIMMED_MEAN: 1}
"""Liars that each rule is asked to tolerate."""
CLIP_NORM = 1 << 14


@dataclass(frozen=True)
class Field:
    """Everybody's training samples and the held-out days."""

    desks: tuple[Samples, ...]
    anchors: Samples
    """The public panel's own points, which anybody can train on."""
    pooled: Samples
    validation: Samples
    held_out: dict[str, Samples]

    @classmethod
    def cut(
        cls, data: Path | None, how: Partition, desks: int, seed: int, *, anchored: bool
    ) -> "Field":
        quotes = clean(market(seed, days=90) if data is None else read_chains(data)).quotes
        panel = build_panel(quotes)
        split, everything = split_for(panel), build_samples(quotes, panel)
        anchors = split.train(anchor_samples(panel))

        def trained_on(own: Samples) -> Samples:
            return Samples.join(split.train(own), anchors) if anchored else split.train(own)

        # Partitions are cut over training days only, so every desk has something to learn from.
        days = np.unique(split.train(everything).snapshot)
        early = quotes.filter(quotes["timestamp"].dt.epoch("us").is_in(days.tolist()))
        parts = partition(early, how, desks, seed)
        return cls(
            desks=tuple(trained_on(build_samples(part, panel)) for part in parts),
            anchors=anchors,
            pooled=trained_on(everything),
            validation=split.validation(everything),
            held_out={"test": split.test(everything), "stress": split.stress(everything)},
        )

    def score(self, price: Pricer) -> dict[str, Metrics]:
        return {name: measure(price(held), held) for name, held in self.held_out.items()}


def federate(
    desks: tuple[Samples, ...], settings: TrainingSettings, rule: Rule, seed: int
) -> Floats:
    """The model after every round, as the contract and its participants would compute it."""
    shift, max_norm = DEFAULT_SHIFT, DEFAULT_MAX_NORM
    model = SMILE.genesis(seed, shift)
    residuals = [np.zeros(model.size) for _ in desks]
    for round_number in range(1, settings.rounds + 1):
        updates = []
        for desk, samples in enumerate(desks):
            local_seed = int(
                np.random.SeedSequence([seed, desk, round_number]).generate_state(1)[0]
            )
            local = train_locally(
                numbers.to_float(model, shift),
                samples,
                settings,
                seed=local_seed,
                round_number=round_number,
            )
            update = make_update(
                local.vector, model, residuals[desk], shift=shift, max_norm=max_norm
            )
            residuals[desk] = update.residual
            updates.append(update.values)
        combined = aggregate(
            rule, np.stack(updates), tolerance=TOLERANCES[rule], clip_norm=CLIP_NORM
        )
        model = numbers.add_update(model, combined)
    return numbers.to_float(model, shift)


def priced_by(vector: Floats) -> Pricer:
    return lambda samples: SMILE.predict(vector, samples)


def compare(field: Field, settings: TrainingSettings, seed: int) -> dict[str, dict[str, Metrics]]:
    """Metrics on every held-out stretch by model."""
    genesis = numbers.to_float(SMILE.genesis(seed), DEFAULT_SHIFT)
    scored = {name: field.score(price) for name, price in FORMULAS.items()}
    for rule in TOLERANCES:
        begun = time.process_time()
        vector = federate(field.desks, settings, rule, seed)
        print(f"  {rule.name.lower()}: {time.process_time() - begun:.1f} CPU s", flush=True)
        scored[f"federated {rule.name.lower()}"] = field.score(priced_by(vector))
    begun = time.process_time()
    central = train_central(
        genesis,
        field.pooled,
        settings,
        participants=len(field.desks),
        validation=field.validation,
        seed=seed,
    )
    scored["central"] = field.score(priced_by(central))
    print(f"  central: {time.process_time() - begun:.1f} CPU s", flush=True)
    for number, desk in enumerate(field.desks):
        alone = train_alone(genesis, desk, settings, seed=seed + number)
        scored[f"alone {number}"] = field.score(priced_by(alone))
    return scored


def main() -> None:
    """Print a table for each partition."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", type=Path, help="folder of recorded chains; made up without")
    parser.add_argument("--partition", choices=PARTITIONS, action="append")
    parser.add_argument("--desks", type=int, default=5)
    parser.add_argument("--rounds", type=int, default=TrainingSettings().rounds)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--unanchored", action="store_true", help="train without panel points")
    parser.add_argument("--boosting", action="store_true", help="also fit gradient-boosted trees")
    parser.add_argument("--json", type=Path)
    asked = parser.parse_args()
    torch.set_num_threads(1)
    settings = replace(TrainingSettings(), rounds=asked.rounds)
    found = {}
    for how in asked.partition or PARTITIONS:
        print(how, flush=True)
        field = Field.cut(asked.data, how, asked.desks, asked.seed, anchored=not asked.unanchored)
        scored = compare(field, settings, asked.seed)
        if asked.boosting:
            scored["boosting"] = field.score(train_boosting(field.pooled, asked.seed))
        for name, stretches in scored.items():
            shown = "".join(f"{m.rmse:8.3f}{m.mae:8.3f}" for m in stretches.values())
            print(f"  {name:24}{shown}{stretches['test'].inside_spread:8.3f}", flush=True)
        found[how] = {
            name: {stretch: asdict(metrics) for stretch, metrics in stretches.items()}
            for name, stretches in scored.items()
        }
    peak_mib = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    print(f"{time.process_time():.0f} CPU s, peak memory {peak_mib:.0f} MiB")
    if asked.json:
        asked.json.write_text(json.dumps(found, indent=1))


if __name__ == "__main__":
    main()
