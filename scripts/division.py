"""What commands share that divide a market among desks and train them together."""

import functools
from collections.abc import Callable
from pathlib import Path
from typing import get_args

import click

from node.learning.training import TrainingSettings
from node.market.desks import Partition
from node.market.sources import MADE_UP_DAYS, folder_named
from protocol.errors import ConfigError
from protocol.task import Rule
from scripts.task_config import RULES, RuleName

# FLTrust trusts one participant, and these desks have no names.
RULES_OF_EQUALS = [name for name, rule in RULES.items() if rule is not Rule.FLTRUST]
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
        type=click.Choice(RULES_OF_EQUALS),
        default="mean",
        show_default=True,
        help="How updates are combined.",
    ),
    click.option(
        "--tolerance",
        type=click.IntRange(0, 31),
        default=None,
        help="Liars to tolerate; default 0 for means and the median, else 1.",
    ),
)


def described(folder: Path | None) -> str:
    """What market is divided, in words."""
    return f"{MADE_UP_DAYS} made-up days" if folder is None else f"chains in {folder.name}"


def desks_needed(rule: RuleName, tolerance: int) -> int:
    """How many desks must take part for a rule to tolerate so many liars."""
    each, beyond = {"krum": (2, 3), "multi_krum": (2, 3), "bulyan": (4, 3)}.get(rule, (2, 1))
    return each * tolerance + beyond


def check_desks(rule: RuleName, tolerance: int, desks: int) -> None:
    """Raises: ConfigError where a rule cannot tolerate so many liars among so many desks."""
    least = desks_needed(rule, tolerance)
    if desks < least:
        raise ConfigError(f"tolerating {tolerance} liars takes {least} desks; found {desks}")


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
            tolerance = int(RULES[rule] >= Rule.TRIMMED_MEAN)
        check_desks(rule, tolerance, desks)
        chosen = None if data is None else folder_named(data)
        if chosen is not None and not chosen.exists():
            raise ConfigError(f"--data: wanted a folder of quotes, found nothing at {chosen}")
        command(data=chosen, desks=desks, rule=rule, tolerance=tolerance, **others)

    for option in reversed(_OPTIONS):
        option(wrapped)
    return wrapped
