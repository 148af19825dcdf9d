"""A participant's signature under its commitment, by which somebody else may send it.

EIP-712, so that a wallet shows what is signed; in the short form of EIP-2098. Two signatures of one
key under different commitments to one round cost it a slice of its stake.
"""

from typing import Any, NamedTuple

from eth_account import Account
from eth_account.messages import SignableMessage, encode_typed_data
from eth_account.signers.local import LocalAccount
from eth_hash.auto import keccak
from eth_keys.exceptions import BadSignature
from eth_utils.exceptions import ValidationError

from protocol.errors import VerificationFailed

DOMAIN_NAME = "volquorum"
DOMAIN_VERSION = "1"
COMMIT_TYPE = {
    "Commit": [
        {"name": "taskId", "type": "bytes32"},
        {"name": "round", "type": "uint32"},
        {"name": "commitment", "type": "bytes32"},
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


class CommitDomain(NamedTuple):
    """What a signature is bound to beside the commitment."""

    chain_id: int
    contract: str
    task_id: bytes
    round_number: int

    def digest(self, commitment: bytes) -> bytes:
        """What is signed."""
        return keccak(b"\x19" + b"".join(self._message(commitment)))

    def sign(self, account: LocalAccount, commitment: bytes) -> SignedCommit:
        """The account's signature under a commitment."""
        signed = account.sign_message(self._message(commitment))
        vs = (signed.v - _LOWEST_V) << _PARITY_BIT | signed.s
        return SignedCommit(commitment, signed.r.to_bytes(32, "big"), vs.to_bytes(32, "big"))

    def signer(self, signed: SignedCommit) -> str:
        """Who signed. Raises: VerificationFailed if nobody can have."""
        vs = int.from_bytes(signed.vs, "big")
        s = vs & ((1 << _PARITY_BIT) - 1)
        if s > HIGHEST_S:
            raise VerificationFailed("the signature's s is not the smaller one")
        vrs = (_LOWEST_V + (vs >> _PARITY_BIT), int.from_bytes(signed.r, "big"), s)
        try:
            return str(Account.recover_message(self._message(signed.commitment), vrs=vrs))
        except (BadSignature, ValidationError) as failure:
            raise VerificationFailed(f"nobody signed this: {failure}") from failure

    def _message(self, commitment: bytes) -> SignableMessage:
        domain: dict[str, Any] = {
            "name": DOMAIN_NAME,
            "version": DOMAIN_VERSION,
            "chainId": self.chain_id,
            "verifyingContract": self.contract,
        }
        message = {"taskId": self.task_id, "round": self.round_number, "commitment": commitment}
        return encode_typed_data(domain, COMMIT_TYPE, message)
