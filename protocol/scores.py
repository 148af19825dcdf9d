"""How a final round's reward is divided, and the scores that it may depend on.

Whoever revealed an update may give every revealed update of the round a score from 0 to 255, first
bound by a commitment, then in the open. Everything is in integers, exactly as the contract counts.
"""

from collections.abc import Mapping, Sequence

from eth_abi.abi import encode
from eth_hash.auto import keccak

from protocol.commitment import counted
from protocol.rounds import included
from protocol.state import RoundState
from protocol.task import RewardRule, TaskParams

SCORES_DOMAIN = keccak(b"volquorum.scores.1")
HIGHEST_SCORE = 255


def scores_commitment(
    *,
    chain_id: int,
    contract: str,
    task_id: bytes,
    round_number: int,
    participant: str,
    scores: bytes,
    salt: bytes,
) -> bytes:
    """What a participant commits to; `scores` has a byte per revealed update, in their order."""
    return keccak(
        encode(
            [
                *["bytes32", "uint256", "address", "bytes32", "uint32"],
                *["address", "bytes32", "bytes32"],
            ],
            [
                *[SCORES_DOMAIN, chain_id, contract, task_id, round_number],
                *[participant, keccak(scores), salt],
            ],
        )
    )


def stored_scores_commitment(commitment: bytes) -> bytes:
    """The low 192 bits, which a seat keeps."""
    return commitment[8:]


def scores_hash_step(previous: bytes, participant: str, scores: bytes) -> bytes:
    """A round's `scoresHash` after one more participant revealed scores; it starts at zero."""
    types = ["bytes32", "address", "bytes32"]
    step = keccak(encode(types, [previous, participant, keccak(scores)]))
    return counted(step, previous[-1] + 1)


def given_scores(revealed: Mapping[int, bytes]) -> bytes:
    """What `distribute` takes of the scores, which are by the number of who gave them.

    They are in the order in which they were revealed.
    """
    return b"".join(bytes([voter]) + scores for voter, scores in revealed.items())


def shares_wei(
    params: TaskParams,
    round_state: RoundState,
    *,
    samples: Sequence[int] = (),
    scores: Mapping[int, bytes] | None = None,
) -> tuple[int, ...]:
    """Each revealed update's part of the reward of a final round; nothing for excluded ones.

    What is missing to `reward_wei` is the sponsor's. `samples` are what the participants of the
    revealed updates declared, `scores` what those gave who did, by the number of their update; both
    are needed only where the rewards depend on them.
    """
    numbers = included(round_state, range(round_state.revealed))
    by_number = dict(zip(numbers, _weights(params, numbers, samples, scores or {}), strict=True))
    total = sum(by_number.values())
    return tuple(
        params.reward_wei * by_number.get(number, 0) // max(total, 1)
        for number in range(round_state.revealed)
    )


def _weights(
    params: TaskParams,
    numbers: Sequence[int],
    samples: Sequence[int],
    scores: Mapping[int, bytes],
) -> list[int]:
    """One weight for each included update."""
    if params.reward_rule is RewardRule.SAMPLES:
        return [min(samples[number], params.sample_cap) for number in numbers]
    voters = [number for number in numbers if number in scores]
    # Invariant: more than half of the included participants decide, or nobody's scores count.
    if params.reward_rule is RewardRule.SCORES and 2 * len(voters) > len(numbers):
        return [
            _lower_median([scores[voter][number] for voter in voters if voter != number])
            for number in numbers
        ]
    return [1] * len(numbers)


def _lower_median(values: Sequence[int]) -> int:
    """The middle one, of an even number the lower one of the two; zero of none."""
    return sorted(values)[(len(values) - 1) // 2] if values else 0
