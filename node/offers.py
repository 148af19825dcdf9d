"""What a node offers its relayer, and what came of it; the chain alone says what was sent."""

from dataclasses import dataclass

from eth_account.signers.local import LocalAccount

from node.facts import Relaying
from node.relay import Relayer
from node.sending import can_pay_gas
from protocol.chain.gateway import Snapshot
from protocol.recompute import Result
from protocol.signing import SigningDomain
from protocol.state import Phase

# A relayer that took nothing is asked about so often in a phase.
OFFERS_IN_A_PHASE = 12


@dataclass(frozen=True)
class Offer:
    """The latest one; after a restart it is made again, which does no harm."""

    round: int
    phase: Phase
    taken: bool
    again_from: int
    """The chain's time."""


class Offers:
    """One key's offers in one task."""

    def __init__(self, relayer: Relayer, account: LocalAccount, task_id: bytes) -> None:
        self._relayer = relayer
        self._account = account
        self._task_id = task_id
        self._latest: Offer | None = None

    def relaying(
        self, snapshot: Snapshot, number: int, phase: Phase, *, signs: bool, votes: bool
    ) -> Relaying | None:
        """Where the relayer stands; None in a phase in which it has nothing to do.

        `votes` says whether this node would vote now.
        """
        if phase not in {Phase.COMMIT, Phase.REVEAL} and not votes:
            return None
        offer = self._latest
        if offer is None or (offer.round, offer.phase) != (number, phase):
            offer = Offer(number, phase, taken=False, again_from=0)
        affords = can_pay_gas(snapshot, self._account.address)
        return Relaying(signs=signs, taken=offer.taken, ask_from=offer.again_from, affords=affords)

    def commitment(
        self, snapshot: Snapshot, number: int, commitment: bytes, phase_seconds: int
    ) -> None:
        """Signs a commitment to a round and offers it; the only one that is ever signed for it."""
        signed = self._domain(snapshot, number).sign(self._account, commitment)
        taken = self._relayer.takes_commit(self._task_id, number, self._account.address, signed)
        self._made(snapshot, number, Phase.COMMIT, phase_seconds, taken=taken)

    def opening(
        self,
        snapshot: Snapshot,
        number: int,
        phase_seconds: int,
        *,
        tree_top: bytes,
        squared_norm: int,
        salt: bytes,
    ) -> None:
        """Offers what opens the commitment to a round, which is a secret before its reveal."""
        taken = self._relayer.takes_opening(
            self._task_id,
            number,
            self._account.address,
            tree_top=tree_top,
            squared_norm=squared_norm,
            salt=salt,
        )
        self._made(snapshot, number, Phase.REVEAL, phase_seconds, taken=taken)

    def vote(
        self, snapshot: Snapshot, number: int, phase: Phase, found: Result, phase_seconds: int
    ) -> None:
        """Signs a vote for what this node found in a round, and offers it."""
        signature = self._domain(snapshot, number).sign_vote(self._account, found)
        taken = self._relayer.takes_vote(
            self._task_id, number, self._account.address, found, signature
        )
        self._made(snapshot, number, phase, phase_seconds, taken=taken)

    def _domain(self, snapshot: Snapshot, number: int) -> SigningDomain:
        chain = snapshot.chain
        return SigningDomain(chain.chain_id, chain.contract, self._task_id, number)

    def _made(
        self, snapshot: Snapshot, number: int, phase: Phase, phase_seconds: int, *, taken: bool
    ) -> None:
        pause_seconds = max(1, phase_seconds // OFFERS_IN_A_PHASE)
        self._latest = Offer(number, phase, taken, snapshot.block.timestamp + pause_seconds)
