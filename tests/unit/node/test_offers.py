"""A relayer is offered what is due until it takes it, and its word binds nobody."""

from types import SimpleNamespace

import pytest
from eth_account import Account

from node import offers as offers_module
from node.offers import Offers
from protocol.recompute import Result
from protocol.signing import SigningDomain
from protocol.state import Phase

pytestmark = pytest.mark.unit

ACCOUNT = Account.from_key(b"\7" * 32)
TASK, CONTRACT, COMMITMENT = b"\5" * 32, "0x" + "c0" * 20, b"\1" * 32
NOW, ROUND = 1_000, 3
FOUND = Result(b"\1" * 32, b"\2" * 32, b"\3" * 32, 0b10)
OPENING = {"tree_top": b"\1" * 32, "squared_norm": 9, "salt": b"\2" * 32}


class Answering:
    """A relayer that answers the same to everything."""

    def __init__(self, *, takes: bool) -> None:
        self.takes = takes
        self.given: list[tuple[object, ...]] = []

    def takes_commit(self, *given):
        self.given.append(given)
        return self.takes

    def takes_opening(self, *given, **opening):
        self.given.append((*given, opening))
        return self.takes

    def takes_vote(self, *given):
        self.given.append(given)
        return self.takes


def at(now):
    chain = SimpleNamespace(chain_id=31337, contract=CONTRACT)
    return SimpleNamespace(chain=chain, block=SimpleNamespace(number=7, timestamp=now))


@pytest.fixture
def make(monkeypatch):
    monkeypatch.setattr(offers_module, "can_pay_gas", lambda *_: True)

    def make(*, takes=True):
        relayer = Answering(takes=takes)
        return Offers(relayer, ACCOUNT, TASK), relayer

    return make


def standing(offers, number=ROUND, phase=Phase.COMMIT, now=NOW, *, votes=False):
    return offers.relaying(at(now), number, phase, signs=True, votes=votes)


def test_relayer_is_offered_a_signature_under_the_commitment_and_no_other(make):
    offers, relayer = make()

    offers.commitment(at(NOW), ROUND, COMMITMENT, 120)
    offers.commitment(at(NOW + 1), ROUND, COMMITMENT, 120)

    (first, again) = relayer.given
    assert first == again, "a second signature of the same is the same"
    task_id, number, participant, signed = first
    assert (task_id, number, participant) == (TASK, ROUND, ACCOUNT.address)
    domain = SigningDomain(31337, CONTRACT, TASK, ROUND)
    assert (signed.commitment, domain.signer(signed)) == (COMMITMENT, ACCOUNT.address)


def test_opening_is_offered_as_it_is(make):
    offers, relayer = make()

    offers.opening(at(NOW), ROUND, 60, **OPENING)

    assert relayer.given == [(TASK, ROUND, ACCOUNT.address, OPENING)]
    assert standing(offers, phase=Phase.REVEAL).taken


@pytest.mark.parametrize("phase", [Phase.AGGREGATE, Phase.CHALLENGE])
def test_vote_is_offered_signed_and_again_in_the_next_phase(make, phase):
    offers, relayer = make()
    assert not standing(offers, phase=phase, votes=True).taken

    offers.vote(at(NOW), ROUND, phase, FOUND, 60)

    ((*place, found, signature),) = relayer.given
    assert (place, found) == ([TASK, ROUND, ACCOUNT.address], FOUND)
    domain = SigningDomain(31337, CONTRACT, TASK, ROUND)
    assert domain.voter(FOUND, signature) == ACCOUNT.address
    for other in (Phase.AGGREGATE, Phase.CHALLENGE):
        assert standing(offers, phase=other, votes=True).taken == (other is phase)


def test_relayer_that_refuses_is_asked_again_after_a_twelfth_of_the_phase(make):
    offers, _ = make(takes=False)
    assert (standing(offers).taken, standing(offers).ask_from) == (False, 0)

    offers.commitment(at(NOW), ROUND, COMMITMENT, 120)
    assert (standing(offers).taken, standing(offers).ask_from) == (False, NOW + 10)
    offers.commitment(at(NOW + 10), ROUND, COMMITMENT, 5)
    assert standing(offers).ask_from == NOW + 11, "never within the same second"


def test_what_was_taken_in_one_phase_says_nothing_about_another(make):
    offers, _ = make()
    offers.commitment(at(NOW), ROUND, COMMITMENT, 120)

    assert standing(offers).taken
    for other in (standing(offers, phase=Phase.REVEAL), standing(offers, number=ROUND + 1)):
        assert (other.taken, other.ask_from) == (False, 0)


def test_relayer_has_nothing_to_do_outside_commit_and_reveal_without_a_vote(make):
    offers, _ = make()

    for phase in set(Phase) - {Phase.COMMIT, Phase.REVEAL}:
        assert standing(offers, phase=phase) is None
