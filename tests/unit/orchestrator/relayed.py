"""A round as the latest tick saw it, and what its participants hand in to be relayed."""

from dataclasses import replace

from eth_account import Account

from orchestrator.reading import RoundReading, TaskReading
from orchestrator.relay_store import RelayedOpening, RelayedVote
from protocol import rounds
from protocol.chain.events import Block
from protocol.commitment import counted, stored_commitment, update_commitment
from protocol.recompute import Result, RevealedUpdate
from protocol.signing import SigningDomain
from protocol.state import RoundState, Seat, TaskState
from protocol.sumtree import root_hash
from protocol.task import Rule, TaskParams

CHAIN_ID = 31337
CONTRACT = "0x" + "Cc" * 20
TASK = b"\7" * 32
BASE = b"\6" * 32
T0 = 1_000_000
ACCOUNTS = tuple(Account.from_key(bytes([number]) * 32) for number in range(1, 6))
ADDRESSES = tuple(account.address for account in ACCOUNTS)
PARAMS = replace(
    TaskParams.default(
        model_spec_hash=b"\1" * 32, genesis_model_root=BASE, dimension=10, closes_at=T0 + 10**6
    ),
    selection_seconds=6,
    commit_seconds=12,
    reveal_seconds=12,
)
COMMIT, REVEAL, AVAILABILITY = T0 + 6, T0 + 18, T0 + 30
SALT = b"\x5a" * 32
BY_VOTES = replace(PARAMS, rule=Rule.MINIMUM_DIAMETER, challenge_seconds=12)
AGGREGATE = AVAILABILITY + PARAMS.availability_seconds
PUBLISHED = AGGREGATE + 1
# Everybody revealed, and the last one's update is excluded.
EXCLUDED = 4


def domain(number=1):
    return SigningDomain(CHAIN_ID, CONTRACT, TASK, number)


def opening(desk, *, squared_norm=9):
    return RelayedOpening(ADDRESSES[desk], bytes([desk + 1]) * 32, squared_norm, SALT)


def commitment(desk, **changes):
    """What `opening` opens in round 1."""
    opened = opening(desk, **changes)
    return update_commitment(
        chain_id=CHAIN_ID,
        contract=CONTRACT,
        task_id=TASK,
        round_number=1,
        base_model_root=BASE,
        participant=opened.participant,
        update_root=root_hash(PARAMS.dimension, opened.squared_norm, opened.tree_top),
        squared_norm=opened.squared_norm,
        salt=opened.salt,
    )


def signed(desk, *, number=1, **changes):
    return domain(number).sign(ACCOUNTS[desk], commitment(desk, **changes))


def found_in(number=1, *, root=b"\1" * 32, unavailable=1 << EXCLUDED):
    """What a vote in `voting` may be for."""
    updates_hash = counted(bytes([number]) * 32, len(ADDRESSES))
    return Result(root, b"\2" * 32, updates_hash, unavailable)


def vote(desk, *, number=1, **changes):
    found = found_in(number, **changes)
    return RelayedVote(ADDRESSES[desk], found, domain(number).sign_vote(ACCOUNTS[desk], found), 0)


def voting(now=PUBLISHED, *, published_at=PUBLISHED, voted=(), params=BY_VOTES):
    """The round when its updates are known, `found_in()` published; `voted` have voted directly."""
    found = found_in()
    state = RoundState(
        opened_at=T0,
        updates_hash=found.updates_hash,
        unavailable=found.unavailable,
        **({"published_at": published_at} | found.roots._asdict() if now >= published_at else {}),
    )
    revealed = tuple(RevealedUpdate(address, b"\1" * 32, 9) for address in ADDRESSES)
    latest = replace(
        reading(now, params=params).rounds[-1],
        state=state,
        phase=rounds.phase(params, state, now),
        deadlines=rounds.deadlines(params, state),
        revealed=revealed,
        included=rounds.included(state, revealed),
    )
    everybody = seats(revealed=range(len(ADDRESSES)))
    everybody |= {
        ADDRESSES[desk]: replace(everybody[ADDRESSES[desk]], voted_round=1) for desk in voted
    }
    return replace(reading(now, params=params, found=everybody), rounds=(latest,))


def seats(*, committed=(), revealed=()):
    """Everybody's seat; those in `committed` have committed, and those in `revealed` opened it."""
    return {
        address: Seat(
            stake_wei=PARAMS.stake_wei,
            active_from=1,
            committed_round=int(desk in {*committed, *revealed}),
            commitment=stored_commitment(commitment(desk)) if desk in committed else bytes(28),
        )
        for desk, address in enumerate(ADDRESSES)
    }


def reading(now=COMMIT, *, params=PARAMS, state=None, number=1, revealed=0, found=None):
    """The task at a time; `found` are its seats."""
    round_state = RoundState(opened_at=T0, updates_hash=counted(b"\5" * 32, revealed))
    latest = RoundReading(
        number=number,
        state=round_state,
        phase=rounds.phase(params, round_state, now),
        deadlines=rounds.deadlines(params, round_state),
        base_model_root=BASE,
        committed=(),
        revealed=(),
        included=(),
        result_flags={},
        scores={},
        votes={},
        shares_wei=(),
    )
    return TaskReading(
        task_id=TASK,
        block=Block(1, b"\1" * 32, now),
        params=params,
        state=state or TaskState(sponsor=CONTRACT, round=number, seats=5, active=5),
        rounds=(*[latest] * (number - 1), latest),
        seats=seats() if found is None else found,
    )
