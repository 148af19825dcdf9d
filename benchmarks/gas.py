"""Gas of every call of a round, by number of participants, as real transactions on py-evm.

    python benchmarks/gas.py [--participants 3 --participants 10 ...] [--json]

The first round writes fresh storage, the second some more (the table of revealed roots has twice as
many places as there are seats); the sixth is what every later round costs. Gas is deterministic:
the figures are the same on every machine.
"""

import json
import sys
from dataclasses import replace

import click
import numpy as np
from eth_account.signers.local import LocalAccount

from protocol import commitment
from protocol.chain.deployment import deploy
from protocol.chain.embedded import EmbeddedChain
from protocol.chain.outbox import IN_MEMORY, Outbox
from protocol.chain.transactor import Transactor
from protocol.recompute import Result
from protocol.rounds import deadlines
from protocol.sumtree import SumTree
from protocol.task import Rule, TaskParams

DIMENSION = 1024
ROUNDS = 6
SALT = b"\x5a" * 32
# Measured peers, one round: whole-round gas by number of participants.
# Source: figures in the papers' and projects' own repositories, replayed.
PEERS = {
    "DIN": {3: 4_970_000, 60: 70_400_000},
    "Delta": {3: 3_000_000, 10: 22_300_000},
    "blocklearning": {3: 1_450_000, 10: 3_160_000},
}


class Bench:
    """One task whose participants send random small updates."""

    def __init__(self, participants: int) -> None:
        self.embedded = EmbeddedChain("gas", accounts=participants + 1)
        self.sponsor, *self.participants = self.embedded.accounts
        self.chain = deploy(self.embedded.provider, self.sponsor).connect(self.embedded.provider)
        self.transactors = {
            account.address: Transactor(self.chain, account, Outbox(IN_MEMORY))
            for account in self.embedded.accounts
        }
        default = TaskParams.default(
            model_spec_hash=b"\x01" * 32,
            genesis_model_root=b"\x02" * 32,
            dimension=DIMENSION,
            closes_at=self.embedded.now() + 10**6,
        )
        # Windows long enough that one second per transaction does not outrun them.
        self.params = replace(
            default,
            rule=Rule.MEDIAN,
            quorum=participants,
            cohort=participants,
            commit_seconds=200,
            reveal_seconds=200,
            max_squared_norm=2**40,
        )
        self.task = commitment.task_id(
            self.chain.chain_id, self.chain.contract, self.sponsor.address, self.params
        )
        self.create = self.send(
            self.sponsor,
            "createTask",
            (self.params.abi_tuple(),),
            self.params.rounds * self.params.reward_wei,
        )
        self.join = [
            self.send(account, "join", (self.task,), self.params.stake_wei)
            for account in self.participants
        ][-1]

    def send(
        self, account: LocalAccount, function: str, args: tuple[object, ...], wei: int = 0
    ) -> int:
        """Gas of one call."""
        purpose = f"{function}:{self.chain.head().number}"
        transactor = self.transactors[account.address]
        return transactor.send(function, args, value_wei=wei, purpose=purpose).gas_used

    def round(self, number: int) -> dict[str, int]:
        """Gas of every call of one round; per participant the mean."""
        gas = {"openRound": self.send(self.sponsor, "openRound", (self.task,))}
        rng = np.random.default_rng(number)
        trees = [
            SumTree.of(rng.integers(-99, 99, DIMENSION).astype(np.int16), self.params.chunk_length)
            for _ in self.participants
        ]
        self.travel("selection", number)
        commits = [
            self.send(
                account,
                "commitUpdate",
                (self.task, number, self.commitment(account, number, tree)),
            )
            for account, tree in zip(self.participants, trees, strict=True)
        ]
        self.travel("commit", number)
        reveals = [
            self.send(
                account, "revealUpdate", (self.task, number, tree.top, tree.squared_norm, SALT)
            )
            for account, tree in zip(self.participants, trees, strict=True)
        ]
        self.travel("availability", number)
        snapshot = self.chain.at(self.chain.head())
        root = bytes([number]) * 32
        state = snapshot.round_state(self.task, number)
        gas["commitUpdate"] = sum(commits) // len(commits)
        gas["revealUpdate"] = sum(reveals) // len(reveals)
        published = Result(root, root, state.updates_hash, state.unavailable)
        result = (self.task, number, published)
        gas["publish"] = self.send(self.sponsor, "publish", result, self.params.bond_wei)
        self.travel("challenge", number)
        gas["finalise"] = self.send(self.sponsor, "finalise", (self.task,))
        whole = gas["openRound"] + gas["publish"] + gas["finalise"]
        gas["whole round"] = whole + sum(commits) + sum(reveals)
        return gas

    def commitment(self, account: LocalAccount, number: int, tree: SumTree) -> bytes:
        """What one participant commits to."""
        return commitment.update_commitment(
            chain_id=self.chain.chain_id,
            contract=self.chain.contract,
            task_id=self.task,
            round_number=number,
            base_model_root=self.chain.at(self.chain.head()).task_state(self.task).model_root,
            participant=account.address,
            update_root=tree.root,
            squared_norm=tree.squared_norm,
            salt=SALT,
        )

    def travel(self, phase: str, number: int) -> None:
        """To the end of a phase, unless it is over."""
        state = self.chain.at(self.chain.head()).round_state(self.task, number)
        end = getattr(deadlines(self.params, state), phase)
        self.embedded.travel(max(end, self.embedded.now()))


@click.command()
@click.option(
    "--participants",
    "counts",
    type=click.IntRange(1, 64),
    multiple=True,
    default=(3, 5, 10, 30, 64),
    show_default=True,
)
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
def main(*, counts: tuple[int, ...], as_json: bool) -> None:
    """Measure one task per number of participants."""
    table: dict[int, dict[str, dict[str, int]]] = {}
    for count in counts:
        print(f"{count} participants", file=sys.stderr)
        bench = Bench(count)
        table[count] = {
            "once": {"createTask": bench.create, "join": bench.join},
            **{f"round {number}": bench.round(number) for number in range(1, ROUNDS + 1)},
        }
    if as_json:
        print(json.dumps({"gas": table, "peers_whole_round": PEERS}, indent=2))
        return
    for which in ("once", "round 1", "round 2", f"round {ROUNDS}"):
        print(f"\n{which:<14}" + "".join(f"{count:>12}" for count in counts))
        for call in next(iter(table.values()))[which]:
            print(f"{call:<14}" + "".join(f"{table[n][which][call]:>12,}" for n in counts))
    for peer, figures in PEERS.items():
        for count in figures.keys() & set(counts):
            ratio = figures[count] / table[count][f"round {ROUNDS}"]["whole round"]
            print(f"{peer} at {count}: {figures[count]:,}, {ratio:.1f} times as much")


if __name__ == "__main__":
    main()
