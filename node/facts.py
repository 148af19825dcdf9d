"""What a node's decision depends on: the chain at one block, and what the node remembers."""

from dataclasses import dataclass

from protocol.state import Flag, Published, RoundState, Seat, TaskState
from protocol.task import TaskParams


@dataclass(frozen=True)
class Dispute:
    """How far the dispute over the latest round's wrong result has come."""

    wrong: Published
    """The part that the revealed updates do not give."""
    provable: bool
    """What was published could be had, so the contract can be shown where it is wrong."""
    sealed: bool
    """This node has announced the proof, so that its award can be nobody else's."""
    flag: Flag | None
    """The one on the wrong part, where somebody said that it cannot be fetched."""
    for_votes: bool
    """No proof shows the contract what is wrong: it counts votes."""
    outvoted: bool
    """So many participants found what this node found that their votes refute the result."""


@dataclass(frozen=True)
class Relaying:
    """What a relayer may send for this node in the latest round."""

    signs: bool
    """This node signed nothing else for this round, so that it may sign its commitment."""
    taken: bool
    """The relayer says that it has what this phase needs."""
    ask_from: int
    """Not before this time is a relayer asked again that did not take it."""
    affords: bool
    """This account can pay for a transaction of its own."""


@dataclass(frozen=True)
class Facts:
    """What one tick knows: the chain at one block, and what this node remembers."""

    params: TaskParams
    task: TaskState
    round_state: RoundState
    """The latest round; blank before the first."""
    seat: Seat
    now: int
    may_commit: bool
    """The seat may act in the latest round, and is drawn if that one draws."""
    committed: bool
    """The seat's commitment in the latest round is the one to this node's pending update."""
    judges: bool
    """This node can tell what the latest round's updates are worth."""
    scored: bool
    """The seat's commitment to scores in the latest round is the one to those this node keeps."""
    votes_alike: int | None
    """Votes for what this node found in the latest round; None where it does not vote."""
    verified_round: int
    """The latest round whose published result this node has dealt with."""
    verified_model_root: bytes
    """The model root that verification of `verified_round` led to."""
    mismatch: str
    """Why a published result was refused; empty while all is well."""
    dispute: Dispute | None
    """None unless the refused result is the latest round's and the contract may be told."""
    unfetched: int | None
    """Place, in order of reveal, of an update that could not be had and that nobody flagged."""
    false_norm: bool | None
    """Whether the proof that a revealed update's norm is false is sealed; None without one."""
    place: int
    """This seat's among all, from 0, in order of joining; 0 without a seat or a need to wait."""
    owes_update: bool
    """This node's update is flagged, and not all of it is posted."""
    owes_result: Published | None
    """A part of this node's published result that is flagged and not completely posted."""
    claims_award: bool
    """Somebody sent a proof that this node had sealed, without a seal: the award is this node's."""
    reclaimable: str | None
    """A participant that never answered this node's flag: the deposit is free again."""
    withheld: str | None
    """A participant that did not open its commitment and still has its slice; this one first."""
    undistributed: int | None
    """A final round whose reward nobody divided."""
    seed_known: bool
    """The source has the seed that draws the latest round's seats."""
    recordable: int | None
    """The block whose header the source lacks for that seed, and could be shown."""
    relaying: Relaying | None
    """None without a relayer."""
    samples: int
    """How many this node trains on."""
    own_address: str
    wants_seat: bool
    restores: bool
    """This node pays the slice back that suspended its seat."""
    watches: bool
    """This node trains nothing and needs no seat: it verifies and challenges."""
    drives: bool
    """This node also does what anybody may for a task, when it is due."""
    challenges: bool
    """This node proves wrong results wrong."""
    flags: bool
    """This node says on chain, with a deposit, what cannot be fetched."""
    publishes: bool
    """This node publishes a result, with a bond, where the aggregator did not."""
