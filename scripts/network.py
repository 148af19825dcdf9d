"""A whole network in one process: sponsor, aggregator and participants on an embedded chain.

Everybody is ticked in turn. When nobody has anything to do, time is moved to the next deadline, so
a task of many rounds waits for nothing but training.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import structlog
from eth_account.signers.local import LocalAccount
from numpy.typing import NDArray

from node.commitments import Trainer
from node.learning.update import FULL, Precision
from node.memory import MemoryFile
from node.tick import Participant, Stores
from orchestrator.journal import Journal
from orchestrator.tick import Orchestrator
from protocol import rounds as round_rules
from protocol.blobs import DirectoryStore, FirstOf
from protocol.chain.deployment import deploy
from protocol.chain.embedded import EmbeddedChain
from protocol.chain.gateway import Snapshot
from protocol.chain.outbox import IN_MEMORY, Outbox
from protocol.chain.rpc import fields, quantity
from protocol.chain.transactor import Transactor
from protocol.commitment import task_id
from protocol.encoding import encode_model
from protocol.errors import VolquorumError
from protocol.service import Outcome
from protocol.state import Phase, RoundState
from scripts.task_config import TaskConfig

log = structlog.get_logger("network")

ROLES = 2
"""Accounts before the participants': the sponsor's and the aggregator's."""


@dataclass(frozen=True)
class RoundRecord:
    """A round that ended."""

    number: int
    phase: str
    updates: int
    model_root: str
    gas: int
    """Of all transactions since the round before ended."""


@dataclass(frozen=True)
class Service:
    """What a participant did for the task, and got for it."""

    served: int
    """Rounds that paid it a reward."""
    missed: int
    """Commitments that it did not open."""
    reward_wei: int


@dataclass(frozen=True)
class Summary:
    """What was left when everybody had gone."""

    verified_by: int
    """Participants that recomputed every final model."""
    services: tuple[Service, ...]
    """One for each participant."""
    left_wei: int
    """Money in the contract after everybody withdrew, the burned part included."""
    burned_wei: int
    """What refuted publishers and slashed seats lost to nobody; nobody can withdraw it."""


class EmbeddedNetwork:
    """One task with its roles, all in this process."""

    def __init__(
        self,
        config: TaskConfig,
        trainers: Sequence[Trainer],
        *,
        folder: Path,
        seed: str = "demo",
        precision: Precision = FULL,
    ) -> None:
        self.embedded = EmbeddedChain(seed, accounts=ROLES + len(trainers))
        self.sponsor, aggregator, *accounts = self.embedded.accounts
        deployment = deploy(
            self.embedded.provider, self.sponsor, seed_source=config.source_to_deploy
        )
        self.chain = deployment.connect(self.embedded.provider)
        self.params = config.params(
            self.embedded.now(), salt=bytes(32), seed_source=deployment.seed_source
        )
        self.task_id = task_id(
            self.chain.chain_id, self.chain.contract, self.sponsor.address, self.params
        )
        self._transactors = {
            account.address: Transactor(self.chain, account, Outbox(IN_MEMORY))
            for account in self.embedded.accounts
        }
        self.blobs = DirectoryStore(folder / "orchestrator")
        genesis = config.genesis()
        self.blobs.put(encode_model(genesis, config.shift), chunk_length=config.chunk_length)
        self._send(
            self.sponsor,
            "createTask",
            (self.params.abi_tuple(),),
            self.params.budget_wei,
        )
        self.stores = [
            DirectoryStore(folder / f"desk-{number}" / "blobs") for number in range(len(accounts))
        ]
        self.orchestrator = Orchestrator(
            self.chain,
            own=self.blobs,
            remotes=self.stores,
            transactor=self._transactors[aggregator.address],
            task_ids=[self.task_id],
            journal=Journal(folder / "metrics.jsonl"),
        )
        self.participants = [
            self._participant(account, trainer, folder / f"desk-{number}", number, precision)
            for number, (account, trainer) in enumerate(zip(accounts, trainers, strict=True))
        ]
        self.ticks: list[Callable[[], Outcome]] = [
            self.orchestrator.tick,
            *(participant.tick for participant in self.participants),
        ]
        """Who acts, in turn; take one out and it is as if it had died."""
        self._awaited: list[int] = []
        self.failures: list[VolquorumError] = []
        """What ticks raised; a service would log it and try again."""

    def rounds(self) -> Iterator[RoundRecord]:
        """Runs the task to its end and yields each round when it has ended."""
        for participant in self.participants:
            participant.tick()  # takes its seat, so that nobody misses the first round
        reported, block = 0, self.chain.head().number
        while reported < self.params.rounds:
            self.step()
            state = self.round_state(reported + 1)
            now = self.embedded.now()
            phase = round_rules.phase(self.params, state, now)
            if phase in round_rules.ENDED:
                reported += 1
                head = self.chain.head().number
                root = "0x" + state.model_root.hex() if phase is Phase.FINAL else ""
                gas = self._gas(block + 1, head)
                yield RoundRecord(reported, phase.name.lower(), state.revealed, root, gas)
                block = head

    def model(self) -> NDArray[np.int32]:
        """The latest final model. Shape: [d]"""
        snapshot = self._look()
        number = snapshot.task_state(self.task_id).round
        root = snapshot.task_state(self.task_id).model_root
        # A final round that nobody has settled yet has the newer model.
        state = self.round_state(number)
        if state.published_at and not state.settled:
            phase = round_rules.phase(self.params, state, snapshot.block.timestamp)
            root = state.model_root if phase is Phase.FINAL else root
        blob = self.blobs.get(root, chunk_length=self.params.chunk_length, shift=self.params.shift)
        return blob.values.astype(np.int32)

    def wind_up(self) -> Summary:
        """Close the task; everybody leaves and withdraws."""
        while self._tick_all():
            pass  # the last reward is distributed by this, too
        services = tuple(map(self._service, self.participants))
        verified = sum(
            participant.memory.mismatch is None
            and not participant.memory.unverified_rounds
            and participant.memory.verified_round == self.params.rounds
            for participant in self.participants
        )
        self._send(self.sponsor, "closeTask", (self.task_id,))
        for participant in self.participants:
            self._send(participant.account, "leave", (self.task_id,))
        currency = self.params.currency
        for account in self.embedded.accounts:
            if self._look().credit(currency, account.address):
                self._send(account, "withdraw", (currency, account.address))
        return Summary(verified, services, self._balance(), self._look().burned_wei(currency))

    def _participant(
        self,
        account: LocalAccount,
        trainer: Trainer,
        folder: Path,
        number: int,
        precision: Precision,
    ) -> Participant:
        return Participant(
            chain=self.chain,
            transactor=self._transactors[account.address],
            account=account,
            task_id=self.task_id,
            trainer=trainer,
            stores=Stores(
                private=DirectoryStore(folder / "private"),
                public=self.stores[number],
                peers=FirstOf([self.blobs, *self.stores]),
            ),
            memory_file=MemoryFile(folder / "memory.npz"),
            precision=precision,
        )

    def step(self) -> None:
        """Tick everybody; if nobody had anything to do, move the clock to when somebody may.

        Raises: AssertionError if time would change nothing either.
        """
        if self._tick_all():
            return
        snapshot = self._look()
        now = snapshot.block.timestamp
        state = self.round_state(snapshot.task_state(self.task_id).round)
        deadline = round_rules.next_deadline(self.params, state, now)
        times = [*self._awaited, *(() if deadline is None else (deadline,))]
        if all(until <= now for until in times):
            raise AssertionError(f"nobody acts and no deadline comes; failures: {self.failures}")
        self.embedded.travel(min(until for until in times if until > now))

    def _tick_all(self) -> bool:
        """Whether anybody acted."""
        acted = False
        self._awaited = []
        for tick in self.ticks:
            try:
                outcome = tick()
                acted |= outcome.acted is not None
                if outcome.wait_until is not None:
                    self._awaited.append(outcome.wait_until)
            except VolquorumError as error:
                log.warning("tick_failed", error=type(error).__name__, why=str(error))
                self.failures.append(error)
        return acted

    def round_state(self, number: int) -> RoundState:
        """A round's facts now."""
        return self._look().round_state(self.task_id, number)

    def _look(self) -> Snapshot:
        return self.chain.at(self.chain.head())

    def _service(self, participant: Participant) -> Service:
        seat = self._look().seat(self.task_id, participant.account.address)
        return Service(seat.served, seat.missed, seat.reward_wei)

    def _send(
        self, account: LocalAccount, function: str, args: tuple[object, ...], wei: int = 0
    ) -> None:
        purpose = f"{self.task_id.hex()}:{function}"
        self._transactors[account.address].send(function, args, value_wei=wei, purpose=purpose)

    def _gas(self, first: int, last: int) -> int:
        blocks = (
            fields(self.chain.rpc.request("eth_getBlockByNumber", hex(number), False), "block")
            for number in range(first, last + 1)
        )
        return sum(quantity(block.get("gasUsed"), "block.gasUsed") for block in blocks)

    def _balance(self) -> int:
        answer = self.chain.rpc.request("eth_getBalance", self.chain.contract, "latest")
        return quantity(answer, "eth_getBalance", bits=256)
