from dataclasses import replace

import numpy as np
import pytest

from node.evaluation.books import book, book_weights
from node.market.panel import TENOR_YEARS
from node.market.samples import Samples, grid_samples
from tests.unit.node.small_market import samples, slanted_panel

pytestmark = pytest.mark.unit


def points(z: list[float]) -> Samples:
    """Quotes of one expiry of 30 days."""
    return grid_samples(slanted_panel(), np.array(z), TENOR_YEARS[2:3])


def test_held_out_quotes_count_as_often_as_the_desk_has_their_kind():
    own, held_out = points([0.1, 0.1, 0.1, 1.1]), points([0.1, 0.2, 1.1, 2.1])
    # Three of four own quotes lie in the first kind, which two held-out quotes share.
    np.testing.assert_allclose(book_weights(own, held_out), [0.375, 0.375, 0.25, 0.0])


def test_kinds_that_are_not_held_out_are_left_out():
    np.testing.assert_allclose(book_weights(points([0.1, 3.1]), points([0.1, 1.1])), [1.0, 0.0])


def test_coins_and_tenors_are_kinds():
    here = points([0.1])
    other_coin = replace(here, is_btc=~here.is_btc)
    longer = grid_samples(slanted_panel(), np.array([0.1]), TENOR_YEARS[3:4])
    held_out = Samples.join(here, other_coin, longer)
    np.testing.assert_allclose(book_weights(here, held_out), [1.0, 0.0, 0.0])


def test_nothing_in_common_is_no_book():
    np.testing.assert_array_equal(book_weights(points([0.1]), points([2.1])), [0.0])


def test_a_desk_s_own_days_are_its_book():
    weights = book_weights(samples(), samples())
    np.testing.assert_allclose(weights, 1.0 / len(samples()))


def test_book_as_samples_is_mixed_as_the_desk_s_own_quotes():
    own, held_out = points([0.1, 0.1, 0.1, 1.1]), points([2.1, 0.1, 0.2, 1.1, 2.1])
    np.testing.assert_allclose(book(own, held_out, rows=8).z, [0.1] * 3 + [0.2] * 3 + [1.1] * 2)


def test_desk_that_trades_nothing_that_is_held_out_has_all_of_it_for_a_book():
    held_out = points([2.1, 3.1])
    np.testing.assert_array_equal(book(points([0.1]), held_out, rows=8).z, held_out.z)
