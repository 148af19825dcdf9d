"""What holds of every division of a reward."""

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from protocol.scores import shares_wei
from protocol.state import RoundState
from protocol.task import RewardRule, TaskParams

pytestmark = pytest.mark.unit

PARAMS = TaskParams.default(
    model_spec_hash=b"\1" * 32, genesis_model_root=b"\2" * 32, dimension=1, closes_at=1
)


@st.composite
def divided(draw):
    """A round, what its participants declared, and what some of them gave each other."""
    count = draw(st.integers(1, 8))
    unavailable = draw(st.integers(0, 2**count - 2))
    params = replace(
        PARAMS,
        reward_rule=draw(st.sampled_from(RewardRule)),
        reward_wei=draw(st.integers(0, 2**96 - 1)),
        sample_cap=draw(st.integers(1, 10_000)),
    )
    state = RoundState(updates_hash=bytes(31) + bytes([count]), unavailable=unavailable)
    samples = draw(st.lists(st.integers(0, 2**32 - 1), min_size=count, max_size=count))
    each = st.binary(min_size=count, max_size=count)
    scores = draw(st.dictionaries(st.integers(0, count - 1), each))
    return params, state, samples, scores


@given(divided())
def test_no_more_than_the_reward_goes_to_the_included_alone(case):
    params, state, samples, scores = case
    shares = shares_wei(params, state, samples=samples, scores=scores)
    assert len(shares) == state.revealed
    assert sum(shares) <= params.reward_wei
    assert not any(share for i, share in enumerate(shares) if state.is_unavailable(i))
    # What is lost to rounding is less than a unit each, unless nobody earned anything.
    assert not any(shares) or params.reward_wei - sum(shares) < state.included


@given(divided(), st.data())
def test_nobody_changes_his_own_share_by_his_own_scores_for_himself(case, data):
    params, state, samples, scores = case
    if not scores:
        return
    voter = data.draw(st.sampled_from(sorted(scores)))
    own = bytearray(scores[voter])
    own[voter] = data.draw(st.integers(0, 255))
    changed = scores | {voter: bytes(own)}
    before = shares_wei(params, state, samples=samples, scores=scores)
    assert shares_wei(params, state, samples=samples, scores=changed) == before


@given(divided())
def test_scores_of_the_excluded_count_for_nothing(case):
    params, state, samples, scores = case
    of_included = {voter: row for voter, row in scores.items() if not state.is_unavailable(voter)}
    shares = shares_wei(params, state, samples=samples, scores=scores)
    assert shares == shares_wei(params, state, samples=samples, scores=of_included)
