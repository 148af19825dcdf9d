"""A model that a person names: in a file, or by a task and a round. Its root is recomputed.

A file holds a model's canonical bytes, as blob stores keep them and as `personal` writes them.
"""

import contextlib
import functools
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import click

from node.learning.training import TrainingSettings
from node.market.panel import Floats
from node.market.samples import Samples
from node.models.architecture import DEFAULT_SHIFT, Architecture
from node.models.blend import blended
from node.models.registry import by_hash, by_name
from node.models.smile import SMILE
from protocol import numbers
from protocol.blobs import BlobStore, FirstOf, largest_blob_bytes
from protocol.chain.gateway import Chain
from protocol.chain.posted import PostedStore
from protocol.encoding import Blob, Kind, decode, encode_model
from protocol.errors import BlobCorrupt, ConfigError, DataError, EncodingError
from protocol.storage import writing
from protocol.sumtree import SumTree
from protocol.task import MAX_SHIFT
from scripts.command import on_task_or_file, store_of
from scripts.task_config import TaskConfig

ROOT_BYTES: Final = 32
MOST_VOL: Final = 20.0
"""Decimal: several times what a coin's shortest options were ever quoted at."""
CHUNK_LENGTH: Final[int] = TaskConfig.model_fields["chunk_length"].default

_OPTIONS = (
    click.option(
        "--blobs",
        multiple=True,
        metavar="URL|DIR",
        help="With --rpc: where blobs are served, or a folder; may be given several times.",
    ),
    click.option(
        "--round",
        "chosen",
        type=click.IntRange(min=1),
        help="With --rpc: the final round whose model is taken; by default the last.",
    ),
    click.option(
        "--model",
        "file",
        type=click.Path(path_type=Path, exists=True, dir_okay=False),
        help="File with the model; instead of --rpc.",
    ),
    click.option(
        "--root",
        metavar="HASH",
        help="With --model: the root it must have; by default its file's name, if that is one.",
    ),
    click.option(
        "--architecture",
        "name",
        default=SMILE.name,
        show_default=True,
        help="With --model: name of the installed architecture that it is a model of.",
    ),
    click.option(
        "--chunk-length",
        type=click.IntRange(min=1),
        default=CHUNK_LENGTH,
        show_default=True,
        help="With --model: the task's, which the root depends on.",
    ),
    click.option(
        "--shift",
        type=click.IntRange(0, MAX_SHIFT),
        default=DEFAULT_SHIFT,
        show_default=True,
        help="With --model: the task's; one unit of a coordinate is 2^-N.",
        metavar="N",
    ),
)


@dataclass(frozen=True)
class Model:
    """A model whose root was recomputed."""

    architecture: Architecture
    vector: Floats
    root: bytes
    is_checked: bool
    """Whether it was held against a root that was known before."""
    round: int | None
    """Which round of a task it came out of."""
    training: TrainingSettings
    """The recipe of its task; the default one where that is not known."""
    shift: int
    chunk_length: int

    @property
    def in_words(self) -> str:
        """A line that says which model it is."""
        of_round = f", round {self.round}" if self.round else ""
        return f"model   0x{self.root.hex()}{of_round}{'' if self.is_checked else ', unchecked'}"

    def as_dict(self) -> dict[str, object]:
        """What `--json` says of it."""
        return {
            "model_root": self.root,
            "model_root_checked": self.is_checked,
            "round": self.round,
            "architecture": self.architecture.name,
        }

    def rounded(self, vector: Floats) -> Floats:
        """Another vector as a file holds it. Shape: [d] -> [d]"""
        return numbers.to_float(numbers.to_model(vector, self.shift), self.shift)

    def check_on(self, samples: Samples) -> None:
        """Raises: DataError unless the model gives each sample a volatility that can be one."""
        vols = self.architecture.predict(self.vector, samples)
        wrong = ~((vols > 0.0) & (vols < MOST_VOL))
        if wrong.any():
            raise DataError(
                f"wanted a model that gives a volatility between 0 and {MOST_VOL:.0%}, but model"
                f" 0x{self.root.hex()} gives {int(wrong.sum()):,} of {len(samples):,} quotes none,"
                f" the first {vols[wrong][0]:g}. The fault is the model's, not the quotes': take"
                " another round's (--round) or file (--model), and ask verify-round whether this"
                " one is what its updates give"
            )

    def write(self, file: Path, vector: Floats) -> bytes:
        """Put another model of the same kind into a file, and return its root. Shape: vector [d]"""
        units = numbers.to_model(vector, self.shift)
        with writing(file):
            file.write_bytes(encode_model(units, self.shift))
        return SumTree.of(units, self.chunk_length).root


def on_model(command: Callable[..., None]) -> Callable[..., None]:
    """Give a command the options that name a model, and pass it the `model` instead."""

    @functools.wraps(command)
    def wrapped(
        *,
        chain: Chain | None,
        task_id: bytes | None,
        blobs: tuple[str, ...],
        chosen: int | None,
        file: Path | None,
        root: str | None,
        name: str,
        chunk_length: int,
        shift: int,
        **others: object,
    ) -> None:
        if chain is not None and task_id is not None and file is None:
            stores = [store_of(address) for address in blobs]
            model = from_chain(chain, task_id, stores, chosen)
        elif chain is None and file is not None:
            wanted = None if root is None else as_root(root)
            model = from_file(file, wanted, by_name(name), chunk_length, shift)
        else:
            raise ConfigError("give either --model FILE or --rpc URL")
        command(model=model, **others)

    for option in reversed(_OPTIONS):
        wrapped = option(wrapped)
    return on_task_or_file(wrapped)


def from_file(
    file: Path, root: bytes | None, architecture: Architecture, chunk_length: int, shift: int
) -> Model:
    """The model in a file, or the blend of two that `personal` wrote there.

    Its root is held against `root`, or else the file's name if it is one.

    Raises: BlobCorrupt if it has another root; ConfigError if it is no model of this architecture
    or in other units.
    """
    both = blended(architecture)
    most = largest_blob_bytes(both.spec.dimension)
    if file.stat().st_size > most:
        raise ConfigError(
            f"--model: wanted at most {most} bytes for {architecture.name} in {file}, found"
            f" {file.stat().st_size}"
        )
    try:
        blob = decode(file.read_bytes())
    except EncodingError as error:
        raise ConfigError(f"--model: wanted a model's bytes in {file}, found {error}") from error
    wanted, found = root or _root_in_name(file), SumTree.of(blob.values, chunk_length).root
    if wanted not in (None, found):
        raise BlobCorrupt(wanted or b"", f"{file} holds a blob with root 0x{found.hex()}")
    # The root does not bind the unit, and another one would change every price.
    if blob.shift != shift:
        raise ConfigError(
            f"--model: wanted units of 2^-{shift}, found 2^-{blob.shift} in {file}; give the"
            " task's --shift if that is right"
        )
    if blob.values.size == both.spec.dimension:
        architecture = both
    return Model(
        architecture,
        _vector(architecture, blob),
        found,
        is_checked=wanted is not None,
        round=None,
        training=TrainingSettings(),
        shift=blob.shift,
        chunk_length=chunk_length,
    )


def from_chain(
    chain: Chain, task_id: bytes, stores: Sequence[BlobStore], chosen: int | None
) -> Model:
    """The model that a task's round ended with, by default the last final round.

    Raises: ConfigError if that round is not final; BlobError if nobody serves the model.
    """
    snapshot = chain.at(chain.head())
    params = snapshot.task_params(task_id)
    latest = snapshot.task_state(task_id).round
    before = latest if chosen is None else min(chosen, latest)
    final = snapshot.last_final_round(task_id, before + 1)
    if final == 0 or chosen not in (None, final):
        if chosen is None:
            raise ConfigError("no round of the task is final yet, so there is no model to take")
        raise ConfigError(
            f"--round: wanted round {chosen} to be final; the last one up to there is"
            f" {final or 'none'}"
        )
    root = snapshot.round_state(task_id, final).model_root
    architecture = by_hash(params.model_spec_hash)
    blobs = FirstOf([*stores, PostedStore(chain, task_id, params)])
    blob = blobs.get(root, chunk_length=params.chunk_length, shift=params.shift)
    return Model(
        architecture,
        _vector(architecture, blob),
        root,
        is_checked=True,
        round=final,
        training=TrainingSettings(rounds=params.rounds).tolerating(params.tolerance, params.quorum),
        shift=params.shift,
        chunk_length=params.chunk_length,
    )


def as_root(text: str) -> bytes:
    """A root that a person typed. Raises: ConfigError."""
    with contextlib.suppress(ValueError):
        root = bytes.fromhex(text.removeprefix("0x"))
        if len(root) == ROOT_BYTES:
            return root
    raise ConfigError(f"a root is 0x and {2 * ROOT_BYTES} hexadecimal digits; found {text}")


def _root_in_name(file: Path) -> bytes | None:
    """The root that stores call a blob's file by, if this is such a name."""
    with contextlib.suppress(ConfigError):
        return as_root(file.name)
    return None


def _vector(architecture: Architecture, blob: Blob) -> Floats:
    dimension = architecture.spec.dimension
    if blob.kind is not Kind.MODEL or blob.values.size != dimension:
        raise ConfigError(
            f"a model of {architecture.name} has {dimension} values, found a blob of kind"
            f" {blob.kind.name} with {blob.values.size}"
        )
    return numbers.to_float(blob.values, blob.shift)
