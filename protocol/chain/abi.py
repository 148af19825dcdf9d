"""The contract's interface, from its ABI: calls go in; answers, events and errors come out.

Decoding is strict. An answer must be the canonical encoding of what it decodes to, so a flipped bit
in a padding, an impossible enum member or trailing bytes are found here and not three layers later.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields
from enum import IntEnum, IntFlag
from typing import Any, TypeVar, get_type_hints

from eth_abi.abi import decode, encode
from eth_abi.exceptions import DecodingError, EncodingError
from eth_hash.auto import keccak
from eth_utils.abi import abi_to_signature, collapse_if_tuple
from eth_utils.address import to_checksum_address

from protocol.errors import ChainAnswerInvalid

Struct = TypeVar("Struct")


@dataclass(frozen=True)
class Function:
    """One function of the contract."""

    name: str
    selector: bytes
    inputs: tuple[str, ...]
    outputs: tuple[str, ...]

    def encode(self, arguments: Sequence[object]) -> bytes:
        """Calldata. Wrong arguments are a bug of the caller, not an event of the network."""
        return self.selector + encode(self.inputs, arguments)

    def decode(self, answer: bytes) -> tuple[Any, ...]:
        """What the function returned."""
        return _strictly(self.outputs, answer, self.name)


@dataclass(frozen=True)
class CustomError:
    """One error that the contract throws."""

    name: str
    names: tuple[str, ...]
    types: tuple[str, ...]

    def decode(self, data: bytes) -> dict[str, object]:
        """The error's arguments by name, from what follows its selector."""
        return dict(zip(self.names, _strictly(self.types, data, self.name), strict=True))


@dataclass(frozen=True)
class Event:
    """One event of the contract; indexed arguments come as topics, the others as data."""

    name: str
    indexed: tuple[tuple[str, str], ...]
    plain: tuple[tuple[str, str], ...]

    def decode(self, topics: Sequence[bytes], data: bytes) -> dict[str, Any]:
        """The event's arguments by name; `topics` without the first."""
        types = [kind for _, kind in self.indexed]
        found = [*_strictly(types, b"".join(topics), self.name)]
        found += _strictly([kind for _, kind in self.plain], data, self.name)
        names = [name for name, _ in (*self.indexed, *self.plain)]
        return dict(zip(names, found, strict=True))


class Interface:
    """A contract's functions by name, events by topic and errors by selector.

    The errors are also those of `others`, other contracts that are called with it.
    """

    def __init__(
        self, abi: Sequence[Mapping[str, Any]], others: Sequence["Interface"] = ()
    ) -> None:
        self.constructor: tuple[str, ...] = ()
        self.functions: dict[str, Function] = {}
        self.errors: dict[bytes, CustomError] = {}
        for other in others:
            self.errors |= other.errors
        self.events: dict[bytes, Event] = {}
        self.topics: dict[str, bytes] = {}
        for entry in abi:
            if entry["type"] == "function":
                inputs, outputs = _types(entry["inputs"]), _types(entry["outputs"])
                selector = _signature_hash(entry)[:4]
                self.functions[entry["name"]] = Function(entry["name"], selector, inputs, outputs)
            elif entry["type"] == "constructor":
                self.constructor = _types(entry["inputs"])
            elif entry["type"] == "error":
                names = tuple(part["name"] for part in entry["inputs"])
                error = CustomError(entry["name"], names, _types(entry["inputs"]))
                self.errors[_signature_hash(entry)[:4]] = error
            elif entry["type"] == "event":
                self.topics[entry["name"]] = _signature_hash(entry)
                self.events[_signature_hash(entry)] = _event(entry)


def struct(kind: type[Struct], values: Sequence[Any]) -> Struct:
    """A dataclass from the members of the Solidity struct that it mirrors, in the same order.

    Raises:
        ChainAnswerInvalid: an enum has no such member.
    """
    hints = get_type_hints(kind)
    members: list[object] = []
    for field, value in zip(fields(kind), values, strict=True):  # type: ignore[arg-type] # dataclass
        hint = hints[field.name]
        if isinstance(hint, type) and issubclass(hint, IntEnum | IntFlag):
            members.append(_member(hint, value, f"{kind.__name__}.{field.name}"))
        else:
            # Text is an address: no struct of the contract holds a string.
            members.append(to_checksum_address(value) if isinstance(value, str) else value)
    return kind(*members)


def _member(kind: type[IntEnum | IntFlag], value: int, what: str) -> IntEnum | IntFlag:
    try:
        return kind(value)
    except ValueError:
        raise ChainAnswerInvalid(f"{what}: {kind.__name__} has no member {value}") from None


def _strictly(types: Sequence[str], data: bytes, what: str) -> tuple[Any, ...]:
    try:
        values = decode(types, data)
        canonical = encode(types, values) == data
    except (DecodingError, EncodingError, OverflowError) as failure:
        raise ChainAnswerInvalid(f"{what}: {len(data)} bytes do not decode: {failure}") from failure
    if not canonical:
        raise ChainAnswerInvalid(f"{what}: {len(data)} bytes are not a canonical encoding")
    return tuple(
        _checksummed(value) if "address" in kind else value
        for kind, value in zip(types, values, strict=True)
    )


def _checksummed(value: object) -> object:
    """The same with its text as addresses: no argument has other text beside an address."""
    if isinstance(value, tuple):
        return tuple(map(_checksummed, value))
    return to_checksum_address(value) if isinstance(value, str) else value


def _types(parts: Sequence[Mapping[str, Any]]) -> tuple[str, ...]:
    return tuple(collapse_if_tuple(part) for part in parts)  # type: ignore[arg-type] # JSON


def _signature_hash(entry: Mapping[str, Any]) -> bytes:
    return keccak(abi_to_signature(entry).encode())  # type: ignore[arg-type] # the artifact is JSON


def _event(entry: Mapping[str, Any]) -> Event:
    arguments = [
        (part["name"], kind, part["indexed"])
        for part, kind in zip(entry["inputs"], _types(entry["inputs"]), strict=True)
    ]
    return Event(
        entry["name"],
        tuple((name, kind) for name, kind, indexed in arguments if indexed),
        tuple((name, kind) for name, kind, indexed in arguments if not indexed),
    )
