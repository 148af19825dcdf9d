import json
from pathlib import Path

import pytest
from eth_account import Account
from eth_hash.auto import keccak

from protocol.errors import ConfigError
from protocol.keys import derive_salt, derive_scores_salt, derive_seal_salt, load_account

pytestmark = pytest.mark.unit

KEY = keccak(b"a key for tests")
PASSWORD = "correct horse"  # noqa: S105 # it protects nothing


@pytest.fixture(scope="module")
def keystore(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("keys") / "desk.json"
    # Few rounds: the test is about files and names, not about the strength of scrypt.
    path.write_text(json.dumps(Account.encrypt(KEY, PASSWORD, kdf="scrypt", iterations=2)))
    return path


def test_a_raw_key_is_read_from_the_named_variable(monkeypatch: pytest.MonkeyPatch) -> None:
    for text in (KEY.hex(), "0x" + KEY.hex(), f" 0x{KEY.hex().upper()}\n".replace("0X", "0x")):
        monkeypatch.setenv("DESK_KEY", text)
        assert load_account(None, None, "DESK_KEY").address == Account.from_key(KEY).address


def test_a_keystore_opens_with_the_named_password(
    keystore: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DESK_PASSWORD", PASSWORD)
    account = load_account(keystore, "DESK_PASSWORD", None)
    assert account.address == Account.from_key(KEY).address


@pytest.mark.parametrize(
    "value",
    ["not a key", KEY.hex()[:-2], KEY.hex() + "00", "00" * 32, "ff" * 32, KEY.hex()[:-1] + "g"],
)
def test_a_bad_key_is_refused_without_being_shown(
    value: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DESK_KEY", value)
    with pytest.raises(ConfigError, match="DESK_KEY does not hold a private key") as failure:
        load_account(None, None, "DESK_KEY")
    assert value not in str(failure.value)
    assert failure.value.__cause__ is None
    assert failure.value.__suppress_context__


def test_a_wrong_password_is_refused_without_being_shown(
    keystore: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DESK_PASSWORD", "battery staple")
    with pytest.raises(ConfigError, match="password in DESK_PASSWORD") as failure:
        load_account(keystore, "DESK_PASSWORD", None)
    assert "battery" not in str(failure.value)
    assert failure.value.__suppress_context__


@pytest.mark.parametrize("content", ["", "{}", "[]", "1", '{"version": 3}', '{"version": 9}'])
def test_a_file_that_is_no_keystore_is_refused(
    content: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DESK_PASSWORD", PASSWORD)
    path = tmp_path / "keystore.json"
    path.write_text(content)
    with pytest.raises(ConfigError, match="keystore"):
        load_account(path, "DESK_PASSWORD", None)


def test_what_is_missing_is_named(
    keystore: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("DESK_KEY", raising=False)
    with pytest.raises(ConfigError, match="either a keystore or key_env"):
        load_account(None, None, None)
    with pytest.raises(ConfigError, match="either a keystore or key_env"):
        load_account(keystore, "DESK_PASSWORD", "DESK_KEY")
    with pytest.raises(ConfigError, match="variable DESK_KEY is not set"):
        load_account(None, None, "DESK_KEY")
    with pytest.raises(ConfigError, match="needs password_env"):
        load_account(keystore, None, None)
    monkeypatch.setenv("DESK_PASSWORD", PASSWORD)
    with pytest.raises(ConfigError, match="cannot be read"):
        load_account(tmp_path / "nowhere", "DESK_PASSWORD", None)


CONTRACT = "0x" + "Ab" * 20


def test_a_salt_is_the_same_whenever_it_is_asked_for() -> None:
    account = Account.from_key(KEY)
    salt = derive_salt(account, 1, CONTRACT, b"\x01" * 32, 1)
    assert len(salt) == 32
    assert salt == derive_salt(Account.from_key(KEY), 1, CONTRACT.lower(), b"\x01" * 32, 1)


def test_a_salt_is_another_for_every_circumstance() -> None:
    account, task = Account.from_key(KEY), b"\x01" * 32
    salts = {
        derive_salt(account, 1, CONTRACT, task, 1),
        derive_salt(account, 2, CONTRACT, task, 1),
        derive_salt(account, 1, "0x" + "cd" * 20, task, 1),
        derive_salt(account, 1, CONTRACT, b"\x02" * 32, 1),
        derive_salt(account, 1, CONTRACT, task, 2),
        derive_salt(account, 1, CONTRACT, task, 11),
        derive_salt(Account.from_key(keccak(KEY)), 1, CONTRACT, task, 1),
        derive_seal_salt(account, 1, CONTRACT, task, 1, subject=b"\x03" * 32),
        derive_seal_salt(account, 1, CONTRACT, task, 1, subject=b"\x04" * 32),
        derive_seal_salt(account, 1, CONTRACT, task, 2, subject=b"\x03" * 32),
        derive_scores_salt(account, 1, CONTRACT, task, 1),
        derive_scores_salt(account, 1, CONTRACT, task, 2),
    }
    assert len(salts) == 12
