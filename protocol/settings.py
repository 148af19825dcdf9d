"""Settings that people write: TOML files, no key unknown, every fault named, none dropped."""

import math
import re
import tomllib
from collections.abc import Collection, Iterator, Mapping
from contextlib import contextmanager
from decimal import Decimal
from difflib import get_close_matches
from pathlib import Path
from typing import Annotated, Literal, Self

from pydantic import (
    AfterValidator,
    BaseModel,
    ConfigDict,
    Field,
    ValidationError,
    ValidationInfo,
    model_validator,
)
from pydantic_core import ErrorDetails

from protocol.errors import ConfigError

LARGEST_PORT = 65_535
_HASH = r"^0x[0-9a-f]{64}$"
_ADDRESS = r"^0x[0-9a-fA-F]{40}$"
_URL = r"^https?://[^\s]+$"
_LISTEN = r"^[^:\s]+:\d{1,5}$"
_IN_WORDS: Mapping[str, str] = {
    _HASH: "0x and 64 lower-case hexadecimal digits",
    _ADDRESS: "0x and 40 hexadecimal digits",
    _URL: "an address that begins with http:// or https://",
    _LISTEN: "host:port",
}
# By pydantic's name of the fault; what stands in braces it fills in.
_WANTED: Mapping[str, str] = {
    "greater_than": "more than {gt:g}",
    "greater_than_equal": "{ge:g} or more",
    "less_than": "less than {lt:.15g}",
    "less_than_equal": "at most {le:.15g}",
    "multiple_of": "a multiple of {multiple_of}",
    "int_parsing": "a whole number",
    "int_type": "a whole number",
    "int_from_float": "a whole number",
    "float_parsing": "a number",
    "float_type": "a number",
    "finite_number": "a finite number",
    "bool_parsing": "true or false",
    "bool_type": "true or false",
    "string_type": "text in quotation marks",
    "path_type": "a path in quotation marks",
    "tuple_type": "a list, in brackets",
    "dict_type": "a table of settings",
}
_KIND = re.compile(r"[\[(]")


def _beside_file(path: Path, info: ValidationInfo) -> Path:
    folder: Path = (info.context or {}).get("folder", Path())
    return folder / path


def _with_port(listen: str) -> str:
    if int(listen.rpartition(":")[2]) > LARGEST_PORT:
        raise ValueError(f"wanted a port up to {LARGEST_PORT}, found {listen}")
    return listen


PathBesideFile = Annotated[Path, AfterValidator(_beside_file)]
"""A relative path in a file means one relative to that file's folder."""
Hash = Annotated[str, Field(pattern=_HASH)]
Address = Annotated[str, Field(pattern=_ADDRESS)]
Url = Annotated[str, Field(pattern=_URL)]
Listen = Annotated[str, Field(pattern=_LISTEN), AfterValidator(_with_port)]


def _written(text: str) -> float:
    """A number of a file, which may be money. Raises: ValueError if a float is another number."""
    found = float(text)
    if math.isfinite(found) and Decimal(text) != Decimal(repr(found)):
        raise ValueError(f"{text} has more digits than are kept: that would be {found!r}")
    return found


class Settings(BaseModel):
    """A frozen set of settings."""

    model_config = ConfigDict(
        frozen=True, extra="forbid", use_attribute_docstrings=True, allow_inf_nan=False
    )

    @classmethod
    def load(cls, path: Path, **overrides: object) -> Self:
        """The settings in a TOML file; `overrides` count instead of what it says.

        Raises: ConfigError naming the file and every faulty key, without text that may be a secret.
        """
        try:
            values = tomllib.loads(path.read_text(encoding="utf-8"), parse_float=_written)
        except OSError as error:
            raise ConfigError(f"{path}: cannot be read: {error.strerror}") from error
        except UnicodeDecodeError as error:
            raise ConfigError(f"{path}: cannot be read: {error}") from error
        except tomllib.TOMLDecodeError as error:
            raise ConfigError(f"{path}: is not TOML: {error}") from error
        except ValueError as error:
            raise ConfigError(f"{path}: {error}") from error
        try:
            return cls.model_validate(values | overrides, context={"folder": path.resolve().parent})
        except ValidationError as error:
            problems = faults(error, cls.model_fields)
            raise ConfigError("\n".join(f"{path}: {each}" for each in problems)) from None


class ServiceSettings(Settings):
    """What every long-running service is told."""

    rpc_url: Url
    """Address of the chain's JSON-RPC server; it may hold an API key and is never logged."""
    keystore: PathBesideFile | None = None
    """Encrypted key file (Web3 Secret Storage, version 3)."""
    password_env: str | None = None
    """Name of the environment variable that holds the keystore's password."""
    key_env: str | None = None
    """Name of the environment variable that holds a plain private key; instead of a keystore."""
    state_dir: PathBesideFile
    """Folder for what must survive a restart: blobs, outbox, memory."""
    blob_urls: tuple[Url, ...] = ()
    """Where others serve their blobs, asked in this order after the own store."""
    blob_timeout_seconds: Annotated[float, Field(gt=0)] = 5.0
    """Longest time that one blob server may take for one whole answer."""
    listen: Listen
    """Host and port on which this service answers HTTP; port 0 takes a free one."""
    interval_seconds: Annotated[float, Field(gt=0, le=3600)] = 2.0
    """Time between two looks at the chain when there is nothing to do."""
    stuck_after_seconds: Annotated[float, Field(gt=0)] = 3600.0
    """A tick that takes longer ends the process, so that something restarts it."""
    log_level: Literal["debug", "info", "warning", "error"] = "info"
    """Least severe events that are logged."""
    log_json: bool | None = None
    """Whether log lines are JSON; unset means JSON unless stderr is a terminal."""

    @property
    def has_key(self) -> bool:
        """Whether a key is named at all."""
        return self.keystore is not None or self.key_env is not None

    @model_validator(mode="after")
    def _names_at_most_one_key(self) -> Self:
        if self.keystore is not None and self.key_env is not None:
            raise ValueError("give either keystore or key_env, not both")
        if (self.keystore is None) != (self.password_env is None):
            raise ValueError("keystore and password_env go together")
        return self


@contextmanager
def naming(file: Path) -> Iterator[None]:
    """Has a wrong setting that shows only in use name its file, as one that shows in reading."""
    try:
        yield
    except ConfigError as error:
        raise ConfigError(f"{file}: {error}") from error


def faults(error: ValidationError, known: Collection[str]) -> list[str]:
    """What a person is told of each faulty key; `known` ones exist.

    Of what was found there only numbers are repeated, and words where a word was to be chosen:
    other text may be a secret.
    """
    said: dict[str, list[str]] = {}
    for problem in error.errors(include_url=False):
        said.setdefault(_key(problem), []).append(_fault(problem, known))
    # What may be of several kinds was refused as each of them.
    return [": ".join(filter(None, (key, "; or ".join(found)))) for key, found in said.items()]


def _key(problem: ErrorDetails) -> str:
    """Where it is, without the kinds that pydantic tried there."""
    first, *deeper = problem["loc"] or ("",)
    return ".".join(map(str, (first, *(part for part in deeper if not _KIND.search(str(part))))))


def _fault(problem: ErrorDetails, known: Collection[str]) -> str:
    match problem["type"]:
        case "missing":
            return "is missing"
        case "extra_forbidden":
            near = get_close_matches(str(problem["loc"][-1]), known, n=1)
            return "there is no such setting" + "".join(f"; is {name} meant?" for name in near)
        case "string_pattern_mismatch":
            return f"wanted {_IN_WORDS[problem['ctx']['pattern']]}"
        case "literal_error":
            return f"wanted {problem['ctx']['expected']}, found {_word(problem['input'])}"
        case "value_error":
            return problem["msg"].removeprefix("Value error, ")
        case kind if kind in _WANTED:
            wanted = _WANTED[kind].format_map(problem.get("ctx", {}))
            return f"wanted {wanted}, found {_found(problem['input'])}"
        case _:
            return problem["msg"]


def _word(found: object) -> str:
    return f"'{found[:40]}'" if isinstance(found, str) else _found(found)


def _found(found: object) -> str:
    match found:
        case bool():
            return str(found).lower()
        case int() | float():
            return str(found)
        case str():
            return "text"
        case _:
            return "a list" if isinstance(found, list | tuple) else "a table"


def host_and_port(listen: str) -> tuple[str, int]:
    """The two parts of a `Listen`."""
    host, _, port = listen.rpartition(":")
    return host, int(port)
