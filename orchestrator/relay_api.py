"""The relay's HTTP surface: three pages that take entries in, and one that says what waits.

Openings are secrets until Reveal, so no answer and no log line repeats what was sent.
"""

import asyncio
import re
from collections.abc import Callable
from functools import partial
from typing import Annotated, TypeVar

import structlog
from eth_utils.address import to_checksum_address
from fastapi import APIRouter, HTTPException, Request
from fastapi.concurrency import run_in_threadpool
from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field, ValidationError
from starlette.requests import ClientDisconnect

from orchestrator import views
from orchestrator.reading import TaskReading
from orchestrator.relay import Relay
from orchestrator.relay_checks import Refusal
from orchestrator.relay_store import RelayedOpening
from protocol.errors import StorageError
from protocol.recompute import Result
from protocol.settings import Address
from protocol.signing import Signature, SignedCommit
from protocol.state import Phase

# An entry has nine fields of at most 70 characters; this leaves room for any layout of them.
LARGEST_BODY_BYTES = 2048
SLOWEST_BODY_SECONDS = 10.0

_log = structlog.get_logger(__name__)
_WORD = re.compile(r"0x[0-9a-f]{64}")
_DIGITS = re.compile(r"[0-9]{1,20}")


def _word(value: object) -> bytes:
    if not isinstance(value, str) or not _WORD.fullmatch(value):
        raise ValueError("wanted 0x and 64 lower-case hexadecimal digits")
    return bytes.fromhex(value[2:])


def _number(value: object) -> object:
    """A whole number may be text too: many programs write none above 2^53 as a JSON number."""
    return int(value) if isinstance(value, str) and _DIGITS.fullmatch(value) else value


Word = Annotated[bytes, BeforeValidator(_word)]
RoundNumber = Annotated[int, Field(ge=1, lt=2**32)]
Participant = Annotated[Address, AfterValidator(lambda text: str(to_checksum_address(text)))]
Uint64 = Annotated[int, BeforeValidator(_number), Field(ge=0, lt=2**64)]


class Entry(BaseModel):
    """What is handed in to be sent for its participant."""

    model_config = ConfigDict(
        frozen=True, extra="forbid", strict=True, use_attribute_docstrings=True
    )

    task_id: Word
    round: RoundNumber
    participant: Participant


class CommitEntry(Entry):
    """A commitment with its participant's signature, as in `protocol.signing`."""

    commitment: Word
    r: Word
    vs: Word


class OpeningEntry(Entry):
    """What opens a participant's commitment."""

    tree_top: Word
    squared_norm: Uint64
    salt: Word


class VoteEntry(Entry):
    """A vote with its participant's signature, as in `protocol.signing`."""

    updates_hash: Word
    unavailable: Uint64
    aggregate_root: Word
    model_root: Word
    r: Word
    vs: Word


E = TypeVar("E", bound=Entry)


def relay_router(relay: Relay) -> APIRouter:
    """/relay, /relay/commits, /relay/openings and /relay/votes."""
    router = APIRouter()

    @router.get("/relay")
    def pending() -> views.RelayPending:
        return views.RelayPending(
            tasks=tuple(_pending(relay, reading) for reading in relay.readings)
        )

    @router.post("/relay/commits", status_code=202)
    async def commits(request: Request) -> views.Accepted:
        entry = await _entry(request, CommitEntry)
        signed = SignedCommit(entry.commitment, entry.r, entry.vs)
        place = (entry.task_id, entry.round, entry.participant)
        return await _taken(partial(relay.take_commit, *place, signed))

    @router.post("/relay/openings", status_code=202)
    async def openings(request: Request) -> views.Accepted:
        entry = await _entry(request, OpeningEntry)
        opening = RelayedOpening(entry.participant, entry.tree_top, entry.squared_norm, entry.salt)
        place = (entry.task_id, entry.round)
        return await _taken(partial(relay.take_opening, *place, opening))

    @router.post("/relay/votes", status_code=202)
    async def votes(request: Request) -> views.Accepted:
        entry = await _entry(request, VoteEntry)
        roots = (entry.aggregate_root, entry.model_root)
        found = Result(*roots, entry.updates_hash, entry.unavailable)
        signature = Signature(entry.r, entry.vs)
        place = (entry.task_id, entry.round, entry.participant)
        return await _taken(partial(relay.take_vote, *place, found, signature))

    return router


async def _entry(request: Request, kind: type[E]) -> E:
    """The entry in a request's body. Raises: HTTPException 408, 413 or 422."""
    body = bytearray()
    try:
        async with asyncio.timeout(SLOWEST_BODY_SECONDS):
            async for part in request.stream():
                body += part
                if len(body) > LARGEST_BODY_BYTES:
                    raise HTTPException(413, f"a body has at most {LARGEST_BODY_BYTES} bytes")
    except TimeoutError:
        raise HTTPException(408, f"a body comes within {SLOWEST_BODY_SECONDS:g} s") from None
    except ClientDisconnect:
        raise HTTPException(400, "the request was broken off") from None
    try:
        return kind.model_validate_json(bytes(body))
    except ValidationError as error:
        faults = error.errors(include_input=False, include_context=False, include_url=False)
        named = (
            f"{'.'.join(map(str, fault['loc'])) or 'body'}: {fault['msg']}" for fault in faults
        )
        raise HTTPException(422, "; ".join(named)) from None


async def _taken(take: Callable[[], Refusal | None]) -> views.Accepted:
    """Raises: HTTPException with why it was not taken; 503 where this disk has no room for it."""
    try:
        refusal = await run_in_threadpool(take)
    except StorageError as error:
        _log.error("entry_not_kept", why=str(error))
        raise HTTPException(503, "nothing can be kept here now; send it yourself") from None
    if refusal is not None:
        raise HTTPException(refusal.status, refusal.why)
    return views.Accepted(accepted=True)


def _pending(relay: Relay, reading: TaskReading) -> views.RelayTask:
    latest = reading.latest
    return views.RelayTask(
        task=reading.task_id,
        round=reading.state.round,
        phase=(latest.phase if latest else Phase.NONE).name.lower(),
        due_at=relay.due_at(reading),
        commits=tuple(commit.participant for commit in relay.commits(reading)),
        openings=tuple(opening.participant for opening in relay.openings(reading)),
        votes=tuple(vote.participant for vote in relay.votes(reading)),
        dropped=relay.dropped(reading),
        equivocators=tuple(relay.evidence(reading)),
    )
