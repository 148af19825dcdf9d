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
from typing import Final, get_args

import numpy as np
import torch

from node.evaluation.metrics import Metrics, measure
from node.learning.alone import train_alone, train_central
from node.learning.federation import federate
from node.learning.training import TrainingSettings
from node.market.cleaning import clean
from node.market.deribit_parquet import read_chains
from node.market.desks import Partition, partition
from node.market.panel import Floats, build_panel
from node.market.samples import Samples, build_samples
from node.market.split import split_for
from node.market.synthetic import market
from node.models.architecture import DEFAULT_SHIFT
from node.models.boosting import train_boosting
from node.models.formulas import FORMULAS, Pricer
from node.models.prior import prior_anchors
from node.models.smile import SMILE
from protocol import numbers
from protocol.task import Rule

PARTITIONS: tuple[Partition, ...] = get_args(Partition)
LASTING: Final = ("desks", "moneyness")
"""Partitions by what is quoted, not by when or by chance."""
TOLERANCES = {Rule.MEAN: 0, Rule.MEDIAN: 1, Rule.TRIMMED_MEAN: 1}
"""Liars that each rule is asked to tolerate."""


@dataclass(frozen=True)
class Field:
    """Everybody's training samples and the held-out days."""

    desks: tuple[Samples, ...]
    anchors: Samples
    """The public panel's own points, which anybody can train on."""
    pooled: Samples
    validation: Samples
    held_out: dict[str, Samples]
    own_test: tuple[Samples, ...] = ()
    """Test quotes of each desk's own part, where quotes have a part whatever day they are of."""

    @classmethod
    def cut(
        cls, data: Path | None, how: Partition, desks: int, seed: int, *, anchored: bool
    ) -> "Field":
        quotes = clean(market(seed, days=90) if data is None else read_chains(data)).quotes
        panel = build_panel(quotes)
        split, everything = split_for(panel), build_samples(quotes, panel)
        anchors = split.train(prior_anchors(panel))

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
            own_test=tuple(
                split.test(build_samples(part, panel))
                for part in (partition(quotes, how, desks, seed) if how in LASTING else ())
            ),
        )

    def score(self, price: Pricer) -> dict[str, Metrics]:
        return {name: measure(price(held), held) for name, held in self.held_out.items()}


def priced_by(vector: Floats) -> Pricer:
    return lambda samples: SMILE.predict(vector, samples)


def compare(field: Field, settings: TrainingSettings, seed: int) -> dict[str, dict[str, Metrics]]:
    """Metrics on every held-out stretch by model."""
    genesis = numbers.to_float(SMILE.genesis(seed), DEFAULT_SHIFT)
    scored = {name: field.score(price) for name, price in FORMULAS.items()}
    for rule, tolerance in TOLERANCES.items():
        begun = time.process_time()
        vector = federate(field.desks, settings, rule=rule, tolerance=tolerance, seed=seed)
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
