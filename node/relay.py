"""Hands a relayer what this node signed, or what opens it; nothing that it answers is believed.

Whether something was sent is read from the chain. So a relayer that is down, slow or lies costs
time, and never more than the part of a phase that it is given.
"""

import asyncio
import ssl

import httpx
import structlog

from protocol.recompute import Result
from protocol.signing import Signature, SignedCommit

TIMEOUT_SECONDS = 5.0
LARGEST_REASON_BYTES = 1024
"""So much is read of why a relayer refuses."""

Content = dict[str, str | int]

log = structlog.get_logger("node")


class Relayer:
    """`POST {url}/relay/commits`, `/openings` and `/votes`, each answered whole within a time."""

    def __init__(self, url: str, *, timeout_seconds: float = TIMEOUT_SECONDS) -> None:
        self._url = url.rstrip("/")
        self._timeout_seconds = timeout_seconds
        self._tls = ssl.create_default_context()

    def takes_commit(
        self, task_id: bytes, round_number: int, participant: str, signed: SignedCommit
    ) -> bool:
        """Offers a signed commitment; whether the relayer says that it will send it."""
        content: Content = {name: _hex(value) for name, value in signed._asdict().items()}
        return self._takes("commits", _place(task_id, round_number, participant) | content)

    def takes_opening(
        self,
        task_id: bytes,
        round_number: int,
        participant: str,
        *,
        tree_top: bytes,
        squared_norm: int,
        salt: bytes,
    ) -> bool:
        """Offers what opens a commitment; whether the relayer says that it will send it."""
        content: Content = {
            "tree_top": _hex(tree_top),
            "squared_norm": squared_norm,
            "salt": _hex(salt),
        }
        return self._takes("openings", _place(task_id, round_number, participant) | content)

    def takes_vote(
        self,
        task_id: bytes,
        round_number: int,
        participant: str,
        found: Result,
        signature: Signature,
    ) -> bool:
        """Offers a signed vote; whether the relayer says that it will send it."""
        content: Content = {
            "updates_hash": _hex(found.updates_hash),
            # As text: some programs write no number above 2^53 as it is.
            "unavailable": str(found.unavailable),
            "aggregate_root": _hex(found.aggregate_root),
            "model_root": _hex(found.model_root),
            **{name: _hex(value) for name, value in signature._asdict().items()},
        }
        return self._takes("votes", _place(task_id, round_number, participant) | content)

    def _takes(self, what: str, content: Content) -> bool:
        named = {"what": what, "round": content["round"]}
        # httpx limits each read; only a deadline around all of them stops a server that drips.
        try:
            why = asyncio.run(asyncio.wait_for(self._refusal(what, content), self._timeout_seconds))
        except (TimeoutError, httpx.HTTPError, httpx.InvalidURL) as failure:
            log.warning("relayer does not answer", why=type(failure).__name__, **named)
            return False
        if why:
            # Mostly it has not seen yet that the phase has begun.
            log.info("relayer did not take it", why=why, **named)
            return False
        log.info("relayer took it", **named)
        return True

    async def _refusal(self, what: str, content: Content) -> str:
        """Why it was not taken; empty if it was."""
        client = httpx.AsyncClient(verify=self._tls, timeout=None, follow_redirects=False)  # noqa: S113 - `_takes` limits all of it
        url = f"{self._url}/relay/{what}"
        headers = {"Accept-Encoding": "identity"}
        async with client, client.stream("POST", url, json=content, headers=headers) as response:
            if response.is_success:
                return ""
            reason = bytearray()
            async for part in response.aiter_raw():
                reason += part
                if len(reason) >= LARGEST_REASON_BYTES:
                    break
            told = bytes(reason[:LARGEST_REASON_BYTES]).decode(errors="replace")
            return f"status {response.status_code}: {told!r}"


def _place(task_id: bytes, round_number: int, participant: str) -> Content:
    return {"task_id": _hex(task_id), "round": round_number, "participant": participant}


def _hex(value: bytes) -> str:
    return f"0x{value.hex()}"
