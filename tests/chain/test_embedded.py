"""The chain in this process: its own time, its own accounts, and no surprise under threads."""

import threading

import pytest

from protocol.chain.deployment import deploy
from protocol.chain.embedded import DEFAULT_START_TIMESTAMP, EmbeddedChain
from protocol.chain.gateway import Chain
from protocol.chain.outbox import IN_MEMORY, Outbox
from protocol.chain.transactor import Transactor
from protocol.commitment import task_id
from tests.chain.game import SAMPLES, parameters

pytestmark = pytest.mark.chain

COHORT = 64


def _deployed(embedded: EmbeddedChain) -> str:
    """A fresh contract's address."""
    return deploy(embedded.provider, embedded.accounts[0]).contract


def test_time_stands_still_until_it_is_told_otherwise() -> None:
    chain = EmbeddedChain()
    assert chain.now() == DEFAULT_START_TIMESTAMP
    chain.travel(DEFAULT_START_TIMESTAMP)
    assert chain.now() == DEFAULT_START_TIMESTAMP
    for later in (1, 2, 10**6):
        chain.travel(DEFAULT_START_TIMESTAMP + later)
        assert chain.now() == DEFAULT_START_TIMESTAMP + later
    with pytest.raises(ValueError, match="later than"):
        chain.travel(DEFAULT_START_TIMESTAMP)


@pytest.mark.parametrize("start_timestamp", [1, 1_700_000_000, 4_000_000_000])
def test_a_block_is_one_second_after_the_last_whatever_the_machines_clock_says(
    start_timestamp: int,
) -> None:
    embedded = EmbeddedChain(start_timestamp=start_timestamp)
    chain = Chain.connect(embedded.provider, _deployed(embedded))
    deployed = chain.head()
    assert deployed.timestamp == start_timestamp + deployed.number
    params = parameters(start_timestamp)
    value_wei = params.budget_wei
    Transactor(chain, embedded.accounts[0], Outbox(IN_MEMORY)).send(
        "createTask", (params.abi_tuple(),), value_wei=value_wei, purpose="create"
    )
    assert chain.head().timestamp == deployed.timestamp + 1


def test_accounts_follow_from_the_seed() -> None:
    one, same = EmbeddedChain("one", accounts=3), EmbeddedChain("one", accounts=5)
    other = EmbeddedChain("other", accounts=3)
    assert one.accounts == same.accounts[:3]
    assert not set(one.accounts) & set(other.accounts)


def test_what_came_after_a_snapshot_is_forgotten() -> None:
    embedded = EmbeddedChain()
    chain = Chain.connect(embedded.provider, _deployed(embedded))
    before, head = embedded.snapshot(), chain.head()
    embedded.travel(head.timestamp + 1_000)
    embedded.revert(before)
    assert chain.head() == head
    assert embedded.now() == head.timestamp
    first = EmbeddedChain()
    genesis = first.snapshot()
    _deployed(first)
    first.revert(genesis)
    assert first.now() == DEFAULT_START_TIMESTAMP
    assert _deployed(first)


def test_a_full_cohort_can_join_from_as_many_threads() -> None:
    embedded = EmbeddedChain(accounts=COHORT + 1)
    chain = Chain.connect(embedded.provider, _deployed(embedded))
    sponsor, *desks = embedded.accounts
    params = parameters(embedded.now(), cohort=COHORT)
    task = task_id(chain.chain_id, chain.contract, sponsor.address, params)
    Transactor(chain, sponsor, Outbox(IN_MEMORY)).send(
        "createTask",
        (params.abi_tuple(),),
        value_wei=params.budget_wei,
        purpose="create",
    )

    def join(number: int) -> None:
        for desk in desks[number::4]:
            Transactor(chain, desk, Outbox(IN_MEMORY)).send(
                "join", (task, SAMPLES), value_wei=params.stake_wei, purpose="join"
            )

    threads = [threading.Thread(target=join, args=(number,)) for number in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert set(chain.at(chain.head()).seated(task)) == {desk.address for desk in desks}
