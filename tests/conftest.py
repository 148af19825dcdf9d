"""What holds for every test: unit tests reach no network, logging is given back, cases repeat."""

import logging
import os
from collections.abc import Iterator

import pytest
import structlog
from hypothesis import HealthCheck, settings
from pytest_socket import disable_socket, enable_socket

# Numeric libraries would start a thread per core in every process and fight each other.
os.environ.setdefault("OMP_NUM_THREADS", "1")

settings.register_profile(
    "default", deadline=None, suppress_health_check=[HealthCheck.too_slow], print_blob=True
)
settings.register_profile("ci", settings.get_profile("default"), derandomize=True)
settings.load_profile("ci" if os.environ.get("CI") else "default")

KINDS = {"unit", "http", "chain", "contracts", "container"}


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Every test says what it needs, so that no selection leaves one out unseen."""
    unmarked = [
        item.nodeid for item in items if not KINDS & {mark.name for mark in item.iter_markers()}
    ]
    if unmarked:
        raise pytest.UsageError(f"tests without one of the markers {sorted(KINDS)}: {unmarked[:5]}")


@pytest.fixture(autouse=True)
def _sockets_blocked_in_unit_tests(request: pytest.FixtureRequest) -> Iterator[None]:
    if request.node.get_closest_marker("unit") is None:
        yield
        return
    # Event loops wake themselves through a pair of Unix sockets.
    disable_socket(allow_unix_socket=True)
    yield
    enable_socket()


def _logging_as_before() -> Iterator[None]:
    """Commands configure logging for their process, which here is everybody's."""
    root = logging.getLogger()
    handlers, level = root.handlers[:], root.level
    configured = structlog.get_config()
    yield
    root.handlers, root.level = handlers, level
    structlog.configure(**configured)


# A module's fixtures run commands too, before the first of its tests takes note of anything.
_logging_given_back_by_tests = pytest.fixture(autouse=True)(_logging_as_before)
_logging_given_back_by_modules = pytest.fixture(autouse=True, scope="module")(_logging_as_before)
