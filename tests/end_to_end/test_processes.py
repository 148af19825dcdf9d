"""The network as an operator runs it: separate processes that share a chain and nothing else."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from protocol.exit_codes import ExitCode
from tests.chain.network import ANVIL
from tests.end_to_end.devnet import KEY_ENV, Devnet, Process, address, running_devnet

pytestmark = [pytest.mark.chain, pytest.mark.timeout(480)]

# Generous, for machines that do other things too: only a failure waits so long.
START_SECONDS = 120
ROUNDS_SECONDS = 150
UNREACHABLE = "http://127.0.0.1:1"
KILLED = 2


@pytest.fixture(scope="module")
def devnet(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Devnet]:
    """Two final rounds old; one desk was killed in the middle of the first and started again."""
    if not ANVIL.exists():
        pytest.skip(f"there is no {ANVIL}: `scripts/test` installs it")
    with running_devnet(tmp_path_factory.mktemp("devnet")) as running:
        desk = running.nodes[KILLED]

        def has_committed() -> bool:
            return any(address(desk.role) in each["committed"] for each in running.rounds())

        def is_back() -> bool:
            return any(
                address(desk.role) in [update["participant"] for update in each["revealed"]]
                for each in running.final_rounds()
                if each["number"] > killed_in
            )

        running.wait_for("the first round", running.rounds, START_SECONDS)
        running.wait_for(f"a commitment of {desk.role}", has_committed, ROUNDS_SECONDS)
        killed_in = running.rounds()[-1]["number"]
        desk.kill()
        desk.start()
        running.wait_for("another update of it", is_back, ROUNDS_SECONDS)
        running.wait_for("two finals", lambda: len(running.final_rounds()) > 1, ROUNDS_SECONDS)
        yield running


def has_audited(node: Process) -> bool:
    """Whether a node shows how much calendar arbitrage it found in what it adopted."""
    share = node.metric('volquorum_node_arbitrage{condition="calendar"}')
    return share is not None and 0.0 <= share <= 1.0


def test_everybody_verified_what_was_published_the_killed_desk_too(devnet: Devnet) -> None:
    last = devnet.final_rounds()[-1]
    for node in devnet.nodes:
        devnet.wait_for(
            f"{node.role} to verify round {last['number']}",
            lambda node=node: (node.metric("volquorum_node_verified_round") or 0) >= last["number"],
            ROUNDS_SECONDS,
        )
        assert node.metric("volquorum_node_mismatch") == 0
        assert node.metric("volquorum_node_unverified_rounds") == 0
        devnet.wait_for(
            f"{node.role} to audit what it adopted",
            lambda node=node: has_audited(node),
            ROUNDS_SECONDS,
        )
        assert (node.status("/healthz"), node.status(f"/blobs/{last['model_root']}")) == (200, 200)


def test_desk_serves_its_update_after_the_commit_phase_and_not_before(devnet: Devnet) -> None:
    hidden: dict[str, set[str]] = {}

    def looked_in_commit() -> bool:
        latest = devnet.rounds()[-1]
        if len(latest["committed"]) < len(devnet.nodes):
            return False
        for node in devnet.nodes:
            hidden[node.role] = names(devnet.folder / node.role / "private") - names(
                devnet.folder / node.role / "blobs"
            )
        # Only a look that was over before the phase was is one into it.
        return devnet.now() < latest["deadlines"]["commit"]

    devnet.wait_for("a look into a commit phase", looked_in_commit, ROUNDS_SECONDS)

    assert all(hidden.values()), f"an update lies open too early: {hidden}"
    for final in devnet.final_rounds():
        for update in final["revealed"]:
            owner = next(n for n in devnet.nodes if address(n.role) == update["participant"])
            assert owner.status(f"/blobs/{update['update_root']}") == 200


def test_every_final_model_was_judged(devnet: Devnet) -> None:
    first = devnet.final_rounds()[0]
    devnet.wait_for(
        "an evaluation of the first final model",
        lambda: devnet.rounds()[first["number"] - 1]["evaluation"],
        START_SECONDS,
    )
    metrics = devnet.rounds()[first["number"] - 1]["evaluation"]
    assert 0 < metrics["validation_rmse"] < 100


def test_reward_is_divided_by_what_desks_think_of_each_other(devnet: Devnet) -> None:
    def divided() -> list[dict[str, Any]]:
        return [each for each in devnet.final_rounds() if each["distributed"]]

    devnet.wait_for("a reward to be divided", divided, ROUNDS_SECONDS)

    first = divided()[0]
    revealed = first["revealed"]
    assert all(update["share_wei"] is not None for update in revealed)
    given = [update["scores"] for update in revealed if update["scores"] is not None]
    assert len(given) > len(revealed) / 2, devnet.logs()
    assert all(len(scores) == len(revealed) for scores in given)


def test_desk_with_a_relayer_is_brought_into_rounds_by_it(
    devnet: Devnet,
) -> None:
    relayed = devnet.nodes[0]

    participants = [update["participant"] for update in devnet.final_rounds()[-1]["revealed"]]
    assert address(relayed.role) in participants
    assert "relayer took it" in relayed.log.read_text()
    assert all(
        f"1 of {function}" in devnet.orchestrator.log.read_text()
        for function in ("commitUpdates", "revealUpdates")
    )


def test_watcher_with_no_quotes_verifies_and_takes_no_seat(devnet: Devnet, tmp_path: Path) -> None:
    config = tmp_path / "watcher.toml"
    config.write_text(
        devnet.settings(
            str(tmp_path / "watcher"), key_env=KEY_ENV, blob_urls=[devnet.orchestrator.url]
        )
    )

    refused = devnet.run("node", "--config", str(config), "--once", role="watcher")
    done = devnet.run(
        "node", "--config", str(config), "--watch", "--once", "--json", role="watcher"
    )

    assert refused.returncode == ExitCode.CONFIG, refused.stderr
    assert "data is missing" in refused.stderr
    assert done.returncode == ExitCode.OK, done.stderr
    assert json.loads(done.stdout)["acted"] in {None, "verify"}
    assert (tmp_path / "watcher" / "memory.npz").exists()


def test_second_deployment_leaves_contract_and_task_as_they_are(devnet: Devnet) -> None:
    before = devnet.deployment.read_text()

    again = devnet.deploy()

    assert again.returncode == ExitCode.OK, again.stderr
    assert json.loads(again.stdout) == json.loads(before)
    assert devnet.deployment.read_text() == before


def test_task_that_cannot_be_is_refused_before_anything_is_paid(
    devnet: Devnet, tmp_path: Path
) -> None:
    refused = devnet.deploy("quorum = 5\ncohort = 4\n", tmp_path / "deployment.json")

    assert refused.returncode == ExitCode.CONFIG, refused.stderr
    assert "quorum" in refused.stderr
    assert not (tmp_path / "deployment.json").exists()


def test_account_that_is_owed_nothing_leaves_with_nothing(devnet: Devnet) -> None:
    done = devnet.command("leave", "--key-env", KEY_ENV, "--json", role="stranger")

    assert done.returncode == ExitCode.OK, done.stderr
    left = json.loads(done.stdout)
    assert (left["account"], left["left"], left["withdrawn"]) == (address("stranger"), False, [])


def test_round_state_tells_a_program_where_the_task_stands(devnet: Devnet) -> None:
    done = devnet.command("round_state", "--json")

    assert done.returncode == ExitCode.OK, done.stderr
    state = json.loads(done.stdout)
    assert state["rounds"] == 50
    assert state["round"] >= 2
    assert sorted(state["seated"]) == sorted(address(node.role) for node in devnet.nodes)
    assert state["phase"] in {
        *("commit", "reveal", "availability", "aggregate", "challenge", "final", "void"),
    }
    assert (state["unavailable"], state["result_flags"], state["refutations"]) == ([], [], 0)
    assert state["deadlines"]["flag_update"] < state["deadlines"]["availability"]
    assert state["next"]


def test_outsider_verifies_every_round_from_two_addresses(devnet: Devnet) -> None:
    done = devnet.command("verify_round", "--json", "--blobs", devnet.orchestrator.url)

    assert done.returncode == ExitCode.OK, done.stdout + done.stderr
    verdicts = json.loads(done.stdout)["rounds"]
    assert {each["verdict"] for each in verdicts[:-1]} <= {"verified", "void"}
    verified = [each for each in verdicts if each["verdict"] == "verified"]
    assert len(verified) >= 2
    for each in verified:
        selection = each["selection"]
        assert set(selection["revealed"]) <= set(selection["committed"]) <= set(selection["drawn"])
        assert selection["drawn"] == selection["seated"]
        assert each["updates"] == len(selection["revealed"]) - len(selection["excluded"])


def test_flipped_byte_of_a_blob_is_named_and_ends_with_its_own_status(devnet: Devnet) -> None:
    final = devnet.final_rounds()[0]
    root = final["revealed"][0]["update_root"]
    stored = devnet.blobs / root.removeprefix("0x")
    content = stored.read_bytes()
    flipped = bytearray(content)
    flipped[-1] ^= 1
    stored.write_bytes(bytes(flipped))
    try:
        done = devnet.command(
            "verify_round",
            *("--json", "--blobs", devnet.orchestrator.url),
            *("--round", str(final["number"])),
        )
    finally:
        stored.write_bytes(content)

    assert done.returncode == ExitCode.BLOB, done.stdout + done.stderr
    (verdict,) = json.loads(done.stdout)["rounds"]
    assert verdict["verdict"] == "unavailable"
    assert root.removeprefix("0x") in verdict["why"]
    assert "answered a blob with root" in verdict["why"]


def test_orchestrator_without_a_key_watches_and_sends_nothing(
    devnet: Devnet, tmp_path: Path
) -> None:
    config = tmp_path / "watcher.toml"
    config.write_text(
        devnet.settings(str(tmp_path / "watcher"), blob_urls=[devnet.orchestrator.url])
    )

    done = devnet.run("orchestrator", "--config", str(config), "--once", "--json")

    assert done.returncode == ExitCode.OK, done.stderr
    assert json.loads(done.stdout)["acted"] is None
    assert not (tmp_path / "watcher" / "outbox.sqlite").exists()


@pytest.mark.parametrize(
    ("module", "settings", "status", "said"),
    [
        ("node", {"data": "synthetic", "desks_": 1}, ExitCode.CONFIG, "desks_"),
        ("node", {"data": "synthetic", "key_env": "VOLQUORUM_UNSET"}, ExitCode.CONFIG, "not set"),
        ("orchestrator", {"key_env": "VOLQUORUM_UNSET"}, ExitCode.CONFIG, "VOLQUORUM_UNSET"),
        (
            "orchestrator",
            {"rpc_url": UNREACHABLE},
            ExitCode.CHAIN_UNAVAILABLE,
            "no answer from 127.0.0.1",
        ),
        (
            "node",
            {"data": "synthetic", "key_env": KEY_ENV, "rpc_url": UNREACHABLE},
            ExitCode.CHAIN_UNAVAILABLE,
            "no answer from 127.0.0.1",
        ),
    ],
)
def test_service_that_cannot_start_says_why_in_words_and_status(
    devnet: Devnet,
    tmp_path: Path,
    *,
    module: str,
    settings: dict[str, object],
    status: ExitCode,
    said: str,
) -> None:
    config = tmp_path / "faulty.toml"
    config.write_text(devnet.settings(str(tmp_path / "state"), **settings))

    done = devnet.run(module, "--config", str(config))

    assert done.returncode == status, done.stderr
    assert said in done.stderr
    assert "Traceback" not in done.stderr


def test_commands_tell_an_absent_chain_from_a_wrong_argument(devnet: Devnet) -> None:
    deployment = ("--deployment", str(devnet.deployment))
    absent = devnet.run("scripts.round_state", "--rpc", UNREACHABLE, *deployment)
    no_contract = devnet.run("scripts.round_state", "--rpc", devnet.rpc_url)
    no_code = devnet.command("round_state", "--task", "0x12")

    assert absent.returncode == ExitCode.CHAIN_UNAVAILABLE, absent.stderr
    assert no_contract.returncode == ExitCode.CONFIG, no_contract.stderr
    assert no_code.returncode == ExitCode.CONFIG, no_code.stderr
    assert all("Traceback" not in each.stderr for each in (absent, no_contract, no_code))


def test_every_service_stops_gracefully_when_told(devnet: Devnet) -> None:
    # Last in this file: what it stops, no other test can ask.
    statuses = devnet.stop()

    assert set(statuses.values()) == {0}, f"{statuses}\n{devnet.logs()}"


def names(folder: Path) -> set[str]:
    return {path.name for path in folder.iterdir()}
