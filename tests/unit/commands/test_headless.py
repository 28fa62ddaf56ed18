"""What a headless run says while nothing happens."""

from __future__ import annotations

import asyncio
from types import SimpleNamespace
from typing import cast

import pytest

from hegelion_core import events as e
from hegelion_core.commands import headless
from hegelion_core.core import Core
from hegelion_core.fold import fold


async def test_after_a_while_of_silence_it_says_that_it_is_at_work(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(headless, "QUIET", 0.01)
    state = fold([e.WorkRequested(at=1, stages=("train",)), e.StageStarted(at=2, stage="train")])
    core = cast("Core", SimpleNamespace(state=state))
    telling = asyncio.create_task(headless._tell_that_it_is_at_work(core, headless.Output(as_json=False)))
    said = ""
    while said.count("still at work, train\n") < 2:
        said += capsys.readouterr().out
        await asyncio.sleep(0)
    telling.cancel()
