"""One JSON-RPC endpoint, and the only place where a transport's failures become ours.

Everything above speaks plain JSON-RPC and never sees an exception of web3, of an HTTP client or of
a socket. What a node answers is a claim: each value is checked for its type, its length and its
range when it is taken apart.
"""

from collections.abc import Mapping
from json import JSONDecodeError
from urllib.parse import urlsplit

from eth_utils.address import to_checksum_address
from web3 import HTTPProvider, Web3
from web3.exceptions import Web3Exception
from web3.providers import BaseProvider
from web3.providers.rpc.utils import ExceptionRetryConfiguration
from web3.types import RPCEndpoint

from protocol.errors import ChainAnswerInvalid, ChainUnavailable, ConfigError

DEFAULT_TIMEOUT_SECONDS = 10.0


class RpcRefused(ChainUnavailable):
    """The node answered with an error object; `data` is what it gave beside its message."""

    def __init__(self, method: str, code: int | None, message: str, data: object) -> None:
        self.code = code
        self.message = message
        self.data = data
        super().__init__(f"the chain's node refused {method}: {message} (code {code})")


class Rpc:
    """Sends requests to one node, by its address or through a provider in this process."""

    def __init__(
        self,
        endpoint: str | BaseProvider,
        *,
        timeout_seconds: float = DEFAULT_TIMEOUT_SECONDS,
    ) -> None:
        provider = _http(endpoint, timeout_seconds) if isinstance(endpoint, str) else endpoint
        self.name = _place(endpoint) if isinstance(endpoint, str) else "in process"
        web3 = Web3(provider, middleware=[])
        self._request = provider.request_func(web3, web3.middleware_onion)

    def request(self, method: str, *params: object) -> object:
        """The node's result.

        Raises:
            RpcRefused: the node answered with an error object.
            ChainUnavailable: no answer came.
            ChainAnswerInvalid: the answer is not JSON-RPC.
        """
        try:
            answer = self._request(RPCEndpoint(method), list(params))
        except (JSONDecodeError, UnicodeDecodeError):
            raise ChainAnswerInvalid(
                f"{method}: {self.name} answered something else than JSON"
            ) from None
        except (OSError, Web3Exception) as failure:
            # The cause is cut off: it quotes the address, and addresses of paid nodes hold keys.
            status = getattr(getattr(failure, "response", None), "status_code", None)
            said = type(failure).__name__ if status is None else f"HTTP status {status}"
            raise ChainUnavailable(f"{method}: no answer from {self.name} ({said})") from None
        return _result(method, answer)


def quantity(value: object, what: str, *, bits: int = 64) -> int:
    """A number from an answer, given as JSON-RPC's hex or, in process, as an integer."""
    number = value
    if isinstance(value, str) and value.startswith("0x"):
        try:
            number = int(value, 16)
        except ValueError:
            number = None
    if isinstance(number, bool) or not isinstance(number, int) or not 0 <= number < 1 << bits:
        raise ChainAnswerInvalid(f"{what}: wanted a number of {bits} bits, found {_short(value)}")
    return number


def octets(value: object, what: str, *, length: int | None = None) -> bytes:
    """Bytes from an answer, given as JSON-RPC's hex."""
    try:
        found = bytes.fromhex(value[2:]) if isinstance(value, str) and value[:2] == "0x" else None
    except ValueError:
        found = None
    if found is None or (length is not None and len(found) != length):
        wanted = "bytes" if length is None else f"{length} bytes"
        raise ChainAnswerInvalid(f"{what}: wanted {wanted} in hex, found {_short(value)}")
    return found


def address(value: object, what: str) -> str:
    """A checksummed address from an answer."""
    return str(to_checksum_address(octets(value, what, length=20)))


def fields(value: object, what: str) -> Mapping[str, object]:
    """An answer that must be an object."""
    if not isinstance(value, Mapping):
        raise ChainAnswerInvalid(f"{what}: wanted an object, found {_short(value)}")
    return value


def _place(url: str) -> str:
    """Host and port: what else an address holds may be a key."""
    return urlsplit(url).netloc.rpartition("@")[2]


def _http(url: str, timeout_seconds: float) -> HTTPProvider:
    if urlsplit(url).scheme not in {"http", "https"}:
        raise ConfigError("the chain's address must begin with http:// or https://")
    # One more try mends a kept-alive connection that the node has dropped; longer outages are the
    # caller's to wait out.
    again = ExceptionRetryConfiguration(errors=(OSError,), retries=2)
    return HTTPProvider(
        url,
        request_kwargs={"timeout": timeout_seconds},
        exception_retry_configuration=again,
    )


def _result(method: str, answer: object) -> object:
    response = fields(answer, method)
    error = response.get("error")
    if error is not None:
        details = error if isinstance(error, Mapping) else {"message": str(error)}
        code = details.get("code")
        raise RpcRefused(
            method,
            code if isinstance(code, int) else None,
            _short(details.get("message", "no message")),
            details.get("data"),
        )
    if "result" not in response:
        raise ChainAnswerInvalid(f"{method}: the answer has neither a result nor an error")
    return response["result"]


def _short(value: object) -> str:
    text = value if isinstance(value, str) else repr(value)
    return text if len(text) <= 200 else f"{text[:200]}..."
