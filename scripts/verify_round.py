"""Checks finished rounds from outside: an RPC address and blob addresses are all it needs.

Replays who took part and how they were drawn, refetches every included update (from the chain
itself where it was posted), recomputes roots, norms, the rule and how the reward was divided, and
compares with the chain, and in a task by votes with what was voted for. Where asked, it audits each
verified model for static arbitrage, holds it against limits, and says what each update brings.
"""

import math
import sys
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING

import click
import numpy as np
from numpy.typing import NDArray

from protocol import rounds
from protocol.blobs import BlobStore, FirstOf, Remembering
from protocol.chain.gateway import Chain, Snapshot
from protocol.chain.posted import PostedStore
from protocol.errors import BlobError, ConfigError, RangeError, RuleError, VerificationFailed
from protocol.exit_codes import ExitCode
from protocol.recompute import Combined, check_published, fetch_updates, recompute_round
from protocol.state import Phase, RoundState
from protocol.task import ZERO_ADDRESS, TaskParams
from scripts.command import (
    json_option,
    on_served_task,
    print_json,
    reports_failures,
    store_of,
)
from scripts.rewards import check_rewards
from scripts.selection import Selection, replay

if TYPE_CHECKING:
    from node.evaluation.audit import Audit
    from scripts.auditing import Auditor

STATUS_OF = {
    "verified": ExitCode.OK,
    "void": ExitCode.OK,
    "running": ExitCode.OK,
    "unavailable": ExitCode.BLOB,
    "wrong": ExitCode.VERIFICATION,
}


@dataclass(frozen=True)
class Tally:
    """Who voted for one result of a round."""

    aggregate_root: str
    model_root: str
    participants: tuple[str, ...]
    is_published: bool
    is_right: bool | None
    """Whether recomputing gives it; None where that cannot be done."""


@dataclass(frozen=True)
class Brought:
    """The static arbitrage that one update brings."""

    participant: str
    more: float | None
    """By how much greater a share of points it breaks a condition at than its base model does; None
    where one of the two cannot be had or judged."""
    is_worthless: bool
    """So much that desks which score updates give it nothing."""


@dataclass(frozen=True)
class Verdict:
    """What became of one round under examination."""

    round: int
    verdict: str
    """One of verified, void, running, unavailable, wrong."""
    updates: int
    """How many entered the result."""
    model_root: str
    why: str
    rewards: str
    """Of a final round: distributed, or waiting; else nothing."""
    selection: Selection
    votes: tuple[Tally, ...] = ()
    """In a task by votes, for each result that got any."""
    arbitrage: "Audit | None" = None
    """Of a verified round's model, where that was asked for."""
    beyond_limits: tuple[str, ...] = ()
    """Why that model is not accepted."""
    brought: tuple[Brought, ...] = ()
    """By each included update of a round with a result, where an audit was asked for."""


Judgement = tuple[str, str, NDArray[np.int32] | None]
"""A verdict, why, and of a verified round the model."""


class Verifier:
    """Replays a task's rounds against one snapshot of the chain."""

    def __init__(
        self,
        snapshot: Snapshot,
        task_id: bytes,
        blobs: BlobStore,
        auditor: "Auditor | None" = None,
    ) -> None:
        self._snapshot = snapshot
        self._task_id = task_id
        self._params: TaskParams = snapshot.task_params(task_id)
        posted = PostedStore(snapshot.chain, task_id, self._params)
        self._stores = (blobs, posted)
        self._blobs = Remembering(self._stores)
        self._auditor = auditor
        self._latest = snapshot.task_state(task_id).round
        self._recomputed: tuple[int, Combined] | None = None

    def check(self, chosen: str) -> list[Verdict]:
        """Verdicts of the round with this number, or of "all". Raises: ConfigError."""
        if chosen == "all":
            return [self._verdict(number) for number in range(1, self._latest + 1)]
        if not chosen.isdecimal() or not 1 <= int(chosen) <= self._latest:
            raise ConfigError(
                f"--round is a number from 1 to {self._latest} or all; found {chosen}"
            )
        return [self._verdict(int(chosen))]

    def _verdict(self, number: int) -> Verdict:
        # What one round needs is fetched once, and no longer kept than until the next one.
        self._blobs = Remembering(self._stores)
        state = self._snapshot.round_state(self._task_id, number)
        phase = rounds.phase(self._params, state, self._snapshot.block.timestamp)
        selection, arbitrage = Selection(), None
        brought: tuple[Brought, ...] = ()
        try:
            selection = replay(self._snapshot, self._task_id, number)
        except VerificationFailed as failure:
            verdict, why = "wrong", str(failure)
        else:
            verdict, why, model = self._judged(number, state, phase)
            if self._auditor is not None and phase in (Phase.CHALLENGE, Phase.FINAL):
                arbitrage = None if model is None else self._auditor.of_model(model)
                brought = self._brought(number, self._auditor)
        is_void = phase is Phase.VOID
        root = "0x" + state.model_root.hex() if state.published_at and not is_void else ""
        rewards = ""
        if phase is Phase.FINAL:
            rewards = "distributed" if state.distributed else "waiting"
        return Verdict(
            number,
            verdict,
            state.included,
            root,
            why,
            rewards,
            selection,
            self._tallies(number, state),
            arbitrage,
            () if arbitrage is None or self._auditor is None else self._auditor.beyond(arbitrage),
            brought,
        )

    def _brought(self, number: int, auditor: "Auditor") -> tuple[Brought, ...]:
        """What the included updates bring, as far as they and the base model can be had."""
        included = self._snapshot.included(self._task_id, number)
        more = dict.fromkeys((update.participant for update in included), math.nan)
        fetched = {}
        for update in included:
            with suppress(BlobError, VerificationFailed):
                (fetched[update.participant],) = fetch_updates(self._params, [update], self._blobs)
        with suppress(BlobError):
            base = self._base(number)
            if fetched:
                found = auditor.of_updates(base, np.stack(list(fetched.values())))
                more.update(zip(fetched, map(float, found), strict=True))
        return tuple(
            Brought(who, None if math.isnan(share) else share, auditor.is_worthless(share))
            for who, share in more.items()
        )

    def _judged(self, number: int, state: RoundState, phase: Phase) -> Judgement:
        if phase is Phase.VOID:
            return "void", _why_void(self._params, state), None
        if phase in (Phase.CHALLENGE, Phase.FINAL):
            return self._judge(number, state)
        return "running", f"in phase {phase.name.lower()}", None

    def _judge(self, number: int, state: RoundState) -> Judgement:
        try:
            self._check_base(number)
            combined = self._combined(number)
            check_published(combined, state)
            if state.distributed:
                check_rewards(self._snapshot, self._task_id, number)
        except (VerificationFailed, RuleError, RangeError) as failure:
            return "wrong", str(failure), None
        except BlobError as missing:
            return "unavailable", str(missing), None
        return "verified", "", combined.model

    def _combined(self, number: int) -> Combined:
        """What the included updates of a round give. Raises: as `recompute_round`."""
        if self._recomputed is None or self._recomputed[0] != number:
            included = self._snapshot.included(self._task_id, number)
            base = self._base(number)
            found = recompute_round(self._params, base, included, self._blobs)
            self._recomputed = (number, found)
        return self._recomputed[1]

    def _tallies(self, number: int, state: RoundState) -> tuple[Tally, ...]:
        if not self._params.by_votes:
            return ()
        votes, right = self._snapshot.votes(self._task_id, number), None
        if votes:
            with suppress(VerificationFailed, RuleError, RangeError, BlobError):
                right = self._combined(number).roots
        return tuple(
            Tally(
                "0x" + roots.aggregate_root.hex(),
                "0x" + roots.model_root.hex(),
                participants,
                roots.are_published(state),
                None if right is None else roots == right,
            )
            for roots, participants in votes.items()
        )

    def _check_base(self, number: int) -> None:
        """A round must start from the latest final model before it."""
        expected = self._params.genesis_model_root
        for earlier in range(number - 1, 0, -1):
            state = self._snapshot.round_state(self._task_id, earlier)
            if state.published_at and not rounds.lacks_votes(self._params, state):
                expected = state.model_root
                break
        found = self._snapshot.base_model_root(self._task_id, number)
        if found != expected:
            raise VerificationFailed(
                f"base model: the rounds before lead to 0x{expected.hex()}, "
                f"the round started from 0x{found.hex()}"
            )

    def _base(self, number: int) -> NDArray[np.int32]:
        root = self._snapshot.base_model_root(self._task_id, number)
        blob = self._blobs.get(
            root, chunk_length=self._params.chunk_length, shift=self._params.shift
        )
        return blob.values.astype(np.int32)


def _why_void(params: TaskParams, state: RoundState) -> str:
    counted = f"{state.revealed} updates revealed, {state.included} included"
    if state.included < params.quorum:
        return f"{counted}; the quorum is {params.quorum}"
    if state.published_at:
        voted = f"{state.votes} voted for the published result"
        if state.votes < params.votes_needed:
            return f"{counted}; {voted}, {params.votes_needed} are needed"
        return f"{counted}; {voted}, {state.most_votes} for another one"
    if state.refutations:
        return f"{counted}; {state.refutations} results refuted, no right one published"
    return f"{counted}; nothing published in time"


@click.command()
@reports_failures
@on_served_task
@click.option(
    "--blobs",
    required=True,
    multiple=True,
    metavar="URL|DIR",
    help="Where blobs are served, or a folder of them; may be given several times.",
)
@click.option(
    "--round", "chosen", default="all", show_default=True, help="A round's number, or all."
)
@click.option(
    "--audit",
    "market_data",
    metavar="DIR|synthetic",
    help="Audit each verified model on the panels of these quotes.",
)
@click.option(
    "--limit",
    "limits",
    multiple=True,
    metavar="NAME=SHARE",
    help="With --audit: accept a model up to another share of points, such as calendar=0.01.",
)
@json_option
def main(
    *,
    chain: Chain,
    task_id: bytes,
    blobs: tuple[str, ...],
    chosen: str,
    market_data: str | None,
    limits: tuple[str, ...],
    as_json: bool,
) -> None:
    """Recompute finished rounds and compare them with the chain."""
    stores = FirstOf([store_of(address) for address in blobs])
    snapshot = chain.at(chain.head())
    params = snapshot.task_params(task_id)
    auditor = None
    if market_data is not None:
        # Models are heavy to load; nothing but the audit needs them here.
        from scripts.auditing import auditor_for, limits_of  # noqa: PLC0415

        auditor = auditor_for(params, market_data, limits_of(limits))
    elif limits:
        raise ConfigError("--limit is for an audit: give --audit too")
    verdicts = Verifier(snapshot, task_id, stores, auditor).check(chosen)
    rule = params.rule_in_words
    needed = params.votes_needed if params.by_votes else 0
    if as_json:
        judged = [asdict(verdict) for verdict in verdicts]
        print_json({"task": task_id, "rule": rule, "votes_needed": needed, "rounds": judged})
    else:
        trusting = f", trusting {params.trusted}" * (params.trusted != ZERO_ADDRESS)
        judged_by = f", judged by {needed} votes" * params.by_votes
        click.echo(f"rule        {rule}{trusting}{judged_by}")
        if not verdicts:
            click.echo("no round was opened yet")
    for verdict in () if as_json else verdicts:
        click.echo(f"round {verdict.round:>4}  {verdict.verdict:<11}  {verdict.model_root or '-'}")
        click.echo(f"            {_in_words(verdict.selection)}")
        if verdict.rewards:
            click.echo(f"            reward {verdict.rewards}")
        for tally in verdict.votes:
            click.echo(f"            {_counted(tally)}")
        if verdict.arbitrage:
            for line in _audited(verdict.arbitrage, verdict.beyond_limits):
                click.echo(f"            {line}")
        for update in verdict.brought:
            click.echo(f"            {_more(update)}")
        if verdict.why:
            click.echo(f"            {verdict.why}")
    sys.exit(_status(verdicts))


def _status(verdicts: Sequence[Verdict]) -> ExitCode:
    """What is wrong on the chain counts before a model that is right and not accepted."""
    worst = max((STATUS_OF[verdict.verdict] for verdict in verdicts), default=ExitCode.OK)
    is_beyond = any(verdict.beyond_limits for verdict in verdicts)
    return ExitCode.ARBITRAGE if worst is ExitCode.OK and is_beyond else worst


def _audited(found: "Audit", beyond: Sequence[str]) -> tuple[str, ...]:
    near = f"calendar {found.calendar:.3%}, butterfly {found.butterfly:.3%}, wings"
    far = f"calendar {found.wide_calendar:.3%}, butterfly {found.wide_butterfly:.3%}"
    return (
        f"arbitrage: {near} {found.wings:.3%} of {found.points} points of {found.panels} panels",
        f"           farther out: {far} of {found.wide_points} points",
        f"           not accepted: {'; '.join(beyond)}" if beyond else "           accepted",
    )


def _more(update: Brought) -> str:
    if update.more is None:
        return f"update of {update.participant}: cannot be judged for arbitrage"
    scored = ", which scores 0" * update.is_worthless
    return f"update of {update.participant}: arbitrage at {update.more:+.2%} of points{scored}"


def _counted(tally: Tally) -> str:
    found = {True: "is right", False: "is wrong", None: "cannot be recomputed"}[tally.is_right]
    published = ", published" * tally.is_published
    voters = ", ".join(tally.participants)
    return f"{len(tally.participants)} votes for {tally.model_root}{published}, {found}: {voters}"


def _in_words(selection: Selection) -> str:
    counts = (
        f"{len(selection.seated)} seated, {len(selection.drawn)} drawn, "
        f"{len(selection.committed)} committed, "
        f"{len(selection.revealed)} revealed"
    )
    return f"{counts}, excluded: {', '.join(selection.excluded) or 'none'}"


if __name__ == "__main__":
    main()
