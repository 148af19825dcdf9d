"""One tick of a node: pin a block, read, decide, act at most once; safe to repeat.

A published result is adopted only after recomputing it bit for bit from the included updates; a
wrong one is refuted while that can be done.
"""

import math
from dataclasses import dataclass, replace
from typing import Protocol

import structlog
from eth_account.signers.local import LocalAccount

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
    Restore,
    Reveal,
    RevealScores,
    SlashWithheld,
    Verify,
    Vote,
    Wait,
)
from node.decide import Dispute, Facts, Relaying, decide
from node.disputes import Disputes
from node.duties import Duties
from node.learning.update import FULL, Precision, make_update
from node.market.panel import Floats
from node.memory import Memory, MemoryFile, Mismatch, Pending, Scores, Signed
from node.offers import Offers
from node.relay import Relayer
from node.scoring import Judge, Scoring
from node.sending import Sending, can_pay_gas
from node.votes import Votes
from protocol import keys, rounds
from protocol.blobs import BlobStore, FirstOf
from protocol.chain import seed
from protocol.chain.gateway import Chain, Snapshot
from protocol.chain.posted import PostedStore
from protocol.chain.transactor import Transactor
from protocol.challenge import Case
from protocol.commitment import stored_commitment, update_commitment
from protocol.encoding import decode_model, encode_model, encode_update
from protocol.errors import (
    BlobError,
    ConfigError,
    RangeError,
    RuleError,
    VerificationFailed,
)
from protocol.numbers import Int16Array, Int32Array, to_float
from protocol.recompute import check_published, combine, fetch_updates, recompute_round
from protocol.service import Outcome
from protocol.sumtree import SumTree
from protocol.task import Phase, RewardRule, RoundState, Seat, TaskParams, TaskState

log = structlog.get_logger("node")


class Trainer(Judge, Protocol):
    """What a participant's private data does to a model."""

    spec_hash: bytes
    """The model specification it trains; must be the task's."""

    @property
    def sample_count(self) -> int:
        """How many samples it trains on."""
        ...

    def train(self, model: Floats, round_number: int, before: Floats) -> Floats:
        """The model after local training; `before` is what the last final round began at.

        Shape: [d], [d] -> [d]
        """


@dataclass(frozen=True)
class Stores:
    """Where a participant's blobs live."""

    private: BlobStore
    """Updates that nobody may see before the commit phase is over."""
    public: BlobStore
    """What this participant serves: its revealed updates and the models it verified."""
    peers: BlobStore
    """Everybody else's."""


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
        wants_seat: bool = True,
        restores: bool = False,
        drives: bool = False,
        challenges: bool = True,
        flags: bool = True,
        votes: bool = True,
        publishes: bool = False,
    ) -> None:
        self.chain = chain
        self.account = account
        self.task_id = task_id
        self.memory_file = memory_file
        self.params: TaskParams = chain.at(chain.head()).task_params(task_id)
        if trainer is not None and trainer.spec_hash != self.params.model_spec_hash:
            raise ConfigError(
                f"the task trains the model 0x{self.params.model_spec_hash.hex()}, this node "
                f"0x{trainer.spec_hash.hex()}: configure the task's model"
            )
        self.memory: Memory = memory_file.load(self.params.dimension)
        self._sending = Sending(transactor, task_id, self.params.currency)
        self._trainer = trainer
        self._precision = precision
        self._stores = stores
        self._offers = None if relayer is None else Offers(relayer, account, task_id)
        self._unjudged_round = 0
        posted = PostedStore(chain, task_id, self.params)
        self._everywhere = FirstOf([stores.public, stores.peers, posted])
        self._disputes = Disputes(
            account=account,
            task_id=task_id,
            params=self.params,
            private=stores.private,
            kept=stores.public,
            everywhere=self._everywhere,
            posted=posted,
            sending=self._sending,
        )
        self._scoring = Scoring(
            chain=chain,
            account=account,
            task_id=task_id,
            params=self.params,
            kept=stores.public,
            everywhere=self._everywhere,
            sending=self._sending,
        )
        self._duties = Duties(transactor, task_id, self.params, self._sending)
        self._ballot = Votes(account.address, task_id, self.params, self._sending)
        self._wants_seat = wants_seat
        self._restores = restores
        self._drives = drives
        self._challenges = challenges
        self._flags = flags
        self._votes = votes
        self._publishes = publishes

    def tick(self) -> Outcome:
        """Do the one next thing, if any.

        Raises: VolquorumError where trying again later, or a person, is needed.
        """
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
            self._start_from(snapshot, task, state)
        seat = snapshot.seat(self.task_id, self.account.address)
        now = snapshot.block.timestamp
        phase = rounds.phase(self.params, state, now)
        mismatch = self._standing_mismatch(snapshot)
        owes_update = self._disputes.owes_update(snapshot, task.round, state)
        dispute = self._dispute(snapshot, task.round, state)
        # An answer that is due does not wait for servers that are slow.
        unfetched = None if owes_update else self._unfetched(snapshot, task.round, state)
        false_norm = None if owes_update else self._false_norm(snapshot, task.round, state)
        votes_alike = self._votes_alike(snapshot, task.round, state, seat)
        turns = (dispute, unfetched, false_norm, votes_alike)
        drives = self._drives and mismatch is None
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
            committed=self._is_committed(task, seat),
            judges=self._judges(snapshot, task.round),
            scored=self._scoring.is_committed(seat, self.memory.scores, task.round, state),
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
            reclaimable=self._disputes.reclaimable(snapshot, task.round, state),
            withheld=self._withheld(snapshot, seat, drives=drives),
            undistributed=duties.undistributed(snapshot) if drives else None,
            seed_known=drawing.known,
            recordable=drawing.recordable,
            relaying=self._relaying(snapshot, task.round, phase),
            samples=0 if self._trainer is None else self._trainer.sample_count,
            own_address=self.account.address,
            wants_seat=self._wants_seat,
            restores=self._restores,
            watches=self._trainer is None,
            drives=self._drives,
            challenges=self._challenges,
            flags=self._flags,
            publishes=self._publishes,
        )

    def _is_committed(self, task: TaskState, seat: Seat) -> bool:
        pending = self.memory.pending
        return (
            pending is not None
            and pending.round == task.round == seat.committed_round
            and stored_commitment(self._commitment(pending)) == seat.commitment
        )

    def _withheld(self, snapshot: Snapshot, seat: Seat, *, drives: bool) -> str | None:
        if self._duties.is_withheld(snapshot, seat) and self._pays_gas(snapshot):
            return self.account.address
        return self._duties.withheld(snapshot) if drives else None

    def _judges(self, snapshot: Snapshot, number: int) -> bool:
        if self.params.reward_rule is not RewardRule.SCORES or self._trainer is None:
            return False
        return self._unjudged_round != number and self._pays_gas(snapshot)

    def _votes_alike(
        self, snapshot: Snapshot, number: int, state: RoundState, seat: Seat
    ) -> int | None:
        if not self.params.by_votes or not self._votes or not self._pays_gas(snapshot):
            return None
        return self._ballot.alike(
            snapshot, number, state, seat, lambda: self._inputs(snapshot, number)
        )

    def _pays_gas(self, snapshot: Snapshot) -> bool:
        """Whether this account may send; with a relayer it may be one that cannot."""
        return self._offers is None or can_pay_gas(snapshot, self.account.address)

    def _place(self, snapshot: Snapshot) -> int:
        seated = snapshot.seated(self.task_id)
        return seated.index(self.account.address) if self.account.address in seated else 0

    def _relaying(self, snapshot: Snapshot, number: int, phase: Phase) -> Relaying | None:
        if self._offers is None:
            return None
        return self._offers.relaying(snapshot, number, phase, signs=self._may_sign(number))

    def _may_sign(self, number: int) -> bool:
        signed, pending = self.memory.signed, self.memory.pending
        if signed is None or signed.round < number:
            return True
        if pending is None or not pending.round == signed.round == number:
            return False
        return self._commitment(pending) == signed.commitment

    def _standing_mismatch(self, snapshot: Snapshot) -> Mismatch | None:
        """What was refused and still stands on the chain; refuted, it makes room for another."""
        mismatch = self.memory.mismatch
        if mismatch is None:
            return None
        state = snapshot.round_state(self.task_id, mismatch.round)
        phase = rounds.phase(self.params, state, snapshot.block.timestamp)
        if phase is Phase.VOID or rounds.publication(state) != mismatch.publication:
            log.info("refused result is gone", round=mismatch.round)
            self._remember(replace(self.memory, mismatch=None))
        return self.memory.mismatch

    def _unfetched(self, snapshot: Snapshot, number: int, state: RoundState) -> int | None:
        now = snapshot.block.timestamp
        is_time = (
            self._flags
            and rounds.can_flag_update(self.params, state, now)
            and now >= rounds.patient_until(self.params, state)
        )
        return self._disputes.unfetched(snapshot, number, state) if is_time else None

    def _false_norm(self, snapshot: Snapshot, number: int, state: RoundState) -> bool | None:
        now = snapshot.block.timestamp
        is_time = (
            self._challenges
            and rounds.phase(self.params, state, now) is Phase.AVAILABILITY
            and now >= rounds.patient_until(self.params, state)
        )
        return self._disputes.false_norm(snapshot, number, state) if is_time else None

    def _dispute(self, snapshot: Snapshot, number: int, state: RoundState) -> Dispute | None:
        mismatch = self.memory.mismatch
        phase = rounds.phase(self.params, state, snapshot.block.timestamp)
        if mismatch is None or not mismatch.provable or mismatch.round != number:
            return None
        if not self._challenges or phase is not Phase.CHALLENGE:
            return None
        return self._disputes.dispute(
            snapshot, number, state, lambda: self._case(snapshot, number, state)
        )

    def _case(self, snapshot: Snapshot, number: int, state: RoundState) -> Case:
        revealed = snapshot.revealed(self.task_id, number)
        base, updates = self._inputs(snapshot, number)
        evidence = snapshot.evidence(self.task_id, number)
        return Case(self.params, self.task_id, number, state, revealed, base, updates, evidence)

    def _start_from(self, snapshot: Snapshot, task: TaskState, state: RoundState) -> None:
        # A participant that is new to a running task takes the model it starts from by its root;
        # `scripts/verify_round.py` checks the rounds before that.
        if not task.round or state.settled:
            verified_round, root = task.round, task.model_root
        else:
            verified_round = task.round - 1
            root = snapshot.base_model_root(self.task_id, task.round)
        # Invariant: what was signed before this memory was made is not known, so that in a round
        # that runs already nothing is signed.
        self._remember(
            replace(
                self.memory,
                verified_round=verified_round,
                verified_model_root=root,
                signed=Signed(task.round, b""),
            )
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
                self._reveal(snapshot, latest, by_relayer=isinstance(action, RelayReveal))
            case Verify():
                self._catch_up(snapshot, latest)
            case CommitScores():
                self._commit_scores(snapshot, latest, facts.round_state)
            case RevealScores():
                self._reveal_scores()
            case Vote():
                self._ballot.vote(latest, facts.round_state)
            case Publish():
                self._publish(snapshot, latest, facts.round_state)
            case Drive() | RecordHeader() | DrawSeats() | SlashWithheld() | Distribute():
                self._duties.act(action, snapshot, latest)
            case Wait():
                raise AssertionError("a wait is nothing to do")
            case _:
                self._disputes.act(action, snapshot, latest, facts.round_state)

    # ------------------------------------------------------------------------------------- commit

    def _commit(self, snapshot: Snapshot, latest: int, *, by_relayer: bool) -> None:
        self._catch_up(snapshot, latest - 1)
        if self.memory.mismatch:
            return
        pending = self.memory.pending
        if pending is None or pending.round != latest:
            pending = self._train(snapshot, latest)
        commitment = self._commitment(pending)
        if by_relayer:
            self._offer_commitment(snapshot, latest, commitment)
            return
        self._sending.send(
            "commitUpdate",
            (self.task_id, latest, commitment),
            f"{latest}:commit:{commitment.hex()}",
        )

    def _offer_commitment(self, snapshot: Snapshot, latest: int, commitment: bytes) -> None:
        if self._offers is None or not self._may_sign(latest):
            raise AssertionError("decide() signs for a relayer, and one commitment a round")
        # Invariant: what is signed is on disk before anybody sees it, so that a crash cannot lead
        # to a second signature under something else.
        self._remember(replace(self.memory, signed=Signed(latest, commitment)))
        self._offers.commitment(snapshot, latest, commitment, self.params.commit_seconds)

    def _train(self, snapshot: Snapshot, latest: int) -> Pending:
        if self._trainer is None:
            raise AssertionError("decide() lets no watcher commit")
        self._settle_residual(snapshot)
        root = self.memory.verified_model_root
        base = self._model(root)
        trained = self._trainer.train(
            to_float(base, self.params.shift),
            latest,
            to_float(self._before(snapshot, latest, base), self.params.shift),
        )
        update = make_update(
            trained,
            base,
            self.memory.residual,
            shift=self.params.shift,
            max_norm=math.ldexp(math.sqrt(self.params.max_squared_norm), -self.params.shift),
            precision=self._precision,
        )
        tree = SumTree.of(update.values, self.params.chunk_length)
        self._stores.private.put(
            encode_update(update.values, self.params.shift), chunk_length=self.params.chunk_length
        )
        pending = Pending(
            round=latest,
            base_model_root=root,
            update_root=tree.root,
            tree_top=tree.top,
            squared_norm=update.squared_norm,
            residual=update.residual,
        )
        # Invariant: the update is on disk before anybody is told of it, so a crash cannot lose it.
        self._remember(replace(self.memory, pending=pending))
        return pending

    def _before(self, snapshot: Snapshot, latest: int, base: Int32Array) -> Int32Array:
        """What the last final round made the base model of; itself where nobody has it any more."""
        final = snapshot.last_final_round(self.task_id, latest)
        if final == 0:
            return base
        try:
            return self._model(snapshot.base_model_root(self.task_id, final))
        except BlobError as error:
            log.warning("base of the last final round is missing", round=final, error=str(error))
            return base

    def _settle_residual(self, snapshot: Snapshot) -> None:
        """Carry the residual on only if its update became part of a final model."""
        pending = self.memory.pending
        if pending is None:
            return
        state = snapshot.round_state(self.task_id, pending.round)
        is_final = rounds.phase(self.params, state, snapshot.block.timestamp) is Phase.FINAL
        applied = is_final and any(
            included.update_root == pending.update_root
            for included in snapshot.included(self.task_id, pending.round)
        )
        residual = pending.residual if applied else self.memory.residual
        self._remember(replace(self.memory, residual=residual, pending=None))

    def _commitment(self, pending: Pending) -> bytes:
        return update_commitment(
            chain_id=self.chain.chain_id,
            contract=self.chain.contract,
            task_id=self.task_id,
            round_number=pending.round,
            base_model_root=pending.base_model_root,
            participant=self.account.address,
            update_root=pending.update_root,
            squared_norm=pending.squared_norm,
            salt=self._salt(pending.round),
        )

    def _salt(self, round_number: int) -> bytes:
        return keys.derive_salt(
            self.account,
            self.chain.chain_id,
            self.chain.contract,
            self.task_id,
            round_number,
        )

    # ------------------------------------------------------------------------------------- reveal

    def _reveal(self, snapshot: Snapshot, latest: int, *, by_relayer: bool) -> None:
        pending = self.memory.pending
        if pending is None or pending.round != latest:
            raise AssertionError("decide() reveals only a pending update of the latest round")
        data = self._stores.private.get_bytes(
            pending.update_root, chunk_length=self.params.chunk_length
        )
        # Invariant: the bytes can be fetched before the chain says so.
        self._stores.public.put(data, chunk_length=self.params.chunk_length)
        salt = self._salt(latest)
        if not by_relayer:
            args = (self.task_id, latest, pending.tree_top, pending.squared_norm, salt)
            self._sending.send("revealUpdate", args, f"{latest}:reveal")
        elif self._offers is not None:
            self._offers.opening(
                snapshot,
                latest,
                self.params.reveal_seconds,
                tree_top=pending.tree_top,
                squared_norm=pending.squared_norm,
                salt=salt,
            )

    # ------------------------------------------------------------------------------------- scores

    def _commit_scores(self, snapshot: Snapshot, number: int, state: RoundState) -> None:
        scores = self.memory.scores
        if scores is None or not self._scoring.are_for(scores, number, state):
            scores = self._judged(snapshot, number, state)
        if scores is None:
            self._unjudged_round = number
            return
        # Invariant: scores are on disk before they are committed to; judging again, with other
        # updates at hand, could give others that do not open the commitment.
        self._remember(replace(self.memory, scores=scores))
        self._scoring.commit(scores)

    def _judged(self, snapshot: Snapshot, number: int, state: RoundState) -> Scores | None:
        if self._trainer is None:
            raise AssertionError("decide() lets no watcher give scores")
        try:
            base = self._model(snapshot.base_model_root(self.task_id, number))
        except BlobError as missing:
            log.warning("updates cannot be judged", round=number, reason=str(missing))
            return None
        return self._scoring.judged(self._trainer, snapshot, number, state, base)

    def _reveal_scores(self) -> None:
        if self.memory.scores is None:
            raise AssertionError("decide() reveals only scores that were committed to")
        self._scoring.reveal(self.memory.scores)

    # ------------------------------------------------------------------------------------- verify

    def _catch_up(self, snapshot: Snapshot, until_round: int) -> None:
        """Recompute every final or contestable result up to a round, in order."""
        first = self.memory.verified_round
        # The latest round may have been verified before its result was replaced.
        for number in range(max(1, min(first + 1, until_round)), until_round + 1):
            state = snapshot.round_state(self.task_id, number)
            phase = rounds.phase(self.params, state, snapshot.block.timestamp)
            if phase in (Phase.CHALLENGE, Phase.FINAL):
                self._verify(snapshot, number, state)
            elif phase is Phase.VOID:
                # Also after a reorganisation took away a result that was verified already.
                base_root = snapshot.base_model_root(self.task_id, number)
                self._remember(
                    replace(self.memory, verified_round=number, verified_model_root=base_root)
                )
            if self.memory.mismatch:
                return

    def _verify(self, snapshot: Snapshot, number: int, state: RoundState) -> None:
        if (self.memory.verified_round, self.memory.verified_model_root) == (
            number,
            state.model_root,
        ):
            return
        base_root = snapshot.base_model_root(self.task_id, number)
        included = snapshot.included(self.task_id, number)
        combined = None
        try:
            base = self._model(base_root)
            combined = recompute_round(self.params, base, included, self._everywhere)
            check_published(combined, state)
        except BlobError as missing:
            if number == snapshot.task_state(self.task_id).round:
                raise  # somebody still serves a fresh round, or it cannot be trusted
            log.warning("round taken over unverified", round=number, reason=str(missing))
            self._adopt(number, state, (*self.memory.unverified_rounds, number))
            return
        except (VerificationFailed, RuleError, RangeError) as failure:
            # Where the included updates have no result at all, no published one can be right; the
            # contract can be shown that only of a model that leaves int32.
            provable = combined is not None or isinstance(failure, RangeError)
            log.critical("published result is wrong", round=number, reason=str(failure))
            mismatch = Mismatch(number, rounds.publication(state), str(failure), provable=provable)
            self._remember(replace(self.memory, mismatch=mismatch))
            return
        self._stores.public.put(
            encode_model(combined.model, self.params.shift), chunk_length=self.params.chunk_length
        )
        self._adopt(number, state, self.memory.unverified_rounds)
        log.info("round verified", round=number, model_root="0x" + state.model_root.hex())

    # ------------------------------------------------------------------------------------ publish

    def _publish(self, snapshot: Snapshot, number: int, state: RoundState) -> None:
        base, updates = self._inputs(snapshot, number)
        combined = combine(self.params, base, updates)
        shift, chunk_length = self.params.shift, self.params.chunk_length
        # Invariant: the blobs can be fetched before the chain names them.
        for content in (
            encode_update(combined.aggregate, shift),
            encode_model(combined.model, shift),
        ):
            self._stores.public.put(content, chunk_length=chunk_length)
        self._sending.send_in_time(
            "publish",
            (self.task_id, number, combined.result(state)),
            f"{number}:publish:{state.restarted_at}",
            self.params.bond_wei,
        )

    def _inputs(self, snapshot: Snapshot, number: int) -> tuple[Int32Array, Int16Array]:
        """A round's base model and included updates. Shape: [d], [m, d]"""
        base = self._model(snapshot.base_model_root(self.task_id, number))
        included = snapshot.included(self.task_id, number)
        return base, fetch_updates(self.params, included, self._everywhere)

    def _adopt(self, number: int, state: RoundState, unverified: tuple[int, ...]) -> None:
        self._remember(
            replace(
                self.memory,
                verified_round=number,
                verified_model_root=state.model_root,
                unverified_rounds=unverified,
            )
        )

    def _model(self, root: bytes) -> Int32Array:
        """A model by its root, kept among this participant's own blobs. Shape: [d]"""
        chunk_length = self.params.chunk_length
        data = self._everywhere.get_bytes(root, chunk_length=chunk_length)
        if not self._stores.public.has(root):
            self._stores.public.put(data, chunk_length=chunk_length)
        return decode_model(data, dimension=self.params.dimension, shift=self.params.shift)

    def _remember(self, memory: Memory) -> None:
        self.memory_file.save(memory)
        self.memory = memory
