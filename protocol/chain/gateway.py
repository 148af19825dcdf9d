"""The contract as typed facts, all read at one block, none of them believed blindly.

A node's answer is held against everything it must agree with: the artifact's code, the hashes that
name tasks and revealed sets, the clock, and the mirror of the phase rules.
"""

from collections.abc import Iterator, Sequence
from typing import Any, Final

from eth_utils.address import is_address, to_checksum_address
from web3.providers import BaseProvider

from protocol import commitment, rounds, scores
from protocol.chain.abi import Function, struct
from protocol.chain.code import INTERFACE, check_code
from protocol.chain.events import Block, EventReader, Happened
from protocol.chain.reverts import revert_data, reverted
from protocol.chain.rpc import DEFAULT_TIMEOUT_SECONDS, Rpc, RpcRefused, fields, octets, quantity
from protocol.commitment import NO_EVIDENCE, Claim, Evidence, ProofKind
from protocol.errors import (
    ChainAnswerInvalid,
    ChainUnavailable,
    ConfigError,
    Reverted,
    WrongChain,
)
from protocol.recompute import RevealedUpdate, Roots
from protocol.state import (
    MAX_REFUTATIONS,
    Deadlines,
    Fault,
    Flag,
    Phase,
    Published,
    RoundState,
    Seat,
    TaskState,
)
from protocol.task import MAX_COHORT, ZERO_ADDRESS, ZERO_HASH, TaskParams

# What shows a fault of a result, where that is a proof, and the root that it is about, as it is
# named when it is published.
_OF_RESULTS: Final = {
    Fault.AGGREGATE: (ProofKind.AGGREGATE, "aggregateRoot"),
    Fault.MODEL: (ProofKind.MODEL, "modelRoot"),
    Fault.PRODUCT: (ProofKind.PRODUCT, "tableRoot"),
    Fault.CHOICE: (ProofKind.CHOICE, "tableRoot"),
}


class Chain:
    """One contract on one chain, through one node.

    Reads go through `at(block)`; `Transactor` writes.
    """

    def __init__(self, rpc: Rpc, chain_id: int, contract: str, deployed_at: int) -> None:
        self.rpc = rpc
        self.chain_id = chain_id
        self.contract = contract
        self.deployed_at = deployed_at
        self.interface = INTERFACE
        self.events = EventReader(rpc, INTERFACE, contract, deployed_at)
        self.known_params: dict[bytes, TaskParams] = {}

    @classmethod
    def connect(
        cls,
        endpoint: str | BaseProvider,
        contract: str,
        expected_chain_id: int | None = None,
        *,
        deployed_at: int = 0,
        timeout_seconds: float = DEFAULT_TIMEOUT_SECONDS,
    ) -> "Chain":
        """Checks that the node serves the expected chain and that this contract stands there.

        `deployed_at` is the block to read events from.

        Raises:
            WrongChain: it does not.
            ChainUnavailable: the node does not answer.
        """
        rpc = Rpc(endpoint, timeout_seconds=timeout_seconds)
        chain_id = quantity(rpc.request("eth_chainId"), "eth_chainId")
        if expected_chain_id is not None and chain_id != expected_chain_id:
            raise WrongChain(
                f"wanted chain {expected_chain_id}, but {rpc.name} serves {chain_id}: give the "
                "address of a node of that chain, or the deployment file of this one"
            )
        if not is_address(contract):
            raise ConfigError(f"the contract {contract!r} is not an address")
        contract = to_checksum_address(contract)
        check_code(rpc, contract)
        return cls(rpc, chain_id, contract, deployed_at)

    def head(self) -> Block:
        """The latest block."""
        return self._block("latest")

    def block(self, number: int) -> Block:
        """An earlier block."""
        found = self._block(hex(number))
        if found.number != number:
            raise ChainAnswerInvalid(f"asked for block {number}, got block {found.number}")
        return found

    def at(self, block: Block) -> "Snapshot":
        """The contract as it was after `block`."""
        return Snapshot(self, block)

    def call(
        self,
        function: str,
        *arguments: object,
        at: Block | str = "latest",
        sender: str | None = None,
        value_wei: int = 0,
    ) -> tuple[Any, ...]:
        """Runs a function without sending anything and returns what it returned.

        Raises:
            Reverted: the contract refused.
        """
        transaction = {} if sender is None else {"from": sender, "value": hex(value_wei)}
        described = self.interface.functions[function]
        return self._run(self.contract, described, arguments, transaction, at)

    def ask(
        self, contract: str, function: Function, *arguments: object, at: Block | str = "latest"
    ) -> tuple[Any, ...]:
        """What a function of another contract returns, such as a token. Raises: Reverted."""
        return self._run(contract, function, arguments, {}, at)

    def _run(
        self,
        contract: str,
        function: Function,
        arguments: Sequence[object],
        transaction: dict[str, str],
        at: Block | str,
    ) -> tuple[Any, ...]:
        calldata = "0x" + function.encode(arguments).hex()
        number = hex(at.number) if isinstance(at, Block) else at
        try:
            answer = self.rpc.request(
                "eth_call", {"to": contract, "data": calldata, **transaction}, number
            )
        except RpcRefused as refused:
            raise self.explained(function.name, refused) from refused
        return function.decode(octets(answer, function.name))

    def explained(self, call: str, refused: RpcRefused) -> Reverted | RpcRefused:
        """The contract's own error behind a node's refusal, or the refusal itself."""
        data = revert_data(refused)
        return refused if data is None else reverted(call, data, self.interface, refused.message)

    def _block(self, which: str) -> Block:
        answer = self.rpc.request("eth_getBlockByNumber", which, False)
        if answer is None:
            raise ChainUnavailable(f"{self.rpc.name} does not have block {which}")
        block = fields(answer, "block")
        return Block(
            quantity(block.get("number"), "block.number"),
            octets(block.get("hash"), "block.hash", length=32),
            quantity(block.get("timestamp"), "block.timestamp"),
        )


class Snapshot:
    """The contract's facts after one block. Each is asked for once and then remembered."""

    def __init__(self, chain: Chain, block: Block) -> None:
        self.chain = chain
        self.block = block
        self._answers: dict[tuple[object, ...], tuple[Any, ...]] = {}

    def task_params(self, task_id: bytes) -> TaskParams:
        """A task's definition, checked against its id.

        Raises:
            Reverted: UnknownTask.
        """
        known = self.chain.known_params.get(task_id)
        if known is not None:
            return known
        sponsor = self.task_state(task_id).sponsor
        if sponsor == ZERO_ADDRESS:
            raise Reverted("taskParams", "UnknownTask", {"taskId": task_id})
        params = struct(TaskParams, *self._call("taskParams", task_id))
        named = commitment.task_id(self.chain.chain_id, self.chain.contract, sponsor, params)
        if named != task_id:
            raise ChainAnswerInvalid(
                f"taskParams: the answer hashes to task {named.hex()}, not to {task_id.hex()}"
            )
        if self.task_state(task_id).by_votes != params.by_votes:
            raise ChainAnswerInvalid(
                f"taskState: the answer says by votes {not params.by_votes}, its parameters say "
                f"{params.by_votes}"
            )
        # Invariant: only what hashes to the id is remembered; no reorganisation can change it.
        self.chain.known_params[task_id] = params
        return params

    def task_state(self, task_id: bytes) -> TaskState:
        """A task's changing facts; the zero sponsor means that there is no such task."""
        state = struct(TaskState, *self._call("taskState", task_id))
        if state.active + state.entering + state.pending > state.seats:
            raise ChainAnswerInvalid(f"taskState: more seats are in rounds than taken: {state}")
        return state

    def round_state(self, task_id: bytes, round_number: int) -> RoundState:
        """A round's facts, checked against the clock and against each other."""
        state = struct(RoundState, *self._call("roundState", task_id, round_number))
        wrong = _impossible(state, self.block.timestamp)
        if wrong:
            raise ChainAnswerInvalid(f"roundState of round {round_number}: {wrong}")
        return state

    def seat(self, task_id: bytes, participant: str) -> Seat:
        """A participant's place; `active_from` zero means that there is none."""
        return struct(Seat, *self._call("seat", task_id, participant))

    def may_commit(self, task_id: bytes, participant: str) -> bool:
        """Whether a participant's seat may commit in the latest round, by contract and mirror."""
        (answered,) = self._call("mayCommit", task_id, participant)
        state, seat = self.task_state(task_id), self.seat(task_id, participant)
        if answered != rounds.may_commit(state, seat, participant):
            raise ChainAnswerInvalid(
                f"mayCommit of {participant} in round {state.round}: the node says {answered}, "
                f"its facts say {not answered}"
            )
        return bool(answered)

    def credit(self, currency: str, account: str) -> int:
        """What an account may withdraw in a currency."""
        (credit_wei,) = self._call("creditOf", currency, account)
        return int(credit_wei)

    def burned_wei(self, currency: str) -> int:
        """What refuted publishers and slashed seats lost to nobody; it lies there for ever."""
        (burned_wei,) = self._call("burnedOf", currency)
        return int(burned_wei)

    def update_flag(self, task_id: bytes, participant: str) -> Flag:
        """The latest flag on an update of a participant; `round` zero means that there was none."""
        return struct(Flag, *self._call("updateFlag", task_id, participant))

    def result_flag(self, task_id: bytes, what: Published) -> Flag:
        """The latest flag on this part of a published result; see `RoundState.is_flagged`."""
        return struct(Flag, *self._call("resultFlag", task_id, what))

    def is_sealed(self, seal: bytes) -> bool:
        """Whether a challenge was announced by this seal; one sent from now on gets the award."""
        (block_number,) = self._call("sealedAt", seal)
        return bool(block_number != 0)

    def evidence(self, task_id: bytes, round_number: int) -> Evidence:
        """The table and choice that a round's published result came with; zeros without them.

        Raises:
            ChainAnswerInvalid: they are not those whose hash the contract keeps.
        """
        state = self.round_state(task_id, round_number)
        if state.evidence_hash == ZERO_HASH:
            return NO_EVIDENCE
        # The latest publication is the one that stands: a refuted one leaves no hash.
        *_, found = (
            NO_EVIDENCE,
            *(
                Evidence(event.arguments["tableRoot"], event.arguments["choiceHash"])
                for event in self._events(task_id, "AggregatePublished", round_number)
            ),
        )
        if found.hash != state.evidence_hash:
            raise self._distrusted(
                task_id,
                f"round {round_number}: the logs show evidence with hash {found.hash.hex()}, the "
                f"contract holds {state.evidence_hash.hex()}",
            )
        return found

    def unawarded(self, task_id: bytes) -> tuple[Claim, ...]:
        """What was proven in a task and earned its sender nothing, in order.

        The award is for who had sealed it. Raises: ChainAnswerInvalid if the logs do not show what
        was proven wrong.
        """
        roots, found = dict[tuple[int, str], bytes](), list[Claim]()
        for event in self._events(task_id):
            told, number = event.arguments, event.arguments.get("round", 0)
            for update in _revealed_by(event):
                roots[number, update.participant] = update.update_root
            if event.event == "AggregatePublished":
                roots |= {(number, name): told[name] for _, name in _OF_RESULTS.values()}
            proven = _proven_by(event)
            if proven is None or told["awardWei"]:
                continue
            kind, subject = proven
            if (number, subject) not in roots:
                raise self._distrusted(
                    task_id, f"round {number}: the logs show a refuted {subject}, but not its root"
                )
            found.append(Claim(number, kind, told["chunk"], roots[number, subject]))
        return tuple(found)

    def phase(self, task_id: bytes, round_number: int) -> Phase:
        """A round's phase at this block's time, by the contract and by its mirror alike."""
        (answered,) = self._call("phase", task_id, round_number)
        state = self.round_state(task_id, round_number)
        if state.opened_at == 0:
            expected = Phase.NONE
        else:
            expected = rounds.phase(self.task_params(task_id), state, self.block.timestamp)
        if answered != expected:
            raise ChainAnswerInvalid(
                f"phase of round {round_number}: the node says {answered}, "
                f"its facts and its clock say {expected.name} ({expected})"
            )
        return expected

    def deadlines(self, task_id: bytes, round_number: int) -> Deadlines:
        """When each phase of a round ends, by the contract."""
        return struct(Deadlines, *self._call("deadlines", task_id, round_number))

    def revealed(self, task_id: bytes, round_number: int) -> tuple[RevealedUpdate, ...]:
        """A round's revealed updates in order of reveal.

        Raises:
            ChainAnswerInvalid: they are not the set whose hash the contract keeps.
        """
        state = self.round_state(task_id, round_number)
        if state.opened_at == 0:
            return ()
        found = tuple(
            update
            for event in self._events(task_id, round_number=round_number)
            for update in _revealed_by(event)
        )
        running = commitment.updates_hash(task_id, round_number, found)
        if (len(found), running) != (state.revealed, state.updates_hash):
            raise self._distrusted(
                task_id,
                f"round {round_number}: the logs show {len(found)} reveals with hash "
                f"{running.hex()}, the contract holds {state.revealed} with hash "
                f"{state.updates_hash.hex()}",
            )
        return found

    def included(self, task_id: bytes, round_number: int) -> tuple[RevealedUpdate, ...]:
        """The revealed updates that enter a round's result, in order of reveal.

        Until Availability is over, a flag or a post can still change them. Raises: as `revealed`.
        """
        revealed = self._with_reasons(task_id, round_number)
        return rounds.included(self.round_state(task_id, round_number), revealed)

    def excluded(self, task_id: bytes, round_number: int) -> tuple[RevealedUpdate, ...]:
        """The other revealed updates, in order of reveal. Raises: as `revealed`."""
        revealed = self._with_reasons(task_id, round_number)
        return rounds.excluded(self.round_state(task_id, round_number), revealed)

    def _with_reasons(self, task_id: bytes, round_number: int) -> tuple[RevealedUpdate, ...]:
        """The revealed updates, once each unavailable one has been seen flagged or refuted."""
        revealed = self.revealed(task_id, round_number)
        flagged, refuted = (
            {each.arguments["participant"] for each in self._events(task_id, event, round_number)}
            for event in ("UpdateFlagged", "NormRefuted")
        )
        state = self.round_state(task_id, round_number)
        for index, update in enumerate(revealed):
            who, unavailable = update.participant, state.is_unavailable(index)
            if (unavailable and who not in flagged | refuted) or (
                who in refuted and not unavailable
            ):
                raise self._distrusted(
                    task_id,
                    f"round {round_number}: the contract holds the update of {who} as "
                    f"{'un' * unavailable}available, the logs do not",
                )
        return revealed

    def committed(self, task_id: bytes, round_number: int) -> tuple[str, ...]:
        """Who committed in a round, in order of the first commitment."""
        return tuple(
            dict.fromkeys(
                participant
                for event in self._events(task_id, round_number=round_number)
                for participant in _committed_by(event)
            )
        )

    def scores(self, task_id: bytes, round_number: int) -> dict[int, bytes]:
        """The scores revealed in a round, in their order, by the number of who gave them.

        A participant's number is that of its update. Raises: ChainAnswerInvalid if they are not
        those whose hash the contract keeps.
        """
        revealed = self.revealed(task_id, round_number)
        numbers = {update.participant: number for number, update in enumerate(revealed)}
        running, found = ZERO_HASH, dict[int, bytes]()
        for event in self._events(task_id, "ScoresRevealed", round_number):
            participant, given = event.arguments["participant"], event.arguments["scores"]
            running = scores.scores_hash_step(running, participant, given)
            if participant in numbers and len(given) == len(revealed):
                found[numbers[participant]] = given
        state = self.round_state(task_id, round_number)
        if (len(found), running) != (state.scored, state.scores_hash):
            raise self._distrusted(
                task_id,
                f"round {round_number}: the logs show scores of {len(found)} with hash "
                f"{running.hex()}, the contract holds those of {state.scored} with hash "
                f"{state.scores_hash.hex()}",
            )
        return found

    def shares_wei(self, task_id: bytes, round_number: int) -> tuple[int, ...]:
        """What a round's reward gave to each revealed update; nothing until it is distributed."""
        if not self.round_state(task_id, round_number).distributed:
            return ()
        for event in self._events(task_id, "RewardsDistributed", round_number):
            return tuple(event.arguments["sharesWei"])
        raise self._distrusted(
            task_id, f"round {round_number}: the contract distributed its reward, the logs did not"
        )

    def votes_for(self, task_id: bytes, round_number: int, roots: Roots) -> int:
        """How many voted for a result."""
        (votes,) = self._call("votesFor", task_id, round_number, *roots)
        return int(votes)

    def votes(self, task_id: bytes, round_number: int) -> dict[Roots, tuple[str, ...]]:
        """Who voted for which result in a round, in order of the votes.

        Raises: ChainAnswerInvalid if they are not as many as the contract counted.
        """
        found = dict[Roots, tuple[str, ...]]()
        for event in self._events(task_id, "Voted", round_number):
            told = event.arguments
            roots = Roots(told["aggregateRoot"], told["modelRoot"])
            found[roots] = (*found.get(roots, ()), told["participant"])
        state = self.round_state(task_id, round_number)
        published = Roots(state.aggregate_root, state.model_root)
        counted = {roots: self.votes_for(task_id, round_number, roots) for roots in found}
        counted |= {published: state.votes} if state.published_at else {}
        for roots, votes in counted.items():
            if len(found.get(roots, ())) != votes:
                raise self._distrusted(
                    task_id,
                    f"round {round_number}: the logs show {len(found.get(roots, ()))} votes for "
                    f"the model {roots.model_root.hex()}, the contract counted {votes}",
                )
        most = max(counted.values(), default=0)
        if most != state.most_votes:
            raise self._distrusted(
                task_id,
                f"round {round_number}: no result has more than {most} votes in the logs, the "
                f"contract counted {state.most_votes}",
            )
        return found

    def undistributed(self, task_id: bytes) -> Iterator[int]:
        """The final rounds whose reward waits to be divided, earliest first."""
        params, now = self.task_params(task_id), self.block.timestamp
        if not params.reward_wei:
            return
        # The logs say which rounds need not be asked for.
        over = {
            event.arguments["round"]
            for event in self._events(task_id)
            if event.event in {"RewardsDistributed", "RoundVoided"}
        }
        for number in range(1, self.task_state(task_id).round + 1):
            if number not in over and rounds.can_distribute(
                params, self.round_state(task_id, number), now
            ):
                yield number

    def withheld(self, task_id: bytes) -> Iterator[str]:
        """Who has a slice to lose for a commitment that was not opened in time."""
        params, now = self.task_params(task_id), self.block.timestamp
        if not params.slice_wei:
            return
        # The logs say whose seat need not be asked for.
        unopened: dict[str, int] = {}
        for event in self._events(task_id):
            unopened |= dict.fromkeys(_committed_by(event), event.arguments.get("round", 0))
            for participant in _released_by(event):
                unopened.pop(participant, None)
        for participant, number in unopened.items():
            committed = self.round_state(task_id, number)
            if rounds.can_slash_withheld(params, committed, now):
                seat = self.seat(task_id, participant)
                if seat.committed_in(number) and any(seat.commitment):
                    yield participant

    def free_deposits(self, task_id: bytes, flagger: str) -> tuple[str, ...]:
        """The participants on whose updates deposits of this account lie that go back to it."""
        params, now = self.task_params(task_id), self.block.timestamp
        flagged = {
            str(event.arguments["participant"])
            for event in self._events(task_id, "UpdateFlagged")
            if event.arguments["flagger"] == flagger
        }
        return tuple(
            participant
            for participant in sorted(flagged)
            if (flag := self.update_flag(task_id, participant)).flagger == flagger
            and rounds.can_reclaim(params, self.round_state(task_id, flag.round), flag, now)
        )

    def seated(self, task_id: bytes) -> tuple[str, ...]:
        """Who has a seat, suspended or not, in order of joining."""
        seats: dict[str, None] = {}
        for event in self._events(task_id):
            if event.event == "SeatTaken":
                seats[event.arguments["participant"]] = None
            elif event.event in {"SeatLeft", "NormRefuted"}:
                seats.pop(event.arguments["participant"], None)
        taken = self.task_state(task_id).seats
        if len(seats) != taken:
            raise self._distrusted(
                task_id, f"the logs show {len(seats)} seats, the contract holds {taken}"
            )
        return tuple(seats)

    def base_model_root(self, task_id: bytes, round_number: int) -> bytes:
        """The model that a round starts from: the last final one before it."""
        final = self.last_final_round(task_id, round_number)
        if final == 0:
            return self.task_params(task_id).genesis_model_root
        return self.round_state(task_id, final).model_root

    def last_final_round(self, task_id: bytes, before: int) -> int:
        """The last final round before one; 0 if there is none."""
        params = self.task_params(task_id)
        for earlier in range(before - 1, 0, -1):
            state = self.round_state(task_id, earlier)
            if rounds.phase(params, state, self.block.timestamp) is Phase.FINAL:
                return earlier
        return 0

    def tasks(self) -> tuple[bytes, ...]:
        """The tasks that were created, in order."""
        topics = (self.chain.interface.topics["TaskCreated"],)
        events = self.chain.events.until(self.block, topics)
        return tuple(event.arguments["taskId"] for event in events)

    def _call(self, function: str, *arguments: object) -> tuple[Any, ...]:
        key = (function, *arguments)
        if key not in self._answers:
            self._answers[key] = self.chain.call(function, *arguments, at=self.block)
        return self._answers[key]

    def _events(
        self, task_id: bytes, event: str | None = None, round_number: int | None = None
    ) -> Iterator[Happened]:
        for happened in self.chain.events.until(self.block, (None, task_id)):
            if event in {None, happened.event} and (
                round_number is None or happened.arguments.get("round") == round_number
            ):
                yield happened

    def _distrusted(self, task_id: bytes, message: str) -> ChainAnswerInvalid:
        # What was read wrongly once must not stay wrong until the process ends.
        self.chain.events.forget((None, task_id))
        return ChainAnswerInvalid(message)


def _committed_by(event: Happened) -> tuple[str, ...]:
    """Whose commitments an event tells of."""
    if event.event == "UpdateCommitted":
        return (event.arguments["participant"],)
    if event.event == "UpdatesCommitted":
        return tuple(event.arguments["participants"])
    return ()


def _revealed_by(event: Happened) -> Iterator[RevealedUpdate]:
    """The updates whose reveal an event tells of."""
    found = event.arguments
    if event.event == "UpdateRevealed":
        yield RevealedUpdate(found["participant"], found["updateRoot"], found["squaredNorm"])
    elif event.event == "UpdatesRevealed":
        yield from map(RevealedUpdate._make, found["updates"])


def _released_by(event: Happened) -> tuple[str, ...]:
    """Who has no unopened commitment after an event."""
    if event.event in {"SeatSuspended", "SeatLeft", "NormRefuted"}:
        return (event.arguments["participant"],)
    return tuple(update.participant for update in _revealed_by(event))


def _proven_by(event: Happened) -> tuple[ProofKind, str] | None:
    """What a proof that an event tells of was about: which root of a result, or whose update's."""
    if event.event == "NormRefuted":
        return ProofKind.NORM, event.arguments["participant"]
    return _OF_RESULTS.get(event.arguments["fault"]) if event.event == "ResultRefuted" else None


def _impossible(state: RoundState, now: int) -> str | None:
    """What cannot be true of a round at time `now`, if anything."""
    published, most_votes = state.published_at != 0, state.most_votes
    for impossible, what in (
        (state.opened_at == 0 and state != RoundState(), "not opened, but not empty"),
        (state.opened_at > now, f"opened at {state.opened_at}, after the block's time {now}"),
        (state.published_at > now, f"published at {state.published_at}, after {now}"),
        (published and state.published_at < state.opened_at, "published before it opened"),
        (state.restarted_at > now, f"refuted at {state.restarted_at}, after {now}"),
        (0 < state.restarted_at < state.opened_at, "refuted before it opened"),
        (published and state.published_at <= state.restarted_at, "published before it was refuted"),
        (published != (state.publisher != ZERO_ADDRESS), "published without a publisher"),
        (published != any(state.model_root), "published without a model"),
        (any(state.evidence_hash) and not published, "evidence of nothing published"),
        (state.revealed > MAX_COHORT, f"{state.revealed} reveals of at most {MAX_COHORT}"),
        (state.opened_at != 0 and not any(state.updates_hash), "opened without an updates hash"),
        (state.revealed > state.active, "more updates revealed than active seats"),
        (state.unavailable >> state.revealed, "more updates unavailable than revealed"),
        (state.scored > state.revealed, f"{state.scored} gave scores of {state.revealed} revealed"),
        (state.distributed and not state.settled, "a reward without a settled round"),
        (state.refutations > MAX_REFUTATIONS, f"{state.refutations} refutations"),
        ((state.refutations == 0) != (state.restarted_at == 0), "refuted, but never or at no time"),
        (state.result_flags >> len(Published), "flags on what no result has"),
        (state.result_flags and not published, "a flag on nothing published"),
        (most_votes > state.included, f"{most_votes} votes of {state.included} included"),
        (state.votes and not published, "votes for nothing published"),
        (state.votes > most_votes, f"{state.votes} votes, while no result has over {most_votes}"),
    ):
        if impossible:
            return what
    return None
