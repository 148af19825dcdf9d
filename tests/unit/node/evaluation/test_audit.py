"""Rates of arbitrage that anybody finds again, with nobody's quotes."""

from dataclasses import asdict, fields, replace
from functools import partial

import numpy as np
import pytest

from node.evaluation.audit import (
    WIDE_YEARS,
    WIDE_Z,
    WING_Z,
    YEARS,
    Audit,
    Limits,
    Z,
    audit,
    audit_listed,
    panel_behind,
)
from node.market.panel import Panel
from node.market.samples import Samples, anchor_samples
from node.models.arbitrage import REACH_Z
from node.models.architecture import DEFAULT_SHIFT
from node.models.expiries import Expiries
from node.models.formulas import flat, quadratic_smile
from node.models.smile import SMILE
from protocol import numbers
from protocol.errors import DataError
from tests.unit.node.small_market import panel, samples

pytestmark = pytest.mark.unit

FEW = panel().take(np.arange(8))
QUOTES = samples().take(np.isin(samples().snapshot, FEW.snapshot))


def falling(samples):
    """Total variance falls with time beyond half a year."""
    return samples.atm_30d_vol * np.where(samples.years > 0.5, (samples.years / 0.5) ** -0.8, 1.0)


def steep(samples):
    """Total variance of slope 5 in log-moneyness far out."""
    return np.sqrt((0.01 + 5.0 * np.abs(samples.log_moneyness)) / samples.years)


def test_flat_surface_passes():
    found = asdict(audit(flat, FEW))
    assert found.pop("panels") == FEW.snapshot.size
    assert found.pop("points") == FEW.snapshot.size * Z.size * YEARS.size
    assert found.pop("wide_points") == FEW.snapshot.size * WIDE_Z.size * WIDE_YEARS.size
    assert found.pop("worst_snapshot") in FEW.snapshot
    assert found.pop("broken_days") is found.pop("broken_from_z") is None
    assert set(found.values()) == {0.0}


def test_share_of_falling_variance_is_that_of_the_times_where_it_falls():
    found = audit(falling, FEW)
    assert found.calendar == pytest.approx((YEARS > 0.5).mean(), abs=1 / YEARS.size)
    assert found.calendar_depth == pytest.approx(0.6, rel=1e-6)
    late = YEARS[YEARS > 0.5 / 1.02]
    assert found.broken_days == pytest.approx((365.25 * late[0], 365.25 * late[-1]), rel=0.2)
    assert found.broken_from_z == 0.0
    assert found.butterfly == 0.0


def test_steep_wings_are_found_beyond_the_grid():
    found = audit(steep, FEW)
    assert found.steepest_wing == pytest.approx(5.0, rel=1e-3)
    assert found.wings == 1.0
    assert np.abs(WING_Z).max() > REACH_Z


@pytest.mark.parametrize(
    "is_far",
    [
        lambda asked: np.abs(asked.z) > 1.01 * REACH_Z,
        lambda asked: asked.years > 1.05 * YEARS[-1],
        lambda asked: asked.years < 0.95 * YEARS[0],
    ],
    ids=["strikes", "late", "early"],
)
def test_what_lies_beyond_the_grid_is_found_on_the_wide_one_alone(is_far):
    """Variance falls with time at far points and stays what it is at the others."""

    def price(asked):
        return np.where(is_far(asked), asked.years**-0.9, 0.6)

    found = audit(price, FEW)
    assert found.calendar == found.butterfly == 0.0
    assert 0.03 < found.wide_calendar < 0.5


def test_fewer_strikes_give_about_the_same_rates():
    every, few = audit(falling, FEW), audit(falling, FEW, every=4)
    assert few.points < every.points / 3.5
    assert few.calendar == pytest.approx(every.calendar, rel=1e-9)
    steep_ones = audit(steep, FEW), audit(steep, FEW, every=4)
    assert steep_ones[0].wings == steep_ones[1].wings == 1.0


def test_untrained_model_is_accepted_and_a_rough_one_is_told_why_not():
    genesis = numbers.to_float(SMILE.genesis(0), DEFAULT_SHIFT)
    assert audit(partial(SMILE.predict, genesis), FEW).beyond() == ()
    rough = np.random.default_rng(2).normal(size=genesis.size) * 0.3
    found = audit(partial(SMILE.predict, rough), FEW)
    reasons = found.beyond()
    assert [reason.split()[0] for reason in reasons] == [limit.name for limit in fields(Limits)]
    assert f"calendar {found.calendar:.3%}, accepted up to 0.500%" in reasons


def test_a_limit_may_be_reached_and_not_passed():
    found = replace(audit(flat, FEW), wings=0.04)
    assert found.beyond(Limits(wings=0.04)) == ()
    assert found.beyond(Limits(wings=0.039)) == ("wings 4.000%, accepted up to 3.900%",)


def test_every_limit_is_one_of_what_an_audit_finds():
    assert {limit.name for limit in fields(Limits)} <= {found.name for found in fields(Audit)}


def test_rough_model_holds_both_and_the_quadratic_less():
    rough = np.random.default_rng(2).normal(size=SMILE.spec.dimension) * 0.3
    found, formula = audit(partial(SMILE.predict, rough), FEW), audit(quadratic_smile, FEW)
    assert found.calendar > max(0.05, formula.calendar)
    assert found.butterfly > max(0.05, formula.butterfly)
    assert found.butterfly_depth > 0.1


def test_surface_without_numbers_is_all_arbitrage():
    found = audit(lambda samples: np.full(len(samples), np.nan), FEW)
    assert found.calendar == found.butterfly == found.wings == 1.0


def test_worst_snapshot_is_the_one_that_breaks_most():
    bad = FEW.snapshot[5]

    def price(samples):
        return np.where(samples.snapshot == bad, falling(samples), flat(samples))

    assert audit(price, FEW).worst_snapshot == bad


def test_many_panels_are_thinned_to_as_many_of_each_coin():
    asked = []

    def price(samples):
        asked.append(samples)
        return flat(samples)

    found = audit(price, panel(), panels=6)
    assert found.panels == 6
    seen = np.unique(asked[0].surface_row)
    assert seen.size == 6
    assert audit(flat, panel().take(panel().is_btc), panels=6).panels == 3
    assert audit(flat, FEW, panels=1000).panels == FEW.snapshot.size


def test_panels_behind_quotes_are_those_of_their_snapshots_each_once():
    public = anchor_samples(FEW)
    found = panel_behind(Samples.join(QUOTES.take(np.arange(len(QUOTES))[::-1]), public))
    for part in ("snapshot", "is_btc", "vols"):
        np.testing.assert_array_equal(getattr(found, part), getattr(FEW, part))
    some = QUOTES.take(QUOTES.snapshot == FEW.snapshot[-1])
    assert set(panel_behind(some).snapshot) == {FEW.snapshot[-1]}


def test_no_panels_are_refused():
    none = np.zeros(0, dtype=np.int64)
    with pytest.raises(DataError, match="panel"):
        audit(flat, Panel(none, none.astype(bool), np.zeros((0, 3, 5)), 0))


def test_flat_surface_passes_at_listed_expiries():
    found, expiries = audit_listed(flat, QUOTES), Expiries.of(QUOTES)
    assert (found.calendar, found.butterfly) == (0.0, 0.0)
    assert found.points == len(expiries.keys) * Z.size
    assert found.pairs == (len(expiries.keys) - expiries.surfaces()[0].size) * Z.size


def test_falling_variance_is_found_between_listed_expiries():
    found = audit_listed(lambda asked: 0.1 * asked.years**-0.6, QUOTES)
    assert (found.calendar, found.butterfly) == (1.0, 0.0)


def test_only_the_strikes_where_listed_variance_falls_are_counted():
    def price(asked):
        return 0.1 * np.where(asked.log_moneyness > 0.0, asked.years**-0.6, 1.0)

    assert audit_listed(price, QUOTES).calendar == pytest.approx(0.5, abs=0.01)


def test_a_dent_in_one_expirys_smile_is_a_butterfly():
    longest = QUOTES.years.max()

    def price(asked):
        dented = (np.abs(asked.years - longest) < 1e-9) & (np.abs(asked.z) < 0.5)
        return np.where(dented, 0.9, 0.6)

    found = audit_listed(price, QUOTES)
    assert 0.0 < found.butterfly < 1.0 / 8
