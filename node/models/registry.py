"""Finds an architecture among the installed ones: by name for people, by hash for a task."""

from collections.abc import Mapping
from functools import cache
from importlib.metadata import entry_points
from types import MappingProxyType

from node.models.architecture import Architecture
from protocol.errors import ConfigError

GROUP = "volquorum.architectures"
"""Entry points that lead to an `Architecture`; another package can add its own."""


@cache
def installed() -> Mapping[str, Architecture]:
    """Every architecture by its entry point's name.

    Raises: ConfigError if one cannot be loaded, is none, or goes by another name itself.
    """
    found: dict[str, Architecture] = {}
    for entry in entry_points(group=GROUP):
        try:
            loaded = entry.load()
        except (ImportError, AttributeError) as error:
            raise ConfigError(
                f"architecture {entry.name!r} ({entry.value}) cannot load: {error}"
            ) from error
        if not isinstance(loaded, Architecture) or loaded.name != entry.name:
            raise ConfigError(
                f"entry point {entry.name!r} ({entry.value}): wanted an Architecture of this name,"
                f" found {getattr(loaded, 'name', type(loaded).__name__)!r}"
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
