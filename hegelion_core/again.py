"""The command that goes on with a run. What tells it of a state is light: ``--status`` does without pydantic."""

from __future__ import annotations

import os
import re
import shlex
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Literal, cast

from hegelion_core.events import STAGES
from hegelion_core.run_state import RunState
from hegelion_core.workspace import Workspace

if TYPE_CHECKING:
    from hegelion_core.settings import Settings

Kind = Literal["run-all", "generate", "convert", "train", "evaluate"]
_ID = re.compile(r"\d{8}-\d{6}-(run-all|generate|convert|train|evaluate)-[0-9a-f]{8}")
_KEYS = {"check": "r", "generate": "g", "convert": "c", "train": "t", "evaluate": "e"}


def kind_of(run_id: str) -> Kind:
    """What a run of this id was opened for."""
    found = _ID.fullmatch(run_id)
    return cast("Kind", found[1]) if found else "run-all"


def typed(place: Workspace, *words: str) -> str:
    """A command for a workspace, or for its demo, as one types it in the current folder: ``train``, ``--run-all``."""
    where = [] if place.root == Path.cwd() else ["--workspace", str(place.root)]
    return shlex.join(["hegelion-console", *words, *["--demo"] * place.demo, *where])


def command(state: RunState, place: Workspace) -> str:
    """The command line that goes on where a run was, as one types it in the current folder."""
    kind = kind_of(state.run_id)
    in_part = kind == "run-all" and state.requested not in ((), STAGES)
    words = ["hegelion-console", *([] if in_part else ["--run-all"] if kind == "run-all" else [kind])]
    words += ["--demo"] * state.demo
    words += ["--workspace", str(place.root)] if place.root != Path.cwd() else []
    line = shlex.join([*words, *state.arguments])
    keys = ", ".join(_KEYS[stage] for stage in state.requested if stage != "check")
    return f"{line} (then press {keys})" if in_part else line


def arguments(place: Workspace, settings: Settings, kind: Kind) -> tuple[str, ...]:
    """The flags for what ``settings`` say otherwise than the settings file and the defaults do; no credentials."""
    from hegelion_core.errors import UserError
    from hegelion_core.redaction import Redactor
    from hegelion_core.settings import resolve

    try:
        usual = resolve(place.root, {}, demo=place.demo, environment={}).settings.model_dump(mode="json")
    except UserError:  # nothing can be opened with that file; once it is mended, this says it all
        from hegelion_core.settings import Settings as Defaults

        usual = Defaults().model_dump(mode="json")
    flags = _flags(kind)
    said: list[str] = []
    for section, values in settings.model_dump(mode="json").items():
        for name, value in values.items():
            if value != usual[section][name] and section != "console":
                said += _argument(f"{section}.{name}", value, flags)
    return tuple(map(Redactor(os.environ), said))


def _argument(name: str, value: object, flags: Mapping[str, tuple[str, object]]) -> list[str]:
    flag, only = flags.get(name, ("", None))
    if value is None:
        return []  # nobody can say that on a command line
    text = ",".join(map(str, value)) if isinstance(value, list) else str(value)
    if flag and only is None:
        return [flag, text]
    return [flag] if flag and value == only else ["--set", f"{name}={text}"]


def _flags(kind: Kind) -> dict[str, tuple[str, object]]:
    """Name of a setting to its flag in the run's command, and to the only value that it can say, if it takes none."""
    import click

    from hegelion_core.commands import options, stage
    from hegelion_core.commands.convert import convert
    from hegelion_core.commands.evaluate import evaluate

    commands = {"generate": stage.generate, "convert": convert, "train": stage.train, "evaluate": evaluate}
    command = commands.get(kind) or click.command()(options.RUN_ALL(lambda **_: None))
    found: dict[str, tuple[str, object]] = {}
    for option in command.params:
        if isinstance(option, click.Option) and "__" in str(option.name):
            only = option.flag_value if option.is_flag else None
            found[str(option.name).replace("__", ".")] = (option.opts[0], only)
    return found
