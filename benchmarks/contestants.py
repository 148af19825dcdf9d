"""The rules of the robustness table, each told how many liars to expect."""

from collections.abc import Callable, Mapping
from types import MappingProxyType

import numpy as np

from node.learning.federation import CLIP_NORM
from protocol.numbers import Int16Array
from protocol.rules import RULES, compose

Contestant = Callable[[Int16Array, int, Int16Array], Int16Array]
"""Updates [n, d], liars to tolerate, last round's aggregate [d] -> aggregate [d]."""

Referee = Callable[[Int16Array, Int16Array], Int16Array]
"""Updates [n, d], an update that everybody can train and trusts [d] -> aggregate [d]."""


def told(name: str, *pre_steps: str) -> Contestant:
    """A rule that takes the number of liars as f, after pre-steps that do."""

    def combined(updates: Int16Array, liars: int, _last: Int16Array) -> Int16Array:
        return np.asarray(compose(pre_steps, name, f=liars)(updates), dtype=np.int16)

    return combined


def untold(name: str, **parameters: object) -> Contestant:
    """A rule that has no number of liars."""
    return lambda updates, _liars, _last: np.asarray(
        RULES[name](updates, **parameters), dtype=np.int16
    )


def centered_clipping(updates: Int16Array, _liars: int, last: Int16Array) -> Int16Array:
    """From the previous aggregate on, as its authors have it."""
    found = RULES["centered_clipping"](updates, tau=CLIP_NORM, iterations=1, v0=last)
    return np.asarray(found, dtype=np.int16)


CONTESTANTS: Mapping[str, Contestant] = MappingProxyType(
    {
        "mean": untold("mean"),
        "clipped_mean": untold("clipped_mean", clip_norm=CLIP_NORM),
        "median": untold("median"),
        "trimmed_mean": told("trimmed_mean"),
        "geometric_median": untold("geometric_median"),
        "krum": told("krum"),
        "multi_krum": told("multi_krum"),
        "minimum_diameter": told("minimum_diameter"),
        "bulyan": told("bulyan"),
        "centered_clipping": centered_clipping,
        "arc_mean": told("mean", "arc"),
        "arc_trimmed_mean": told("trimmed_mean", "arc"),
        "nnm_trimmed_mean": told("trimmed_mean", "nnm"),
        "arc_nnm_trimmed_mean": told("trimmed_mean", "arc", "nnm"),
    }
)

REFEREES: Mapping[str, Referee] = MappingProxyType(
    {
        "fltrust": lambda updates, reference: np.asarray(
            RULES["fltrust"](updates, reference=reference), dtype=np.int16
        )
    }
)
"""Rules that need no number of liars, but a trusted update."""
