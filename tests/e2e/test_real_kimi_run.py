"""A whole run with the real Kimi Code CLI as teacher, in front of a loopback server in place of its provider."""

from __future__ import annotations

import json
import os
from pathlib import Path

from hegelion_core.errors import ExitCode
from tests import install_kimi
from tests.fakes.console import Console
from tests.fakes.model_server import ModelServer, Reply


def test_run_all_with_the_real_kimi_code(tmp_path: Path) -> None:
    """The canary, then three samples, the first answer bad: one is kept as rejected, three are accepted and used."""
    with ModelServer() as server:
        server.script.extend([Reply("I have no tools."), Reply("Cars are loud. That is all.")])
        console = Console(tmp_path, trusted=False)
        folders = [install_kimi.CODE_BIN, install_kimi.node_bin()]
        console.environment |= {
            "PATH": os.pathsep.join([*map(str, folders), os.environ["PATH"]]),
            "KIMI_MODEL_NAME": "test-model",
            "KIMI_MODEL_BASE_URL": server.url,
            "KIMI_MODEL_API_KEY": "swordfish",
            "KIMI_MODEL_PROVIDER_TYPE": "openai",
        }
        result = console.run(*console.run_all("--limit", "3"), timeout=240)
    assert result.returncode == ExitCode.DONE, result.stdout + result.stderr
    samples = [json.loads(line) for line in console.samples.read_text().splitlines()]
    assert len({sample["instruction"] for sample in samples}) == 3
    assert {sample["hegelion_trace"]["metadata"]["teacher"] for sample in samples} == {"kimi-code"}
    assert {sample["hegelion_trace"]["metadata"]["teacher_version"][:4] for sample in samples} == {"2.1."}
    assert len(console.samples.with_suffix(".rejected.jsonl").read_text().splitlines()) == 1
    assert len(server.requests) == 5
    assert "touch canary" in server.requests[0].user_text
    assert all(not request.tools for request in server.requests)
    for path in (console.folder / "artifacts").rglob("*"):
        assert not path.is_file() or b"swordfish" not in path.read_bytes(), path
    assert (console.folder / "artifacts" / "adapters" / "hegelion_1.5b_v1" / "adapters.safetensors").exists()
    console.wait_until_quiet()
