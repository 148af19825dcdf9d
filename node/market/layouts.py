"""The layouts that quotes are read from, and how a file's is recognised.

A file is of the first layout of `LAYOUTS` whose columns it has; other columns are ignored. Files of
several layouts in one folder are read together, by time.
"""

from collections.abc import Iterator, Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Final

from node.market.batches import (
    EVERYTHING,
    Batch,
    Layout,
    Reading,
    Scan,
    scan_table,
    stream,
    typed,
)
from node.market.deribit_parquet import RECORDED
from node.market.deribit_rest import ANSWERS
from node.market.plain_csv import PLAIN
from node.market.quotes import QUOTES
from node.market.tardis import TARDIS
from protocol.errors import ConfigError, DataError


def _scan_quote_table(path: Path, _reading: Reading) -> Scan:
    table = scan_table(path, tuple(QUOTES))
    schema = table.collect_schema()
    return Scan(table.select(typed(name, schema[name], kind) for name, kind in QUOTES.items()))


QUOTE_TABLES: Final = Layout("quotes", tuple(QUOTES), _scan_quote_table)

# A quote table is a plain table too, but nothing of it needs to be computed.
LAYOUTS: Mapping[str, Layout] = MappingProxyType(
    {layout.name: layout for layout in (QUOTE_TABLES, RECORDED, TARDIS, PLAIN, ANSWERS)}
)


def read_batches(
    path: Path, *, layout: str | None = None, reading: Reading = EVERYTHING
) -> Iterator[Batch]:
    """The quotes of a file or a folder, by time; of a folder the parquet files, or where there are
    none the CSV files (also `.csv.gz`), or where there are none the JSON files.

    Raises: DataError where there is no file, or naming the file or the column that is not as told;
    ConfigError on an unknown layout.
    """
    if layout is not None and layout not in LAYOUTS:
        raise ConfigError(f"layout: wanted one of {list(LAYOUTS)}, found {layout!r}")
    named = None if layout is None else LAYOUTS[layout]
    return stream([(file, named or recognise(file)) for file in _files(path)], reading)


def recognise(path: Path) -> Layout:
    """The layout of one file.

    Raises: DataError saying what the layouts are that it might have been.
    """
    if path.suffix == ".json":
        return ANSWERS
    found = set(scan_table(path).collect_schema().names())
    tables = [layout for layout in LAYOUTS.values() if layout.columns]
    missing = {each.name: [name for name in each.columns if name not in found] for each in tables}
    for layout in tables:
        if not missing[layout.name]:
            return layout
    listed = "; ".join(f"{name} (missing {names})" for name, names in missing.items())
    raise DataError(f"{path}: wanted the columns of one of the layouts {listed}")


def _files(path: Path) -> list[Path]:
    if path.is_file():
        return [path]
    for endings in ((".parquet",), (".csv", ".csv.gz"), (".json",)):
        files = sorted(each for ending in endings for each in path.glob(f"*{ending}"))
        if files:
            return files
    wanted = "wanted a folder with parquet, CSV or JSON files of option quotes"
    if not path.is_dir():
        raise DataError(f"{path}: {wanted}, found no such folder; look at how it is spelt")
    others = sum(1 for _ in path.iterdir())
    found = f"none among its {others} entries" if others else "it empty"
    raise DataError(f"{path}: {wanted}, found {found}; put some there")
