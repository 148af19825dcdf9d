"""Why the contract refused a call, in its own words: custom errors with their arguments.

Nodes do not agree on where they put a revert's bytes; every place used in practice is searched.
"""

import re
from collections.abc import Mapping

from protocol.chain.abi import CustomError, Interface
from protocol.chain.rpc import RpcRefused
from protocol.errors import ChainAnswerInvalid, Reverted

# The code for "execution reverted" of geth, Erigon and anvil; no standard fixes it.
EXECUTION_ERROR = 3

# The compiler's, and what the library says that moves tokens.
_BUILT_IN = {
    bytes.fromhex("08c379a0"): CustomError("Error", ("message",), ("string",)),
    bytes.fromhex("4e487b71"): CustomError("Panic", ("code",), ("uint256",)),
    bytes.fromhex("7939f424"): CustomError("TransferFromFailed", (), ()),
}
_HEX = re.compile(r"0x(?:[0-9a-fA-F]{2})*")


def revert_data(refused: RpcRefused) -> bytes | None:
    """The bytes that a call reverted with, or None if the node refused it for another reason."""
    found = _hex_in(refused.data)
    if found is not None:
        return found
    if refused.code == EXECUTION_ERROR or "revert" in refused.message.lower():
        return _hex_in(refused.message) or b""
    return None


def reverted(call: str, data: bytes, interface: Interface, message: str = "") -> Reverted:
    """The error to raise for a call that reverted with `data`; `message` is the node's, if any."""
    error = _BUILT_IN.get(data[:4]) or interface.errors.get(data[:4])
    if error is None:
        unknown: dict[str, object] = {"data": data} if data else {"message": message}
        return Reverted(call, "unknown", unknown)
    try:
        arguments = error.decode(data[4:])
    except ChainAnswerInvalid:
        return Reverted(call, "unknown", {"data": data})
    return Reverted(call, error.name, {name: _text(value) for name, value in arguments.items()})


def _text(value: object) -> object:
    """What Solidity keeps as text in 32 bytes, such as a field's name, as text."""
    if not isinstance(value, bytes):
        return value
    text = value.rstrip(b"\0").decode("latin-1")
    return text if text.isascii() and text.isprintable() and text else value


def _hex_in(value: object) -> bytes | None:
    if isinstance(value, Mapping):
        return next((found for part in value.values() if (found := _hex_in(part))), None)
    if not isinstance(value, str):
        return None
    # Parity and its heirs write "Reverted 0x...".
    match = _HEX.fullmatch(value.removeprefix("Reverted ").strip())
    return bytes.fromhex(match[0][2:]) if match else None
