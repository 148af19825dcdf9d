"""The vectors of tables and choices, and updates drawn for more of them."""

import json
from typing import Any

import numpy as np
import pytest
from hypothesis import strategies as st

from protocol.gram import Table
from protocol.rules.pre_steps import arc
from tests.vectors import generate_gram

COLUMNS = json.loads(generate_gram.FILE.read_text(encoding="ascii"))
ROWS = [dict(zip(COLUMNS, row, strict=True)) for row in zip(*COLUMNS.values(), strict=True)]
CASES = [pytest.param(row, id=f"{row['name']}-{row['rule']}-{row['arc']}") for row in ROWS]


def raw(cell: str) -> bytes:
    return bytes.fromhex(cell[2:])


def updates_of(case: dict[str, Any]) -> np.ndarray:
    values = np.frombuffer(raw(case["updates"]), ">i2").astype(np.int16)
    return values.reshape(case["count"], case["dimension"])


def table_of(case: dict[str, Any]) -> Table:
    rows = updates_of(case)
    if case["arc"]:
        rows = arc(rows, case["tolerance"]).array()
    return Table.of(rows, case["chunkLength"])


def drawn(count: int, dimension: int, seed: int = 1, bits: int = 15) -> np.ndarray:
    limit = 1 << bits
    values = np.random.default_rng(seed).integers(-limit, limit, (count, dimension))
    return values.astype(np.int16)


@st.composite
def updates(draw, least=1):
    count, dimension = draw(st.integers(least, 12)), draw(st.integers(1, 70))
    return drawn(count, dimension, draw(st.integers(0, 10**6)), draw(st.sampled_from([0, 2, 15])))
