"""What can go wrong in normal operation, as one tree.

Anything that is not a `VolquorumError` is a bug and ends the process.

    VolquorumError
    ├── ConfigError           a setting is missing, unknown or out of range
    ├── DataError             market data is not what its reader was promised
    ├── EncodingError         bytes are not a canonical blob
    ├── RangeError            a number does not fit its fixed-point type
    ├── RuleError             a rule cannot be applied to these updates
    ├── StorageError          this machine's disk is full, or gone; try again later
    ├── BlobError
    │   ├── BlobNotFound      no store has the blob
    │   ├── BlobCorrupt       a store answered with other bytes than were asked for
    │   └── BlobStoreDown     a store did not answer in time or at all; try again later
    ├── ChainError
    │   ├── ChainUnavailable  the node did not answer; try again later
    │   ├── ChainAnswerInvalid  the node answered something that cannot be true
    │   ├── WrongChain        another chain or contract than configured
    │   ├── Reverted          the contract refused a call; carries its custom error
    │   └── TransactionLost   a sent transaction vanished and its outcome is unknown
    └── VerificationFailed    a published result is not what its updates give
"""

from collections.abc import Mapping, Sequence


class VolquorumError(Exception):
    """Expected in normal operation."""


class ConfigError(VolquorumError):
    """A setting is missing, unknown or out of range."""


class DataError(VolquorumError):
    """Market data is not what its reader was promised."""


class EncodingError(VolquorumError):
    """Bytes are not a canonical blob."""


class RangeError(VolquorumError):
    """A number does not fit its fixed-point type."""


class RuleError(VolquorumError):
    """A rule cannot be applied to these updates."""


class StorageError(VolquorumError):
    """This machine's disk is full, or gone: what was to be written is not; trying again can help.

    Not a `BlobError`: what cannot be kept was served all the same, and nobody is to blame for it.
    """


class BlobError(VolquorumError):
    """A blob could not be stored or fetched; `root` names it, `why` says the rest.

    `served` are canonical blobs that were answered instead, under other roots.
    """

    def __init__(self, root: bytes, message: str, served: Sequence[bytes] = ()) -> None:
        self.root = root
        self.why = message
        self.served = tuple(served)
        super().__init__(f"blob {root.hex()}: {message}")


class BlobNotFound(BlobError):
    """No store has the blob."""


class BlobCorrupt(BlobError):
    """A store answered with other bytes than were asked for."""


class BlobStoreDown(BlobError):
    """A store did not answer in time or at all; trying again later can help."""


class ChainError(VolquorumError):
    """The chain, or the way to it, is not as expected."""


class ChainUnavailable(ChainError):
    """The chain's node did not answer; trying again later can help."""


class ChainAnswerInvalid(ChainError):
    """The chain's node answered something that cannot be true."""


class WrongChain(ChainError):
    """The node serves another chain, or another contract stands at the address."""


class Reverted(ChainError):
    """The contract refused a call.

    `error` is the custom error's name (or "Panic", "Error", "TransferFromFailed" of a token that
    was not allowed or does not cover a payment, "unknown"), `arguments` its arguments by name.
    """

    def __init__(self, call: str, error: str, arguments: Mapping[str, object]) -> None:
        self.call = call
        self.error = error
        self.arguments = dict(arguments)
        listed = ", ".join(f"{name}={_shown(value)}" for name, value in self.arguments.items())
        super().__init__(f"{call} was refused: {error}({listed})")


class TransactionLost(ChainError):
    """A sent transaction vanished and its outcome is unknown."""


class VerificationFailed(VolquorumError):
    """A published result is not what its updates give; the message names the first difference."""


def _shown(value: object) -> object:
    return "0x" + value.hex() if isinstance(value, bytes) else value
