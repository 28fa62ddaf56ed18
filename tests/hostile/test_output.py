"""Commands on a workspace that an attacker filled: they end well, and print nothing that steers a terminal."""

from __future__ import annotations

from pathlib import Path

import msgspec
import pytest
from msgspec.structs import replace

from hegelion_core.errors import ExitCode
from hegelion_core.events import encode
from hegelion_core.workspace import Workspace
from hegelion_tui.cli import run
from tests.fakes.html_pages import Page, assert_loads_nothing
from tests.hostile.evil_events import everything
from tests.hostile.texts import HTML, LINES, MARKUP, SHELL, STEERING, TURNS, is_fit_for_a_terminal
from tests.unit.generation.test_store import sample

ALL = STEERING + MARKUP + HTML + SHELL + TURNS
RUN = "20251122-162200-run-all-1a2b3c4d"
COMMANDS: dict[str, tuple[str, ...]] = {
    "status": ("--status",),
    "status as JSON": ("--status", "--json"),
    "runs": ("runs",),
    "runs as JSON": ("runs", "--json"),
    "a run": ("runs", "show", RUN),
    "a run as JSON": ("runs", "show", RUN, "--json"),
    "two runs": ("runs", "compare", RUN, RUN),
    "a run that is not there": ("runs", "show", STEERING),
    "report": ("report", "--output", "report.html"),
    "report as JSON": ("report", "--json", "--output", f"{STEERING[:4]}.html"),
    "quality": ("quality",),
    "quality as JSON": ("quality", "--json"),
    "data set": ("dataset", "samples.jsonl", "set.jsonl", "--format", "messages"),
    "data set with a card": ("dataset", "samples.jsonl", "set.parquet", "--format", "dpo", "--json"),
    "stop": ("stop",),
    "dry run": ("--run-all", "--dry-run"),
    "no such option": (f"--{STEERING}",),
    "no such setting": ("--run-all", "--dry-run", "--set", f"x.{STEERING}=1"),
    "no such value": ("--run-all", "--dry-run", "--set", f"training.lr={STEERING}"),
}


@pytest.fixture(params=["text", "bytes"])
def place(request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Workspace:
    """A workspace whose files say what an attacker wants: in their words, or not even that."""
    monkeypatch.chdir(tmp_path)
    made = Workspace(tmp_path)
    folder = made.run(RUN)
    data = made.artifacts / "data"
    for path in (folder.path, made.logs, data):
        path.mkdir(parents=True)
    kept = replace(sample("Is it so?"), instruction=f"Is it so? {ALL}", output=sample(ALL).output + ALL)
    samples = msgspec.json.encode(kept) + b"\n"
    logs = f"{ALL}\n".encode()
    events = b"".join(map(encode, everything(ALL)))
    if request.param == "bytes":
        rubbish = b"\n".join(LINES.values()) + b"\n"
        samples, logs, events = samples + rubbish, logs + rubbish, events + rubbish
        for path in (folder.settings, folder.metrics, folder.evaluation, folder.prompts, made.core_pointer):
            path.write_bytes(rubbish)
    (data / "hegelion_kimi_training_data.jsonl").write_bytes(samples)
    (tmp_path / "samples.jsonl").write_bytes(samples)
    folder.events.write_bytes(events)
    for log in (made.generator_log(1), made.train_log):
        log.write_bytes(logs)
    return made


@pytest.mark.parametrize("name", COMMANDS)
def test_what_a_command_prints_steers_no_terminal(
    name: str, place: Workspace, capsys: pytest.CaptureFixture[str]
) -> None:
    code = run(list(COMMANDS[name]))
    said = "".join(capsys.readouterr())
    assert code in set(ExitCode)
    assert is_fit_for_a_terminal(said), said
    assert "Traceback" not in said
    assert not (place.root / "pwned").exists()
    for page in place.root.glob("*.html"):
        assert_loads_nothing(Page(page.read_text()))
