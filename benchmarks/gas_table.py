"""What rounds and calls cost in gas, and the tables of it as Markdown."""

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from itertools import product
from pathlib import Path
from typing import Final, Literal, Self, get_args

from benchmarks.gas_meter import Spent

ROOT: Final = Path(__file__).parents[1]
FIGURES: Final = ROOT / "docs" / "gas.json"
"""What was measured last."""
SNAPSHOTS: Final = ROOT / "contracts" / "snapshots"
STEADY_ROUND: Final = 6
"""By then every slot that rounds share was written before."""
Way = Literal["direct", "batched"]
"""Everybody sends its own, or a relayer sends all in one transaction."""
When = Literal["first", "steady"]
WAYS: Final[tuple[Way, ...]] = get_args(Way)
WHENS: Final[tuple[When, ...]] = get_args(When)
PEERS: Final[Mapping[str, Mapping[int, int]]] = {
    "DIN": {3: 4_970_000, 60: 70_400_000},
    "Delta": {3: 3_000_000, 10: 22_300_000},
    "blocklearning": {3: 1_450_000, 10: 3_160_000},
}
"""A whole round by number of participants, as replayed from the projects' own repositories."""
DISPUTES: Final[Mapping[str, str]] = {
    "challenge_n8_c256": "a wrong aggregate of 8 updates",
    "challenge_n16_c256": "of 16",
    "challenge_n32_c256": "of 32",
    "challenge_n64_c256": "of 64",
    "challenge_n64_c512": "of 64, chunks of 512, depth 22",
    "challenge_median_n8_c256": "median of 8 updates",
    "challenge_median_n16_c256": "of 16",
    "challenge_median_n32_c256": "of 32",
    "challenge_median_n64_c256": "of 64",
    "challenge_clipped_n8_c256": "clipped mean of 8 updates, all longer than the norm",
    "challenge_clipped_n16_c256": "of 16",
    "challenge_clipped_n32_c256": "of 32",
    "challenge_clipped_n64_c256": "of 64",
    "challenge_clipped_n64_c512": "of 64, chunks of 512, depth 22",
    "challenge_centered_n8_c256": "centered clipping of 8 updates",
    "challenge_centered_n64_c256": "of 64",
    "challenge_model": "a wrong model, any number",
    "challenge_model_unsealed": "the same, not sealed",
    "challenge_norm_first_credit": "a false norm among 8 updates",
    "challenge_norm_n64": "among 64",
    "challenge_norm": "among 8, by a sender who has a credit already",
    "challenge_arc_nnm_n10": "ARC, NNM and trimmed mean of 10 updates, depth 5",
    "challenge_arc_nnm_n32": "of 32",
    "challenge_arc_nnm_n64_c512": "of 64, chunks of 512, depth 4: the dearest aggregate",
    "challenge_geometric_median_n10": "ARC and geometric median of 10 updates, depth 5",
    "challenge_geometric_median_n64": "of 64, depth 4",
    "challenge_fltrust_n10": "FLTrust of 10 updates, depth 5",
    "challenge_fltrust_n64": "of 64, depth 4",
    "challenge_product": "a wrong product in the table, 10 updates",
    "challenge_choice_n10": "a wrong choice of neighbours among 10",
    "challenge_choice_n32": "among 32",
    "challenge_choice_n64": "among 64",
    "challenge_choice_geometric_median_n10": "a wrong weight of a geometric median of 10",
    "challenge_choice_geometric_median_n32": "of 32",
    "challenge_choice_geometric_median_n64": "of 64: the dearest there is",
    "challenge_choice_fltrust_n10": "a wrong weight of FLTrust among 10",
    "challenge_choice_fltrust_n64": "among 64",
    "post_update_10000": "posting a flagged update of 10,000 coordinates",
    "flag_update": "flagging an update",
    "seal_challenge": "sealing a challenge",
    "claim_award": "claiming the award of a proof that was not sealed",
}
DISPUTE_GOALS: Final[Sequence[tuple[str, str, int]]] = (
    ("a wrong trimmed mean of 8 updates", "challenge_n8_c256", 400_000),
    ("of 16", "challenge_n16_c256", 760_000),
    ("of 32", "challenge_n32_c256", 1_800_000),
    ("of 64", "challenge_n64_c256", 4_200_000),
    ("a false norm among 8, the sender has a credit", "challenge_norm", 120_000),
    ("the same, its first credit", "challenge_norm_first_credit", 120_000),
    ("among 64, its first credit", "challenge_norm_n64", 120_000),
    ("posting 10,000 coordinates", "post_update_10000", 900_000),
)
"""What is aimed at, the snapshot of it, and the most gas it should take."""
CALLS: Final[Mapping[str, str]] = {
    "commitUpdate drawn": "`commitUpdate` where seats are drawn, the seat's first",
    "distribute_n10": "`distribute` among 10, finalising too",
    "distribute_n64": "`distribute` among 64, finalising too",
    "distribute_scores_n64": "`distribute` among 64 by scores, finalising too",
}
"""Those that are not just a function's name."""
VOTES: Final[Mapping[str, int]] = {
    "vote steady": 1,
    "votes_relayed_n10": 10,
    "votes_relayed_n64": 64,
}
"""How many votes a snapshot's transaction has."""
_TOTALS: Final = re.compile(r"round_|commit_reveal_|votes_relayed_")
"""Snapshots that are no call, or have a table of their own."""


@dataclass(frozen=True)
class RoundGas:
    """Every transaction of one round."""

    participants: int
    open_round: int
    commits: int
    reveals: int
    publish: int
    finalise: int
    """By itself; `distribute` does it too, so it is not a part of the whole."""
    distribute: int

    @property
    def per_update(self) -> int:
        """One participant's commit and reveal."""
        return (self.commits + self.reveals) // self.participants

    @property
    def without_distribution(self) -> int:
        """With the round's own settlement."""
        return self.whole - self.distribute + self.finalise

    @property
    def whole(self) -> int:
        return self.open_round + self.commits + self.reveals + self.publish + self.distribute


@dataclass(frozen=True)
class Measured:
    """Rounds by number of participants, and where a commit's and a reveal's gas goes."""

    rounds: Mapping[int, Mapping[Way, Mapping[When, RoundGas]]]
    spent: Mapping[str, Spent]

    @classmethod
    def read(cls, path: Path = FIGURES) -> Self:
        found = json.loads(path.read_bytes())
        return cls(
            {
                int(count): {
                    way: {when: RoundGas(**gas) for when, gas in by_when.items()}
                    for way, by_when in by_way.items()
                }
                for count, by_way in found["rounds"].items()
            },
            {call: Spent(**spent) for call, spent in found["spent"].items()},
        )

    def write(self, path: Path) -> None:
        path.write_text(json.dumps(asdict(self), indent=2) + "\n", encoding="ascii")


@dataclass(frozen=True)
class Snapshots:
    """The committed gas of single calls, by name."""

    calls: Mapping[str, int]
    disputes: Mapping[str, int]

    @classmethod
    def read(cls, folder: Path = SNAPSHOTS) -> Self:
        return cls(*(_gas_in(folder / name) for name in ("round.json", "challenge.json")))


def tables(measured: Measured, snapshots: Snapshots) -> list[str]:
    """Every table of the page whose figures there are."""
    found = [table_of_goals(measured), table_of_dispute_goals(snapshots.disputes)]
    found += [table_of_rounds(measured), table_of_peers(measured)]
    if measured.spent:
        found.append(table_of_spending(measured.spent))
    found += [table_of_votes(snapshots.calls), table_of_calls(snapshots.calls)]
    return [*found, table_of_disputes(snapshots.disputes)]


def renewed(page: str, found: Sequence[str]) -> str:
    """The page with these tables in place of those that have the same heads.

    Raises: ValueError if there is not exactly one of each.
    """
    for table in found:
        head = table.splitlines()[0]
        older = re.compile(rf"^{re.escape(head)}\n(?:\|.*\n?)*", re.MULTILINE)
        page, count = older.subn(lambda _, new=table: f"{new}\n", page)
        if count != 1:
            raise ValueError(f"wanted one table that begins with {head!r}, found {count}")
    return page


def table_of_goals(measured: Measured) -> str:
    """What was aimed at, where there are enough participants to tell."""
    goals = (
        (64, "a commit and a reveal, direct", 85_000, "direct", "per_update"),
        (64, "a commit and a reveal, batched with 63 others", 25_000, "batched", "per_update"),
        (10, "a round of 10, direct", 1_200_000, "direct", "whole"),
        (64, "a round of 64, batched", 3_000_000, "batched", "whole"),
    )
    lines = _head("goal, steady rounds", ["below", "measured", "met"])
    for count, name, limit, way, what in goals:
        if count in measured.rounds:
            gas = getattr(measured.rounds[count][way]["steady"], what)
            lines.append(_goal(name, limit, gas))
    return "\n".join(lines)


def table_of_dispute_goals(disputes: Mapping[str, int]) -> str:
    """What was aimed at for one transaction."""
    lines = _head("goal, one dispute", ["below", "measured", "met"])
    return "\n".join(
        [*lines, *(_goal(name, limit, disputes[key]) for name, key, limit in DISPUTE_GOALS)]
    )


def table_of_rounds(measured: Measured) -> str:
    """What a round costs, each participant's part and as a whole."""
    columns = [
        *("commit", "reveal", "both", "openRound", "publish", "distribute"),
        *("whole round", "without distribution", "whole, a participant"),
    ]
    lines = _head("participants", ["", *columns])
    for way, when in product(WAYS, WHENS):
        for count, by_way in measured.rounds.items():
            gas = by_way[way][when]
            figures = (
                *(gas.commits // count, gas.reveals // count, gas.per_update),
                *(gas.open_round, gas.publish, gas.distribute),
                *(gas.whole, gas.without_distribution, gas.whole // count),
            )
            cells = [f"{way}, {when}", *(f"{figure:,}" for figure in figures)]
            lines.append(_row(str(count), cells))
    return "\n".join(lines)


def table_of_peers(measured: Measured) -> str:
    """Whole steady rounds of others, beside those of as many participants here or more."""
    lines = _head("whole round", ["participants", "gas", "direct", "batched"])
    for peer, figures in PEERS.items():
        for count, gas in figures.items():
            ours = min((own for own in measured.rounds if own >= count), default=None)
            if ours is None:
                continue
            shown = [f"{measured.rounds[ours][way]['steady'].whole:,}" for way in WAYS]
            if ours != count:
                shown = [f"{cell} with {ours}" for cell in shown]
            lines.append(_row(peer, [str(count), f"{gas:,}", *shown]))
    return "\n".join(lines)


def table_of_spending(spent: Mapping[str, Spent]) -> str:
    """Where the gas of one participant's commit and reveal goes."""
    lines = _head("gas, a participant", list(spent))
    for kind in dict.fromkeys(kind for each in spent.values() for kind in each.gas):
        gas = (each.gas.get(kind) for each in spent.values())
        lines.append(_row(kind, [f"{units:,}" if units else "" for units in gas]))
    whole = (sum(each.gas.values()) for each in spent.values())
    lines.append(_row("whole", [f"{units:,}" for units in whole]))
    for name, what in (("slots touched", "slots_touched"), ("of these written", "slots_written")):
        lines.append(_row(name, [f"{getattr(each, what):g}" for each in spent.values()]))
    return "\n".join(lines)


def table_of_votes(calls: Mapping[str, int]) -> str:
    """Votes for one result in one transaction, and what each comes to."""
    lines = _head("votes", ["gas", "a vote"])
    for name, count in VOTES.items():
        way = "one, direct" if count == 1 else f"{count}, relayed"
        lines.append(_row(way, [f"{calls[name]:,}", f"{calls[name] // count:,}"]))
    return "\n".join(lines)


def table_of_calls(calls: Mapping[str, int]) -> str:
    """Each function's transaction; those of a round in the first and in the sixth."""
    lines = _head("transaction", ["gas", "in the first round"])
    for name, gas in sorted(calls.items(), key=lambda call: call[0].removesuffix(" steady")):
        call, _, when = name.partition(" ")
        if _TOTALS.match(name) or when == "first":
            continue
        first = calls.get(f"{call} first") if when == "steady" else None
        shown = CALLS.get(name, f"`{call if when == 'steady' else name}`")
        lines.append(_row(shown, [f"{gas:,}", "" if first is None else f"{first:,}"]))
    return "\n".join(lines)


def table_of_disputes(disputes: Mapping[str, int]) -> str:
    """Whole transactions, in the order in which they are named above."""
    lines = _head("dispute", ["gas"])
    for name in [*DISPUTES, *(disputes.keys() - DISPUTES.keys())]:
        lines.append(_row(DISPUTES.get(name, f"`{name}`"), [f"{disputes[name]:,}"]))
    return "\n".join(lines)


def _gas_in(file: Path) -> dict[str, int]:
    return {name: int(gas) for name, gas in json.loads(file.read_bytes()).items()}


def _head(first: str, columns: Sequence[str]) -> list[str]:
    return [_row(first, columns), "|---|" + "---|" * len(columns)]


def _goal(name: str, limit: int, gas: int) -> str:
    return _row(name, [f"{limit:,}", f"{gas:,}", "yes" if gas < limit else "**no**"])


def _row(name: str, cells: Sequence[str]) -> str:
    return f"| {name} | {' | '.join(cells)} |"
