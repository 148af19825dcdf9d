"""Every dispute from Python to the contract: what is proven, who pays, and who is paid."""

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from protocol import rounds
from protocol.chain.posted import PostedStore
from protocol.chain.rpc import quantity
from protocol.challenge import challenge_norm
from protocol.commitment import Claim, ProofKind
from protocol.errors import BlobNotFound, ChainAnswerInvalid
from protocol.recompute import recompute_round
from protocol.state import MAX_REFUTATIONS, Phase, Published
from protocol.sumtree import SumTree
from protocol.task import ZERO_ADDRESS, Rule
from tests.chain.game import DESKS, STRANGER, Game, MemoryStore
from tests.chain.network import Network, Wrapped

pytestmark = pytest.mark.chain

CHALLENGER, OTHER = 6, 5
# Three chunks, the last one padded.
DIMENSION = 600
# `test_choices.py` is about the rule that chooses by distance.
BY_COORDINATE = [rule for rule in Rule if rule < Rule.MULTI_KRUM]


@pytest.fixture
def store() -> MemoryStore:
    return MemoryStore()


def _aggregating(network: Network, *flagged: int, **changes: object) -> Game:
    """A game whose desks revealed, without the updates that nobody posted."""
    game = Game(network, **({"dimension": DIMENSION} | changes))
    game.begin()
    game.play_until_revealed()
    for desk in flagged:
        game.flag(OTHER, desk)
    game.travel(game.deadlines().availability)
    return game


def _lied(game: Game, store: MemoryStore, where: int = 300) -> None:
    """A result is published whose aggregate is wrong in one coordinate."""
    aggregate = game.honest().aggregate.copy()
    aggregate[where] += 1
    model = game.genesis + aggregate
    game.publish(STRANGER, None, game.put(store, aggregate), game.put(store, model))


def test_wrong_aggregate_is_refuted_and_who_sealed_the_proof_gets_the_award(
    network: Network, store: MemoryStore
) -> None:
    game = _aggregating(network)
    _lied(game, store)
    case = game.case()
    challenge = case.challenge(store)
    assert challenge is not None
    assert (case.wrong, challenge.chunk) == (Published.AGGREGATE, 1)
    where = {"chain_id": game.chain.chain_id, "contract": game.chain.contract}
    salt = game.salt(CHALLENGER)
    seal = challenge.seal(**where, challenger=game.address(CHALLENGER), salt=salt)

    before = game.look()
    game.seal(CHALLENGER, challenge)
    sealed = game.look()
    game.prove(CHALLENGER, challenge)

    assert (before.is_sealed(seal), sealed.is_sealed(seal)) == (False, True)
    look, bond_wei = game.look(), game.params.bond_wei
    assert look.credit(game.params.currency, game.address(CHALLENGER)) == bond_wei // 2
    assert look.burned_wei(game.params.currency) == bond_wei - bond_wei // 2
    assert look.phase(game.task_id, 1) is Phase.AGGREGATE
    assert (game.state().refutations, game.state().published_at) == (1, 0)


def test_copied_proof_refutes_but_earns_nothing(embedded: Network, store: MemoryStore) -> None:
    game = _aggregating(embedded)
    _lied(game, store)
    challenge = game.case().challenge(store)
    assert challenge is not None
    game.seal(CHALLENGER, challenge)

    copied = challenge.args(game.salt(CHALLENGER))
    game.send(OTHER, challenge.function, *copied)

    look = game.look()
    assert look.phase(game.task_id, 1) is Phase.AGGREGATE
    assert (
        look.credit(game.params.currency, game.address(OTHER))
        == look.credit(game.params.currency, game.address(CHALLENGER))
        == 0
    )
    assert look.burned_wei(game.params.currency) == game.params.bond_wei
    sealed = Claim(1, challenge.kind, challenge.chunk, challenge.subject)
    assert look.unawarded(game.task_id) == (sealed,)


def test_refutation_of_what_the_logs_do_not_show_is_not_believed(
    embedded: Network, store: MemoryStore
) -> None:
    game = _aggregating(embedded)
    _lied(game, store)
    challenge = game.case().challenge(store)
    assert challenge is not None
    game.prove(CHALLENGER, challenge)
    published = "0x" + game.chain.interface.topics["AggregatePublished"].hex()

    def leave_out(method: str, _params: Any, ask: Callable[[], Any]) -> Any:
        answer = ask()
        if method != "eth_getLogs":
            return answer
        logs = [log for log in answer["result"] if _hexed(log["topics"][0]) != published]
        return answer | {"result": logs}

    chain = embedded.deployment.connect(Wrapped(embedded.endpoint, leave_out))
    with pytest.raises(ChainAnswerInvalid, match="a refuted aggregateRoot, but not its root"):
        chain.at(chain.head()).unawarded(game.task_id)


def _hexed(topic: str | bytes) -> str:
    return topic if isinstance(topic, str) else "0x" + bytes(topic).hex()


def test_proof_in_the_block_of_its_seal_earns_nothing(anvil: Network, store: MemoryStore) -> None:
    game = _aggregating(anvil)
    _lied(game, store)
    challenge = game.case().challenge(store)
    assert challenge is not None
    where = {"chain_id": game.chain.chain_id, "contract": game.chain.contract}
    salt = game.salt(CHALLENGER)
    seal = challenge.seal(**where, challenger=game.address(CHALLENGER), salt=salt)

    head = game.chain.head().number
    _send_in_one_block(game, ("sealChallenge", (seal,)), (challenge.function, challenge.args(salt)))

    look = game.look()
    assert look.block.number == head + 1
    assert look.is_sealed(seal)
    assert game.state().refutations == 1
    assert look.credit(game.params.currency, game.address(CHALLENGER)) == 0
    assert look.burned_wei(game.params.currency) == game.params.bond_wei


def _send_in_one_block(game: Game, *calls: tuple[str, tuple[object, ...]]) -> None:
    rpc, account = game.chain.rpc, game.network.accounts[CHALLENGER]
    nonce = quantity(rpc.request("eth_getTransactionCount", account.address, "latest"), "nonce")
    rpc.request("evm_setAutomine", False)
    try:
        for number, (function, args) in enumerate(calls):
            calldata = game.chain.interface.functions[function].encode(args)
            signed = account.sign_transaction(
                {
                    "chainId": game.chain.chain_id,
                    "nonce": nonce + number,
                    "to": game.chain.contract,
                    "data": calldata,
                    "gas": 2_000_000,
                    "maxFeePerGas": 10**12,
                    "maxPriorityFeePerGas": 10**9,
                    "value": 0,
                }
            )
            rpc.request("eth_sendRawTransaction", "0x" + bytes(signed.raw_transaction).hex())
        rpc.request("evm_mine")
    finally:
        rpc.request("evm_setAutomine", True)


@pytest.mark.parametrize("rule", BY_COORDINATE)
@pytest.mark.parametrize("flagged", [(), (1,), (2,), (3,)])
def test_wrong_aggregate_of_the_included_is_refuted_under_every_rule(
    embedded: Network, store: MemoryStore, rule: Rule, flagged: tuple[int, ...]
) -> None:
    clip_norm = 40 if rule is Rule.CLIPPED_MEAN else 0
    game = _aggregating(embedded, *flagged, rule=rule, clip_norm=clip_norm)
    _lied(game, store, where=DIMENSION - 1)

    challenge = game.case().challenge(store)
    assert challenge is not None
    game.prove(CHALLENGER, challenge)

    assert game.state().refutations == 1


@pytest.mark.parametrize("rule", BY_COORDINATE)
@pytest.mark.parametrize("flagged", [(), (1,), (3,)])
def test_right_result_is_final_and_pays_the_included(
    embedded: Network, store: MemoryStore, rule: Rule, flagged: tuple[int, ...]
) -> None:
    clip_norm = 40 if rule is Rule.CLIPPED_MEAN else 0
    game = _aggregating(embedded, *flagged, rule=rule, clip_norm=clip_norm)
    honest = game.honest()
    game.publish(STRANGER, None, game.put(store, honest.aggregate), game.put(store, honest.model))
    case = game.case()
    assert case.wrong is None
    assert case.challenge(store) is None

    game.travel(game.deadlines().challenge)
    game.send(OTHER, "finalise", game.task_id)

    game.distribute(CHALLENGER)
    share_wei = game.params.reward_wei // (len(DESKS) - len(flagged))
    for desk in DESKS:
        game.send(desk, "leave", game.task_id)
        earned_wei = 0 if desk in flagged else share_wei
        assert game.credit(desk) == game.params.stake_wei + earned_wei


def test_aggregate_of_all_the_revealed_is_wrong_once_one_is_excluded(
    embedded: Network, store: MemoryStore
) -> None:
    game = _aggregating(embedded, 3)
    everybody = ((game.values(1).astype(int) + game.values(2) + game.values(3)) // 3).astype("i2")
    model = game.genesis + everybody
    game.publish(STRANGER, None, game.put(store, everybody), game.put(store, model))

    challenge = game.case().challenge(store)
    assert challenge is not None
    game.prove(CHALLENGER, challenge)

    assert game.state().refutations == 1


def test_wrong_model_is_refuted(network: Network, store: MemoryStore) -> None:
    game = _aggregating(network)
    honest = game.honest()
    model = honest.model.copy()
    model[-1] += 1
    game.publish(STRANGER, None, game.put(store, honest.aggregate), game.put(store, model))
    case = game.case()
    challenge = case.challenge(store)
    assert challenge is not None
    assert (case.wrong, challenge.chunk) == (Published.MODEL, 2)

    game.seal(CHALLENGER, challenge)
    game.prove(CHALLENGER, challenge)

    assert game.credit(CHALLENGER) == game.params.bond_wei // 2
    assert game.state().refutations == 1


@pytest.mark.parametrize("claimed", [2**31 - 1, -(2**31)])
def test_any_model_is_refuted_where_no_int32_holds_the_sum(
    embedded: Network, store: MemoryStore, claimed: int
) -> None:
    game = Game(embedded, dimension=DIMENSION, genesis=2**31 - 1)
    game.begin()
    game.play_until_revealed()
    game.travel(game.deadlines().availability)
    aggregate = game.values(2)
    model = np.full(DIMENSION, claimed, dtype=np.int32)
    game.publish(STRANGER, None, game.put(store, aggregate), game.put(store, model))

    case = game.case()
    challenge = case.challenge(store)
    assert challenge is not None
    game.prove(CHALLENGER, challenge)

    assert case.wrong is Published.MODEL
    assert game.state().refutations == 1


@pytest.mark.parametrize("what", [Published.AGGREGATE, Published.MODEL])
def test_wrong_result_that_nobody_serves_is_refuted_by_a_flag(
    network: Network, store: MemoryStore, what: Published
) -> None:
    game = _aggregating(network)
    right, hidden = game.put(store, game.honest().aggregate), b"\x09" * 32
    game.publish(
        STRANGER, None, *((hidden, hidden) if what is Published.AGGREGATE else (right, hidden))
    )
    case = game.case()
    with pytest.raises(BlobNotFound):
        case.challenge(store)
    assert case.wrong is what

    game.flag_result(CHALLENGER, what)
    flag = game.look().result_flag(game.task_id, what)
    assert (flag.round, flag.root, flag.flagger) == (1, hidden, game.address(CHALLENGER))
    assert game.state().is_flagged(what)
    game.travel(game.deadlines().post_result)
    game.refute_unavailable(OTHER, what)

    look, params = game.look(), game.params
    assert (
        look.credit(game.params.currency, game.address(CHALLENGER))
        == params.bond_wei // 2 + params.flag_wei
    )
    assert look.credit(game.params.currency, game.address(OTHER)) == 0
    assert look.phase(game.task_id, 1) is Phase.AGGREGATE
    assert game.state().result_flags == 0


def test_flagged_lie_that_is_posted_is_proven_from_the_chain(embedded: Network) -> None:
    game = _aggregating(embedded)
    _lied(game, served := MemoryStore())
    lie = game.honest().aggregate.copy()
    lie[300] += 1
    game.flag_result(CHALLENGER, Published.AGGREGATE)
    game.post_result(STRANGER, Published.AGGREGATE, lie)
    deposit_wei = game.credit(STRANGER)

    posted = PostedStore(game.chain, game.task_id, game.params)
    challenge = game.case().challenge(posted)

    assert challenge == game.case().challenge(served)
    assert challenge is not None
    game.prove(CHALLENGER, challenge)
    assert deposit_wei == game.params.flag_wei
    assert game.state().refutations == 1


def test_posted_model_is_the_next_rounds_base(embedded: Network, store: MemoryStore) -> None:
    game = _aggregating(embedded)
    honest = game.honest()
    game.publish(STRANGER, None, game.put(store, honest.aggregate), honest.model_root)
    game.flag_result(OTHER, Published.MODEL)
    game.post_result(STRANGER, Published.MODEL, honest.model)
    assert game.look().result_flag(game.task_id, Published.MODEL).flagger == ZERO_ADDRESS
    game.travel(game.deadlines().challenge)
    game.open()

    root = game.look().base_model_root(game.task_id, 2)
    blob = PostedStore(game.chain, game.task_id, game.params).get(
        root, chunk_length=game.params.chunk_length, shift=game.params.shift
    )
    np.testing.assert_array_equal(blob.values, honest.model)


def test_flag_on_a_result_that_becomes_final_is_paid_back(embedded: Network) -> None:
    game = _aggregating(embedded)
    game.publish(STRANGER)
    game.flag_result(OTHER, Published.MODEL)
    game.travel(game.deadlines().challenge)
    game.send(CHALLENGER, "finalise", game.task_id)
    assert game.credit(OTHER) == game.params.flag_wei


def test_update_that_is_posted_is_included_again(network: Network, store: MemoryStore) -> None:
    game = Game(network, dimension=DIMENSION)
    game.begin()
    game.play_until_revealed()
    game.flag(OTHER, 2)
    flagged = game.look()
    game.post(STRANGER, 2)
    posted = game.look()

    (missing,) = flagged.excluded(game.task_id, 1)
    assert missing.participant == game.address(2)
    assert len(flagged.included(game.task_id, 1)) == len(DESKS) - 1
    assert posted.excluded(game.task_id, 1) == ()
    assert posted.included(game.task_id, 1) == posted.revealed(game.task_id, 1)
    assert posted.credit(game.params.currency, game.address(2)) == game.params.flag_wei
    assert posted.update_flag(game.task_id, game.address(2)).flagger == ZERO_ADDRESS
    # Whoever could fetch nothing at all has the posted bytes.
    for desk in (1, 3):
        game.put(store, game.values(desk))
    store.blobs.update(
        {
            missing.update_root: PostedStore(game.chain, game.task_id, game.params).get_bytes(
                missing.update_root, chunk_length=game.params.chunk_length
            )
        }
    )
    included = posted.included(game.task_id, 1)
    found = recompute_round(game.params, game.genesis, included, store)
    np.testing.assert_array_equal(found.aggregate, game.values(2))


def test_deposit_on_an_update_that_nobody_posts_is_reclaimed(embedded: Network) -> None:
    game = _aggregating(embedded, 2)
    flag = game.look().update_flag(game.task_id, game.address(2))
    now = game.chain.head().timestamp
    assert rounds.can_reclaim(game.params, game.state(), flag, now)
    game.send(STRANGER, "reclaimDeposit", game.task_id, game.address(2))
    look = game.look()
    assert look.credit(game.params.currency, game.address(OTHER)) == game.params.flag_wei
    assert look.excluded(game.task_id, 1)[0].participant == game.address(2)


def _false_norm(game: Game, desk: int) -> SumTree:
    """This desk's update under a root that claims a norm of one."""
    honest = game.tree(desk)
    sums = [[node.sum for node in level] for level in honest.levels]
    sums[-1][0] = 1
    return SumTree.recorded(game.values(desk), game.params.chunk_length, sums)


def _reveal_false_norm(game: Game, desk: int) -> SumTree:
    """A round up to its availability phase, in which two desks are honest and this one lies."""
    lie = _false_norm(game, desk)
    game.travel(game.deadlines().selection)
    game.commit(1, 3)
    game.commit(desk, tree=lie)
    game.travel(game.deadlines().commit)
    game.reveal(1, 3)
    game.reveal(desk, tree=lie)
    game.travel(game.deadlines().reveal)
    return lie


@pytest.mark.parametrize("flagged", [False, True])
def test_false_norm_costs_the_seat_and_excludes_the_update(
    network: Network, store: MemoryStore, flagged: bool
) -> None:
    game = Game(network, dimension=DIMENSION)
    game.begin()
    lie = _reveal_false_norm(game, 2)
    if flagged:
        game.flag(OTHER, 2)
    revealed = game.look().revealed(game.task_id, 1)
    challenge = challenge_norm(game.task_id, 1, revealed, 2, lie)
    assert challenge is not None

    game.seal(CHALLENGER, challenge)
    game.prove(CHALLENGER, challenge)

    look, stake_wei = game.look(), game.params.stake_wei
    assert look.excluded(game.task_id, 1) == (revealed[2],)
    assert look.credit(game.params.currency, game.address(CHALLENGER)) == stake_wei // 2
    assert look.burned_wei(game.params.currency) == stake_wei - stake_wei // 2
    assert look.seat(game.task_id, game.address(2)).active_from == 0
    assert look.task_state(game.task_id).seats == len(look.seated(game.task_id)) == 2
    assert look.credit(game.params.currency, game.address(OTHER)) == (
        game.params.flag_wei if flagged else 0
    )
    game.travel(game.deadlines().availability)
    game.publish(STRANGER, None, game.put(store, game.honest().aggregate))
    assert game.case().wrong is Published.MODEL


def test_norm_that_was_proven_false_without_a_seal_is_read_from_the_logs(
    embedded: Network,
) -> None:
    game = Game(embedded, dimension=DIMENSION)
    game.begin()
    lie = _reveal_false_norm(game, 2)
    challenge = challenge_norm(game.task_id, 1, game.look().revealed(game.task_id, 1), 2, lie)
    assert challenge is not None

    game.prove(CHALLENGER, challenge)

    assert game.look().unawarded(game.task_id) == (
        Claim(1, ProofKind.NORM, challenge.chunk, lie.root),
    )


def test_true_norm_is_not_proven_false(embedded: Network) -> None:
    game = Game(embedded)
    game.begin()
    game.play_until_revealed()
    revealed = game.look().revealed(game.task_id, 1)
    assert challenge_norm(game.task_id, 1, revealed, 0, game.tree(1)) is None


def test_round_that_was_refuted_eight_times_is_void(embedded: Network) -> None:
    game = Game(embedded)
    game.begin()
    game.play_until_revealed()
    game.travel(game.deadlines().availability)
    for refutations in range(1, MAX_REFUTATIONS + 1):
        assert game.look().phase(game.task_id, 1) is Phase.AGGREGATE
        game.lie(STRANGER)
        game.refute(OTHER)
        assert game.state().refutations == refutations
    assert game.look().phase(game.task_id, 1) is Phase.VOID
    game.open()
    assert game.look().phase(game.task_id, 2) is Phase.SELECTION


def test_round_that_loses_its_quorum_is_void(embedded: Network) -> None:
    game = _aggregating(embedded, 1, 3)
    assert game.look().phase(game.task_id, 1) is Phase.VOID
    assert replace(game.state(), unavailable=0).included == len(DESKS)
