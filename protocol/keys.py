"""Whose key signs, and the secrets that follow from it.

Secrets are named by environment variables, never passed as values, and no message repeats one.
"""

import json
import os
from pathlib import Path

from eth_account import Account
from eth_account.messages import encode_defunct
from eth_account.signers.local import LocalAccount
from eth_hash.auto import keccak

from protocol.errors import ConfigError

SALT_DOMAIN = "volquorum.salt.1"
SCORES_SALT_DOMAIN = "volquorum.scores-salt.1"
SEAL_SALT_DOMAIN = "volquorum.seal-salt.1"


def load_account(
    keystore: Path | None, password_env: str | None, key_env: str | None
) -> LocalAccount:
    """The account of a V3 keystore with a password, or of a raw key; `*_env` name variables.

    Raises:
        ConfigError: neither or both are given, or what they name is missing or does not fit.
    """
    if (keystore is None) == (key_env is None):
        raise ConfigError("wanted either a keystore or key_env, the name of a variable with a key")
    if keystore is not None:
        return _from_keystore(keystore, password_env)
    return _from_variable(key_env or "")


def derive_salt(
    account: LocalAccount, chain_id: int, contract: str, task_id: bytes, round_number: int
) -> bytes:
    """The salt of this account's commitment in a round; the same whenever it is asked for.

    It is the hash of a signature that nobody else can make and that is deterministic (RFC 6979), so
    a crash between commit and reveal cannot lose it and no file has to keep it.
    """
    place = _place(chain_id, contract, task_id, round_number)
    return _salt(account, SALT_DOMAIN, *place)


def derive_scores_salt(
    account: LocalAccount, chain_id: int, contract: str, task_id: bytes, round_number: int
) -> bytes:
    """The salt of this account's commitment to scores in a round, made like that to an update."""
    place = _place(chain_id, contract, task_id, round_number)
    return _salt(account, SCORES_SALT_DOMAIN, *place)


def derive_seal_salt(
    account: LocalAccount,
    chain_id: int,
    contract: str,
    task_id: bytes,
    round_number: int,
    *,
    subject: bytes,
) -> bytes:
    """The salt that seals this account's challenge of the root `subject`.

    It is made like that of a commitment, so a crash between seal and challenge loses nothing.
    """
    place = _place(chain_id, contract, task_id, round_number)
    return _salt(account, SEAL_SALT_DOMAIN, *place, f"subject 0x{subject.hex()}")


def _place(chain_id: int, contract: str, task_id: bytes, round_number: int) -> tuple[str, ...]:
    return (
        f"chain {chain_id}",
        f"contract {contract.lower()}",
        f"task 0x{task_id.hex()}",
        f"round {round_number}",
    )


def _salt(account: LocalAccount, *lines: str) -> bytes:
    # Invariant: nothing else ever signs a text in these domains; whoever saw such a signature could
    # test guesses at an update or scores before their reveal, or at a challenge before its proof.
    text = "\n".join(lines)
    return keccak(bytes(account.sign_message(encode_defunct(text=text)).signature))


def _from_keystore(path: Path, password_env: str | None) -> LocalAccount:
    if password_env is None:
        raise ConfigError("a keystore needs password_env, the name of a variable with its password")
    password = _variable(password_env)
    try:
        stored = json.loads(path.read_bytes())
    except OSError as failure:
        raise ConfigError(f"the keystore {path} cannot be read: {failure.strerror}") from None
    except ValueError:
        raise ConfigError(f"the keystore {path} is not JSON") from None
    # The causes are cut off here and below: they quote what they could not use.
    try:
        return _account(bytes(Account.decrypt(stored, password)))
    except (ValueError, TypeError, KeyError, NotImplementedError):
        raise ConfigError(
            f"the keystore {path} does not open with the password in {password_env}"
        ) from None


def _from_variable(key_env: str) -> LocalAccount:
    text = _variable(key_env).strip().removeprefix("0x")
    try:
        return _account(bytes.fromhex(text))
    except ValueError:
        raise ConfigError(f"{key_env} does not hold a private key: 32 bytes in hex") from None


def _account(key: bytes) -> LocalAccount:
    if len(key) != 32:
        raise ValueError
    account: LocalAccount = Account.from_key(key)
    return account


def _variable(name: str) -> str:
    found = os.environ.get(name)
    if not found:
        raise ConfigError(f"the environment variable {name} is not set")
    return found
