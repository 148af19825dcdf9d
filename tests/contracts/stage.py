"""One round of a task in revm, from commitments to a published result, and its openings."""

from collections.abc import Sequence
from dataclasses import replace
from functools import cached_property
from itertools import product

import numpy as np

from protocol import commitment, rounds
from protocol.choice import Choice, choice_of
from protocol.commitment import NO_EVIDENCE, Evidence
from protocol.gram import Table
from protocol.numbers import Int16Array, Int32Array
from protocol.proofs import encode_opening, encode_place
from protocol.recompute import Combined, Result, RevealedUpdate, combine
from protocol.state import RoundState
from protocol.sumtree import SumTree
from protocol.task import PreSteps, Rule, TaskParams
from tests.contracts.revm import CHAIN_ID, Revm, account

# What the contract judges by proofs: a rule, and what goes before it.
METHODS = [
    *product([rule for rule in Rule if rule < Rule.BULYAN], [PreSteps.NONE]),
    *product(
        [Rule.MEAN, Rule.MEDIAN, Rule.TRIMMED_MEAN],
        [PreSteps.ARC, PreSteps.NNM, PreSteps.ARC | PreSteps.NNM],
    ),
    *product([Rule.MULTI_KRUM, Rule.KRUM, Rule.GEOMETRIC_MEDIAN], [PreSteps.ARC]),
]
SPONSOR, PUBLISHER, CHALLENGER, FIRST_DESK = 0, 1, 2, 100
ROUND = 1
PHASE_SECONDS = 60


def parameters(
    now: int, updates: Int16Array, base_model: Int32Array, **changes: object
) -> TaskParams:
    """A task of one round for exactly these updates."""
    count, dimension = updates.shape
    params = TaskParams.default(
        model_spec_hash=b"\x01" * 32,
        genesis_model_root=b"\x02" * 32,
        dimension=dimension,
        closes_at=now + 10**6,
    )
    seconds = ("commit", "reveal", "availability", "aggregate", "challenge")
    settings: dict[str, object] = {f"{phase}_seconds": PHASE_SECONDS for phase in seconds}
    settings |= {
        "selection_seconds": 0,
        "aggregator_seconds": 0,
        "chunk_length": 16,
        "quorum": count,
        "cohort": count,
        "seats": count,
        "drawn": count,
        "rounds": 1,
        "max_squared_norm": 2**64 - 1,
        "bond_wei": 10**18,
    }
    params = replace(params, **(settings | changes))  # type: ignore[arg-type] # by name
    root = SumTree.of(base_model, params.chunk_length).root
    return replace(params, genesis_model_root=root)


class Stage:
    """A round whose every update is known; each is another desk's, in order of reveal."""

    def __init__(
        self, revm: Revm, updates: Int16Array, base_model: Int32Array, **changes: object
    ) -> None:
        self.revm, self.updates, self.base_model = revm, updates, base_model
        self.params = parameters(revm.now, updates, base_model, **changes)
        self.task_id = commitment.task_id(CHAIN_ID, revm.contract, account(SPONSOR), self.params)
        self.trees = [self.tree(row) for row in updates]
        self.base_tree = self.tree(base_model)
        self.revealed = [
            RevealedUpdate(account(FIRST_DESK + number), tree.root, tree.squared_norm)
            for number, tree in enumerate(self.trees)
        ]

    @property
    def every_update(self) -> tuple[tuple[object, ...], ...]:
        """As calls carry what was revealed."""
        return tuple(tuple(update) for update in self.revealed)

    def tree(self, vector: Int16Array | Int32Array) -> SumTree:
        return SumTree.of(vector, self.params.chunk_length)

    @property
    def state(self) -> RoundState:
        """The round's facts, as the contract tells them."""
        return RoundState(*self.revm.send(account(SPONSOR), "roundState", self.task_id, ROUND))

    def play_to_availability(self) -> None:
        """Everybody joins, commits and reveals."""
        params, send = self.params, self.revm.send
        funds_wei = params.rounds * (params.reward_wei + params.publisher_wei)
        send(account(SPONSOR), "createTask", params.abi_tuple(), value_wei=funds_wei)
        for update in self.revealed:
            send(update.participant, "join", self.task_id, 1, value_wei=params.stake_wei)
        send(account(SPONSOR), "openRound", self.task_id)
        for update in self.revealed:
            send(update.participant, "commitUpdate", self.task_id, ROUND, self._commitment(update))
        self.revm.travel(self.revm.now + PHASE_SECONDS)
        for update, tree in zip(self.revealed, self.trees, strict=True):
            opened = (tree.top, tree.squared_norm, bytes(32))
            send(update.participant, "revealUpdate", self.task_id, ROUND, *opened)
        self.revm.travel(self.revm.now + PHASE_SECONDS)

    def flag(self, number: int) -> None:
        """Flags an update, which nobody then posts."""
        self.revm.send(
            account(CHALLENGER),
            "flagUpdate",
            self.task_id,
            ROUND,
            self.every_update,
            number,
            value_wei=self.params.flag_wei,
        )

    def end_availability(self) -> None:
        self.revm.travel(self.revm.now + PHASE_SECONDS)

    def result(self) -> Combined:
        """What Python makes of the included updates."""
        return combine(self.params, self.base_model, self.updates[self.included], self.trusted_row)

    @property
    def trusted_row(self) -> int | None:
        """Of the included updates, the one that FLTrust trusts."""
        return self.params.trusted_row([self.revealed[i].participant for i in self.included])

    @property
    def included(self) -> list[int]:
        """Numbers of the included updates."""
        return list(rounds.included(self.state, range(len(self.revealed))))

    @cached_property
    def choice(self) -> Choice | None:
        """The right table and the choice by it; None if the task has none."""
        return choice_of(self.params, self.updates[self.included], self.trusted_row)

    def publish(
        self, aggregate: Int16Array, model: Int32Array, evidence: Evidence | None = None
    ) -> None:
        """Publishes these vectors, with the right evidence if none is given."""
        if evidence is None:
            evidence = NO_EVIDENCE if self.choice is None else self.choice.evidence
        state = self.state
        roots = (self.tree(aggregate).root, self.tree(model).root)
        result = Result(*roots, state.updates_hash, state.unavailable, *evidence)
        value_wei = self.params.bond_wei
        arguments = (self.task_id, ROUND, tuple(result))
        self.revm.send(account(PUBLISHER), "publish", *arguments, value_wei=value_wei)

    def against_aggregate(
        self,
        published: SumTree,
        chunk: int,
        numbers: Sequence[int] | None = None,
        shown: bytes | None = None,
    ) -> tuple[object, ...]:
        """Arguments of `challengeAggregate` for a chunk, by the right choice or the one shown."""
        if shown is None:
            shown = b"" if self.choice is None else self.choice.shown
        included = self.included if numbers is None else numbers
        excluded = [number for number in range(len(self.revealed)) if number not in set(included)]
        openings = [encode_opening(self.trees[number].opening(chunk)) for number in included]
        openings.append(encode_place(published, chunk))
        return (
            self.task_id,
            ROUND,
            tuple(self.revealed[number].participant for number in included),
            tuple(tuple(self.revealed[number]) for number in excluded),
            chunk,
            b"".join(openings),
            shown,
            bytes(32),
        )

    def against_product(
        self, published: Table, leaf: int, choice_hash: bytes
    ) -> tuple[object, ...]:
        """Arguments of `challengeProduct` for a leaf of a table."""
        openings = [published.path(leaf)]
        pair, chunk = divmod(leaf, 1 << published.geometry.depth)
        if pair < published.geometry.pairs and chunk < published.geometry.chunks:
            included = self.included
            rows = dict.fromkeys(int(side[pair]) for side in np.triu_indices(len(included)))
            trees = (self.trees[included[row]] for row in rows)
            openings.extend(encode_opening(tree.opening(chunk)) for tree in trees)
        path = b"".join(openings)
        return (self.task_id, ROUND, self.every_update, leaf, path, choice_hash, bytes(32))

    def against_choice(self, published: Table, choice_hash: bytes) -> tuple[object, ...]:
        """Arguments of `challengeChoice`."""
        every = self.every_update if self.params.rule is Rule.FLTRUST else ()
        return (self.task_id, ROUND, every, published.pair_nodes, choice_hash, bytes(32))

    def against_model(
        self, aggregate: SumTree, published: SumTree, chunk: int
    ) -> tuple[object, ...]:
        """Arguments of `challengeModel` for a chunk."""
        openings = [encode_opening(tree.opening(chunk)) for tree in (self.base_tree, aggregate)]
        openings.append(encode_place(published, chunk))
        return (self.task_id, ROUND, chunk, b"".join(openings), bytes(32))

    def _commitment(self, update: RevealedUpdate) -> bytes:
        return commitment.update_commitment(
            chain_id=CHAIN_ID,
            contract=self.revm.contract,
            task_id=self.task_id,
            round_number=ROUND,
            base_model_root=self.params.genesis_model_root,
            participant=update.participant,
            update_root=update.update_root,
            squared_norm=update.squared_norm,
            salt=bytes(32),
        )


def drawn_updates(random: np.random.Generator, count: int, dimension: int) -> Int16Array:
    """Updates of one of the kinds that go wrong first. Shape: [count, dimension]"""
    shape = (count, dimension)
    kind = random.integers(5)
    if kind == 0:  # everything there is
        drawn = random.integers(-(2**15), 2**15, shape)
    elif kind == 1:  # the ends of the range and the numbers about zero
        drawn = random.choice([-(2**15), -(2**15) + 1, -1, 0, 1, 2**15 - 1], shape)
    elif kind == 2:  # ties
        drawn = random.integers(-2, 3, shape)
    elif kind == 3:  # all equal but for the participants' own first coordinate
        drawn = np.broadcast_to(random.integers(-(2**15), 2**15, dimension), shape).copy()
    else:  # as trained
        drawn = np.rint(random.normal(0, 300, shape)).clip(-(2**15), 2**15 - 1)
    # Else the order in which updates are given would not matter, and two of them would be one.
    drawn[:, 0] = random.permutation(np.arange(count) - count // 2)
    return drawn.astype(np.int16)
