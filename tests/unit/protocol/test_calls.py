"""The same thing to do has one name, and another thing another name."""

from dataclasses import replace

import pytest

from protocol.chain import calls
from protocol.posting import Part
from protocol.recompute import Result, RevealedUpdate, Roots
from protocol.state import Flag, Published, RoundState, Seat

pytestmark = pytest.mark.unit

ANNA, BERT = "0x" + "a" * 40, "0x" + "b" * 40
REVEALED = [RevealedUpdate(who, b"\1" * 32, 4) for who in (ANNA, BERT)]
STATE = RoundState(opened_at=1, published_at=9, publisher=ANNA, model_root=b"\2" * 32)
FOUND = Result(b"\3" * 32, b"\4" * 32, b"\5" * 32, 2)
PARTS = [Part(b"first", b""), Part(b"second", b"\3")]


def test_updates_are_carried_in_order_of_reveal():
    carried = ((ANNA, b"\1" * 32, 4), (BERT, b"\1" * 32, 4))
    assert calls.distribute(7, REVEALED, {1: b"\0\xff"}).args == (7, carried, b"\1\0\xff")
    assert calls.flag_update(7, REVEALED, 1).args == (7, carried, 1)


def test_vote_carries_what_was_found_and_from_what():
    voted = calls.vote(7, FOUND)
    zeros = (bytes(32), bytes(32))
    assert voted.args == (7, (b"\3" * 32, b"\4" * 32, b"\5" * 32, 2, *zeros))
    refuted = calls.refute_outvoted(7, STATE, Roots(b"\3" * 32, b"\4" * 32))
    assert (refuted.function, refuted.args) == ("refuteOutvoted", (7, b"\3" * 32, b"\4" * 32))


def test_next_part_is_posted():
    posted = calls.post_result(7, Published.MODEL, STATE, Flag(posted=1), PARTS)
    assert posted.function == "postResult"
    assert posted.args == (7, Published.MODEL, b"second", b"\3")


def test_purposes_differ_wherever_something_else_is_to_be_done():
    flag = Flag(posted=0)
    purposes = [
        call.purpose
        for call in (
            *(calls.on_task(function, 7) for function in ("openRound", "finalise", "voidRound")),
            calls.on_task("openRound", 8),
            calls.draw_seats(7),
            calls.distribute(7, REVEALED, {}),
            calls.distribute(8, REVEALED, {}),
            calls.slash_withheld(ANNA, Seat(committed_round=7)),
            calls.slash_withheld(ANNA, Seat(committed_round=8)),
            calls.slash_withheld(BERT, Seat(committed_round=7)),
            calls.reclaim_deposit(ANNA, 7),
            calls.reclaim_deposit(BERT, 7),
            calls.flag_update(7, REVEALED, 0),
            calls.flag_update(7, REVEALED, 1),
            calls.post_result(7, Published.MODEL, STATE, flag, PARTS),
            calls.post_result(7, Published.AGGREGATE, STATE, flag, PARTS),
            calls.post_result(7, Published.MODEL, STATE, replace(flag, posted=1), PARTS),
            calls.post_result(7, Published.MODEL, replace(STATE, published_at=8), flag, PARTS),
            *(calls.vote(7, FOUND._replace(**{name: b"\6" * 32})) for name in FOUND._fields[:3]),
            calls.vote(7, FOUND._replace(unavailable=0)),
            *(calls.vote(number, FOUND) for number in (7, 8)),
            calls.refute_outvoted(7, STATE, Roots(b"\3" * 32, b"\4" * 32)),
            calls.refute_outvoted(7, replace(STATE, published_at=8), Roots(b"\3" * 32, b"\4" * 32)),
            calls.refute_outvoted(7, STATE, Roots(b"\3" * 32, b"\5" * 32)),
        )
    ]
    assert len(set(purposes)) == len(purposes)
