"""Scores follow the order of reveal, and say nothing of what could not be had."""

from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pytest
from eth_account import Account
from eth_hash.auto import keccak

from node.memory import MemoryFile, Remembered, Scores
from node.results import Results
from node.scoring import Scoring
from node.sending import Sending
from protocol.blobs import DirectoryStore
from protocol.encoding import encode_model, encode_update
from protocol.errors import DataError
from protocol.keys import derive_scores_salt
from protocol.recompute import RevealedUpdate
from protocol.scores import scores_commitment, stored_scores_commitment
from protocol.state import RoundState, Seat
from protocol.sumtree import SumTree
from protocol.task import RewardRule, TaskParams

pytestmark = pytest.mark.unit

TASK, ROUND, CONTRACT = b"\5" * 32, 3, "0x" + "C0" * 20
ACCOUNT = Account.from_key(b"\7" * 32)
OTHERS = tuple("0x" + digit * 40 for digit in "abcd")
DIMENSION = 40
PARAMS = replace(
    TaskParams.default(
        model_spec_hash=b"\1" * 32, genesis_model_root=b"\1" * 32, dimension=DIMENSION, closes_at=9
    ),
    chunk_length=16,
    reward_rule=RewardRule.SCORES,
)
BASE = np.arange(DIMENSION, dtype=np.int32)
HASH = b"\6" * 31 + b"\5"
STATE = RoundState(opened_at=1, updates_hash=HASH)


class Judging:
    """Finds every update worth its first coordinate."""

    def __init__(self, failure=None):
        self.failure = failure

    def scores(self, base, updates, *, shift, own, newness):
        assert np.array_equal(base, BASE)
        assert shift == PARAMS.shift
        self.own, self.newness = own, newness
        if self.failure is not None:
            raise self.failure
        return bytes(0 if row == own else int(update[0]) for row, update in enumerate(updates))


def update_of(number):
    return np.full(DIMENSION, 10 * (number + 1), dtype=np.int16)


@pytest.fixture
def store(tmp_path):
    return DirectoryStore(tmp_path)


@pytest.fixture
def revealed(store):
    """Five updates, the third of them this account's."""
    found = []
    for number, participant in enumerate((*OTHERS[:2], ACCOUNT.address, *OTHERS[2:])):
        tree = SumTree.of(update_of(number), PARAMS.chunk_length)
        store.put(encode_update(update_of(number), PARAMS.shift), chunk_length=16)
        found.append(RevealedUpdate(participant, tree.root, tree.squared_norm))
    return found


@pytest.fixture
def sent():
    return []


@pytest.fixture
def memory(tmp_path):
    return Remembered(MemoryFile(tmp_path / "memory.npz"), DIMENSION)


@pytest.fixture
def scoring_by(store, memory, sent):
    """What a node does that judges so."""

    def send(function, args, *, value_wei=0, purpose):
        sent.append((function, args, value_wei, purpose.removeprefix(f"{TASK.hex()}:")))

    store.put(encode_model(BASE, PARAMS.shift), chunk_length=16)
    sending = Sending(SimpleNamespace(send=send), TASK)
    results = Results(
        task_id=TASK, params=PARAMS, public=store, kept=store, memory=memory, sending=sending
    )
    chain = SimpleNamespace(chain_id=31337, contract=CONTRACT)
    return lambda judge: Scoring(
        chain=chain,
        account=ACCOUNT,
        task_id=TASK,
        params=PARAMS,
        judge=judge,
        kept=store,
        everywhere=store,
        memory=memory,
        results=results,
        sending=sending,
    )


@pytest.fixture
def judged(scoring_by, memory):
    """The scores that a node commits to which remembers none."""

    def judged(revealed, *, state=STATE, judge=None, earlier=()):
        by_round = {ROUND: tuple(revealed), ROUND - 1: tuple(earlier)}
        snapshot = SimpleNamespace(
            revealed=lambda _, number: by_round.get(number, ()),
            base_model_root=lambda *_: SumTree.of(BASE, PARAMS.chunk_length).root,
        )
        memory.save(replace(memory.now, scores=None))
        scoring = scoring_by(judge or Judging())
        scoring.commit(snapshot, ROUND, state)
        assert scoring.judges(ROUND) is (memory.now.scores is not None)
        return memory.now.scores

    return judged


def test_each_update_gets_its_byte_and_the_own_one_nothing(judged, revealed):
    assert judged(revealed) == Scores(ROUND, HASH, bytes([10, 20, 0, 40, 50]))


def test_unavailable_and_missing_updates_get_nothing(judged, revealed, store):
    store.file_of(revealed[3].update_root).unlink()
    state = replace(STATE, unavailable=0b00001)
    judge = Judging()

    found = judged(revealed, state=state, judge=judge)

    assert found == Scores(ROUND, HASH, bytes([0, 20, 0, 0, 50]))
    assert judge.own == 1, "of the two before it one was left out"


def test_judge_whose_own_update_is_excluded_still_judges(judged, revealed):
    judge = Judging()
    found = judged(revealed, state=replace(STATE, unavailable=0b00100), judge=judge)

    assert found == Scores(ROUND, HASH, bytes([10, 20, 0, 40, 50]))
    assert judge.own is None


def test_update_of_another_norm_than_revealed_gets_nothing(judged, revealed):
    revealed[0] = revealed[0]._replace(squared_norm=1)

    assert judged(revealed) == Scores(ROUND, HASH, bytes([0, 20, 0, 40, 50]))


def test_what_others_showed_before_is_not_new_and_what_was_not_kept_is_not_missed(
    judged, revealed, store
):
    shown = update_of(3) + np.int16(1) * (np.arange(DIMENSION) == 7)
    tree = SumTree.of(shown.astype(np.int16), PARAMS.chunk_length)
    store.put(encode_update(shown.astype(np.int16), PARAMS.shift), chunk_length=16)
    earlier = [
        RevealedUpdate(OTHERS[0], tree.root, tree.squared_norm),
        RevealedUpdate(OTHERS[1], b"\1" * 32, 9),
    ]
    judge = Judging()

    judged(revealed, judge=judge)
    assert judge.newness is None, "nothing was shown before"
    judged(revealed, judge=judge, earlier=earlier)

    # All point the same way here, and only the one who showed it first may show it again.
    assert judge.newness[0] == 1
    assert (judge.newness[1:] < 0.01).all()


def test_whoever_cannot_judge_says_nothing(judged, revealed, store):
    assert judged(revealed, judge=Judging(DataError("no quotes"))) is None
    assert judged(revealed[:2]) is None, "who revealed nothing has no say"
    for update in revealed:
        store.file_of(update.update_root).unlink()
    assert judged(revealed) is None


def test_commitment_opens_to_the_scores_and_no_other_account_or_round(scoring_by, memory, sent):
    scores = Scores(ROUND, HASH, b"\1\2\3")
    salt = derive_scores_salt(ACCOUNT, 31337, CONTRACT, TASK, ROUND)
    commitment = scores_commitment(
        chain_id=31337,
        contract=CONTRACT,
        task_id=TASK,
        round_number=ROUND,
        participant=ACCOUNT.address,
        scores=scores.given,
        salt=salt,
    )

    scoring = scoring_by(Judging())
    memory.save(replace(memory.now, scores=scores))
    scoring.commit(None, ROUND, STATE)
    scoring.reveal()

    assert sent == [
        ("commitScores", (TASK, ROUND, commitment), 0, f"{ROUND}:scores:{commitment.hex()}"),
        ("revealScores", (TASK, ROUND, scores.given, salt), 0, f"{ROUND}:reveal scores"),
    ]
    seat = Seat(scored_round=ROUND, score_commitment=stored_scores_commitment(commitment))
    assert scoring.is_committed(seat, ROUND, STATE)
    other_updates = replace(STATE, updates_hash=keccak(b"other"))
    for other, kept, number, state in (
        (seat, None, ROUND, STATE),
        (seat, scores, ROUND + 1, STATE),
        (seat, scores, ROUND, other_updates),
        (seat, Scores(ROUND, HASH, b"\1\2\4"), ROUND, STATE),
        (seat, Scores(ROUND - 1, HASH, scores.given), ROUND, STATE),
        (replace(seat, scored_round=ROUND - 1), scores, ROUND, STATE),
        (replace(seat, score_commitment=bytes(24)), scores, ROUND, STATE),
        (replace(seat, score_commitment=keccak(b"other")[:24]), scores, ROUND, STATE),
    ):
        memory.save(replace(memory.now, scores=kept))
        assert not scoring.is_committed(other, number, state)
