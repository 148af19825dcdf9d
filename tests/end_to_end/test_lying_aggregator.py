"""An aggregator that lies loses its bond to a node's proof, and an honest one ends the round."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pytest
from structlog.testing import capture_logs

from node.memory import MemoryFile
from node.tick import Participant, Stores
from protocol.blobs import DirectoryStore, FirstOf
from protocol.chain.rpc import quantity
from protocol.challenge import encode_opening
from protocol.encoding import encode_model, encode_update
from protocol.errors import BlobNotFound, Reverted
from protocol.recompute import Combined, combine
from protocol.sumtree import SumTree
from protocol.task import Phase, Rule, TaskParams
from tests.chain.network import Network, anvil_network, embedded_network
from tests.end_to_end.fixed_desks import CHUNK, DESKS, DIMENSION, GENESIS, SHIFT, FixedDesks, Served

pytestmark = pytest.mark.chain

SPONSOR, LIAR, WATCHER, PUBLISHER, FALLBACK = 0, 4, 5, 6, 7
BOND_WEI = 10**16 + 1  # odd: the burned part is the larger one
REWARD_WEI = 3 * 10**15


class RandomDesks(FixedDesks):
    """Desks whose updates differ in every coordinate and every round; account 4 aggregates."""

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
        }
        super().__init__(network, folder, **(settings | changes))
        self.folder = folder
        self.liars_blobs = DirectoryStore(folder / "liar")
        self.fallback = Served(
            self, folder / "fallback", [self.desk_blobs], transactor=self.senders[FALLBACK]
        )
        self.blobs = FirstOf([self.desk_blobs, self.liars_blobs, self.fallback.own])

    def update(self, desk: int, number: int) -> np.ndarray:
        chance = np.random.default_rng([desk, number])
        return chance.integers(-500, 500, size=DIMENSION).astype(np.int16)

    def all_updates(self, number: int) -> np.ndarray:
        return np.stack([self.update(desk, number) for desk in range(DESKS)])

    def honest(self, number: int) -> Combined:
        base = GENESIS
        for earlier in range(1, number):
            base = combine(self.params, base, self.all_updates(earlier)).model
        return combine(self.params, base, self.all_updates(number))

    def state(self, number: int):
        return self.snapshot().round_state(self.task_id, number)

    def phase(self, number: int) -> Phase:
        return self.snapshot().phase(self.task_id, number)

    def play_until_aggregate(self) -> None:
        """From between rounds; the fallback orchestrator opens what is to be opened."""
        assert self.fallback.tick().acted == "open"
        self.commit()
        self.reveal()
        self.travel(self.ends().availability)

    def publish(self, number: int, published: Combined) -> None:
        """The aggregator's turn."""
        self.liars_blobs.put(encode_update(published.aggregate, SHIFT), chunk_length=CHUNK)
        self.liars_blobs.put(encode_model(published.model, SHIFT), chunk_length=CHUNK)
        roots = (published.aggregate_root, published.model_root)
        self.senders[LIAR].send(
            "publish",
            (self.task_id, number, *roots, self.state(number).updates_hash),
            value_wei=BOND_WEI,
            purpose=f"{number}:{self.now()}",
        )

    def node(self, account: int, **settings: object) -> Participant:
        """A node that trains nothing."""
        folder = self.folder / f"node-{account}"
        return Participant(
            chain=self.chain,
            transactor=self.senders[account],
            account=self.senders[account].account,
            task_id=self.task_id,
            trainer=None,
            stores=Stores(
                private=DirectoryStore(folder / "private"),
                public=DirectoryStore(folder / "blobs"),
                peers=self.blobs,
            ),
            memory_file=MemoryFile(folder / "memory.npz"),
            **settings,
        )

    def credit(self, account: int) -> int:
        return self.snapshot().credit(self.senders[account].address)

    def balance(self) -> int:
        answer = self.chain.rpc.request("eth_getBalance", self.chain.contract, "latest")
        return quantity(answer, "eth_getBalance", bits=256)

    def wind_up(self) -> int:
        """Everybody leaves and withdraws; what then lies in the contract."""
        self.senders[SPONSOR].send("closeTask", (self.task_id,), purpose="close")
        for sender in self.senders[1 : DESKS + 1]:
            sender.send("leave", (self.task_id,), purpose="leave")
        for number, sender in enumerate(self.senders):
            if self.credit(number):
                sender.send("withdraw", (sender.address,), purpose="withdraw")
        return self.balance()


@pytest.fixture
def embedded() -> Network:
    return embedded_network()


@pytest.fixture(params=["embedded", "anvil"])
def network(request: pytest.FixtureRequest) -> Iterator[Network]:
    if request.param == "embedded":
        yield embedded_network()
        return
    with anvil_network() as chain:
        yield chain


@dataclass(frozen=True)
class Round:
    """What a liar of round 2 has at hand."""

    params: TaskParams
    base: np.ndarray
    updates: np.ndarray
    honest: Combined
    earlier: Combined


def rooted(aggregated: np.ndarray, model: np.ndarray) -> Combined:
    roots = [SumTree.of(values, CHUNK).root for values in (aggregated, model)]
    return Combined(aggregated, roots[0], model, roots[1])


def adding(base: np.ndarray, aggregated: np.ndarray) -> Combined:
    return rooted(aggregated, base + aggregated)


def off_by_one(known: Round) -> Combined:
    aggregated = known.honest.aggregate.copy()
    aggregated[DIMENSION - 1] += 1
    return adding(known.base, aggregated)


def dropped(known: Round) -> Combined:
    return combine(replace(known.params, tolerance=0), known.base, known.updates[1:])


def counted_twice(known: Round) -> Combined:
    return combine(known.params, known.base, known.updates[[0, 0, 1, 2]])


def wrong_trim(known: Round) -> Combined:
    return combine(replace(known.params, tolerance=0), known.base, known.updates)


def wrong_model_of_the_right_aggregate(known: Round) -> Combined:
    model = known.honest.model.copy()
    model[DIMENSION // 2] -= 1
    return rooted(known.honest.aggregate, model)


def another_rounds_aggregate(known: Round) -> Combined:
    return adding(known.base, known.earlier.aggregate)


Lie = Callable[[Round], Combined]
LIES: list[Lie] = [
    off_by_one,
    dropped,
    counted_twice,
    wrong_trim,
    wrong_model_of_the_right_aggregate,
    another_rounds_aggregate,
]


def play_honest_round(desks: RandomDesks) -> None:
    desks.join()
    desks.play_until_aggregate()
    desks.publish(1, desks.honest(1))


def play_until_lied_to(desks: RandomDesks, lie: Lie) -> None:
    """An honest round, and then one whose aggregator lies."""
    play_honest_round(desks)
    desks.travel(desks.ends().challenge)
    desks.play_until_aggregate()
    earlier = desks.honest(1)
    known = Round(desks.params, earlier.model, desks.all_updates(2), desks.honest(2), earlier)
    desks.publish(2, lie(known))


def refute_and_end(desks: RandomDesks, publisher: Callable[[], object]) -> None:
    watcher = desks.node(WATCHER)
    assert [watcher.tick().acted for _ in range(2)] == ["verify", "challenge"]
    state = desks.state(2)
    assert (desks.phase(2), state.published_at, state.bond_wei) == (Phase.AGGREGATE, 0, 0)
    assert desks.credit(WATCHER) == BOND_WEI // 2
    assert desks.snapshot().burned_wei() == BOND_WEI - BOND_WEI // 2
    assert "is in AGGREGATE" in watcher.tick().why
    assert watcher.memory.mismatch is None

    publisher()
    assert desks.phase(2) is Phase.CHALLENGE
    assert watcher.tick().acted == "verify"
    desks.travel(desks.ends().challenge)
    assert watcher.tick().acted is None
    assert watcher.memory.verified_model_root == desks.honest(2).model_root


def assert_money_is_all_there(desks: RandomDesks) -> None:
    assert desks.wind_up() == desks.snapshot().burned_wei() == BOND_WEI - BOND_WEI // 2


@pytest.mark.parametrize("lie", LIES, ids=lambda lie: lie.__name__)
def test_lie_is_refuted_and_another_orchestrator_ends_the_round_honestly(
    embedded: Network, tmp_path: Path, lie: Lie
) -> None:
    desks = RandomDesks(embedded, tmp_path)
    play_until_lied_to(desks, lie)

    refute_and_end(desks, desks.fallback.tick)

    assert desks.state(2).publisher == desks.senders[FALLBACK].address
    assert desks.fallback.tick().acted == "finalise"
    task = desks.snapshot().task_state(desks.task_id)
    assert task.model_root == desks.honest(2).model_root
    assert_money_is_all_there(desks)


def test_publishing_node_ends_the_round_on_every_kind_of_chain(
    network: Network, tmp_path: Path
) -> None:
    desks = RandomDesks(network, tmp_path)
    play_until_lied_to(desks, off_by_one)
    publisher = desks.node(PUBLISHER, publishes=True, challenges=False, drives=True)

    refute_and_end(desks, publisher.tick)

    assert desks.state(2).publisher == desks.senders[PUBLISHER].address
    assert [publisher.tick().acted for _ in range(2)] == ["verify", "drive"]
    assert desks.state(2).settled
    assert desks.credit(PUBLISHER) == BOND_WEI
    task = desks.snapshot().task_state(desks.task_id)
    assert task.model_root == desks.honest(2).model_root
    assert_money_is_all_there(desks)


def test_liar_that_lies_again_pays_again_and_time_ends_the_round(
    embedded: Network, tmp_path: Path
) -> None:
    desks = RandomDesks(embedded, tmp_path)
    play_until_lied_to(desks, wrong_trim)
    watcher = desks.node(WATCHER)
    again = combine(replace(desks.params, tolerance=0), desks.honest(1).model, desks.all_updates(2))
    for times in range(1, 4):
        assert [watcher.tick().acted for _ in range(2)] == ["verify", "challenge"]
        assert desks.credit(WATCHER) == times * (BOND_WEI // 2)
        if times < 3:
            desks.publish(2, again)
    desks.travel(desks.ends().aggregate)

    assert desks.phase(2) is Phase.VOID
    assert desks.fallback.tick().acted == "void"
    task = desks.snapshot().task_state(desks.task_id)
    assert task.model_root == desks.honest(1).model_root
    assert desks.wind_up() == desks.snapshot().burned_wei() == 3 * (BOND_WEI - BOND_WEI // 2)


def test_second_challenger_comes_too_late_and_goes_on(embedded: Network, tmp_path: Path) -> None:
    desks = RandomDesks(embedded, tmp_path)
    play_until_lied_to(desks, off_by_one)
    quick, slow = desks.node(WATCHER), desks.node(PUBLISHER)
    assert [node.tick().acted for node in (quick, slow)] == ["verify"] * 2
    snapshot = desks.snapshot()
    assert quick.tick().acted == "challenge"

    slow._challenge(snapshot, 2, snapshot.round_state(desks.task_id, 2))

    assert desks.credit(PUBLISHER) == 0
    assert "is in AGGREGATE" in slow.tick().why
    assert slow.memory.mismatch is None


def test_lie_that_nobody_can_fetch_is_said_loudly_and_refused(
    embedded: Network, tmp_path: Path
) -> None:
    desks = RandomDesks(embedded, tmp_path)
    play_until_lied_to(desks, off_by_one)
    desks.liars_blobs.file_of(desks.state(2).aggregate_root).unlink()
    watcher = desks.node(WATCHER)
    assert watcher.tick().acted == "verify"

    with (
        capture_logs() as logged,
        pytest.raises(BlobNotFound, match="published aggregate cannot be had, so no opening"),
    ):
        watcher.tick()

    assert any(
        (line["log_level"], line["event"]) == ("critical", "wrong result cannot be proven")
        for line in logged
    )
    desks.travel(desks.ends().challenge)
    assert watcher.tick().why.startswith("refusing to go on: round 2: aggregate root")


SPECIAL: dict[Rule, dict[str, int]] = {
    Rule.CLIPPED_MEAN: {"tolerance": 0, "clip_norm": 2_000},
    Rule.TRIMMED_MEAN: {"tolerance": 1},
}


@pytest.mark.parametrize("rule", Rule)
def test_honest_result_cannot_be_refuted_chunk_by_chunk(
    embedded: Network, tmp_path: Path, rule: Rule
) -> None:
    desks = RandomDesks(embedded, tmp_path, rule=rule, **SPECIAL.get(rule, {"tolerance": 0}))
    play_honest_round(desks)
    watcher, honest = desks.node(WATCHER), desks.honest(1)
    assert watcher.tick().acted == "verify"
    assert watcher.tick().acted is None
    assert watcher.memory.mismatch is None
    revealed = tuple(tuple(each) for each in desks.snapshot().revealed(desks.task_id, 1))

    sender, updates = desks.senders[WATCHER], desks.all_updates(1)
    for chunk in range(-(-DIMENSION // CHUNK)):
        openings = opened(chunk, *updates, honest.aggregate)
        with pytest.raises(Reverted, match="NoFraud"):
            sender.simulate("challengeAggregate", (desks.task_id, 1, revealed, chunk, openings))
        openings = opened(chunk, GENESIS, honest.aggregate, honest.model)
        with pytest.raises(Reverted, match="NoFraud"):
            sender.simulate("challengeModel", (desks.task_id, 1, chunk, openings))


def opened(chunk: int, *vectors: np.ndarray) -> bytes:
    trees = (SumTree.of(vector, CHUNK) for vector in vectors)
    return b"".join(encode_opening(tree.opening(chunk)) for tree in trees)


@pytest.mark.parametrize("rule", Rule)
def test_one_wrong_unit_is_refuted_under_every_rule(
    embedded: Network, tmp_path: Path, rule: Rule
) -> None:
    desks = RandomDesks(embedded, tmp_path, rule=rule, **SPECIAL.get(rule, {"tolerance": 0}))
    play_until_lied_to(desks, off_by_one)

    refute_and_end(desks, desks.fallback.tick)
