"""A task on a real chain whose desks do not train: their updates are fixed."""

from contextlib import contextmanager
from dataclasses import replace

import numpy as np
from fastapi import FastAPI

from orchestrator.api import build_app
from orchestrator.journal import Journal
from orchestrator.tick import Orchestrator
from protocol import commitment
from protocol.blob_server import blob_router
from protocol.blobs import DirectoryStore, HttpStore
from protocol.encoding import encode_model, encode_update
from protocol.http import HttpServer
from protocol.rounds import deadlines
from protocol.service import Service
from protocol.signing import SigningDomain
from protocol.sumtree import SumTree
from protocol.task import Rule, TaskParams

DIMENSION = 100
CHUNK = 16
SHIFT = 12
GENESIS = np.arange(DIMENSION, dtype=np.int32)
DESKS = 3
SALT = b"\5" * 32


def update_of(desk, round_number):
    """A desk's update in a round; all differ."""
    return np.full(DIMENSION, 10 * round_number + desk, dtype=np.int16)


class FixedDesks:
    """Account 0 sponsors, accounts from 1 on are desks, the last one aggregates."""

    def __init__(self, network, folder, *, desks=DESKS, genesis=GENESIS, **changes):
        self.desks = range(desks)
        self.updates = {}
        """What single desks commit to instead of their fixed updates."""
        self.norms = {}
        """What single desks' roots record instead of the squared norm."""
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
            value_wei=self.params.budget_wei,
            purpose="create",
        )
        (self.task_id,) = self.snapshot().tasks()

    @property
    def aggregator(self):
        """The aggregator's transactor."""
        return self.senders[-1]

    def update(self, desk, number):
        return self.updates.get(desk, update_of(desk, number))

    def tree(self, desk):
        """Of a desk's update in the latest round."""
        update = self.update(desk, self.round_number())
        tree = SumTree.of(update, CHUNK)
        if desk not in self.norms:
            return tree
        sums = [[node.sum for node in level] for level in tree.levels[:-1]]
        return SumTree.recorded(update, CHUNK, [*sums, [self.norms[desk]]])

    def now(self):
        return self.chain.head().timestamp

    def snapshot(self):
        return self.chain.at(self.chain.head())

    def round_number(self):
        return self.snapshot().task_state(self.task_id).round

    def join(self, desks=None):
        for sender in self.senders[1 : (desks or len(self.desks)) + 1]:
            sender.send("join", (self.task_id, 1), value_wei=self.params.stake_wei, purpose="join")

    def ends(self):
        number = self.round_number()
        return deadlines(self.params, self.snapshot().round_state(self.task_id, number))

    def commitment(self, desk):
        """To a desk's update in the latest round."""
        number, tree = self.round_number(), self.tree(desk)
        return commitment.update_commitment(
            chain_id=self.chain.chain_id,
            contract=self.chain.contract,
            task_id=self.task_id,
            round_number=number,
            base_model_root=self.snapshot().base_model_root(self.task_id, number),
            participant=self.senders[desk + 1].address,
            update_root=tree.root,
            squared_norm=tree.squared_norm,
            salt=SALT,
        )

    def commit(self, desks=None):
        self.travel(max(self.now(), self.ends().selection))
        number = self.round_number()
        for desk in desks or self.desks:
            arguments = (self.task_id, number, self.commitment(desk))
            self._send(desk, "commitUpdate", arguments, f"{number}:commit")

    def publish(self, desk):
        """Lets a desk's update of the latest round be fetched."""
        update = self.update(desk, self.round_number())
        if update.dtype == np.int16:
            file = self.desk_blobs.file_of(self.tree(desk).root)
            file.write_bytes(encode_update(update, SHIFT))

    def reveal(self, desks=None):
        self.travel(max(self.now(), self.ends().commit))
        number = self.round_number()
        for desk in desks or self.desks:
            self.publish(desk)
            tree = self.tree(desk)
            arguments = (self.task_id, number, tree.top, tree.squared_norm, SALT)
            self._send(desk, "revealUpdate", arguments, f"{number}:reveal")

    def signed_entry(self, desk, bound=None):
        """What a desk hands a relay in Commit: its commitment, or another one."""
        number = self.round_number()
        domain = SigningDomain(self.chain.chain_id, self.chain.contract, self.task_id, number)
        signed = domain.sign(self.senders[desk + 1].account, bound or self.commitment(desk))
        return self._place(desk) | {name: hexed(part) for name, part in signed._asdict().items()}

    def opening_entry(self, desk):
        """What a desk hands a relay in Reveal."""
        tree = SumTree.of(self.update(desk, self.round_number()), CHUNK)
        found = {"tree_top": hexed(tree.top), "squared_norm": tree.squared_norm}
        return self._place(desk) | found | {"salt": hexed(SALT)}

    def _place(self, desk):
        participant = self.senders[desk + 1].address
        task_id, number = hexed(self.task_id), self.round_number()
        return {"task_id": task_id, "round": number, "participant": participant}

    def _send(self, desk, function, arguments, purpose):
        self.senders[desk + 1].send(function, arguments, purpose=purpose)


def hexed(value):
    return "0x" + value.hex()


def last_unit(model_units, shift):
    """An evaluator: the last parameter, and something that is no number."""
    return {"last": float(model_units[-1]) / 2**shift, "undefined": float("nan")}


class Served:
    """An orchestrator with its stores, as one process would have them."""

    def __init__(self, network, folder, remotes, **settings):
        self.chain = network.chain
        self.service = Service(self.tick, 1.0, "orchestrator")
        self.own = DirectoryStore(folder / "blobs")
        self.file = folder / "metrics.jsonl"
        defaults = {"transactor": network.aggregator, "evaluator": last_unit}
        self.orchestrator = Orchestrator(
            self.chain,
            own=self.own,
            remotes=remotes,
            journal=Journal(self.file),
            **(defaults | settings),
        )

    def tick(self):
        return self.orchestrator.tick()

    def app(self, relay=None):
        """Its pages."""
        return build_app(
            self.orchestrator.board,
            chain=self.chain,
            own=self.own,
            health=self.service,
            registry=self.orchestrator.metrics.registry,
            relay=relay,
        )


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
