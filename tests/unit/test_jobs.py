"""Workers from the core's side: what they report, whole or not."""

from __future__ import annotations

from pathlib import Path

import pytest

from hegelion_core import events as e
from hegelion_core.event_log import EventLog
from hegelion_core.jobs import Jobs, WorkerDied
from hegelion_core.settings import Settings
from hegelion_core.supervisor import Supervisor
from hegelion_core.workspace import Workspace

KILLED_WHILE_IT_REPORTS = """
import json, os, signal, sys
path = json.load(open(sys.argv[1]))["reports"]
with open(path, "ab") as file:
    file.write(b'{"event":"NoticePosted","text":"whole"}\\n{"event":"NoticePos')
os.kill(os.getpid(), signal.SIGKILL)
"""


async def test_a_report_that_a_kill_left_torn_is_passed_over(tmp_path: Path) -> None:
    (tmp_path / "torn_worker.py").write_text(KILLED_WHILE_IT_REPORTS)
    place = Workspace(tmp_path)
    run = place.run("1-train-x")
    run.spool.mkdir(parents=True)
    log, supervisor = EventLog(run.events), Supervisor(run.mark)
    try:
        with pytest.raises(WorkerDied, match="SIGKILL"):
            await Jobs(place, run, Settings(), supervisor, log).run("train", "torn_worker")
    finally:
        await supervisor.close()
        log.close()
    assert [notice.text for notice in log.state.notices] == ["whole"]
    assert any(isinstance(event, e.ChildExited) for event in told(run.events))


def told(path: Path) -> list[e.AnyEvent]:
    return [e.decode(line) for line in path.read_bytes().splitlines()]
