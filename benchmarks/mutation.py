"""Which small faults in the contracts the tests do not notice.

    nice -n 19 python -m benchmarks.mutation --json FILE [--per-file 30] [--seed 0] [--only Members]

Applies one mutant after the other in a copy of the contracts and runs the tests that are likely to
notice, the likeliest first. Every verdict is appended to the JSON lines of `--json` as soon as it
is there and found again by the next run. Prints Markdown for docs/mutation.md.
"""

import argparse
import json
import os
import random
import re
import shutil
import subprocess
import tempfile
import time
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from itertools import product
from pathlib import Path
from types import MappingProxyType
from typing import Final

from benchmarks.mutants import Mutant, mutants

ROOT: Final = Path(__file__).parents[1]
FORGE: Final = ROOT / "node_modules/@foundry-rs/forge-linux-amd64/bin/forge"
TIMEOUT_SECONDS: Final = 900
KILLED, SURVIVED, INVALID, TIMEOUT = "killed", "survived", "invalid", "timeout"
FAILED: Final = re.compile(r"^\[FAIL.*\] (\w+)\(", re.MULTILINE)


@dataclass(frozen=True)
class Target:
    """A file to mutate, and the test files that should notice, in steps."""

    path: str
    steps: tuple[tuple[str, ...], ...]
    alone: bool = False
    """Only the libraries are built: all that the tests need, and much quicker."""


TARGETS: Final = MappingProxyType(
    {
        "PhaseLib": Target("libraries/PhaseLib.sol", (("Phase",),), alone=True),
        "ScoreLib": Target("libraries/ScoreLib.sol", (("Scores", "Rewards"),)),
        "WeightLib": Target("libraries/WeightLib.sol", (("Choice", "Mix"), ("Gram", "Table"))),
        "Votes": Target("Votes.sol", (("Votes",), ("RelayedVotes",))),
        "Members": Target(
            "Members.sol",
            (
                ("Members", "Task", "Rewards"),
                ("Draw", "Money", "Tokens"),
                ("Batch", "Deployment", "Scores"),
            ),
        ),
        "Volquorum": Target(
            "Volquorum.sol",
            (
                ("Round", "Task", "Draw"),
                ("Commitment", "Deployment", "Money", "Tokens"),
                ("Batch", "Members"),
            ),
        ),
        "VolquorumBase": Target(
            "VolquorumBase.sol",
            (
                ("Members", "Round", "Task"),
                ("Money", "Results", "Tokens"),
                ("Availability", "Challenge", "Draw", "Norm", "TableFlags"),
            ),
        ),
    }
)


@dataclass(frozen=True)
class Verdict:
    """What became of one mutant."""

    target: str
    line: int
    operator: str
    told: str
    verdict: str
    by: str
    """The test that failed."""
    seconds: float

    @property
    def key(self) -> tuple[str, int, str, str]:
        return (self.target, self.line, self.operator, self.told)


class Bench:
    """A copy of the contracts in a temporary folder, built once and then piece by piece."""

    def __init__(self, folder: Path, *, alone: bool, fuzz_runs: int) -> None:
        self._folder = folder
        contracts = folder / "contracts"
        skipped = shutil.ignore_patterns("Handler*", "Invariants*", "symbolic", "snapshots", "*.py")
        shutil.copytree(ROOT / "contracts", contracts, ignore=skipped)
        shutil.copytree(ROOT / "tests" / "vectors", folder / "tests" / "vectors")
        for name in ("foundry.toml", "remappings.txt"):
            shutil.copy(ROOT / name, folder)
        (folder / "node_modules").symlink_to(ROOT / "node_modules")
        sources = "contracts/src"
        if alone:
            sources += "/libraries"
            for test in (contracts / "test").rglob("*"):
                if test.is_file() and test.name != "Phase.t.sol":
                    test.unlink()
        self._environment = os.environ | {
            "FOUNDRY_DENY": "never",
            # Tests create contracts from what was built, so a mutant does not compile them anew.
            "FOUNDRY_DYNAMIC_TEST_LINKING": "true",
            "FOUNDRY_FUZZ_RUNS": str(fuzz_runs),
            "FOUNDRY_LINT_LINT_ON_BUILD": "false",
            "FOUNDRY_SRC": sources,
        }

    def judge(self, target: Target, mutant: Mutant | None = None) -> tuple[str, str]:
        """The verdict on the target with a mutant, or without one, and the test that failed."""
        file = self._folder / "contracts" / "src" / target.path
        source = file.read_text()
        if mutant:
            file.write_text(mutant.applied(source))
        try:
            for step in target.steps:
                verdict, by = self._test(step)
                if verdict != SURVIVED:
                    return verdict, by
            return SURVIVED, ""
        finally:
            file.write_text(source)

    def _test(self, suites: Sequence[str]) -> tuple[str, str]:
        files = f"contracts/test/{{{','.join(suites)}}}.t.sol"
        command = [FORGE, "test", "--fail-fast", "--threads", "1", "--match-path", files]
        try:
            finished = subprocess.run(  # noqa: S603 - the project's own tool
                command,
                cwd=self._folder,
                env=self._environment,
                capture_output=True,
                text=True,
                timeout=TIMEOUT_SECONDS,
                check=False,
            )
        except subprocess.TimeoutExpired:
            return TIMEOUT, ""
        if finished.returncode == 0:
            return SURVIVED, ""
        failed = FAILED.search(finished.stdout)
        if failed:
            return KILLED, failed.group(1)
        if "Compiler run failed" in finished.stdout + finished.stderr:
            return INVALID, ""
        raise RuntimeError(f"forge failed, but no test did: {finished.stdout}{finished.stderr}")


def source_of(target: Target) -> str:
    return (ROOT / "contracts" / "src" / target.path).read_text()


def sampled(name: str, per_file: int, seed: int) -> list[Mutant]:
    """So many of a target's mutants, the same for the same seed and source."""
    every = mutants(source_of(TARGETS[name]))
    order = random.Random(f"{seed} {name}").sample(every, len(every))  # noqa: S311 - a sample, no secret
    return order[:per_file]


def known_verdicts(file: Path) -> dict[tuple[str, int, str, str], Verdict]:
    """What earlier runs left."""
    if not file.exists():
        return {}
    verdicts = [Verdict(**json.loads(line)) for line in file.read_text().splitlines()]
    return {verdict.key: verdict for verdict in verdicts}


def judged(asked: argparse.Namespace) -> Iterator[Verdict]:
    """The verdict on every sampled mutant, from the file or from a run."""
    known = known_verdicts(asked.json)
    chosen = {name: sampled(name, asked.per_file, asked.seed) for name in asked.only}
    with tempfile.TemporaryDirectory() as folder:
        benches = dict[bool, Bench]()
        # One of each file in turn, so that a run that is stopped has tried as many of each.
        for number, name in product(range(asked.per_file), asked.only):
            if number >= len(chosen[name]):
                continue
            target, mutant = TARGETS[name], chosen[name][number]
            source = source_of(target)
            key = (name, mutant.line(source), mutant.operator, mutant.told(source))
            if key not in known:
                if target.alone not in benches:
                    where = Path(folder) / str(target.alone)
                    bench = Bench(where, alone=target.alone, fuzz_runs=asked.fuzz_runs)
                    benches[target.alone] = _passing(bench, asked.only, alone=target.alone)
                begun = time.monotonic()
                verdict, by = benches[target.alone].judge(target, mutant)
                known[key] = Verdict(*key, verdict, by, round(time.monotonic() - begun, 1))
                with asked.json.open("a") as lines:
                    lines.write(json.dumps(asdict(known[key])) + "\n")
            found = known[key]
            print(f"{number + 1} {found.verdict:9}{name}:{found.line} {found.told}", flush=True)
            yield found


def _passing(bench: Bench, names: Sequence[str], *, alone: bool) -> Bench:
    """The bench, if the unchanged contracts pass there; else every mutant would count as killed."""
    for name in names:
        if TARGETS[name].alone == alone:
            verdict, by = bench.judge(TARGETS[name])
            if verdict != SURVIVED:
                raise SystemExit(f"{name} unchanged: {verdict} {by}")
    return bench


def report(verdicts: Sequence[Verdict], every: Mapping[str, int]) -> Iterator[str]:
    """Markdown: a row for each file and each operator, and every survivor."""
    yield "| | mutants | tried | invalid | killed | survived | score |"
    yield "|---|--:|--:|--:|--:|--:|--:|"
    for name, count in every.items():
        yield _row(name, str(count), [each for each in verdicts if each.target == name])
    for operator in sorted({each.operator for each in verdicts}):
        yield _row(operator, "", [each for each in verdicts if each.operator == operator])
    yield _row("all", str(sum(every.values())), verdicts)
    yield ""
    for each in verdicts:
        if each.verdict == SURVIVED:
            yield f"- `{each.target}:{each.line}` {each.operator}: `{each.told}`"


def _row(name: str, count: str, verdicts: Sequence[Verdict]) -> str:
    of = Counter(each.verdict for each in verdicts)
    killed = of[KILLED] + of[TIMEOUT]
    valid = killed + of[SURVIVED]
    score = f"{killed / valid:.0%}" if valid else ""
    return (
        f"| {name} | {count} | {len(verdicts)} | {of[INVALID]} | {killed} | {of[SURVIVED]}"
        f" | {score} |"
    )


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument(
        "--json", type=Path, required=True, help="JSON lines, one a mutant; resumed"
    )
    parser.add_argument("--only", nargs="+", choices=list(TARGETS), default=list(TARGETS))
    parser.add_argument("--per-file", type=int, default=30, help="mutants of each file at most")
    parser.add_argument("--fuzz-runs", type=int, default=16)
    parser.add_argument("--seed", type=int, default=0)
    return parser.parse_args()


def main() -> None:
    asked = _arguments()
    verdicts = list(judged(asked))
    every = {name: len(mutants(source_of(TARGETS[name]))) for name in asked.only}
    print("\n".join(report(verdicts, every)))


if __name__ == "__main__":
    main()
