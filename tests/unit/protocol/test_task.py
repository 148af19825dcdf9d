"""The mirror of the contract's structs: the same names, order and types, and the same ranges."""

import re
from dataclasses import FrozenInstanceError, astuple, fields, replace
from pathlib import Path

import pytest
from eth_abi.abi import decode, encode
from hypothesis import given, settings
from hypothesis import strategies as st

from protocol import task
from protocol.errors import ConfigError
from protocol.state import (
    Deadlines,
    Fault,
    Flag,
    Offence,
    Phase,
    Published,
    RoundState,
    Seat,
    TaskState,
)
from protocol.task import ZERO_ADDRESS, PreSteps, Privacy, RewardRule, Rule, TaskParams

pytestmark = pytest.mark.unit

INTERFACE = Path(task.__file__).parents[1] / "contracts" / "src" / "interfaces" / "IVolquorum.sol"
STRUCTS = [TaskParams, TaskState, RoundState, Flag, Seat, Deadlines]
NOW = 1_000


def block(kind, name):
    """The lines of an enum or struct in the interface, without comments."""
    found = re.search(rf"{kind} {name} \{{(.*?)\n    \}}", INTERFACE.read_text(), re.DOTALL)
    assert found, name
    lines = (line.split("//")[0].strip().rstrip(",;") for line in found[1].splitlines())
    return [line for line in lines if line]


TRUSTED = "0x" + "1a" * 20


def snake(name):
    # Capitals in a row are the beginning of one word.
    return re.sub(r"(?<![A-Z])([A-Z])", r"_\1", name).lower().lstrip("_")


def valid(**changes):
    """Parameters with these changes; as many seats as a round includes unless they say more."""
    changes = {"seats": changes["cohort"]} | changes if "cohort" in changes else changes
    if "drawn" not in changes:
        changes["drawn"] = min(5, changes.get("cohort", 5))
        changes["drawn"] = max(changes["drawn"], changes.get("quorum", 3))
    if changes.get("rule") is Rule.FLTRUST:
        changes = {"trusted": TRUSTED} | changes
    params = TaskParams.default(
        model_spec_hash=bytes([1]) * 32,
        genesis_model_root=bytes([2]) * 32,
        dimension=5_000,
        closes_at=2_000,
    )
    return replace(params, **changes)


@pytest.mark.parametrize(
    "enum",
    [Phase, Rule, RewardRule, Offence, Fault, Published, Privacy],
    ids=lambda enum: enum.__name__,
)
def test_enum_has_the_contracts_members_in_order(enum):
    wanted = [snake(member).upper() for member in block("enum", enum.__name__)]
    assert [member.name for member in enum] == wanted
    assert [member.value for member in enum] == list(range(len(wanted)))


@pytest.mark.parametrize("struct", STRUCTS, ids=lambda struct: struct.__name__)
def test_struct_has_the_contracts_fields_in_order(struct):
    wanted = [snake(line.split()[1]) for line in block("struct", struct.__name__)]
    assert [field.name for field in fields(struct)] == wanted


def test_abi_type_has_the_contracts_types_in_order():
    types = [line.split()[0] for line in block("struct", "TaskParams")]
    enums = {"Rule", "Privacy", "RewardRule"}
    wanted = ["uint8" if name in enums else name for name in types]
    assert f"({','.join(wanted)})" == TaskParams.ABI_TYPE


@pytest.mark.parametrize("struct", [TaskState, RoundState, Flag, Seat, Deadlines])
def test_empty_facts_are_what_the_contract_says_of_unknown_things(struct):
    values = astuple(struct())
    assert not any(
        int(value, 16) if isinstance(value, str) else any(value)
        for value in values
        if isinstance(value, str | bytes)
    )
    assert not any(value for value in values if isinstance(value, int))


def test_parameters_survive_the_abi():
    params = valid(
        rule=Rule.CLIPPED_MEAN,
        clip_norm=9,
        aggregator="0x" + "ab" * 20,
        pre_steps=PreSteps.ARC | PreSteps.NNM,
        reward_rule=RewardRule.SAMPLES,
        currency="0x" + "cd" * 20,
    )
    (values,) = decode([TaskParams.ABI_TYPE], encode([TaskParams.ABI_TYPE], [params.abi_tuple()]))
    found = TaskParams.from_abi(values)
    assert found == params
    assert isinstance(found.rule, Rule)
    assert isinstance(found.pre_steps, PreSteps)
    assert isinstance(found.privacy, Privacy)
    assert isinstance(found.reward_rule, RewardRule)


def test_facts_cannot_be_changed():
    with pytest.raises(FrozenInstanceError):
        valid().quorum = 1  # type: ignore[misc]  # what the test is about


def test_default_is_a_task_that_the_contract_accepts():
    valid().check(NOW)


@pytest.mark.parametrize(
    "changes",
    [
        {"shift": 0},
        {"shift": 31},
        {"chunk_length": 16},
        {"chunk_length": 512},
        {"cohort": 64, "quorum": 64, "tolerance": 31},
        {"cohort": 1, "quorum": 1, "tolerance": 0},
        {"rule": Rule.CLIPPED_MEAN, "clip_norm": 1},
        {"rule": Rule.MEAN, "pre_steps": PreSteps.ARC},
        {"rule": Rule.MULTI_KRUM, "quorum": 5},
        {"pre_steps": PreSteps.ARC | PreSteps.NNM, "cohort": 64, "quorum": 63, "tolerance": 31}
        | {"dimension": 16 * 256},
        {"rule": Rule.KRUM, "quorum": 5},
        {"rule": Rule.BULYAN, "cohort": 7, "quorum": 7},
        {"rule": Rule.MINIMUM_DIAMETER},
        {"rule": Rule.GEOMETRIC_MEDIAN, "pre_steps": PreSteps.NNM},
        {"rule": Rule.CENTERED_CLIPPING, "clip_norm": 2**64 - 1},
        {"rule": Rule.FLTRUST},
        {"rule": Rule.CLIPPED_MEAN, "clip_norm": 1, "pre_steps": PreSteps.ARC},
        {"rule": Rule.MULTI_KRUM, "quorum": 5, "pre_steps": PreSteps.ARC | PreSteps.NNM},
        {"selection_seconds": 0, "availability_seconds": 0, "challenge_seconds": 0},
        {"aggregator_seconds": 0},
        {"aggregator_seconds": 20},
        {"closes_at": NOW + 1},
        {"closes_at": NOW + 3650 * 86_400},
        {"rounds": 2**32 - 1, "reward_wei": 2**64},
        {"rounds": 1, "reward_wei": 2**96 - 1},
        {"rounds": 1, "reward_wei": 2**95, "publisher_wei": 2**95 - 1},
        {"stake_wei": 0, "slice_wei": 0, "bond_wei": 0, "flag_wei": 0, "reward_wei": 0},
        {"slice_wei": 10**16},
        {"seats": 6, "seed_source": "0x" + "11" * 20},
        {"seats": 2**16 - 1, "seed_source": "0x" + "11" * 20, "drawn": 3},
        {"currency": "0x" + "11" * 20},
        {"reward_rule": RewardRule.SAMPLES, "sample_cap": 1, "min_samples": 2**32 - 1},
        {"reward_rule": RewardRule.SCORES, "score_seconds": 2},
        {"reward_rule": RewardRule.SCORES, "score_seconds": 30},
        {"flag_wei": 2**96 - 1},
    ],
)
def test_edges_of_the_ranges_are_accepted(changes):
    valid(**changes).check(NOW)


@pytest.mark.parametrize(
    ("field", "value", "solidity_type"),
    [
        ("dimension", 2**32, "uint32"),
        ("dimension", -1, "uint32"),
        ("dimension", 5.0, "uint32"),
        ("chunk_length", 2**16, "uint16"),
        ("shift", 2**8, "uint8"),
        ("max_squared_norm", 2**64, "uint64"),
        ("stake_wei", 2**96, "uint96"),
        ("salt", bytes(31), "bytes32"),
        ("salt", "0x" + "00" * 32, "bytes32"),
        ("aggregator", "0x12", "address"),
        ("aggregator", "0x" + "zz" * 20, "address"),
        ("aggregator", bytes(20), "address"),
    ],
)
def test_value_that_does_not_fit_its_type_is_refused(field, value, solidity_type):
    with pytest.raises(ConfigError, match=rf"^{field} must be a {solidity_type}; found "):
        valid(**{field: value}).check()


def test_refusal_says_range_and_value():
    with pytest.raises(ConfigError, match=r"^tolerance must be from 0 to 1; found 2$"):
        valid(tolerance=2).check()
    with pytest.raises(ConfigError, match=r"^chunk_length must be a multiple of 16; found 24$"):
        valid(chunk_length=24).check()
    with pytest.raises(ConfigError, match=r"^pre_steps must be from 0 to 3; found 4$"):
        valid(pre_steps=4).check()
    with pytest.raises(ConfigError, match=r"^genesis_model_root must not be zero$"):
        valid(genesis_model_root=bytes(32)).check()
    source = r"^seed_source must be {} with {} seats and a cohort of 5; found 0x"
    with pytest.raises(ConfigError, match=source.format("a contract's address", 6)):
        valid(seats=6).check()
    with pytest.raises(ConfigError, match=source.format("the zero address", 5)):
        valid(seed_source="0x" + "11" * 20).check()


@pytest.mark.parametrize(
    ("changes", "refusal"),
    [
        ({"rule": Rule.FLTRUST, "trusted": ZERO_ADDRESS}, "trusted must be a participant's"),
        ({"trusted": TRUSTED}, "trusted must be the zero address with trimmed_mean"),
        ({"rule": Rule.FLTRUST, "pre_steps": PreSteps.ARC}, "pre_steps must be from 0 to 0"),
        ({"rule": Rule.FLTRUST, "tolerance": 2}, "tolerance must be from 1 to 1"),
    ],
)
def test_fltrust_names_whom_it_trusts_and_no_other_rule_does(changes, refusal):
    with pytest.raises(ConfigError, match=f"^{refusal}"):
        valid(**changes).check()


def test_trusted_row_is_found_among_those_included():
    params = valid(rule=Rule.FLTRUST, trusted=TRUSTED)
    others = ["0x" + digit * 40 for digit in "bc"]
    assert params.trusted_row([others[0], TRUSTED.upper().replace("X", "x"), others[1]]) == 1
    assert params.trusted_row(others) is None


def test_sponsor_pays_all_rounds_in_advance():
    params = valid(rounds=7, reward_wei=10, publisher_wei=3)
    assert params.budget_wei == 7 * 13
    assert valid().currency == ZERO_ADDRESS


def test_closing_time_is_judged_only_when_the_time_is_known():
    late = valid(closes_at=NOW)
    late.check()
    with pytest.raises(ConfigError, match=r"^closes_at"):
        late.check(NOW)


@settings(deadline=None)
@given(st.sampled_from(Rule), st.integers(1, 64))
def test_a_tolerated_minority_leaves_an_honest_majority(rule, count):
    most = rule.most_liars(count)
    assert 2 * most < count
    least = {Rule.MULTI_KRUM: 5, Rule.KRUM: 5, Rule.BULYAN: 7}.get(rule, 3)
    assert (most == 0) == (rule is Rule.MEAN or count < least)


BY_CHOICE_OF_KRUM = {Rule.MULTI_KRUM, Rule.KRUM, Rule.BULYAN}


@given(
    st.sampled_from([rule for rule in Rule if rule not in BY_CHOICE_OF_KRUM]), st.integers(1, 64)
)
def test_pre_steps_let_any_rule_tolerate_a_minority(rule, count):
    assert rule.most_liars(count, PreSteps.ARC) == (count - 1) // 2


@given(st.sampled_from(sorted(BY_CHOICE_OF_KRUM)), st.integers(1, 64), st.integers(0, 3))
def test_pre_steps_do_not_help_who_chooses_by_krum(rule, count, steps):
    wanted = {Rule.BULYAN: (count - 3) // 4}.get(rule, (count - 3) // 2)
    assert rule.most_liars(count, PreSteps(steps)) == max(0, wanted)


CHOOSING = [
    *(Rule.MULTI_KRUM, Rule.KRUM, Rule.GEOMETRIC_MEDIAN, Rule.FLTRUST),
    *(Rule.BULYAN, Rule.MINIMUM_DIAMETER),
]


@pytest.mark.parametrize("rule", CHOOSING)
def test_who_chooses_or_is_judged_by_votes_tolerates_a_liar(rule):
    params = valid(rule=rule, cohort=7, quorum=7, tolerance=0)
    with pytest.raises(ConfigError, match=r"^tolerance must be from 1 to "):
        params.check()
    replace(params, tolerance=1).check()


@pytest.mark.parametrize("rule", [rule for rule in Rule if rule not in CHOOSING])
def test_who_makes_no_choice_may_tolerate_nobody(rule):
    clip_norm = 5 if rule.clips else 0
    params = valid(rule=rule, cohort=7, quorum=7, clip_norm=clip_norm, tolerance=0)
    params.check()
    for steps in (ARC, NNM):
        with pytest.raises(ConfigError, match=r"^tolerance must be from 1 to "):
            replace(params, pre_steps=steps).check()


def test_bits_of_pre_steps_are_the_contracts():
    source = (INTERFACE.parents[1] / "libraries" / "ChoiceLib.sol").read_text()
    bits = dict(re.findall(r"constant (ARC|NNM) = (\d+);", source))
    assert {step.name: step.value for step in PreSteps} == {"ARC": 1, "NNM": 2}
    assert {name: int(value) for name, value in bits.items()} == {"ARC": 1, "NNM": 2}


ARC, NNM = PreSteps.ARC, PreSteps.NNM


@pytest.mark.parametrize(
    ("changes", "words", "has_table"),
    [
        ({}, "trimmed_mean", False),
        ({"pre_steps": ARC}, "arc+trimmed_mean", False),
        ({"pre_steps": NNM, "rule": Rule.MEAN}, "nnm+mean", True),
        ({"pre_steps": NNM | ARC}, "arc+nnm+trimmed_mean", True),
        ({"rule": Rule.MULTI_KRUM}, "multi_krum", True),
        ({"rule": Rule.MULTI_KRUM, "pre_steps": ARC}, "arc+multi_krum", True),
        ({"rule": Rule.KRUM}, "krum", True),
        ({"rule": Rule.KRUM, "pre_steps": NNM}, "nnm+krum", False),
        ({"rule": Rule.GEOMETRIC_MEDIAN}, "geometric_median", True),
        ({"rule": Rule.GEOMETRIC_MEDIAN, "pre_steps": ARC}, "arc+geometric_median", True),
        ({"rule": Rule.GEOMETRIC_MEDIAN, "pre_steps": NNM}, "nnm+geometric_median", False),
        ({"rule": Rule.FLTRUST}, "fltrust", True),
        ({"rule": Rule.CENTERED_CLIPPING, "clip_norm": 1}, "centered_clipping", False),
        ({"rule": Rule.MINIMUM_DIAMETER}, "minimum_diameter", False),
    ],
)
def test_only_a_provable_choice_by_distance_has_a_table(changes, words, has_table):
    params = valid(**changes)
    assert (params.rule_in_words, params.has_table) == (words, has_table)


@pytest.mark.parametrize("steps", [PreSteps(bits) for bits in range(4)])
@pytest.mark.parametrize("rule", Rule)
def test_votes_judge_what_the_contract_does_not_know(rule, steps):
    known = {Rule.MEAN, Rule.MEDIAN, Rule.TRIMMED_MEAN}
    if NNM not in steps:
        known |= {Rule.MULTI_KRUM, Rule.KRUM, Rule.GEOMETRIC_MEDIAN, Rule.FLTRUST}
    if not steps:
        known |= {Rule.CLIPPED_MEAN, Rule.CENTERED_CLIPPING}
    assert valid(rule=rule, pre_steps=steps).by_votes == (rule not in known)


@pytest.mark.parametrize(
    ("cohort", "chunks", "fits"),
    [(10, 1024, True), (10, 1025, False), (11, 513, False), (64, 16, True), (64, 17, False)],
)
@pytest.mark.parametrize(
    "changes",
    [{"pre_steps": NNM}, *({"rule": rule} for rule in CHOOSING if rule < Rule.BULYAN)],
)
def test_table_of_more_than_two_to_the_sixteen_leaves_is_none(cohort, chunks, fits, changes):
    size = {"cohort": cohort, "quorum": 5, "dimension": 256 * chunks}
    params = valid(**(size | changes))
    params.check()
    assert (params.has_table, params.by_votes) == (fits, not fits)
    assert not replace(params, rule=Rule.MEDIAN, pre_steps=ARC).by_votes


def test_one_vote_more_than_may_lie_is_needed():
    assert valid(tolerance=3).votes_needed == 4
