"""The contract and its model, call by call, in the same random games: refusals included.

After every call both must have done the same, or refused for the same reason, and agree about every
task, seat, round, flag and credit, and about what was burned.
"""

import re
from collections import Counter
from dataclasses import replace
from random import Random

import pytest
from eth_account import Account
from eth_hash.auto import keccak
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from protocol import rounds
from protocol.errors import Reverted
from protocol.recompute import Result
from protocol.scores import given_scores, scores_commitment
from protocol.signing import SigningDomain
from protocol.state import Flag, Phase, Published, RoundState, Seat, TaskState
from protocol.sumtree import root_hash
from protocol.task import ZERO_ADDRESS, ZERO_HASH, RewardRule, Rule, TaskParams
from tests.contracts.model import Model, Opening, Refused, Round, Task
from tests.contracts.revm import CHAIN_ID, Revm

pytestmark = pytest.mark.contracts

# Returns keccak(openedBlock) times its last two bits: for one in four not known yet.
SEED_SOURCE = bytes.fromhex(
    "601b600c600039601b6000f36004358060005260031660206000200260005260206000f3"
)
KEYS = [Account.from_key(keccak(b"model %d" % number)) for number in range(6)]
PEOPLE = [str(key.address) for key in KEYS]
SECONDS = 12
DIMENSION = 40
GAMES, CALLS = 20, 250
# What a game tries in each phase, more often what moves it on; now and then it tries anything.
BETWEEN = (
    "open open open open open open open open distribute distribute distribute distribute join "
    "restore restore claim claim withdraw settle settle settle slash_withheld slash_withheld "
    "reclaim leave end close close close create"
)
FITTING = {
    Phase.NONE: "join join join join open open open",
    Phase.SELECTION: "draw draw wait_on join",
    Phase.COMMIT: (
        "draw draw commit commit commit commit commit commit commit commit commit commit "
        "commit_many sign_twice wait_on"
    ),
    Phase.REVEAL: "reveal reveal reveal reveal_many reveal_many reveal_many sign_twice wait_on",
    Phase.AVAILABILITY: "flag_update slash_withheld wait_on wait_on wait_on",
    Phase.AGGREGATE: (
        "publish publish publish publish vote vote_many commit_scores commit_scores wait"
    ),
    Phase.CHALLENGE: (
        "vote vote vote vote_many outvote outvote flag_result flag_result refute refute refute "
        "commit_scores reveal_scores reveal_scores reveal_scores wait wait wait_on"
    ),
    Phase.FINAL: BETWEEN,
    Phase.VOID: BETWEEN,
}


def drawn_params(random: Random, now: int, source: str) -> TaskParams:
    by_votes = random.random() < 0.45
    cohort = random.randint(3, 4) if by_votes else random.randint(1, 4)
    seats = cohort + (0 if by_votes else random.choice([0, 0, 1, 2]))
    quorum = 3 if by_votes else random.randint(1, min(2, cohort))
    reward_rule = random.choice(list(RewardRule))
    params = TaskParams.default(
        model_spec_hash=b"\x01" * 32,
        genesis_model_root=b"\x02" * 32,
        dimension=DIMENSION,
        closes_at=now + random.randint(600, 3000),
    )
    return replace(
        params,
        commit_seconds=SECONDS,
        reveal_seconds=SECONDS,
        aggregate_seconds=SECONDS,
        challenge_seconds=SECONDS,
        selection_seconds=random.choice([0, SECONDS]),
        availability_seconds=random.choice([0, SECONDS, SECONDS]),
        aggregator_seconds=random.choice([0, SECONDS // 2]),
        score_seconds=SECONDS if reward_rule is RewardRule.SCORES else 0,
        aggregator=random.choice([ZERO_ADDRESS, PEOPLE[0]]),
        rule=Rule.MINIMUM_DIAMETER if by_votes else params.rule,
        tolerance=int(by_votes),
        quorum=quorum,
        cohort=cohort,
        seats=seats,
        drawn=random.randint(quorum, cohort),
        seed_source=ZERO_ADDRESS if seats == cohort else source,
        rounds=random.randint(2, 9),
        stake_wei=100,
        slice_wei=random.choice([0, 33, 33, 100]),
        bond_wei=random.choice([0, 51]),
        flag_wei=7,
        reward_wei=random.choice([0, 1000]),
        publisher_wei=random.choice([0, 11]),
        reward_rule=reward_rule,
        min_samples=random.randint(0, 2),
        sample_cap=2 if reward_rule is RewardRule.SAMPLES else 0,
        max_missed=random.randint(0, 2),
        max_squared_norm=1000,
        salt=random.randbytes(32),
    )


class Game:
    """Some tasks, six people, and both worlds."""

    def __init__(self, random: Random) -> None:
        self.random = random
        self.revm = Revm()
        self.source = self.revm.deploy(SEED_SOURCE)
        self.model = Model(CHAIN_ID, self.revm.contract)
        self.openings: dict[tuple[bytes, int, str], Opening] = {}
        self.scores: dict[tuple[bytes, int, str], tuple[bytes, bytes]] = {}
        self.done: Counter[str] = Counter()
        self.task_id, self.who = b"", PEOPLE[0]
        self.travel(1)
        for sponsor in PEOPLE[:2]:
            self.who = sponsor
            self.create()

    @property
    def task(self) -> Task:
        return self.model.tasks[self.task_id]

    @property
    def number(self) -> int:
        """Of the latest round."""
        return self.task.state.round

    def step(self) -> None:
        """One call of somebody, or a moment passes; then both must agree."""
        random, tasks = self.random, self.model.tasks
        if not tasks:
            self.create()
            return
        # Time passes in all tasks, so that a round gets far only where most calls are its task's.
        first = self.task_id not in tasks
        idle = first or self.task.phase(self.model.now) in rounds.WITHOUT_RUNNING_ROUND
        if first or random.random() < (0.2 if idle else 0.02):
            self.task_id = random.choice(list(tasks))
        self.who = random.choice(PEOPLE)
        fitting = FITTING[self.task.phase(self.model.now)]
        if random.random() < 0.08:
            fitting = " ".join(FITTING.values())
        getattr(self, random.choice(fitting.split()))()
        self.agree()

    def call(
        self,
        function: str,
        arguments: tuple[object, ...],
        modelled: tuple[object, ...] | None = None,
        wei: int | None = None,
    ) -> None:
        """Makes a call in both worlds; the model's arguments only where they are others."""
        amount_wei = wei
        if wei is not None and self.random.random() < 0.04:
            amount_wei = max(0, wei + self.random.choice([-1, 1]))
        refused = reverted = ""
        method = re.sub("[A-Z]", lambda letter: "_" + letter[0].lower(), function)
        paid = [] if amount_wei is None else [amount_wei]
        before = self.model.copy()
        try:
            getattr(self.model, method)(
                self.who, *(arguments if modelled is None else modelled), *paid
            )
        except Refused as refusal:
            refused, self.model = str(refusal), before
        try:
            self.revm.send(self.who, function, *arguments, value_wei=amount_wei or 0)
        except Reverted as refusal:
            reverted = str(refusal.error)
        assert reverted == refused, function
        self.done[refused or function] += 1

    def travel(self, seconds: int) -> None:
        self.revm.travel(self.revm.now + seconds)
        self.model.now, self.model.block = self.revm.now, self.revm.block

    # ------------------------------------------------------------------------------------- moves

    def wait(self) -> None:
        self.travel(self.random.choice([1, 2, SECONDS // 2]))

    def wait_on(self) -> None:
        until = rounds.next_deadline(self.task.params, self.task.latest.state, self.model.now)
        self.travel(1 if until is None else until - self.model.now)

    def create(self) -> None:
        if len(self.model.tasks) == 4:
            return
        params = drawn_params(self.random, self.model.now, self.source)
        wei = params.rounds * (params.reward_wei + params.publisher_wei)
        self.call("createTask", (params.abi_tuple(),), (params,), wei)

    def join(self) -> None:
        seats = self.task.seats
        self.who = self.somebody([who for who in PEOPLE if seats.get(who, Seat()).active_from == 0])
        samples = self.random.choice([2, 2, 2, 0, 3])
        self.call("join", (self.task_id, samples), wei=self.task.params.stake_wei)

    def restore(self) -> None:
        suspended = [who for who, seat in self.task.seats.items() if seat.suspended]
        self.who = self.random.choice(suspended or [self.who])
        seat = self.task.seats.get(self.who, Seat())
        self.call("restore", (self.task_id,), wei=self.task.params.stake_wei - seat.stake_wei)

    def leave(self) -> None:
        self.call("leave", (self.task_id,))

    def open(self) -> None:
        self.call("openRound", (self.task_id,))

    def settle(self) -> None:
        fits = "finalise" if self.task.phase(self.model.now) is Phase.FINAL else "voidRound"
        self.call(self.random.choice([fits, fits, "finalise", "voidRound"]), (self.task_id,))

    def end(self) -> None:
        self.who = self.random.choice([self.who, self.task.state.sponsor])
        if self.random.random() < 0.3:
            self.call("endTask", (self.task_id,))

    def close(self) -> None:
        self.call("closeTask", (self.task_id,))

    def slash_withheld(self) -> None:
        unopened = [who for who, seat in self.task.seats.items() if any(seat.commitment)]
        whom = self.random.choice(unopened or PEOPLE)
        self.call("slashWithheld", (self.task_id, whom))

    def claim(self) -> None:
        earned = [who for who, seat in self.task.seats.items() if seat.reward_wei]
        self.call("claim", (self.task_id, self.random.choice(earned or PEOPLE)))

    def reclaim(self) -> None:
        flags = self.task.update_flags.items()
        open_ones = [who for who, flag in flags if flag.flagger != ZERO_ADDRESS]
        whose = self.random.choice([*open_ones, *open_ones, self.who])
        self.call("reclaimDeposit", (self.task_id, whose))

    def draw(self) -> None:
        if not self.task.state.draws and self.random.random() < 0.9:
            self.wait()
            return
        number = self.off_by_one()
        block = self.task.state.opened_block
        hashed = int.from_bytes(keccak(block.to_bytes(32, "big")), "big")
        seed = (hashed * (block % 4) % 2**256).to_bytes(32, "big")
        self.call("drawSeats", (self.task_id, number), (self.task_id, number, seed))

    def commit(self) -> None:
        free = [who for who, seat in self.task.seats.items() if 0 < seat.active_from <= self.number]
        self.who = self.somebody(
            [who for who in free if not self.task.seats[who].committed_in(self.number)]
        )
        number = self.off_by_one()
        full = self.bound(self.who) if number == self.number else ZERO_HASH
        self.call("commitUpdate", (self.task_id, number, full))

    def commit_many(self) -> None:
        whose = self.random.sample(range(len(PEOPLE)), self.random.randint(0, 3))
        fulls = [self.bound(PEOPLE[each]) for each in whose]
        signed = tuple(self.signed(each, full) for each, full in zip(whose, fulls, strict=True))
        by_whom = [(PEOPLE[each], full) for each, full in zip(whose, fulls, strict=True)]
        arguments = (self.task_id, self.number)
        self.call("commitUpdates", (*arguments, signed), (*arguments, by_whom))

    def sign_twice(self) -> None:
        first = PEOPLE.index(self.random.choice([*self.task.seats, *PEOPLE]))
        second = first if self.random.random() < 0.8 else (first + 1) % len(PEOPLE)
        fulls = (keccak(b"one"), keccak(self.random.choice([b"two", b"two", b"one"])))
        signed = (self.signed(first, fulls[0]), self.signed(second, fulls[1]))
        arguments = (self.task_id, self.number)
        if self.random.random() < 0.3:
            by_whom = ((PEOPLE[first], fulls[0]), (PEOPLE[second], fulls[1]))
            self.call("slashEquivocation", (*arguments, *signed), (*arguments, *by_whom))

    def reveal(self) -> None:
        seats, number = self.task.seats, self.number
        bound = [who for who, seat in seats.items() if seat.committed_in(number)]
        self.who = self.somebody([who for who in bound if any(seats[who].commitment)])
        opening = self.opening(self.who)
        shown = (opening.tree_top, opening.squared_norm, opening.salt)
        arguments = (self.task_id, self.number)
        self.call("revealUpdate", (*arguments, *shown), (*arguments, opening))

    def reveal_many(self) -> None:
        whose = self.random.sample(PEOPLE, self.random.randint(0, 3))
        if self.random.random() < 0.7:
            seats, number = self.task.seats, self.number
            whose = [
                who
                for who, seat in seats.items()
                if seat.committed_in(number) and not seat.revealed_in(number)
            ]
        openings = [self.opening(who) for who in whose]
        listed = tuple((o.participant, o.tree_top, o.squared_norm, o.salt) for o in openings)
        arguments = (self.task_id, self.number)
        self.call("revealUpdates", (*arguments, listed), (*arguments, openings))

    def publish(self) -> None:
        self.tell("publish", self.task.params.bond_wei)

    def vote(self) -> None:
        seats, number = self.task.seats, self.number
        self.who = self.somebody([who for who, seat in seats.items() if seat.revealed_in(number)])
        # In most tasks it is refused, which needs no more than a look.
        if self.task.params.by_votes or self.random.random() < 0.1:
            self.tell("vote")

    def vote_many(self) -> None:
        """For one result, seldom with somebody who may not or a signature of nobody's."""
        if not self.task.params.by_votes and self.random.random() < 0.9:
            return
        found, modelled = self.found()
        fitting = [who for who in PEOPLE if self.task.latest.includes(who)]
        whose: list[str | None] = [*self.random.choices(fitting or PEOPLE, k=3)]
        if self.random.random() < 0.2:
            whose[self.random.randrange(3)] = self.random.choice([None, self.who])
        domain = SigningDomain(CHAIN_ID, self.revm.contract, self.task_id, self.number)
        signed = tuple(
            (ZERO_HASH, ZERO_HASH)
            if who is None
            else tuple(domain.sign_vote(KEYS[PEOPLE.index(who)], found))
            for who in whose
        )
        arguments = (self.task_id, self.number)
        self.call("relayVotes", (*arguments, tuple(found), signed), (*arguments, modelled, whose))

    def tell(self, function: str, wei: int | None = None) -> None:
        found, modelled = self.found()
        arguments = (self.task_id, self.number)
        self.call(function, (*arguments, tuple(found)), (*arguments, modelled), wei)

    def found(self) -> tuple[Result, tuple[bytes, bytes, bool]]:
        """Some result, and as the model takes it: seldom of other updates, or of none."""
        state = self.task.latest.state
        stale, empty = self.random.random() < 0.1, self.random.random() < 0.1
        roots = (keccak(b"aggregate"), ZERO_HASH if empty else self.model_root())
        updates_hash = keccak(b"stale") if stale else state.updates_hash
        return Result(*roots, updates_hash, state.unavailable), (*roots, stale)

    def outvote(self) -> None:
        roots = (keccak(b"aggregate"), self.model_root())
        self.call("refuteOutvoted", (self.task_id, self.number, *roots))

    def flag_update(self) -> None:
        revealed = self.task.latest.state.revealed
        index = self.random.choice([*range(revealed), *range(revealed), revealed])
        wei = self.task.params.flag_wei
        updates = tuple(tuple(update) for update in self.task.latest.updates)
        arguments = (self.task_id, self.number)
        self.call("flagUpdate", (*arguments, updates, index), (*arguments, index), wei)

    def flag_result(self) -> None:
        what = self.random.choice(list(Published))
        self.call("flagResult", (self.task_id, self.number, what), wei=self.task.params.flag_wei)

    def refute(self) -> None:
        what = self.random.choice([Published.AGGREGATE, Published.MODEL])
        self.call("refuteUnavailable", (self.task_id, self.number, what))

    def commit_scores(self) -> None:
        seats, number = self.task.seats, self.number
        self.who = self.somebody([who for who, seat in seats.items() if seat.revealed_in(number)])
        revealed = self.task.latest.state.revealed
        scores = self.random.randbytes(revealed + (self.random.random() < 0.1))
        salt = keccak(scores)
        self.scores[self.task_id, self.number, self.who] = scores, salt
        full = scores_commitment(
            chain_id=CHAIN_ID,
            contract=self.revm.contract,
            task_id=self.task_id,
            round_number=self.number,
            participant=self.who,
            scores=scores,
            salt=salt,
        )
        self.call("commitScores", (self.task_id, self.number, full))

    def reveal_scores(self) -> None:
        scored = [who for who, seat in self.task.seats.items() if any(seat.score_commitment)]
        self.who = self.somebody(scored)
        key = (self.task_id, self.number, self.who)
        self.call("revealScores", (*key[:2], *self.scores.get(key, (b"", ZERO_HASH))))

    def distribute(self) -> None:
        number = max(0, self.number - self.random.choice([0, 0, 0, 1, 2]))
        found = self.task.rounds.get(number, Round(RoundState()))
        updates = tuple(tuple(update) for update in found.updates)
        arguments = (self.task_id, number)
        scores = given_scores(found.scores)
        self.call("distribute", (*arguments, updates, scores), arguments)

    def withdraw(self) -> None:
        to = ZERO_ADDRESS if self.random.random() < 0.05 else self.who
        self.call("withdraw", (ZERO_ADDRESS, to), (to,))

    # ------------------------------------------------------------------------------------- words

    def model_root(self) -> bytes:
        """The round's right one, or seldom a wrong one."""
        wrong = self.random.random() < 0.3
        return keccak(b"wrong" if wrong else b"%d" % self.number)

    def somebody(self, fitting: list[str]) -> str:
        """One of these, rarely anybody."""
        return self.random.choice(fitting if fitting and self.random.random() < 0.9 else PEOPLE)

    def off_by_one(self) -> int:
        """The latest round's number, rarely another."""
        return max(0, self.number + self.random.choice([0] * 20 + [-1, 1]))

    def bound(self, who: str) -> bytes:
        """A commitment that can be opened; rarely to the same update as others, or too long."""
        number, squared_norm = self.number, self.random.choice([9] * 20 + [10, 1001])
        if self.task.latest.state.settled or number == 0:
            return ZERO_HASH
        top = keccak(b"shared" if self.random.random() < 0.05 else f"{who}{number}".encode())
        opening = Opening(who, top, squared_norm, bytes(32))
        self.openings[self.task_id, number, who] = opening
        root = root_hash(DIMENSION, squared_norm, top)
        named = (self.task_id, number, who, root, squared_norm, opening.salt)
        full = self.revm.send(who, "commitmentOf", *named)
        assert isinstance(full, bytes)
        return full

    def opening(self, who: str) -> Opening:
        unknown = Opening(who, ZERO_HASH, 0, ZERO_HASH)
        return self.openings.get((self.task_id, self.number, who), unknown)

    def signed(self, who: int, full: bytes) -> tuple[bytes, ...]:
        domain = SigningDomain(CHAIN_ID, self.revm.contract, self.task_id, self.number)
        return tuple(domain.sign(KEYS[who], full))

    # ----------------------------------------------------------------------------------- compare

    def agree(self) -> None:
        """Both worlds have the same facts, and every coin in the contract is somebody's."""
        ask, anybody = self.revm.send, PEOPLE[0]
        for task_id, task in self.model.tasks.items():
            assert TaskState(*ask(anybody, "taskState", task_id)) == task.state
            number = task.state.round
            assert RoundState(*ask(anybody, "roundState", task_id, number)) == task.latest.state
            assert Phase(ask(anybody, "phase", task_id, number)) is task.phase(self.model.now)
            for roots, votes in task.latest.votes.items():
                assert ask(anybody, "votesFor", task_id, number, *roots) == votes
            for person in PEOPLE:
                seat = task.seats.get(person, Seat())
                assert Seat(*ask(anybody, "seat", task_id, person)) == seat
                flag = task.update_flags.get(person, Flag())
                assert Flag(*ask(anybody, "updateFlag", task_id, person)) == flag
        for person in PEOPLE:
            credit_wei = self.model.credits.get(person, 0)
            assert ask(anybody, "creditOf", ZERO_ADDRESS, person) == credit_wei
        assert ask(anybody, "burnedOf", ZERO_ADDRESS) == self.model.burned_wei
        paid_wei = self.model.paid_in_wei - self.model.paid_out_wei
        assert self.revm.balance(self.revm.contract) == paid_wei == self.owed_wei()

    def owed_wei(self) -> int:
        """Everything that the contract holds for somebody, or for nobody."""
        held_wei = sum(self.model.credits.values()) + self.model.burned_wei
        for task in self.model.tasks.values():
            params = task.params
            held_wei += task.state.funds_wei
            held_wei += sum(seat.stake_wei + seat.reward_wei for seat in task.seats.values())
            flags = [*task.update_flags.values()]
            for number, each in task.rounds.items():
                state = each.state
                held_wei += state.bond_wei * (not state.settled)
                final = rounds.phase(params, state, self.model.now) is Phase.FINAL
                owed = final and state.settled and not state.distributed
                held_wei += params.reward_wei * owed
                if number == task.state.round and not state.settled:
                    flags += [
                        flag for what, flag in task.result_flags.items() if state.is_flagged(what)
                    ]
            held_wei += params.flag_wei * sum(flag.flagger != ZERO_ADDRESS for flag in flags)
        return held_wei


@settings(
    max_examples=GAMES,
    deadline=None,
    derandomize=True,
    # A game is one long example.
    suppress_health_check=[
        HealthCheck.large_base_example,
        HealthCheck.data_too_large,
        HealthCheck.too_slow,
    ],
)
@given(st.randoms(use_true_random=False), st.integers(0, CALLS))
def test_contract_and_model_agree_after_every_call(random, calls):
    game = Game(random)
    for _ in range(calls):
        game.step()


def test_games_reach_every_call():
    done: Counter[str] = Counter()
    for seed in range(GAMES):
        game = Game(Random(seed))  # noqa: S311 # not a secret
        for _ in range(CALLS):
            game.step()
        done += game.done
    modelled = {name for name, call in vars(Model).items() if callable(call) and name[0] != "_"}
    reached = {re.sub("[A-Z]", lambda letter: "_" + letter[0].lower(), name) for name in done}
    assert modelled - reached == {"copy"}
