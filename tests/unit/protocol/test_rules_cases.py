"""Ten thousand random cases of each rule and pre-step against the reference, to the bit.

Most are small, so that ties, equal updates and the ends of the range are frequent.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import pytest

from protocol.rules import PRE_STEPS, RULES
from tests.vectors import reference, reference_rules

pytestmark = pytest.mark.unit

CASES = 10_000
LOWEST, HIGHEST = -(2**15), 2**15 - 1

Draw = np.random.Generator
Rows = list[list[int]]


@dataclass(frozen=True)
class Subject:
    """A rule or pre-step, what it is called with, and what it must then give."""

    call: Callable[..., Any]
    expected: Callable[..., list[Any]]
    """Takes the updates as lists and the parameters."""
    least: Callable[[int], int] = lambda f: 2 * f + 1
    """Updates needed for f liars."""
    parameters: Callable[[Draw, Any, int], Mapping[str, Any]] = lambda _draw, _updates, f: {"f": f}
    """Of the updates and f."""
    most_updates: int = 64
    most_liars: int = 31


def nothing(_draw: Draw, _updates: Any, _f: int) -> Mapping[str, Any]:
    return {}


def clip_norm(draw: Draw, updates: Any, _f: int) -> Mapping[str, Any]:
    """Any, or just about the norm of an update."""
    norm = int(np.linalg.norm(updates[0].astype(float)))
    near = max(1, norm + int(draw.integers(-1, 2)))
    return {"clip_norm": int(2.0 ** draw.uniform(0, 20)) if draw.random() < 0.5 else near}


def averaged(draw: Draw, updates: Any, f: int) -> Mapping[str, Any]:
    return {"f": f, "m": int(draw.integers(1, len(updates) - f + 1))}


def smoothing(draw: Draw, _updates: Any, _f: int) -> Mapping[str, Any]:
    return {"nu": int(2 ** draw.uniform(0, 30)), "iterations": int(draw.integers(1, 4))}


def clipping(draw: Draw, updates: Any, _f: int) -> Mapping[str, Any]:
    start = updates_of(draw, 1, updates.shape[1])[0]
    tau = int(2 ** draw.uniform(0, 20))
    return {"tau": tau, "iterations": int(draw.integers(1, 4)), "v0": start}


def committed(draw: Draw, updates: Any, _f: int) -> Mapping[str, Any]:
    most = int(draw.choice([2, 5, 1000, 2**30 + 1]))
    weights = draw.integers(0, most, len(updates)).tolist()
    weights[int(draw.integers(len(weights)))] = most - 1
    return {"weights": weights}


def trusted(draw: Draw, updates: Any, _f: int) -> Mapping[str, Any]:
    own = updates_of(draw, 1, updates.shape[1])[0]
    return {"reference": updates[0] if draw.random() < 0.3 else own}


def buckets(draw: Draw, updates: Any, _f: int) -> Mapping[str, Any]:
    return {
        "s": int(draw.integers(1, len(updates) + 2)),
        "seed": int(draw.integers(2**64, dtype=np.uint64)),
    }


def of_contract(rule: int) -> Callable[..., list[int]]:
    def expected(updates: Rows, f: int = 0, clip_norm: int = 0) -> list[int]:
        return reference.aggregate(rule, updates, f, clip_norm)

    return expected


def agreeing(updates: Rows, **given: list[int]) -> list[int]:
    return reference_rules.fltrust(updates, given["reference"])


SUBJECTS = {
    "mean": Subject(RULES["mean"], of_contract(0), parameters=nothing),
    "clipped_mean": Subject(RULES["clipped_mean"], of_contract(1), parameters=clip_norm),
    "median": Subject(RULES["median"], of_contract(2), parameters=nothing),
    "trimmed_mean": Subject(RULES["trimmed_mean"], of_contract(3)),
    "krum": Subject(RULES["krum"], reference_rules.krum, lambda f: 2 * f + 3),
    "multi_krum": Subject(
        RULES["multi_krum"], reference_rules.multi_krum, lambda f: 2 * f + 3, averaged
    ),
    "bulyan": Subject(RULES["bulyan"], reference_rules.bulyan, lambda f: 4 * f + 3),
    # The reference tries every subset.
    "minimum_diameter": Subject(
        RULES["minimum_diameter"], reference_rules.minimum_diameter, most_updates=12
    ),
    "geometric_median": Subject(
        RULES["geometric_median"], reference_rules.geometric_median, parameters=smoothing
    ),
    "centered_clipping": Subject(
        RULES["centered_clipping"], reference_rules.centered_clipping, parameters=clipping
    ),
    "weighted_mean": Subject(
        RULES["weighted_mean"], reference_rules.weighted_mean, parameters=committed
    ),
    "fltrust": Subject(RULES["fltrust"], agreeing, parameters=trusted),
    "arc": Subject(PRE_STEPS["arc"], reference_rules.arc),
    "nnm": Subject(PRE_STEPS["nnm"], reference_rules.nnm),
    "bucketing": Subject(PRE_STEPS["bucketing"], reference_rules.bucketing, parameters=buckets),
}


def updates_of(draw: Draw, count: int, dimension: int) -> Any:
    """Updates of one of several kinds, which nobody may write to."""
    shape = (count, dimension)
    match draw.integers(7):
        case 0:
            updates = draw.integers(LOWEST, HIGHEST + 1, shape)
        case 1:
            updates = draw.choice([LOWEST, HIGHEST], shape)
        case 2:
            updates = draw.choice([LOWEST, -1, 0, 1, HIGHEST], shape)
        case 3:
            updates = draw.integers(-1, 2, shape)
        case 4:
            updates = np.repeat(draw.integers(LOWEST, HIGHEST + 1, (1, dimension)), count, axis=0)
        case 5:
            few = draw.integers(LOWEST, HIGHEST + 1, (2, dimension))
            updates = few[draw.integers(2, size=count)]
        case _:
            updates = draw.normal(draw.integers(-500, 500, dimension), 100, shape)
            updates[: count // 3] *= draw.choice([-1, 3, 100])
    limited = np.clip(updates, LOWEST, HIGHEST).astype(np.int16)
    limited.flags.writeable = False
    return limited


def shape_of(draw: Draw, subject: Subject) -> tuple[int, int, int]:
    """Number of updates, dimension and liars: mostly small, one time in fifty up to the most."""
    scale = draw.random()
    most = min(subject.most_updates, 8 if scale < 0.7 else 16 if scale < 0.98 else 64)
    least = max(3, subject.least(0))
    count = int(draw.integers(least, max(most, least) + 1))
    liars = max(f for f in range(subject.most_liars + 1) if subject.least(f) <= count)
    widest = 5 if draw.random() < 0.85 else 40
    return count, int(draw.integers(1, widest + 1)), int(draw.integers(liars + 1))


def failure(name: str, case: int, updates: Any, parameters: Mapping[str, Any]) -> str:
    return f"case {case} of {name}: updates {updates.tolist()}, parameters {plain(parameters)}"


def plain(parameters: Mapping[str, Any]) -> dict[str, Any]:
    return {
        name: value.tolist() if isinstance(value, np.ndarray) else value
        for name, value in parameters.items()
    }


def test_every_rule_and_pre_step_is_among_the_subjects():
    assert SUBJECTS.keys() == RULES.keys() | PRE_STEPS.keys()


@pytest.mark.parametrize("name", SUBJECTS)
def test_random_cases_agree_with_the_reference(name):
    subject, draw = SUBJECTS[name], np.random.default_rng(list(name.encode()))
    for case in range(CASES):
        count, dimension, f = shape_of(draw, subject)
        updates = updates_of(draw, count, dimension)
        parameters = subject.parameters(draw, updates, f)
        found = subject.call(updates, **parameters)
        values = found.array() if name in PRE_STEPS else found
        expected = subject.expected(updates.tolist(), **plain(parameters))
        assert values.tolist() == expected, failure(name, case, updates, parameters)


# Where several updates are equally good the others go by the order of participants.
@pytest.mark.parametrize(
    "name",
    [
        *("mean", "clipped_mean", "median", "trimmed_mean", "geometric_median"),
        *("centered_clipping", "weighted_mean", "fltrust"),
    ],
)
def test_random_cases_do_not_depend_on_the_order_of_updates(name):
    subject, draw = SUBJECTS[name], np.random.default_rng(list(name.encode()))
    for case in range(CASES // 5):
        count, dimension, f = shape_of(draw, subject)
        updates = updates_of(draw, count, dimension)
        parameters = dict(subject.parameters(draw, updates, f))
        expected = subject.call(updates, **parameters).tolist()
        order = draw.permutation(count)
        if "weights" in parameters:
            parameters["weights"] = [parameters["weights"][i] for i in order]
        found = subject.call(updates[order], **parameters).tolist()
        assert found == expected, failure(name, case, updates[order], parameters)
