"""What the model was to reach, beside what `volquorum evaluate --json` found.

A goal is a number and a limit for some of the partitions; what was reached is read off the files,
so the page cannot say more than was measured.
"""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any, Final, get_args

from node.market.desks import Partition

PARTITIONS: Final[tuple[str, ...]] = get_args(Partition)
TOGETHER_TO_CENTRAL: Final = "together, to all data in one place"
Window = Mapping[str, Any]
"""Of an evaluation, what was measured on the test or in stress."""


def ratio(name: str, found: Window) -> float | None:
    """One of `rmse_ratios`; none where that was not measured."""
    estimate = found["rmse_ratios"].get(name)
    return None if estimate is None else float(estimate["mean"])


def worst_beside_alone(name: str, found: Window) -> float:
    """The largest over desks of its own model's error beside what it trained alone, on its book."""
    return max(float(book[name]["mean"] / book["local"]["mean"]) for book in found["books"])


def arbitrage(condition: str, found: Window) -> float:
    """The share of the grid that the federated or the central model violates, the larger one."""
    models = found["arbitrage"][condition]["models"]
    return max(float(models[name]["mean"]) for name in ("federated", "central"))


@dataclass(frozen=True)
class Goal:
    """One number that is to stay at or below a limit."""

    said: str
    value: Callable[[Window], float | None]
    limit: float
    window: str = "test"
    partitions: tuple[str, ...] = PARTITIONS
    """Where it was set."""
    digits: str = ".3f"

    def row(self, found: Mapping[str, Mapping[str, Any]]) -> str:
        """As a line of the table."""
        values: dict[str, float] = {}
        for name in self.partitions:
            if name in found:
                of = found[name] if self.window == "test" else found[name]["stress"]
                value = self.value(of)
                if value is not None:
                    values[name] = value
        cells = [
            format(values[name], self.digits) if name in values else "-" for name in PARTITIONS
        ]
        missed = [name for name, value in values.items() if value > self.limit]
        met = ("no: " + ", ".join(missed) if missed else "yes") if values else "-"
        wanted = format(self.limit, "g" if self.digits == ".3f" else ".1%")
        return f"| {self.said}, {self.window} | {wanted} | {' | '.join(cells)} | {met} |"


GOALS: Final = (
    *(
        Goal(
            f"all data in one place, to {said}", partial(ratio, f"central_to_{name}"), limit, window
        )
        for name, said, limit in (
            ("hist_gradient_boosting", "boosted trees", 1.0),
            ("quadratic_in_volatility", "the smile quadratic in volatility", 0.6),
            ("quadratic", "the better one, in variance", 0.6),
        )
        for window in ("test", "stress")
    ),
    Goal(
        TOGETHER_TO_CENTRAL,
        partial(ratio, "federated_to_central"),
        1.03,
        partitions=("desks", "dirichlet", "time"),
    ),
    Goal(
        TOGETHER_TO_CENTRAL,
        partial(ratio, "federated_to_central"),
        1.15,
        partitions=("moneyness",),
    ),
    Goal(TOGETHER_TO_CENTRAL, partial(ratio, "federated_to_central"), 1.15, "stress"),
    *(
        Goal(
            f"together, to the best desk {said}",
            partial(ratio, f"federated_to_{name}_best"),
            limit,
            partitions=(partition,),
        )
        for said, name in (
            ("with the plain network", "plain"),
            ("unaided", "unaided"),
            ("alone", "local"),
        )
        for partition, limit in (("desks", 0.7), ("moneyness", 0.35))
    ),
    *(
        Goal(f"own book, {said}, to the desk alone, worst desk", value, 1.0, window)
        for said, value in (
            ("with a head", partial(worst_beside_alone, "head")),
            ("in a blend of both", partial(worst_beside_alone, "chosen")),
        )
        for window in ("test", "stress")
    ),
    *(
        Goal(
            f"{condition} arbitrage, z from -6 to 6",
            partial(arbitrage, condition),
            limit,
            window,
            digits=".3%",
        )
        for condition, limit in (("calendar", 0.0), ("butterfly", 0.002))
        for window in ("test", "stress")
    ),
    *(
        Goal(
            f"tolerating a liar when nobody lies, {said}, to the mean",
            partial(ratio, f"{name}_to_federated"),
            1.05,
            window,
        )
        for said, name in (
            ("the rule alone", "federated_rule_alone"),
            ("rule and recipe", "federated_tolerant"),
        )
        for window in ("test", "stress")
    ),
)


def table_of_goals(found: Mapping[str, Mapping[str, Any]]) -> str:
    """Every goal that the evaluations can tell about; by partition."""
    return "\n".join(_lines(found))


def _lines(found: Mapping[str, Mapping[str, Any]]) -> Iterator[str]:
    yield f"| goal | at most | {' | '.join(PARTITIONS)} | met |"
    yield "|---" * (len(PARTITIONS) + 3) + "|"
    for goal in GOALS:
        yield goal.row(found)
