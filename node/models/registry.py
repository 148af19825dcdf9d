"""Finds an architecture among the installed ones: by name for people, by hash for a task.

Whatever else other packages may add is found in the same way.
"""

from collections.abc import Mapping
from functools import cache
from importlib.metadata import entry_points
from types import MappingProxyType
from typing import TypeVar

from node.models.architecture import Architecture
from protocol.errors import ConfigError

GROUP = "volquorum.architectures"
"""Entry points that lead to an `Architecture`; another package can add its own."""

Plugin = TypeVar("Plugin")


@cache
def installed() -> Mapping[str, Architecture]:
    """Every architecture by its entry point's name.

    Raises: ConfigError if one cannot be loaded, is none, or goes by another name itself.
    """
    return plugins(GROUP, Architecture)


def plugins(group: str, kind: type[Plugin]) -> Mapping[str, Plugin]:
    """Everything of a kind that the installed packages name in a group of entry points.

    Raises: ConfigError as `installed`.
    """
    found: dict[str, Plugin] = {}
    for entry in entry_points(group=group):
        try:
            loaded = entry.load()
        except (ImportError, AttributeError) as error:
            raise ConfigError(
                f"{kind.__name__.lower()} {entry.name!r} ({entry.value}) cannot load: {error}"
            ) from error
        name = getattr(loaded, "name", type(loaded).__name__)
        if not isinstance(loaded, kind) or name != entry.name:
            raise ConfigError(
                f"entry point {entry.name!r} ({entry.value}): wanted an object of the class"
                f" {kind.__name__} with this name, found {name!r}"
            )
        found[entry.name] = loaded
    return MappingProxyType(found)


def by_name(name: str) -> Architecture:
    """The architecture called `name`.

    Raises: ConfigError if none is.
    """
    known = installed()
    if name not in known:
        raise ConfigError(
            f"model {name!r} is not installed; known models: {', '.join(sorted(known)) or 'none'}"
        )
    return known[name]


def by_hash(spec_hash: bytes) -> Architecture:
    """The architecture that a task trains.

    Raises: ConfigError if none of those installed has this spec.
    """
    for architecture in installed().values():
        if architecture.spec.hash == spec_hash:
            return architecture
    known = ", ".join(f"{name} 0x{each.spec.hash.hex()}" for name, each in installed().items())
    raise ConfigError(
        f"the task trains the model 0x{spec_hash.hex()}, which is not installed; there are"
        f" {known or 'none'}: install the version of volquorum, or the package, that has it"
    )
