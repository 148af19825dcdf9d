"""A task on a real chain whose desks do not train: their updates are fixed."""

from contextlib import contextmanager
from dataclasses import replace

import numpy as np
from fastapi import FastAPI

from orchestrator.journal import Journal
from orchestrator.tick import Orchestrator
from protocol import commitment
from protocol.blob_server import blob_router
from protocol.blobs import DirectoryStore, HttpStore
from protocol.encoding import encode_model, encode_update
from protocol.http import HttpServer
from protocol.rounds import deadlines
from protocol.sumtree import SumTree
from protocol.task import Rule, TaskParams

DIMENSION = 100
CHUNK = 16
SHIFT = 12
GENESIS = np.arange(DIMENSION, dtype=np.int32)
DESKS = 3


def update_of(desk, round_number):
    """A desk's update in a round; all differ."""
    return np.full(DIMENSION, 10 * round_number + desk, dtype=np.int16)


class FixedDesks:
    """Account 0 sponsors, accounts 1 to 3 are desks, the last one aggregates."""

    def __init__(self, network, folder, *, genesis=GENESIS, **changes):
        self.updates = {}
        """What single desks commit to instead of their fixed updates."""
        self.travel = network.travel
        self.chain = network.connect()
        self.senders = [
            network.transactor(number, chain=self.chain) for number in range(len(network.accounts))
        ]
        self.desk_blobs = DirectoryStore(folder / "desks")
        params = TaskParams.default(
            model_spec_hash=b"\7" * 32,
            genesis_model_root=self.desk_blobs.put(
                encode_model(genesis, SHIFT), chunk_length=CHUNK
            ),
            dimension=genesis.size,
            closes_at=self.now() + 10**6,
        )
        settings = {"chunk_length": CHUNK, "shift": SHIFT, "rule": Rule.MEDIAN, "rounds": 3}
        self.params = replace(params, **(settings | changes))
        self.params.check()
        self.senders[0].send(
            "createTask",
            (self.params.abi_tuple(),),
            value_wei=self.params.rounds * self.params.reward_wei,
            purpose="create",
        )
        (self.task_id,) = self.snapshot().tasks()

    @property
    def aggregator(self):
        """The aggregator's transactor."""
        return self.senders[-1]

    def update(self, desk, number):
        return self.updates.get(desk, update_of(desk, number))

    def now(self):
        return self.chain.head().timestamp

    def snapshot(self):
        return self.chain.at(self.chain.head())

    def round_number(self):
        return self.snapshot().task_state(self.task_id).round

    def join(self):
        for sender in self.senders[1 : DESKS + 1]:
            sender.send("join", (self.task_id,), value_wei=self.params.stake_wei, purpose="join")

    def ends(self):
        number = self.round_number()
        return deadlines(self.params, self.snapshot().round_state(self.task_id, number))

    def commit(self):
        self.travel(max(self.now(), self.ends().selection))
        number = self.round_number()
        base = self.snapshot().base_model_root(self.task_id, number)
        for desk in range(DESKS):
            tree = SumTree.of(self.update(desk, number), CHUNK)
            bound = commitment.update_commitment(
                chain_id=self.chain.chain_id,
                contract=self.chain.contract,
                task_id=self.task_id,
                round_number=number,
                base_model_root=base,
                participant=self.senders[desk + 1].address,
                update_root=tree.root,
                squared_norm=tree.squared_norm,
                salt=b"\5" * 32,
            )
            self._send(desk, "commitUpdate", (self.task_id, number, bound), f"{number}:commit")

    def reveal(self, desks=DESKS):
        self.travel(self.ends().commit)
        number = self.round_number()
        for desk in range(desks):
            update = self.update(desk, number)
            if update.dtype == np.int16:
                self.desk_blobs.put(encode_update(update, SHIFT), chunk_length=CHUNK)
            tree = SumTree.of(update, CHUNK)
            arguments = (self.task_id, number, tree.top, tree.squared_norm, b"\5" * 32)
            self._send(desk, "revealUpdate", arguments, f"{number}:reveal")

    def _send(self, desk, function, arguments, purpose):
        self.senders[desk + 1].send(function, arguments, purpose=purpose)


def last_unit(model_units, shift):
    """An evaluator: the last parameter, and something that is no number."""
    return {"last": float(model_units[-1]) / 2**shift, "undefined": float("nan")}


class Served:
    """An orchestrator with its stores, as one process would have them."""

    def __init__(self, network, folder, remotes, **settings):
        self.own = DirectoryStore(folder / "blobs")
        self.file = folder / "metrics.jsonl"
        defaults = {"transactor": network.aggregator, "evaluator": last_unit}
        self.orchestrator = Orchestrator(
            network.chain,
            own=self.own,
            remotes=remotes,
            journal=Journal(self.file),
            **(defaults | settings),
        )

    def tick(self):
        return self.orchestrator.tick()


@contextmanager
def serving(directory):
    """A directory's blobs over real HTTP."""
    app = FastAPI()
    app.include_router(blob_router(directory))
    with HttpServer(app) as server:
        yield HttpStore(server.url)


def run_round(network, desk, *, to_its_end=True):
    """Opens a round and brings it to its end with a result, or only to its publication."""
    assert desk.tick().acted == "open"
    network.commit()
    desk.tick()
    network.reveal()
    network.travel(network.ends().availability)
    published = desk.tick()
    assert published.acted == "publish", published.why
    if to_its_end:
        network.travel(network.ends().challenge)
