"""A commitment opens for nobody else, nowhere else and for nothing else."""

import pytest
from eth_abi.exceptions import EncodingError
from eth_hash.auto import keccak
from hypothesis import given, settings
from hypothesis import strategies as st

from protocol.commitment import (
    NO_EVIDENCE,
    Evidence,
    ProofKind,
    seal,
    stored_commitment,
    task_id,
    update_commitment,
    updates_hash,
    updates_hash_start,
    updates_hash_step,
)
from protocol.task import TaskParams

pytestmark = pytest.mark.unit

ALICE, BOB = "0x" + "a1" * 20, "0x" + "b0" * 20
FIELDS = {
    "chain_id": 31337,
    "contract": "0x" + "c0" * 20,
    "task_id": bytes([1]) * 32,
    "round_number": 3,
    "base_model_root": bytes([2]) * 32,
    "participant": ALICE,
    "update_root": bytes([3]) * 32,
    "squared_norm": 77,
    "salt": bytes([4]) * 32,
}
OTHERS = {
    "chain_id": 1,
    "contract": "0x" + "c1" * 20,
    "task_id": bytes(32),
    "round_number": 4,
    "base_model_root": bytes(32),
    "participant": BOB,
    "update_root": bytes(32),
    "squared_norm": 78,
    "salt": bytes(32),
}
SEAL = {
    name: FIELDS[name] for name in ("chain_id", "contract", "task_id", "round_number", "salt")
} | {"challenger": ALICE, "kind": ProofKind.AGGREGATE, "chunk": 5, "subject": bytes([7]) * 32}
OTHER_SEAL = OTHERS | {
    "challenger": BOB,
    "kind": ProofKind.MODEL,
    "chunk": 6,
    "subject": bytes(32),
}
REVEALS = [(ALICE, bytes([5]) * 32, 10), (BOB, bytes([6]) * 32, 20)]


@pytest.mark.parametrize("field", FIELDS)
def test_every_field_is_bound(field):
    assert update_commitment(**(FIELDS | {field: OTHERS[field]})) != update_commitment(**FIELDS)


@pytest.mark.parametrize("field", SEAL)
def test_every_field_of_a_seal_is_bound(field):
    assert seal(**(SEAL | {field: OTHER_SEAL[field]})) != seal(**SEAL)


def test_case_of_an_address_does_not_matter():
    upper = "0x" + FIELDS["contract"][2:].upper()
    assert update_commitment(**(FIELDS | {"contract": upper})) == update_commitment(**FIELDS)


@pytest.mark.parametrize(
    "change", [{"squared_norm": 2**64}, {"round_number": 2**32}, {"participant": "0x12"}]
)
def test_what_does_not_fit_its_type_is_never_hashed(change):
    with pytest.raises(EncodingError):
        update_commitment(**(FIELDS | change))


def test_seat_stores_the_low_224_bits():
    commitment = update_commitment(**FIELDS)
    assert int.from_bytes(stored_commitment(commitment), "big") == int.from_bytes(
        commitment, "big"
    ) % (2**224)


def test_updates_hash_depends_on_the_order_of_reveals():
    task = FIELDS["task_id"]
    assert updates_hash(task, 1, REVEALS) != updates_hash(task, 1, REVEALS[::-1])


def test_updates_hash_of_no_reveals_is_the_start():
    assert updates_hash(FIELDS["task_id"], 1, []) == updates_hash_start(FIELDS["task_id"], 1)


@settings(deadline=None)
@given(st.integers(0, 2), st.integers(0, 2))
def test_updates_hash_can_be_resumed(cut, round_number):
    running = updates_hash(FIELDS["task_id"], round_number, REVEALS[:cut])
    for reveal in REVEALS[cut:]:
        running = updates_hash_step(running, *reveal)
    assert running == updates_hash(FIELDS["task_id"], round_number, REVEALS)


def test_task_id_binds_chain_contract_and_sponsor():
    params = TaskParams.default(
        model_spec_hash=bytes([1]) * 32,
        genesis_model_root=bytes([2]) * 32,
        dimension=9,
        closes_at=100,
    )
    ids = {
        task_id(chain_id, contract, sponsor, params)
        for chain_id in (1, 2)
        for contract in (ALICE, BOB)
        for sponsor in (ALICE, BOB)
    }
    assert len(ids) == 8


def test_evidence_is_hashed_as_two_words_and_its_absence_is_zero():
    table, choice = bytes([4]) * 32, bytes([5]) * 32
    assert Evidence(table, choice).hash == keccak(table + choice)
    assert Evidence(choice, table).hash != Evidence(table, choice).hash
    assert NO_EVIDENCE.hash == bytes(32)
