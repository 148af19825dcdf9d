"""The contract as a service names it, for whoever was told no more than the service's address.

What is named is held against the chain: it has this version's code, or it is refused. That it is
the contract that was meant, and not another one with the same code, nobody but a person can tell.
"""

import asyncio
import ssl

import httpx
from fastapi import APIRouter
from pydantic import ValidationError

from protocol.chain.deployment import Deployment
from protocol.chain.gateway import Chain
from protocol.errors import ConfigError
from protocol.settings import faults

PAGE = "/deployment"
TIMEOUT_SECONDS = 10.0
LARGEST_PAGE_BYTES = 2**16


def deployment_router(chain: Chain) -> APIRouter:
    """`GET /deployment`: where the contract stands, as in a deployment file."""
    router = APIRouter()

    @router.get(PAGE)
    async def deployment() -> Deployment:
        return Deployment.of(chain)

    return router


def named_by(url: str, *, timeout_seconds: float = TIMEOUT_SECONDS) -> Deployment:
    """Where the contract stands, as a service says. Raises: ConfigError if it does not."""
    # httpx limits each read; only a deadline around all of them stops a server that drips.
    try:
        page = asyncio.run(asyncio.wait_for(_page(url.rstrip("/") + PAGE), timeout_seconds))
        return Deployment.model_validate_json(page)
    except TimeoutError as error:
        raise ConfigError(f"{url} did not answer within {timeout_seconds:g} seconds") from error
    except (httpx.HTTPError, httpx.InvalidURL) as error:
        raise ConfigError(f"{url} names no contract: {type(error).__name__}: {error}") from error
    except ValidationError as error:
        found = "; ".join(faults(error, Deployment.model_fields))
        raise ConfigError(f"{url} names no contract: {found}") from error


async def _page(url: str) -> bytes:
    client = httpx.AsyncClient(
        verify=ssl.create_default_context(),
        timeout=None,  # noqa: S113 - `named_by` limits all of it
        follow_redirects=False,
    )
    headers = {"Accept-Encoding": "identity"}
    async with client, client.stream("GET", url, headers=headers) as response:
        response.raise_for_status()
        page = bytearray()
        async for part in response.aiter_raw():
            page += part
            if len(page) > LARGEST_PAGE_BYTES:
                raise ConfigError(f"{url} answered more than {LARGEST_PAGE_BYTES} bytes")
    return bytes(page)
