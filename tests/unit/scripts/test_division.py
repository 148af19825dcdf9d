"""Commands that divide a market take the same options and refuse the same divisions."""

import click
import pytest
from click.testing import CliRunner, Result

from protocol.exit_codes import ExitCode
from scripts.command import reports_failures
from scripts.division import desks_needed, divides_a_market

pytestmark = pytest.mark.unit


@click.command()
@reports_failures
@divides_a_market
def shown(**division: object) -> None:
    click.echo(" ".join(f"{name}={value}" for name, value in sorted(division.items())))


def invoked(*options: str) -> Result:
    return CliRunner().invoke(shown, list(options))


def test_left_out_it_is_five_desks_of_a_made_up_market():
    said = invoked().stdout.strip()
    assert said == "data=None desks=5 partition=desks rounds=15 rule=mean tolerance=0"


@pytest.mark.parametrize(
    ("rule", "tolerance"),
    [("clipped_mean", 0), ("median", 0), ("trimmed_mean", 1), ("multi_krum", 1), ("krum", 1)],
)
def test_rules_that_are_told_how_many_liars_tolerate_one(rule, tolerance):
    assert f"tolerance={tolerance}" in invoked("--rule", rule).stdout


def test_synthetic_is_a_made_up_market_too():
    assert "data=None" in invoked("--data", "synthetic").stdout


@pytest.mark.parametrize(
    ("rule", "tolerance", "least"),
    [
        ("trimmed_mean", 2, 5),
        ("multi_krum", 1, 5),
        ("krum", 1, 5),
        ("bulyan", 1, 7),
        ("geometric_median", 2, 5),
        ("mean", 0, 1),
    ],
)
def test_liars_must_be_outnumbered(rule, tolerance, least):
    assert desks_needed(rule, tolerance) == least
    options = ["--rule", rule, "--tolerance", str(tolerance)]
    assert invoked(*options, "--desks", str(least)).exit_code == ExitCode.OK
    if least > 1:
        refused = invoked(*options, "--desks", str(least - 1))
        assert refused.exit_code == ExitCode.CONFIG
        assert f"takes {least} desks; found {least - 1}" in refused.stderr


def test_a_folder_that_is_not_there_is_refused(tmp_path):
    refused = invoked("--data", str(tmp_path / "nowhere"))
    assert refused.exit_code == ExitCode.CONFIG
    assert "wanted a folder of quotes, found nothing at" in refused.stderr


def test_rule_that_trusts_one_desk_is_none_for_desks_without_names():
    refused = invoked("--rule", "fltrust")
    assert refused.exit_code == 2
    assert "'fltrust' is not one of" in refused.stderr
