"""Runs the orchestrator: `python -m orchestrator --config FILE`.

Without a key in the settings it watches and sends nothing.
"""

from orchestrator.assembly import assemble
from orchestrator.config import OrchestratorConfig
from protocol.service_command import service_command

main = service_command(
    "orchestrator",
    "Open rounds, combine revealed updates, publish and settle results, serve them read-only.",
    OrchestratorConfig,
    assemble,
)

if __name__ == "__main__":
    main()
