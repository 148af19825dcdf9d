"""What rounds cost in gas, by number of participants, sent one by one or by a relayer.

    python benchmarks/gas.py [--participants 3 ...] [--json FILE] [--plot FILE] [--page FILE]

Real transactions on py-evm, with their base price, the floor under calldata and refunds. The first
round writes fresh storage; the sixth is what every later round costs. Everything is drawn from the
round's number, so the figures are the same on every machine. Prints them as Markdown, which
`--page` puts in place of a page's older tables, beside what the committed snapshots say. Where only
these are new, `--rounds FILE` takes the rest from an earlier run's JSON.
"""

import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Final, NamedTuple

import click
import numpy as np
from eth_account.signers.local import LocalAccount

from benchmarks.gas_meter import Meter, Spent
from benchmarks.gas_plot import draw
from benchmarks.gas_table import (
    STEADY_ROUND,
    Measured,
    RoundGas,
    Snapshots,
    Way,
    When,
    renewed,
    tables,
)
from protocol import commitment
from protocol.chain.deployment import deploy
from protocol.chain.embedded import EmbeddedChain
from protocol.chain.outbox import IN_MEMORY, Outbox
from protocol.chain.transactor import Transactor
from protocol.recompute import Result
from protocol.rounds import deadlines
from protocol.signing import SigningDomain
from protocol.sumtree import root_hash
from protocol.task import TaskParams

COUNTS: Final = (3, 10, 30, 64)
MEASURED_ROUNDS: Final[Mapping[int, When]] = {1: "first", STEADY_ROUND: "steady"}
METERED: Final = 10
"""Participants of the rounds whose commits and reveals are taken apart."""
SALT: Final = b"\x5a" * 32


class Update(NamedTuple):
    """What one participant commits to and reveals, drawn: no contract call sees more of it."""

    account: LocalAccount
    tree_top: bytes
    squared_norm: int
    commitment: bytes

    @property
    def opening(self) -> tuple[str, bytes, int, bytes]:
        """In the order of the Solidity struct."""
        return self.account.address, self.tree_top, self.squared_norm, SALT


class Bench:
    """One task with a full cohort."""

    def __init__(self, participants: int) -> None:
        self.embedded = EmbeddedChain("gas", accounts=participants + 2)
        self.sponsor, self.aggregator, *self.participants = self.embedded.accounts
        self.chain = deploy(self.embedded.provider, self.sponsor).connect(self.embedded.provider)
        default = TaskParams.default(
            model_spec_hash=b"\x01" * 32,
            genesis_model_root=b"\x02" * 32,
            dimension=1473,
            closes_at=self.embedded.now() + 10**6,
        )
        # Windows long enough that one second per transaction does not outrun them; a reward that
        # COUNTS divide, so that no figure has the rest in it that the sponsor is credited.
        self.params = replace(
            default,
            quorum=3,
            cohort=participants,
            seats=participants,
            drawn=participants,
            aggregator=self.aggregator.address,
            commit_seconds=200,
            reveal_seconds=200,
            max_squared_norm=2**40,
            reward_wei=96 * 10**13,
            publisher_wei=10**15,
        )
        self.task = commitment.task_id(
            self.chain.chain_id, self.chain.contract, self.sponsor.address, self.params
        )
        params = (self.params.abi_tuple(),)
        self.send(self.sponsor, "createTask", params, self.params.budget_wei)
        for account in self.participants:
            self.send(account, "join", (self.task, 1000), self.params.stake_wei)

    def send(
        self, account: LocalAccount, function: str, args: tuple[object, ...], wei: int = 0
    ) -> int:
        """Gas of one call."""
        # Without memory of what was sent before, for that may have been undone.
        transactor = Transactor(self.chain, account, Outbox(IN_MEMORY))
        return transactor.send(function, args, value_wei=wei, purpose=function).gas_used

    @contextmanager
    def undone(self) -> Iterator[None]:
        """What happens inside is taken back."""
        before = self.embedded.snapshot()
        yield
        self.embedded.revert(before)

    def measure(self) -> dict[Way, dict[When, RoundGas]]:
        """The first round and a steady one, each sent in both ways."""
        found: dict[Way, dict[When, RoundGas]] = {"direct": {}, "batched": {}}
        for number in range(1, STEADY_ROUND + 1):
            when = MEASURED_ROUNDS.get(number)
            if when:
                with self.undone():
                    found["direct"][when] = self.round(number, "direct")
            # Both ways leave the same storage behind.
            batched = self.round(number, "batched")
            if when:
                found["batched"][when] = batched
        return found

    def round(self, number: int, way: Way) -> RoundGas:
        """Plays one round to its distribution."""
        opened = self.send(self.sponsor, "openRound", (self.task,))
        updates = self.drawn_updates(number)
        self.travel("selection", number)
        commits = self.commit(number, updates, way)
        self.travel("commit", number)
        reveals = self.reveal(number, updates, way)
        self.travel("availability", number)
        state = self.chain.at(self.chain.head()).round_state(self.task, number)
        root = bytes([number]) * 32
        result = tuple(Result(root, root, state.updates_hash, state.unavailable))
        published = self.send(
            self.aggregator, "publish", (self.task, number, result), self.params.bond_wei
        )
        self.travel("challenge", number)
        with self.undone():
            finalised = self.send(self.sponsor, "finalise", (self.task,))
        every = tuple(
            (update.account.address, self.root(update), update.squared_norm) for update in updates
        )
        # It finalises the round itself.
        distributed = self.send(self.sponsor, "distribute", (self.task, number, every, b""))
        return RoundGas(
            participants=len(updates),
            open_round=opened,
            commits=commits,
            reveals=reveals,
            publish=published,
            finalise=finalised,
            distribute=distributed,
        )

    def commit(self, number: int, updates: Sequence[Update], way: Way) -> int:
        """Gas of all commitments."""
        if way == "direct":
            return sum(
                self.send(update.account, "commitUpdate", (self.task, number, update.commitment))
                for update in updates
            )
        domain = SigningDomain(self.chain.chain_id, self.chain.contract, self.task, number)
        signed = tuple(tuple(domain.sign(one.account, one.commitment)) for one in updates)
        return self.send(self.aggregator, "commitUpdates", (self.task, number, signed))

    def reveal(self, number: int, updates: Sequence[Update], way: Way) -> int:
        """Gas of all openings."""
        if way == "direct":
            return sum(
                self.send(
                    update.account,
                    "revealUpdate",
                    (self.task, number, update.tree_top, update.squared_norm, SALT),
                )
                for update in updates
            )
        openings = tuple(update.opening for update in updates)
        return self.send(self.aggregator, "revealUpdates", (self.task, number, openings))

    def drawn_updates(self, number: int) -> list[Update]:
        """Everybody's update of a round."""
        rng = np.random.default_rng(number)
        base = self.chain.at(self.chain.head()).task_state(self.task).model_root
        updates = []
        for account in self.participants:
            drawn = Update(account, rng.bytes(32), int(rng.integers(2**39, 2**40)), b"")
            bound = commitment.update_commitment(
                chain_id=self.chain.chain_id,
                contract=self.chain.contract,
                task_id=self.task,
                round_number=number,
                base_model_root=base,
                participant=account.address,
                update_root=self.root(drawn),
                squared_norm=drawn.squared_norm,
                salt=SALT,
            )
            updates.append(drawn._replace(commitment=bound))
        return updates

    def root(self, update: Update) -> bytes:
        """Of the tree that has this top."""
        return root_hash(self.params.dimension, update.squared_norm, update.tree_top)

    def travel(self, phase: str, number: int) -> None:
        """To the end of a phase, unless it is over."""
        state = self.chain.at(self.chain.head()).round_state(self.task, number)
        end = getattr(deadlines(self.params, state), phase)
        self.embedded.travel(max(end, self.embedded.now()))


def take_apart(bench: Bench, number: int) -> dict[str, Spent]:
    """Where the gas of a commit and a reveal goes, in the round of this number, the next one."""
    bench.send(bench.sponsor, "openRound", (bench.task,))
    updates = bench.drawn_updates(number)
    spent = {}
    for before, play in (("selection", bench.commit), ("commit", bench.reveal)):
        bench.travel(before, number)
        name = play.__name__
        with bench.undone(), Meter(bench.chain.contract) as meter:
            # The last one's, after all others.
            play(number, updates[:-1], "direct")
            spent[f"{name}, direct"] = meter.spent(play(number, updates[-1:], "direct"), 1)
        with Meter(bench.chain.contract) as meter:
            gas = play(number, updates, "batched")
        spent[f"{name}, batched"] = meter.spent(gas, len(updates))
    return spent


def measure(counts: Sequence[int]) -> Measured:
    """Measures a task of each number of participants."""
    rounds, spent = {}, {}
    for count in counts:
        print(f"{count} participants", file=sys.stderr)
        bench = Bench(count)
        rounds[count] = bench.measure()
        if count == METERED:
            spent = take_apart(bench, STEADY_ROUND + 1)
    return Measured(rounds, spent)


@click.command()
@click.option(
    "--participants",
    "counts",
    type=click.IntRange(3, 64),
    multiple=True,
    default=COUNTS,
    show_default=True,
)
@click.option("--rounds", "earlier", type=click.Path(path_type=Path), help="Measured before.")
@click.option("--json", "file", type=click.Path(path_type=Path), help="Write the figures.")
@click.option("--plot", type=click.Path(path_type=Path), help="Draw them beside others' as SVG.")
@click.option("--page", type=click.Path(path_type=Path), help="Renew the tables of a page.")
def main(
    *,
    counts: tuple[int, ...],
    earlier: Path | None,
    file: Path | None,
    plot: Path | None,
    page: Path | None,
) -> None:
    """Measure one task per number of participants, unless an earlier run's figures are given."""
    measured = Measured.read(earlier) if earlier else measure(counts)
    if file:
        measured.write(file)
    if plot:
        draw(measured, plot)
    found = tables(measured, Snapshots.read())
    if page:
        page.write_text(renewed(page.read_text(encoding="utf-8"), found), encoding="utf-8")
    print("\n\n".join(found))


if __name__ == "__main__":
    main()
