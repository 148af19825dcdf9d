"""`protocol` computes what the committed vectors say, and refuses what they refuse."""

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from eth_abi.abi import decode as abi_decode
from eth_account import Account
from eth_hash.auto import keccak

from protocol import commitment, encoding, errors, numbers, posting, proofs, rules, sumtree
from protocol.draw import draw_of, is_drawn
from protocol.recompute import Result
from protocol.scores import (
    given_scores,
    scores_commitment,
    scores_hash_step,
    shares_wei,
    stored_scores_commitment,
)
from protocol.signing import Signature, SignedCommit, SigningDomain
from protocol.state import RoundState
from protocol.task import RewardRule, Rule, TaskParams
from tests.unit.protocol.openings import verify_opening
from tests.vectors import generate, reference

pytestmark = pytest.mark.unit

FOLDER = Path(generate.__file__).parent


AS_TEXT = {"name", "field", "error", "contract", "sponsor", "participant", "challenger"}


def rows(path: str) -> list[dict[str, Any]]:
    """A table's rows, with bytes for the hex strings that are no addresses."""
    columns = json.loads((FOLDER / path).read_text())
    for name in columns.keys() - AS_TEXT:
        columns[name] = [
            bytes.fromhex(cell[2:]) if isinstance(cell, str) else cell for cell in columns[name]
        ]
    return [dict(zip(columns, row, strict=True)) for row in zip(*columns.values(), strict=True)]


def cases(path: str) -> list[Any]:
    return [
        pytest.param(row, id=f"{position}-{row.get('name', row.get('field', ''))}")
        for position, row in enumerate(rows(path))
    ]


def integers(raw: bytes, width_bytes: int) -> Any:
    return np.frombuffer(raw, f">i{width_bytes}").astype(f"=i{width_bytes}")


def updates_of(case: dict[str, Any]) -> Any:
    return integers(case["updates"], 2).reshape(case["count"], case["dimension"])


def opening_of(case: dict[str, Any]) -> sumtree.Opening:
    hashes, sums = case["siblingHashes"], case["siblingSums"]
    siblings = tuple(
        sumtree.Node(hashes[32 * i : 32 * i + 32], int.from_bytes(sums[8 * i : 8 * i + 8], "big"))
        for i in range(len(sums) // 8)
    )
    return sumtree.Opening(case["index"], case["widthBytes"], case["chunk"], siblings)


def verify(case: dict[str, Any]) -> Any:
    return verify_opening(
        opening_of(case),
        root=case["root"],
        dimension=case["dimension"],
        chunk_length=case["chunkLength"],
        width_bytes=case["widthBytes"],
    )


def task_params(raw: bytes) -> TaskParams:
    (values,) = abi_decode([TaskParams.ABI_TYPE], raw)
    return TaskParams.from_abi(values)


def test_every_file_is_what_the_script_writes() -> None:
    written = generate.files()
    found = {
        str(path.relative_to(FOLDER)): path.read_text(encoding="ascii")
        for path in FOLDER.rglob("*.json")
    }
    assert set(found) == set(written)
    for name, text in written.items():
        assert found[name] == text, f"{name} is stale; run python -m tests.vectors.generate"


def test_every_file_is_explained() -> None:
    readme = (FOLDER / "README.md").read_text()
    assert all(f"`{name}`" in readme for name in generate.files())


@pytest.mark.parametrize("name", generate.files())
def test_integers_survive_readers_that_use_doubles(name: str) -> None:
    for column in json.loads((FOLDER / name).read_text()).values():
        assert all(isinstance(cell, str) or abs(cell) < 2**53 for cell in column)


@pytest.mark.parametrize("case", cases("encoding.json"))
def test_blob_is_encoded_and_decoded(case: dict[str, Any]) -> None:
    kind = encoding.Kind(case["kind"])
    values = integers(case["values"], kind.width_bytes)
    encode = encoding.encode_update if kind is encoding.Kind.UPDATE else encoding.encode_model
    assert encode(values, case["shift"]) == case["blob"]
    decoded = encoding.decode(case["blob"])
    assert (decoded.kind, decoded.shift, decoded.values.dtype) == (
        kind,
        case["shift"],
        values.dtype,
    )
    np.testing.assert_array_equal(decoded.values, values)


@pytest.mark.parametrize("case", cases("invalid/encoding.json"))
def test_bytes_that_are_not_canonical_are_refused(case: dict[str, Any]) -> None:
    with pytest.raises(getattr(errors, case["error"])):
        encoding.decode(case["blob"])


@pytest.mark.parametrize("case", cases("sumtree.json"))
def test_tree_is_built(case: dict[str, Any]) -> None:
    tree = sumtree.SumTree.of(integers(case["values"], case["widthBytes"]), case["chunkLength"])
    assert b"".join(leaf.hash for leaf in tree.levels[0]) == case["leafHashes"]
    assert b"".join(leaf.sum.to_bytes(8, "big") for leaf in tree.levels[0]) == case["leafSums"]
    assert (tree.depth, tree.top, tree.squared_norm, tree.root) == (
        case["depth"],
        case["top"],
        case["squaredNorm"],
        case["root"],
    )
    assert sumtree.depth_of(case["dimension"], case["chunkLength"]) == case["depth"]


@pytest.mark.parametrize("case", cases("openings.json"))
def test_opening_proves_its_chunk(case: dict[str, Any]) -> None:
    step = case["chunkLength"] * case["widthBytes"]
    used = min(case["chunkLength"], case["dimension"] - case["index"] * case["chunkLength"])
    assert len(case["chunk"]) == step
    np.testing.assert_array_equal(verify(case), integers(case["chunk"], case["widthBytes"])[:used])


@pytest.mark.parametrize("case", cases("invalid/openings.json"))
def test_opening_that_does_not_prove_is_refused(case: dict[str, Any]) -> None:
    with pytest.raises(getattr(errors, case["error"])):
        verify(case)


@pytest.mark.parametrize("case", cases("commitment.json"))
def test_commitment_is_hashed(case: dict[str, Any]) -> None:
    found = commitment.update_commitment(
        chain_id=case["chainId"],
        contract=case["contract"],
        task_id=case["taskId"],
        round_number=case["round"],
        base_model_root=case["baseModelRoot"],
        participant=case["participant"],
        update_root=case["updateRoot"],
        squared_norm=int.from_bytes(case["squaredNorm"], "big"),
        salt=case["salt"],
    )
    assert found == case["commitment"]
    assert commitment.stored_commitment(found) == case["stored"]


def test_updates_hash_runs_over_every_reveal() -> None:
    by_round: dict[tuple[bytes, int], list[dict[str, Any]]] = {}
    for row in rows("updates_hash.json"):
        by_round.setdefault((row["taskId"], row["round"]), []).append(row)
    for (task_id, round_number), steps in by_round.items():
        running = commitment.updates_hash_start(task_id, round_number)
        assert running == steps[0]["start"]
        revealed = [(row["participant"], row["updateRoot"], row["squaredNorm"]) for row in steps]
        for row, reveal in zip(steps, revealed, strict=True):
            assert running == row["previous"]
            running = commitment.updates_hash_step(running, *reveal)
            assert running == row["updatesHash"]
        assert commitment.updates_hash(task_id, round_number, revealed) == running


@pytest.mark.parametrize("case", cases("members.json"))
def test_commitment_is_signed_and_its_signer_found(case: dict[str, Any]) -> None:
    account = Account.from_key(case["key"])
    domain = SigningDomain(case["chainId"], case["contract"], case["taskId"], case["round"])
    signed = SignedCommit(case["commitment"], case["r"], case["vs"])
    assert account.address.lower() == case["participant"]
    assert domain.sign(account, case["commitment"]) == signed
    assert account.unsafe_sign_hash(case["digest"]).r == int.from_bytes(signed.r, "big")
    assert domain.signer(signed) == account.address


@pytest.mark.parametrize("case", cases("members.json"))
def test_vote_is_signed_and_its_voter_found(case: dict[str, Any]) -> None:
    account = Account.from_key(case["key"])
    domain = SigningDomain(case["chainId"], case["contract"], case["taskId"], case["round"])
    unavailable = int.from_bytes(case["unavailable"], "big")
    found = Result(case["aggregateRoot"], case["modelRoot"], case["updatesHash"], unavailable)
    signature = Signature(case["voteR"], case["voteVs"])
    assert domain.sign_vote(account, found) == signature
    assert account.unsafe_sign_hash(case["voteDigest"]).r == int.from_bytes(signature.r, "big")
    assert domain.voter(found, signature) == account.address


@pytest.mark.parametrize("case", cases("members.json"))
def test_draw_chooses_by_lot(case: dict[str, Any]) -> None:
    found = draw_of(
        case["seed"], case["taskId"], case["round"], drawn=case["draws"], active=case["active"]
    )
    assert found == case["draw"]
    assert is_drawn(found, case["participant"]) == case["drawn"]


@pytest.mark.parametrize("case", cases("members.json"))
def test_scores_are_hashed(case: dict[str, Any]) -> None:
    found = scores_commitment(
        chain_id=case["chainId"],
        contract=case["contract"],
        task_id=case["taskId"],
        round_number=case["round"],
        participant=case["participant"],
        scores=case["scores"],
        salt=case["salt"],
    )
    assert found == case["scoresCommitment"]
    assert stored_scores_commitment(found) == case["scoresStored"]
    step = scores_hash_step(case["previous"], case["participant"], case["scores"])
    assert step == case["scoresHash"]


@pytest.mark.parametrize("case", cases("shares.json"))
def test_reward_is_divided(case: dict[str, Any]) -> None:
    count, carried = case["count"], case["scores"]
    params = replace(
        task_params(rows("task_id.json")[0]["params"]),
        reward_rule=RewardRule(case["rewardRule"]),
        reward_wei=int.from_bytes(case["rewardWei"], "big"),
        sample_cap=case["sampleCap"],
    )
    state = RoundState(updates_hash=bytes(31) + bytes([count]), unavailable=case["unavailable"])
    given = {
        carried[start]: carried[start + 1 : start + 1 + count]
        for start in range(0, len(carried), count + 1)
    }
    samples = [int(number) for number in np.frombuffer(case["samples"], ">u4")]
    found = shares_wei(params, state, samples=samples, scores=given)
    assert b"".join(share.to_bytes(12, "big") for share in found) == case["sharesWei"]
    assert sum(found) <= params.reward_wei
    assert given_scores(given) == carried


@pytest.mark.parametrize("case", cases("task_id.json"))
def test_task_id_is_hashed(case: dict[str, Any]) -> None:
    params = task_params(case["params"])
    found = commitment.task_id(case["chainId"], case["contract"], case["sponsor"], params)
    assert found == case["taskId"]
    params.check(generate.NOW)
    assert params.by_votes == case["byVotes"]


@pytest.mark.parametrize("case", cases("seal.json"))
def test_seal_is_hashed(case: dict[str, Any]) -> None:
    found = commitment.seal(
        chain_id=case["chainId"],
        contract=case["contract"],
        task_id=case["taskId"],
        round_number=case["round"],
        challenger=case["challenger"],
        kind=commitment.ProofKind(case["kind"]),
        chunk=case["chunk"],
        subject=case["subject"],
        salt=case["salt"],
    )
    assert found == case["seal"]


@pytest.mark.parametrize("case", cases("challenges.json"))
def test_wrong_result_is_opened(case: dict[str, Any]) -> None:
    updates = integers(case["updates"], 2).reshape(3, case["dimension"])
    honest = rules.aggregate(Rule.MEDIAN, updates, tolerance=0, clip_norm=0)
    chunk_length = case["chunkLength"]
    if case["name"] == "aggregate":
        published = integers(case["published"], 2)
        proof = proofs.wrong_aggregate(updates, honest, published, chunk_length)
    else:
        base, published = integers(case["baseModel"], 4), integers(case["published"], 4)
        proof = proofs.wrong_model(base, honest, published, chunk_length)
    assert proof == (case["chunk"], case["openings"])


@pytest.mark.parametrize("case", cases("norms.json"))
def test_false_sum_is_opened(case: dict[str, Any]) -> None:
    values = integers(case["values"], 2)
    listed = [int(total) for total in np.frombuffer(case["sums"], ">u8")]
    depth = sumtree.depth_of(case["dimension"], case["chunkLength"])
    chunks = sumtree.chunk_count(case["dimension"], case["chunkLength"])
    sums = []
    for height in range(depth + 1):
        real = -(-chunks >> height)
        sums.append(listed[:real])
        listed = listed[1 << (depth - height) :]
    tree = sumtree.SumTree.recorded(values, case["chunkLength"], sums)
    assert (tree.root, tree.squared_norm) == (case["root"], case["squaredNorm"])
    assert proofs.encode_sums(tree, case["chunk"]) == case["opening"]
    proof = proofs.wrong_norm(tree)
    assert proof == ((case["chunk"], case["opening"]) if case["false"] else None)


@pytest.mark.parametrize("case", cases("parts.json"))
def test_vector_is_cut_into_parts(case: dict[str, Any]) -> None:
    width_bytes = case["widthBytes"]
    drawn = reference.stream(case["name"], case["dimension"], width_bytes)
    values = np.array(drawn, dtype=f"=i{width_bytes}")
    assert sumtree.SumTree.of(values, case["chunkLength"]).root == case["root"]
    part = posting.parts(values, case["chunkLength"])[case["part"]]
    assert len(part.chunks) == case["chunksBytes"]
    assert keccak(part.chunks) == case["chunksHash"]
    assert part.siblings == case["siblings"]


@pytest.mark.parametrize("case", cases("invalid/task.json"))
def test_parameters_out_of_range_are_refused_by_name(case: dict[str, Any]) -> None:
    snake = "".join("_" + c.lower() if c.isupper() else c for c in case["field"])
    with pytest.raises(errors.ConfigError, match=rf"^{snake} "):
        task_params(case["params"]).check(case["now"])


def test_every_invalid_task_differs_from_a_valid_one() -> None:
    valid = task_params(rows("task_id.json")[0]["params"])
    valid.check(generate.NOW)
    assert valid == replace(valid)
    assert all(task_params(row["params"]) != valid for row in rows("invalid/task.json"))


@pytest.mark.parametrize("case", cases("rules.json"))
def test_rule_gives_the_aggregate(case: dict[str, Any]) -> None:
    found = rules.aggregate(
        Rule(case["rule"]),
        updates_of(case),
        tolerance=case["tolerance"],
        clip_norm=case["clipNorm"],
    )
    assert found.dtype == np.int16
    np.testing.assert_array_equal(found, integers(case["aggregate"], 2))


@pytest.mark.parametrize("case", cases("invalid/rules.json"))
def test_rule_that_cannot_be_applied_is_refused(case: dict[str, Any]) -> None:
    with pytest.raises(getattr(errors, case["error"])):
        rules.aggregate(
            Rule(case["rule"]),
            updates_of(case),
            tolerance=case["tolerance"],
            clip_norm=case["clipNorm"],
        )


@pytest.mark.parametrize("case", cases("numbers.json"))
def test_floats_become_units(case: dict[str, Any]) -> None:
    values = np.frombuffer(case["values"], ">f8").astype(np.float64)
    units = numbers.quantise(values, case["shift"])
    np.testing.assert_array_equal(units, integers(case["units"], 2))


@pytest.mark.parametrize("case", cases("invalid/numbers.json"))
def test_floats_that_do_not_fit_are_refused(case: dict[str, Any]) -> None:
    with pytest.raises(getattr(errors, case["error"])):
        numbers.quantise(np.frombuffer(case["values"], ">f8").astype(np.float64), case["shift"])


@pytest.mark.parametrize("case", cases("add_update.json"))
def test_aggregate_is_added_to_the_model(case: dict[str, Any]) -> None:
    found = numbers.add_update(integers(case["model"], 4), integers(case["aggregate"], 2))
    np.testing.assert_array_equal(found, integers(case["next"], 4))


@pytest.mark.parametrize("case", cases("invalid/add_update.json"))
def test_model_beyond_int32_is_refused(case: dict[str, Any]) -> None:
    with pytest.raises(getattr(errors, case["error"])):
        numbers.add_update(integers(case["model"], 4), integers(case["aggregate"], 2))
