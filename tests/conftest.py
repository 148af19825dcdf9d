"""What holds for every test: unit tests reach no network, and generated cases are repeatable."""

import os

import pytest
from hypothesis import HealthCheck, settings
from pytest_socket import disable_socket, enable_socket

# Threads per process: numeric libraries on a small machine otherwise fight each other.
os.environ.setdefault("OMP_NUM_THREADS", "1")

settings.register_profile(
    "default", deadline=None, suppress_health_check=[HealthCheck.too_slow], print_blob=True
)
settings.register_profile("ci", settings.get_profile("default"), derandomize=True)
settings.load_profile("ci" if os.environ.get("CI") else "default")


def pytest_runtest_setup(item: pytest.Item) -> None:
    if item.get_closest_marker("unit") is not None:
        disable_socket(allow_unix_socket=True)


def pytest_runtest_teardown(item: pytest.Item) -> None:
    if item.get_closest_marker("unit") is not None:
        enable_socket()


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Every test says what it needs, so that no test is left out of every selection."""
    known = {"unit", "http", "chain", "contracts", "container"}
    unmarked = [
        item.nodeid for item in items if not known & {mark.name for mark in item.iter_markers()}
    ]
    if unmarked:
        raise pytest.UsageError(f"tests without one of the markers {sorted(known)}: {unmarked[:5]}")
