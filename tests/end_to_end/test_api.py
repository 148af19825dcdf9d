"""The read-only API over a real chain and real HTTP: it shows what the latest tick saw."""

import httpx
import numpy as np
import pytest

from orchestrator.board import Board
from orchestrator.journal import Journal
from orchestrator.metrics import Metrics
from protocol.blobs import DirectoryStore, HttpStore
from protocol.http import HttpServer
from protocol.task import ZERO_ADDRESS
from tests.end_to_end.fixed_desks import (
    CHUNK,
    DESKS,
    GENESIS,
    SHIFT,
    FixedDesks,
    Served,
    run_round,
    serving,
    update_of,
)

pytestmark = pytest.mark.chain


@pytest.fixture
def network(embedded, tmp_path):
    return FixedDesks(embedded, tmp_path)


@pytest.fixture
def desk(network, tmp_path):
    with serving(network.desk_blobs) as remote:
        yield Served(network, tmp_path / "orchestrator", [remote])


@pytest.fixture
def api(desk):
    with HttpServer(desk.app()) as server, httpx.Client(base_url=server.url) as client:
        client.service = desk.service
        yield client


def test_the_api_shows_a_finished_round(network, desk, api):
    network.join()
    run_round(network, desk)
    assert [desk.tick().acted for _ in range(3)] == ["open", "distribute", None]
    task = "0x" + network.task_id.hex()
    (summary,) = api.get("/tasks").json()["tasks"]
    assert (summary["id"], summary["round"]) == (task, 2)
    assert (summary["seats"], summary["active"], summary["ended"]) == (3, 3, False)
    assert summary["currency"] == ZERO_ADDRESS
    detail = api.get(f"/tasks/{task}").json()
    assert detail["params"]["rule"] == "median"
    assert detail["params"]["reward_rule"] == "equal"
    assert detail["params"]["seed_source"] == ZERO_ADDRESS
    assert (detail["entering"], detail["pending"], detail["draw"]) == (0, 0, None)
    assert detail["params"]["stake_wei"] == str(network.params.stake_wei)
    assert detail["params"]["genesis_model_root"].startswith("0x")
    assert detail["block"]["timestamp"] == network.now()
    assert detail["next"]["why"] == f"round 2 is in {detail['phase']}"
    listed = api.get(f"/tasks/{task}/rounds").json()
    assert [shown["number"] for shown in listed["rounds"]] == [1, 2]
    first = api.get(f"/tasks/{task}/rounds/1").json()
    assert first == listed["rounds"][0]
    assert first["phase"] == "final"
    assert first["settled"]
    assert len(first["committed"]) == len(first["revealed"]) == DESKS
    assert all(revealed["available"] for revealed in first["revealed"])
    assert {revealed["standing"] for revealed in first["revealed"]} == {"included"}
    assert (first["included"], first["refutations"], first["result_flags"]) == (DESKS, 0, [])
    share_wei = str(network.params.reward_wei // DESKS)
    assert first["distributed"]
    assert [(each["share_wei"], each["scores"]) for each in first["revealed"]] == [
        (share_wei, None)
    ] * DESKS
    ends = first["deadlines"]
    assert ends["reveal"] < ends["flag_update"] < ends["availability"]
    assert first["published_at"] < ends["flag_result"] < ends["post_result"] < ends["challenge"]
    assert first["publisher"] == network.aggregator.address
    assert first["evaluation"] == {"last": (99 + 11) / 2**SHIFT}
    participants = api.get(f"/tasks/{task}/participants").json()["participants"]
    for shown in participants:
        assert (shown["revealed_rounds"], shown["served"], shown["samples"]) == (1, 1, 1)
        assert (shown["missed"], shown["slashed"], shown["reward_wei"]) == (0, 0, share_wei)
    models = api.get(f"/tasks/{task}/models").json()["models"]
    assert [(model["round"], model["available"]) for model in models] == [(0, True), (1, True)]
    fetched = HttpStore(str(api.base_url)).get(
        bytes.fromhex(first["model_root"][2:]), chunk_length=CHUNK, shift=SHIFT
    )
    assert np.array_equal(fetched.values, GENESIS + update_of(1, 1))
    metrics = api.get("/metrics").text
    assert f'volquorum_round{{task="{task}"}} 2.0' in metrics
    assert f'volquorum_refutations{{task="{task}"}} 0.0' in metrics
    assert f'volquorum_actions_total{{action="publish",task="{task}"}} 1.0' in metrics
    assert f'volquorum_distributed_rounds{{task="{task}"}} 1.0' in metrics


def test_requests_never_ask_the_chain(network, desk, api, monkeypatch):
    desk.tick()
    task = "0x" + network.task_id.hex()
    monkeypatch.setattr(network.chain.rpc, "request", None)
    for page in ("", "/rounds", "/participants", "/models"):
        assert api.get(f"/tasks/{task}{page}").status_code == 200


@pytest.mark.parametrize(
    ("path", "says"),
    [
        ("/tasks/0x12", "no task 0x12"),
        ("/tasks/0x" + "00" * 32, "/tasks lists those that are"),
        ("/tasks/TASK/rounds/1", "no round 1; the latest is 0"),
        ("/tasks/TASK/rounds/0", "no round 0"),
        ("/blobs/0x" + "00" * 32, "no blob"),
    ],
)
def test_what_is_not_there_is_said_clearly(network, desk, api, path, says):
    desk.tick()
    answer = api.get(path.replace("TASK", "0x" + network.task_id.hex()))
    assert answer.status_code == 404
    assert says in answer.json()["detail"]


def test_pages_of_rounds(network, desk, api):
    network.join()
    run_round(network, desk)
    desk.tick()
    desk.tick()
    path = f"/tasks/0x{network.task_id.hex()}/rounds"
    page = api.get(path, params={"start": 2, "limit": 1}).json()
    assert (page["total"], [shown["number"] for shown in page["rounds"]]) == (2, [2])
    assert api.get(path, params={"limit": 0}).status_code == 422


def test_nothing_can_be_changed_through_the_api(network, desk, api):
    desk.tick()
    for path in ("/tasks", f"/tasks/0x{network.task_id.hex()}"):
        for method in ("POST", "PUT", "DELETE", "PATCH"):
            assert api.request(method, path).status_code == 405


def test_readiness_follows_the_ticks(api):
    assert api.get("/healthz").status_code == 200
    assert api.get("/readyz").status_code == 503
    api.service.step()
    assert api.get("/readyz").status_code == 200


def test_a_board_is_empty_before_the_first_tick(tmp_path):
    board = Board(DirectoryStore(tmp_path / "blobs"), Journal(tmp_path / "metrics.jsonl"))
    assert board.tasks == ()
    assert board.find(bytes(32)) is None
    assert Metrics().registry.get_sample_value("volquorum_head_number") == 0
