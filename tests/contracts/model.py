"""The contract's rounds, seats and money once more: what each call does, or why it does not.

Written in plain Python from what `IVolquorum` promises. Facts are the frozen values of
`protocol.state`, so that they can be held against the contract's answers; the clock is
`protocol.rounds`. Money is ETH. Proofs and posted bytes are not here: they have their own tests.
"""

from collections import Counter, defaultdict
from collections.abc import Iterable, Sequence
from copy import copy
from dataclasses import dataclass, field, replace

from protocol import commitment, rounds, scores
from protocol.draw import draw_of, is_drawn
from protocol.recompute import RevealedUpdate
from protocol.state import SUSPENDED, Flag, Phase, Published, RoundState, Seat, TaskState
from protocol.sumtree import root_hash
from protocol.task import ZERO_ADDRESS, ZERO_HASH, TaskParams

MOST = 255


class Refused(Exception):
    """The contract's error by its name."""


def refuse_if(wrong: object, error: str) -> None:
    """Raises: Refused."""
    if wrong:
        raise Refused(error)


@dataclass
class Round:
    """A round's facts, and what only its events tell."""

    state: RoundState
    updates: list[RevealedUpdate] = field(default_factory=list)
    scores: dict[int, bytes] = field(default_factory=dict)
    """By the number of the update of who gave them, in order of reveal."""
    votes: Counter[tuple[bytes, bytes]] = field(default_factory=Counter)
    """By the roots of aggregate and model."""

    def includes(self, participant: str) -> bool:
        """Whether an update of this participant's is included."""
        return any(
            update.participant == participant and not self.state.is_unavailable(index)
            for index, update in enumerate(self.updates)
        )


@dataclass
class Task:
    """One task."""

    params: TaskParams
    state: TaskState
    rounds: dict[int, Round] = field(default_factory=dict)
    seats: dict[str, Seat] = field(default_factory=dict)
    update_flags: dict[str, Flag] = field(default_factory=dict)
    result_flags: dict[Published, Flag] = field(default_factory=dict)

    def copy(self) -> "Task":
        """The same facts, apart from these."""
        same = copy(self)
        same.rounds = {
            number: Round(each.state, [*each.updates], {**each.scores}, Counter(each.votes))
            for number, each in self.rounds.items()
        }
        same.seats, same.update_flags = {**self.seats}, {**self.update_flags}
        same.result_flags = {**self.result_flags}
        return same

    @property
    def latest(self) -> Round:
        return self.rounds.get(self.state.round, Round(RoundState()))

    def phase(self, now: int) -> Phase:
        """Of the latest round."""
        return rounds.phase(self.params, self.latest.state, now)

    def note(self, **changes: object) -> None:
        self.state = replace(self.state, **changes)  # type: ignore[arg-type] # by name

    def note_round(self, **changes: object) -> None:
        self.latest.state = replace(self.latest.state, **changes)  # type: ignore[arg-type] # by name

    def note_seat(self, account: str, **changes: object) -> None:
        seat = self.seats.get(account, Seat())
        self.seats[account] = replace(seat, **changes)  # type: ignore[arg-type] # by name


class Model:
    """The whole contract. Every method is a call: who, then its arguments, then the value sent.

    A call that is refused may leave half of what it did: go on with a copy from before it.
    """

    def __init__(self, chain_id: int, contract: str) -> None:
        self.chain_id, self.contract = chain_id, contract
        self.now = self.block = 0
        self.tasks: dict[bytes, Task] = {}
        self.credits: defaultdict[str, int] = defaultdict(int)
        self.burned_wei = 0
        self.paid_in_wei = self.paid_out_wei = 0

    def copy(self) -> "Model":
        """The same facts, apart from these."""
        same = copy(self)
        same.tasks = {task_id: task.copy() for task_id, task in self.tasks.items()}
        same.credits = self.credits.copy()
        return same

    # ------------------------------------------------------------------------------------- tasks

    def create_task(self, caller: str, params: TaskParams, wei: int) -> bytes:
        task_id = commitment.task_id(self.chain_id, self.contract, caller, params)
        refuse_if(task_id in self.tasks, "TaskExists")
        funds_wei = params.rounds * (params.reward_wei + params.publisher_wei)
        self._pay(wei, funds_wei)
        state = TaskState(
            sponsor=caller,
            funds_wei=funds_wei,
            model_root=params.genesis_model_root,
            by_votes=params.by_votes,
        )
        self.tasks[task_id] = Task(params, state)
        return task_id

    def end_task(self, caller: str, task_id: bytes) -> None:
        task = self._open_task(task_id)
        refuse_if(caller != task.state.sponsor, "NotSponsor")
        task.note(ended=True)

    def close_task(self, _caller: str, task_id: bytes) -> None:
        task = self._open_task(task_id)
        with_round_over = self._settle_ended(task)
        refuse_if(not self._exhausted(task) or not with_round_over, "TaskNotOver")
        self.credits[task.state.sponsor] += task.state.funds_wei
        task.note(closed=True, funds_wei=0)

    # ----------------------------------------------------------------------------------- members

    def join(self, caller: str, task_id: bytes, samples: int, wei: int) -> None:
        task = self._open_task(task_id)
        refuse_if(self._exhausted(task), "NoMoreRounds")
        seat = task.seats.get(caller, Seat())
        refuse_if(seat.active_from, "AlreadySeated")
        refuse_if(task.state.seats == task.params.seats, "SeatsTaken")
        refuse_if(samples < task.params.min_samples, "WrongSamples")
        refuse_if(seat.samples not in {0, samples}, "WrongSamples")
        self._pay(wei, task.params.stake_wei)
        task.note(seats=task.state.seats + 1)
        active_from = self._admit(task)
        task.note_seat(
            caller, stake_wei=task.params.stake_wei, active_from=active_from, samples=samples
        )

    def restore(self, caller: str, task_id: bytes, wei: int) -> None:
        task = self._open_task(task_id)
        refuse_if(self._exhausted(task), "NoMoreRounds")
        seat = task.seats.get(caller, Seat())
        refuse_if(not seat.suspended or seat.missed > task.params.max_missed, "NotRestorable")
        self._pay(wei, task.params.stake_wei - seat.stake_wei)
        task.note_seat(caller, stake_wei=task.params.stake_wei, active_from=self._admit(task))

    def leave(self, caller: str, task_id: bytes) -> None:
        task = self._task(task_id)
        refuse_if(task.seats.get(caller, Seat()).active_from == 0, "NotSeated")
        runs = task.phase(self.now) not in rounds.WITHOUT_RUNNING_ROUND
        serves = task.seats[caller].committed_in(task.state.round)
        refuse_if(serves and runs, "SeatServing")
        if self._withheld(task, caller):
            self._slice(task, caller, None, withheld=True)
        self._retire(task, caller)
        seat = task.seats[caller]
        self.credits[caller] += seat.stake_wei + seat.reward_wei
        task.note(seats=task.state.seats - 1)
        task.note_seat(caller, reward_wei=0, **_GONE)

    def slash_withheld(self, caller: str, task_id: bytes, participant: str) -> None:
        task = self._task(task_id)
        refuse_if(not self._withheld(task, participant), "NothingWithheld")
        self._slice(task, participant, caller, withheld=True)

    def slash_equivocation(
        self,
        caller: str,
        task_id: bytes,
        number: int,
        first: tuple[str, bytes],
        second: tuple[str, bytes],
    ) -> None:
        """Each is who signed, and what."""
        task, _ = self._latest(task_id, number)
        phase = task.phase(self.now)
        refuse_if(phase not in {Phase.COMMIT, Phase.REVEAL}, "WrongPhase")
        signer = first[0]
        refuse_if(first[1] == second[1], "NoEquivocation")
        refuse_if(second[0] != signer, "BadSignature")
        seat = task.seats.get(signer, Seat())
        refuse_if(not seat.committed_in(number), "NotCommitted")
        refuse_if(seat.revealed_in(number), "AlreadyRevealed")
        self._slice(task, signer, caller, withheld=False)

    # ------------------------------------------------------------------------------------ rounds

    def open_round(self, _caller: str, task_id: bytes) -> None:
        task = self._open_task(task_id)
        refuse_if(not self._settle_ended(task), "RoundRunning")
        refuse_if(self._exhausted(task), "NoMoreRounds")
        state = task.state
        active = state.active + state.entering
        refuse_if(active < task.params.quorum, "QuorumUnreachable")
        draws = active > task.params.cohort
        task.note(
            round=state.round + 1, active=active, entering=state.pending, pending=0, draws=draws
        )
        if draws:
            task.note(draw=ZERO_HASH, opened_block=self.block)
        start = commitment.updates_hash_start(task_id, task.state.round)
        task.rounds[task.state.round] = Round(
            RoundState(opened_at=self.now, active=active, updates_hash=start)
        )

    def draw_seats(self, _caller: str, task_id: bytes, number: int, seed: bytes) -> None:
        task, latest = self._latest(task_id, number)
        refuse_if(task.phase(self.now) not in {Phase.SELECTION, Phase.COMMIT}, "WrongPhase")
        refuse_if(not task.state.draws, "NothingToDraw")
        refuse_if(task.state.draw != ZERO_HASH, "AlreadyDrawn")
        refuse_if(seed == ZERO_HASH, "SeedNotReady")
        drawn, active = task.params.drawn, latest.state.active
        task.note(draw=draw_of(seed, task_id, number, drawn=drawn, active=active))

    def commit_update(self, caller: str, task_id: bytes, number: int, full: bytes) -> None:
        task = self._in_phase(task_id, number, Phase.COMMIT)
        self._bind(task, number, caller, full)

    def commit_updates(
        self, _caller: str, task_id: bytes, number: int, signed: Iterable[tuple[str, bytes]]
    ) -> None:
        task = self._in_phase(task_id, number, Phase.COMMIT)
        for signer, full in signed:
            seat = task.seats.get(signer, Seat())
            refuse_if(seat.committed_in(number), "AlreadyCommitted")
            self._bind(task, number, signer, full)

    def reveal_update(self, caller: str, task_id: bytes, number: int, opening: "Opening") -> None:
        task = self._in_phase(task_id, number, Phase.REVEAL)
        self._open(task_id, task, number, replace(opening, participant=caller))

    def reveal_updates(
        self, _caller: str, task_id: bytes, number: int, openings: Sequence["Opening"]
    ) -> None:
        task = self._in_phase(task_id, number, Phase.REVEAL)
        for opening in openings:
            self._open(task_id, task, number, opening)

    def publish(
        self,
        caller: str,
        task_id: bytes,
        number: int,
        result: tuple[bytes, bytes, bool],
        wei: int,
    ) -> None:
        """Two roots, and whether they were computed from another set of updates."""
        task = self._in_phase(task_id, number, Phase.AGGREGATE)
        ends = rounds.deadlines(task.params, task.latest.state)
        others = task.params.aggregator not in {ZERO_ADDRESS, caller}
        refuse_if(task.latest.state.restarted_at == self.now, "JustRefuted")
        refuse_if(others and self.now < ends.aggregator, "AggregatorFirst")
        aggregate_root, model_root = roots = self._roots_in(result)
        self._pay(wei, task.params.bond_wei)
        task.note_round(
            published_at=self.now,
            aggregate_root=aggregate_root,
            model_root=model_root,
            publisher=caller,
            bond_wei=task.params.bond_wei,
            votes=task.latest.votes[roots],
        )

    def finalise(self, _caller: str, task_id: bytes) -> None:
        self._settle_as(task_id, Phase.FINAL)

    def void_round(self, _caller: str, task_id: bytes) -> None:
        self._settle_as(task_id, Phase.VOID)

    # -------------------------------------------------------------------------------------- flags

    def flag_update(self, caller: str, task_id: bytes, number: int, index: int, wei: int) -> None:
        task = self._in_phase(task_id, number, Phase.AVAILABILITY)
        state, params = task.latest.state, task.params
        refuse_if(self.now >= rounds.deadlines(params, state).flag_update, "FlaggingOver")
        refuse_if(index >= state.revealed, "UnknownUpdate")
        update = task.latest.updates[index]
        flag = task.update_flags.get(update.participant, Flag())
        refuse_if(flag.round == number or state.is_unavailable(index), "AlreadyFlagged")
        self._pay(wei, params.flag_wei)
        if flag.flagger != ZERO_ADDRESS:
            self.credits[flag.flagger] += params.flag_wei
        task.update_flags[update.participant] = Flag(number, index, 0, caller, update.update_root)
        task.note_round(unavailable=state.unavailable | 1 << index)

    def reclaim_deposit(self, _caller: str, task_id: bytes, participant: str) -> None:
        task = self._task(task_id)
        flag = task.update_flags.get(participant, Flag())
        flagged = task.rounds.get(flag.round, Round(RoundState())).state
        early = rounds.phase(task.params, flagged, self.now) <= Phase.AVAILABILITY
        refuse_if(flag.flagger == ZERO_ADDRESS or early, "DepositNotFree")
        self.credits[flag.flagger] += task.params.flag_wei
        task.update_flags[participant] = replace(flag, flagger=ZERO_ADDRESS)

    def flag_result(
        self, caller: str, task_id: bytes, number: int, what: Published, wei: int
    ) -> None:
        task = self._in_phase(task_id, number, Phase.CHALLENGE)
        refuse_if(what is Published.TABLE, "EvidenceMismatch")
        state = task.latest.state
        late = self.now >= rounds.deadlines(task.params, state).flag_result
        refuse_if(late, "FlaggingOver")
        refuse_if(state.is_flagged(what), "AlreadyFlagged")
        self._pay(wei, task.params.flag_wei)
        root = state.aggregate_root if what is Published.AGGREGATE else state.model_root
        task.result_flags[what] = Flag(number, what, 0, caller, root)
        task.note_round(result_flags=state.result_flags | 1 << what)

    def refute_unavailable(
        self, _caller: str, task_id: bytes, number: int, what: Published
    ) -> None:
        task = self._in_phase(task_id, number, Phase.CHALLENGE)
        state = task.latest.state
        early = self.now < rounds.deadlines(task.params, state).post_result
        flag = task.result_flags.get(what, Flag())
        answered = not state.is_flagged(what) or flag.flagger == ZERO_ADDRESS
        refuse_if(early or answered, "NotUnavailable")
        award_wei = state.bond_wei // 2
        self.credits[flag.flagger] += award_wei
        self._refute(task, award_wei)

    # -------------------------------------------------------------------------------------- votes

    def vote(
        self, caller: str, task_id: bytes, number: int, result: tuple[bytes, bytes, bool]
    ) -> None:
        """As `publish` takes a result."""
        task, roots = self._voting(task_id, number, result)
        refuse_if(not self._cast(task, number, caller, roots), "AlreadyVoted")

    def relay_votes(
        self,
        _caller: str,
        task_id: bytes,
        number: int,
        result: tuple[bytes, bytes, bool],
        voters: Iterable[str | None],
    ) -> None:
        """Of those who signed this result; None is a signature of nobody's."""
        task, roots = self._voting(task_id, number, result)
        for voter in voters:
            if voter is None:
                raise Refused("BadSignature")
            self._cast(task, number, voter, roots)

    def refute_outvoted(
        self,
        _caller: str,
        task_id: bytes,
        number: int,
        aggregate_root: bytes,
        model_root: bytes,
    ) -> None:
        task = self._in_phase(task_id, number, Phase.CHALLENGE)
        refuse_if(not task.params.by_votes, "NotByVotes")
        votes, others = task.latest.state.votes, task.latest.votes[aggregate_root, model_root]
        refuse_if(others <= task.params.tolerance or others <= votes, "NotOutvoted")
        self._refute(task, award_wei=0)

    def _voting(
        self, task_id: bytes, number: int, result: tuple[bytes, bytes, bool]
    ) -> tuple[Task, tuple[bytes, bytes]]:
        task = self._undecided(task_id, number)
        refuse_if(not task.params.by_votes, "NotByVotes")
        return task, self._roots_in(result)

    def _cast(self, task: Task, number: int, voter: str, roots: tuple[bytes, bytes]) -> bool:
        """Whether the vote counts: not if it is the voter's second one in this round."""
        seat, latest = task.seats.get(voter, Seat()), task.latest
        served = seat.revealed_in(number) and latest.includes(voter)
        refuse_if(not served, "NotIncluded")
        if seat.voted_round == number:
            return False
        task.note_seat(voter, voted_round=number)
        latest.votes[roots] += 1
        task.note_round(most_votes=max(latest.votes.values()))
        if roots == (latest.state.aggregate_root, latest.state.model_root):
            task.note_round(votes=latest.votes[roots])
        return True

    # ------------------------------------------------------------------------------------ rewards

    def commit_scores(self, caller: str, task_id: bytes, number: int, full: bytes) -> None:
        task = self._scoring(task_id, number, reveals=False)
        stored = scores.stored_scores_commitment(full)
        seat = task.seats.get(caller, Seat())
        refuse_if(not seat.revealed_in(number), "NotSeated")
        refuse_if(not any(stored), "EmptyCommitment")
        task.note_seat(caller, scored_round=number, score_commitment=stored)

    def reveal_scores(
        self, caller: str, task_id: bytes, number: int, given: bytes, salt: bytes
    ) -> None:
        task = self._scoring(task_id, number, reveals=True)
        state = task.latest.state
        refuse_if(len(given) != state.revealed, "WrongLength")
        seat = task.seats.get(caller, Seat())
        full = scores.scores_commitment(
            chain_id=self.chain_id,
            contract=self.contract,
            task_id=task_id,
            round_number=number,
            participant=caller,
            scores=given,
            salt=salt,
        )
        opens = seat.score_commitment == scores.stored_scores_commitment(full)
        refuse_if(seat.scored_round != number or not opens, "ScoresMismatch")
        task.note_seat(caller, score_commitment=bytes(24))
        participants = [update.participant for update in task.latest.updates]
        task.latest.scores[participants.index(caller)] = given
        task.note_round(scores_hash=scores.scores_hash_step(state.scores_hash, caller, given))

    def distribute(self, _caller: str, task_id: bytes, number: int) -> None:
        """With the right updates and scores."""
        task = self._task(task_id)
        if number == task.state.round:
            self._settle_ended(task)
        which = task.rounds.get(number, Round(RoundState()))
        state = which.state
        final = rounds.phase(task.params, state, self.now) is Phase.FINAL
        spent = not final or state.distributed
        refuse_if(spent, "NothingToDistribute")
        participants = [update.participant for update in which.updates]
        samples = [task.seats[participant].samples for participant in participants]
        shares = scores.shares_wei(task.params, state, samples=samples, scores=which.scores)
        for index, (participant, share_wei) in enumerate(zip(participants, shares, strict=True)):
            if not state.is_unavailable(index):
                seat = task.seats[participant]
                served = min(seat.served + 1, 2**16 - 1)
                task.note_seat(participant, reward_wei=seat.reward_wei + share_wei, served=served)
        self.credits[task.state.sponsor] += task.params.reward_wei - sum(shares)
        which.state = replace(state, distributed=True)

    def claim(self, _caller: str, task_id: bytes, participant: str) -> None:
        task = self._task(task_id)
        reward_wei = task.seats.get(participant, Seat()).reward_wei
        refuse_if(reward_wei == 0, "NothingToWithdraw")
        task.note_seat(participant, reward_wei=0)
        self.credits[participant] += reward_wei

    def withdraw(self, caller: str, to: str) -> None:
        refuse_if(self.credits[caller] == 0, "NothingToWithdraw")
        refuse_if(to == ZERO_ADDRESS, "TransferFailed")
        self.paid_out_wei += self.credits.pop(caller)

    # ------------------------------------------------------------------------------------- inside

    def _task(self, task_id: bytes) -> Task:
        refuse_if(task_id not in self.tasks, "UnknownTask")
        return self.tasks[task_id]

    def _open_task(self, task_id: bytes) -> Task:
        task = self._task(task_id)
        refuse_if(task.state.closed, "TaskIsClosed")
        return task

    def _latest(self, task_id: bytes, number: int) -> tuple[Task, Round]:
        task = self._task(task_id)
        refuse_if(number != task.state.round, "WrongRound")
        return task, task.latest

    def _in_phase(self, task_id: bytes, number: int, phase: Phase) -> Task:
        task, _ = self._latest(task_id, number)
        refuse_if(task.phase(self.now) is not phase, "WrongPhase")
        return task

    def _undecided(self, task_id: bytes, number: int) -> Task:
        task, _ = self._latest(task_id, number)
        refuse_if(task.phase(self.now) not in {Phase.AGGREGATE, Phase.CHALLENGE}, "WrongPhase")
        return task

    def _scoring(self, task_id: bytes, number: int, *, reveals: bool) -> Task:
        task = self._undecided(task_id, number)
        allowed = rounds.can_reveal_scores if reveals else rounds.can_commit_scores
        refuse_if(not allowed(task.params, task.latest.state, self.now), "NotScoring")
        return task

    def _roots_in(self, result: tuple[bytes, bytes, bool]) -> tuple[bytes, bytes]:
        """Of aggregate and model."""
        aggregate_root, model_root, stale = result
        refuse_if(stale, "UpdatesMismatch")
        refuse_if(ZERO_HASH in {aggregate_root, model_root}, "EmptyRoot")
        return aggregate_root, model_root

    def _exhausted(self, task: Task) -> bool:
        return rounds.is_exhausted(task.params, task.state, self.now)

    def _pay(self, wei: int, required_wei: int) -> None:
        refuse_if(wei != required_wei, "WrongValue")
        self.paid_in_wei += wei

    def _admit(self, task: Task) -> int:
        """Counts a seat among those that will be active; from which round on."""
        state = task.state
        if state.round and state.active + state.entering > task.params.cohort:
            task.note(pending=state.pending + 1)
            return state.round + 2
        task.note(entering=state.entering + 1)
        return state.round + 1

    def _retire(self, task: Task, account: str) -> None:
        seat, state = task.seats[account], task.state
        if seat.suspended:
            return
        if seat.active_from <= state.round:
            task.note(active=state.active - 1)
        elif seat.active_from == state.round + 1:
            task.note(entering=state.entering - 1)
        else:
            task.note(pending=state.pending - 1)

    def _withheld(self, task: Task, account: str) -> bool:
        seat = task.seats.get(account, Seat())
        if not any(seat.commitment):
            return False
        committed = task.rounds[seat.committed_round].state
        return rounds.is_withheld(task.params, committed, seat, self.now)

    def _slice(self, task: Task, account: str, prover: str | None, *, withheld: bool) -> None:
        seat = task.seats[account]
        taken_wei = min(task.params.slice_wei, seat.stake_wei)
        missed = min(seat.missed + withheld, MOST)
        task.note_seat(account, committed_round=0, commitment=bytes(28), missed=missed)
        if taken_wei == 0:
            return
        self._retire(task, account)
        task.note_seat(
            account,
            stake_wei=seat.stake_wei - taken_wei,
            active_from=SUSPENDED,
            slashed=min(seat.slashed + 1, MOST),
        )
        award_wei = 0 if prover is None else taken_wei // 2
        if prover is not None:
            self.credits[prover] += award_wei
        self.burned_wei += taken_wei - award_wei

    def _bind(self, task: Task, number: int, account: str, full: bytes) -> None:
        stored = commitment.stored_commitment(full)
        refuse_if(not any(stored), "EmptyCommitment")
        seat = task.seats.get(account, Seat())
        if not seat.committed_in(number):
            active = 0 < seat.active_from <= number
            refuse_if(not active, "NotSeated")
            if task.state.draws:
                refuse_if(task.state.draw == ZERO_HASH, "SeedNotReady")
                refuse_if(not is_drawn(task.state.draw, account), "NotDrawn")
            if self._withheld(task, account):
                self._slice(task, account, None, withheld=True)
                if task.seats[account].suspended:
                    return
        task.note_seat(account, committed_round=number, commitment=stored)

    def _open(self, task_id: bytes, task: Task, number: int, opening: "Opening") -> None:
        account, latest = opening.participant, task.latest
        seat = task.seats.get(account, Seat())
        refuse_if(not seat.committed_in(number), "NotCommitted")
        refuse_if(latest.state.revealed == task.params.cohort, "RoundFull")
        refuse_if(seat.revealed_in(number), "AlreadyRevealed")
        refuse_if(opening.squared_norm > task.params.max_squared_norm, "NormTooLarge")
        update_root = root_hash(task.params.dimension, opening.squared_norm, opening.tree_top)
        full = commitment.update_commitment(
            chain_id=self.chain_id,
            contract=self.contract,
            task_id=task_id,
            round_number=number,
            base_model_root=task.state.model_root,
            participant=account,
            update_root=update_root,
            squared_norm=opening.squared_norm,
            salt=opening.salt,
        )
        refuse_if(commitment.stored_commitment(full) != seat.commitment, "CommitmentMismatch")
        task.note_seat(account, commitment=bytes(28))
        update = RevealedUpdate(account, update_root, opening.squared_norm)
        latest.updates.append(update)
        task.note_round(
            updates_hash=commitment.updates_hash_step(latest.state.updates_hash, *update)
        )

    def _refute(self, task: Task, award_wei: int) -> None:
        """Takes back what is published; what is left of its bond burns."""
        state = task.latest.state
        self.burned_wei += state.bond_wei - award_wei
        self._return_deposits(task)
        task.note_round(
            published_at=0,
            restarted_at=self.now,
            refutations=state.refutations + 1,
            result_flags=0,
            aggregate_root=ZERO_HASH,
            model_root=ZERO_HASH,
            publisher=ZERO_ADDRESS,
            bond_wei=0,
            votes=0,
        )

    def _return_deposits(self, task: Task) -> None:
        for what in Published:
            flag = task.result_flags.get(what, Flag())
            if task.latest.state.is_flagged(what) and flag.flagger != ZERO_ADDRESS:
                self.credits[flag.flagger] += task.params.flag_wei
                task.result_flags[what] = replace(flag, flagger=ZERO_ADDRESS)

    def _settle_as(self, task_id: bytes, phase: Phase) -> None:
        task = self._task(task_id)
        refuse_if(task.phase(self.now) is not phase, "WrongPhase")
        refuse_if(task.latest.state.settled, "AlreadySettled")
        self._settle_ended(task)

    def _settle_ended(self, task: Task) -> bool:
        """Settles the latest round if it is over; whether none is running."""
        phase, state, params = task.phase(self.now), task.latest.state, task.params
        if phase not in rounds.ENDED or state.settled:
            return phase in rounds.WITHOUT_RUNNING_ROUND
        if state.published_at:
            self._return_deposits(task)
            self.credits[state.publisher] += state.bond_wei
        if phase is Phase.FINAL:
            spent_wei = params.reward_wei + params.publisher_wei
            task.note(funds_wei=task.state.funds_wei - spent_wei, model_root=state.model_root)
            self.credits[state.publisher] += params.publisher_wei
        task.note_round(settled=True)
        return True


@dataclass(frozen=True)
class Opening:
    """What opens a commitment, in the order of the Solidity struct."""

    participant: str
    tree_top: bytes
    squared_norm: int
    salt: bytes


_GONE: dict[str, object] = {
    "stake_wei": 0,
    "active_from": 0,
    "committed_round": 0,
    "commitment": bytes(28),
}
