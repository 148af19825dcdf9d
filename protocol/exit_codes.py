"""What a command's exit status says, the same for every command; `docs/commands.md` lists them."""

from enum import IntEnum

from protocol.errors import (
    BlobError,
    ChainError,
    ChainUnavailable,
    ConfigError,
    DataError,
    EncodingError,
    StorageError,
    VerificationFailed,
    VolquorumError,
)


class ExitCode(IntEnum):
    """Statuses a script can tell apart; 1 is a bug."""

    OK = 0
    BUG = 1
    CONFIG = 2
    """A setting or argument is missing or wrong."""
    CHAIN_UNAVAILABLE = 3
    """The chain did not answer; try again later."""
    CHAIN = 4
    """The chain answered something impossible, or refused a call."""
    BLOB = 5
    """A blob cannot be had, or what was served is not it."""
    DATA = 6
    """Market data is not what was promised."""
    VERIFICATION = 7
    """A published result is not what its updates give."""
    STORAGE = 8
    """A file cannot be written: the disk is full, or gone."""
    ARBITRAGE = 9
    """A model is what its updates give, but holds more static arbitrage than is accepted."""
    STUCK = 70
    """A service's loop stopped turning, and its watchdog ended the process."""


def exit_code(error: VolquorumError) -> ExitCode:
    """The status that says what went wrong."""
    for kind, code in (
        (ConfigError, ExitCode.CONFIG),
        (ChainUnavailable, ExitCode.CHAIN_UNAVAILABLE),
        (ChainError, ExitCode.CHAIN),
        (BlobError, ExitCode.BLOB),
        (EncodingError, ExitCode.BLOB),
        (DataError, ExitCode.DATA),
        (StorageError, ExitCode.STORAGE),
    ):
        if isinstance(error, kind):
            return code
    return ExitCode.VERIFICATION if isinstance(error, VerificationFailed) else ExitCode.BUG
