"""The read-only JSON API; blobs, deployment, health, metrics and the relay on the same port."""

import re
from typing import Annotated

from fastapi import APIRouter, Depends, FastAPI, HTTPException, Query
from prometheus_client import CollectorRegistry

from orchestrator import views
from orchestrator.board import Board, TaskBoard
from orchestrator.relay import Relay
from orchestrator.relay_api import relay_router
from protocol.blob_server import blob_router
from protocol.blobs import DirectoryStore
from protocol.chain.gateway import Chain
from protocol.chain.named import deployment_router
from protocol.http import Health, health_router

_TASK_ID = re.compile(r"0x[0-9a-f]{64}")
_LARGEST_PAGE = 1000


def build_app(
    board: Board,
    *,
    chain: Chain,
    own: DirectoryStore,
    health: Health,
    registry: CollectorRegistry,
    relay: Relay | None = None,
) -> FastAPI:
    """The orchestrator's whole HTTP surface."""
    # The interactive pages would load their scripts from elsewhere; the schema stays.
    app = FastAPI(title="volquorum orchestrator", docs_url=None, redoc_url=None)
    app.include_router(task_router(board))
    app.include_router(blob_router(own))
    app.include_router(deployment_router(chain))
    app.include_router(health_router(health, registry))
    if relay is not None:
        app.include_router(relay_router(relay))
    return app


def task_router(board: Board) -> APIRouter:
    """Tasks, rounds, participants and model versions, as of the latest tick."""
    router = APIRouter()

    async def found(task_id: str) -> TaskBoard:
        task = board.find(bytes.fromhex(task_id[2:])) if _TASK_ID.fullmatch(task_id) else None
        if task is None:
            raise HTTPException(
                404, f"no task {task_id} is served here; /tasks lists those that are"
            )
        return task

    task_named = Depends(found)

    @router.get("/tasks")
    async def tasks() -> views.Tasks:
        return views.Tasks(tasks=tuple(task.summary for task in board.tasks))

    @router.get("/tasks/{task_id}")
    async def task(task: TaskBoard = task_named) -> views.TaskDetail:
        return task.detail

    @router.get("/tasks/{task_id}/rounds")
    async def rounds(
        task: TaskBoard = task_named,
        start: Annotated[int, Query(ge=1)] = 1,
        limit: Annotated[int, Query(ge=1, le=_LARGEST_PAGE)] = 100,
    ) -> views.Rounds:
        page = task.rounds[start - 1 : start - 1 + limit]
        return views.Rounds(task=task.summary.id, total=len(task.rounds), rounds=page)

    @router.get("/tasks/{task_id}/rounds/{number}")
    async def one_round(number: int, task: TaskBoard = task_named) -> views.Round:
        if not 1 <= number <= len(task.rounds):
            raise HTTPException(404, f"no round {number}; the latest is {len(task.rounds)}")
        return task.rounds[number - 1]

    @router.get("/tasks/{task_id}/participants")
    async def participants(task: TaskBoard = task_named) -> views.Participants:
        return views.Participants(task=task.summary.id, participants=task.participants)

    @router.get("/tasks/{task_id}/models")
    async def models(task: TaskBoard = task_named) -> views.Models:
        return views.Models(task=task.summary.id, models=task.models)

    return router
