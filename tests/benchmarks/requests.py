"""Benchmark of what the real Kimi Code sends for a sample: our agent against the default one, on a loopback server."""

from __future__ import annotations

import os
import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path

from hegelion_core.dialectic import prompts
from hegelion_core.settings import TeacherSettings
from hegelion_core.teachers import kimi_program
from hegelion_core.teachers.teacher import Call
from hegelion_core.teachers.which_kimi import Kimi
from tests import install_kimi
from tests.fakes.model_server import ModelServer

QUERY = "Should cities ban cars from their centres?"


def request_size() -> Iterator[tuple[str, str, str]]:
    """Rows: bytes of the request's body and tools offered."""
    program = install_kimi.CODE_BIN / "kimi"
    kimi = Kimi(program, "2.1", "kimi-code")
    call = Call(call_id="c", prompt_id="p", query=QUERY, instance=1)
    for name in ("default agent", "our agent"):
        with ModelServer() as server, tempfile.TemporaryDirectory() as folder:
            agent = kimi_program.write_agent(Path(folder), "kimi-code", prompts.TEACHER_SYSTEM)
            command = kimi_program.command(kimi, agent, TeacherSettings(), call)
            if name == "default agent":
                at = command.index("--agent-file")
                del command[at : at + 2]
            subprocess.run(command, cwd=folder, env=_environment(server.url, folder), capture_output=True, check=True)
            request = server.requests[0]
        ours = len(prompts.user_text(QUERY).encode())
        if name == "our agent":
            ours += len(prompts.TEACHER_SYSTEM.encode())
        yield (
            f"Kimi Code, one request, {name}",
            f"{request.size:,} bytes, {len(request.tools)} tools",
            f"{request.size - ours:,} bytes besides our instructions and the row",
        )


def _environment(url: str, home: str) -> dict[str, str]:
    path = os.pathsep.join([str(install_kimi.CODE_BIN), str(install_kimi.node_bin()), os.environ["PATH"]])
    model = {"NAME": "test-model", "BASE_URL": url, "API_KEY": "k", "PROVIDER_TYPE": "openai"}
    own = {"PATH": path, "HOME": home, **{f"KIMI_MODEL_{name}": value for name, value in model.items()}}
    return kimi_program.child_environment(own, TeacherSettings())
