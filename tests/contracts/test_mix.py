"""A whole round by the contract's libraries gives what the composed rules give.

From updates to the table's sums, to the choice, to the aggregate: the steps that challenges judge
one by one, run in an EVM in one piece, ten thousand small rounds of each; a thousand where Python
is slow.
"""

from typing import Any, NamedTuple

import numpy as np
import pytest
import solcx
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from pyrevm import EVM

from contracts import compile as contract_compiler
from protocol.chain.abi import Interface
from protocol.choice import chosen_by, encode_chosen
from protocol.rules import aggregate, arc, compose, nnm, trimmed_mean
from protocol.task import PreSteps, Rule
from tests.contracts.stage import drawn_updates

pytestmark = pytest.mark.contracts

SOURCE = "contracts/test/MixHarness.sol"
CALLER = "0x" + "11" * 20
STEPS = {"arc": PreSteps.ARC, "nnm": PreSteps.NNM}
CHUNK_LENGTH = 16
CASES = 10_000
CASES_A_CALL = 50


class Found(NamedTuple):
    """What the contract makes of many small rounds."""

    aggregates: np.ndarray
    """Shape: [rounds, CHUNK_LENGTH]."""
    choices: list[bytes]
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

    def aggregate(self, updates: np.ndarray, terms: "Terms") -> tuple[np.ndarray, bytes]:
        """The aggregate and the choice behind it. Shape: updates [n, d], of whole chunks."""
        norms = [int(update @ update) for update in updates.astype(np.int64)]
        rows = [update.astype(">i2").tobytes() for update in updates]
        found, choice = self._call("aggregate", rows, norms, terms.encoded)
        return coordinates(found), choice

    def rounds(self, updates: np.ndarray, terms: "Terms") -> Found:
        """Shape: updates [rounds, n, CHUNK_LENGTH]."""
        each = updates.astype(">i2").tobytes()
        aggregates, choices, changed = self._call("rounds", each, updates.shape[1], terms.encoded)
        return Found(
            coordinates(b"".join(aggregates)).reshape(len(updates), CHUNK_LENGTH),
            choices,
            coordinates(b"".join(changed)).reshape(len(updates), -1, CHUNK_LENGTH),
        )

    def _call(self, name: str, *arguments: object) -> Any:
        function = self._functions[name]
        calldata = function.encode(arguments)
        answer = self._evm.message_call(caller=CALLER, to=self._address, calldata=calldata)
        return function.decode(bytes(answer))


class Terms(NamedTuple):
    """How a round combines its updates."""

    rule: Rule
    f: int
    pre_steps: PreSteps = PreSteps.NONE
    clip_norm: int = 0
    trusted: int = 0
    """The row that FLTrust trusts; there is none behind the last."""

    @property
    def encoded(self) -> tuple[object, ...]:
        """In the order of the Solidity struct."""
        steps = PreSteps.ARC in self.pre_steps, PreSteps.NNM in self.pre_steps
        return *steps, self.rule, self.f, self.clip_norm, 2 * CHUNK_LENGTH, self.trusted

    def rows(self, updates: np.ndarray) -> np.ndarray:
        """The updates after clipping, if there is any."""
        return arc(updates, self.f).array() if PreSteps.ARC in self.pre_steps else updates

    def choice(self, updates: np.ndarray) -> bytes:
        """The one behind Python's aggregate."""
        if PreSteps.NNM not in self.pre_steps and not self.rule.chooses_by_distance:
            return b""
        wide = self.rows(updates).astype(np.int64)
        return encode_chosen(chosen_by(self.rule, wide @ wide.T, self.f, self._row(updates)))

    def combined(self, updates: np.ndarray) -> np.ndarray:
        """Python's aggregate."""
        return aggregate(
            self.rule,
            updates,
            tolerance=self.f,
            clip_norm=self.clip_norm,
            pre_steps=self.pre_steps,
            trusted_row=self._row(updates),
        )

    def _row(self, updates: np.ndarray) -> int | None:
        return self.trusted if self.trusted < len(updates) else None


def coordinates(text: bytes) -> np.ndarray:
    return np.frombuffer(text, ">i2").astype(np.int16)


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
@given(
    rounds(),
    st.sampled_from([["arc", "nnm"], ["nnm"], ["arc"]]),
    st.sampled_from([Rule.MEAN, Rule.MEDIAN, Rule.TRIMMED_MEAN]),
)
def test_contract_mixes_as_the_composed_rules_do(harness, drawn, steps, rule):
    updates, f = drawn
    terms = Terms(rule, f, PreSteps(sum(STEPS[step] for step in steps)))
    found, choice = harness.aggregate(updates, terms)
    assert (found == compose(steps, rule.name.lower(), f=f)(updates)).all()
    assert choice == terms.choice(updates)


CHOOSING = [rule for rule in Rule if rule.chooses_by_distance]


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(rounds(), st.sampled_from(CHOOSING), st.booleans(), st.integers(0, 14))
def test_contract_chooses_and_weighs_as_the_rules_do(harness, drawn, rule, clips, trusted):
    updates, f = drawn
    clips = clips and rule is not Rule.FLTRUST
    terms = Terms(rule, f, PreSteps.ARC if clips else PreSteps.NONE, trusted=trusted)
    found, choice = harness.aggregate(updates, terms)
    assert (found == terms.combined(updates)).all()
    assert choice == terms.choice(updates)


# A round includes 64 at most. What is drawn has the ends of the range, ties and equal updates.
@pytest.mark.parametrize("count", range(3, 65))
def test_contract_trims_by_every_tolerance_of_every_count(harness, count):
    random = np.random.default_rng([count, 1])
    for f in range((count - 1) // 2 + 1):
        updates = drawn_updates(random, count, CHUNK_LENGTH)
        found, _ = harness.aggregate(updates, Terms(Rule.TRIMMED_MEAN, f))
        assert (found == trimmed_mean(updates, f=f)).all(), (updates.tolist(), f)


@pytest.mark.parametrize("count", range(3, 65))
@pytest.mark.parametrize(
    ("rule", "pre_steps"),
    [
        (Rule.MULTI_KRUM, PreSteps.NONE),
        (Rule.KRUM, PreSteps.NONE),
        (Rule.MEDIAN, PreSteps.NNM),
        (Rule.MEAN, PreSteps.ARC),
        (Rule.TRIMMED_MEAN, PreSteps.ARC | PreSteps.NNM),
    ],
)
def test_contract_chooses_and_mixes_by_every_tolerance_of_every_count(
    harness, count, rule, pre_steps
):
    random = np.random.default_rng([count, 2])
    most = rule.most_liars(count, pre_steps)
    # Behind clipping, the last case mixes by every tolerance of every count.
    every = count <= 16 or pre_steps != PreSteps.NNM
    for f in range(most + 1) if every else (0, most // 2, most):
        updates = drawn_updates(random, count, CHUNK_LENGTH)
        terms = Terms(rule, f, pre_steps)
        found = harness.rounds(updates[None], terms)
        assert (found.aggregates[0] == terms.combined(updates)).all(), (updates.tolist(), f)


@pytest.mark.parametrize("count", range(3, 65))
def test_contract_weighs_updates_of_every_count(harness, count):
    random = np.random.default_rng([count, 3])
    most = (count - 1) // 2
    for terms in (
        Terms(Rule.GEOMETRIC_MEDIAN, 0),
        Terms(Rule.GEOMETRIC_MEDIAN, most, PreSteps.ARC),
        Terms(Rule.CENTERED_CLIPPING, 0, clip_norm=int(2 ** random.uniform(0, 20))),
        Terms(Rule.FLTRUST, 1, trusted=0),
        Terms(Rule.FLTRUST, 1, trusted=int(random.integers(count))),
        Terms(Rule.FLTRUST, 1, trusted=count - 1),
        Terms(Rule.FLTRUST, 1, trusted=count),
    ):
        updates = drawn_updates(random, count, CHUNK_LENGTH)
        found, choice = harness.aggregate(updates, terms)
        assert (found == terms.combined(updates)).all(), (updates.tolist(), terms)
        assert choice == terms.choice(updates), (updates.tolist(), terms)


@pytest.mark.parametrize(
    ("rule", "pre_steps"),
    [
        (Rule.MEAN, PreSteps.NONE),
        (Rule.CLIPPED_MEAN, PreSteps.NONE),
        (Rule.MEDIAN, PreSteps.NONE),
        (Rule.TRIMMED_MEAN, PreSteps.NONE),
        (Rule.MULTI_KRUM, PreSteps.NONE),
        (Rule.KRUM, PreSteps.NONE),
        (Rule.CENTERED_CLIPPING, PreSteps.NONE),
        (Rule.FLTRUST, PreSteps.NONE),
        (Rule.MEAN, PreSteps.NNM),
        (Rule.MEAN, PreSteps.ARC),
        (Rule.KRUM, PreSteps.ARC),
    ],
)
def test_ten_thousand_small_rounds_give_the_same_bits(harness, rule, pre_steps):
    random = np.random.default_rng([rule, pre_steps])
    for _ in range(CASES // CASES_A_CALL):
        play_small_rounds(harness, random, rule, pre_steps, CASES_A_CALL)


def test_a_thousand_small_rounds_have_the_same_geometric_median(harness):
    """Fewer: Python takes its steps one by one."""
    random = np.random.default_rng(6)
    for _ in range(CASES // CASES_A_CALL):
        clipping = PreSteps(random.integers(2))
        play_small_rounds(harness, random, Rule.GEOMETRIC_MEDIAN, clipping, CASES_A_CALL // 10)


def play_small_rounds(
    harness: Harness, random: np.random.Generator, rule: Rule, pre_steps: PreSteps, number: int
) -> None:
    count = int(random.integers(3, 13))
    terms = Terms(
        rule,
        f=int(random.integers(rule.most_liars(count, pre_steps) + 1)),
        pre_steps=pre_steps,
        # From one unit to more than any of these updates has.
        clip_norm=int(2 ** random.uniform(0, 18)),
        trusted=int(random.integers(count + 1)),
    )
    updates = np.stack([small_round(random, count) for _ in range(number)])
    found = harness.rounds(updates, terms)
    for place, each in enumerate(updates):
        case = (each.tolist(), terms)
        aggregated = terms.combined(each)
        assert (found.aggregates[place] == aggregated).all(), case
        assert found.choices[place] == terms.choice(each), case
        # What chooses or weighs leaves a single row, the result.
        rows = aggregated[None] if rule.chooses_by_distance else changed(each, terms)
        assert (found.changed[place] == rows).all(), case


def small_round(random: np.random.Generator, count: int) -> np.ndarray:
    """A few coordinates, of which the last ones may be padding, and perhaps twins.

    Shape: [count, CHUNK_LENGTH].
    """
    updates = drawn_updates(random, count, CHUNK_LENGTH)
    updates[:, random.integers(1, CHUNK_LENGTH + 1) :] = 0
    if random.integers(2):
        updates[random.integers(count)] = updates[random.integers(count)]
    return updates


def changed(updates: np.ndarray, terms: Terms) -> np.ndarray:
    """By pre-steps."""
    rows = terms.rows(updates)
    return nnm(rows, terms.f).array() if PreSteps.NNM in terms.pre_steps else rows
