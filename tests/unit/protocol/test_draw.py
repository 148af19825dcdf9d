"""A draw is fair: it chooses about as many as it was asked to, whoever they are."""

import pytest

from protocol.draw import draw_of, is_drawn

pytestmark = pytest.mark.unit

TASK = b"\2" * 32
ACCOUNTS = ["0x" + number.to_bytes(20, "big").hex() for number in range(1, 1_001)]


def chosen(draw: bytes) -> int:
    return sum(is_drawn(draw, account) for account in ACCOUNTS)


@pytest.mark.parametrize("drawn", [16, 64, 500])
def test_about_as_many_are_drawn_as_asked_for(drawn: int) -> None:
    counts = [
        chosen(draw_of(bytes([seed]) * 32, TASK, 1, drawn=drawn, active=1_000))
        for seed in range(20)
    ]
    # Six standard deviations of a mean of twenty.
    deviation = (drawn * (1 - drawn / 1_000)) ** 0.5
    assert abs(sum(counts) / 20 - drawn) < 6 * deviation / 20**0.5
    assert len(set(counts)) > 1


def test_every_round_and_task_draws_anew() -> None:
    draws = {
        draw_of(b"\1" * 32, task, number, drawn=3, active=10)
        for task in (TASK, b"\3" * 32)
        for number in (1, 2)
    }
    assert len(draws) == 4
    assert len({draw[24:] for draw in draws}) == 1


def test_the_address_counts_and_not_how_it_is_written() -> None:
    draw = draw_of(b"\1" * 32, TASK, 1, drawn=1, active=2)
    for account in ("0x" + "ab" * 20, "0x" + "cd" * 20):
        assert is_drawn(draw, account) == is_drawn(draw, account.upper().replace("X", "x"))
