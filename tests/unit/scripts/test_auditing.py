"""A person may set an audit's limits by name, and hears which names there are."""

import pytest

from node.evaluation.audit import LIMITS, Limits
from protocol.errors import ConfigError
from scripts.auditing import limits_of

pytestmark = pytest.mark.unit


def test_named_limits_are_set_and_the_others_stay():
    assert limits_of(()) == LIMITS
    found = limits_of(["wings=1", "wide_calendar=0.25"])
    assert found == Limits(wings=1.0, wide_calendar=0.25)


@pytest.mark.parametrize("change", ["wing=0.1", "wings", "wings=", "wings=1.5", "wings=nan", "=1"])
def test_what_is_no_limit_is_refused(change):
    with pytest.raises(ConfigError, match="out of calendar, butterfly, wings, wide_calendar"):
        limits_of([change])
