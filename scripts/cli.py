"""The console command `volquorum`: every command of the project under one name."""

from importlib import import_module

import click

COMMANDS = {
    "collect-quotes": ("scripts.collect_quotes", "Record public option quotes from an exchange."),
    "demo": ("scripts.demonstration", "Run a whole network on an embedded chain."),
    "deploy": ("scripts.deploy", "Deploy the contracts and create a task."),
    "drive": ("scripts.drive", "Move a task on by what anybody may do."),
    "end-task": ("scripts.end_task", "End a task as its sponsor, close it and withdraw."),
    "evaluate": ("scripts.evaluate", "Train together, alone and on all data, and measure all."),
    "leave": ("scripts.leave", "Give a seat up and withdraw what an account is owed."),
    "node": ("node.__main__", "Run a participant."),
    "orchestrator": ("orchestrator.__main__", "Run an aggregator."),
    "personal": ("scripts.personal", "Fit a shared model to a desk's own quotes, to price them."),
    "price": ("scripts.price", "Price any options, or a folder of quotes, with a model."),
    "restore": ("scripts.restore", "Pay a suspended seat's stake up again."),
    "round-state": ("scripts.round_state", "Show where a task stands."),
    "verify-round": ("scripts.verify_round", "Check finished rounds from outside."),
}


class LazyGroup(click.Group):
    """Imports a command only when it is used: `round-state` need not wait for torch."""

    def list_commands(self, ctx: click.Context) -> list[str]:  # noqa: ARG002 - click's signature
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:  # noqa: ARG002
        if cmd_name not in COMMANDS:
            return None
        command: click.Command = import_module(COMMANDS[cmd_name][0]).main
        return command

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:  # noqa: ARG002
        with formatter.section("Commands"):
            formatter.write_dl([(name, text) for name, (_, text) in COMMANDS.items()])


@click.group(cls=LazyGroup)
@click.version_option(package_name="volquorum")
def main() -> None:
    """Federated training of option models, orchestrated and verified by a smart contract."""


if __name__ == "__main__":
    main()
