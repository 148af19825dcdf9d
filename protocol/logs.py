"""Structured logs on stderr: JSON lines for machines, colours for a terminal, secrets for nobody.

The standard library's loggers (uvicorn, httpx, web3) go through the same redaction and rendering.
"""

import logging
import re
import sys
from collections.abc import Mapping, MutableMapping

import structlog
from structlog.typing import EventDict, Processor, WrappedLogger

_REDACTED = "[redacted]"
# A salt opens a commitment before its time, so it is a secret like a key.
_SECRET_NAMES = re.compile(
    r"(private_?key|secret|password|passphrase|mnemonic|salt|api_?key|authorization|(^|_)token)($|_)",
    re.IGNORECASE,
)
_USER_IN_URL = re.compile(r"(?<=://)[^/\s@]+@")
_QUERY_IN_URL = re.compile(r"(://[^\s?'\"]+)\?[^\s'\"]+")
# Providers put API keys of 32 characters or more into an RPC URL's path; a root begins with 0x.
_KEY_IN_PATH = re.compile(r"(?<=/)(?!0x)[A-Za-z0-9_-]{32,}(?=$|[/\s?'\")])")
_NOISY = ("httpx", "httpcore", "urllib3", "web3", "uvicorn.access", "asyncio")


def configure(level: str = "info", json: bool | None = None) -> None:
    """Sets logging up for this process; `json` None means JSON unless stderr is a terminal."""
    as_json = not sys.stderr.isatty() if json is None else json
    threshold = logging.getLevelNamesMapping()[level.upper()]
    shared: list[Processor] = [
        structlog.contextvars.merge_contextvars,
        structlog.stdlib.add_log_level,
        structlog.stdlib.add_logger_name,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
    ]
    structlog.configure(
        processors=[*shared, structlog.stdlib.ProcessorFormatter.wrap_for_formatter],
        logger_factory=structlog.stdlib.LoggerFactory(),
        wrapper_class=structlog.make_filtering_bound_logger(threshold),
        cache_logger_on_first_use=False,
    )
    rendered: Processor = (
        structlog.processors.JSONRenderer(sort_keys=True)
        if as_json
        else structlog.dev.ConsoleRenderer(exception_formatter=structlog.dev.plain_traceback)
    )
    sink = logging.StreamHandler(sys.stderr)
    sink.setFormatter(
        structlog.stdlib.ProcessorFormatter(
            foreign_pre_chain=[*shared, structlog.stdlib.PositionalArgumentsFormatter()],
            processors=[
                structlog.stdlib.ProcessorFormatter.remove_processors_meta,
                structlog.processors.format_exc_info,
                redact,
                rendered,
            ],
        )
    )
    root = logging.getLogger()
    root.handlers = [sink]
    root.setLevel(threshold)
    for name in _NOISY:
        logging.getLogger(name).setLevel(max(threshold, logging.WARNING))


def redact(logger: WrappedLogger, method: str, event: EventDict) -> EventDict:  # noqa: ARG001 - structlog's signature
    """The last step before rendering: hides secrets by name and inside text, shows bytes as hex."""
    return _redacted_items(event)


def redacted(text: str) -> str:
    """Text without the credentials that URLs in it carry."""
    text = _USER_IN_URL.sub(f"{_REDACTED}@", text)
    text = _QUERY_IN_URL.sub(rf"\1?{_REDACTED}", text)
    return _KEY_IN_PATH.sub(_REDACTED, text)


def _redacted_items(items: Mapping[str, object]) -> MutableMapping[str, object]:
    return {
        name: _REDACTED if _SECRET_NAMES.search(str(name)) else _shown(value)
        for name, value in items.items()
    }


def _shown(value: object) -> object:
    match value:
        case bytes():
            return "0x" + value.hex()
        case str():
            return redacted(value)
        case Mapping():
            return _redacted_items(value)
        case list() | tuple() | set() | frozenset():
            return [_shown(item) for item in value]
        case bool() | int() | float() | None:
            return value
        case _:
            return redacted(str(value))
