"""Records option chains from Deribit's public API into a desk's folder, one file a snapshot.

Exit codes are those of every command (`protocol/exit_codes.py`): 0 all snapshots taken or stopped
by a signal, 2 a wrong argument, 6 the exchange gave no usable answer.
"""

from pathlib import Path

import click

from node.market.collector import PUBLIC_API, Collected, Collector
from node.market.quotes import CURRENCIES
from protocol.logs import configure
from scripts.command import (
    OUTPUT_FOLDER,
    json_option,
    print_json,
    reports_failures,
    stopped_by_signals,
)


@click.command()
@click.option(
    "--out",
    "folder",
    required=True,
    type=OUTPUT_FOLDER,
    help="The folder to write to; made if missing.",
)
@click.option(
    "--currency",
    "currencies",
    multiple=True,
    type=click.Choice(CURRENCIES),
    default=CURRENCIES,
    show_default=True,
    help="A coin to record; may be given more than once.",
)
@click.option(
    "--interval",
    "interval_seconds",
    type=click.IntRange(min=1),
    default=3600,
    show_default=True,
    metavar="SECONDS",
    help="One request a coin in each interval of the clock.",
)
@click.option(
    "--snapshots",
    type=click.IntRange(min=1),
    metavar="N",
    help="Stop after N; without it, run until SIGINT or SIGTERM.",
)
@click.option("--base-url", default=PUBLIC_API, show_default=True, help="Where the API answers.")
@json_option
@reports_failures
def main(
    *,
    folder: Path,
    currencies: tuple[str, ...],
    interval_seconds: int,
    snapshots: int | None,
    base_url: str,
    as_json: bool,
) -> None:
    """Record snapshots of all listed options of each coin."""
    configure()
    taken: list[Collected] = []
    with (
        stopped_by_signals() as stop,
        Collector(
            folder,
            currencies,
            interval_seconds=interval_seconds,
            base_url=base_url,
            stop=stop,
        ) as collector,
    ):
        for collected in collector.run(snapshots):
            taken.append(collected)
            if not as_json:
                click.echo(
                    f"{collected.path}: {collected.rows} quotes, skipped {collected.skipped}"
                )
    if as_json:
        print_json(
            {
                "snapshots": [
                    {"file": str(each.path), "rows": each.rows, "skipped": each.skipped}
                    for each in taken
                ]
            }
        )


if __name__ == "__main__":
    main()
