"""What a node can do in one tick."""

from dataclasses import dataclass

from protocol.state import Published


@dataclass(frozen=True)
class Join:
    """Take a seat."""

    samples: int
    """How many training samples to declare."""


@dataclass(frozen=True)
class Restore:
    """Pay back the slice that suspended the seat."""


@dataclass(frozen=True)
class Commit:
    """Train if that has not been done for this round, and commit to the update."""


@dataclass(frozen=True)
class RelayCommit:
    """The same, but sign the commitment and let the relayer send it."""


@dataclass(frozen=True)
class Reveal:
    """Make the update public and open the commitment."""


@dataclass(frozen=True)
class RelayReveal:
    """The same, but let the relayer send what opens it."""


@dataclass(frozen=True)
class Verify:
    """Recompute the published result of the latest round."""


@dataclass(frozen=True)
class CommitScores:
    """Judge the round's revealed updates, and commit to their scores."""


@dataclass(frozen=True)
class RevealScores:
    """Open the commitment to scores."""


@dataclass(frozen=True)
class Vote:
    """Say what the included updates give, in a task by votes."""


@dataclass(frozen=True)
class RelayVote:
    """The same, but sign the vote and let the relayer send it."""


@dataclass(frozen=True)
class FlagUpdate:
    """Say that a revealed update cannot be fetched."""

    index: int
    """Its place in order of reveal."""


@dataclass(frozen=True)
class PostUpdate:
    """Put the next part of this node's flagged update on chain."""


@dataclass(frozen=True)
class SealNorm:
    """Announce the proof that the norm of a revealed update is false."""


@dataclass(frozen=True)
class ChallengeNorm:
    """Prove the norm of a revealed update false."""


@dataclass(frozen=True)
class FlagResult:
    """Say that a part of the published result cannot be fetched."""

    what: Published


@dataclass(frozen=True)
class PostResult:
    """Put the next piece of this node's flagged result on chain."""

    what: Published


@dataclass(frozen=True)
class RefuteUnavailable:
    """Refute a result whose flagged part was not posted in time."""

    what: Published


@dataclass(frozen=True)
class Seal:
    """Announce the proof that the published result is wrong."""


@dataclass(frozen=True)
class Challenge:
    """Prove the latest round's published result wrong."""


@dataclass(frozen=True)
class ClaimAward:
    """Take the award of a proof that this node had sealed, and another one sent without a seal."""


@dataclass(frozen=True)
class RefuteOutvoted:
    """Refute the latest round's published result by the votes for the right one."""


@dataclass(frozen=True)
class ReclaimDeposit:
    """Take back the deposit of a flag that was never answered."""

    participant: str


@dataclass(frozen=True)
class Publish:
    """Compute the latest round's result and publish it with the bond."""


@dataclass(frozen=True)
class Drive:
    """Call a permissionless function that moves the task on."""

    function: str


@dataclass(frozen=True)
class RecordHeader:
    """Show the source of a round's seed the header of the block that decides it."""

    block: int


@dataclass(frozen=True)
class DrawSeats:
    """Draw the seats that may commit in the latest round."""


@dataclass(frozen=True)
class SlashWithheld:
    """Take the slice of a participant who did not open its commitment."""

    participant: str


@dataclass(frozen=True)
class Distribute:
    """Divide the reward of a final round."""

    round: int


@dataclass(frozen=True)
class Wait:
    """Nothing to do before `until` (None: before somebody else acts)."""

    until: int | None
    why: str


DisputeAction = (
    FlagUpdate
    | SealNorm
    | ChallengeNorm
    | PostUpdate
    | FlagResult
    | PostResult
    | RefuteUnavailable
    | Seal
    | Challenge
    | ClaimAward
    | RefuteOutvoted
    | ReclaimDeposit
)
"""What is about bytes that nobody can fetch, or a result that is wrong."""
DutyAction = Drive | RecordHeader | DrawSeats | SlashWithheld | Distribute
"""What anybody may do for a task, and a node that drives does."""
Action = (
    Join
    | Restore
    | Commit
    | RelayCommit
    | Reveal
    | RelayReveal
    | Verify
    | CommitScores
    | RevealScores
    | Vote
    | RelayVote
    | Publish
    | DisputeAction
    | DutyAction
    | Wait
)
