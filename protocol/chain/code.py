"""The code of this version's contract and its modules, and whether it stands at an address."""

from typing import Final

from eth_hash.auto import keccak
from eth_utils.address import to_canonical_address

from contracts import artifact
from contracts.artifact import WORD_BYTES
from protocol.chain.abi import Interface
from protocol.chain.rpc import Rpc, address, octets
from protocol.errors import WrongChain

INTERFACE: Final = Interface(
    artifact.load().abi, [Interface(each.abi) for each in artifact.load().contracts.values()]
)
CONTRACT: Final = "Volquorum"
MODULES: Final = ("Members", "Availability", "Challenges", "Votes")
"""The contracts that `CONTRACT` forwards to, in the order in which its constructor takes them."""
OWN_ADDRESS: Final = "SELF"
"""The immutable of a module that is its own address."""
RUNTIME_HASH: Final = keccak(
    b"".join(
        keccak(artifact.load().contracts[name].runtime_bytecode) for name in (CONTRACT, *MODULES)
    )
)
"""Of the code of them all."""
ADVICE: Final = (
    "run the version that these contracts were deployed with, or deploy this one's to a new file "
    "(deploy --out FILE) and give that file, or the address in it, instead"
)
"""What to do about other code than this version's."""


def check_code(rpc: Rpc, contract: str) -> None:
    """Raises: WrongChain unless this artifact's code stands at `contract` and at its modules."""
    code = _code(rpc, CONTRACT, contract)
    for name in MODULES:
        words = artifact.load().contracts[CONTRACT].words_of(name.upper(), code)
        if len(words) != 1:
            raise WrongChain(
                f"the code at {contract} forwards to {len(words)} {name} contracts, wanted one; "
                f"{ADVICE}"
            )
        (word,) = words
        _code(rpc, name, address("0x" + word[-20:].hex(), name))


def _code(rpc: Rpc, name: str, where: str) -> bytes:
    """The code at an address. Raises: WrongChain unless it is this artifact's of that name."""
    wanted = artifact.load().contracts[name]
    code = octets(rpc.request("eth_getCode", where, "latest"), "eth_getCode")
    if not code:
        raise WrongChain(
            f"there is no {name} contract at {where} on the chain of {rpc.name}: wanted its code, "
            "found none; give the address of a node that serves its chain, or, where that chain "
            "was begun anew, deploy to a new file (deploy --out FILE) and give that file instead"
        )
    if wanted.masked(code) != wanted.runtime_bytecode:
        raise WrongChain(
            f"at {where} wanted this version's {name} contract, whose code hashes to "
            f"{keccak(wanted.runtime_bytecode).hex()}, found code that hashes to "
            f"{keccak(wanted.masked(code)).hex()}; {ADVICE}"
        )
    # A module that knows another address for its own would refuse what it is asked to do.
    if OWN_ADDRESS in wanted.immutables and wanted.words_of(OWN_ADDRESS, code) != {
        to_canonical_address(where).rjust(WORD_BYTES, b"\0")
    }:
        raise WrongChain(f"the code at {where} was made for another address; {ADVICE}")
    return code
