"""One tick of a node: pin a block, read, decide, act at most once; safe to repeat."""

from dataclasses import dataclass, replace

from eth_account.signers.local import LocalAccount

from node.acceptance import Acceptance
from node.actions import (
    Action,
    Commit,
    CommitScores,
    Distribute,
    DrawSeats,
    Drive,
    Join,
    Publish,
    RecordHeader,
    RelayCommit,
    RelayReveal,
    RelayVote,
    Restore,
    Reveal,
    RevealScores,
    SlashWithheld,
    Verify,
    Vote,
    Wait,
)
from node.commitments import Commitments, Trainer
from node.decide import decide
from node.disputes import Disputes
from node.duties import Duties
from node.facts import Dispute, Facts, Relaying
from node.learning.update import FULL, Precision
from node.memory import Memory, MemoryFile, Remembered
from node.offers import Offers
from node.relay import Relayer
from node.results import Results
from node.scoring import Scoring
from node.sending import Sending, can_pay_gas
from node.votes import Votes
from protocol import rounds
from protocol.blobs import BlobStore, FirstOf, Keeping
from protocol.chain import seed
from protocol.chain.gateway import Chain, Snapshot
from protocol.chain.posted import PostedStore
from protocol.chain.transactor import Transactor
from protocol.errors import ConfigError
from protocol.service import Outcome
from protocol.state import Phase, RoundState, Seat
from protocol.task import TaskParams


@dataclass(frozen=True)
class Stores:
    """Where a participant's blobs live."""

    private: BlobStore
    """Updates that nobody may see before the commit phase is over."""
    public: BlobStore
    """What this participant serves: its revealed updates and the models it verified."""
    peers: BlobStore
    """Everybody else's."""


@dataclass(frozen=True)
class Mandate:
    """What a node may do with its key and the money of its account, beside its updates."""

    wants_seat: bool = True
    """Take a seat if the key has none."""
    restores: bool = False
    """Pay the slice back that suspended the seat."""
    drives: bool = False
    """Do what anybody may for a task, when it is due."""
    challenges: bool = True
    """Prove wrong results and norms wrong."""
    flags: bool = True
    """Say on chain, with a deposit, what cannot be fetched."""
    votes: bool = True
    """Say what this node computed, in a task by votes."""
    publishes: bool = False
    """Publish a result, with a bond, where the aggregator did not."""
    adopts: tuple[int, ...] = ()
    """Train on what came of these rounds, although they could not be recomputed."""


DEFAULT_MANDATE = Mandate()


class Participant:
    """A seat in one task, kept by one key; without a trainer, a watcher that needs no seat."""

    def __init__(
        self,
        *,
        chain: Chain,
        transactor: Transactor,
        account: LocalAccount,
        task_id: bytes,
        trainer: Trainer | None,
        stores: Stores,
        memory_file: MemoryFile,
        precision: Precision = FULL,
        relayer: Relayer | None = None,
        mandate: Mandate = DEFAULT_MANDATE,
        acceptance: Acceptance | None = None,
    ) -> None:
        self.chain = chain
        self.account = account
        self.task_id = task_id
        self.stores = stores
        self.memory_file = memory_file
        self.mandate = mandate
        self.acceptance = acceptance
        self.params: TaskParams = chain.at(chain.head()).task_params(task_id)
        if trainer is not None and trainer.spec_hash != self.params.model_spec_hash:
            raise ConfigError(
                f"the task trains the model 0x{self.params.model_spec_hash.hex()}, this node "
                f"0x{trainer.spec_hash.hex()}: configure the task's model"
            )
        self._trainer = trainer
        self._memory = Remembered(memory_file, self.params.dimension)
        self._sending = Sending(transactor, task_id, self.params.currency)
        self._offers = None if relayer is None else Offers(relayer, account, task_id)
        posted = PostedStore(chain, task_id, self.params)
        everywhere = FirstOf([stores.public, stores.peers, posted])
        self._results = Results(
            task_id=task_id,
            params=self.params,
            public=stores.public,
            # Fetched once, whatever else is still missing; from then on this node serves it too.
            kept=Keeping([stores.public, stores.peers, posted]),
            memory=self._memory,
            sending=self._sending,
            adopts=mandate.adopts,
        )
        self._commitments = Commitments(
            chain=chain,
            account=account,
            task_id=task_id,
            params=self.params,
            trainer=trainer,
            precision=precision,
            private=stores.private,
            public=stores.public,
            memory=self._memory,
            results=self._results,
            sending=self._sending,
            offers=self._offers,
        )
        self._disputes = Disputes(
            account=account,
            task_id=task_id,
            params=self.params,
            private=stores.private,
            kept=stores.public,
            everywhere=everywhere,
            posted=posted,
            sending=self._sending,
        )
        self._scoring = Scoring(
            chain=chain,
            account=account,
            task_id=task_id,
            params=self.params,
            judge=trainer,
            kept=stores.public,
            everywhere=everywhere,
            memory=self._memory,
            results=self._results,
            sending=self._sending,
        )
        self._duties = Duties(transactor, task_id, self.params, self._sending)
        self._ballot = Votes(account.address, task_id, self.params, self._sending)

    @property
    def memory(self) -> Memory:
        """What the chain cannot give back, as it is now."""
        return self._memory.now

    @property
    def unverified(self) -> tuple[int, ...]:
        """Final rounds that were not recomputed, and on whose models this node does not train."""
        return self._results.unverified

    def tick(self) -> Outcome:
        """Do the one next thing, if any, and look at a model that this adopts.

        Raises: VolquorumError where trying again later, or a person, is needed.
        """
        outcome = self._tick()
        if self.acceptance is None:
            return outcome
        self.acceptance.look(self.memory.verified_model_root)
        why = "; ".join(filter(None, (outcome.why, self.acceptance.in_words)))
        return replace(outcome, why=why)

    def _tick(self) -> Outcome:
        snapshot = self.chain.at(self.chain.head())
        facts = self._facts(snapshot)
        action = decide(facts)
        if isinstance(action, Wait):
            return Outcome(acted=None, wait_until=action.until, why=action.why)
        self._act(action, snapshot, facts)
        return Outcome(acted=type(action).__name__.lower(), wait_until=None, why="")

    def _facts(self, snapshot: Snapshot) -> Facts:
        task = snapshot.task_state(self.task_id)
        state = snapshot.round_state(self.task_id, task.round) if task.round else RoundState()
        if not self.memory.verified_model_root:
            self._results.start_from(snapshot, task, state)
        seat = snapshot.seat(self.task_id, self.account.address)
        now = snapshot.block.timestamp
        phase = rounds.phase(self.params, state, now)
        mismatch = self._results.standing_mismatch(snapshot)
        owes_update = self._disputes.owes_update(snapshot, task.round, state)
        dispute = self._dispute(snapshot, task.round, state)
        # An answer that is due does not wait for servers that are slow.
        unfetched = None if owes_update else self._unfetched(snapshot, task.round, state)
        false_norm = None if owes_update else self._false_norm(snapshot, task.round, state)
        votes_alike = self._votes_alike(snapshot, task.round, state, seat)
        turns = (dispute, unfetched, false_norm, votes_alike)
        drives = self.mandate.drives and mismatch is None
        duties = self._duties
        drawing = seed.standing(snapshot, self.params, task, state) if drives else seed.Standing()
        return Facts(
            params=self.params,
            task=task,
            round_state=state,
            seat=seat,
            now=now,
            may_commit=(
                phase is Phase.COMMIT and snapshot.may_commit(self.task_id, self.account.address)
            ),
            committed=self._commitments.is_committed(seat, task.round),
            judges=self._scoring.judges(task.round) and self._pays_gas(snapshot),
            scored=self._scoring.is_committed(seat, task.round, state),
            votes_alike=votes_alike,
            verified_round=self.memory.verified_round,
            verified_model_root=self.memory.verified_model_root,
            mismatch="" if mismatch is None else f"round {mismatch.round}: {mismatch.why}",
            dispute=dispute,
            unfetched=unfetched,
            false_norm=false_norm,
            place=self._place(snapshot) if turns != (None,) * len(turns) or drives else 0,
            owes_update=owes_update,
            owes_result=self._disputes.owes_result(snapshot, task.round, state),
            claims_award=self._disputes.claims_award(snapshot),
            reclaimable=self._disputes.reclaimable(snapshot, task.round, state),
            withheld=self._withheld(snapshot, seat, drives=drives),
            undistributed=duties.undistributed(snapshot) if drives else None,
            seed_known=drawing.known,
            recordable=drawing.recordable,
            relaying=self._relaying(snapshot, task.round, phase, votes=votes_alike is not None),
            samples=0 if self._trainer is None else self._trainer.sample_count,
            own_address=self.account.address,
            wants_seat=self.mandate.wants_seat,
            restores=self.mandate.restores,
            watches=self._trainer is None,
            drives=self.mandate.drives,
            challenges=self.mandate.challenges,
            flags=self.mandate.flags,
            publishes=self.mandate.publishes,
        )

    def _withheld(self, snapshot: Snapshot, seat: Seat, *, drives: bool) -> str | None:
        if self._duties.is_withheld(snapshot, seat) and self._pays_gas(snapshot):
            return self.account.address
        return self._duties.withheld(snapshot) if drives else None

    def _votes_alike(
        self, snapshot: Snapshot, number: int, state: RoundState, seat: Seat
    ) -> int | None:
        if not self.mandate.votes:
            return None
        return self._ballot.alike(
            snapshot,
            number,
            state,
            seat,
            lambda: self._results.combined(snapshot, number),
            can_send=lambda: self._offers is not None or self._has_gas(snapshot),
        )

    def _pays_gas(self, snapshot: Snapshot) -> bool:
        """Whether this account may send; with a relayer it may be one that cannot."""
        return self._offers is None or self._has_gas(snapshot)

    def _has_gas(self, snapshot: Snapshot) -> bool:
        return can_pay_gas(snapshot, self.account.address)

    def _place(self, snapshot: Snapshot) -> int:
        seated = snapshot.seated(self.task_id)
        return seated.index(self.account.address) if self.account.address in seated else 0

    def _relaying(
        self, snapshot: Snapshot, number: int, phase: Phase, *, votes: bool
    ) -> Relaying | None:
        if self._offers is None:
            return None
        signs = self._commitments.may_sign(number)
        return self._offers.relaying(snapshot, number, phase, signs=signs, votes=votes)

    def _unfetched(self, snapshot: Snapshot, number: int, state: RoundState) -> int | None:
        now = snapshot.block.timestamp
        is_time = (
            self.mandate.flags
            and rounds.can_flag_update(self.params, state, now)
            and now >= rounds.patient_until(self.params, state)
        )
        return self._disputes.unfetched(snapshot, number, state) if is_time else None

    def _false_norm(self, snapshot: Snapshot, number: int, state: RoundState) -> bool | None:
        now = snapshot.block.timestamp
        is_time = (
            self.mandate.challenges
            and rounds.phase(self.params, state, now) is Phase.AVAILABILITY
            and now >= rounds.patient_until(self.params, state)
        )
        return self._disputes.false_norm(snapshot, number, state) if is_time else None

    def _dispute(self, snapshot: Snapshot, number: int, state: RoundState) -> Dispute | None:
        mismatch = self.memory.mismatch
        phase = rounds.phase(self.params, state, snapshot.block.timestamp)
        if mismatch is None or not mismatch.provable or mismatch.round != number:
            return None
        if phase is not Phase.CHALLENGE or not self.mandate.challenges:
            return None
        if not self._pays_gas(snapshot):
            return None
        return self._disputes.dispute(
            snapshot, number, state, lambda: self._results.case(snapshot, number, state)
        )

    def _act(self, action: Action, snapshot: Snapshot, facts: Facts) -> None:
        latest = facts.task.round
        match action:
            case Join(samples):
                # A seat may be given up and taken again, so the purpose is this moment's.
                purpose, args = f"join:{snapshot.block.number}", (self.task_id, samples)
                self._sending.send("join", args, purpose, self.params.stake_wei)
            case Restore():
                purpose = f"restore:{snapshot.block.number}"
                owed_wei = self.params.stake_wei - facts.seat.stake_wei
                self._sending.send("restore", (self.task_id,), purpose, owed_wei)
            case Commit() | RelayCommit():
                self._commit(snapshot, latest, by_relayer=isinstance(action, RelayCommit))
            case Reveal() | RelayReveal():
                by_relayer = isinstance(action, RelayReveal)
                self._commitments.reveal(snapshot, latest, by_relayer=by_relayer)
            case Verify():
                self._catch_up(snapshot, latest)
            case CommitScores():
                self._scoring.commit(snapshot, latest, facts.round_state)
            case RevealScores():
                self._scoring.reveal()
            case Vote() | RelayVote():
                by_relayer = isinstance(action, RelayVote)
                self._vote(snapshot, latest, facts.round_state, by_relayer=by_relayer)
            case Publish():
                self._results.publish(snapshot, latest, facts.round_state)
            case Drive() | RecordHeader() | DrawSeats() | SlashWithheld() | Distribute():
                self._duties.act(action, snapshot, latest)
            case Wait():
                raise AssertionError("a wait is nothing to do")
            case _:
                self._disputes.act(action, snapshot, latest, facts.round_state)

    def _catch_up(self, snapshot: Snapshot, until_round: int) -> None:
        self._results.catch_up(snapshot, until_round)
        if self.memory.mismatch is None:
            self._results.recompute_unverified(snapshot)

    def _commit(self, snapshot: Snapshot, latest: int, *, by_relayer: bool) -> None:
        self._catch_up(snapshot, latest - 1)
        if self.memory.mismatch is None:
            self._commitments.commit(snapshot, latest, by_relayer=by_relayer)

    def _vote(
        self, snapshot: Snapshot, number: int, state: RoundState, *, by_relayer: bool
    ) -> None:
        if not by_relayer:
            self._ballot.vote(number, state)
        elif self._offers is not None:
            phase = rounds.phase(self.params, state, snapshot.block.timestamp)
            seconds = min(self.params.aggregate_seconds, self.params.challenge_seconds)
            self._offers.vote(snapshot, number, phase, self._ballot.found(state), seconds)
