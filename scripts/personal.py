"""Fits a shared model to a desk's own quotes, and keeps what prices the desk's later days best.

Nothing leaves this machine: the model is read and checked, and the result is a file for `price`.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import partial
from pathlib import Path

import click
import torch

from node.learning.alone import train_alone
from node.learning.device import check_device
from node.learning.personal import BLEND, HEAD, LOCAL, SHARED, choose, fit_head
from node.market.moments import microseconds, moment_of
from node.market.panel import Floats
from node.market.samples import Samples
from node.market.split import hold_out
from node.models.blend import blend, is_blend
from node.private_data import own_and_anchors
from protocol import numbers
from protocol.errors import ConfigError, DataError
from scripts.command import (
    OUTPUT_FILE,
    device_option,
    json_option,
    print_json,
    reports_failures,
)
from scripts.named_model import Model, on_model

A_FOLDER = click.Path(path_type=Path, exists=True)

data_option = click.option(
    "--data", type=A_FOLDER, required=True, help="Folder with the desk's own quotes."
)
reference_option = click.option(
    "--reference",
    type=A_FOLDER,
    help="Folder with public quotes for the reference panel; by default the own quotes make it.",
)


@dataclass(frozen=True)
class Quotes:
    """A desk's quotes, divided in time."""

    earlier: Samples
    """Trained on."""
    anchors: Samples
    """Points of the public panel of those days."""
    later: Samples
    """Chosen by."""

    @classmethod
    def read(cls, data: Path, reference: Path | None, later_from: datetime | None) -> "Quotes":
        """Raises: DataError unless there are quotes to train on and to choose by."""
        own, anchors = own_and_anchors(data, reference)
        if later_from is None:
            earlier, later = hold_out(own)
        else:
            first = microseconds(later_from.replace(tzinfo=UTC))
            earlier, later = own.take(own.snapshot < first), own.take(own.snapshot >= first)
        if not len(earlier) or not len(later):
            raise DataError(
                f"--later-from: wanted quotes before {later_from} and from then on, found"
                f" {len(earlier)} and {len(later)}"
            )
        return cls(earlier, anchors.take(anchors.snapshot < later.snapshot.min()), later)


def fitted(model: Model, quotes: Quotes, seed: int, device: str = "cpu") -> Mapping[str, Floats]:
    """What a desk chooses of, as files hold them: shared, with its own head, trained alone.

    Training for the last two stops where the later quotes are priced best.

    Raises: DataError if training leaves the finite numbers.
    """
    settings, architecture = model.training, model.architecture
    head = fit_head(
        model.vector,
        quotes.earlier,
        quotes.later,
        settings,
        seed=seed,
        device=device,
        architecture=architecture,
    )
    local = train_alone(
        numbers.to_float(architecture.genesis(seed, model.shift), model.shift),
        Samples.join(quotes.earlier, quotes.anchors),
        settings,
        validation=quotes.later,
        seed=seed,
        device=device,
        architecture=architecture,
    )
    found = {SHARED: model.vector, HEAD: head, LOCAL: local}
    return {name: model.rounded(vector) for name, vector in found.items()}


@click.command()
@reports_failures
@on_model
@data_option
@reference_option
@click.option(
    "--later-from",
    type=click.DateTime(["%Y-%m-%d"]),
    metavar="DATE",
    help="First day (UTC) of the quotes to choose by; by default those of the latest tenth.",
)
@click.option(
    "--seed", type=click.IntRange(min=0), default=0, show_default=True, help="Of training."
)
@device_option
@click.option(
    "--out",
    type=OUTPUT_FILE,
    required=True,
    help="File to write the desk's model to.",
)
@json_option
def main(
    *,
    model: Model,
    data: Path,
    reference: Path | None,
    later_from: datetime | None,
    seed: int,
    device: str,
    out: Path,
    as_json: bool,
) -> None:
    """Write the model that prices a desk's own later quotes best: shared, its own, or a blend."""
    check_device(device)
    if is_blend(model.architecture):
        raise ConfigError("--model: wanted a shared model, found a desk's blend of two")
    torch.set_num_threads(1)
    quotes = Quotes.read(data, reference, later_from)
    model.check_on(Samples.join(quotes.earlier, quotes.later))
    vectors = fitted(model, quotes, seed, device)
    shared, head, local = (
        partial(model.architecture.predict, vectors[name]) for name in (SHARED, HEAD, LOCAL)
    )
    choice = choose(shared, head, local, quotes.later)
    if choice.name == BLEND:
        chosen = blend(model.architecture, vectors[HEAD], vectors[LOCAL], choice.share)
    else:
        chosen = vectors[choice.name]
    root = model.write(out, chosen)
    later_from = moment_of(int(quotes.later.snapshot.min()))
    if as_json:
        print_json(
            {
                **model.as_dict(),
                "quotes": len(quotes.earlier),
                "later_quotes": len(quotes.later),
                "later_from": later_from.isoformat(),
                "rmse_vol_points": {name: round(rmse, 4) for name, rmse in choice.rmse.items()},
                "share_of_local": choice.share,
                "chosen": choice.name,
                "file": str(out),
                "root": root,
            }
        )
        return
    click.echo(model.in_words)
    click.echo(f"quotes  {len(quotes.earlier):,} to train on, {len(quotes.later):,} to choose by")
    click.echo(f"        from {later_from:%Y-%m-%d %H:%M} UTC on")
    for name, rmse in choice.rmse.items():
        of_local = f", {choice.share:.2f} of it local" if name == BLEND else ""
        mark = "  <- chosen" if name == choice.name else ""
        click.echo(f"{name:<7} {rmse:.3f} vol points on the later quotes{of_local}{mark}")
    click.echo(f"written {out}, root 0x{root.hex()}")


if __name__ == "__main__":
    main()
