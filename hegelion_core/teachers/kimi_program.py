"""How each Kimi program is run as a teacher: agent file, command line, environment. Pure, except for the agent files.

Both approve every tool call by themselves when they run unattended, and the prompts are strangers' texts. So the agent
has no tools and no sub-agents, its system prompt is ours alone, and its environment holds none of the user's secrets
but Kimi's own.
"""

from __future__ import annotations

import tomllib
from collections.abc import Mapping
from pathlib import Path

from hegelion_core.dialectic import steps
from hegelion_core.dialectic.parsing import clean
from hegelion_core.settings import TeacherSettings
from hegelion_core.teachers.faults import login_hint
from hegelion_core.teachers.kimi_output import Dialect
from hegelion_core.teachers.teacher import Call, TeacherFault
from hegelion_core.teachers.which_kimi import Kimi

MAX_ARGUMENT = 131_071
"""Bytes of one argument on Linux (MAX_ARG_STRLEN less its final NUL); both programs take the prompt as an argument."""

_KEPT = {
    *("PATH", "HOME", "USER", "LOGNAME", "SHELL", "LANG", "LANGUAGE", "TZ", "TMPDIR"),
    *("SSL_CERT_FILE", "SSL_CERT_DIR", "REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE", "NODE_EXTRA_CA_CERTS"),
    *("HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY", "NO_PROXY", "http_proxy", "https_proxy", "all_proxy", "no_proxy"),
}
_SET = {
    "KIMI_DISABLE_TELEMETRY": "1",
    "KIMI_CODE_NO_AUTO_UPDATE": "1",
    "KIMI_CLI_NO_AUTO_UPDATE": "1",
    "KIMI_DISABLE_CRON": "1",
    # Waiting and trying again is this program's business: it knows of the other instances. But only before a second
    # attempt does Kimi Code say how long the provider wants it to wait; the call is stopped there.
    "KIMI_LOOP_MAX_ATTEMPTS_PER_STEP": "2",
    "NO_COLOR": "1",
    # The legacy program breaks its error messages at the terminal's width.
    "COLUMNS": "4000",
}
_CODE_AGENT = """\
---
name: dialectician
description: Answers a question with a dialectical trace, in text only.
tools: []
subagents: []
---

"""
_LEGACY_AGENT = """\
version: 1
agent:
  name: dialectician
  system_prompt_path: ./system.md
  tools: []
  subagents: {}
"""


def child_environment(environment: Mapping[str, str], settings: TeacherSettings) -> dict[str, str]:
    """The whole environment of a Kimi process: what it needs to run, Kimi's own settings, and ours for the model."""
    kept = {name: value for name, value in environment.items() if name in _KEPT or name.startswith(("LC_", "KIMI_"))}
    return kept | _SET | _sampling(settings)


def _sampling(settings: TeacherSettings) -> dict[str, str]:
    """Both programs read these; how far a provider follows them is its own affair (docs/teachers.md)."""
    given = {
        "KIMI_MODEL_TEMPERATURE": settings.temperature,
        "KIMI_MODEL_TOP_P": settings.top_p,
        "KIMI_MODEL_MAX_COMPLETION_TOKENS": settings.max_new_tokens,
        "KIMI_MODEL_THINKING_EFFORT": None if settings.thinking == "default" else settings.thinking,
    }
    return {name: str(value) for name, value in given.items() if value is not None}


def write_agent(folder: Path, dialect: Dialect, system: str) -> Path:
    """Write the agent that has no tools and runs on the words ``system``, into its own folder; returns its file."""
    folder.mkdir(exist_ok=True)
    if dialect == "kimi-code":
        agent = folder / "dialectician.md"
        agent.write_text(f"{_CODE_AGENT}{system}\n", "utf-8")
        return agent
    (folder / "system.md").write_text(f"{system}\n", "utf-8")
    agent = folder / "dialectician.yaml"
    agent.write_text(_LEGACY_AGENT, "utf-8")
    return agent


def command(kimi: Kimi, agent: Path, settings: TeacherSettings, call: Call) -> list[str]:
    """The command line of one call.

    Raises:
        TeacherFault: the prompt does not fit into an argument.
    """
    text = steps.user_text(clean(call.query), call.correction, call.step)
    size = len(text.encode())
    if size > MAX_ARGUMENT:
        raise TeacherFault(
            "filtered",
            f"The prompt is {size:,} bytes long with its instructions; kimi takes at most {MAX_ARGUMENT:,}.",
            "It is set aside. A lower generation.max_prompt_chars leaves such prompts out from the start.",
        )
    unattended = [] if kimi.dialect == "kimi-code" else ["--print", "--max-retries-per-step", "1"]
    if kimi.dialect == "kimi-legacy" and settings.thinking != "default":
        unattended.append("--thinking" if settings.thinking == "on" else "--no-thinking")
    alias = ["--model", settings.model] if settings.model else []
    output = ["--output-format", "stream-json"]
    return [str(kimi.path), *unattended, *alias, "--agent-file", str(agent), *output, "-p", text]


def home(dialect: Dialect, environment: Mapping[str, str]) -> Path:
    """Where the program keeps its configuration and sessions."""
    variable, name = ("KIMI_CODE_HOME", ".kimi-code") if dialect == "kimi-code" else ("KIMI_SHARE_DIR", ".kimi")
    if given := environment.get(variable):
        return Path(given)
    return Path(environment.get("HOME") or Path.home()) / name


def check_login(dialect: Dialect, environment: Mapping[str, str], model: str | None) -> None:
    """Find out without a request whether a model is configured at all; a login that expired shows at the first call.

    Raises:
        TeacherFault: certainly not logged in.
    """
    if environment.get("KIMI_MODEL_NAME" if dialect == "kimi-code" else "KIMI_API_KEY"):
        return
    path = home(dialect, environment) / "config.toml"
    try:
        configured = tomllib.loads(path.read_text("utf-8"))
    except FileNotFoundError:
        configured = {}
    except (OSError, ValueError, RecursionError):  # not UTF-8, not TOML, a number or a nesting without end
        return  # Kimi's own word on it is better than a guess
    if not (configured.get("default_model") or (model and configured.get("models"))):
        raise TeacherFault("not_logged_in", f"{dialect} has no model configured ({path}).", login_hint(dialect))
