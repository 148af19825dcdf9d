import numpy as np
import pytest

from node.market.panel import TENOR_YEARS
from node.models.moved_panels import HEIGHT, LEAST_GROWTH, moved
from tests.unit.node.small_market import samples

pytestmark = pytest.mark.unit

KNOWN = samples()
SOME = KNOWN.take(np.random.default_rng(1).integers(len(KNOWN), size=4000))


def logs(found):
    return np.log(found.surfaces[found.surface_row])


def growth(found):
    variances = 2.0 * logs(found) + np.log(TENOR_YEARS)
    return np.diff(variances, axis=2) / np.diff(np.log(TENOR_YEARS))


@pytest.fixture(name="found")
def _found():
    return moved(SOME, KNOWN, 0.5, np.random.default_rng(2))


def changed(found):
    return np.abs(logs(found) - logs(SOME)).max(axis=(1, 2)) > 1e-12


def test_a_share_of_the_samples_gets_other_panels_and_all_else_stays(found):
    assert 0.3 < changed(found).mean() <= 0.52
    for name in found.columns():
        if name != "surface_row":
            np.testing.assert_array_equal(getattr(found, name), getattr(SOME, name))


def test_a_panel_moves_by_a_part_of_the_difference_of_two_of_its_coin_and_in_height(found):
    for is_btc in (False, True):
        rows = KNOWN.surface_row[KNOWN.is_btc == is_btc]
        known = np.unique(np.log(KNOWN.surfaces[rows]).reshape(rows.size, -1), axis=0)
        differences = (known[:, None] - known[None]).reshape(-1, known.shape[1])
        differences = differences[np.abs(differences).max(axis=1) > 0]
        mine = changed(found) & (found.is_btc == is_btc)
        assert mine.any()
        level = differences.mean(axis=1, keepdims=True)
        shapes = differences - level
        for move in (logs(found) - logs(SOME))[mine][:50].reshape(-1, known.shape[1]):
            shape = move - move.mean()
            parts = shapes @ shape / np.maximum((shapes**2).sum(axis=1), 1e-12)
            fits = np.abs(parts[:, None] * shapes - shape).max(axis=1) < 1e-9
            height = move.mean() - parts * level[:, 0]
            assert (fits & (parts >= 0) & (parts <= 1) & (np.abs(height) <= HEIGHT)).any()


def test_no_moved_panel_falls_with_time(found):
    assert growth(found)[changed(found)].min() > LEAST_GROWTH


def test_it_repeats_for_the_same_random_numbers(found):
    again = moved(SOME, KNOWN, 0.5, np.random.default_rng(2))
    np.testing.assert_array_equal(again.surfaces, found.surfaces)


def test_one_coin_alone_is_moved_by_its_own():
    btc = KNOWN.take(KNOWN.is_btc)
    found = moved(btc, btc, 1.0, np.random.default_rng(3))
    assert np.abs(logs(found) - logs(btc)).max() > 1e-3
