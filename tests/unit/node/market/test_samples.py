from datetime import UTC, datetime, timedelta

import numpy as np
import pytest

from node.market.panel import TENOR_YEARS, Panel, vols_at
from node.market.samples import Samples, anchor_samples, build_samples
from node.market.split import RECORDED_SPLIT, Split, split_for
from node.models.formulas import quadratic_smile
from node.models.smile import SMILE
from protocol.errors import DataError
from tests.unit.node.small_market import (
    NOON,
    NOON_MICROSECONDS,
    frame,
    panel,
    quote,
    samples,
    slanted_panel,
)

pytestmark = pytest.mark.unit


def panels_of(moments: list[datetime], jump_at: int) -> Panel:
    vols = np.full((len(moments), 3, 5), 0.5)
    vols[jump_at:] = 0.8
    return Panel(
        snapshot=np.array([int(moment.timestamp() * 1e6) for moment in moments]),
        is_btc=np.ones(len(moments), dtype=bool),
        vols=vols,
        incomplete=0,
    )


def test_samples_are_finite_and_of_one_length():
    found = samples()
    for name in found.columns():
        values = getattr(found, name)
        assert len(values) == len(found), name
        assert np.isfinite(values).all(), name


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
    for name in found.columns():
        np.testing.assert_array_equal(getattr(taken, name), getattr(found, name)[rows])
    assert taken.surfaces is found.surfaces


def test_joined_samples_keep_their_own_surfaces():
    some = samples().take(np.array([3, 700]))
    other = build_samples(frame([quote(30.0, 110.0, 0.65)]), slanted_panel())

    joined = Samples.join(some, other, other)

    wanted = np.concatenate([each.surfaces[each.surface_row] for each in (some, other, other)])
    np.testing.assert_array_equal(joined.surfaces[joined.surface_row], wanted)
    np.testing.assert_array_equal(joined.z, np.concatenate([some.z, other.z, other.z]))


def test_taking_join_is_the_same_and_leaves_the_list_empty():
    some = samples().take(np.array([3, 700]))
    other = build_samples(frame([quote(30.0, 110.0, 0.65)]), slanted_panel())
    parts = [some, other]

    taken = Samples.join_taking(parts)

    assert parts == []
    joined = Samples.join(some, other)
    for name in ("surfaces", *Samples.columns()):
        np.testing.assert_array_equal(getattr(taken, name), getattr(joined, name))
        assert getattr(taken, name).dtype == getattr(some, name).dtype


def test_joined_samples_share_one_table_of_surfaces():
    some, others = samples().take(slice(0, 5)), samples().take(slice(5, 7))
    assert Samples.join(some, others).surfaces is samples().surfaces


def test_log_moneyness_is_that_of_the_strike():
    found = samples()
    expected = np.log(found.strike / found.forward)
    np.testing.assert_allclose(found.log_moneyness, expected, rtol=1e-9, atol=1e-12)


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
    later = moment + day
    split = Split(moment, later, moment - 9 * day, moment - 8 * day, later, later + day)
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
    at_anchor, at_quote = SMILE.seen(anchors.take(upper_30d)), SMILE.seen(quoted)
    np.testing.assert_allclose(at_anchor[0], at_quote[0], rtol=1e-4, atol=1e-6)
    assert anchors.target_vol[upper_30d[0]] == pytest.approx(0.66)


def test_joined_samples_hold_all_rows_in_order():
    anchors = anchor_samples(panel())
    joined = Samples.join(samples(), anchors)
    assert len(joined) == len(samples()) + len(anchors)
    for name in joined.columns():
        values = getattr(joined, name)
        np.testing.assert_array_equal(values[: len(samples())], getattr(samples(), name))
        np.testing.assert_array_equal(values[len(samples()) :], getattr(anchors, name))
