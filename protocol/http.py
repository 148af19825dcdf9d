"""An HTTP server in a thread beside a service, with the three pages that operators ask for.

/healthz says whether the loop turns (liveness), /readyz whether it gets anywhere, /metrics what it
counted.
"""

import logging
import socket
import threading
import time
from types import TracebackType
from typing import Protocol, Self

import uvicorn
from fastapi import APIRouter, FastAPI, Response
from fastapi.responses import JSONResponse
from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.exposition import CONTENT_TYPE_PLAIN_0_0_4

from protocol.errors import ConfigError

_START_SECONDS = 10.0
_GRACE_SECONDS = 3


class Health(Protocol):
    """What the health pages ask; `protocol.service.Service` answers it."""

    @property
    def heartbeat_age_seconds(self) -> float: ...

    def healthy(self) -> bool: ...

    def ready(self) -> bool: ...


def health_router(health: Health, registry: CollectorRegistry) -> APIRouter:
    """/healthz, /readyz and /metrics."""
    router = APIRouter()

    def answer(name: str, good: bool) -> JSONResponse:
        age_seconds = round(health.heartbeat_age_seconds, 1)
        return JSONResponse(
            {name: good, "heartbeat_age_seconds": age_seconds}, 200 if good else 503
        )

    @router.get("/healthz")
    def healthz() -> Response:
        return answer("healthy", health.healthy())

    @router.get("/readyz")
    def readyz() -> Response:
        return answer("ready", health.ready())

    @router.get("/metrics")
    def metrics() -> Response:
        return Response(generate_latest(registry), media_type=CONTENT_TYPE_PLAIN_0_0_4)

    return router


class HttpServer:
    """Runs an application on its own thread; port 0 takes any free one. A context manager."""

    def __init__(self, app: FastAPI, *, host: str = "127.0.0.1", port: int = 0) -> None:
        self._socket = _listening(host, port)
        self.host = host
        self.port: int = self._socket.getsockname()[1]
        config = uvicorn.Config(
            app,
            log_config=None,
            access_log=False,
            log_level=logging.WARNING,
            server_header=False,
            timeout_graceful_shutdown=_GRACE_SECONDS,
            limit_concurrency=200,
        )
        self._server = uvicorn.Server(config)
        self._thread = threading.Thread(target=self._serve, name="http", daemon=True)

    @property
    def url(self) -> str:
        """Where this process itself reaches the server."""
        host = "127.0.0.1" if self.host in {"0.0.0.0", ""} else self.host  # noqa: S104 - compared, not bound
        return f"http://{host}:{self.port}"

    def start(self) -> Self:
        """Returns once requests are answered."""
        self._thread.start()
        until = time.monotonic() + _START_SECONDS
        while not self._server.started:
            if not self._thread.is_alive() or time.monotonic() > until:
                raise ConfigError(f"the HTTP server did not start on {self.host}:{self.port}")
            time.sleep(0.005)
        return self

    def stop(self) -> None:
        """Lets running answers finish for a few seconds, then ends the thread."""
        self._server.should_exit = True
        if self._thread.is_alive():
            self._thread.join(_GRACE_SECONDS + 2)
        self._socket.close()

    def alive(self) -> bool:
        """Whether the server's thread still runs."""
        return self._thread.is_alive()

    def __enter__(self) -> Self:
        return self.start()

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.stop()

    def _serve(self) -> None:
        self._server.run(sockets=[self._socket])


def _listening(host: str, port: int) -> socket.socket:
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    opened = socket.socket(family, socket.SOCK_STREAM)
    opened.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        opened.bind((host, port))
        opened.listen()
    except OSError as error:
        opened.close()
        message = f"cannot listen on {host}:{port}: {error}; choose another host or port"
        raise ConfigError(message) from error
    return opened
