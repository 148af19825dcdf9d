"""A sponsor's TOML in people's units becomes exactly the parameters that the contract takes."""

from decimal import Decimal

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from node.models.smile import SMILE
from protocol.chain.deployment import SeedSource
from protocol.errors import ConfigError
from protocol.sumtree import SumTree
from protocol.task import ZERO_ADDRESS, PreSteps, RewardRule, Rule
from scripts.task_config import REWARD_RULES, RULES, TaskConfig

pytestmark = pytest.mark.unit

NOW = 1_800_000_000
TOKEN = "0x" + "ab" * 20
SOURCE = "0x" + "cd" * 20


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
    amounts = ("stake", "slice", "bond", "flag_deposit", "publisher_reward")
    params = load("".join(f"{name} = {written}\n" for name in amounts)).params(NOW)

    assert [params.stake_wei, params.slice_wei, params.bond_wei] == [wei] * 3
    assert [params.flag_wei, params.publisher_wei] == [wei] * 2


def test_amounts_of_a_token_are_counted_in_its_decimals(load):
    text = f'currency = "{TOKEN}"\ndecimals = 6\nstake = 250.5\nreward = 0.000001\n'
    params = load(text).params(NOW)

    assert params.currency == TOKEN
    assert (params.stake_wei, params.reward_wei) == (250_500_000, 1)


def test_slice_left_out_is_a_tenth_of_the_stake(load):
    assert load("stake = 0.3\n").params(NOW).slice_wei == 3 * 10**16
    assert load("stake = 0\n").params(NOW).slice_wei == 0
    assert load("stake = 0.3\nslice = 0\n").params(NOW).slice_wei == 0


@settings(max_examples=50)  # each makes a whole genesis model
@given(st.integers(0, 10**15))
def test_every_amount_of_fifteen_digits_is_exact(micros):
    written = Decimal(micros).scaleb(-9)
    params = TaskConfig(reward=float(written), rounds=1).params(NOW)

    assert params.reward_wei == micros * 10**9


def test_defaults_are_a_task_that_the_contract_takes():
    params = TaskConfig().params(NOW)

    params.check(NOW)
    assert params.closes_at == NOW + 30 * 86_400
    assert (params.rule, params.tolerance) == (Rule.TRIMMED_MEAN, 1)
    assert (params.seats, params.drawn, params.seed_source) == (64, 64, ZERO_ADDRESS)
    assert (params.currency, params.reward_rule) == (ZERO_ADDRESS, RewardRule.EQUAL)
    assert params.score_seconds == 0
    assert params.model_spec_hash == SMILE.spec.hash
    assert params.dimension == SMILE.spec.dimension


def test_genesis_root_is_the_root_of_the_blob_that_deploy_stores():
    config = TaskConfig(model_seed=4, shift=12, chunk_length=64)
    genesis = SMILE.genesis(4, 12)

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
        ({"rule": "krum", "quorum": 5}, 1),
        ({"rule": "bulyan", "quorum": 7}, 1),
        ({"rule": "geometric_median"}, 1),
        ({"quorum": 10}, 2),
        ({"quorum": 64}, 12),
        ({"rule": "mean", "quorum": 64}, 0),
        ({"rule": "bulyan", "quorum": 64}, 12),
        ({"quorum": 9, "tolerance": 0}, 0),
    ],
)
def test_tolerance_left_out_is_a_fifth_of_the_quorum_or_one_where_the_rule_can(settings, tolerance):
    assert TaskConfig(**settings).params(NOW).tolerance == tolerance


@pytest.mark.parametrize(
    ("settings", "by_votes"),
    [
        ({}, False),
        ({"rule": "multi_krum", "quorum": 5, "cohort": 44}, False),
        ({"rule": "multi_krum", "quorum": 5, "cohort": 45}, True),
        ({"rule": "krum", "quorum": 5, "cohort": 44}, False),
        ({"rule": "krum", "quorum": 5, "cohort": 45}, True),
        ({"rule": "krum", "quorum": 5, "cohort": 44, "pre_steps": ["arc"]}, False),
        ({"rule": "krum", "quorum": 5, "cohort": 44, "pre_steps": ["nnm"]}, True),
        ({"rule": "geometric_median", "cohort": 44}, False),
        ({"rule": "geometric_median", "cohort": 45}, True),
        ({"rule": "geometric_median", "cohort": 44, "pre_steps": ["arc"]}, False),
        ({"rule": "fltrust", "trusted": TOKEN, "cohort": 44}, False),
        ({"rule": "fltrust", "trusted": TOKEN, "cohort": 45}, True),
        ({"pre_steps": ["nnm"], "cohort": 63, "chunk_length": 512}, False),
        ({"pre_steps": ["nnm"], "cohort": 64, "chunk_length": 512}, True),
        ({"rule": "clipped_mean", "clip_norm": 1.0}, False),
        ({"rule": "clipped_mean", "clip_norm": 1.0, "pre_steps": ["arc"]}, True),
        ({"rule": "centered_clipping", "clip_norm": 1.0}, False),
        ({"rule": "centered_clipping", "clip_norm": 1.0, "pre_steps": ["arc"]}, True),
        ({"rule": "minimum_diameter", "cohort": 5}, True),
    ],
)
def test_votes_judge_what_is_too_large_for_a_proof_or_unknown_to_the_contract(settings, by_votes):
    assert TaskConfig(**settings).check().by_votes == by_votes


def test_every_rule_of_the_contract_has_a_name():
    assert sorted(RULES.values()) == sorted(Rule)
    assert sorted(REWARD_RULES.values()) == sorted(RewardRule)


@pytest.mark.parametrize(
    ("written", "to_deploy"),
    [
        ("", None),
        ("seats = 5\n", None),
        ("seats = 500\n", SeedSource("PrevrandaoSource", (8,))),
        (
            'seats = 500\nseed_source = "prevrandao"\nseed_delay_blocks = 64\n',
            SeedSource("PrevrandaoSource", (64,)),
        ),
        (
            'seats = 500\nseed_source = "beacon"\nseed_bond_ether = 0.5\nseed_commit_blocks = 7\n',
            SeedSource("CommitRevealBeacon", (5 * 10**17, 7, 10)),
        ),
        (f'seats = 500\nseed_source = "{SOURCE}"\n', None),
    ],
)
def test_source_is_deployed_for_a_task_that_draws_unless_one_is_named(load, written, to_deploy):
    config = load(f"cohort = 5\n{written}")

    assert config.source_to_deploy == to_deploy
    config.check()


def test_task_that_draws_takes_the_source_that_was_deployed_for_it(load):
    config = load("cohort = 8\nseats = 500\ndrawn = 6\n")

    params = config.params(NOW, seed_source=SOURCE)

    assert (params.cohort, params.seats, params.drawn) == (8, 500, 6)
    assert params.seed_source == SOURCE


def test_scores_have_the_time_of_the_challenge_phase_unless_another_is_given(load):
    by_scores = 'reward_rule = "scores"\nchallenge_seconds = 90\n'

    assert load(by_scores).params(NOW).score_seconds == 90
    assert load(by_scores + "score_seconds = 60\n").params(NOW).score_seconds == 60


def test_fltrust_trusts_whom_the_sponsor_names(load):
    params = load(f'rule = "fltrust"\ntrusted = "{TOKEN}"\n').params(NOW)

    assert (params.rule, params.trusted, params.tolerance) == (Rule.FLTRUST, TOKEN, 1)


def test_samples_are_counted_up_to_their_cap(load):
    params = load('reward_rule = "samples"\nmin_samples = 100\nsample_cap = 5000\n').params(NOW)

    assert params.reward_rule is RewardRule.SAMPLES
    assert (params.min_samples, params.sample_cap) == (100, 5000)


@pytest.mark.parametrize(
    ("text", "named"),
    [
        ("qourum = 3\n", "qourum"),
        ('rule = "bulian"\n', "rule"),
        ('trusted = "0x12"\n', "trusted"),
        ('aggregator = "0x12"\n', "aggregator"),
        (f'aggregator = "{"0x" + "aB" * 20}"\n', "whose mixed case is its checksum"),
        ("stake = -1\n", "stake"),
        ("stake = inf\n", "stake"),
        ('currency = "USDC"\n', "wanted ETH, or an address"),
        (f'currency = "{TOKEN}"\n', "decimals are for a currency that is a token"),
        ("decimals = 18\n", "decimals are for a currency that is a token"),
        (f'currency = "{TOKEN}"\ndecimals = 256\n', "decimals"),
        ('seats = 100\nseed_source = "drand"\n', "wanted prevrandao, or beacon, or an address"),
        ('seed_source = "beacon"\n', "more seats than its cohort of 64"),
        ("seats = 65536\n", "seats"),
        ("seed_delay_blocks = 1\n", "seed_delay_blocks"),
        ('reward_rule = "shapley"\n', "reward_rule"),
        ("max_missed = 256\n", "max_missed"),
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
        ({"rule": "krum"}, "with a quorum of 3 krum can tolerate nobody"),
        (
            {"rule": "minimum_diameter", "tolerance": 1, "challenge_seconds": 0},
            "challenge_seconds must be above 0 where votes judge",
        ),
        ({"rule": "bulyan", "tolerance": 1, "quorum": 6}, "tolerance"),
        ({"rule": "geometric_median", "tolerance": 0}, "tolerance"),
        ({"rule": "fltrust"}, "trusted must be a participant's address with fltrust"),
        ({"trusted": TOKEN}, "trusted must be the zero address with trimmed_mean"),
        ({"rule": "fltrust", "trusted": TOKEN, "pre_steps": ["nnm"]}, "pre_steps"),
        ({"rule": "clipped_mean"}, "clip_norm"),
        ({"rule": "centered_clipping"}, "clip_norm"),
        ({"rule": "krum", "quorum": 5, "clip_norm": 1.0}, "clip_norm"),
        ({"clip_norm": 1.0}, "clip_norm"),
        ({"commit_seconds": 366 * 86_400}, "commit_seconds"),
        ({"aggregator_seconds": 601}, "aggregator_seconds"),
        ({"lifetime_seconds": 11 * 365 * 86_400}, "closes_at"),
        ({"stake": 1e11}, "stake_wei"),
        ({"stake": 0.1, "slice": 0.2}, "slice_wei"),
        ({"reward": 1e9, "publisher_reward": 1e10}, "reward_wei"),
        ({"seats": 63}, "seats"),
        ({"drawn": 2}, "drawn"),
        ({"cohort": 5, "drawn": 6}, "drawn"),
        ({"reward_rule": "samples"}, "sample_cap"),
        ({"sample_cap": 10}, "sample_cap"),
        ({"score_seconds": 10}, "score_seconds"),
        ({"reward_rule": "scores", "score_seconds": 1}, "score_seconds"),
        ({"reward_rule": "scores", "score_seconds": 121}, "score_seconds"),
        ({"stake": 1e-19}, "stake must have at most the 18 decimals"),
        ({"currency": TOKEN, "decimals": 6, "bond": 1e-7}, "bond must have at most the 6 decimals"),
        ({"max_norm": 2.0**31}, "max_squared_norm"),
    ],
)
def test_what_the_contract_would_refuse_is_refused_before_anything_is_paid(settings, named):
    config = TaskConfig.model_validate(settings)

    with pytest.raises(ConfigError, match=named):
        config.params(NOW)


def test_what_the_contract_would_refuse_is_refused_before_a_source_is_deployed():
    config = TaskConfig(cohort=5, seats=100, drawn=6)

    with pytest.raises(ConfigError, match="drawn"):
        config.check()


def test_missing_file_is_refused(tmp_path):
    with pytest.raises(ConfigError, match=r"nowhere\.toml"):
        TaskConfig.load(tmp_path / "nowhere.toml")
