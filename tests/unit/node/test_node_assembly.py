"""What a participant is refused before it can lose anything."""

import pytest
import torch

from node.assembly import assemble
from node.config import NodeConfig
from protocol.errors import ConfigError

pytestmark = pytest.mark.unit


def test_gpu_that_is_not_there_is_refused_before_a_seat_is_taken(tmp_path, monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    config = NodeConfig(
        rpc_url="http://127.0.0.1:1",
        deployment=tmp_path / "deployment.json",
        state_dir=tmp_path / "state",
        data="synthetic",
        device="cuda",
    )

    with pytest.raises(ConfigError, match="device: wanted cuda, found no GPU"):
        assemble(config)
