"""A sponsor's TOML in people's units becomes exactly the parameters that the contract takes."""

from decimal import Decimal

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from node import smile
from protocol.errors import ConfigError
from protocol.sumtree import SumTree
from protocol.task import PreSteps, Rule
from scripts.task_config import RULES, TaskConfig

pytestmark = pytest.mark.unit

NOW = 1_800_000_000


@pytest.fixture
def load(tmp_path):
    def load(text):
        file = tmp_path / "task.toml"
        file.write_text(text)
        return TaskConfig.load(file)

    return load


@pytest.mark.parametrize(
    ("written", "wei"),
    [
        ("0.1", 10**17),
        ("0.01", 10**16),
        ("0.3", 3 * 10**17),
        ("1", 10**18),
        ("1.1", 11 * 10**17),
        ("2.675", 2_675 * 10**15),
        ("123456.789", 123_456_789 * 10**15),
        ("1e-18", 1),
        ("0.0", 0),
    ],
)
def test_ether_becomes_exactly_the_wei_that_was_written(load, written, wei):
    amounts = ("stake_ether", "bond_ether", "flag_ether")
    params = load("".join(f"{name} = {written}\n" for name in amounts)).params(NOW)

    assert (params.stake_wei, params.bond_wei, params.flag_wei) == (wei, wei, wei)


@settings(max_examples=50)  # each makes a whole genesis model
@given(st.integers(0, 10**15))
def test_every_amount_of_fifteen_digits_is_exact(micros):
    written = Decimal(micros).scaleb(-9)
    params = TaskConfig(reward_ether=float(written), rounds=1).params(NOW)

    assert params.reward_wei == micros * 10**9


def test_defaults_are_a_task_that_the_contract_takes():
    params = TaskConfig().params(NOW)

    params.check(NOW)
    assert params.closes_at == NOW + 30 * 86_400
    assert (params.rule, params.tolerance) == (Rule.TRIMMED_MEAN, 1)
    assert params.model_spec_hash == smile.spec().hash
    assert params.dimension == smile.spec().dimension


def test_genesis_root_is_the_root_of_the_blob_that_deploy_stores():
    config = TaskConfig(model_seed=4, shift=12, chunk_length=64)
    genesis = smile.genesis(4, 12)

    assert config.params(NOW).genesis_model_root == SumTree.of(genesis, 64).root
    assert config.params(NOW).genesis_model_root != TaskConfig().params(NOW).genesis_model_root


@pytest.mark.parametrize(
    ("written", "steps"),
    [
        ("[]", PreSteps.NONE),
        ('["arc"]', PreSteps.ARC),
        ('["nnm"]', PreSteps.NNM),
        ('["arc", "nnm"]', PreSteps.ARC | PreSteps.NNM),
    ],
)
def test_pre_steps_become_the_bits_of_the_contract(load, written, steps):
    text = f'rule = "median"\ntolerance = {int(bool(steps))}\ncohort = 20\npre_steps = {written}\n'
    assert load(text).params(NOW).pre_steps == steps


def test_norms_are_counted_in_units_of_the_shift():
    params = TaskConfig(rule="clipped_mean", shift=10, clip_norm=1.5, max_norm=2.5).params(NOW)

    assert params.clip_norm == 1_536
    assert params.max_squared_norm == 2_560**2


def test_salt_is_the_settings_unless_one_is_given():
    config, other = TaskConfig(), TaskConfig(rounds=21)

    assert config.params(NOW).salt == TaskConfig().params(NOW + 1).salt
    assert config.params(NOW).salt != other.params(NOW).salt
    assert config.params(NOW, salt=bytes(32)).salt == bytes(32)


@pytest.mark.parametrize(
    ("settings", "tolerance"),
    [
        ({"rule": "mean"}, 0),
        ({"quorum": 2}, 0),
        ({"quorum": 9}, 1),
        ({"rule": "mean", "pre_steps": ["arc"]}, 1),
        ({"rule": "multi_krum", "quorum": 5, "cohort": 40}, 1),
        ({"quorum": 9, "tolerance": 0}, 0),
    ],
)
def test_tolerance_left_out_is_one_where_the_rule_can(settings, tolerance):
    assert TaskConfig(**settings).params(NOW).tolerance == tolerance


def test_every_rule_of_the_contract_has_a_name():
    assert sorted(RULES.values()) == sorted(Rule)


@pytest.mark.parametrize(
    ("text", "named"),
    [
        ("qourum = 3\n", "qourum"),
        ('rule = "krum"\n', "rule"),
        ('aggregator = "0x12"\n', "aggregator"),
        ("stake_ether = -1\n", "stake_ether"),
        ("stake_ether = inf\n", "stake_ether"),
        ("max_norm = nan\n", "max_norm"),
        ("max_norm = 1e300\n", "max_norm"),
        ("chunk_length = 100\n", "chunk_length"),
        ('pre_steps = ["bucketing"]\n', "pre_steps"),
        ('pre_steps = ["nnm", "arc"]\n', "pre_steps"),
        ('pre_steps = ["arc", "arc"]\n', "pre_steps"),
        ("rounds = 0\n", "rounds"),
        ("rounds = 1.5\n", "rounds"),
        ("rounds = ", "task.toml"),
    ],
)
def test_mistake_is_refused_with_file_and_key(load, tmp_path, text, named):
    with pytest.raises(ConfigError) as caught:
        load(text)
    assert str(tmp_path / "task.toml") in str(caught.value)
    assert named in str(caught.value)


@pytest.mark.parametrize(
    ("settings", "named"),
    [
        ({"quorum": 5, "cohort": 4}, "quorum"),
        ({"rule": "mean", "tolerance": 1}, "tolerance"),
        ({"rule": "trimmed_mean", "tolerance": 2, "quorum": 4}, "tolerance"),
        ({"pre_steps": ["arc"], "tolerance": 0}, "tolerance"),
        ({"rule": "median", "pre_steps": ["arc"], "tolerance": 2}, "tolerance"),
        ({"rule": "multi_krum", "tolerance": 1}, "tolerance"),
        ({"rule": "multi_krum", "tolerance": 1, "quorum": 5}, "rule"),
        ({"pre_steps": ["nnm"], "tolerance": 1}, "pre_steps"),
        ({"rule": "clipped_mean", "clip_norm": 1.0, "pre_steps": ["arc"]}, "pre_steps"),
        ({"rule": "clipped_mean"}, "clip_norm"),
        ({"clip_norm": 1.0}, "clip_norm"),
        ({"commit_seconds": 366 * 86_400}, "commit_seconds"),
        ({"aggregator_seconds": 601}, "aggregator_seconds"),
        ({"lifetime_seconds": 11 * 365 * 86_400}, "closes_at"),
        ({"stake_ether": 1e11}, "stake_wei"),
        ({"max_norm": 2.0**31}, "max_squared_norm"),
    ],
)
def test_what_the_contract_would_refuse_is_refused_before_anything_is_paid(settings, named):
    config = TaskConfig.model_validate(settings)

    with pytest.raises(ConfigError, match=named):
        config.params(NOW)


def test_missing_file_is_refused(tmp_path):
    with pytest.raises(ConfigError, match=r"nowhere\.toml"):
        TaskConfig.load(tmp_path / "nowhere.toml")
