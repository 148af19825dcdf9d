"""What sharing a model is worth: the federated model beside what each desk could do without it."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from functools import partial
from typing import Any

import numpy as np

from node.evaluation.books import book
from node.evaluation.metrics import Metrics, measure
from node.learning.alone import train_alone, train_central
from node.learning.division import Market
from node.learning.training import TrainingSettings
from node.market.panel import Floats
from node.market.samples import Samples
from node.models.architecture import Architecture
from node.models.formulas import FORMULAS, Pricer
from node.models.smile import SMILE


@dataclass(frozen=True)
class Contestants:
    """Pricers of the same quotes, trained on the same ones with the same budget."""

    federated: Pricer
    central: Pricer
    local: tuple[Pricer, ...]
    """One per desk, each trained on its own quotes and the anchors only."""
    others: Mapping[str, Pricer]
    """Baselines by name; formulas that need no training."""

    @property
    def shared(self) -> Mapping[str, Pricer]:
        """All by name but those of a single desk."""
        return {"federated": self.federated, "central": self.central, **self.others}

    @classmethod
    def trained(
        cls,
        market: Market,
        federated: Floats,
        genesis: Floats,
        settings: TrainingSettings,
        *,
        seed: int,
        progress: Callable[[str], None],
        device: str = "cpu",
        architecture: Architecture = SMILE,
    ) -> "Contestants":
        """Train what a federated model is compared with, from the same genesis.

        Each keeps the round that is best on the validation days: of the central model on all their
        quotes, of a desk alone on its book of them.

        Shape: federated, genesis [d].
        """
        progress("training on all data together")
        central = train_central(
            genesis,
            market.pooled,
            settings,
            validation=market.validation,
            seed=seed,
            device=device,
            architecture=architecture,
        )
        alone = []
        for number, samples in enumerate(market.desks):
            progress(f"training desk {number} alone")
            alone.append(
                train_alone(
                    genesis,
                    samples,
                    settings,
                    validation=book(market.own[number], market.validation),
                    seed=seed + number,
                    device=device,
                    architecture=architecture,
                )
            )
        return cls(
            federated=partial(architecture.predict, federated),
            central=partial(architecture.predict, central),
            local=tuple(partial(architecture.predict, vector) for vector in alone),
            others=FORMULAS,
        )


@dataclass(frozen=True)
class Scores:
    """One model on the two held-out windows."""

    test: Metrics
    stress: Metrics


@dataclass(frozen=True)
class Comparison:
    """Everything the network is measured against, on quotes that no model saw."""

    federated: Scores
    central: Scores
    local: tuple[Scores, ...]
    """One per desk, each trained on its own quotes only."""
    formulas: dict[str, Scores]
    """Baselines that need no training."""
    best_desk: Pricer
    """The desk that does best alone on the test window."""

    def rmse_vol_points(self) -> dict[str, Any]:
        """RMSE against the mark on the test window, and under `stress` on the stress window."""
        return {**self._rmse("test"), "stress": self._rmse("stress")}

    def as_dict(self) -> dict[str, Any]:
        """All metrics, JSON-ready."""
        return {
            "federated": asdict(self.federated),
            "central": asdict(self.central),
            "local": [asdict(scores) for scores in self.local],
            **{name: asdict(scores) for name, scores in self.formulas.items()},
        }

    def _rmse(self, window: str) -> dict[str, float]:
        def rmse(scores: Scores) -> float:
            metrics: Metrics = getattr(scores, window)
            return round(metrics.rmse, 4)

        alone = [rmse(scores) for scores in self.local]
        return {
            "federated": rmse(self.federated),
            "central": rmse(self.central),
            "local_mean": round(sum(alone) / len(alone), 4),
            "local_best": min(alone),
            "local_worst": max(alone),
            **{name: rmse(scores) for name, scores in self.formulas.items()},
        }


def compare(market: Market, contestants: Contestants) -> Comparison:
    """Score all on the two held-out windows."""

    def scored(price: Pricer) -> Scores:
        return Scores(
            test=measure(price(market.test), market.test),
            stress=measure(price(market.stress), market.stress),
        )

    local = tuple(scored(price) for price in contestants.local)
    best = min(range(len(local)), key=lambda number: local[number].test.rmse)
    return Comparison(
        federated=scored(contestants.federated),
        central=scored(contestants.central),
        local=local,
        best_desk=contestants.local[best],
        formulas={name: scored(price) for name, price in contestants.others.items()},
    )


def smiles(
    models: Sequence[tuple[str, Pricer]], samples: Samples, *, is_btc: bool
) -> dict[str, Any]:
    """One expiry's smile of one coin on the latest test snapshot, for a picture.

    The expiry nearest to 30 days; log-moneyness, mark volatility and each model's, sorted.
    """
    coin = np.flatnonzero(samples.is_btc == is_btc)
    latest = coin[samples.snapshot[coin] == samples.snapshot[coin].max()]
    years = samples.years[latest]
    expiry = years[np.abs(years - 30 / 365.25).argmin()]
    rows = latest[years == expiry]
    rows = rows[np.argsort(samples.z[rows])]
    chosen = samples.take(rows)
    return {
        "coin": "BTC" if is_btc else "ETH",
        "days": round(float(expiry) * 365.25, 1),
        "log_moneyness": np.log(chosen.strike / chosen.forward).tolist(),
        "mark": chosen.target_vol.tolist(),
        "bid": chosen.bid_vol.tolist(),
        "ask": chosen.ask_vol.tolist(),
        "models": {name: pricer(chosen).tolist() for name, pricer in models},
    }
