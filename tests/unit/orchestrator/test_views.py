"""The API shows a task's parameters by the names that people write."""

import pytest

from orchestrator.views import shown_params
from protocol.task import PreSteps, TaskParams

pytestmark = pytest.mark.unit


@pytest.mark.parametrize(
    ("steps", "shown"),
    [(PreSteps.NONE, ""), (PreSteps.NNM, "nnm"), (PreSteps.NNM | PreSteps.ARC, "arc+nnm")],
)
def test_pre_steps_are_shown_by_name_in_their_order(steps, shown):
    default = TaskParams.default(
        model_spec_hash=bytes([1]) * 32,
        genesis_model_root=bytes([2]) * 32,
        dimension=9,
        closes_at=100,
    )
    params = TaskParams(**(vars(default) | {"pre_steps": steps}))
    found = shown_params(params)
    assert (found["pre_steps"], found["rule"]) == (shown, "trimmed_mean")
