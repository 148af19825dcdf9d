from dataclasses import fields
from datetime import UTC, datetime, timedelta

import numpy as np
import pytest

from node.market.features import (
    INPUTS,
    NORMALISATION,
    RECORDED_SPLIT,
    Samples,
    Split,
    anchor_samples,
    build_samples,
    split_for,
)
from node.market.panel import TENOR_YEARS, Panel, vols_at
from node.market.quotes import DAYS_PER_YEAR
from node.models.formulas import quadratic_smile
from protocol.errors import DataError
from tests.unit.node.small_market import NOON, frame, panel, quote, quotes, samples

pytestmark = pytest.mark.unit

NOON_MICROSECONDS = int(NOON.timestamp()) * 1_000_000


def slanted_panel(**changed) -> Panel:
    atm = np.array([0.8, 0.7, 0.6, 0.55, 0.5])
    plain = {
        "snapshot": np.array([NOON_MICROSECONDS]),
        "is_btc": np.array([True]),
        "vols": np.stack([atm * 1.2, atm, atm * 1.1])[None],
        "incomplete": 0,
    }
    return Panel(**(plain | changed))


def panels_of(moments: list[datetime], jump_at: int) -> Panel:
    vols = np.full((len(moments), 3, 5), 0.5)
    vols[jump_at:] = 0.8
    return Panel(
        snapshot=np.array([int(moment.timestamp() * 1e6) for moment in moments]),
        is_btc=np.ones(len(moments), dtype=bool),
        vols=vols,
        incomplete=0,
    )


def test_inputs_are_the_eleven_published_ones():
    found = build_samples(frame([quote(30.0, 110.0, 0.65)]), slanted_panel())
    years = 30.0 / DAYS_PER_YEAR
    raw = {
        "z": np.log(1.1) / (0.6 * np.sqrt(years)),
        "sqrt_years": np.sqrt(years),
        "log_years": np.log(years),
        "is_btc": 1.0,
        "log_atm_30d": np.log(0.6),
        "log_atm_2d_over_30d": np.log(0.8 / 0.6),
        "log_atm_7d_over_30d": np.log(0.7 / 0.6),
        "log_atm_90d_over_30d": np.log(0.55 / 0.6),
        "log_atm_180d_over_30d": np.log(0.5 / 0.6),
        "log_lower_wing_over_atm": np.log(1.2),
        "log_upper_wing_over_atm": np.log(1.1),
    }
    wanted = [(raw[name] - centre) / scale for name, centre, scale in NORMALISATION]
    assert found.x.dtype == np.float32
    np.testing.assert_allclose(found.x[0], wanted, rtol=1e-5)
    assert found.z[0] == pytest.approx(raw["z"])


def test_a_normalised_input_does_not_depend_on_other_quotes():
    everything = samples()
    some = quotes().head(500)
    np.testing.assert_array_equal(build_samples(some, panel()).x, everything.x[:500])


def test_samples_are_finite_and_of_one_length():
    found = samples()
    assert found.x.shape == (len(found), INPUTS)
    for field in fields(found):
        values = getattr(found, field.name)
        assert len(values) == len(found), field.name
        assert np.isfinite(values).all(), field.name


def test_quotes_without_a_panel_are_left_out():
    rows = [quote(30.0, 110.0, 0.65), quote(30.0, 110.0, 0.65, currency="ETH")]
    assert build_samples(frame(rows), slanted_panel()).is_btc.tolist() == [True]


def test_quotes_of_other_days_than_the_panel_are_refused():
    elsewhere = slanted_panel(snapshot=np.array([NOON_MICROSECONDS + 1]))
    with pytest.raises(DataError, match="reference panel"):
        build_samples(frame([quote(30.0, 110.0, 0.65)]), elsewhere)


def test_take_keeps_the_rows_of_every_array_together():
    found = samples()
    rows = np.array([5, 3, 100])
    taken = found.take(rows)
    for field in fields(found):
        expected = getattr(found, field.name)[rows]
        np.testing.assert_array_equal(getattr(taken, field.name), expected)


def test_volatility_at_the_expiry_is_the_panels():
    found = samples()
    row = panel().rows(found.snapshot, found.is_btc)
    expected = vols_at(panel().vols[row], found.years)
    np.testing.assert_array_equal(found.panel_vols, expected)
    np.testing.assert_array_equal(found.atm_vol, expected[:, 1])
    assert TENOR_YEARS.size == 5


def test_recorded_dates_are_used_where_the_data_covers_them():
    start = datetime(2025, 12, 30, tzinfo=UTC)
    moments = [start + timedelta(days=day) for day in range(183)]
    assert split_for(panels_of(moments, 90)) == RECORDED_SPLIT


def test_other_data_is_split_by_its_own_time_about_its_largest_jump():
    start = datetime(2025, 1, 1, tzinfo=UTC)
    moments = [start + timedelta(days=day) for day in range(100)]
    found = split_for(panels_of(moments, 30))
    assert found.stress_start < moments[30] < found.stress_end
    assert start < found.stress_start < found.stress_end < found.train_end
    assert found.train_end < found.test_start < found.test_end
    assert found.test_end > moments[-1]


def test_a_jump_after_the_training_days_is_not_the_stress_window():
    start = datetime(2025, 1, 1, tzinfo=UTC)
    moments = [start + timedelta(days=day) for day in range(100)]
    found = split_for(panels_of(moments, 90))
    assert found.stress_end <= found.train_end


def test_stretches_share_no_quote_and_training_leaves_out_the_stress():
    found, split = samples(), split_for(panel())
    parts = [split.train(found), split.validation(found), split.stress(found), split.test(found)]
    assert sum(len(part) for part in parts) == len(found)
    seen = [set(part.snapshot.tolist()) for part in parts]
    assert all(seen)
    assert not any(seen[i] & seen[j] for i in range(4) for j in range(i))


def test_a_stretch_ends_before_its_end():
    moment = datetime.fromtimestamp(samples().snapshot[0] / 1e6, UTC)
    day = timedelta(days=1)
    split = Split(moment, moment - 9 * day, moment - 8 * day, moment + day, moment + 2 * day)
    assert samples().snapshot[0] not in split.train(samples()).snapshot
    assert samples().snapshot[0] in split.validation(samples()).snapshot


def test_too_short_a_recording_is_refused():
    moments = [NOON + timedelta(days=day) for day in range(19)]
    with pytest.raises(DataError, match="20 snapshots"):
        split_for(panels_of(moments, 5))


def test_anchors_are_the_panels_points_with_the_panels_answers():
    anchors = anchor_samples(panel())
    assert len(anchors) == panel().snapshot.size * 15
    z_one = anchors.take(np.arange(2, len(anchors), 15))
    np.testing.assert_allclose(z_one.tenor_days, 2.0)
    np.testing.assert_allclose(z_one.target_vol, panel().vols[:, 2, 0])
    np.testing.assert_allclose(
        anchors.target_vol[anchors.z == 0.0], anchors.atm_vol[anchors.z == 0.0]
    )
    np.testing.assert_allclose(quadratic_smile(anchors), anchors.target_vol, rtol=1e-9)


def test_an_anchor_has_the_inputs_that_a_quote_at_its_place_would_have():
    anchors = anchor_samples(slanted_panel())
    upper_30d = np.flatnonzero((anchors.z == 1.0) & np.isclose(anchors.tenor_days, 30.0))
    strike = 100.0 * anchors.strike[upper_30d[0]]
    quoted = build_samples(frame([quote(30.0, strike, 0.66)]), slanted_panel())
    np.testing.assert_allclose(anchors.x[upper_30d], quoted.x, rtol=1e-4, atol=1e-6)
    assert anchors.target_vol[upper_30d[0]] == pytest.approx(0.66)


def test_joined_samples_hold_all_rows_in_order():
    anchors = anchor_samples(panel())
    joined = Samples.join(samples(), anchors)
    assert len(joined) == len(samples()) + len(anchors)
    for field in fields(joined):
        values = getattr(joined, field.name)
        np.testing.assert_array_equal(values[: len(samples())], getattr(samples(), field.name))
        np.testing.assert_array_equal(values[len(samples()) :], getattr(anchors, field.name))
