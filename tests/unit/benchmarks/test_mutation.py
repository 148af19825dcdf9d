"""Mutants: each is one small fault in code, and what the tests say of it is told."""

import json
from dataclasses import asdict

import pytest

from benchmarks import mutation
from benchmarks.mutants import Mutant, masked, mutants, statements
from benchmarks.mutation import INVALID, KILLED, SURVIVED, TARGETS, Bench, Verdict, report

pytestmark = pytest.mark.unit

SOURCE = """\
pragma solidity 0.8.37;

/// @notice Pays a == b; if (x) y;
contract Till {
    uint256 private constant MOST = 5; // not > 6

    function pay(uint256 amount) external {
        if (amount > MOST && open) revert TooMuch("a < b", amount);
        uint256 half = amount / 2;
        total += half;
        if (closed) {
            emit Paid(amount);
        } else total = amount == 0 ? 1 : half;
        for (uint256 index = 0; index < half; ++index) step();
    }
}
"""


def of(operator):
    return [each.told(SOURCE) for each in mutants(SOURCE) if each.operator == operator]


def test_text_that_is_not_code_is_not_mutated():
    code = masked(SOURCE)
    assert len(code) == len(SOURCE)
    assert code.count("\n") == SOURCE.count("\n")
    for text in ("a == b", "a < b", "0.8.37", "not > 6"):
        assert text not in code
    assert not any(each.line(SOURCE) <= 3 for each in mutants(SOURCE))


def test_each_mutant_changes_its_place_alone():
    found = mutants(SOURCE)
    assert len(found) == len({each.applied(SOURCE) for each in found})
    for each in found:
        mutated = each.applied(SOURCE)
        assert mutated != SOURCE
        assert mutated.startswith(SOURCE[: each.start] + each.after)
        assert mutated.endswith(SOURCE[each.end :])


def test_relations_lose_and_gain_their_border():
    assert of("relational") == [
        'if (amount [> -> <=] MOST && open) revert TooMuch("a < b", amount);',
        'if (amount [> -> >=] MOST && open) revert TooMuch("a < b", amount);',
        "} else total = amount [== -> !=] 0 ? 1 : half;",
        "for (uint256 index = 0; index [< -> <=] half; ++index) step();",
        "for (uint256 index = 0; index [< -> >=] half; ++index) step();",
    ]


def test_arithmetic_is_turned_round():
    assert of("arithmetic") == [
        "uint256 half = amount [/ -> *] 2;",
        "total [+= -> -=] half;",
        "total [+= -> =] half;",
        "for (uint256 index = 0; index < half; [++ -> --]index) step();",
    ]


def test_conditions_are_negated_unless_a_relation_does_it():
    assert [each.partition("[")[2].partition("]")[0] for each in of("condition")] == [
        "amount > MOST && open -> !(amount > MOST && open)",
        "closed -> !(closed)",
        "amount == 0 -> !(amount == 0)",
    ]


def test_statements_are_deleted_but_declarations_are_not():
    deleted = [SOURCE[start:end] for start, end in statements(masked(SOURCE))]
    assert "uint256 half = amount / 2;" in deleted
    assert of("statement") == [
        "[total += half; -> {}]",
        "[emit Paid(amount); -> {}]",
        "} else [total = amount == 0 ? 1 : half; -> {}]",
        "for (uint256 index = 0; index < half; ++index) [step(); -> {}]",
    ]
    assert len(of("revert")) == 1


def test_numbers_grow_by_one():
    assert "uint256 half = amount / [2 -> 3];" in of("constant")
    assert [each.after for each in mutants("contract C { uint8 c = type(uint8).max; }")] == [
        "(type(uint8).max - 1)"
    ]
    assert [each.after for each in mutants("contract C { bool b = true; }")] == ["false"]
    assert [each.after for each in mutants("contract C { uint8 m = 0x0f; }")] == ["0x0e"]


@pytest.mark.parametrize("name", TARGETS)
def test_every_target_is_there_with_its_tests(name):
    target = TARGETS[name]
    found = mutants(mutation.source_of(target))
    source = mutation.source_of(target)
    assert len({(each.line(source), each.operator, each.told(source)) for each in found}) == len(
        found
    )
    for suite in sum(target.steps, ()):
        assert (mutation.ROOT / "contracts" / "test" / f"{suite}.t.sol").is_file()


def test_a_larger_sample_begins_with_the_smaller_one():
    few = mutation.sampled("PhaseLib", 5, 0)
    assert mutation.sampled("PhaseLib", 9, 0)[:5] == few
    assert mutation.sampled("PhaseLib", 5, 1) != few


class Scripted(Bench):
    """A bench whose tests answer as told."""

    def __init__(self, folder, *answers):
        self._folder = folder
        self._answers = iter(answers)

    def _test(self, _suites):
        return next(self._answers)


def test_first_step_that_fails_ends_the_judgement_and_the_source_is_restored(tmp_path):
    target = TARGETS["Members"]
    file = tmp_path / "contracts" / "src" / target.path
    file.parent.mkdir(parents=True)
    file.write_text(SOURCE)
    bench = Scripted(tmp_path, (SURVIVED, ""), (KILLED, "testPays"))

    assert bench.judge(target, Mutant("constant", 0, 1, "x")) == (KILLED, "testPays")
    assert file.read_text() == SOURCE


def verdict(line, verdict, operator="constant"):
    return Verdict("Members", line, operator, "x [1 -> 2]", verdict, "", 1.0)


def test_verdicts_are_found_again(tmp_path):
    file = tmp_path / "verdicts.jsonl"
    assert mutation.known_verdicts(file) == {}
    first = verdict(7, KILLED)
    file.write_text(json.dumps(asdict(first)) + "\n")
    assert mutation.known_verdicts(file) == {first.key: first}


def test_report_counts_what_compiled_and_names_survivors():
    verdicts = [verdict(1, KILLED), verdict(2, SURVIVED), verdict(3, INVALID)]
    lines = list(report(verdicts, {"Members": 9}))
    assert "| Members | 9 | 3 | 1 | 1 | 1 | 50% |" in lines
    assert lines[-1] == "- `Members:2` constant: `x [1 -> 2]`"
