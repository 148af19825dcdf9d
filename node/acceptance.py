"""What a node says of a model that it adopts: how much static arbitrage it holds on its own panels.

It warns, once a version, and does no more: which model is the task's is the contract's to say, and
the contract cannot price. What a desk does about it is in docs/arbitrage.md.
"""

from functools import partial
from typing import Final

import structlog

from node.evaluation.audit import Audit, audit, evenly, panel_behind
from node.market.samples import Samples
from node.models.architecture import Architecture
from protocol.blobs import BlobStore
from protocol.errors import BlobError
from protocol.numbers import to_float
from protocol.task import TaskParams

PANELS: Final = 6
EVERY: Final = 4
"""So few panels and strikes that a tick loses less than a tenth of a second."""

log = structlog.get_logger("node")


class Acceptance:
    """The audit of the latest model that was adopted, on panels that its desk's quotes have."""

    def __init__(
        self, architecture: Architecture, samples: Samples, params: TaskParams, kept: BlobStore
    ) -> None:
        self._architecture = architecture
        self._panel = evenly(panel_behind(samples), PANELS)
        self._params = params
        self._kept = kept
        self._root = b""
        self.latest: Audit | None = None
        """None until a model was adopted whose bytes this node has."""

    def look(self, root: bytes) -> None:
        """Audits the model of a root, if that is another one than before and kept here."""
        if root == self._root or not root or not self._kept.has(root):
            return
        self._root = root
        shift, chunk_length = self._params.shift, self._params.chunk_length
        try:
            blob = self._kept.get(root, chunk_length=chunk_length, shift=shift)
        except BlobError as error:
            log.warning("model cannot be audited", model_root=_shown(root), error=str(error))
            return
        price = partial(self._architecture.predict, to_float(blob.values, shift))
        self.latest = audit(price, self._panel, PANELS, EVERY)
        beyond = self.latest.beyond()
        if beyond:
            log.warning("model holds arbitrage", model_root=_shown(root), beyond=beyond)

    @property
    def beyond(self) -> tuple[str, ...]:
        """What the latest model holds more of than is accepted; nothing before there is one."""
        return () if self.latest is None else self.latest.beyond()

    @property
    def in_words(self) -> str:
        """For who reads what a tick did; empty while the model is accepted."""
        return f"the model holds arbitrage: {', '.join(self.beyond)}" if self.beyond else ""


def _shown(root: bytes) -> str:
    return "0x" + root.hex()
