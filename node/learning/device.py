"""Where a model is trained: on the processor, or on a GPU where torch can use one."""

import torch

from protocol.errors import ConfigError


def check_device(device: str) -> None:
    """Raises: ConfigError where a GPU is asked for and torch can use none."""
    if device == "cuda" and not torch.cuda.is_available():
        raise ConfigError("device: wanted cuda, found no GPU that torch can use; give cpu")
