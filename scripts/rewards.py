"""Checks from outside how a final round's reward was divided."""

from protocol.chain.gateway import Snapshot
from protocol.errors import VerificationFailed
from protocol.scores import shares_wei


def check_rewards(snapshot: Snapshot, task_id: bytes, number: int) -> None:
    """Recomputes a distributed round's shares by the task's rule.

    Raises: VerificationFailed where they differ; ChainAnswerInvalid if the logs are not what the
    contract holds.
    """
    params = snapshot.task_params(task_id)
    revealed = snapshot.revealed(task_id, number)
    found = snapshot.shares_wei(task_id, number)
    if len(found) != len(revealed):
        raise VerificationFailed(
            f"reward of round {number}: {len(found)} shares of {len(revealed)}"
        )
    expected = shares_wei(
        params,
        snapshot.round_state(task_id, number),
        samples=_samples(snapshot, task_id, number, found),
        scores=snapshot.scores(task_id, number),
    )
    if found != expected:
        wrong = next(
            f"{update.participant} was given {given}, its share is {share}"
            for update, given, share in zip(revealed, found, expected, strict=True)
            if given != share
        )
        raise VerificationFailed(f"reward of round {number}: {wrong}")


def _samples(snapshot: Snapshot, task_id: bytes, number: int, found: tuple[int, ...]) -> list[int]:
    """What the participants of the revealed updates had declared when the reward was divided."""
    joined_since: set[str] = set()
    for event in snapshot.chain.events.until(snapshot.block, (None, task_id)):
        if event.event == "RewardsDistributed" and event.arguments["round"] == number:
            joined_since = set()
        elif event.event == "SeatTaken":
            joined_since.add(event.arguments["participant"])
    samples = []
    for update, share_wei in zip(snapshot.revealed(task_id, number), found, strict=True):
        declared = snapshot.seat(task_id, update.participant).samples
        # Who had declared none may declare another number when it joins again.
        had_none = share_wei == 0 and update.participant in joined_since
        samples.append(0 if had_none else declared)
    return samples
