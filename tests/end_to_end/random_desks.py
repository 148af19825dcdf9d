"""Desks whose updates differ everywhere, an aggregator that publishes what it likes, and nodes."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from node.memory import MemoryFile
from node.relay import Relayer
from node.tick import Mandate, Participant, Stores
from protocol.blobs import DirectoryStore, FirstOf
from protocol.chain.rpc import quantity
from protocol.commitment import NO_EVIDENCE, Evidence
from protocol.encoding import encode_model, encode_update
from protocol.recompute import Combined, Result, combine
from protocol.state import Phase, RoundState
from protocol.sumtree import SumTree
from protocol.task import ZERO_ADDRESS as ETH
from protocol.task import Rule
from tests.chain.network import Network
from tests.end_to_end.fixed_desks import CHUNK, SHIFT, FixedDesks, Served

SPONSOR, LIAR, WATCHER, PUBLISHER, FALLBACK = 0, 4, 5, 6, 7
BOND_WEI = 10**16 + 1  # odd: the burned part is the larger one
AWARD_WEI = BOND_WEI // 2
REWARD_WEI = 6 * 10**15
FLAG_WEI = 10**15


class RandomDesks(FixedDesks):
    """Accounts 1 to 3 are desks, 4 aggregates, 5 and 6 run nodes, 7 an honest orchestrator.

    With more desks, the next accounts are desks too.
    """

    def __init__(self, network: Network, folder: Path, **changes: object) -> None:
        settings = {
            "rule": Rule.TRIMMED_MEAN,
            "tolerance": 1,
            "aggregator": network.accounts[LIAR].address,
            "aggregator_seconds": 50,
            "aggregate_seconds": 60,
            "challenge_seconds": 60,
            "rounds": 2,
            "bond_wei": BOND_WEI,
            "reward_wei": REWARD_WEI,
            "flag_wei": FLAG_WEI,
        }
        super().__init__(network, folder, **(settings | changes))
        self.folder = folder
        self.genesis = self.desk_blobs.get(
            self.params.genesis_model_root, chunk_length=CHUNK
        ).values.astype(np.int32)
        self.liars_blobs = DirectoryStore(folder / "liar")
        self.fallback = Served(
            self, folder / "fallback", [self.desk_blobs], transactor=self.senders[FALLBACK]
        )
        self.blobs = FirstOf([self.desk_blobs, self.liars_blobs, self.fallback.own])

    def update(self, desk: int, number: int) -> np.ndarray:
        if desk in self.updates:
            return self.updates[desk]
        chance = np.random.default_rng([desk, number])
        return chance.integers(-500, 500, size=self.params.dimension).astype(np.int16)

    def all_updates(self, number: int, desks: Sequence[int] | None = None) -> np.ndarray:
        return np.stack([self.update(desk, number) for desk in desks or self.desks])

    def honest(self, number: int, desks: Sequence[int] | None = None) -> Combined:
        """The right result of a round that included these desks, after rounds of all desks."""
        base = self.genesis
        for earlier in range(1, number):
            base = self._combined(base, earlier, None).model
        return self._combined(base, number, desks)

    def _combined(self, base: np.ndarray, number: int, desks: Sequence[int] | None) -> Combined:
        updates = self.all_updates(number, desks)
        return combine(self.params, base, updates, self.trusted_row(desks))

    def trusted_row(self, desks: Sequence[int] | None = None) -> int | None:
        """Which of the updates of these desks FLTrust trusts."""
        participants = [self.senders[desk + 1].address for desk in desks or self.desks]
        return self.params.trusted_row(participants)

    def state(self, number: int) -> RoundState:
        return self.snapshot().round_state(self.task_id, number)

    def phase(self, number: int) -> Phase:
        return self.snapshot().phase(self.task_id, number)

    def play_until_revealed(self) -> None:
        """From between rounds; the honest orchestrator opens what is to be opened."""
        assert self.fallback.tick().acted == "open"
        self.commit()
        self.reveal()
        self.travel(self.ends().reveal)

    def play_until_aggregate(self) -> None:
        self.play_until_revealed()
        self.travel(self.ends().availability)

    def hide(self, desk: int, number: int) -> None:
        """Takes a revealed update off the net; only the desk's own node still has it."""
        update = self.update(desk, number)
        self.desk_blobs.file_of(SumTree.of(update, CHUNK).root).unlink()
        self._private(desk + 1).put(encode_update(update, SHIFT), chunk_length=CHUNK)

    def travel_to_flagging(self) -> None:
        """When the servers have had their time."""
        self.travel(self.ends().reveal + self.params.availability_seconds // 4)

    def publish_result(self, number: int, published: Combined, *, account: int = LIAR) -> None:
        """The aggregator's turn; it serves what it publishes."""
        self.liars_blobs.put(encode_update(published.aggregate, SHIFT), chunk_length=CHUNK)
        self.liars_blobs.put(encode_model(published.model, SHIFT), chunk_length=CHUNK)
        roots = (published.aggregate_root, published.model_root)
        self.publish_roots(number, *roots, published.evidence, account=account)

    def publish_roots(
        self,
        number: int,
        aggregate_root: bytes,
        model_root: bytes,
        evidence: Evidence = NO_EVIDENCE,
        *,
        account: int = LIAR,
    ) -> None:
        self.pass_refutation()
        state = self.state(number)
        computed_from = (state.updates_hash, state.unavailable)
        self.senders[account].send(
            "publish",
            (self.task_id, number, Result(aggregate_root, model_root, *computed_from, *evidence)),
            value_wei=BOND_WEI,
            purpose=f"{number}:{self.now()}",
        )

    def fallback_publishes(self) -> None:
        """The honest orchestrator's turn, which never is in the second of a refutation."""
        self.pass_refutation()
        outcome = self.fallback.tick()
        assert outcome.acted == "publish", outcome.why

    def pass_refutation(self) -> None:
        """To the next second, if the latest block refuted a result."""
        now = self.now()
        if self.state(self.round_number()).restarted_at == now:
            self.travel(now + 1)

    def flag_result(self, number: int, what: int, *, account: int) -> None:
        self.senders[account].send(
            "flagResult",
            (self.task_id, number, what),
            value_wei=FLAG_WEI,
            purpose=f"{number}:flag:{what}:{self.now()}",
        )

    def node(self, account: int, *, relayer: Relayer | None = None, **mandate: Any) -> Participant:
        """A node that trains nothing; made again, it is the same one after kill -9."""
        folder = self.folder / f"node-{account}"
        return Participant(
            chain=self.chain,
            transactor=self.senders[account],
            account=self.senders[account].account,
            task_id=self.task_id,
            trainer=None,
            stores=Stores(
                private=self._private(account),
                public=DirectoryStore(folder / "blobs"),
                peers=self.blobs,
            ),
            memory_file=MemoryFile(folder / "memory.npz"),
            relayer=relayer,
            mandate=Mandate(**mandate),
        )

    def _private(self, account: int) -> DirectoryStore:
        return DirectoryStore(self.folder / f"node-{account}" / "private")

    def credit(self, account: int) -> int:
        return self.snapshot().credit(ETH, self.senders[account].address)

    def burned_wei(self) -> int:
        return self.snapshot().burned_wei(ETH)

    def balance(self) -> int:
        answer = self.chain.rpc.request("eth_getBalance", self.chain.contract, "latest")
        return quantity(answer, "eth_getBalance", bits=256)

    def wind_up(self) -> int:
        """Every reward is divided, everybody leaves and withdraws; what then lies there."""
        while self.fallback.tick().acted == "distribute":
            pass
        self.senders[SPONSOR].send("closeTask", (self.task_id,), purpose="close")
        for sender in self.senders[1 : len(self.desks) + 1]:
            sender.send("leave", (self.task_id,), purpose="leave")
        for number, sender in enumerate(self.senders):
            if self.credit(number):
                sender.send("withdraw", (ETH, sender.address), purpose="withdraw")
        return self.balance()


def acts(node: Participant, *expected: str) -> None:
    """One tick after the other does exactly this."""
    for action in expected:
        outcome = node.tick()
        assert outcome.acted == action, outcome.why
