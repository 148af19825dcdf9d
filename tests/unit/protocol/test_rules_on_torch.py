"""A torch device gives the bits of the rules: the processor always, a GPU where there is one."""

import numpy as np
import pytest
import torch
from torch.utils._python_dispatch import TorchDispatchMode

from protocol.errors import RuleError
from protocol.rules import PRE_STEPS, RULES, arc, nnm, on_torch
from protocol.rules.distances import gram
from protocol.rules.rows import Rows

pytestmark = pytest.mark.unit

NO_GPU = pytest.mark.skipif(not torch.cuda.is_available(), reason="there is no GPU")
EVERY_RULE = pytest.mark.parametrize("rule", RULES)
EVERY_TYPE = pytest.mark.parametrize("dtype", [np.int16, np.int32])
TAKING_F = {"bulyan", "krum", "minimum_diameter", "multi_krum", "trimmed_mean"}


@pytest.fixture(params=["cpu", pytest.param("cuda", marks=NO_GPU)])
def device(request):
    return request.param


def parameters(rule, updates, f):
    norm = int(np.linalg.norm(updates[0].astype(float)))
    given_to = {
        "clipped_mean": {"clip_norm": max(1, norm)},
        "centered_clipping": {"tau": max(1, norm // 2), "iterations": 2, "v0": updates[1]},
        "weighted_mean": {"weights": [2**30 - 5 * i for i in range(len(updates))]},
        "fltrust": {"reference": updates[-1]},
    }
    return {"f": f} if rule in TAKING_F else given_to.get(rule, {})


def agrees(rule, updates, device, f):
    given = parameters(rule, updates, f)
    found = on_torch.apply(rule, updates, device, **given)
    expected = RULES[rule](updates, **given)
    assert found.dtype == expected.dtype
    np.testing.assert_array_equal(found, expected, err_msg=f"{updates.tolist()} {given}"[:2000])


@EVERY_RULE
@EVERY_TYPE
def test_small_cases_give_the_same_bits(rule, dtype, device):
    draw, ends = np.random.default_rng(8), np.iinfo(dtype)
    few = [ends.min, -(2**15) - 1 if dtype == np.int32 else -2, -1, 0, 1, ends.max]
    for case in range(150):
        count, dimension = draw.integers(7, 16), draw.integers(1, 8)
        f = int(draw.integers((count - 3) // 4 + 1))
        if case % 3:
            updates = draw.integers(ends.min, ends.max, (count, dimension), endpoint=True)
        else:
            updates = draw.choice(few, (count, dimension))
        agrees(rule, updates.astype(dtype), device, f)


@EVERY_RULE
@EVERY_TYPE
def test_blocks_join_without_a_seam(rule, dtype, device, monkeypatch):
    monkeypatch.setattr(on_torch, "BLOCK_VALUES", 23 * 100)
    updates = np.random.default_rng(9).integers(-30_000, 30_000, (23, 1001)).astype(dtype)
    updates.flags.writeable = False
    agrees(rule, updates, device, 5)


@EVERY_RULE
@pytest.mark.parametrize("count", [7, 64, 300])
def test_all_at_one_end_of_the_range(rule, count, device):
    for value in (-(2**15), 2**15 - 1):
        agrees(rule, np.full((count, 40), value, dtype=np.int16), device, 1)


@EVERY_TYPE
def test_gram_matrix_of_a_long_block_is_exact(dtype, device):
    # The square of one update is an odd integer above 2^53.
    updates = np.full((1, 9_500_001), 2**15 - 1, dtype=dtype)
    sent = on_torch._Sent(Rows.of(updates), torch.device(device))
    assert sent.gram().tolist() == gram(Rows.of(updates)).tolist()


@EVERY_RULE
def test_pre_steps_come_before(rule, device):
    updates = np.random.default_rng(3).integers(-2000, 2000, (23, 60)).astype(np.int16)
    updates[:4] *= 9
    changed = nnm(arc(PRE_STEPS["bucketing"](updates, 2, 5), 1), 1)
    given = parameters(rule, changed.array(), 1)
    np.testing.assert_array_equal(
        on_torch.apply(rule, changed, device, **given), RULES[rule](changed, **given)
    )


class NoIntegerProducts(TorchDispatchMode):
    """CUDA has kernels for all that the rules do with integers but for products of matrices."""

    def __torch_dispatch__(self, operation, types, args=(), kwargs=None):
        if "mm" in operation.__name__ or "dot" in operation.__name__ or "mv" in operation.__name__:
            assert all(given.is_floating_point() for given in args), operation
        return operation(*args, **kwargs or {})


@EVERY_RULE
@EVERY_TYPE
def test_everything_is_on_the_device_until_it_is_fetched(rule, dtype, monkeypatch):
    # A tensor that was left on the processor does not meet those of the device "meta", which have
    # no values. Zeros are fetched instead.
    def fetched(found):
        assert found.device.type == "meta"
        return np.zeros(found.shape, dtype=np.int64)

    monkeypatch.setattr(on_torch, "_fetched", fetched)
    updates = np.random.default_rng(1).integers(-900, 900, (11, 300)).astype(dtype)
    with NoIntegerProducts():
        found = on_torch.apply(rule, updates, "meta", **parameters(rule, updates, 2))
    assert found.shape == (300,)


def test_products_that_a_device_rounds_are_refused(monkeypatch):
    monkeypatch.setattr(torch.Tensor, "double", torch.Tensor.float)
    updates = np.random.default_rng(2).integers(-(2**15), 2**15, (5, 3000)).astype(np.int16)
    with pytest.raises(RuntimeError, match="cpu rounds products of float64"):
        on_torch.apply("krum", updates, "cpu", f=1)


def test_every_rule_runs_on_a_device():
    assert on_torch.RULES.keys() == RULES.keys()


@pytest.mark.parametrize(
    ("rule", "wrong", "wanted"),
    [
        ("krum", {"f": 2}, "at least 7 updates; got 5"),
        ("bulyan", {"f": 1}, "at least 7 updates; got 5"),
        ("trimmed_mean", {"f": 3}, "at least 7 updates; got 5"),
        ("clipped_mean", {"clip_norm": 0}, "clipping norm of at least 1; got 0"),
        ("weighted_mean", {"weights": [1]}, "as many weights; got 1"),
        ("meen", {}, "no rule 'meen'; known are bulyan, "),
    ],
)
def test_refusals_are_those_of_the_rules(rule, wrong, wanted, device):
    with pytest.raises(RuleError, match=wanted):
        on_torch.apply(rule, np.ones((5, 2), dtype=np.int16), device, **wrong)
