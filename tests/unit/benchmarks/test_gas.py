"""Gas: the page says what was measured, and what was measured is what the contracts cost."""

from dataclasses import replace

import pytest

from benchmarks.gas import Bench, take_apart
from benchmarks.gas_plot import draw
from benchmarks.gas_table import (
    ROOT,
    WAYS,
    WHENS,
    Measured,
    RoundGas,
    Snapshots,
    renewed,
    table_of_calls,
    table_of_dispute_goals,
    table_of_disputes,
    table_of_goals,
    table_of_peers,
    tables,
)

PAGE = ROOT / "docs" / "gas.md"


@pytest.fixture(scope="module")
def measured():
    return Measured.read()


@pytest.fixture(scope="module")
def bench():
    return Bench(3)


def round_of(participants, update=80_000):
    return RoundGas(
        participants=participants,
        open_round=90_000,
        commits=participants * update // 2,
        reveals=participants * update // 2,
        publish=110_000,
        finalise=60_000,
        distribute=participants * 10_000 + 50_000,
    )


def measured_of(*rounds):
    """The same round sent in both ways, first and steady."""
    return Measured(
        {gas.participants: {way: dict.fromkeys(WHENS, gas) for way in WAYS} for gas in rounds}, {}
    )


@pytest.mark.unit
def test_page_says_what_was_measured_and_what_the_snapshots_say(measured):
    page = PAGE.read_text(encoding="utf-8")
    assert renewed(page, tables(measured, Snapshots.read())) == page


@pytest.mark.unit
def test_plot_shows_what_was_measured(measured, tmp_path):
    draw(measured, tmp_path / "gas.svg")
    assert (tmp_path / "gas.svg").read_bytes() == (ROOT / "docs" / "gas.svg").read_bytes()


@pytest.mark.unit
def test_py_evm_and_the_snapshots_agree(measured):
    """Within the bytes of calldata and the few slots by which their tasks differ."""
    calls = Snapshots.read().calls
    totals = {
        (int(count.removeprefix("n")), way): calls[name]
        for name in calls
        if name.startswith("round_")
        for _, count, way in [name.split("_")]
    }
    assert {(3, "direct"), (10, "batched"), (64, "direct"), (64, "batched")} <= totals.keys()
    for (count, way), gas in totals.items():
        assert measured.rounds[count][way]["steady"].whole == pytest.approx(gas, rel=0.01)


@pytest.mark.chain
@pytest.mark.parametrize("way", WAYS)
def test_first_round_costs_what_the_page_says(measured, bench, way):
    with bench.undone():
        assert bench.round(1, way) == measured.rounds[3][way]["first"]


@pytest.mark.chain
def test_meter_accounts_for_all_gas_and_finds_the_slots(measured, bench):
    with bench.undone():
        spent = take_apart(bench, 1)
    first = measured.rounds[3]["direct"]["first"]
    for call, gas in (("commit", first.commits), ("reveal", first.reveals)):
        # The last one's; the mean differs by the zeros in calldata.
        assert sum(spent[f"{call}, direct"].gas.values()) == pytest.approx(gas / 3, abs=100)
    assert (spent["commit, direct"].slots_touched, spent["commit, direct"].slots_written) == (3, 1)
    assert (spent["reveal, direct"].slots_touched, spent["reveal, direct"].slots_written) == (5, 2)


@pytest.mark.unit
def test_round_is_the_sum_of_its_transactions():
    gas = round_of(10)
    assert gas.per_update == 80_000
    assert gas.whole == 90_000 + 800_000 + 110_000 + 150_000
    assert gas.without_distribution == gas.whole - 150_000 + 60_000


@pytest.mark.unit
def test_goal_that_is_not_met_is_bold():
    lines = table_of_goals(measured_of(round_of(64, update=24_000), round_of(10))).splitlines()
    assert [line.split("|")[4].strip() for line in lines[2:]] == ["yes", "yes", "yes", "yes"]
    missed = replace(round_of(64), distribute=10**7)
    assert table_of_goals(measured_of(missed)).count("**no**") == 2


@pytest.mark.unit
def test_goal_of_a_dispute_is_held_against_its_snapshot():
    disputes = Snapshots.read().disputes
    missed = table_of_dispute_goals(disputes).count("**no**")
    dearer = dict(disputes) | {"challenge_n64_c256": 4_200_000}
    assert table_of_dispute_goals(dearer).count("**no**") == missed + 1


@pytest.mark.unit
def test_peer_is_held_against_as_many_participants_or_more():
    found = table_of_peers(measured_of(round_of(3), round_of(64)))
    three, many = (f"{round_of(count).whole:,}" for count in (3, 64))
    assert f"| DIN | 3 | 4,970,000 | {three} | {three} |" in found
    assert f"| DIN | 60 | 70,400,000 | {many} with 64 | {many} with 64 |" in found
    assert "DIN | 60" not in table_of_peers(measured_of(round_of(3)))


@pytest.mark.unit
def test_calls_show_first_rounds_beside_steady_ones_and_leave_totals_out():
    calls = {
        "finalise first": 82_000,
        "finalise steady": 62_000,
        "join": 85_000,
        "round_n3_direct": 570_000,
    }
    assert table_of_calls(calls).splitlines()[2:] == [
        "| `finalise` | 62,000 | 82,000 |",
        "| `join` | 85,000 |  |",
    ]


@pytest.mark.unit
def test_dispute_without_words_is_shown_by_its_name():
    disputes = dict(Snapshots.read().disputes) | {"challenge_new": 123_456}
    assert table_of_disputes(disputes).endswith("| `challenge_new` | 123,456 |")


@pytest.mark.unit
def test_renewed_page_keeps_everything_but_the_older_table():
    page = "# Gas\n\n| a | b |\n|---|---|\n| x | 1 |\n| y | 2 |\n\nWords.\n"
    assert renewed(page, ["| a | b |\n|---|---|\n| x | 3 |"]) == (
        "# Gas\n\n| a | b |\n|---|---|\n| x | 3 |\n\nWords.\n"
    )
    with pytest.raises(ValueError, match="found 0"):
        renewed(page, ["| other |\n|---|"])


@pytest.mark.unit
def test_figures_are_read_as_they_were_written(measured, tmp_path):
    measured.write(tmp_path / "gas.json")
    assert Measured.read(tmp_path / "gas.json") == measured
