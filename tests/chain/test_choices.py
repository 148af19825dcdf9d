"""Rules that choose by distance, from Python to the contract: every wrong step is refuted."""

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import pytest

from protocol import rounds
from protocol.chain.code import INTERFACE
from protocol.chain.posted import PostedStore
from protocol.challenge import Challenge
from protocol.choice import Choice, choice_hash, trust
from protocol.commitment import Claim, Evidence, ProofKind
from protocol.errors import BlobCorrupt, BlobNotFound, ChainAnswerInvalid, Reverted
from protocol.gram import Table
from protocol.proofs import wrong_product
from protocol.recompute import combine
from protocol.state import Phase, Published
from protocol.task import ZERO_ADDRESS, PreSteps, Rule
from tests.chain.game import DESKS, STRANGER, Game, MemoryStore
from tests.chain.network import Network, Wrapped, flipped

pytestmark = pytest.mark.chain

CHALLENGER, OTHER = 6, 0
FIVE_DESKS = (*DESKS, 5, 7)
# Three chunks, the last one padded.
DIMENSION = 600
# Longer than the first two desks' updates.
CLIP_NORM = 100
TRUSTED = 2
BOTH = PreSteps.ARC | PreSteps.NNM


@dataclass(frozen=True)
class Kind:
    """A task by proofs."""

    rule: Rule
    pre_steps: PreSteps
    desks: tuple[int, ...]

    @property
    def name(self) -> str:
        return f"{self.pre_steps.value}-{self.rule.name.lower()}"

    def play(self, network: Network, flagged: tuple[int, ...] = ()) -> Game:
        """Such a task of these desks, up to its publication, without the flagged updates."""
        least = 5 if self.rule.chooses_best else 3
        size = {"quorum": least, "cohort": 5, "tolerance": 1, "dimension": DIMENSION}
        chosen = {"rule": self.rule, "pre_steps": self.pre_steps, "desks": self.desks}
        if self.rule.clips:
            chosen["clip_norm"] = CLIP_NORM
        if self.rule is Rule.FLTRUST:
            chosen["trusted"] = network.accounts[TRUSTED].address
        game = Game(network, **(size | chosen))  # type: ignore[arg-type] # by name
        game.params.check()
        game.begin()
        game.play_until_revealed()
        for desk in flagged:
            game.flag(OTHER, desk)
        game.travel(game.deadlines().availability)
        return game


KINDS = [
    Kind(Rule.TRIMMED_MEAN, BOTH, FIVE_DESKS),
    Kind(Rule.MEAN, PreSteps.NNM, DESKS),
    Kind(Rule.MULTI_KRUM, PreSteps.NONE, FIVE_DESKS),
    Kind(Rule.KRUM, PreSteps.NONE, FIVE_DESKS),
    Kind(Rule.MULTI_KRUM, PreSteps.ARC, FIVE_DESKS),
    Kind(Rule.KRUM, PreSteps.ARC, FIVE_DESKS),
    Kind(Rule.GEOMETRIC_MEDIAN, PreSteps.NONE, FIVE_DESKS),
    Kind(Rule.GEOMETRIC_MEDIAN, PreSteps.ARC, DESKS),
    Kind(Rule.FLTRUST, PreSteps.NONE, FIVE_DESKS),
]
TRUSTING = KINDS[-1]
CLIPPED = Kind(Rule.MEDIAN, PreSteps.ARC, FIVE_DESKS)
CENTERED = Kind(Rule.CENTERED_CLIPPING, PreSteps.NONE, FIVE_DESKS)
EVERY_KIND = pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.name)


@pytest.fixture
def store() -> MemoryStore:
    return MemoryStore()


def _choice(game: Game) -> Choice:
    choice = game.case().choice
    assert choice is not None
    return choice


def _publish(game: Game, store: MemoryStore, evidence: Evidence) -> None:
    """The right result with this evidence."""
    honest = game.honest()
    roots = (game.put(store, honest.aggregate), game.put(store, honest.model))
    game.publish(STRANGER, None, *roots, evidence)


def _with_a_false_product(right: Table) -> Table:
    """The first two updates are said to be a little nearer to each other."""
    products = right.products.copy()
    products[1, 2] += 1
    return Table.over(products, right.geometry.rows)


def _refute(game: Game, challenge: Challenge | None, function: str) -> None:
    """A sealed challenge does what it is for, and earns its award."""
    assert challenge is not None
    assert challenge.function == function
    before = game.credit(CHALLENGER)
    game.seal(CHALLENGER, challenge)
    game.prove(CHALLENGER, challenge)
    look = game.look()
    assert (
        look.credit(game.params.currency, game.address(CHALLENGER)) - before
        == game.params.bond_wei // 2
    )
    assert look.phase(game.task_id, 1) is Phase.AGGREGATE
    assert (game.state().refutations, game.state().evidence_hash) == (1, bytes(32))


@EVERY_KIND
def test_false_table_is_flagged_posted_and_refuted_by_one_product(
    embedded: Network, store: MemoryStore, kind: Kind
) -> None:
    game = kind.play(embedded)
    false = _with_a_false_product(_choice(game).table)
    _publish(game, store, Evidence(false.root, b"\5" * 32))
    tables = PostedStore(game.chain, game.task_id, game.params)
    case = game.case()
    assert case.wrong is Published.TABLE
    with pytest.raises(BlobNotFound, match="is not all posted"):
        case.challenge(store, tables)

    game.flag_table(OTHER)
    assert game.state().is_flagged(Published.TABLE)
    game.post_table(STRANGER, false)

    assert game.credit(STRANGER) == game.params.flag_wei
    assert tables.table(false.root, len(kind.desks)).root == false.root
    _refute(game, case.challenge(store, tables), "challengeProduct")


@EVERY_KIND
def test_false_choice_by_the_right_table_is_refuted_by_its_nodes(
    embedded: Network, store: MemoryStore, kind: Kind
) -> None:
    game = kind.play(embedded)
    choice = _choice(game)
    first, *others = choice.chosen
    false = choice_hash((first ^ 0b11, *others))
    _publish(game, store, Evidence(choice.table.root, false))

    _refute(game, game.case().challenge(store), "challengeChoice")


@pytest.mark.parametrize("kind", [*KINDS, CLIPPED, CENTERED], ids=lambda kind: kind.name)
def test_false_coordinate_is_refuted_by_its_chunk(
    embedded: Network, store: MemoryStore, kind: Kind
) -> None:
    game = kind.play(embedded)
    honest = game.honest()
    aggregate = honest.aggregate.copy()
    aggregate[300] += 1
    model = game.put(store, game.genesis + aggregate)
    game.publish(STRANGER, None, game.put(store, aggregate), model, honest.evidence)

    challenge = game.case().challenge(store)

    assert challenge is not None
    assert challenge.chunk == 1
    _refute(game, challenge, "challengeAggregate")


@EVERY_KIND
def test_rule_without_its_choice_is_refuted(
    embedded: Network, store: MemoryStore, kind: Kind
) -> None:
    """Who mixes nobody, or averages everybody, is refuted like any other liar."""
    game = kind.play(embedded)
    careless = replace(game.params, rule=Rule.MEAN, pre_steps=PreSteps.NONE, tolerance=0)
    rows = np.stack([game.values(desk) for desk in kind.desks])
    plain = combine(careless, game.genesis, rows)
    roots = (game.put(store, plain.aggregate), game.put(store, plain.model))
    game.publish(STRANGER, None, *roots, _choice(game).evidence)

    _refute(game, game.case().challenge(store), "challengeAggregate")


def test_excluded_update_is_in_no_table(embedded: Network, store: MemoryStore) -> None:
    game = KINDS[0].play(embedded, flagged=(2,))
    right = _choice(game)
    assert right.table.geometry.rows == 4
    false = _with_a_false_product(right.table)
    _publish(game, store, Evidence(false.root, b"\5" * 32))
    game.flag_table(OTHER)
    game.post_table(STRANGER, false)

    tables = PostedStore(game.chain, game.task_id, game.params)
    _refute(game, game.case().challenge(store, tables), "challengeProduct")


def test_without_its_update_whoever_still_weighs_by_the_trusted_one_is_refuted(
    embedded: Network, store: MemoryStore
) -> None:
    game = TRUSTING.play(embedded, flagged=(TRUSTED,))
    right = _choice(game)
    assert right.chosen == (0,) * 5
    assert not game.honest().aggregate.any()
    weights = trust(right.table.sums, 0)
    assert any(weights)
    _publish(game, store, Evidence(right.table.root, choice_hash(weights)))

    _refute(game, game.case().challenge(store), "challengeChoice")


def test_what_proofs_without_a_seal_were_about_is_read_from_the_logs(
    embedded: Network, store: MemoryStore
) -> None:
    game = KINDS[0].play(embedded)
    choice = _choice(game)
    false = _with_a_false_product(choice.table)
    first, *others = choice.chosen
    another = choice_hash((first ^ 0b11, *others))
    proven = []
    for evidence in (Evidence(false.root, b"\5" * 32), Evidence(choice.table.root, another)):
        _publish(game, store, evidence)
        if evidence.table_root == false.root:
            game.flag_table(OTHER)
            game.post_table(STRANGER, false)
        tables = PostedStore(game.chain, game.task_id, game.params)
        challenge = game.case().challenge(store, tables)
        assert challenge is not None
        game.prove(CHALLENGER, challenge)
        proven.append(Claim(1, challenge.kind, challenge.chunk, challenge.subject))
        game.travel(game.chain.head().timestamp + 1)
    # Bytes that were not posted are no proof, and nobody's seal is about them.
    _publish(game, store, Evidence(b"\6" * 32, b"\5" * 32))
    game.flag_table(OTHER)
    game.travel(game.deadlines().post_result)
    game.refute_unavailable(STRANGER, Published.TABLE)

    assert [claim.kind for claim in proven] == [ProofKind.PRODUCT, ProofKind.CHOICE]
    assert game.look().unawarded(game.task_id) == tuple(proven)


@EVERY_KIND
def test_table_that_is_not_posted_costs_the_bond(
    embedded: Network, store: MemoryStore, kind: Kind
) -> None:
    game = kind.play(embedded)
    _publish(game, store, Evidence(b"\6" * 32, b"\5" * 32))
    game.flag_table(CHALLENGER)
    game.travel(game.deadlines().post_result)

    game.refute_unavailable(STRANGER, Published.TABLE)

    award_wei = game.params.bond_wei // 2 + game.params.flag_wei
    assert game.credit(CHALLENGER) == award_wei
    assert game.look().phase(game.task_id, 1) is Phase.AGGREGATE


@EVERY_KIND
def test_nothing_refutes_the_right_result(
    embedded: Network, store: MemoryStore, kind: Kind
) -> None:
    game = kind.play(embedded)
    right = _choice(game)
    _publish(game, store, right.evidence)
    game.flag_table(OTHER)
    game.post_table(STRANGER, right.table)

    case = game.case()
    assert case.wrong is None
    assert game.look().result_flag(game.task_id, Published.TABLE).flagger == ZERO_ADDRESS
    # What is sent by who takes the right product, and the right choice, for wrong ones.
    proof = wrong_product(
        case.updates, _with_a_false_product(right.table), right.table, game.params.chunk_length
    )
    assert proof is not None
    updates = tuple(tuple(each) for each in case.revealed)
    shown = updates if kind.rule is Rule.FLTRUST else ()
    behind = (right.evidence.choice_hash, bytes(32))
    for function, args in (
        ("challengeProduct", (updates, *proof, *behind)),
        ("challengeChoice", (shown, right.table.pair_nodes, *behind)),
    ):
        with pytest.raises(Reverted, match="NoFraud"):
            game.transactors[CHALLENGER].simulate(function, (game.task_id, 1, *args))
    game.travel(game.deadlines().challenge)
    assert game.look().phase(game.task_id, 1) is Phase.FINAL


def test_only_a_task_with_a_table_has_one_to_flag(embedded: Network, store: MemoryStore) -> None:
    game = CLIPPED.play(embedded)
    honest = game.honest()
    assert honest.evidence == Evidence()
    game.publish(STRANGER, None, game.put(store, honest.aggregate), honest.model_root)
    now = game.look().block.timestamp
    assert not rounds.can_flag_result(game.params, game.state(), Published.TABLE, now)
    with pytest.raises(Reverted, match="NoTable"):
        game.flag_table(OTHER)


def test_table_is_flagged_by_its_root_only(embedded: Network, store: MemoryStore) -> None:
    game = KINDS[0].play(embedded)
    _publish(game, store, _choice(game).evidence)
    now = game.look().block.timestamp
    assert rounds.can_flag_result(game.params, game.state(), Published.TABLE, now)
    with pytest.raises(Reverted, match="EvidenceMismatch"):
        game.flag_result(OTHER, Published.TABLE)
    other = (game.task_id, 1, b"\6" * 32, b"\5" * 32)
    with pytest.raises(Reverted, match="EvidenceMismatch"):
        game.send(OTHER, "flagTable", *other, value_wei=game.params.flag_wei)


def test_evidence_is_read_from_logs_and_held_against_the_contract(
    embedded: Network, store: MemoryStore
) -> None:
    game = KINDS[0].play(embedded)
    right = _choice(game).evidence
    _publish(game, store, right)
    assert game.look().evidence(game.task_id, 1) == right

    def alter(method: str, _params: Any, ask: Callable[[], Any]) -> Any:
        answer = ask()
        if method == "eth_getLogs":
            for log in answer["result"]:
                if _is(log, "AggregatePublished"):
                    log["data"] = flipped({"result": log["data"]}, -1)["result"]
        return answer

    chain = embedded.deployment.connect(Wrapped(embedded.endpoint, alter))
    with pytest.raises(ChainAnswerInvalid, match="the logs show evidence with hash"):
        chain.at(chain.head()).evidence(game.task_id, 1)


def test_altered_part_of_a_table_is_not_believed(embedded: Network, store: MemoryStore) -> None:
    game = KINDS[0].play(embedded)
    right = _choice(game)
    _publish(game, store, right.evidence)
    game.flag_table(OTHER)
    game.post_table(STRANGER, right.table)

    def alter(method: str, _params: Any, ask: Callable[[], Any]) -> Any:
        answer = ask()
        if method == "eth_getLogs":
            for log in answer["result"]:
                if _is(log, "BytesPosted"):
                    # The first leaf, behind the part's number, the offset and the length.
                    log["data"] = flipped({"result": log["data"]}, 3 * 32 + 7)["result"]
        return answer

    chain = embedded.deployment.connect(Wrapped(embedded.endpoint, alter))
    with pytest.raises(BlobCorrupt, match="another table"):
        PostedStore(chain, game.task_id, game.params).table(right.table.root, 5)


def _is(log: Any, event: str) -> bool:
    topic = log["topics"][0]
    return bytes.fromhex(str(topic).removeprefix("0x")) == INTERFACE.topics[event]
