"""Contracts that a test makes for itself: a token with money in it, a seed that it chooses."""

from functools import cache

import solcx
from eth_abi.abi import encode

from contracts import compile as contract_compiler
from protocol.chain.abi import Interface
from protocol.chain.code import INTERFACE
from protocol.chain.gateway import Chain
from protocol.chain.outbox import IN_MEMORY, Call, Outbox
from protocol.chain.rpc import Rpc, quantity
from protocol.chain.sender import Sender
from protocol.chain.transactor import Transactor
from tests.chain.network import SETTINGS, Network

TEXT = """
// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

contract PlainToken {
    mapping(address account => uint256 amountWei) public balanceOf;
    mapping(address account => mapping(address spender => uint256 amountWei)) public allowance;

    constructor(address[] memory holders, uint256 amountWei) {
        for (uint256 i = 0; i < holders.length; ++i) balanceOf[holders[i]] = amountWei;
    }

    function approve(address spender, uint256 amountWei) external virtual {
        allowance[msg.sender][spender] = amountWei;
    }

    function transfer(address to, uint256 amountWei) external {
        _move(msg.sender, to, amountWei);
    }

    function transferFrom(address from, address to, uint256 amountWei) external {
        allowance[from][msg.sender] -= amountWei;
        _move(from, to, amountWei);
    }

    function _move(address from, address to, uint256 amountWei) internal virtual {
        balanceOf[from] -= amountWei;
        balanceOf[to] += amountWei;
    }
}

// Changes an allowance only from or to nothing, as one in wide use does.
contract StubbornToken is PlainToken {
    constructor(address[] memory holders, uint256 amountWei) PlainToken(holders, amountWei) {}

    function approve(address spender, uint256 amountWei) external override {
        require(amountWei == 0 || allowance[msg.sender][spender] == 0, "from or to nothing");
        allowance[msg.sender][spender] = amountWei;
    }
}

contract FeeToken is PlainToken {
    constructor(address[] memory holders, uint256 amountWei) PlainToken(holders, amountWei) {}

    function _move(address from, address to, uint256 amountWei) internal override {
        super._move(from, to, amountWei - 1);
    }
}

contract ChosenSeed {
    bytes32 private seed;

    function choose(bytes32 chosen) external {
        seed = chosen;
    }

    function seedOf(uint256) external view returns (bytes32) {
        return seed;
    }
}
"""
_TOKEN = Interface(
    [
        {
            "type": "function",
            "name": "balanceOf",
            "inputs": [{"name": "account", "type": "address"}],
            "outputs": [{"name": "amountWei", "type": "uint256"}],
        }
    ]
)
_SEED = Interface(
    [
        {
            "type": "function",
            "name": "choose",
            "inputs": [{"name": "chosen", "type": "bytes32"}],
            "outputs": [],
        }
    ]
)
PURSE_WEI = 10**24


def token(network: Network, name: str = "PlainToken") -> str:
    """A token of which every account has the same amount; its address."""
    holders = [account.address for account in network.accounts]
    return _create(network, _code(name) + encode(["address[]", "uint256"], [holders, PURSE_WEI]))


def balance_wei(chain: Chain, token: str, account: str) -> int:
    """How much of a token an account has, in its smallest unit."""
    (found,) = chain.ask(token, _TOKEN.functions["balanceOf"], account, at="latest")
    return int(found)


def chosen_seed(network: Network) -> str:
    """A source of the seed that it was told last, of none before; its address."""
    return _create(network, _code("ChosenSeed"))


def choose(transactor: Transactor, source: str, seed: bytes) -> None:
    """Has a chosen seed be this one."""
    transactor.send_to(source, _SEED.functions["choose"], (seed,), purpose=f"choose:{seed.hex()}")


def _create(network: Network, code: bytes) -> str:
    rpc = Rpc(network.endpoint)
    chain_id = quantity(rpc.request("eth_chainId"), "eth_chainId")
    sender = Sender(
        rpc,
        chain_id,
        network.accounts[0],
        outbox=Outbox(IN_MEMORY),
        interface=INTERFACE,
        settings=SETTINGS,
    )
    created = sender.send("create", Call(None, code, 0), "create").created
    assert created is not None
    return created


@cache
def _code(name: str) -> bytes:
    task = {
        "language": "Solidity",
        "sources": {"made.sol": {"content": TEXT}},
        "settings": contract_compiler.compiler_settings()
        | {"outputSelection": {"*": {"*": ["evm.bytecode.object"]}}},
    }
    compiled = solcx.compile_standard(task, solc_binary=contract_compiler.compiler())
    found = compiled["contracts"]["made.sol"][name]["evm"]["bytecode"]["object"]
    return bytes.fromhex(found)
