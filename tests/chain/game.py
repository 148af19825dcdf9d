"""A task played move by move, so that a test says only what it is about."""

from dataclasses import replace

import numpy as np

from protocol import commitment, rounds, scores
from protocol.blobs import Backend
from protocol.chain.gateway import Snapshot
from protocol.chain.sender import Receipt
from protocol.chain.token import value_to_send
from protocol.challenge import Case, Challenge
from protocol.commitment import NO_EVIDENCE, Evidence
from protocol.draw import draw_of, is_drawn
from protocol.encoding import encode_model, encode_update
from protocol.gram import Table
from protocol.numbers import Int16Array, Int32Array
from protocol.posting import Part, parts
from protocol.proofs import encode_opening, encode_place
from protocol.recompute import Combined, Result, combine
from protocol.signing import SignedCommit, SigningDomain
from protocol.state import Deadlines, Published, RoundState
from protocol.sumtree import SumTree
from protocol.task import Rule, TaskParams
from tests.chain.network import Network

DIMENSION = 40
SPONSOR = 0
DESKS = (1, 2, 3)
STRANGER = 4
AGGREGATE_ROOT = b"\x03" * 32
MODEL_ROOT = b"\x04" * 32
# What a desk declares when it joins.
SAMPLES = 100
# Every coordinate of the first model.
GENESIS = 7


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
    changed = seconds | settings | changes
    everybody = {"seats": changed["cohort"], "drawn": changed["cohort"]}
    return replace(params, **(everybody | changed))  # type: ignore[arg-type] # by name


class MemoryStore(Backend):
    """Blobs in a dictionary."""

    name = "memory"

    def __init__(self) -> None:
        self.blobs: dict[bytes, bytes] = {}

    def has(self, root: bytes) -> bool:
        return root in self.blobs

    def _read(self, root: bytes) -> bytes | None:
        return self.blobs.get(root)

    def _write(self, root: bytes, content: bytes) -> None:
        self.blobs[root] = content


class Game:
    """One task, its sponsor and its desks; the desk numbers are account numbers."""

    def __init__(
        self,
        network: Network,
        *,
        genesis: int = GENESIS,
        desks: tuple[int, ...] = DESKS,
        **changes: object,
    ) -> None:
        self.network = network
        self.desks = desks
        self.chain = network.connect()
        self.now = self.chain.head().timestamp
        self.params = parameters(self.now, **changes)
        self.genesis = np.full(self.params.dimension, genesis, dtype=np.int32)
        root = SumTree.of(self.genesis, self.params.chunk_length).root
        self.params = replace(self.params, genesis_model_root=root)
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

    def pay(self, account: int, function: str, *args: object, amount_wei: int) -> Receipt:
        """Sends with this amount of the task's currency."""
        value_wei = value_to_send(self.transactors[account], self.params.currency, amount_wei)
        return self.send(account, function, *args, value_wei=value_wei)

    def credit(self, account: int) -> int:
        return self.look().credit(self.params.currency, self.address(account))

    def burned_wei(self) -> int:
        return self.look().burned_wei(self.params.currency)

    def withdraw(self, account: int) -> Receipt:
        return self.send(account, "withdraw", self.params.currency, self.address(account))

    def look(self) -> Snapshot:
        return self.chain.at(self.chain.head())

    @property
    def round(self) -> int:
        return self.look().task_state(self.task_id).round

    def opened_block(self) -> int:
        """The block that opened the latest round."""
        (*_, opened) = (
            event.block_number
            for event in self.chain.events.until(self.chain.head(), (None, self.task_id))
            if event.event == "RoundOpened"
        )
        return opened

    def may_commit(self, account: int) -> bool:
        return self.look().may_commit(self.task_id, self.address(account))

    def deadlines(self) -> Deadlines:
        look = self.look()
        return look.deadlines(self.task_id, look.task_state(self.task_id).round)

    def travel(self, to_timestamp: int) -> None:
        self.network.travel(to_timestamp)

    def create(self) -> Receipt:
        amount_wei = self.params.budget_wei
        return self.pay(SPONSOR, "createTask", self.params.abi_tuple(), amount_wei=amount_wei)

    def join(self, *accounts: int, samples: int = SAMPLES) -> None:
        for account in accounts:
            stake_wei = self.params.stake_wei
            self.pay(account, "join", self.task_id, samples, amount_wei=stake_wei)

    def restore(self, account: int) -> Receipt:
        left_wei = self.look().seat(self.task_id, self.address(account)).stake_wei
        missing_wei = self.params.stake_wei - left_wei
        return self.pay(account, "restore", self.task_id, amount_wei=missing_wei)

    def leave(self, account: int) -> Receipt:
        return self.send(account, "leave", self.task_id)

    def slash(self, account: int, desk: int) -> Receipt:
        """Takes the slice of a desk that did not open its commitment."""
        return self.send(account, "slashWithheld", self.task_id, self.address(desk))

    def open(self) -> Receipt:
        return self.send(STRANGER, "openRound", self.task_id)

    def begin(self) -> None:
        """A task with all its desks and an open round."""
        self.create()
        self.join(*self.desks)
        self.open()

    def values(self, account: int) -> Int16Array:
        """An update that only this desk has; the second is the mean of all three. Shape: [d]"""
        return (account * (np.arange(self.params.dimension) % 5 - 1)).astype(np.int16)

    def tree(self, account: int) -> SumTree:
        return SumTree.of(self.values(account), self.params.chunk_length)

    def desk_of(self, address: str) -> int:
        return [account.address for account in self.network.accounts].index(address)

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

    def seed_that_draws(self, counts: range) -> bytes:
        """The first seed that chooses so many of the desks, who are all active, in round one."""
        for number in range(1, 1_000):
            seed = number.to_bytes(32, "big")
            size = {"drawn": self.params.drawn, "active": len(self.desks)}
            draw = draw_of(seed, self.task_id, 1, **size)
            if sum(is_drawn(draw, self.address(desk)) for desk in self.desks) in counts:
                return seed
        raise AssertionError(f"no seed chooses {counts} of the desks")

    def signed(self, account: int, promised: bytes | None = None) -> SignedCommit:
        """A desk's signature under its commitment, or under another one."""
        where = (self.chain.chain_id, self.chain.contract, self.task_id, self.round)
        promised = promised or self.commitment(account)
        return SigningDomain(*where).sign(self.network.accounts[account], promised)

    def commit_together(self, sender: int, *accounts: int) -> Receipt:
        """Sends the desks' signed commitments in one transaction."""
        commits = [self.signed(account) for account in accounts]
        return self.send(sender, "commitUpdates", self.task_id, self.round, commits)

    def reveal_together(self, sender: int, *accounts: int) -> Receipt:
        """Opens the desks' commitments in one transaction."""
        openings = []
        for account in accounts:
            tree = self.tree(account)
            opened = (tree.top, tree.squared_norm, self.salt(account))
            openings.append((self.address(account), *opened))
        return self.send(sender, "revealUpdates", self.task_id, self.round, openings)

    def commit_scores(self, account: int, given: bytes) -> Receipt:
        promised = scores.scores_commitment(
            chain_id=self.chain.chain_id,
            contract=self.chain.contract,
            task_id=self.task_id,
            round_number=self.round,
            participant=self.address(account),
            scores=given,
            salt=self.salt(account),
        )
        return self.send(account, "commitScores", self.task_id, self.round, promised)

    def reveal_scores(self, account: int, given: bytes) -> Receipt:
        args = (self.task_id, self.round, given, self.salt(account))
        return self.send(account, "revealScores", *args)

    def distribute(self, account: int, number: int | None = None) -> Receipt:
        """Divides a round's reward, of the latest one unless another is named."""
        number = number or self.round
        look = self.look()
        updates = [tuple(each) for each in look.revealed(self.task_id, number)]
        given = scores.given_scores(look.scores(self.task_id, number))
        return self.send(account, "distribute", self.task_id, number, updates, given)

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
        model_root: bytes = MODEL_ROOT,
        evidence: Evidence = NO_EVIDENCE,
    ) -> Receipt:
        state = self.state()
        now = self.look().block.timestamp
        if state.restarted_at == now:
            self.travel(now + 1)  # in the second of a refutation nobody may
        computed_from = (updates_hash or state.updates_hash, state.unavailable)
        result = Result(aggregate_root, model_root, *computed_from, *evidence)
        args = (self.task_id, self.round, result)
        return self.pay(account, "publish", *args, amount_wei=self.params.bond_wei)

    def vote(
        self,
        account: int,
        aggregate_root: bytes = AGGREGATE_ROOT,
        model_root: bytes = MODEL_ROOT,
        unavailable: int | None = None,
    ) -> Receipt:
        state = self.state()
        excluded = state.unavailable if unavailable is None else unavailable
        result = Result(aggregate_root, model_root, state.updates_hash, excluded)
        return self.send(account, "vote", self.task_id, self.round, result)

    def refute_outvoted(
        self, account: int, aggregate_root: bytes = AGGREGATE_ROOT, model_root: bytes = MODEL_ROOT
    ) -> Receipt:
        roots = (aggregate_root, model_root)
        return self.send(account, "refuteOutvoted", self.task_id, self.round, *roots)

    def state(self) -> RoundState:
        return self.look().round_state(self.task_id, self.round)

    def lie(self, account: int) -> Receipt:
        """Publishes the mean of any desks' updates, less what makes it zero."""
        return self.publish(account, aggregate_root=self.tree(0).root)

    def honest(self) -> Combined:
        """What the first round's result must be."""
        included = self.look().included(self.task_id, self.round)
        rows = [self.values(self.desk_of(update.participant)) for update in included]
        trusted_row = self.params.trusted_row([update.participant for update in included])
        return combine(self.params, self.genesis, np.stack(rows), trusted_row)

    def put(self, store: MemoryStore, values: Int16Array | Int32Array) -> bytes:
        """Serves a vector; its root."""
        encode = encode_model if values.dtype == np.dtype(np.int32) else encode_update
        content = encode(values, self.params.shift)  # type: ignore[arg-type] # of the type asked for
        return store.put(content, chunk_length=self.params.chunk_length)

    def case(self) -> Case:
        """The published first round, for someone who fetched all included updates."""
        look = self.look()
        included = look.included(self.task_id, self.round)
        updates = np.stack([self.values(self.desk_of(each.participant)) for each in included])
        revealed = look.revealed(self.task_id, self.round)
        facts = (self.task_id, self.round, self.state(), revealed)
        evidence = look.evidence(self.task_id, self.round)
        return Case(self.params, *facts, self.genesis, updates, evidence)

    def openings(self, published: SumTree | None = None) -> tuple[object, ...]:
        """What a challenge of the only chunk carries, but the chunk's number and the salt."""
        state, revealed = self.state(), self.look().revealed(self.task_id, self.round)
        participants = [each.participant for each in rounds.included(state, revealed)]
        excluded = [tuple(each) for each in rounds.excluded(state, revealed)]
        trees = [self.tree(self.desk_of(participant)) for participant in participants]
        openings = b"".join(encode_opening(tree.opening(0)) for tree in trees)
        return participants, excluded, openings + encode_place(published or self.tree(0), 0)

    def refute(self, account: int) -> Receipt:
        """Proves a `lie` to be one, without a seal."""
        participants, excluded, openings = self.openings()
        return self.challenge(account, participants, excluded, 0, openings, b"", bytes(32))

    def challenge(self, account: int, *claim: object) -> Receipt:
        return self.send(account, "challengeAggregate", self.task_id, self.round, *claim)

    def seal(self, account: int, challenge: Challenge) -> Receipt:
        """Announces a challenge with this account's salt."""
        where = {"chain_id": self.chain.chain_id, "contract": self.chain.contract}
        seal = challenge.seal(**where, challenger=self.address(account), salt=self.salt(account))
        return self.send(account, "sealChallenge", seal)

    def prove(self, account: int, challenge: Challenge) -> Receipt:
        return self.send(account, challenge.function, *challenge.args(self.salt(account)))

    def flag(self, account: int, desk: int) -> Receipt:
        """Flags a desk's revealed update."""
        updates = [tuple(each) for each in self.look().revealed(self.task_id, self.round)]
        index = [update[0] for update in updates].index(self.address(desk))
        args = (self.task_id, self.round, updates, index)
        return self.pay(account, "flagUpdate", *args, amount_wei=self.params.flag_wei)

    def parts(self, values: Int16Array | Int32Array) -> tuple[Part, ...]:
        return parts(values, self.params.chunk_length)

    def post(self, account: int, desk: int) -> None:
        """Posts the parts of a desk's update that are missing."""
        posted = self.look().update_flag(self.task_id, self.address(desk)).posted
        for part in self.parts(self.values(desk))[posted:]:
            args = (self.task_id, self.round, self.address(desk), *part)
            self.send(account, "postUpdate", *args)

    def flag_result(self, account: int, what: Published) -> Receipt:
        args = (self.task_id, self.round, what)
        return self.pay(account, "flagResult", *args, amount_wei=self.params.flag_wei)

    def flag_table(self, account: int) -> Receipt:
        evidence = self.look().evidence(self.task_id, self.round)
        args = (self.task_id, self.round, *evidence)
        return self.pay(account, "flagTable", *args, amount_wei=self.params.flag_wei)

    def post_table(self, account: int, table: Table) -> None:
        for part in table.parts():
            args = (self.task_id, self.round, Published.TABLE, *part)
            self.send(account, "postResult", *args)

    def post_result(self, account: int, what: Published, values: Int16Array | Int32Array) -> None:
        posted = self.look().result_flag(self.task_id, what).posted
        for part in self.parts(values)[posted:]:
            self.send(account, "postResult", self.task_id, self.round, what, *part)

    def refute_unavailable(self, account: int, what: Published) -> Receipt:
        return self.send(account, "refuteUnavailable", self.task_id, self.round, what)

    def play_until_revealed(self) -> None:
        """Selection to the first second of the availability of all desks' updates."""
        ends = self.deadlines()
        self.travel(ends.selection)
        self.commit(*self.desks)
        self.travel(ends.commit)
        self.reveal(*self.desks)
        self.travel(ends.reveal)

    def play_until_published(self, aggregate_root: bytes = AGGREGATE_ROOT) -> None:
        """Selection to publication of the open round, by everybody and without delay."""
        self.play_until_revealed()
        self.travel(self.deadlines().availability)
        self.publish(STRANGER, aggregate_root=aggregate_root)

    def play_until_final(self) -> None:
        """Selection to the first second at which the open round's result is final."""
        self.play_until_published()
        self.travel(self.deadlines().challenge)
