from dataclasses import replace
from datetime import UTC, datetime, timedelta

import numpy as np
import pytest

from node.models.points import Points
from tests.unit.node.small_market import NOON, NOON_MICROSECONDS, panel, samples

pytestmark = pytest.mark.unit


def test_points_are_where_the_samples_were_quoted():
    found, points = samples(), Points.of(samples())
    np.testing.assert_array_equal(points.log_moneyness, found.log_moneyness)
    np.testing.assert_array_equal(points.years, found.years)
    np.testing.assert_array_equal(points.is_btc, found.is_btc)
    np.testing.assert_array_equal(points.surface, panel().vols[found.surface_row])


def test_a_day_is_the_snapshots_in_days_since_1970():
    noon = replace(samples().take(slice(0, 1)), snapshot=np.array([NOON_MICROSECONDS]))
    assert Points.of(noon).day.item() == 20513.5
    assert datetime(1970, 1, 1, tzinfo=UTC) + timedelta(days=20513.5) == NOON
