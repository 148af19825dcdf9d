import numpy as np
import pytest

from node.evaluation.metrics import measure
from node.models.boosting import train_boosting
from node.models.formulas import term_structure
from tests.unit.node.small_market import samples

pytestmark = pytest.mark.unit


def test_boosting_learns_from_its_samples_and_prices_others():
    found = samples()
    early = found.snapshot < np.median(found.snapshot)
    price = train_boosting(found.take(early), seed=0, trees=40)
    late = found.take(~early)
    learned, formula = measure(price(late), late), measure(term_structure(late), late)
    assert learned.rmse < 0.6 * formula.rmse
