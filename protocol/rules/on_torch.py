"""The rules on a torch device, such as a GPU, with the bits of the rules themselves.

The device sorts, adds and multiplies blocks of columns; what follows from the Gram matrix alone is
found by the rules' own functions. Integer arithmetic is exact on every device, but CUDA has no
product of integer matrices. So the Gram matrix is a float64 product of 16-bit integers whose
partial sums all stay below 2^53, and the order in which a device adds does not matter.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import torch

from protocol.errors import RuleError
from protocol.rules.centers import (
    centered_clipping_weights,
    geometric_median_weights,
    preceded_by_start,
)
from protocol.rules.diameter import minimum_diameter_weights
from protocol.rules.distances import Integers
from protocol.rules.fixed_point import root_above
from protocol.rules.rows import IntArray, Rows, Updates, check_at_least, check_tolerance
from protocol.rules.selection import bulyan_choice, krum_weights, multi_krum_weights
from protocol.rules.weighted import checked_weights, trusted

BLOCK_VALUES = 1 << 24  # 128 MiB of float64
BLOCK_COLUMNS = 1 << 22  # products of 2^30 add up to 2^52 at most


def apply(rule: str, updates: Updates, device: str, **parameters: object) -> IntArray:
    """What `RULES[rule](updates, **parameters)` gives, computed on a device such as "cuda".

    Rows that pre-steps make are made on the processor and sent.

    Shape: updates [n, d] -> [d].
    Raises: RuleError as the rule does, or if there is no such rule.
    """
    if rule not in RULES:
        raise RuleError(f"there is no rule {rule!r}; known are {', '.join(RULES)}")
    return RULES[rule](_Sent(Rows.of(updates), torch.device(device)), **parameters)


@dataclass(frozen=True)
class _Sent:
    """Updates that are sent to a device block by block."""

    rows: Rows
    device: torch.device

    def blocks(self) -> Iterator[tuple[slice, torch.Tensor]]:
        width = max(1, min(BLOCK_COLUMNS, BLOCK_VALUES // self.rows.count))
        for start in range(0, self.rows.dimension, width):
            columns = slice(start, min(start + width, self.rows.dimension))
            yield columns, torch.tensor(self.rows.block(columns), device=self.device)

    def combined(self, combine: Callable[[torch.Tensor], torch.Tensor]) -> IntArray:
        """`combine`, which makes one row of every block, over all columns, within their type."""
        ends = torch.iinfo(torch.int16 if self.rows.dtype == np.int16 else torch.int32)
        aggregate = np.empty(self.rows.dimension, dtype=self.rows.dtype)
        for columns, block in self.blocks():
            aggregate[columns] = _fetched(combine(block).clamp(ends.min, ends.max))
        return aggregate

    def gram(self) -> Integers:
        """Shape: [n, n]."""
        table = np.zeros((self.rows.count, self.rows.count), dtype=object)
        for _, block in self.blocks():
            parts = _halves(block)
            for i, left in enumerate(parts):
                for j, right in enumerate(parts):
                    table += _products(left, right).astype(object) << 16 * (i + j)
        return table

    def weighted_mean(self, weights: Sequence[int], divisor: int | None = None) -> IntArray:
        """The sum of weights times updates by `divisor`, which is that of the weights if none."""
        factors = torch.tensor(weights, dtype=torch.int64, device=self.device)[:, None]
        shared = sum(weights) if divisor is None else divisor

        def combine(block: torch.Tensor) -> torch.Tensor:
            low, *others = ((factors * part).sum(dim=0) for part in _halves(block))
            if not others:
                return _floor(low, shared)
            whole = _floor(others[0], shared)
            return (whole << 16) + _floor((others[0] - whole * shared << 16) + low, shared)

        return self.combined(combine)


def _mean(sent: _Sent) -> IntArray:
    return sent.weighted_mean([1] * sent.rows.count)


def _weighted_mean(sent: _Sent, weights: Sequence[int]) -> IntArray:
    return sent.weighted_mean(checked_weights(sent.rows.count, weights))


def _clipped_mean(sent: _Sent, clip_norm: int) -> IntArray:
    check_at_least("the clipped mean", "a clipping norm", clip_norm, 1)
    squares = np.diagonal(sent.gram()).tolist()
    # Of x C / s, for each update; one that is not longer than C keeps its length.
    factors = [(clip_norm, root_above(s)) if s > clip_norm**2 else (1, 1) for s in squares]
    pairs = torch.tensor(factors, dtype=torch.int64, device=sent.device)
    clip, norms = pairs[:, :1], pairs[:, 1:]

    def combine(block: torch.Tensor) -> torch.Tensor:
        # Invariant: C < s <= 2^45, so halves of 16 bits times C fit, and 2^16 times a remainder.
        high, low = block.long() >> 16, block.long() & 0xFFFF
        whole = _floor(high * clip, norms)
        rest = (high * clip - whole * norms << 16) + low * clip
        return _floor(((whole << 16) + _floor(rest, norms)).sum(dim=0), sent.rows.count)

    return sent.combined(combine)


def _median(sent: _Sent) -> IntArray:
    count = sent.rows.count
    return _mean_of_ranks(sent, (count - 1) // 2, count // 2 + 1)


def _trimmed_mean(sent: _Sent, f: int) -> IntArray:
    check_tolerance("trimmed mean", sent.rows.count, f, 2 * f + 1)
    return _mean_of_ranks(sent, f, sent.rows.count - f)


def _mean_of_ranks(sent: _Sent, first: int, end: int) -> IntArray:
    return sent.combined(
        lambda block: _floor(block.sort(dim=0).values[first:end].sum(dim=0), end - first)
    )


def _bulyan(sent: _Sent, f: int) -> IntArray:
    chosen = bulyan_choice(sent.gram(), f)
    count, kept = len(chosen), len(chosen) - 2 * f

    def combine(block: torch.Tensor) -> torch.Tensor:
        ordered = block[chosen].sort(dim=0).values.long()
        middles = ordered[(count - 1) // 2] + ordered[count // 2]
        lost, won = ordered[: count - kept], ordered[kept:]
        moves = torch.where(lost + won < middles, won - lost, 0)
        return _floor(ordered[:kept].sum(dim=0) + moves.sum(dim=0), kept)

    return sent.combined(combine)


def _centered_clipping(
    sent: _Sent, tau: int, iterations: int = 1, v0: IntArray | None = None
) -> IntArray:
    with_start = _Sent(preceded_by_start(sent.rows, v0), sent.device)
    return with_start.weighted_mean(centered_clipping_weights(with_start.gram(), tau, iterations))


def _fltrust(sent: _Sent, reference: IntArray) -> IntArray:
    sent.rows.check_like(reference, "FLTrust", "a reference")
    table = _Sent(sent.rows.preceded_by(reference), sent.device).gram()
    square, *squares = np.diagonal(table).tolist()
    weights, divisor = trusted(square, table[0, 1:].tolist(), squares)
    return sent.weighted_mean(weights, max(1, divisor))


def _by_weights(weights_of: Callable[..., list[int]]) -> Callable[..., IntArray]:
    """A rule that is a mean with weights found from the Gram matrix."""

    def rule(sent: _Sent, **parameters: object) -> IntArray:
        return sent.weighted_mean(weights_of(sent.gram(), **parameters))

    return rule


RULES: dict[str, Callable[..., IntArray]] = {
    "bulyan": _bulyan,
    "centered_clipping": _centered_clipping,
    "clipped_mean": _clipped_mean,
    "fltrust": _fltrust,
    "geometric_median": _by_weights(geometric_median_weights),
    "krum": _by_weights(krum_weights),
    "mean": _mean,
    "median": _median,
    "minimum_diameter": _by_weights(minimum_diameter_weights),
    "multi_krum": _by_weights(multi_krum_weights),
    "trimmed_mean": _trimmed_mean,
    "weighted_mean": _weighted_mean,
}


def _floor(numerator: torch.Tensor, denominator: torch.Tensor | int) -> torch.Tensor:
    return torch.div(numerator, denominator, rounding_mode="floor")


def _products(left: torch.Tensor, right: torch.Tensor) -> Integers:
    """`left @ right.T` of integers in int64. Raises: RuntimeError if the device rounds them."""
    products = _fetched((left.double() @ right.double().T).long())
    # cuBLAS computes doubles with fewer bits where its environment variables say so.
    sums = _fetched((left * right.sum(dim=0)).sum(dim=1))
    if not np.array_equal(products.sum(axis=1), sums):
        raise RuntimeError(f"{left.device} rounds products of float64; the Gram matrix needs all")
    return products


def _fetched(found: torch.Tensor) -> Integers:
    """The values in the processor's memory."""
    values: Integers = found.cpu().numpy()
    return values


def _halves(block: torch.Tensor) -> list[torch.Tensor]:
    """Integers of 16 bits with a sign in int64, the low ones first: one of int16, two of int32."""
    wide = block.long()
    if block.dtype == torch.int16:
        return [wide]
    low = ((wide & 0xFFFF) ^ 0x8000) - 0x8000
    return [low, wide - low >> 16]
