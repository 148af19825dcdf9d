"""What a node flags, posts, seals, proves and takes back.

Everything is read from the chain or follows from the key, so a crash anywhere loses nothing. What
is kept here only saves work.
"""

from collections import Counter
from collections.abc import Callable, Sequence

import structlog
from eth_account.signers.local import LocalAccount

from node.actions import (
    Challenge,
    ChallengeNorm,
    ClaimAward,
    DisputeAction,
    FlagResult,
    FlagUpdate,
    PostResult,
    PostUpdate,
    ReclaimDeposit,
    RefuteOutvoted,
    RefuteUnavailable,
    Seal,
    SealNorm,
)
from node.facts import Dispute
from node.sending import Sending
from protocol import challenge as cases
from protocol import keys, posting, rounds
from protocol.blobs import BlobStore, FirstOf
from protocol.chain.calls import (
    TaskCall,
    flag_update,
    post_result,
    reclaim_deposit,
    refute_outvoted,
)
from protocol.chain.gateway import Snapshot
from protocol.chain.posted import PostedStore
from protocol.commitment import Claim
from protocol.encoding import encode_update
from protocol.errors import BlobError, Reverted, RuleError, VerificationFailed
from protocol.flags import first_missing, flagged_table
from protocol.gram import Table
from protocol.numbers import Int16Array, Int32Array
from protocol.proofs import falsely_recorded
from protocol.recompute import RevealedUpdate, Roots, fetch_updates
from protocol.state import Flag, Phase, Published, RoundState
from protocol.task import ZERO_ADDRESS, TaskParams

log = structlog.get_logger("node")


class Disputes:
    """One key's part in the disputes over one task's updates and results."""

    def __init__(
        self,
        *,
        account: LocalAccount,
        task_id: bytes,
        params: TaskParams,
        private: BlobStore,
        kept: BlobStore,
        everywhere: BlobStore,
        posted: PostedStore,
        sending: Sending,
    ) -> None:
        self._account = account
        self._task_id = task_id
        self._params = params
        self._kept = kept
        # What this node itself made is whole there even where its public copy was spoilt.
        self._answers = FirstOf([private, everywhere])
        self._everywhere = everywhere
        self._posted = posted
        self._sending = sending
        self._fetched: set[bytes] = set()
        self._case: tuple[str, cases.Case] | None = None
        self._challenge: cases.Challenge | None = None
        self._examined: dict[tuple[bytes, int], cases.Challenge | None] = {}
        self._false_norm: tuple[int, cases.Challenge] | None = None
        self._unearned: tuple[Claim, ...] = ()
        self._table: Table | None = None
        self._nothing_to_reclaim_until = 0

    # -------------------------------------------------------------------------------------- facts

    def unfetched(self, snapshot: Snapshot, number: int, state: RoundState) -> int | None:
        """The first revealed update that can neither be had nor is unavailable already.

        What can be had is kept and served from then on, so that one fetch is enough for all.
        """
        return first_missing(
            self._params,
            state,
            snapshot.revealed(self._task_id, number),
            self._everywhere,
            is_had=self._has,
            keep=self._keep,
        )

    def false_norm(self, snapshot: Snapshot, number: int, state: RoundState) -> bool | None:
        """Whether the proof that an update's norm is false is sealed; None without one.

        What was not fetched is tried once, and one that fails is enough: servers may be slow.
        """
        revealed = snapshot.revealed(self._task_id, number)
        for index, each in enumerate(revealed):
            if self._has(each):
                continue
            # Whom another one has proven false has no seat any more.
            if not snapshot.seat(self._task_id, each.participant).committed_in(number):
                continue
            # By place, as several participants may have revealed one root.
            key = (state.updates_hash, index)
            is_new = key not in self._examined
            if is_new:
                self._examined[key] = self._against_norm(number, revealed, index)
            proof = self._examined[key]
            self._false_norm = None if proof is None else (index, proof)
            if proof is not None:
                return snapshot.is_sealed(self._seal(snapshot, proof))
            if is_new and not self._has(each):
                return None
        return None

    def _against_norm(
        self, number: int, revealed: Sequence[RevealedUpdate], index: int
    ) -> cases.Challenge | None:
        each = revealed[index]
        try:
            (update,) = fetch_updates(self._params, [each], self._everywhere)
        except BlobError as failure:
            tree = falsely_recorded(self._params, each, failure.served)
        except VerificationFailed:
            return None
        else:
            self._keep(each, update)
            return None
        if tree is None:
            return None
        log.critical("norm is false", participant=each.participant, root=each.update_root)
        return cases.challenge_norm(self._task_id, number, revealed, index, tree)

    def _has(self, revealed: RevealedUpdate) -> bool:
        is_own = revealed.participant == self._account.address
        return is_own or revealed.update_root in self._fetched

    def _keep(self, revealed: RevealedUpdate, update: Int16Array) -> None:
        if not self._kept.has(revealed.update_root):
            content = encode_update(update, self._params.shift)
            self._kept.put(content, chunk_length=self._params.chunk_length)
        self._fetched.add(revealed.update_root)

    def owes_update(self, snapshot: Snapshot, number: int, state: RoundState) -> bool:
        """Whether this node's update is flagged, not completely posted, and at hand."""
        if not state.unavailable:
            return False
        flag = snapshot.update_flag(self._task_id, self._account.address)
        now = snapshot.block.timestamp
        is_open = flag.round == number and rounds.can_post_update(self._params, state, flag, now)
        return is_open and self._can_answer(lambda: self._vector(flag))

    def owes_result(self, snapshot: Snapshot, number: int, state: RoundState) -> Published | None:
        """The first part of this node's published result that is flagged, not posted, at hand."""
        if state.publisher.lower() != self._account.address.lower():
            return None
        for what in Published:
            if state.is_flagged(what) and self._unanswered(snapshot, what):
                return what if self._has_published(snapshot, number, what) else None
        return None

    def dispute(
        self,
        snapshot: Snapshot,
        number: int,
        state: RoundState,
        make_case: Callable[[], cases.Case],
    ) -> Dispute | None:
        """How far the dispute over the latest round's wrong result has come.

        Raises: BlobError if the included updates cannot be had.
        """
        publication = f"{number}:{rounds.publication(state)}"
        if self._case is None or self._case[0] != publication:
            self._case, self._challenge = (publication, make_case()), None
        case = self._case[1]
        wrong = case.wrong
        if wrong is None:
            return None
        challenge = self._provable(case)
        return Dispute(
            wrong=wrong,
            provable=challenge is not None,
            sealed=challenge is not None and snapshot.is_sealed(self._seal(snapshot, challenge)),
            flag=snapshot.result_flag(self._task_id, wrong) if state.is_flagged(wrong) else None,
            for_votes=case.is_for_votes,
            outvoted=self._is_outvoted(snapshot, number, state, case),
        )

    def _is_outvoted(
        self, snapshot: Snapshot, number: int, state: RoundState, case: cases.Case
    ) -> bool:
        if not self._params.by_votes or case.right is None:
            return False
        votes = snapshot.votes_for(self._task_id, number, case.right)
        return rounds.is_outvoted(self._params, state, votes)

    def claims_award(self, snapshot: Snapshot) -> bool:
        """Whether a proof that this node had sealed was sent by somebody who had not sealed it."""
        return self._unclaimed(snapshot) is not None

    def _unclaimed(self, snapshot: Snapshot) -> tuple[Claim, int] | None:
        """A challenge whose awards are this node's, and how often it was proven without one."""
        proven = snapshot.unawarded(self._task_id)
        if proven == self._unearned:
            return None
        for claim, times in Counter(proven).items():
            if self._is_unclaimed(snapshot, claim):
                return claim, times
        self._unearned = proven
        return None

    def _is_unclaimed(self, snapshot: Snapshot, claim: Claim) -> bool:
        args = self._claim(snapshot, claim)
        try:
            snapshot.chain.call(
                "claimAward", *args, at=snapshot.block, sender=self._account.address
            )
        except Reverted:
            return False
        return True

    def _claim(self, snapshot: Snapshot, claim: Claim) -> tuple[object, ...]:
        return (self._task_id, *claim, self._salt(snapshot, claim.round_number, claim.subject))

    def reclaimable(self, snapshot: Snapshot, number: int, state: RoundState) -> str | None:
        """A participant on whose update this key's deposit lies free."""
        runs = rounds.phase(self._params, state, snapshot.block.timestamp) <= Phase.AVAILABILITY
        latest_over = number - runs
        if self._nothing_to_reclaim_until >= latest_over:
            return None
        for participant in snapshot.free_deposits(self._task_id, self._account.address):
            return participant
        self._nothing_to_reclaim_until = latest_over
        return None

    def _has_published(self, snapshot: Snapshot, number: int, what: Published) -> bool:
        flag = snapshot.result_flag(self._task_id, what)
        if what is Published.TABLE:
            return self._can_answer(lambda: self._own_table(snapshot, number, flag))
        return self._can_answer(lambda: self._vector(flag))

    def _can_answer(self, find: Callable[[], object]) -> bool:
        try:
            find()
        except (BlobError, RuleError, VerificationFailed) as failure:
            log.critical("what is flagged cannot be posted", reason=str(failure))
            return False
        return True

    def _own_table(self, snapshot: Snapshot, number: int, flag: Flag) -> Table:
        """The table that a flag asks for, which is computed anew rather than kept on disk.

        Raises: BlobError, VerificationFailed, RuleError.
        """
        if self._table is None or self._table.root != flag.root:
            included = snapshot.included(self._task_id, number)
            self._table = flagged_table(self._params, flag.root, included, self._everywhere)
        return self._table

    def _vector(self, flag: Flag) -> Int16Array | Int32Array:
        """What a flag asks for. Raises: BlobError."""
        return self._answers.get(
            flag.root, chunk_length=self._params.chunk_length, shift=self._params.shift
        ).values

    def _unanswered(self, snapshot: Snapshot, what: Published) -> bool:
        return snapshot.result_flag(self._task_id, what).flagger != ZERO_ADDRESS

    def _provable(self, case: cases.Case) -> cases.Challenge | None:
        if self._challenge is None:
            try:
                self._challenge = case.challenge(self._everywhere, self._posted)
            except (BlobError, VerificationFailed) as failure:
                log.warning("wrong result cannot be proven yet", reason=str(failure))
        return self._challenge

    # ------------------------------------------------------------------------------------ actions

    def act(
        self, action: DisputeAction, snapshot: Snapshot, number: int, state: RoundState
    ) -> None:
        """Takes one step. Raises: VolquorumError."""
        match action:
            case FlagUpdate(index):
                self._flag_update(snapshot, number, index)
            case PostUpdate():
                flag = snapshot.update_flag(self._task_id, self._account.address)
                parts = posting.parts(self._vector(flag), self._params.chunk_length)
                posted = (number, self._account.address, *parts[flag.posted])
                self._send(TaskCall("postUpdate", posted, f"{number}:post:{flag.posted}"))
            case FlagResult(what):
                self._flag_result(snapshot, number, what, state)
            case PostResult(what):
                self._post_result(snapshot, number, what, state)
            case RefuteUnavailable(what):
                purpose = f"{number}:unavailable:{what.name}:{rounds.publication(state)}"
                on_result = (self._task_id, number, what)
                self._sending.send_in_time("refuteUnavailable", on_result, purpose)
            case Seal() | SealNorm():
                found = self._found() if isinstance(action, Seal) else self._found_norm()[1]
                seal = self._seal(snapshot, found)
                self._sending.send_in_time("sealChallenge", (seal,), f"seal:{seal.hex()}")
            case ClaimAward():
                self._claim_award(snapshot)
            case Challenge():
                self._prove(snapshot, self._found(), rounds.publication(state))
            case ChallengeNorm():
                index, proof = self._found_norm()
                self._prove(snapshot, proof, f"norm:{index}:{state.updates_hash.hex()}")
            case RefuteOutvoted():
                self._send(refute_outvoted(number, state, self._right()))
            case ReclaimDeposit(participant):
                flag = snapshot.update_flag(self._task_id, participant)
                self._send(reclaim_deposit(participant, flag.round))

    def _claim_award(self, snapshot: Snapshot) -> None:
        unclaimed = self._unclaimed(snapshot)
        if unclaimed is None:
            raise AssertionError("decide() claims only an award that is there")
        claim, times = unclaimed
        named = f"{claim.kind}:{claim.chunk}:{claim.subject.hex()}"
        # The seal serves for the same lie again, and for each who revealed the same update.
        purpose = f"{claim.round_number}:award:{named}:{times}"
        self._sending.send_in_time("claimAward", self._claim(snapshot, claim), purpose)

    def _prove(self, snapshot: Snapshot, challenge: cases.Challenge, what: str) -> None:
        args = challenge.args(self._salt(snapshot, challenge.round_number, challenge.subject))
        purpose = f"{challenge.round_number}:challenge:{what}"
        self._sending.send_in_time(challenge.function, args, purpose)

    def _flag_update(self, snapshot: Snapshot, number: int, index: int) -> None:
        call = flag_update(number, snapshot.revealed(self._task_id, number), index)
        self._send(call, self._params.flag_wei)

    def _flag_result(
        self, snapshot: Snapshot, number: int, what: Published, state: RoundState
    ) -> None:
        function, named = "flagResult", tuple[object, ...]([what])
        if what is Published.TABLE:
            function, named = "flagTable", snapshot.evidence(self._task_id, number)
        self._sending.send_in_time(
            function,
            (self._task_id, number, *named),
            f"{number}:flag:{what.name}:{rounds.publication(state)}",
            self._params.flag_wei,
        )

    def _post_result(
        self, snapshot: Snapshot, number: int, what: Published, state: RoundState
    ) -> None:
        flag = snapshot.result_flag(self._task_id, what)
        if what is Published.TABLE:
            parts = tuple(self._own_table(snapshot, number, flag).parts())
        else:
            parts = posting.parts(self._vector(flag), self._params.chunk_length)
        self._send(post_result(number, what, state, flag, parts))

    def _send(self, call: TaskCall, wei: int = 0) -> None:
        args = (self._task_id, *call.args)
        self._sending.send_in_time(call.function, args, call.purpose, wei)

    def _right(self) -> Roots:
        right = None if self._case is None else self._case[1].right
        if right is None:
            raise AssertionError("decide() counts only votes for a right result")
        return right

    def _found_norm(self) -> tuple[int, cases.Challenge]:
        if self._false_norm is None:
            raise AssertionError("decide() contests only norms that were found false")
        return self._false_norm

    def _found(self) -> cases.Challenge:
        if self._challenge is None:
            raise AssertionError("decide() seals and challenges only what can be proven")
        return self._challenge

    def _seal(self, snapshot: Snapshot, challenge: cases.Challenge) -> bytes:
        return challenge.seal(
            chain_id=snapshot.chain.chain_id,
            contract=snapshot.chain.contract,
            challenger=self._account.address,
            salt=self._salt(snapshot, challenge.round_number, challenge.subject),
        )

    def _salt(self, snapshot: Snapshot, number: int, subject: bytes) -> bytes:
        return keys.derive_seal_salt(
            self._account,
            snapshot.chain.chain_id,
            snapshot.chain.contract,
            self._task_id,
            number,
            subject=subject,
        )
