"""Prices options with a model, a shared one or a desk's own: quotes of a folder, or any others."""

from collections.abc import Mapping
from dataclasses import asdict
from functools import partial
from pathlib import Path
from typing import Any, Final

import click
import numpy as np
import polars as pl
import torch

from node.evaluation.audit import audit, panel_behind
from node.evaluation.metrics import measure
from node.market.black76 import delta
from node.market.cleaning import DEFAULT_RULES
from node.market.completion import WHOLE
from node.market.layouts import read_batches
from node.market.named_options import Market, options_named, read_options
from node.market.panel import Booleans, Floats
from node.market.pipeline import Tally
from node.market.quotes import DAYS_PER_YEAR, INSTANT, MICROSECONDS_PER_DAY, VOL_POINTS
from node.market.samples import Samples
from node.models.greeks import model_greeks
from node.private_data import own_and_anchors
from protocol.errors import ConfigError
from protocol.storage import writing
from scripts.command import OUTPUT_FILE, json_option, print_json, reports_failures
from scripts.named_model import Model, on_model
from scripts.personal import A_FOLDER, reference_option


def priced(
    model: Model, samples: Samples, is_call: Booleans, *, along_smile: bool = False
) -> pl.DataFrame:
    """A row for each option: what it is, and what the model says of it.

    Greeks are of the USD premium, with the strike's volatility held or along the model's smile.

    Raises: DataError if the model gives one no volatility.
    """
    model.check_on(samples)
    architecture, vector = model.architecture, model.vector
    greeks = model_greeks(architecture, vector, samples, is_call, sticky_strike=not along_smile)
    in_usd = greeks.in_usd(samples.forward)
    left = np.rint(samples.years * DAYS_PER_YEAR * MICROSECONDS_PER_DAY).astype(np.int64)
    instant = {"timestamp": samples.snapshot, "expiry": samples.snapshot + left}
    table = pl.DataFrame(
        {
            **instant,
            "currency": np.where(samples.is_btc, "BTC", "ETH"),
            "strike_usd": samples.strike,
            "is_call": is_call,
            "forward_usd": samples.forward,
            "model_vol": architecture.predict(vector, samples),
            "price_coin": greeks.price,
            "price_usd": in_usd.price,
            "delta": in_usd.delta,
            "gamma": in_usd.gamma,
            "vega_usd": in_usd.vega,
            "theta_usd": in_usd.theta,
            "vanna_usd": in_usd.vanna,
            "volga_usd": in_usd.volga,
        }
    )
    return table.with_columns(
        pl.from_epoch(name, time_unit="us").dt.replace_time_zone("UTC").cast(INSTANT)
        for name in instant
    )


def priced_quotes(model: Model, samples: Samples, *, along_smile: bool = False) -> pl.DataFrame:
    """As `priced`, with what the market says of each quote."""
    market = pl.DataFrame(
        {
            "bid_vol": samples.bid_vol,
            "ask_vol": samples.ask_vol,
            "mark_vol": samples.target_vol,
        }
    )
    is_call = samples.strike >= samples.forward
    table = priced(model, samples, is_call, along_smile=along_smile)
    place = table.get_column_index("model_vol")
    return table.select(*table.columns[:place], *market, *table.columns[place:])


def is_trained_on(samples: Samples, vols: Floats) -> Booleans:
    """Whether a quote of that strike and expiry could be learned from. Shape: [n]"""
    rules, years = DEFAULT_RULES, samples.years
    otm = np.abs(delta(samples.forward, samples.strike, years, vols, samples.z >= 0))
    days = samples.tenor_days
    return (days >= rules.min_days) & (days <= rules.max_days) & (otm >= rules.min_abs_delta)


def told_of_arbitrage(model: Model, samples: Samples) -> dict[str, object]:
    """For `--json`, how much static arbitrage the model holds on the panels that samples are priced
    by; what of it an audit does not accept is said on stderr."""
    found = audit(partial(model.architecture.predict, model.vector), panel_behind(samples))
    beyond = found.beyond()
    if beyond:
        click.echo(
            "warning: on the panels that it prices by, the model holds more static arbitrage than"
            f" is accepted (docs/arbitrage.md): {'; '.join(beyond)}",
            err=True,
        )
    return {"arbitrage": {**asdict(found), "beyond_limits": beyond}}


@click.command()
@reports_failures
@on_model
@click.option("--data", type=A_FOLDER, help="Folder of quotes, which are priced.")
@reference_option
@click.option(
    "--along-smile",
    is_flag=True,
    help="Greeks along the model's smile, not with each strike's volatility held.",
)
@click.option("--all", "everything", is_flag=True, help="All snapshots, not only the latest.")
@click.option(
    "--option",
    "names",
    multiple=True,
    metavar="NAME",
    help="An option to price, such as BTC-27MAR26-90000-C; may be given several times.",
)
@click.option(
    "--options",
    "options_file",
    type=click.Path(path_type=Path, exists=True, dir_okay=False),
    help="CSV or parquet file of options to price: currency, expiry, strike_usd, is_call.",
)
@click.option(
    "--least-known",
    type=click.IntRange(1, WHOLE),
    default=WHOLE,
    show_default=True,
    help=f"For options: complete a panel of which so many of {WHOLE} volatilities are known.",
)
@click.option(
    "--out",
    type=OUTPUT_FILE,
    help="CSV file to write, one row a quote or option; needed for quotes.",
)
@json_option
def main(
    *,
    model: Model,
    data: Path | None,
    reference: Path | None,
    everything: bool,
    names: tuple[str, ...],
    options_file: Path | None,
    least_known: int,
    along_smile: bool,
    out: Path | None,
    as_json: bool,
) -> None:
    """Price a folder's quotes, by default of the latest snapshot, or any options, with a model."""
    torch.set_num_threads(1)
    if names or options_file is not None:
        if everything:
            raise ConfigError("--all is for quotes: options are priced by the latest snapshot")
        market = reference or data
        if market is None:
            raise ConfigError(
                "--reference: wanted a folder of public quotes to price the options by, found"
                " neither it nor --data"
            )
        options = options_named(names)
        if options_file is not None:
            options = pl.concat([options, read_options(options_file)])
        latest = Market.latest(read_batches(market), least_known)
        samples = latest.samples(options)
        table = priced(model, samples, options["is_call"].to_numpy(), along_smile=along_smile)
        _tell_options(model, latest.known, samples, table, out, as_json=as_json)
    elif least_known != WHOLE:
        raise ConfigError("--least-known is for options: a folder's quotes need whole panels")
    elif data is None or out is None:
        raise ConfigError(
            "give --data DIR and --out FILE to price a folder's quotes, or --option NAME or"
            " --options FILE to price any options"
        )
    else:
        tally = Tally()
        samples, _ = own_and_anchors(data, reference, tally)
        if not everything:
            samples = samples.take(samples.snapshot == samples.snapshot.max())
        table = priced_quotes(model, samples, along_smile=along_smile)
        _tell_quotes(model, samples, table, tally, out, as_json=as_json)


def _tell_options(
    model: Model,
    known: Mapping[str, int],
    samples: Samples,
    table: pl.DataFrame,
    out: Path | None,
    *,
    as_json: bool,
) -> None:
    arbitrage = told_of_arbitrage(model, samples)
    trained_on = is_trained_on(samples, table["model_vol"].to_numpy())
    table = table.with_columns(trained_on=trained_on)
    if out is not None:
        _write(table, out)
    if as_json:
        file = None if out is None else str(out)
        rows = [
            row | {name: row[name].isoformat() for name in ("timestamp", "expiry")}
            for row in table.iter_rows(named=True)
        ]
        told = {"options": rows, "panel_known": known, "file": file}
        print_json({**model.as_dict(), **told, **arbitrage})
        return
    click.echo(model.in_words)
    for coin, moment in (
        table.group_by("currency", maintain_order=True).agg(pl.col("timestamp").first()).iter_rows()
    ):
        whole = known[coin] == WHOLE
        holes = "" if whole else f", {known[coin]} of the panel's {WHOLE} volatilities known"
        click.echo(f"market  {coin} at {moment:%Y-%m-%d %H:%M} UTC{holes}")
    click.echo(_COLUMNS)
    for row in table.iter_rows(named=True):
        click.echo(_line(row))
    if not trained_on.all():
        click.echo(
            "*  shorter, longer or farther from the money than any quote that is learned from"
        )
    if out is not None:
        click.echo(f"written {out}")


_COLUMNS: Final = (
    f"{'option':<32} {'forward':>11} {'vol %':>7} {'coin':>9} {'USD':>11} {'delta':>7}"
    f" {'vega':>9} {'theta':>9} {'vanna':>9} {'volga':>9}"
)


def _line(row: Mapping[str, Any]) -> str:
    expiry, kind = f"{row['expiry']:%Y-%m-%d %H:%M}", "call" if row["is_call"] else "put"
    option = f"{row['currency']} {expiry} {row['strike_usd']:g} {kind}"
    return (
        f"{option:<32} {row['forward_usd']:>11,.2f} {VOL_POINTS * row['model_vol']:>7.2f}"
        f" {row['price_coin']:>9.5f} {row['price_usd']:>11,.2f} {row['delta']:>7.3f}"
        f" {row['vega_usd']:>9,.2f} {row['theta_usd']:>9,.2f} {row['vanna_usd']:>9.5f}"
        f" {row['volga_usd']:>9,.4f}{'' if row['trained_on'] else ' *'}"
    )


def _tell_quotes(
    model: Model,
    samples: Samples,
    table: pl.DataFrame,
    tally: Tally,
    out: Path,
    *,
    as_json: bool,
) -> None:
    arbitrage = told_of_arbitrage(model, samples)
    _write(table, out)
    found = measure(table["model_vol"].to_numpy(), samples)
    left_out = {why: rows for why, rows in (tally.dropped + tally.skipped).items() if rows}
    if as_json:
        print_json(
            {
                **model.as_dict(),
                "quotes": found.quotes,
                "left_out": left_out,
                "rmse_vol_points": round(found.rmse, 4),
                "inside_bid_ask": round(found.inside_spread, 4),
                "file": str(out),
                **arbitrage,
            }
        )
        return
    click.echo(model.in_words)
    click.echo(f"quotes  {found.quotes:,}, {found.rmse:.3f} vol points RMSE from the mark")
    click.echo(f"        {found.inside_spread:.1%} priced between bid and ask")
    if left_out:
        listed = ", ".join(f"{why} {rows:,}" for why, rows in left_out.items())
        click.echo(f"        left out of the whole folder: {listed}")
        click.echo("        (--options FILE prices any option, however it is quoted)")
    click.echo(f"written {out}")


def _write(table: pl.DataFrame, out: Path) -> None:
    with writing(out):
        table.write_csv(out)


if __name__ == "__main__":
    main()
