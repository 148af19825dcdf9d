"""A participant's signature under its commitment or its vote, by which somebody else may send it.

EIP-712, so that a wallet shows what is signed; in the short form of EIP-2098. Two signatures of one
key under different commitments to one round cost it a slice of its stake; of two votes the one that
is sent first counts.
"""

from typing import Any, NamedTuple

from eth_account import Account
from eth_account.messages import SignableMessage, encode_typed_data
from eth_account.signers.local import LocalAccount
from eth_keys.exceptions import BadSignature
from eth_utils.exceptions import ValidationError

from protocol.errors import VerificationFailed
from protocol.recompute import Result

DOMAIN_NAME = "volquorum"
DOMAIN_VERSION = "1"
COMMIT_TYPE = {
    "Commit": [
        {"name": "taskId", "type": "bytes32"},
        {"name": "round", "type": "uint32"},
        {"name": "commitment", "type": "bytes32"},
    ]
}
VOTE_TYPE = {
    "Vote": [
        {"name": "taskId", "type": "bytes32"},
        {"name": "round", "type": "uint32"},
        {"name": "updatesHash", "type": "bytes32"},
        {"name": "unavailable", "type": "uint64"},
        {"name": "aggregateRoot", "type": "bytes32"},
        {"name": "modelRoot", "type": "bytes32"},
    ]
}
# Half of the order of secp256k1: of a signature and its mirror image one has a smaller s.
HIGHEST_S = 0x7FFFFFFF_FFFFFFFF_FFFFFFFF_FFFFFFFF_5D576E73_57A4501D_DFE92F46_681B20A0
_PARITY_BIT = 255
_LOWEST_V = 27


class SignedCommit(NamedTuple):
    """A commitment and its signature, in the order of the Solidity struct."""

    commitment: bytes
    r: bytes
    vs: bytes
    """The signature's s, and its parity in the highest bit."""


class Signature(NamedTuple):
    """A signature under a vote, in the order of the Solidity struct."""

    r: bytes
    vs: bytes
    """As in `SignedCommit`."""


class SigningDomain(NamedTuple):
    """What a signature is bound to beside what it is under."""

    chain_id: int
    contract: str
    task_id: bytes
    round_number: int

    def sign(self, account: LocalAccount, commitment: bytes) -> SignedCommit:
        """The account's signature under a commitment."""
        return SignedCommit(commitment, *_signed(account, self._commit(commitment)))

    def signer(self, signed: SignedCommit) -> str:
        """Who signed. Raises: VerificationFailed if nobody can have."""
        return _signer(self._commit(signed.commitment), Signature(signed.r, signed.vs))

    def sign_vote(self, account: LocalAccount, found: Result) -> Signature:
        """The account's signature under a vote for what it found."""
        return _signed(account, self._vote(found))

    def voter(self, found: Result, signature: Signature) -> str:
        """Who signed this vote. Raises: VerificationFailed if nobody can have."""
        return _signer(self._vote(found), signature)

    def _commit(self, commitment: bytes) -> SignableMessage:
        return self._message(COMMIT_TYPE, {"commitment": commitment})

    def _vote(self, found: Result) -> SignableMessage:
        content = {
            "updatesHash": found.updates_hash,
            "unavailable": found.unavailable,
            "aggregateRoot": found.aggregate_root,
            "modelRoot": found.model_root,
        }
        return self._message(VOTE_TYPE, content)

    def _message(
        self, message_type: dict[str, list[dict[str, str]]], content: dict[str, object]
    ) -> SignableMessage:
        domain: dict[str, Any] = {
            "name": DOMAIN_NAME,
            "version": DOMAIN_VERSION,
            "chainId": self.chain_id,
            "verifyingContract": self.contract,
        }
        message = {"taskId": self.task_id, "round": self.round_number} | content
        return encode_typed_data(domain, message_type, message)


def _signed(account: LocalAccount, message: SignableMessage) -> Signature:
    signed = account.sign_message(message)
    vs = (signed.v - _LOWEST_V) << _PARITY_BIT | signed.s
    return Signature(signed.r.to_bytes(32, "big"), vs.to_bytes(32, "big"))


def _signer(message: SignableMessage, signature: Signature) -> str:
    vs = int.from_bytes(signature.vs, "big")
    s = vs & ((1 << _PARITY_BIT) - 1)
    if s > HIGHEST_S:
        raise VerificationFailed("the signature's s is not the smaller one")
    vrs = (_LOWEST_V + (vs >> _PARITY_BIT), int.from_bytes(signature.r, "big"), s)
    try:
        return str(Account.recover_message(message, vrs=vrs))
    except (BadSignature, ValidationError) as failure:
        raise VerificationFailed(f"nobody signed this: {failure}") from failure
