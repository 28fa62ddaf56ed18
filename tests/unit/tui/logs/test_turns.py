from __future__ import annotations

import asyncio

import pytest

from hegelion_tui.logs import turns
from hegelion_tui.logs.turns import Turns


async def test_one_after_the_other_and_others_in_between() -> None:
    happened: list[str] = []
    shared, done = Turns(), asyncio.Event()

    async def pane(name: str) -> None:
        async with shared.mine():
            happened.append(name)

    async def keys() -> None:
        while not done.is_set():
            if happened and happened[-1] != "key":
                happened.append("key")
            await asyncio.sleep(0)

    listening = asyncio.create_task(keys())
    await asyncio.gather(*(pane(str(number)) for number in range(8)))
    done.set()
    await listening
    assert happened == [one for number in range(8) for one in (str(number), "key")]


async def test_a_pane_that_fails_holds_up_no_other() -> None:
    shared = Turns()
    with pytest.raises(OSError, match="no"):
        async with shared.mine():
            raise OSError("no")
    async with asyncio.timeout(1), shared.mine():
        pass


def test_keys_count_for_a_moment(monkeypatch: pytest.MonkeyPatch) -> None:
    now = [100.0]
    monkeypatch.setattr("hegelion_tui.logs.turns.time.monotonic", lambda: now[0])
    shared = Turns()
    heard = [shared.keys_come]
    shared.key_pressed()
    heard.append(shared.keys_come)
    now[0] += 2 * turns.HELD
    heard.append(shared.keys_come)
    assert heard == [False, True, False]
