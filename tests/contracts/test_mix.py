"""A whole round by the contract's libraries gives what the composed rules give.

From updates to the table's sums, to the choice, to the aggregate: the steps that challenges judge
one by one, run in an EVM in one piece, ten thousand small rounds of each.
"""

from typing import Any, NamedTuple

import numpy as np
import pytest
import solcx
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from pyrevm import EVM

from contracts import compile as contract_compiler
from protocol import gram
from protocol.chain.abi import Interface
from protocol.rules import RULES, arc, compose, krum, multi_krum, nnm, trimmed_mean
from tests.contracts.stage import drawn_updates

pytestmark = pytest.mark.contracts

SOURCE = "contracts/test/MixHarness.sol"
CALLER = "0x" + "11" * 20
# Numbers in `IVolquorum.Rule`.
NAMES = ["mean", "clipped_mean", "median", "trimmed_mean", "multi_krum", "krum"]
NUMBERS = {name: number for number, name in enumerate(NAMES)}
CHOOSING_BEST = {"multi_krum": multi_krum, "krum": krum}
CHUNK_LENGTH = 16
CASES = 10_000
CASES_A_CALL = 50


class Found(NamedTuple):
    """What the contract makes of many small rounds."""

    aggregates: np.ndarray
    """Shape: [rounds, CHUNK_LENGTH]."""
    masks: list[bytes]
    changed: np.ndarray
    """What the rule was applied to. Shape: [rounds, rows, CHUNK_LENGTH]."""


class Harness:
    """`MixHarness`, compiled and deployed."""

    def __init__(self) -> None:
        texts = contract_compiler.sources(SOURCE)
        outputs = {"*": {"*": ["abi", "evm.bytecode.object"]}}
        task = {
            "language": "Solidity",
            "sources": {name: {"content": text} for name, text in texts.items()},
            "settings": contract_compiler.compiler_settings() | {"outputSelection": outputs},
        }
        compiled = solcx.compile_standard(task, solc_binary=contract_compiler.compiler())
        contract = compiled["contracts"][SOURCE]["MixHarness"]
        self._functions = Interface(contract["abi"]).functions
        self._evm = EVM(spec_id="PRAGUE")
        code = bytes.fromhex(contract["evm"]["bytecode"]["object"])
        self._address = self._evm.deploy(CALLER, code)

    def aggregate(self, updates: np.ndarray, steps: list[str], rule: str, f: int) -> Any:
        """The aggregate and the masks. Shape: updates [n, d], of whole chunks."""
        norms = [int(update @ update) for update in updates.astype(np.int64)]
        rows = [update.astype(">i2").tobytes() for update in updates]
        aggregate, masks = self._call("aggregate", rows, norms, terms_of(steps, rule, f))
        return coordinates(aggregate), masks

    def rounds(
        self, updates: np.ndarray, steps: list[str], rule: str, f: int, clip_norm: int = 0
    ) -> Found:
        """Shape: updates [rounds, n, CHUNK_LENGTH]."""
        each = updates.astype(">i2").tobytes()
        terms = terms_of(steps, rule, f, clip_norm)
        aggregates, masks, changed = self._call("rounds", each, updates.shape[1], terms)
        return Found(
            coordinates(b"".join(aggregates)).reshape(len(updates), CHUNK_LENGTH),
            masks,
            coordinates(b"".join(changed)).reshape(len(updates), -1, CHUNK_LENGTH),
        )

    def _call(self, name: str, *arguments: object) -> Any:
        function = self._functions[name]
        calldata = function.encode(arguments)
        answer = self._evm.message_call(caller=CALLER, to=self._address, calldata=calldata)
        return function.decode(bytes(answer))


def terms_of(steps: list[str], rule: str, f: int, clip_norm: int = 0) -> tuple[object, ...]:
    """In the order of the Solidity struct."""
    return "arc" in steps, "nnm" in steps, NUMBERS[rule], f, clip_norm, 2 * CHUNK_LENGTH


def coordinates(text: bytes) -> np.ndarray:
    return np.frombuffer(text, ">i2").astype(np.int16)


@pytest.fixture(scope="module")
def harness() -> Harness:
    return Harness()


BY_RANKS = ["mean", "median", "trimmed_mean"]


@st.composite
def rounds(draw):
    """Updates with long ones, twins and ties among them, and how many lie."""
    count = draw(st.integers(3, 14))
    f = draw(st.integers(0, (count - 3) // 2))
    engine = np.random.default_rng(draw(st.integers(0, 10**9)))
    limit = 1 << draw(st.sampled_from([0, 3, 9, 15]))
    chunks = draw(st.integers(1, 4))
    updates = engine.integers(-limit, limit, (count, chunks * CHUNK_LENGTH))
    updates >>= engine.integers(0, 6, (count, 1))
    updates[engine.integers(count)] = updates[engine.integers(count)]
    return updates.astype(np.int16), f


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(rounds(), st.sampled_from([["arc", "nnm"], ["nnm"], ["arc"]]), st.sampled_from(BY_RANKS))
def test_contract_mixes_as_the_composed_rules_do(harness, drawn, steps, rule):
    updates, f = drawn
    composed = compose(steps, rule, f=f)
    aggregate, masks = harness.aggregate(updates, steps, rule, f)
    assert (aggregate == composed(updates)).all()
    if "nnm" in steps:
        rows = arc(updates, f).array() if "arc" in steps else updates
        chosen = gram.neighbours(gram.Table.of(rows, CHUNK_LENGTH).sums, f)
        assert masks == gram.encode_masks(chosen)


@settings(max_examples=30, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(rounds(), st.sampled_from(sorted(CHOOSING_BEST)))
def test_contract_chooses_the_best_as_krum_and_multi_krum_do(harness, drawn, rule):
    updates, f = drawn
    aggregate, masks = harness.aggregate(updates, [], rule, f)
    assert (aggregate == CHOOSING_BEST[rule](updates, f=f)).all()
    sums = gram.Table.of(updates, CHUNK_LENGTH).sums
    assert masks == gram.encode_masks(best_of(sums, rule, f))


# A round includes 64 at most. What is drawn has the ends of the range, ties and equal updates.
@pytest.mark.parametrize("count", range(3, 65))
def test_contract_trims_by_every_tolerance_of_every_count(harness, count):
    random = np.random.default_rng([count, 1])
    for f in range((count - 1) // 2 + 1):
        updates = drawn_updates(random, count, CHUNK_LENGTH)
        aggregate, _ = harness.aggregate(updates, [], "trimmed_mean", f)
        assert (aggregate == trimmed_mean(updates, f=f)).all(), (updates.tolist(), f)


@pytest.mark.parametrize("count", range(3, 65))
@pytest.mark.parametrize(
    ("steps", "rule"),
    [
        ([], "multi_krum"),
        ([], "krum"),
        (["nnm"], "median"),
        (["arc"], "mean"),
        (["arc", "nnm"], "trimmed_mean"),
    ],
)
def test_contract_chooses_and_mixes_by_every_tolerance_of_every_count(harness, count, steps, rule):
    random = np.random.default_rng([count, 2])
    most = most_liars(count, rule)
    # Behind clipping, the last case mixes by every tolerance of every count.
    every = count <= 16 or steps != ["nnm"]
    for f in range(most + 1) if every else (0, most // 2, most):
        updates = drawn_updates(random, count, CHUNK_LENGTH)
        found = harness.rounds(updates[None], steps, rule, f)
        wanted = compose(steps, rule, f=f)(updates)
        assert (found.aggregates[0] == wanted).all(), (updates.tolist(), f)


@pytest.mark.parametrize(
    ("steps", "rule"),
    [
        ([], "mean"),
        ([], "clipped_mean"),
        ([], "median"),
        ([], "trimmed_mean"),
        ([], "multi_krum"),
        ([], "krum"),
        (["nnm"], "mean"),
        (["arc"], "mean"),
    ],
)
def test_ten_thousand_small_rounds_give_the_same_bits(harness, steps, rule):
    random = np.random.default_rng([len(steps), NUMBERS[rule], "nnm" in steps])
    for _ in range(CASES // CASES_A_CALL):
        count = int(random.integers(3, 13))
        f = int(random.integers(most_liars(count, rule) + 1))
        # From one unit to more than any of these updates has.
        clip_norm = int(2 ** random.uniform(0, 18))
        updates = np.stack([small_round(random, count) for _ in range(CASES_A_CALL)])
        found = harness.rounds(updates, steps, rule, f, clip_norm)
        for place, each in enumerate(updates):
            rows = changed(each, steps, f)
            case = (each.tolist(), f, clip_norm)
            assert (found.changed[place] == chosen(rows, rule, f)).all(), case
            assert (found.aggregates[place] == combined(rows, rule, f, clip_norm)).all(), case
            assert found.masks[place] == masks_of(each, steps, rule, f), case


def small_round(random: np.random.Generator, count: int) -> np.ndarray:
    """A few coordinates, of which the last ones may be padding, and perhaps twins.

    Shape: [count, CHUNK_LENGTH].
    """
    updates = drawn_updates(random, count, CHUNK_LENGTH)
    updates[:, random.integers(1, CHUNK_LENGTH + 1) :] = 0
    if random.integers(2):
        updates[random.integers(count)] = updates[random.integers(count)]
    return updates


def most_liars(count: int, rule: str) -> int:
    return (count - 3 if rule in CHOOSING_BEST else count - 1) // 2


def changed(updates: np.ndarray, steps: list[str], f: int) -> np.ndarray:
    """By pre-steps."""
    for step in steps:
        updates = {"arc": arc, "nnm": nnm}[step](updates, f).array()
    return updates


def masks_of(updates: np.ndarray, steps: list[str], rule: str, f: int) -> bytes:
    """Of the choice among updates that are not clipped."""
    wide = updates.astype(np.int64)
    if rule in CHOOSING_BEST:
        return gram.encode_masks(best_of(wide @ wide.T, rule, f))
    return gram.encode_masks(gram.neighbours(wide @ wide.T, f)) if "nnm" in steps else b""


def best_of(sums: Any, rule: str, f: int) -> gram.Masks:
    return gram.best(sums, f, m=1 if rule == "krum" else None)


def chosen(rows: np.ndarray, rule: str, f: int) -> np.ndarray:
    """Of Krum and multi-Krum a single row, the result."""
    return CHOOSING_BEST[rule](rows, f=f)[None] if rule in CHOOSING_BEST else rows


def combined(rows: np.ndarray, rule: str, f: int, clip_norm: int) -> np.ndarray:
    parameters = {
        "clipped_mean": {"clip_norm": clip_norm},
        "trimmed_mean": {"f": f},
        "multi_krum": {"f": f},
        "krum": {"f": f},
    }
    return RULES[rule](rows, **parameters.get(rule, {}))
