"""Why a task stands where it stands: who is awaited and what that costs, what comes when, whose
money waits.
"""

from collections.abc import Iterator, Sequence
from typing import Any

from protocol import rounds
from protocol.blobs import BlobStore
from protocol.chain.gateway import Snapshot
from protocol.errors import BlobError, VerificationFailed
from protocol.recompute import RevealedUpdate, fetch_updates
from protocol.state import Phase, Published, RoundState, Seat, TaskState
from protocol.task import ZERO_ADDRESS, TaskParams
from scripts.command import when
from scripts.due import due
from scripts.money import in_words

ANYBODY = "anybody"


def explain(snapshot: Snapshot, task_id: bytes, blobs: BlobStore | None = None) -> dict[str, Any]:
    """The latest round's answer to all three questions, JSON-ready.

    With `blobs` it also says whose update cannot be fetched from there.
    """
    params, task = snapshot.task_params(task_id), snapshot.task_state(task_id)
    state = snapshot.round_state(task_id, task.round) if task.round else RoundState()
    now = snapshot.block.timestamp
    return {
        "draw": _draw(snapshot, task_id, params, task),
        "awaited": _awaited(snapshot, task_id, state, blobs),
        "due": [{"function": each.function, "what": each.what} for each in due(snapshot, task_id)],
        "coming": [
            {"time": time, "what": what, "who": who}
            for time, what, who in sorted(
                _coming(params, task, state, now), key=lambda each: each[0]
            )
            if time > now
        ],
        "money": _money(snapshot, task_id, params, task),
    }


# ----------------------------------------------------------------------------------------- awaited


def _draw(
    snapshot: Snapshot, task_id: bytes, params: TaskParams, task: TaskState
) -> dict[str, Any] | None:
    """Whom the latest round took, if it draws."""
    if not task.draws:
        return None
    return {
        "seed_source": params.seed_source,
        "opened_block": task.opened_block,
        "awaits_seed": rounds.is_undrawn(task),
        "taken": taken(snapshot, task_id),
    }


def taken(snapshot: Snapshot, task_id: bytes) -> list[str]:
    """Whose seat may commit in the latest round."""
    task = snapshot.task_state(task_id)
    return [
        participant
        for participant in snapshot.seated(task_id)
        if rounds.may_commit(task, snapshot.seat(task_id, participant), participant)
    ]


def _awaited(
    snapshot: Snapshot, task_id: bytes, state: RoundState, blobs: BlobStore | None
) -> list[dict[str, Any]]:
    """Who owes the latest round something, and what he loses who never does it."""
    params, task = snapshot.task_params(task_id), snapshot.task_state(task_id)
    phase = rounds.phase(params, state, snapshot.block.timestamp)
    found: list[dict[str, Any]] = []
    if phase in {Phase.SELECTION, Phase.COMMIT}:
        committed = set(snapshot.committed(task_id, task.round))
        missing = [who for who in taken(snapshot, task_id) if who not in committed]
        found += [_one(who, "commit", "0", "has no part in this round") for who in missing]
    if phase is Phase.REVEAL and state.revealed < params.cohort:
        found += [
            _owing_reveal(params, who, seat)
            for who in snapshot.committed(task_id, task.round)
            if (seat := snapshot.seat(task_id, who)).committed_in(task.round)
            and not seat.revealed_in(task.round)
        ]
    found += [_owing_slice(snapshot, task_id, who) for who in snapshot.withheld(task_id)]
    if phase is Phase.AVAILABILITY:
        found += _owing_bytes(snapshot, task_id, state, blobs)
    if phase is Phase.CHALLENGE:
        found += _owing_result(snapshot, task_id, params, state)
    found += _owing_votes(snapshot, task_id, params, state)
    found += _owing_scores(snapshot, task_id, params, state)
    found += [
        _suspended(params, who, seat)
        for who in snapshot.seated(task_id)
        if (seat := snapshot.seat(task_id, who)).suspended
    ]
    return found


def _one(participant: str, lacks: str, loses_wei: str, then: str) -> dict[str, Any]:
    return {"participant": participant, "lacks": lacks, "loses_wei": loses_wei, "then": then}


def _owing_reveal(params: TaskParams, participant: str, seat: Seat) -> dict[str, Any]:
    loses_wei = min(params.slice_wei, seat.stake_wei)
    return _one(participant, "reveal", str(loses_wei), _after_a_slice(params, seat, loses_wei))


def _after_a_slice(params: TaskParams, seat: Seat, loses_wei: int) -> str:
    missed = f"this is number {seat.missed + 1} that it did not open"
    if not loses_wei:
        return missed
    if seat.missed + 1 > params.max_missed:
        return f"its seat is suspended for good; {missed}, of {params.max_missed} forgiven"
    return f"its seat is suspended until it is restored; {missed}, of {params.max_missed} forgiven"


def _owing_slice(snapshot: Snapshot, task_id: bytes, participant: str) -> dict[str, Any]:
    params, seat = snapshot.task_params(task_id), snapshot.seat(task_id, participant)
    loses_wei = min(params.slice_wei, seat.stake_wei)
    then = f"whoever slashes it gets half; {_after_a_slice(params, seat, loses_wei)}"
    return _one(participant, f"reveal of round {seat.committed_round}", str(loses_wei), then)


def _owing_bytes(
    snapshot: Snapshot, task_id: bytes, state: RoundState, blobs: BlobStore | None
) -> Iterator[dict[str, Any]]:
    then = "its update is excluded, and gets no reward"
    params = snapshot.task_params(task_id)
    revealed = snapshot.revealed(task_id, snapshot.task_state(task_id).round)
    for index, update in enumerate(revealed):
        if state.is_unavailable(index):
            yield _one(update.participant, "post of its flagged update", "0", then)
        elif blobs is not None and not _can_be_had(params, update, blobs):
            yield _one(update.participant, "bytes of its update", "0", f"if flagged, {then}")


def _can_be_had(params: TaskParams, update: RevealedUpdate, blobs: BlobStore) -> bool:
    try:
        fetch_updates(params, [update], blobs)
    except (BlobError, VerificationFailed):
        return False
    return True


def _owing_result(
    snapshot: Snapshot, task_id: bytes, params: TaskParams, state: RoundState
) -> Iterator[dict[str, Any]]:
    for what in Published:
        unanswered = snapshot.result_flag(task_id, what).flagger != ZERO_ADDRESS
        if state.is_flagged(what) and unanswered:
            lacks = f"post of the flagged {what.name.lower()}"
            then = "its result is refuted, and the bond lost"
            yield _one(state.publisher, lacks, str(params.bond_wei), then)


def _owing_votes(
    snapshot: Snapshot, task_id: bytes, params: TaskParams, state: RoundState
) -> Iterator[dict[str, Any]]:
    now, number = snapshot.block.timestamp, snapshot.task_state(task_id).round
    cast = snapshot.votes(task_id, number).values() if params.by_votes else ()
    if max(map(len, cast), default=0) >= params.votes_needed:
        return
    then = f"with fewer than {params.votes_needed} votes for what is published the round is void"
    for update in snapshot.included(task_id, number):
        seat = snapshot.seat(task_id, update.participant)
        if rounds.can_vote(params, state, seat, number, now):
            yield _one(update.participant, "vote", "0", then)


def _owing_scores(
    snapshot: Snapshot, task_id: bytes, params: TaskParams, state: RoundState
) -> Iterator[dict[str, Any]]:
    now, number = snapshot.block.timestamp, snapshot.task_state(task_id).round
    commits = rounds.can_commit_scores(params, state, now)
    reveals = rounds.can_reveal_scores(params, state, now)
    if not commits and not reveals:
        return
    then = "unless more than half of the included give scores, all shares are equal"
    for update in snapshot.included(task_id, number):
        seat = snapshot.seat(task_id, update.participant)
        has_committed = seat.scored_round == number
        if commits and not has_committed:
            yield _one(update.participant, "commitment to scores", "0", then)
        if reveals and has_committed and any(seat.score_commitment):
            yield _one(update.participant, "scores", "0", then)


def _suspended(params: TaskParams, participant: str, seat: Seat) -> dict[str, Any]:
    if seat.missed > params.max_missed:
        then = "it serves no round, and may leave with its stake"
        return _one(participant, "a seat that can be restored", "0", then)
    cost = in_words(params.stake_wei - seat.stake_wei, params.currency)
    return _one(participant, "restore", "0", f"it serves no round; {cost} restores it")


# ------------------------------------------------------------------------------------------ coming


def _coming(
    params: TaskParams, task: TaskState, state: RoundState, now: int
) -> Iterator[tuple[int, str, str | None]]:
    """What may be done from which time on and by whom, or just happens then."""
    if not rounds.is_exhausted(params, task, now):
        yield params.closes_at, "no round opens any more; closeTask, once none runs", ANYBODY
    if rounds.phase(params, state, now) in rounds.WITHOUT_RUNNING_ROUND:
        return
    ends = rounds.deadlines(params, state)
    if rounds.is_undrawn(task):
        yield ends.commit, "unless drawSeats was called, nobody has committed", None
    yield ends.selection, "commitUpdate", "whom the round takes"
    yield ends.commit, "revealUpdate", "whoever committed"
    yield ends.reveal, f"with fewer than {params.quorum} reveals the round is void", None
    yield ends.reveal, "slashWithheld, of whoever did not open its commitment", ANYBODY
    if params.availability_seconds:
        yield ends.reveal, "flagUpdate, with a deposit; postUpdate of what is flagged", ANYBODY
        yield ends.flag_update, "no update can be flagged any more", None
        yield ends.availability, "what is flagged and not posted is excluded", None
    if params.score_seconds:
        yield ends.availability, "commitScores", "whoever revealed"
        yield ends.score_commit, "revealScores", "whoever committed to scores"
        yield ends.score_reveal, "no scores can be given any more", None
    yield from _coming_of_a_result(params, state)


def _coming_of_a_result(
    params: TaskParams, state: RoundState
) -> Iterator[tuple[int, str, str | None]]:
    ends = rounds.deadlines(params, state)
    if state.published_at:
        yield ends.flag_result, "the result cannot be flagged any more", None
        yield ends.post_result, "refuteUnavailable, of what is flagged and not posted", ANYBODY
        if rounds.lacks_votes(params, state):
            stands_by = rounds.votes_to_stand(params, state)
            needed = f"{stands_by} votes for the result, of which {state.votes} are cast"
            yield ends.challenge, f"without {needed}, the round is void: voidRound", ANYBODY
            return
        yield ends.challenge, "the result is final: finalise and distribute", ANYBODY
        return
    aggregator = ANYBODY if params.aggregator == ZERO_ADDRESS else params.aggregator
    yield max(ends.availability, state.restarted_at), "publish, with the bond", aggregator
    if aggregator != ANYBODY:
        yield ends.aggregator, "publish, with the bond", ANYBODY
    yield ends.aggregate, "unless a result was published the round is void", None


# ------------------------------------------------------------------------------------------- money


def _money(
    snapshot: Snapshot, task_id: bytes, params: TaskParams, task: TaskState
) -> dict[str, Any]:
    """Whose money waits for what, in the task's currency; amounts are text: they pass 2^53."""
    currency = params.currency
    accounts = _accounts(snapshot, task_id, task)
    return {
        "currency": currency,
        "unspent_wei": str(task.funds_wei),
        "undistributed": [
            {"round": number, "reward_wei": str(params.reward_wei)}
            for number in snapshot.undistributed(task_id)
        ],
        "unclaimed": _owed(accounts, [_reward(snapshot, task_id, who) for who in accounts]),
        "credits": _owed(accounts, [snapshot.credit(currency, who) for who in accounts]),
        "burned_wei": str(snapshot.burned_wei(currency)),
    }


def _accounts(snapshot: Snapshot, task_id: bytes, task: TaskState) -> tuple[str, ...]:
    """Everybody whom this task may owe something, in order of appearance."""
    found = {task.sponsor: None}
    for event in snapshot.chain.events.until(snapshot.block, (None, task_id)):
        for role in ("participant", "publisher", "flagger", "challenger", "prover"):
            found[event.arguments.get(role, ZERO_ADDRESS)] = None
    found.pop(ZERO_ADDRESS)
    return tuple(found)


def _reward(snapshot: Snapshot, task_id: bytes, account: str) -> int:
    return snapshot.seat(task_id, account).reward_wei


def _owed(accounts: Sequence[str], amounts: Sequence[int]) -> list[dict[str, str]]:
    return [
        {"account": account, "amount_wei": str(amount)}
        for account, amount in zip(accounts, amounts, strict=True)
        if amount
    ]


# ---------------------------------------------------------------------------------------- in words


def in_lines(why: dict[str, Any]) -> Iterator[str]:
    """The explanation for people."""
    currency = why["money"]["currency"]
    draw = why["draw"]
    if draw is not None and draw["awaits_seed"]:
        yield f"draw      awaits what {draw['seed_source']} says of block {draw['opened_block']}"
    elif draw is not None:
        yield f"draw      took {len(draw['taken'])}"
        yield from (f"drawn     {who}" for who in draw["taken"])
    for each in why["awaited"]:
        loses = int(each["loses_wei"])
        cost = f"loses {in_words(loses, currency)}: " if loses else ""
        yield f"awaited   {each['lacks']} of {each['participant']}; else {cost}{each['then']}"
    yield from (f"due now   {each['what']}: {each['function']}, by anybody" for each in why["due"])
    for each in why["coming"]:
        by = "" if each["who"] is None else f", by {each['who']}"
        yield f"from      {when(each['time'])}: {each['what']}{by}"
    yield from _money_in_lines(why["money"])


def _money_in_lines(money: dict[str, Any]) -> Iterator[str]:
    def amount(wei: str) -> str:
        return in_words(int(wei), money["currency"])

    yield f"unspent   {amount(money['unspent_wei'])}"
    for each in money["undistributed"]:
        yield f"waits     {amount(each['reward_wei'])}, the reward of round {each['round']}"
    for each in money["unclaimed"]:
        yield f"unclaimed {amount(each['amount_wei'])} of {each['account']}"
    for each in money["credits"]:
        yield f"credit    {amount(each['amount_wei'])} of {each['account']}"
    if money["burned_wei"] != "0":
        yield f"burned    {amount(money['burned_wei'])} in the whole contract"
