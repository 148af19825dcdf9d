"""ERC-20 tokens as a task's currency: what an account lets the contract take."""

from typing import Any, Final

from protocol.chain.abi import Interface
from protocol.chain.events import Block
from protocol.chain.gateway import Chain
from protocol.chain.transactor import Transactor
from protocol.task import ZERO_ADDRESS


def _function(name: str, inputs: tuple[str, ...], outputs: tuple[str, ...]) -> dict[str, Any]:
    def parts(types: tuple[str, ...]) -> list[dict[str, str]]:
        return [{"name": "", "type": kind} for kind in types]

    return {"type": "function", "name": name, "inputs": parts(inputs), "outputs": parts(outputs)}


# What is sent has no outputs here: tokens do not agree on what it returns, and nobody reads it.
TOKEN: Final = Interface(
    [
        _function("allowance", ("address", "address"), ("uint256",)),
        _function("approve", ("address", "uint256"), ()),
    ]
)


def allowance_wei(chain: Chain, token: str, account: str, at: Block | str = "latest") -> int:
    """How much of a token the contract may take from an account, in its smallest unit."""
    (found,) = chain.ask(token, TOKEN.functions["allowance"], account, chain.contract, at=at)
    return int(found)


def value_to_send(transactor: Transactor, currency: str, amount_wei: int) -> int:
    """What to send with a call that pays this amount, having allowed the contract to take it.

    In ETH that is the amount; of a token nothing, for the contract takes it by itself. May be
    repeated without harm. Raises: as `Transactor.send`.
    """
    if currency == ZERO_ADDRESS:
        return amount_wei
    chain = transactor.chain
    head = chain.head()
    allowed_wei = allowance_wei(chain, currency, transactor.address, head)
    if allowed_wei < amount_wei:
        # Some tokens change an allowance only from or to nothing.
        for allowance in (0, amount_wei) if allowed_wei else (amount_wei,):
            # Named by the block: the same amount may be allowed many times, once it was taken.
            transactor.send_to(
                currency,
                TOKEN.functions["approve"],
                (chain.contract, allowance),
                purpose=f"approve:{currency}:{allowance}:{head.number}",
            )
    return 0
