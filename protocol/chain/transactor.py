"""Writes to the contract, and to others that it depends on: one purpose, one outcome."""

from eth_account.signers.local import LocalAccount

from protocol.chain.abi import Function
from protocol.chain.gateway import Chain
from protocol.chain.outbox import Call, Outbox
from protocol.chain.sender import Receipt, Sender, SenderSettings


class Transactor:
    """Sends one account's calls; see `Sender` for what it survives."""

    def __init__(
        self,
        chain: Chain,
        account: LocalAccount,
        outbox: Outbox,
        settings: SenderSettings | None = None,
    ) -> None:
        self.chain = chain
        self.account = account
        self._sender = Sender(
            chain.rpc,
            chain.chain_id,
            account,
            outbox=outbox,
            interface=chain.interface,
            settings=settings,
        )

    @property
    def address(self) -> str:
        """Who sends."""
        return str(self.account.address)

    def stop(self) -> None:
        """Ends waiting for what is in flight and sends nothing new; a signal's handler may call it.

        The outbox keeps what was sent, and the next process takes it up.
        """
        self._sender.stop()

    def simulate(self, function: str, args: tuple[object, ...], *, value_wei: int = 0) -> None:
        """Runs a call after the latest block without sending it. Raises: Reverted."""
        self._sender.simulate(function, self._call(function, args, value_wei))

    def send(
        self, function: str, args: tuple[object, ...], *, value_wei: int = 0, purpose: str
    ) -> Receipt:
        """Has a call mined once for this purpose, such as "{task}:{round}:commit".

        A purpose that was mined returns its receipt again; one in flight is waited for; one that
        failed is tried anew.

        Raises:
            Reverted: the contract refuses; nothing was sent, or it was mined and failed.
            TransactionLost: another transaction took its nonce; read the chain before deciding.
            ChainUnavailable: no outcome yet; the same call later takes up where this one stopped.
        """
        return self._sender.send(function, self._call(function, args, value_wei), purpose)

    def send_to(
        self, contract: str, function: Function, args: tuple[object, ...], *, purpose: str
    ) -> Receipt:
        """Has a call of another contract mined, such as a token, as `send` does. Raises: as it."""
        return self._sender.send(function.name, Call(contract, function.encode(args), 0), purpose)

    def _call(self, function: str, args: tuple[object, ...], value_wei: int) -> Call:
        calldata = self.chain.interface.functions[function].encode(args)
        return Call(self.chain.contract, calldata, value_wei)
