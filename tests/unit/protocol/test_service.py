"""The loop: waiting, backing off, stopping, and noticing that it is stuck."""

import os
import signal
import threading
import time

import pytest
from structlog.testing import capture_logs

from protocol.errors import ChainUnavailable
from protocol.exit_codes import ExitCode
from protocol.service import Outcome, Service

pytestmark = pytest.mark.unit

IDLE = Outcome(acted=None, wait_until=None, why="nothing to do")


def failing():
    raise ChainUnavailable("no answer")


def test_an_idle_tick_waits_for_the_interval():
    assert Service(lambda: IDLE, 7.0, "test").step() == 7.0


def test_an_action_is_followed_by_another_look_soon():
    acted = Outcome(acted="commit", wait_until=None, why="")
    assert Service(lambda: acted, 7.0, "test").step() == 1.0
    assert Service(lambda: acted, 0.25, "test").step() == 0.25


def test_a_deadline_before_the_interval_shortens_the_wait():
    soon = Outcome(acted=None, wait_until=int(time.time()) + 3, why="")
    assert 0 < Service(lambda: soon, 7.0, "test").step() <= 3
    past = Outcome(acted=None, wait_until=1, why="the chain's clock lags")
    assert Service(lambda: past, 7.0, "test").step() == 7.0


def test_expected_errors_are_retried_ever_more_slowly_up_to_a_cap():
    service = Service(failing, 1.0, "test", backoff_cap_seconds=10.0)
    assert [service.step() for _ in range(6)] == [1.0, 2.0, 4.0, 8.0, 10.0, 10.0]


def test_success_ends_the_back_off():
    answers = iter([False, False, True, False])

    def tick():
        return IDLE if next(answers) else failing()

    service = Service(tick, 1.0, "test")
    assert [service.step() for _ in range(4)] == [1.0, 2.0, 1.0, 1.0]


def test_a_bug_ends_the_loop():
    def tick():
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        Service(tick, 1.0, "test").run()


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_lets_the_tick_finish_and_then_stops(number):
    seen = []
    before = signal.getsignal(number)

    def tick():
        os.kill(os.getpid(), number)
        seen.append("finished")
        return IDLE

    Service(tick, 1000.0, "test").run()
    assert seen == ["finished"]
    assert signal.getsignal(number) is before


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_shortens_a_tick_that_waits_and_that_is_no_failure(number):
    told = threading.Event()

    def tick():
        os.kill(os.getpid(), number)
        assert told.is_set()
        raise ChainUnavailable("not mined before this process was told to end")

    service = Service(tick, 1000.0, "test")
    service.on_stop(told.set)
    with capture_logs() as logs:
        service.run()
    assert [line["event"] for line in logs] == [
        "service_started",
        "tick_cut_short",
        "service_stopped",
    ]


def test_stop_from_another_thread_interrupts_the_wait():
    service = Service(lambda: IDLE, 1000.0, "test")
    threading.Timer(0.05, service.stop).start()
    service.run()


def test_waiting_keeps_the_heartbeat_fresh():
    beats = []

    class Counting(Service):
        def beat(self):
            beats.append(1)
            super().beat()

    service = Counting(lambda: IDLE, 1000.0, "test", stuck_after_seconds=0.2)
    threading.Timer(0.5, service.stop).start()
    service.run()
    assert service.healthy()
    assert len(beats) > 4


def test_a_stuck_tick_ends_the_process():
    codes = []
    release = threading.Event()

    def end_process(code):
        codes.append(code)
        release.set()

    def tick():
        assert release.wait(30)
        service.stop()
        return IDLE

    service = Service(tick, 1.0, "test", stuck_after_seconds=0.05, end_process=end_process)
    service.run()
    assert codes == [ExitCode.STUCK]


def test_a_dead_part_ends_the_process():
    codes = []

    def end_process(code):
        codes.append(code)
        service.stop()

    service = Service(lambda: IDLE, 0.01, "test", stuck_after_seconds=0.5, end_process=end_process)
    service.require(lambda: False)
    assert not service.healthy()
    service.run()
    assert codes == [ExitCode.STUCK]


def test_ready_means_that_the_latest_tick_succeeded():
    answers = iter([True, False])

    def tick():
        return IDLE if next(answers) else failing()

    service = Service(tick, 1.0, "test")
    assert service.healthy()
    assert not service.ready()
    service.step()
    assert service.ready()
    service.step()
    assert service.healthy()
    assert not service.ready()


def test_the_heartbeat_file_is_touched_by_every_tick(tmp_path):
    file = tmp_path / "state" / "heartbeat"
    service = Service(lambda: IDLE, 1.0, "test", heartbeat_file=file)
    service.step()
    os.utime(file, (0, 0))
    service.step()
    assert file.stat().st_mtime > 0


def test_a_heartbeat_that_the_disk_refuses_ends_no_loop(tmp_path):
    (tmp_path / "file").write_text("")
    service = Service(lambda: IDLE, 1.0, "test", heartbeat_file=tmp_path / "file" / "heartbeat")
    with capture_logs() as logs:
        assert service.step() == 1.0
    assert [line["log_level"] for line in logs] == ["info", "warning"]
    assert service.healthy()
