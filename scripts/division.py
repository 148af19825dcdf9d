"""What commands share that divide a market among desks and train them together."""

import functools
from collections.abc import Callable
from pathlib import Path
from typing import get_args

import click

from node.learning.training import TrainingSettings
from node.market.desks import Partition
from protocol.errors import ConfigError
from scripts.task_config import RULES, RuleName

SYNTHETIC_DAYS = 90
"""Of the market that is made up where no data is given."""

_OPTIONS = (
    click.option(
        "--data",
        type=click.Path(path_type=Path),
        help="Folder of quotes, such as Deribit's chains; without it a market is made up.",
    ),
    click.option(
        "--rounds",
        type=click.IntRange(min=1),
        default=TrainingSettings().rounds,
        show_default=True,
        help="Rounds of the task; also the horizon of the learning rate.",
    ),
    click.option(
        "--desks",
        type=click.IntRange(1, 64),
        default=5,
        show_default=True,
        help="Among how many desks the quotes are divided.",
    ),
    click.option(
        "--partition",
        type=click.Choice(get_args(Partition)),
        default="desks",
        show_default=True,
        help="How the quotes are divided.",
    ),
    click.option(
        "--rule",
        type=click.Choice(list(RULES)),
        default="mean",
        show_default=True,
        help="How updates are combined.",
    ),
    click.option(
        "--tolerance",
        type=click.IntRange(0, 31),
        default=None,
        help="Liars to tolerate; default 1 for the trimmed mean and multi-Krum, else 0.",
    ),
)


def desks_needed(rule: RuleName, tolerance: int) -> int:
    """How many desks must take part for a rule to outvote so many liars."""
    return 2 * tolerance + (3 if rule == "multi_krum" else 1)


def divides_a_market(command: Callable[..., None]) -> Callable[..., None]:
    """Give a command the options of a divided market; the tolerance is settled and checked."""

    @functools.wraps(command)
    def wrapped(
        *,
        data: Path | None,
        desks: int,
        rule: RuleName,
        tolerance: int | None,
        **others: object,
    ) -> None:
        if tolerance is None:
            tolerance = int(rule in {"trimmed_mean", "multi_krum"})
        least = desks_needed(rule, tolerance)
        if desks < least:
            raise ConfigError(f"tolerating {tolerance} liars takes {least} desks; found {desks}")
        chosen = None if str(data) == "synthetic" else data
        if chosen is not None and not chosen.exists():
            raise ConfigError(f"--data: wanted a folder of quotes, found nothing at {chosen}")
        command(data=chosen, desks=desks, rule=rule, tolerance=tolerance, **others)

    for option in reversed(_OPTIONS):
        option(wrapped)
    return wrapped
