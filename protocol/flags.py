"""What a flag is about: an update that cannot be had, or the table that answers one on a result."""

from collections.abc import Callable, Sequence

import structlog

from protocol.blobs import BlobStore
from protocol.choice import table_of
from protocol.errors import BlobError, VerificationFailed
from protocol.gram import Table
from protocol.numbers import Int16Array
from protocol.recompute import RevealedUpdate, fetch_updates
from protocol.state import RoundState
from protocol.task import TaskParams

_log = structlog.get_logger(__name__)


def first_missing(
    params: TaskParams,
    round_state: RoundState,
    revealed: Sequence[RevealedUpdate],
    blobs: BlobStore,
    *,
    is_had: Callable[[RevealedUpdate], bool],
    keep: Callable[[RevealedUpdate, Int16Array], None],
) -> int | None:
    """Place, in order of reveal, of the first update that cannot be had and that nobody flagged.

    What `is_had` is not asked for; what is fetched goes to `keep`, Shape: [d].
    """
    for index, each in enumerate(revealed):
        if round_state.is_unavailable(index) or is_had(each):
            continue
        try:
            (update,) = fetch_updates(params, [each], blobs)
        except (BlobError, VerificationFailed) as failure:
            _log.warning("update_cannot_be_had", root=each.update_root, why=str(failure))
            return index
        keep(each, update)
    return None


def flagged_table(
    params: TaskParams, root: bytes, included: Sequence[RevealedUpdate], blobs: BlobStore
) -> Table:
    """The table that has this root, computed anew from the included updates.

    Raises: BlobError, RuleError, VerificationFailed if they have another one, or none.
    """
    table = table_of(params, fetch_updates(params, included, blobs))
    if table is None or table.root != root:
        raise VerificationFailed(f"the included updates do not give the table 0x{root.hex()}")
    return table
