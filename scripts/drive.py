"""Moves a task on by what anybody may do, to its end if it is let: no key of its own is needed.

Where nobody publishes, rounds end without a result; with an aggregator beside it, a task passes
through all its rounds and is closed, and nothing that is owed waits for somebody.
"""

from collections.abc import Iterator
from dataclasses import asdict, dataclass
from typing import Self

import click
import structlog

from node.sending import TOO_LATE
from protocol import rounds
from protocol.chain.gateway import Snapshot
from protocol.chain.seed import record, to_record
from protocol.chain.transactor import Transactor
from protocol.errors import Reverted
from protocol.service import Outcome, Service
from scripts.command import (
    json_option,
    on_task,
    print_json,
    reports_failures,
    with_sender,
)
from scripts.due import Due, due

log = structlog.get_logger(__name__)


def drive(transactor: Transactor, task_id: bytes) -> Iterator[Due]:
    """Does what is due now, one call after the other, and yields each that was done."""
    chain = transactor.chain
    tried: set[str] = set()
    record_seed(transactor, task_id)
    while True:
        found = due(chain.at(chain.head()), task_id)
        call = next((each for each in found if each.purpose not in tried), None)
        if call is None:
            return
        tried.add(call.purpose)
        try:
            transactor.send(call.function, call.args, purpose=call.purpose)
        except Reverted as refused:
            # Somebody else was quicker, or the clock moved on; else a person should know.
            say = log.info if refused.error in TOO_LATE else log.warning
            say("call_refused", what=call.what, why=str(refused))
        else:
            yield call


def record_seed(transactor: Transactor, task_id: bytes) -> None:
    """Shows the source of a round's seed the block header that it lacks for it, if any."""
    snapshot = _look(transactor)
    params, task = snapshot.task_params(task_id), snapshot.task_state(task_id)
    state = snapshot.round_state(task_id, task.round)
    if not rounds.can_draw(params, task, state, snapshot.block.timestamp):
        return
    source, opened_block = params.seed_source, task.opened_block
    number = to_record(transactor.chain, source, opened_block, at=snapshot.block)
    if number is None:
        return
    try:
        record(transactor, source, number)
    except Reverted as refused:
        log.info("header_refused", block=number, why=str(refused))


@click.command()
@reports_failures
@on_task
@with_sender
@click.option("--once", is_flag=True, help="Do what is due now, and end.")
@click.option(
    "--interval",
    "interval_seconds",
    type=click.FloatRange(min=0, min_open=True),
    default=10.0,
    show_default=True,
    metavar="SECONDS",
    help="Pause between two looks at the chain.",
)
@json_option
def main(
    *, transactor: Transactor, task_id: bytes, once: bool, interval_seconds: float, as_json: bool
) -> None:
    """Open, draw, settle, distribute, slash and close what is due, until the task is closed."""
    sent: list[Due] = []
    standing = Standing.of(_look(transactor), task_id)

    def tick() -> Outcome:
        nonlocal standing
        before = len(sent)
        for call in drive(transactor, task_id):
            sent.append(call)
            if not as_json:
                click.echo(call.what)
            service.beat()
        standing = Standing.of(_look(transactor), task_id)
        if standing.closed:
            service.stop()
        acted = sent[-1].function if len(sent) > before else None
        return Outcome(acted, standing.next_deadline, "")

    service = Service(tick, interval_seconds, "drive")
    service.on_stop(transactor.stop)
    if once:
        tick()
    else:
        service.run()
    if as_json:
        done = [{"function": each.function, "what": each.what} for each in sent]
        print_json({"task": task_id, "sent": done, **asdict(standing)})
    elif not sent:
        click.echo("nothing is due")


@dataclass(frozen=True)
class Standing:
    """How far a task was when the chain was looked at last."""

    round: int
    next_deadline: int | None
    closed: bool

    @classmethod
    def of(cls, snapshot: Snapshot, task_id: bytes) -> Self:
        """Read at once: later the chain may not answer."""
        params, task = snapshot.task_params(task_id), snapshot.task_state(task_id)
        state = snapshot.round_state(task_id, task.round)
        until = rounds.next_deadline(params, state, snapshot.block.timestamp)
        return cls(task.round, until, task.closed)


def _look(transactor: Transactor) -> Snapshot:
    return transactor.chain.at(transactor.chain.head())


if __name__ == "__main__":
    main()
