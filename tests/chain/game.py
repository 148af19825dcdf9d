"""A task played move by move, so that a test says only what it is about."""

from dataclasses import replace

import numpy as np

from protocol import commitment
from protocol.chain.gateway import Snapshot
from protocol.chain.sender import Receipt
from protocol.challenge import encode_opening
from protocol.sumtree import SumTree
from protocol.task import Deadlines, Rule, TaskParams
from tests.chain.network import Network

DIMENSION = 40
SPONSOR = 0
DESKS = (1, 2, 3)
STRANGER = 4
AGGREGATE_ROOT = b"\x03" * 32
MODEL_ROOT = b"\x04" * 32


def parameters(now: int, **changes: object) -> TaskParams:
    """A small task with phases of a minute, in which a test's own transactions fit."""
    params = TaskParams.default(
        model_spec_hash=b"\x01" * 32,
        genesis_model_root=b"\x02" * 32,
        dimension=DIMENSION,
        closes_at=now + 10**6,
    )
    seconds = {
        "selection_seconds": 60,
        "commit_seconds": 60,
        "reveal_seconds": 60,
        "availability_seconds": 60,
        "aggregator_seconds": 30,
        "aggregate_seconds": 60,
        "challenge_seconds": 60,
    }
    settings = {"rule": Rule.MEAN, "tolerance": 0, "quorum": 2, "cohort": 4, "rounds": 3}
    return replace(params, **(seconds | settings | changes))  # type: ignore[arg-type] # by name


class Game:
    """One task, its sponsor and three desks; the desk numbers are account numbers."""

    def __init__(self, network: Network, **changes: object) -> None:
        self.network = network
        self.chain = network.connect()
        self.now = self.chain.head().timestamp
        self.params = parameters(self.now, **changes)
        self.transactors = [
            network.transactor(number, chain=self.chain) for number in range(len(network.accounts))
        ]
        self.task_id = commitment.task_id(
            self.chain.chain_id, self.chain.contract, self.address(SPONSOR), self.params
        )
        self._sent = 0

    def address(self, account: int) -> str:
        return str(self.network.accounts[account].address)

    def send(self, account: int, function: str, *args: object, value_wei: int = 0) -> Receipt:
        """Sends with a purpose of its own."""
        self._sent += 1
        return self.transactors[account].send(
            function, args, value_wei=value_wei, purpose=f"test:{self._sent}"
        )

    def look(self) -> Snapshot:
        return self.chain.at(self.chain.head())

    @property
    def round(self) -> int:
        return self.look().task_state(self.task_id).round

    def deadlines(self) -> Deadlines:
        look = self.look()
        return look.deadlines(self.task_id, look.task_state(self.task_id).round)

    def travel(self, to_timestamp: int) -> None:
        self.network.travel(to_timestamp)

    def create(self) -> Receipt:
        value_wei = self.params.rounds * self.params.reward_wei
        return self.send(SPONSOR, "createTask", self.params.abi_tuple(), value_wei=value_wei)

    def join(self, *accounts: int) -> None:
        for account in accounts:
            self.send(account, "join", self.task_id, value_wei=self.params.stake_wei)

    def open(self) -> Receipt:
        return self.send(STRANGER, "openRound", self.task_id)

    def begin(self) -> None:
        """A task with three desks and an open round."""
        self.create()
        self.join(*DESKS)
        self.open()

    def tree(self, account: int) -> SumTree:
        """An update that only this desk has."""
        values = np.full(DIMENSION, account, dtype=np.int16)
        return SumTree.of(values, self.params.chunk_length)

    def salt(self, account: int) -> bytes:
        return bytes([account]) * 32

    def commitment(self, account: int, tree: SumTree | None = None) -> bytes:
        tree = tree or self.tree(account)
        return commitment.update_commitment(
            chain_id=self.chain.chain_id,
            contract=self.chain.contract,
            task_id=self.task_id,
            round_number=self.round,
            base_model_root=self.look().base_model_root(self.task_id, self.round),
            participant=self.address(account),
            update_root=tree.root,
            squared_norm=tree.squared_norm,
            salt=self.salt(account),
        )

    def commit(self, *accounts: int, tree: SumTree | None = None) -> None:
        for account in accounts:
            promised = self.commitment(account, tree)
            self.send(account, "commitUpdate", self.task_id, self.round, promised)

    def reveal(self, *accounts: int, tree: SumTree | None = None) -> None:
        for account in accounts:
            shown = tree or self.tree(account)
            norm, salt = shown.squared_norm, self.salt(account)
            self.send(account, "revealUpdate", self.task_id, self.round, shown.top, norm, salt)

    def publish(
        self,
        account: int,
        updates_hash: bytes | None = None,
        aggregate_root: bytes = AGGREGATE_ROOT,
    ) -> Receipt:
        found = self.look().round_state(self.task_id, self.round).updates_hash
        roots = (aggregate_root, MODEL_ROOT, updates_hash or found)
        bond_wei = self.params.bond_wei
        return self.send(account, "publish", self.task_id, self.round, *roots, value_wei=bond_wei)

    def lie(self, account: int) -> Receipt:
        """Publishes the mean of any desks' updates, less what makes it zero."""
        return self.publish(account, aggregate_root=self.tree(0).root)

    def openings(self, published: SumTree | None = None) -> tuple[list[object], bytes]:
        """What a challenge of the only chunk carries: the revealed updates and all openings."""
        revealed = self.look().revealed(self.task_id, self.round)
        desks = {self.address(desk): desk for desk in DESKS}
        trees = [self.tree(desks[update.participant]) for update in revealed]
        trees.append(published or self.tree(0))
        openings = b"".join(encode_opening(tree.opening(0)) for tree in trees)
        return [tuple(update) for update in revealed], openings

    def refute(self, account: int) -> Receipt:
        """Proves a `lie` to be one."""
        updates, openings = self.openings()
        return self.challenge(account, updates, 0, openings)

    def challenge(self, account: int, *claim: object) -> Receipt:
        return self.send(account, "challengeAggregate", self.task_id, self.round, *claim)

    def play_until_published(self, aggregate_root: bytes = AGGREGATE_ROOT) -> None:
        """Selection to publication of the open round, by everybody and without delay."""
        ends = self.deadlines()
        self.travel(ends.selection)
        self.commit(*DESKS)
        self.travel(ends.commit)
        self.reveal(*DESKS)
        self.travel(ends.availability)
        self.publish(STRANGER, aggregate_root=aggregate_root)
