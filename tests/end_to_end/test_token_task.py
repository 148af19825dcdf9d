"""A whole task in a token: stakes, bonds, rewards and slices, added up to the last unit."""

from collections import Counter
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from click.testing import Result
from numpy.typing import NDArray

from node.memory import MemoryFile
from node.tick import Mandate, Participant, Stores
from orchestrator.journal import Journal
from orchestrator.tick import Orchestrator
from protocol import rounds
from protocol.blobs import DirectoryStore, FirstOf
from protocol.chain.rpc import fields, quantity
from protocol.chain.token import allowance_wei
from protocol.encoding import encode_model
from protocol.exit_codes import ExitCode
from protocol.service import Outcome
from protocol.state import Phase
from scripts import leave
from tests.chain import made
from tests.chain.game import DESKS, SPONSOR, STRANGER, Game
from tests.chain.made import PURSE_WEI
from tests.chain.network import Network

pytestmark = pytest.mark.chain

Run = Callable[..., Result]
AGGREGATOR = 7
ROUNDS = 3
# Nothing here divides evenly: neither the reward among three or two, nor the slice into halves.
STAKE_WEI, SLICE_WEI, BOND_WEI = 1009, 101, 503
REWARD_WEI, PUBLISHER_WEI = 1000, 7


class Trainer:
    """Moves one coordinate, each desk another one."""

    sample_count = 10

    def __init__(self, spec_hash: bytes, desk: int) -> None:
        self.spec_hash = spec_hash
        self._desk = desk

    def train(
        self,
        model: NDArray[np.float64],
        round_number: int,
        before: NDArray[np.float64],  # noqa: ARG002 - the trainer's signature
    ) -> NDArray[np.float64]:
        moved = model.copy()
        moved[self._desk] += 1e-3 * round_number
        return moved


class TokenTask:
    """A sponsor's task, three desks' nodes and an orchestrator, with nothing but a token to pay."""

    def __init__(self, network: Network, folder: Path) -> None:
        self.game = Game(
            network,
            currency=made.token(network),
            rounds=ROUNDS,
            stake_wei=STAKE_WEI,
            slice_wei=SLICE_WEI,
            bond_wei=BOND_WEI,
            reward_wei=REWARD_WEI,
            publisher_wei=PUBLISHER_WEI,
            aggregator=network.accounts[AGGREGATOR].address,
        )
        self.from_block = self.game.chain.head().number + 1
        self.ether_before_wei = {account: self.ether_wei(account) for account in self.accounts}
        self.game.create()
        stores = {desk: DirectoryStore(folder / f"desk-{desk}" / "blobs") for desk in DESKS}
        own = DirectoryStore(folder / "orchestrator")
        genesis = encode_model(self.game.genesis, self.game.params.shift)
        own.put(genesis, chunk_length=self.game.params.chunk_length)
        peers = FirstOf([own, *stores.values()])
        orchestrator = Orchestrator(
            self.game.chain,
            own=own,
            remotes=list(stores.values()),
            transactor=self.game.transactors[AGGREGATOR],
            task_ids=[self.game.task_id],
            journal=Journal(folder / "metrics.jsonl"),
        )
        self.ticks: dict[int, Callable[[], Outcome]] = {AGGREGATOR: orchestrator.tick}
        """By account; take one out and it is as if it had died."""
        self.acts: Counter[tuple[int, str]] = Counter()
        for desk in DESKS:
            self.ticks[desk] = Participant(
                chain=self.game.chain,
                transactor=self.game.transactors[desk],
                account=network.accounts[desk],
                task_id=self.game.task_id,
                trainer=Trainer(self.game.params.model_spec_hash, desk),
                stores=Stores(DirectoryStore(folder / f"desk-{desk}"), stores[desk], peers),
                memory_file=MemoryFile(folder / f"desk-{desk}" / "memory.npz"),
                mandate=Mandate(restores=True),
            ).tick

    @property
    def accounts(self) -> range:
        return range(len(self.game.network.accounts))

    @property
    def phase(self) -> Phase:
        return self.game.look().phase(self.game.task_id, self.game.round)

    def tick_all(self) -> None:
        """Everybody acts until nobody has anything to do at this time."""
        acted = True
        while acted:
            acted = False
            for account, tick in self.ticks.items():
                outcome = tick()
                if outcome.acted is not None:
                    self.acts[account, outcome.acted] += 1
                    acted = True

    def step(self) -> None:
        """Everybody acts, and the clock moves to the next deadline."""
        self.tick_all()
        now = self.game.chain.head().timestamp
        deadline = rounds.next_deadline(self.game.params, self.game.state(), now)
        if deadline is not None:
            self.game.travel(deadline)

    def step_until(self, number: int, phase: Phase) -> None:
        for _ in range(60):
            if (self.game.round, self.phase) == (number, phase):
                return
            self.step()
        raise AssertionError(f"round {number} never came to {phase}")

    def wind_up(self, run: Run) -> None:
        """The task is closed, and everybody takes what is his by the command for it."""
        self.tick_all()
        self.game.send(STRANGER, "closeTask", self.game.task_id)
        for account in (*DESKS, AGGREGATOR):
            done = run(leave.main, self.game, account=account)
            assert done.exit_code == ExitCode.OK, done.output
        if self.game.credit(SPONSOR):
            self.game.withdraw(SPONSOR)

    def gained_wei(self, account: int) -> int:
        """What an account has more of the token than in the beginning."""
        return self.held_wei(self.game.address(account)) - PURSE_WEI

    def in_contract_wei(self) -> int:
        return self.held_wei(self.game.chain.contract)

    def held_wei(self, address: str) -> int:
        return made.balance_wei(self.game.chain, self.game.params.currency, address)

    def allowed_wei(self, account: int) -> int:
        currency = self.game.params.currency
        return allowance_wei(self.game.chain, currency, self.game.address(account))

    def ether_wei(self, account: int) -> int:
        answer = self.game.chain.rpc.request("eth_getBalance", self.game.address(account), "latest")
        return quantity(answer, "eth_getBalance", bits=256)

    def gas_paid_wei(self) -> Counter[str]:
        """What each sender paid for all its transactions since the task was made."""
        rpc, paid_wei = self.game.chain.rpc, Counter[str]()
        for number in range(self.from_block, self.game.chain.head().number + 1):
            block = fields(rpc.request("eth_getBlockByNumber", hex(number), False), "block")
            for tx_hash in block["transactions"]:
                receipt = fields(rpc.request("eth_getTransactionReceipt", tx_hash), "receipt")
                price_wei = quantity(receipt["effectiveGasPrice"], "effectiveGasPrice", bits=128)
                gas = quantity(receipt["gasUsed"], "gasUsed")
                paid_wei[str(receipt["from"]).lower()] += gas * price_wei
        return paid_wei

    def check_that_nothing_is_lost(self) -> None:
        """Of the token no unit, of ETH nothing but gas; nobody may take any more of the token."""
        gained_wei = [self.gained_wei(account) for account in self.accounts]
        assert sum(gained_wei) + self.in_contract_wei() == 0
        assert self.in_contract_wei() == self.game.burned_wei()
        assert not any(self.allowed_wei(account) for account in self.accounts)
        gas_paid_wei = self.gas_paid_wei()
        for account in self.accounts:
            spent_wei = self.ether_before_wei[account] - self.ether_wei(account)
            assert spent_wei == gas_paid_wei[self.game.address(account).lower()], account
        contract = self.game.chain.contract
        answer = self.game.chain.rpc.request("eth_getBalance", contract, "latest")
        assert quantity(answer, "eth_getBalance", bits=256) == 0


@pytest.fixture
def task(embedded: Network, tmp_path: Path) -> TokenTask:
    """With a seat for every desk."""
    task = TokenTask(embedded, tmp_path)
    for desk in DESKS:
        task.ticks[desk]()
    return task


def test_three_rounds_pay_desks_and_publisher_in_the_token(task: TokenTask, run: Run) -> None:
    budget_wei = ROUNDS * (REWARD_WEI + PUBLISHER_WEI)
    staked_wei = len(DESKS) * STAKE_WEI
    assert task.gained_wei(SPONSOR) == -budget_wei
    assert [task.gained_wei(desk) for desk in DESKS] == [-STAKE_WEI] * len(DESKS)
    for number in range(1, ROUNDS + 1):
        task.step_until(number, Phase.AGGREGATE)
        before_wei = task.gained_wei(AGGREGATOR)
        task.tick_all()
        assert task.gained_wei(AGGREGATOR) == before_wei - BOND_WEI
    # Bonds of final rounds are credits, which nobody has taken yet.
    assert task.in_contract_wei() == budget_wei + staked_wei + ROUNDS * BOND_WEI
    task.step_until(ROUNDS, Phase.FINAL)

    task.wind_up(run)

    share_wei, rest_wei = divmod(REWARD_WEI, len(DESKS))
    assert [task.gained_wei(desk) for desk in DESKS] == [ROUNDS * share_wei] * len(DESKS)
    assert task.gained_wei(AGGREGATOR) == ROUNDS * PUBLISHER_WEI
    assert task.gained_wei(SPONSOR) == ROUNDS * rest_wei - budget_wei
    assert task.in_contract_wei() == 0
    assert task.acts[AGGREGATOR, "publish"] == task.acts[AGGREGATOR, "distribute"] == ROUNDS
    task.check_that_nothing_is_lost()


def test_slice_of_a_desk_that_did_not_reveal_is_paid_back_in_the_token(
    task: TokenTask, run: Run
) -> None:
    missing = DESKS[-1]
    task.step_until(2, Phase.REVEAL)
    absent = task.ticks.pop(missing)
    task.step_until(2, Phase.CHALLENGE)
    task.ticks[missing] = absent
    task.step_until(ROUNDS, Phase.FINAL)
    assert task.acts[missing, "restore"] == 1

    task.wind_up(run)

    shares_wei = [REWARD_WEI // served for served in (3, 2, 3)]
    assert [task.gained_wei(desk) for desk in DESKS] == [
        sum(shares_wei),
        sum(shares_wei),
        shares_wei[0] + shares_wei[2] - SLICE_WEI,
    ]
    award_wei = SLICE_WEI // 2
    assert task.gained_wei(AGGREGATOR) == ROUNDS * PUBLISHER_WEI + award_wei
    assert task.in_contract_wei() == SLICE_WEI - award_wei
    task.check_that_nothing_is_lost()
