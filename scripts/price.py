"""Prices a folder of quotes with a model: a shared one, or a desk's own."""

from pathlib import Path

import click
import numpy as np
import polars as pl
import torch

from node.evaluation.metrics import measure
from node.market.quotes import DAYS_PER_YEAR, INSTANT, MICROSECONDS_PER_DAY
from node.market.samples import Samples
from node.models.greeks import model_greeks
from node.private_data import own_and_anchors
from scripts.command import OUTPUT_FILE, json_option, print_json, reports_failures
from scripts.named_model import Model, on_model
from scripts.personal import data_option, reference_option


def priced(model: Model, samples: Samples) -> pl.DataFrame:
    """A row for each quote: what it is, what the market says of it, and what the model does.

    Greeks are of the USD premium, with the strike's volatility held.
    """
    architecture, vector = model.architecture, model.vector
    is_call = samples.strike >= samples.forward
    greeks = model_greeks(architecture, vector, samples, is_call, sticky_strike=True)
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
            "bid_vol": samples.bid_vol,
            "ask_vol": samples.ask_vol,
            "mark_vol": samples.target_vol,
            "model_vol": architecture.predict(vector, samples),
            "price_coin": greeks.price,
            "price_usd": in_usd.price,
            "delta": in_usd.delta,
            "gamma": in_usd.gamma,
            "vega_usd": in_usd.vega,
            "theta_usd": in_usd.theta,
        }
    )
    return table.with_columns(
        pl.from_epoch(name, time_unit="us").dt.replace_time_zone("UTC").cast(INSTANT)
        for name in instant
    )


@click.command()
@reports_failures
@on_model
@data_option
@reference_option
@click.option("--all", "everything", is_flag=True, help="All snapshots, not only the latest.")
@click.option(
    "--out",
    type=OUTPUT_FILE,
    required=True,
    help="CSV file to write, one row a quote.",
)
@json_option
def main(
    *,
    model: Model,
    data: Path,
    reference: Path | None,
    everything: bool,
    out: Path,
    as_json: bool,
) -> None:
    """Price a folder's quotes, by default those of the latest snapshot, with a model."""
    torch.set_num_threads(1)
    samples, _ = own_and_anchors(data, reference)
    if not everything:
        samples = samples.take(samples.snapshot == samples.snapshot.max())
    table = priced(model, samples)
    table.write_csv(out)
    found = measure(table["model_vol"].to_numpy(), samples)
    if as_json:
        print_json(
            {
                **model.as_dict(),
                "quotes": found.quotes,
                "rmse_vol_points": round(found.rmse, 4),
                "inside_bid_ask": round(found.inside_spread, 4),
                "file": str(out),
            }
        )
        return
    click.echo(model.in_words)
    click.echo(f"quotes  {found.quotes:,}, {found.rmse:.3f} vol points RMSE from the mark")
    click.echo(f"        {found.inside_spread:.1%} priced between bid and ask")
    click.echo(f"written {out}")


if __name__ == "__main__":
    main()
