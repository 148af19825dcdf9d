"""The demo's comparison as people read it: a line a model, and one sentence of what it comes to."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

NAMES: Mapping[str, str] = {
    "federated": "the shared model",
    "central": "all data in one place",
    "local_mean": "a desk alone, mean",
    "local_best": "a desk alone, best",
    "local_worst": "a desk alone, worst",
    "flat": "flat volatility",
    "term_structure": "ATM term structure",
    "quadratic": "quadratic smile",
    "ssvi": "SSVI surface",
}


@dataclass(frozen=True)
class Standing:
    """How one model prices quotes that no model saw; errors in vol points."""

    key: str
    test: float
    stress: float
    inside_spread: float | None
    """Share of the test's quotes priced between bid and ask; of desks, only their mean has one."""
    price_bp: float | None
    """RMSE of the premium in basis points of the forward, likewise."""

    @property
    def name(self) -> str:
        """In words."""
        return NAMES.get(self.key, self.key.replace("_", " "))


def standings(result: Mapping[str, Any]) -> list[Standing]:
    """A demo's result, model by model."""
    rmse = result["rmse_vol_points"]
    return [
        Standing(
            name,
            rmse[name],
            rmse["stress"][name],
            _mean(result["metrics"], name, "inside_spread"),
            _mean(result["metrics"], name, "price_rmse_bp"),
        )
        for name in rmse
        if name != "stress"
    ]


def verdict(result: Mapping[str, Any]) -> str:
    """What sharing was worth in this run."""
    rmse = result["rmse_vol_points"]
    shared, mean, best = (rmse[name] for name in ("federated", "local_mean", "local_best"))
    if shared < best:
        ending = f"and {best:.2f} for the best of them"
    else:
        ending = f"but {best:.2f} for the best of them, which gains nothing by sharing"
    return (
        f"On later days that no model saw, the shared model errs by {shared:.2f} vol points "
        f"against {mean:.2f} for a desk alone, {ending}."
    )


def _mean(metrics: Mapping[str, Any], name: str, measure: str) -> float | None:
    if name in {"local_best", "local_worst"}:
        return None
    each = metrics["local"] if name == "local_mean" else [metrics[name]]
    return float(sum(scores["test"][measure] for scores in each) / len(each))
