"""A whole round by the contract's libraries gives what the composed rules give.

From updates to the table's sums, to the choice, to the aggregate: the steps that challenges judge
one by one, run in an EVM in one piece.
"""

from typing import Any

import numpy as np
import pytest
import solcx
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from pyrevm import EVM

from contracts import compile as contract_compiler
from protocol import gram
from protocol.chain.abi import Interface
from protocol.rules import compose, multi_krum, trimmed_mean
from protocol.rules.pre_steps import arc
from tests.contracts.stage import drawn_updates

pytestmark = pytest.mark.contracts

SOURCE = "contracts/test/MixHarness.sol"
CALLER = "0x" + "11" * 20
# Numbers in `IVolquorum.Rule`.
RULES = {"mean": 0, "median": 2, "trimmed_mean": 3}
CHUNK_LENGTH = 16


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
        self._function = Interface(contract["abi"]).functions["aggregate"]
        self._evm = EVM(spec_id="PRAGUE")
        code = bytes.fromhex(contract["evm"]["bytecode"]["object"])
        self._address = self._evm.deploy(CALLER, code)

    def aggregate(self, updates: np.ndarray, steps: list[str], rule: str, f: int) -> Any:
        """The aggregate and the masks. Shape: updates [n, d], of whole chunks."""
        norms = [int(update @ update) for update in updates.astype(np.int64)]
        terms = ("arc" in steps, "nnm" in steps, rule == "multi_krum", RULES.get(rule, 0), f)
        rows = [update.astype(">i2").tobytes() for update in updates]
        calldata = self._function.encode((rows, norms, (*terms, 2 * CHUNK_LENGTH)))
        answer = self._evm.message_call(caller=CALLER, to=self._address, calldata=calldata)
        aggregate, masks = self._function.decode(bytes(answer))
        return np.frombuffer(aggregate, ">i2").astype(np.int16), masks


@pytest.fixture(scope="module")
def harness() -> Harness:
    return Harness()


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
@given(rounds(), st.sampled_from([["arc", "nnm"], ["nnm"], ["arc"]]), st.sampled_from(list(RULES)))
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
@given(rounds())
def test_contract_chooses_as_multi_krum_does(harness, drawn):
    updates, f = drawn
    aggregate, masks = harness.aggregate(updates, [], "multi_krum", f)
    assert (aggregate == multi_krum(updates, f=f)).all()
    sums = gram.Table.of(updates, CHUNK_LENGTH).sums
    assert masks == gram.encode_masks(gram.best(sums, f))


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
        (["nnm"], "median"),
        (["arc"], "mean"),
        (["arc", "nnm"], "trimmed_mean"),
    ],
)
def test_contract_chooses_and_mixes_every_count(harness, count, steps, rule):
    random = np.random.default_rng([count, 2])
    f = int(random.integers((count - 3) // 2 + 1 if rule == "multi_krum" else (count + 1) // 2))
    updates = drawn_updates(random, count, 2 * CHUNK_LENGTH)
    aggregate, _ = harness.aggregate(updates, steps, rule, f)
    assert (aggregate == compose(steps, rule, f=f)(updates)).all(), (updates.tolist(), f)
