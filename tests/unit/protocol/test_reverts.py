from typing import Any

import pytest
from eth_abi.abi import encode

from protocol.chain.abi import Interface
from protocol.chain.reverts import revert_data, reverted
from protocol.chain.rpc import RpcRefused

pytestmark = pytest.mark.unit

ABI: list[dict[str, Any]] = [
    {
        "type": "error",
        "name": "WrongRound",
        "inputs": [{"name": "taskId", "type": "bytes32"}, {"name": "given", "type": "uint32"}],
    },
    {"type": "error", "name": "Named", "inputs": [{"name": "field", "type": "bytes32"}]},
    {"type": "error", "name": "Refused", "inputs": [{"name": "by", "type": "address"}]},
    {"type": "error", "name": "Plain", "inputs": []},
]
INTERFACE = Interface(ABI)
SELECTORS = {error.name: selector for selector, error in INTERFACE.errors.items()}
TASK = b"\x99" * 32
WRONG_ROUND = SELECTORS["WrongRound"] + encode(["bytes32", "uint32"], [TASK, 7])


def test_a_custom_error_comes_with_its_arguments_by_name() -> None:
    error = reverted("join", WRONG_ROUND, INTERFACE)
    assert (error.call, error.error) == ("join", "WrongRound")
    assert error.arguments == {"taskId": TASK, "given": 7}
    assert str(error) == f"join was refused: WrongRound(taskId=0x{TASK.hex()}, given=7)"


def test_text_in_a_word_is_shown_as_text() -> None:
    data = SELECTORS["Named"] + b"chunkLength".ljust(32, b"\0")
    assert reverted("createTask", data, INTERFACE).arguments == {"field": "chunkLength"}
    empty = SELECTORS["Named"] + bytes(32)
    assert reverted("createTask", empty, INTERFACE).arguments == {"field": bytes(32)}


def test_addresses_are_checksummed() -> None:
    data = SELECTORS["Refused"] + bytes(12) + b"\xab" * 20
    arguments = reverted("join", data, INTERFACE).arguments
    assert arguments == {"by": "0xABaBaBaBABabABabAbAbABAbABabababaBaBABaB"}


@pytest.mark.parametrize(
    ("data", "error", "arguments"),
    [
        (bytes.fromhex("08c379a0") + encode(["string"], ["no"]), "Error", {"message": "no"}),
        (bytes.fromhex("4e487b71") + encode(["uint256"], [0x11]), "Panic", {"code": 0x11}),
        (SELECTORS["Plain"], "Plain", {}),
        (b"\x01\x02\x03\x04\x05", "unknown", {"data": b"\x01\x02\x03\x04\x05"}),
        (b"", "unknown", {"message": "out of gas"}),
        (WRONG_ROUND[:-1], "unknown", {"data": WRONG_ROUND[:-1]}),
        (WRONG_ROUND + b"\0", "unknown", {"data": WRONG_ROUND + b"\0"}),
    ],
)
def test_every_kind_of_revert_has_a_name(
    data: bytes, error: str, arguments: dict[str, object]
) -> None:
    found = reverted("call", data, INTERFACE, "out of gas")
    assert (found.error, found.arguments) == (error, arguments)


HEX = "0x" + WRONG_ROUND.hex()


@pytest.mark.parametrize(
    ("code", "message", "data"),
    [
        (3, "execution reverted", HEX),  # geth, Erigon, anvil
        (-32000, "execution reverted", HEX),
        (-32015, "VM execution error.", f"Reverted {HEX}"),  # OpenEthereum and its heirs
        (-32603, "Internal error", {"message": "reverted", "data": HEX}),  # Hardhat
        (-32603, "Internal error", {"originalError": {"code": 3, "data": HEX}}),  # wallets
        (-32000, "Reverted " + HEX, None),
    ],
)
def test_the_data_is_found_wherever_a_node_puts_it(code: int, message: str, data: object) -> None:
    assert revert_data(RpcRefused("eth_call", code, message, data)) == WRONG_ROUND


@pytest.mark.parametrize(
    ("code", "message", "data", "found"),
    [
        (3, "execution reverted", None, b""),
        (-32000, "execution reverted", "0x", b""),
        (-32000, "VM Exception: revert", {"nothing": 1}, b""),
        (-32000, "insufficient funds for transfer", None, None),
        (-32601, "the method eth_call does not exist", "see the manual", None),
        (None, "odd", "0x123", None),
    ],
)
def test_a_refusal_without_data_is_a_revert_only_if_it_says_so(
    code: int | None, message: str, data: object, found: bytes | None
) -> None:
    assert revert_data(RpcRefused("eth_call", code, message, data)) == found
