"""Rules by name, pre-steps put before them, and the rules that a task on the chain can name."""

from collections.abc import Callable, Mapping, Sequence
from functools import partial
from inspect import signature
from typing import TypeVar

import numpy as np

from protocol.errors import RuleError
from protocol.numbers import Int16Array
from protocol.rules.centers import centered_clipping, geometric_median
from protocol.rules.coordinate_wise import clipped_mean, mean, median, trimmed_mean
from protocol.rules.diameter import minimum_diameter
from protocol.rules.pre_steps import PRE_STEPS
from protocol.rules.rows import IntArray, Rows, Updates
from protocol.rules.selection import bulyan, krum, multi_krum
from protocol.rules.weighted import fltrust, weighted_mean
from protocol.task import PreSteps, Rule

T = TypeVar("T")

RULES: dict[str, Callable[..., IntArray]] = {
    "bulyan": bulyan,
    "centered_clipping": centered_clipping,
    "clipped_mean": clipped_mean,
    "fltrust": fltrust,
    "geometric_median": geometric_median,
    "krum": krum,
    "mean": mean,
    "median": median,
    "minimum_diameter": minimum_diameter,
    "multi_krum": multi_krum,
    "trimmed_mean": trimmed_mean,
    "weighted_mean": weighted_mean,
}


def compose(pre_steps: Sequence[str], rule: str, **parameters: object) -> Callable[..., IntArray]:
    """`rule` after `pre_steps`, in their order; each takes those `parameters` that it names.

    `compose(["arc", "nnm"], "trimmed_mean", f=2)(updates)` gives all three f = 2.

    Raises: RuleError if there is no such pre-step or rule; TypeError for a parameter that none
    takes.
    """
    steps = [_named(PRE_STEPS, "pre-step", name) for name in pre_steps]
    last = _named(RULES, "rule", rule)
    known = {name for step in (*steps, last) for name in list(signature(step).parameters)[1:]}
    if not parameters.keys() <= known:
        unknown = ", ".join(sorted(parameters.keys() - known))
        raise TypeError(f"{[*pre_steps, rule]} take {sorted(known)}, not {unknown}")
    return partial(_applied, steps, last, parameters)


def aggregate(
    rule: Rule,
    updates: Int16Array,
    *,
    tolerance: int,
    clip_norm: int,
    pre_steps: PreSteps = PreSteps.NONE,
    trusted_row: int | None = None,
) -> Int16Array:
    """`rule` after `pre_steps`, with a task's parameters. Shape: updates [n, d] -> [d].

    Of FLTrust the row `trusted_row` is the reference and the other ones are the updates; without
    it, or without other ones, nobody is trusted and the aggregate is zero.

    Raises: RuleError if the rule cannot tolerate so many liars among these updates.
    """
    if updates.dtype != np.dtype(np.int16):
        raise TypeError(f"updates must be int16, not {updates.dtype}")
    rows = Rows.of(updates)
    count = rows.count
    most = rule.most_liars(count, pre_steps)
    if not 0 <= tolerance <= most:
        raise RuleError(
            f"{rule.name} of {count} updates tolerates at most {most} liars; got {tolerance}"
        )
    steps = [PRE_STEPS[str(step.name).lower()] for step in pre_steps]
    # Under each name that a rule has for one of them.
    parameters: dict[str, object] = {"f": tolerance, "clip_norm": clip_norm, "tau": clip_norm}
    if rule is Rule.FLTRUST:
        if trusted_row is None or count == 1:
            return np.zeros(rows.dimension, dtype=np.int16)
        parameters["reference"] = updates[trusted_row]
        row = trusted_row
        rows = rows.changed(lambda block: np.delete(block, row, axis=0), count - 1)
    combined = _applied(steps, RULES[rule.name.lower()], parameters, rows)
    return combined.astype(np.int16, copy=False)


def _applied(
    steps: Sequence[Callable[..., Rows]],
    rule: Callable[..., IntArray],
    parameters: Mapping[str, object],
    updates: Updates,
) -> IntArray:
    rows = Rows.of(updates)
    for step in steps:
        rows = step(rows, **_taken_by(step, parameters))
    return rule(rows, **_taken_by(rule, parameters))


def _named(table: dict[str, Callable[..., T]], what: str, name: str) -> Callable[..., T]:
    try:
        return table[name]
    except KeyError:
        raise RuleError(f"there is no {what} {name!r}; known are {', '.join(table)}") from None


def _taken_by(step: Callable[..., object], parameters: Mapping[str, object]) -> dict[str, object]:
    return {name: parameters[name] for name in signature(step).parameters if name in parameters}
