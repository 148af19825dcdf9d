"""Aggregation rules: updates in, one aggregate out, in exact integers.

`RULES[name](updates, **parameters)` applies one, `compose` puts pre-steps before it. Every division
is a floor, so all machines find the same bits, in every order of updates (ties are broken by
participant order) and on any number of threads. Updates are never changed.
"""

from protocol.rules.centers import centered_clipping, geometric_median
from protocol.rules.coordinate_wise import clipped_mean, mean, median, trimmed_mean
from protocol.rules.diameter import minimum_diameter
from protocol.rules.pre_steps import PRE_STEPS, arc, bucketing, nnm
from protocol.rules.registry import RULES, aggregate, compose
from protocol.rules.selection import bulyan, krum, multi_krum
from protocol.rules.weighted import fltrust, weighted_mean

__all__ = [
    "PRE_STEPS",
    "RULES",
    "aggregate",
    "arc",
    "bucketing",
    "bulyan",
    "centered_clipping",
    "clipped_mean",
    "compose",
    "fltrust",
    "geometric_median",
    "krum",
    "mean",
    "median",
    "minimum_diameter",
    "multi_krum",
    "nnm",
    "trimmed_mean",
    "weighted_mean",
]
