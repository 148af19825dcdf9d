"""Log lines are machine-readable and hold no secrets."""

import json
import logging

import pytest
import structlog

from protocol.logs import configure, redact, redacted

pytestmark = pytest.mark.unit


@pytest.fixture(autouse=True)
def restored_logging():
    root = logging.getLogger()
    before = root.handlers, root.level
    yield
    root.handlers, root.level = before
    structlog.reset_defaults()


def lines(capsys):
    return [json.loads(line) for line in capsys.readouterr().err.splitlines()]


def test_an_event_is_one_json_line_with_bytes_as_hex(capsys):
    configure("info", json=True)
    structlog.get_logger("here").info("published", root=b"\x01\xff", round=3)
    (line,) = lines(capsys)
    assert line["event"] == "published"
    assert line["root"] == "0x01ff"
    assert line["round"] == 3
    assert line["level"] == "info"
    assert line["timestamp"].endswith("Z")


def test_the_standard_librarys_loggers_use_the_same_form(capsys):
    configure("info", json=True)
    logging.getLogger("elsewhere").warning("cannot reach %s", "http://user:pass@host/")
    (line,) = lines(capsys)
    assert line["event"] == "cannot reach http://[redacted]@host/"
    assert line["level"] == "warning"


def test_events_below_the_level_are_dropped(capsys):
    configure("warning", json=True)
    structlog.get_logger("here").info("quiet")
    logging.getLogger("elsewhere").info("quiet")
    logging.getLogger("httpx").info("quiet")
    assert lines(capsys) == []


def test_a_trace_is_redacted_too(capsys):
    configure("info", json=True)
    try:
        int("https://rpc.example/v3/0123456789abcdef0123456789abcdef failed")
    except ValueError:
        structlog.get_logger("here").exception("failed")
    (line,) = lines(capsys)
    assert "ValueError" in line["exception"]
    assert "0123456789abcdef" not in line["exception"]


def test_a_terminal_gets_readable_lines(capsys):
    configure("info", json=False)
    structlog.get_logger("here").info("published", salt="hunter2")
    shown = capsys.readouterr().err
    assert "published" in shown
    assert "hunter2" not in shown


@pytest.mark.parametrize(
    "name",
    [
        "password",
        "private_key",
        "PRIVATE_KEY",
        "keystore_password",
        "salt",
        "api_key",
        "auth_token",
    ],
)
def test_secrets_are_hidden_by_name_at_any_depth(name):
    shown = redact(None, "info", {name: "hunter2", "inner": {name: b"hunter2"}})
    assert "hunter2" not in json.dumps(shown)


@pytest.mark.parametrize("name", ["round", "model_root", "keystore", "tokens_seen", "key_env"])
def test_harmless_names_are_shown(name):
    assert redact(None, "info", {name: "shown"}) == {name: "shown"}


def test_credentials_in_urls_are_hidden_and_roots_are_not():
    root = "0x" + "ab" * 32
    assert redacted(f"http://blobs:8000/blobs/{root}") == f"http://blobs:8000/blobs/{root}"
    assert redacted("wss://me:secret@host/x") == "wss://[redacted]@host/x"
    assert redacted("https://host/x?key=secret end") == "https://host/x?[redacted] end"
    assert redacted("https://host/v2/" + "k" * 32) == "https://host/v2/[redacted]"
