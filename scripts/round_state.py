"""Says where a task stands: phase, who is missing or flagged, what happens next and when."""

from dataclasses import asdict
from typing import Any

import click

from protocol import rounds
from protocol.blobs import FirstOf
from protocol.chain.gateway import Chain, Snapshot
from protocol.errors import ConfigError
from protocol.recompute import Roots
from protocol.state import Flag, Phase, Published, RoundState
from protocol.task import ZERO_ADDRESS, TaskParams
from scripts.command import (
    json_option,
    on_task,
    print_json,
    reports_failures,
    store_of,
    when,
)
from scripts.why import explain, in_lines, taken


def describe(snapshot: Snapshot, task_id: bytes, number: int | None = None) -> dict[str, Any]:
    """Everything a person or a script asks about a round, as JSON-ready values.

    Raises: ConfigError if there is no such round yet.
    """
    params = snapshot.task_params(task_id)
    task = snapshot.task_state(task_id)
    chosen = task.round if number is None else number
    if chosen > task.round:
        raise ConfigError(f"--round is a number up to {task.round}, the latest; found {chosen}")
    state = snapshot.round_state(task_id, chosen) if chosen else RoundState()
    now = snapshot.block.timestamp
    phase = rounds.phase(params, state, now)
    committed = snapshot.committed(task_id, chosen) if chosen else ()
    revealed = snapshot.revealed(task_id, chosen) if chosen else ()
    seated = snapshot.seated(task_id)
    ends = asdict(rounds.deadlines(params, state)) if chosen else {}
    # What a void round published is nobody's model.
    counts = state.published_at != 0 and phase is not Phase.VOID
    return {
        "task": task_id,
        "block": snapshot.block.number,
        "time": now,
        "round": chosen,
        "rounds": params.rounds,
        "phase": phase.name.lower(),
        "deadlines": ends,
        "next_deadline": rounds.next_deadline(params, state, now),
        "next": what_is_next(params, phase, snapshot, task_id, state),
        "rule": params.rule_in_words,
        "by_votes": params.by_votes,
        "trusted": None if params.trusted == ZERO_ADDRESS else params.trusted,
        "votes_needed": params.votes_needed if params.by_votes else 0,
        "quorum": params.quorum,
        "cohort": params.cohort,
        "seats": task.seats,
        "active": task.active,
        "entering": task.entering,
        "draws": task.draws,
        "seated": list(seated),
        "committed": list(committed),
        "revealed": [update._asdict() for update in revealed],
        "missing": _missing(snapshot, task_id, chosen, phase),
        "included": [update.participant for update in rounds.included(state, revealed)],
        "unavailable": [
            _unavailable(snapshot, task_id, chosen, phase, update.participant)
            for update in rounds.excluded(state, revealed)
        ],
        "result_flags": [
            {"what": what.name.lower(), **_flag(snapshot.result_flag(task_id, what))}
            for what in Published
            if state.is_flagged(what)
        ],
        "votes": [
            {
                **roots._asdict(),
                "participants": list(participants),
                "is_published": roots.are_published(state),
            }
            for roots, participants in _votes(snapshot, task_id, chosen).items()
        ],
        "refutations": state.refutations,
        "base_model_root": snapshot.base_model_root(task_id, chosen) if chosen else None,
        "aggregate_root": state.aggregate_root if counts else None,
        "model_root": state.model_root if counts else None,
        "publisher": None if state.publisher == ZERO_ADDRESS else state.publisher,
        "settled": state.settled,
        "distributed": state.distributed,
        "task_model_root": task.model_root,
        "ended": task.ended,
        "closed": task.closed,
        "currency": params.currency,
        "funds_wei": str(task.funds_wei),
    }


def what_is_next(
    params: TaskParams, phase: Phase, snapshot: Snapshot, task_id: bytes, state: RoundState
) -> str:
    """One sentence: what happens next, by whom."""
    task = snapshot.task_state(task_id)
    now = snapshot.block.timestamp
    match phase:
        case Phase.SELECTION | Phase.COMMIT if rounds.is_undrawn(task):
            return "anybody draws the seats when their seed is known; until then nobody commits"
        case Phase.SELECTION:
            return "commits open when the selection is over"
        case Phase.COMMIT:
            return "participants commit; then reveals open"
        case Phase.REVEAL:
            return f"participants reveal; below {params.quorum} reveals the round is void"
        case Phase.AVAILABILITY:
            return _next_in_availability(params, state, now)
        case Phase.AGGREGATE:
            head_start = rounds.deadlines(params, state).aggregator
            if params.aggregator != ZERO_ADDRESS and now < head_start:
                return f"{params.aggregator} publishes; from {when(head_start)} anybody may"
            return "anybody with the bond publishes; if nobody does the round is void"
        case Phase.CHALLENGE:
            return _next_in_challenge(params, state, now)
        case _ if rounds.can_open(params, task, state, now):
            return "anybody opens the next round"
        case _ if task.closed:
            return "nothing: the task is closed"
        case _ if rounds.is_exhausted(params, task, now):
            return "anybody closes the task; participants leave and withdraw"
        case _:
            missing = params.quorum - task.active - task.entering
            return f"{missing} more participants must join or be restored"


def _next_in_availability(params: TaskParams, state: RoundState, now: int) -> str:
    ends = rounds.deadlines(params, state)
    if now < ends.flag_update:
        return f"until {when(ends.flag_update)} anybody may flag what cannot be fetched"
    if state.unavailable:
        return f"until {when(ends.availability)} flagged updates may be posted, or are excluded"
    return "every revealed update is included; then an aggregator may publish"


def _next_in_challenge(params: TaskParams, state: RoundState, now: int) -> str:
    ends = rounds.deadlines(params, state)
    prove = "anybody may prove the published result wrong; then it is final"
    if params.by_votes:
        needed = rounds.votes_to_stand(params, state)
        prove = (
            f"with {needed} votes for it, of which {state.votes} are cast, the published result is "
            "final, else void"
        )
    if now < ends.flag_result:
        return f"until {when(ends.flag_result)} anybody may flag what cannot be fetched; {prove}"
    if state.result_flags and now < ends.post_result:
        return f"until {when(ends.post_result)} its publisher must post what is flagged; {prove}"
    if state.result_flags:
        return f"anybody may refute what is flagged and was not posted; {prove}"
    return prove


def _votes(snapshot: Snapshot, task_id: bytes, number: int) -> dict[Roots, tuple[str, ...]]:
    by_votes = number and snapshot.task_params(task_id).by_votes
    return snapshot.votes(task_id, number) if by_votes else {}


def _unavailable(
    snapshot: Snapshot, task_id: bytes, number: int, phase: Phase, participant: str
) -> dict[str, Any]:
    """Why an update is not included, and whether that can change."""
    flag = snapshot.update_flag(task_id, participant)
    standing = "flagged" if phase is Phase.AVAILABILITY else "excluded"
    found = {"participant": participant, "standing": standing}
    # An update whose norm was refuted needs no flag; a later round's flag is none on this one.
    return found | (_flag(flag) if flag.round == number else {})


def _flag(flag: Flag) -> dict[str, Any]:
    answered = flag.flagger == ZERO_ADDRESS
    return {"flagger": None if answered else flag.flagger, "posted": flag.posted}


def _missing(snapshot: Snapshot, task_id: bytes, number: int, phase: Phase) -> list[str]:
    """Who could still act in this phase and has not, or never did."""
    if phase in {Phase.NONE, Phase.SELECTION}:
        return []
    committed = snapshot.committed(task_id, number)
    if phase is Phase.COMMIT:
        return [account for account in taken(snapshot, task_id) if account not in committed]
    revealed = {update.participant for update in snapshot.revealed(task_id, number)}
    return [account for account in committed if account not in revealed]


@click.command()
@reports_failures
@on_task
@click.option("--round", "number", type=click.IntRange(min=1), help="Default: the latest.")
@click.option(
    "--why",
    "explains",
    is_flag=True,
    help="Also say of the latest round who is awaited and what that costs, what may be done now "
    "and later by whom, and whose money waits.",
)
@click.option(
    "--blobs",
    multiple=True,
    metavar="URL|DIR",
    help="With --why: where to try to fetch revealed updates; may be given several times.",
)
@json_option
def main(
    *,
    chain: Chain,
    task_id: bytes,
    number: int | None,
    explains: bool,
    blobs: tuple[str, ...],
    as_json: bool,
) -> None:
    """Show a round's phase, deadlines, roots, and who is missing."""
    if blobs and not explains:
        raise ConfigError("--blobs is for --why")
    snapshot = chain.at(chain.head())
    facts = describe(snapshot, task_id, number)
    if explains:
        stores = FirstOf([store_of(address) for address in blobs]) if blobs else None
        facts["why"] = explain(snapshot, task_id, stores)
    if as_json:
        print_json(facts)
        return
    _show(facts)
    if explains:
        click.echo()
        for line in in_lines(facts["why"]):
            click.echo(line)


def _show(facts: dict[str, Any]) -> None:
    """The facts for people."""
    click.echo(f"task      0x{facts['task'].hex()}")
    click.echo(f"round     {facts['round']} of at most {facts['rounds']}, {facts['phase']}")
    click.echo(f"now       {when(facts['time'])} (block {facts['block']})")
    if facts["next_deadline"]:
        left = facts["next_deadline"] - facts["time"]
        click.echo(f"until     {when(facts['next_deadline'])} ({left} s)")
    click.echo(f"next      {facts['next']}")
    click.echo(f"seats     {facts['seats']}, {facts['active']} active, cohort {facts['cohort']}")
    judged = f", judged by {facts['votes_needed']} votes" if facts["by_votes"] else ""
    trusting = f", trusting {facts['trusted']}" if facts["trusted"] else ""
    click.echo(f"quorum    {facts['quorum']}, rule {facts['rule']}{trusting}{judged}")
    click.echo(f"committed {len(facts['committed'])}, revealed {len(facts['revealed'])}")
    click.echo(f"included  {len(facts['included'])}, results refuted {facts['refutations']}")
    for account in facts["missing"]:
        click.echo(f"missing   {account}")
    for each in facts["unavailable"]:
        click.echo(f"{each['standing']:<10}{each['participant']}")
    for each in facts["result_flags"]:
        answer = "posted" if each["flagger"] is None else f"by {each['flagger']}"
        click.echo(f"flagged   the published {each['what']}, {answer}")
    for each in facts["votes"]:
        published = ", which is published" * each["is_published"]
        click.echo(
            f"votes     {len(each['participants'])} for 0x{each['model_root'].hex()}{published}"
        )
    for name, end in sorted(facts["deadlines"].items(), key=lambda item: item[1]):
        if end > facts["time"]:
            click.echo(f"{name:<14}ends {when(end)} ({end - facts['time']} s)")
    for name in ("base_model_root", "aggregate_root", "model_root", "task_model_root"):
        if facts[name] is not None:
            click.echo(f"{name:<16}0x{facts[name].hex()}")


if __name__ == "__main__":
    main()
