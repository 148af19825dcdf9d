"""The results page's tables say what the evaluations' files hold."""

import json

import pytest
from click.testing import CliRunner

from benchmarks.results_table import (
    BOOKS,
    HEDGES,
    METRICS,
    MODELS,
    RATIOS,
    TOLERANT,
    main,
    table_of_books,
    table_of_choices,
    table_of_hedges,
    table_of_metrics,
    table_of_models,
    table_of_tolerance,
    tables,
)

pytestmark = pytest.mark.unit


def estimate(mean: float) -> dict:
    return {"mean": mean, "ci95": [mean - 0.5, mean + 0.5], "seeds": [mean]}


def window(shift: float) -> dict:
    models = [*MODELS, "federated_tolerant", "federated_rule_alone"]
    errors = {name: estimate(shift + place) for place, name in enumerate(models)}
    audited = {name: estimate(0.01) for name in ("federated", "central", "quadratic")}
    book = {name: estimate(shift + place) for place, name in enumerate(BOOKS)}
    worse = {name: estimate(shift + place + 2) for place, name in enumerate(BOOKS)}
    return {
        **dict.fromkeys(("rmse_vol_points", *METRICS), errors),
        "inside_bid_ask": {"models": {name: estimate(0.25) for name in MODELS}},
        "rmse_ratios": {
            name: estimate(1.0)
            for name in (
                *RATIOS,
                *(name for metric, name in TOLERANT.values() if metric == "rmse_ratios"),
            )
        },
        "books": [book, worse],
        "worst_book": worse,
        "arbitrage": {
            condition: {"models": audited} for condition in ("calendar", "butterfly", "wings")
        },
        "day_pnl_deviation_bp": {
            coin: {name: estimate(20.0 + shift) for name in HEDGES} for coin in ("BTC", "ETH")
        },
    }


def evaluation(partition: str) -> dict:
    choices = [[{"share": 0.25}, {"share": 1.0}], [{"share": 0.0}, {"share": 1.0}]]
    return {
        "settings": {"partition": partition},
        **window(1.0),
        "stress": window(2.0),
        "choices": choices,
    }


def cells(table: str, row: str) -> list[str]:
    (line,) = [line for line in table.splitlines() if line.startswith(f"| {row} |")]
    return [cell.strip() for cell in line.strip("|").split("|")][1:]


def test_each_partition_has_its_column_and_a_missing_one_dashes():
    table = table_of_models({"time": evaluation("time")}, "stress")
    assert cells(table, "RMSE, stress") == ["desks", "dirichlet", "time", "moneyness"]
    assert cells(table, "**federated**") == ["-", "-", "2.000 (1.50-2.50)", "-"]


def test_a_model_that_was_trained_nowhere_has_no_row():
    without, found = evaluation("time"), evaluation("time")
    del without["rmse_vol_points"]["set_attention"]
    tables = [table_of_models({"time": each}, "test") for each in (without, found)]
    assert ["set_attention" in table for table in tables] == [False, True]


def test_a_metric_that_an_older_file_lacks_is_a_dash():
    older = evaluation("desks")
    del older["p95_mid_vol_points"]
    assert cells(table_of_metrics({"desks": older}), "**federated**")[4] == "-"


def test_books_are_averaged_over_desks_and_the_worst_stands_beside():
    table = table_of_books({"desks": evaluation("desks")}, "test")
    assert cells(table, "federated")[0] == "2.000, 3.000"


def test_what_each_desk_blended_stands_below_its_errors():
    table = table_of_choices({"time": evaluation("time")}, "test")
    place = list(BOOKS).index("chosen")
    assert cells(table, "own book, test, desk by desk") == ["desk 1", "desk 2"]
    assert cells(table, "time: the blend that the desk fits on May") == [
        f"{1.0 + place:.3f}",
        f"{3.0 + place:.3f}",
    ]
    assert cells(table, "time: share of the desk alone, seeds") == ["0.25, 0.00", "1.00, 1.00"]


def test_what_tolerating_costs_is_told_where_it_was_measured():
    without = evaluation("desks")
    del without["rmse_ratios"]["federated_tolerant_to_federated"]
    table = table_of_tolerance({"desks": without, "time": evaluation("time")}, "test")
    to_the_mean = cells(table, "rule and recipe: to the mean")
    assert to_the_mean == ["-", "-", "1.000 (0.50-1.50)", "-"]
    assert cells(table, "rule and recipe: RMSE")[2].startswith(f"{1.0 + len(MODELS):.3f}")
    assert cells(table, "the rule alone: RMSE")[2].startswith(f"{2.0 + len(MODELS):.3f}")


def test_other_metrics_and_hedges_are_of_the_first_partition():
    found = {"desks": evaluation("desks")}
    assert cells(table_of_metrics(found), "**federated**") == [
        *["1.00"] * 5,
        "25.0%",
        "1.00",
    ]
    hedges = cells(table_of_hedges(found), "unhedged")
    assert hedges == ["21.0 (20-22)", "22.0 (22-22)", "21.0 (20-22)", "22.0 (22-22)"]


def test_a_page_s_tables_are_replaced_and_its_words_stay(tmp_path):
    page, file = tmp_path / "page.md", tmp_path / "desks.json"
    file.write_text(json.dumps(evaluation("desks")))
    older = tables({"moneyness": evaluation("moneyness")})
    page.write_text("Words.\n\n" + "\n\nMore words.\n\n".join(older) + "\n")

    done = CliRunner().invoke(main, [str(file), "--page", str(page)])

    assert done.exit_code == 0, done.output
    text = page.read_text()
    assert text.count("More words.") == len(older) - 1
    assert all(table in text for table in tables({"desks": evaluation("desks")}))
