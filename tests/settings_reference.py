"""``docs/settings-reference.md``, made from the settings and the flags of the commands: ``make docs`` writes it."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import groupby
from pathlib import Path

import click

from hegelion_core.setting_words import Setting
from hegelion_core.settings import DEMO, Settings, described
from hegelion_core.workspace import replace
from hegelion_tui.actions import (
    ACTIONS,
    CHART_ACTIONS,
    CHECK_ACTIONS,
    COMPARE_ACTIONS,
    LOG_ACTIONS,
    SAMPLE_ACTIONS,
    SETTING_ACTIONS,
    Action,
)
from hegelion_tui.cli import COMMANDS, door

FILE = Path(__file__).parent.parent / "docs" / "settings-reference.md"

HEAD = """# Settings reference

Made from the code by `make docs`; a test compares. How settings are given, and which source wins:
[settings.md](settings.md).

`training.lr` is `lr` in the table `[training]` of `hegelion.toml`, `HEGELION_TRAINING__LR` in the environment and
`--set training.lr=2e-5` on the command line of every command that opens a run. Many have a flag of their own. Flags
without a command's name belong to `hegelion-console`, to `hegelion-console --run-all` and to the commands that they
concern; `-` and `_` are alike in them. Relative paths are below the workspace. *none* is no value.
"""

SCREENS: tuple[tuple[str, tuple[Action, ...]], ...] = (
    ("everywhere", ACTIONS),
    ("the chart", CHART_ACTIONS),
    ("a log", LOG_ACTIONS),
    ("the samples", SAMPLE_ACTIONS),
    ("the checklist", CHECK_ACTIONS),
    ("the comparison", COMPARE_ACTIONS),
    ("the settings", SETTING_ACTIONS),
)


def reference() -> str:
    """The whole page."""
    return "\n".join([HEAD, *_settings(), *_keys()])


def _settings() -> Iterator[str]:
    flags = _flags()
    for section, settings in groupby(described(), lambda setting: setting.section):
        meaning = (Settings.model_fields[section].annotation or Settings).__doc__
        yield f"## [{section}]\n\n{meaning}\n"
        yield "| setting | takes | default | flag | meaning |\n|---|---|---|---|---|"
        for setting in settings:
            cells = (
                f"`{setting.name}`",
                setting.words,
                _default(setting),
                flags.get(setting.name, ""),
                setting.meaning,
            )
            yield f"| {' | '.join(_cell(cell) for cell in cells)} |"
        yield ""


def _default(setting: Setting) -> str:
    ours = _code(setting.default)
    return f"{ours}; demo {_code(DEMO[setting.name])}" if setting.name in DEMO else ours


def _keys() -> Iterator[str]:
    yield '## [keys]\n\nOther keys for the console\'s actions, as `train = "ctrl+t"` or, for several, `"f5, z"`.\n'
    yield "| action | key | on | what it does |\n|---|---|---|---|"
    for screen, actions in SCREENS:
        for action in actions:
            yield f"| `{action.name}` | `{_cell(action.shown)}` | {screen} | {_cell(action.help)} |"
    yield ""


def _flags() -> dict[str, str]:
    """Each setting's flags: those of the door, then those that only some commands have."""
    context = click.Context(door)
    commands = {"": door, **{name: door.get_command(context, name) for name in COMMANDS}}
    users: dict[str, dict[str, list[str]]] = {}
    for command_name, command in commands.items():
        for parameter in command.params if command is not None else ():
            if isinstance(parameter, click.Option) and "__" in (parameter.name or ""):
                named = users.setdefault(str(parameter.name).replace("__", "."), {})
                for flag in parameter.opts:
                    named.setdefault(flag, []).append(command_name)
    return {name: ", ".join(_flag(flag, by) for flag, by in named.items()) for name, named in users.items()}


def _flag(flag: str, commands: list[str]) -> str:
    return f"`{flag}`" if "" in commands else f"`{flag}` of {', '.join(commands)}"


def _code(value: object) -> str:
    match value:
        case None | ():
            return "none"
        case bool():
            return f"`{str(value).lower()}`"
        case _:
            return f"`{value}`"


def _cell(text: str) -> str:
    return text.replace("|", "\\|")


if __name__ == "__main__":
    replace(FILE, reference().encode())
