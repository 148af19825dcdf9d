"""A signature names one chain, contract, task and round, and has one form."""

import pytest
from eth_account import Account

from protocol.errors import VerificationFailed
from protocol.recompute import Result
from protocol.signing import HIGHEST_S, SigningDomain

pytestmark = pytest.mark.unit

ACCOUNT = Account.from_key(b"\1" * 32)
DOMAIN = SigningDomain(31337, "0x" + "ab" * 20, b"\2" * 32, 3)
SIGNED = DOMAIN.sign(ACCOUNT, b"\5" * 32)
FOUND = Result(b"\7" * 32, b"\6" * 32, b"\5" * 32, 0b100)
VOTED = DOMAIN.sign_vote(ACCOUNT, FOUND)


@pytest.mark.parametrize(
    "other",
    [
        DOMAIN._replace(chain_id=1),
        DOMAIN._replace(contract="0x" + "ac" * 20),
        DOMAIN._replace(task_id=b"\3" * 32),
        DOMAIN._replace(round_number=4),
    ],
)
def test_signature_is_worth_nothing_elsewhere(other):
    assert DOMAIN.signer(SIGNED) == ACCOUNT.address
    assert other.signer(SIGNED) != ACCOUNT.address
    assert DOMAIN.voter(FOUND, VOTED) == ACCOUNT.address
    assert other.voter(FOUND, VOTED) != ACCOUNT.address


def test_signature_is_under_one_commitment():
    assert DOMAIN.signer(SIGNED._replace(commitment=b"\6" * 32)) != ACCOUNT.address


@pytest.mark.parametrize(
    "changes",
    [
        {"aggregate_root": b"\1" * 32},
        {"model_root": b"\1" * 32},
        {"updates_hash": b"\1" * 32},
        {"unavailable": 0b101},
    ],
)
def test_signature_is_under_one_vote(changes):
    assert DOMAIN.voter(FOUND._replace(**changes), VOTED) != ACCOUNT.address


def test_signing_again_gives_the_same_signature():
    assert DOMAIN.sign(ACCOUNT, b"\5" * 32) == SIGNED


@pytest.mark.parametrize(
    "forged",
    [
        SIGNED._replace(r=bytes(32)),
        SIGNED._replace(r=b"\xff" * 32),
        SIGNED._replace(r=(5).to_bytes(32, "big")),  # of no point on the curve
        SIGNED._replace(vs=bytes(32)),
        SIGNED._replace(vs=(HIGHEST_S + 1).to_bytes(32, "big")),
        SIGNED._replace(vs=b"\xff" * 32),
    ],
)
def test_what_nobody_can_have_signed_is_refused(forged):
    with pytest.raises(VerificationFailed):
        DOMAIN.signer(forged)
    with pytest.raises(VerificationFailed):
        DOMAIN.voter(FOUND, VOTED._replace(r=forged.r, vs=forged.vs))


def test_every_signature_has_the_smaller_s():
    for number in range(50):
        signed = DOMAIN.sign(ACCOUNT, number.to_bytes(32, "big"))
        assert int.from_bytes(signed.vs, "big") % 2**255 <= HIGHEST_S
        assert DOMAIN.signer(signed) == ACCOUNT.address
