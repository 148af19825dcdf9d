"""Rates of arbitrage that anybody finds again, with nobody's quotes."""

from dataclasses import asdict
from functools import partial

import numpy as np
import pytest

from node.evaluation.audit import WING_Z, YEARS, Z, audit
from node.market.panel import Panel
from node.models.arbitrage import REACH_Z
from node.models.formulas import flat, quadratic_smile
from node.models.smile import SMILE
from protocol.errors import DataError
from tests.unit.node.small_market import panel

pytestmark = pytest.mark.unit

FEW = panel().take(np.arange(8))


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
    assert found.pop("worst_snapshot") in FEW.snapshot
    assert set(found.values()) == {0.0}


def test_share_of_falling_variance_is_that_of_the_times_where_it_falls():
    found = audit(falling, FEW)
    assert found.calendar == pytest.approx((YEARS > 0.5).mean(), abs=1 / YEARS.size)
    assert found.calendar_depth == pytest.approx(0.6, rel=1e-6)
    assert found.butterfly == 0.0


def test_steep_wings_are_found_beyond_the_grid():
    found = audit(steep, FEW)
    assert found.steepest_wing == pytest.approx(5.0, rel=1e-3)
    assert found.wings == 1.0
    assert np.abs(WING_Z).max() > REACH_Z


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


def test_no_panels_are_refused():
    none = np.zeros(0, dtype=np.int64)
    with pytest.raises(DataError, match="panel"):
        audit(flat, Panel(none, none.astype(bool), np.zeros((0, 3, 5)), 0))
