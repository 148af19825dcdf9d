"""Runs one participant: `python -m node --config FILE`."""

from node.assembly import assemble
from node.config import NodeConfig
from protocol.service_command import service_command

main = service_command(
    "node",
    "Take part in a task: train, commit, reveal, and verify every published model.",
    NodeConfig,
    assemble,
    switches={"watch": "Take no seat and train nothing: only verify and challenge."},
)

if __name__ == "__main__":
    main()
