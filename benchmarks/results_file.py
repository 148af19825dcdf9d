"""Results on file, a JSON line each: what was run before is not run again."""

import json
from collections.abc import Callable, Iterable
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

if TYPE_CHECKING:
    from _typeshed import DataclassInstance

Key = TypeVar("Key")
Result = TypeVar("Result", bound="DataclassInstance")


def resumed(
    file: Path | None,
    wanted: Iterable[Key],
    run: Callable[[Key], Result],
    *,
    read: Callable[[dict[str, Any]], Result],
    key: Callable[[Result], Key],
) -> dict[Key, Result]:
    """Every wanted run's result: the file's, or a new one, which is appended before the next run.

    `read` makes a result of a line, and `key` says which run it is of.
    """
    lines = file.read_text(encoding="utf-8").splitlines() if file and file.exists() else []
    known = {key(result): result for result in map(read, map(json.loads, lines))}
    found = {}
    for each in wanted:
        if each not in known:
            known[each] = run(each)
            if file:
                with file.open("a", encoding="utf-8") as end:
                    end.write(json.dumps(asdict(known[each])) + "\n")
        found[each] = known[each]
    return found
