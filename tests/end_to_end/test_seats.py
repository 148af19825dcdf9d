"""A node takes its seat, and pays for it again, on the task's terms and in its currency."""

from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from node.memory import MemoryFile
from node.tick import Mandate, Participant, Stores
from protocol.blobs import DirectoryStore
from protocol.chain.token import allowance_wei
from protocol.encoding import encode_model
from protocol.state import Seat
from tests.chain import made
from tests.chain.game import DESKS, STRANGER, Game
from tests.chain.network import Network

pytestmark = pytest.mark.chain

DESK, OTHERS = DESKS[0], DESKS[1:]
SAMPLES = 70


class Trainer:
    """Has samples, and moves the first coordinate."""

    sample_count = SAMPLES

    def __init__(self, spec_hash: bytes) -> None:
        self.spec_hash = spec_hash

    def train(
        self,
        model: NDArray[np.float64],
        round_number: int,  # noqa: ARG002 - the trainer's signature
        before: NDArray[np.float64],  # noqa: ARG002 - the trainer's signature
    ) -> NDArray[np.float64]:
        moved = model.copy()
        moved[0] += 1e-3
        return moved


def node(game: Game, folder: Path, **mandate: bool) -> Participant:
    """The desk's node; made again, it is the same one after kill -9."""
    blobs = DirectoryStore(folder / "blobs")
    genesis = encode_model(game.genesis, game.params.shift)
    blobs.put(genesis, chunk_length=game.params.chunk_length)
    return Participant(
        chain=game.chain,
        transactor=game.transactors[DESK],
        account=game.network.accounts[DESK],
        task_id=game.task_id,
        trainer=Trainer(game.params.model_spec_hash),
        stores=Stores(DirectoryStore(folder / "private"), blobs, blobs),
        memory_file=MemoryFile(folder / "memory.npz"),
        mandate=Mandate(**mandate),
    )


def seat(game: Game) -> Seat:
    return game.look().seat(game.task_id, game.address(DESK))


def allowed(game: Game) -> int:
    return allowance_wei(game.chain, game.params.currency, game.address(DESK))


def test_seat_is_taken_with_as_many_samples_as_the_node_trains_on(
    embedded: Network, tmp_path: Path
) -> None:
    game = Game(embedded, min_samples=SAMPLES)
    game.create()

    assert node(game, tmp_path).tick().acted == "join"

    assert (seat(game).samples, seat(game).stake_wei) == (SAMPLES, game.params.stake_wei)


def test_seat_is_not_taken_with_fewer_samples_than_the_task_asks_for(
    embedded: Network, tmp_path: Path
) -> None:
    game = Game(embedded, min_samples=SAMPLES + 1)
    game.create()

    waiting = node(game, tmp_path).tick()

    assert waiting.acted is None
    assert waiting.why == (
        f"the task asks for at least {SAMPLES + 1} training samples, this node has {SAMPLES}"
    )


def test_whoever_comes_back_declares_what_it_declared_first(
    embedded: Network, tmp_path: Path
) -> None:
    game = Game(embedded)
    game.create()
    game.join(DESK, samples=SAMPLES + 5)
    game.leave(DESK)

    assert node(game, tmp_path).tick().acted == "join"

    assert seat(game).samples == SAMPLES + 5


@pytest.mark.parametrize("token", ["PlainToken", "StubbornToken"])
def test_stake_and_slice_of_a_token_are_allowed_to_the_last_unit_and_taken(
    embedded: Network, tmp_path: Path, token: str
) -> None:
    game = Game(embedded, currency=made.token(embedded, token))
    game.create()
    game.join(*OTHERS)
    assert node(game, tmp_path).tick().acted == "join"
    assert (seat(game).stake_wei, allowed(game)) == (game.params.stake_wei, 0)

    game.open()
    game.travel(game.deadlines().selection)
    assert node(game, tmp_path).tick().acted == "commit"
    game.travel(game.deadlines().reveal)
    game.slash(STRANGER, DESK)
    assert seat(game).suspended
    assert "no round is running" in node(game, tmp_path).tick().why
    assert node(game, tmp_path, restores=True).tick().acted == "restore"

    assert (seat(game).stake_wei, allowed(game)) == (game.params.stake_wei, 0)
    assert seat(game).active_from == game.round + 1


def test_node_that_missed_its_reveal_admits_it_and_is_back_in_the_next_round(
    embedded: Network, tmp_path: Path
) -> None:
    game = Game(embedded)
    game.create()
    game.join(*OTHERS)
    assert node(game, tmp_path).tick().acted == "join"
    game.open()
    game.travel(game.deadlines().selection)
    assert node(game, tmp_path).tick().acted == "commit"
    game.travel(game.deadlines().reveal)

    late = node(game, tmp_path, restores=True)
    assert [late.tick().acted, late.tick().acted] == ["slashwithheld", "restore"]
    game.open()
    game.travel(game.deadlines().selection)

    assert late.tick().acted == "commit"
    assert (seat(game).missed, seat(game).committed_round) == (1, 2)
