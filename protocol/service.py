"""The loop around a tick: act, wait on an event, stop gracefully, and notice being stuck.

A `VolquorumError` is expected and retried ever more slowly; anything else ends the process. A loop
that no longer turns is worse than a dead one, because nothing restarts it, so a watchdog ends the
process when the heartbeat is old.
"""

import os
import signal
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from types import FrameType

import structlog

from protocol.errors import VolquorumError
from protocol.exit_codes import ExitCode

_PAUSE_AFTER_ACTION_SECONDS = 1.0

_log = structlog.get_logger(__name__)


@dataclass(frozen=True)
class Outcome:
    """What one tick did, until which chain time there is nothing more to do, and why."""

    acted: str | None
    wait_until: int | None
    why: str


class Service:
    """Runs a tick for ever."""

    def __init__(
        self,
        tick: Callable[[], Outcome],
        interval_seconds: float,
        name: str,
        *,
        stuck_after_seconds: float = 900.0,
        backoff_cap_seconds: float = 60.0,
        heartbeat_file: Path | None = None,
        end_process: Callable[[int], None] = os._exit,
    ) -> None:
        self.name = name
        self._tick = tick
        self._interval_seconds = interval_seconds
        self._stuck_after_seconds = stuck_after_seconds
        self._backoff_cap_seconds = backoff_cap_seconds
        self._heartbeat_file = heartbeat_file
        self._end_process = end_process
        self._stopping = threading.Event()
        self._vital: list[Callable[[], bool]] = []
        self._stops: list[Callable[[], None]] = []
        self._failures = 0
        self._succeeded = False
        self._beaten_at = time.monotonic()
        self.last: Outcome | None = None

    def run(self) -> None:
        """Ticks until `stop`, SIGTERM or SIGINT; a second signal ends the process at once."""
        watchdog = threading.Thread(target=self._watch, name=f"{self.name}-watchdog", daemon=True)
        with _signals_call(self.stop):
            self.beat()
            watchdog.start()
            _log.info("service_started", service=self.name)
            try:
                while not self._stopping.is_set():
                    delay_seconds = self.step()
                    self._wait(delay_seconds)
            finally:
                self._stopping.set()
            _log.info("service_stopped", service=self.name)

    def step(self) -> float:
        """One tick and its bookkeeping; returns the seconds to wait before the next."""
        try:
            outcome = self._tick()
        except VolquorumError as error:
            if self._stopping.is_set():
                _log.info("tick_cut_short", service=self.name, why=str(error))
                return 0.0
            self._failures += 1
            delay_seconds = self._backoff_seconds()
            _log.warning(
                "tick_failed",
                service=self.name,
                error=type(error).__name__,
                why=str(error),
                failures=self._failures,
                retry_in_seconds=delay_seconds,
            )
            self.beat()
            return delay_seconds
        self._report(outcome)
        self._failures = 0
        self._succeeded = True
        self.beat()
        return self._delay_seconds(outcome)

    def stop(self) -> None:
        """Ends `run` after the current tick, which `on_stop` may shorten."""
        self._stopping.set()
        for cut_short in self._stops:
            cut_short()

    def beat(self) -> None:
        """Says that the loop is alive; a tick that works for long calls it on the way."""
        self._beaten_at = time.monotonic()
        if self._heartbeat_file is None:
            return
        try:
            self._heartbeat_file.parent.mkdir(parents=True, exist_ok=True)
            self._heartbeat_file.touch()
        except OSError as error:
            # Who reads its age sees that it is old; the loop itself needs no disk.
            _log.warning("heartbeat_not_written", file=str(self._heartbeat_file), why=str(error))

    def require(self, alive: Callable[[], bool]) -> None:
        """Makes liveness depend on something else too, such as the HTTP server beside the loop."""
        self._vital.append(alive)

    def on_stop(self, cut_short: Callable[[], None]) -> None:
        """Has `stop` call this too, so that a tick does not wait for long; from a signal's handler,
        so it may do no more than set a flag."""
        self._stops.append(cut_short)

    @property
    def heartbeat_age_seconds(self) -> float:
        """Seconds since the loop last turned."""
        return time.monotonic() - self._beaten_at

    def healthy(self) -> bool:
        """Liveness: the loop turns and everything it requires is alive."""
        fresh = self.heartbeat_age_seconds <= self._stuck_after_seconds
        return fresh and all(alive() for alive in self._vital)

    def ready(self) -> bool:
        """Readiness: healthy, and the latest tick succeeded."""
        return self.healthy() and self._succeeded and self._failures == 0

    def _report(self, outcome: Outcome) -> None:
        if outcome != self.last:
            _log.info(
                "tick",
                service=self.name,
                acted=outcome.acted,
                wait_until=outcome.wait_until,
                why=outcome.why,
            )
        self.last = outcome

    def _delay_seconds(self, outcome: Outcome) -> float:
        if outcome.acted is not None:
            return min(self._interval_seconds, _PAUSE_AFTER_ACTION_SECONDS)
        if outcome.wait_until is not None:
            # The chain's clock may lag this one: a time that seems past is no reason to hurry.
            left_seconds = outcome.wait_until - time.time()
            if 0 < left_seconds < self._interval_seconds:
                return left_seconds
        return self._interval_seconds

    def _backoff_seconds(self) -> float:
        doublings = min(self._failures - 1, 30)
        return float(min(self._interval_seconds * 2**doublings, self._backoff_cap_seconds))

    def _wait(self, seconds: float) -> None:
        """Waits for the stop event in slices short enough to keep the heartbeat fresh."""
        until = time.monotonic() + seconds
        while (left_seconds := until - time.monotonic()) > 0:
            if self._stopping.wait(min(left_seconds, self._stuck_after_seconds / 4)):
                return
            self.beat()

    def _watch(self) -> None:
        while not self._stopping.wait(self._stuck_after_seconds / 10):
            if not self.healthy():
                _log.critical(
                    "service_stuck",
                    service=self.name,
                    heartbeat_age_seconds=round(self.heartbeat_age_seconds, 1),
                    limit_seconds=self._stuck_after_seconds,
                )
                self._end_process(ExitCode.STUCK)
                return


@contextmanager
def ended_by_signals(name: str) -> Iterator[None]:
    """While a service starts: SIGTERM or SIGINT ends the process as it ends one that runs."""

    def end() -> None:
        raise SystemExit(ExitCode.OK)

    with _signals_call(end):
        try:
            yield
        except SystemExit:
            # Not in the handler, which may have interrupted another line's writing.
            _log.info("service_stopped", service=name, why="told to end while it started")
            raise


@contextmanager
def _signals_call(stop: Callable[[], None]) -> Iterator[None]:
    """While inside, the first SIGTERM or SIGINT calls `stop`; a second one has its usual effect."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    watched = (signal.SIGTERM, signal.SIGINT)
    before = {number: signal.getsignal(number) for number in watched}

    def restore() -> None:
        for number, previous in before.items():
            signal.signal(number, previous)

    def received(number: int, frame: FrameType | None) -> None:  # noqa: ARG001 - the signal API's signature
        restore()
        stop()

    for number in watched:
        signal.signal(number, received)
    try:
        yield
    finally:
        restore()
