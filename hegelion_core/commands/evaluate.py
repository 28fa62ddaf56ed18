"""``hegelion-console evaluate``: any adapter against its base model, on held-out rows and prompts; it is a run too."""

from __future__ import annotations

import shutil
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import click

from hegelion_core.commands.options import CONTEXT, DEMO, DRY_RUN, NEW, SET, WORKSPACE, flags_of, setting
from hegelion_core.commands.streams import write_result
from hegelion_core.commands.text import printable, printable_json
from hegelion_core.errors import ExitCode, UserError, explain
from hegelion_core.regular import read_regular
from hegelion_core.unreadable import UNREADABLE

if TYPE_CHECKING:
    from hegelion_core.run_state import RunState
    from hegelion_core.settings import ResolvedSettings
    from hegelion_core.workspace import Workspace

MOST = 1000
"""Prompts of a file that are answered, at most; ``--answers`` says how many otherwise."""


@click.command(context_settings=CONTEXT)
@setting("--model", "training.model", "Student: hub name, local folder or 'bundled'.")
@setting("--data", "conversion.output", "Training rows; those held out from training are used.")
@setting("--adapter-path", "training.adapter_path", "Folder of the adapter.")
@setting("--prompts", "evaluation.prompts", "Held-out prompts, text or JSONL; default: the bundled ones.")
@setting("--answers", "evaluation.answers", "Prompts that both models answer [6; of --prompts FILE all].")
@setting("--max-new-tokens", "evaluation.max_new_tokens", "Tokens an answer may have.")
@click.option("--json", "as_json", is_flag=True, help="The result as JSON on standard output, words on standard error.")
@WORKSPACE
@DEMO
@SET
@NEW
@DRY_RUN
@click.pass_context
def evaluate(
    context: click.Context,
    /,
    *,
    workspace: Path,
    demo: bool,
    new: bool,
    as_json: bool,
    dry_run: bool,
    **values: object,
) -> None:
    """Compare an adapter with its base model: validation loss, share of whole traces, both answers side by side.

    The loss is measured on the rows that training held out. Without training rows (any model and adapter from
    elsewhere) there is none, which is said; answers are compared all the same.

    \b
    Examples:
      hegelion-console evaluate
      hegelion-console evaluate --model MODEL --adapter_path ADAPTER --prompts my_prompts.txt
      hegelion-console evaluate --model bundled --adapter_path ADAPTER --json
    """
    from hegelion_core.commands import headless
    from hegelion_core.settings import resolve
    from hegelion_core.workspace import Workspace

    place = Workspace(workspace.resolve(), demo)
    flags = flags_of(values)
    resolved = resolve(place.root, flags, demo=demo)
    _check_data(place, resolved, flags)
    if "evaluation.prompts" in flags and "evaluation.answers" not in flags:
        flags["evaluation.answers"] = _prompts_in(place, resolved)
        resolved = resolve(place.root, flags, demo=demo)

    def result(state: RunState) -> None:
        _print(state, as_json=as_json)

    code = headless.run(
        place, resolved, "evaluate", ("evaluate",), as_json=as_json, new=new, dry_run=dry_run, result=result
    )
    context.exit(code)


def _check_data(place: Workspace, resolved: ResolvedSettings, flags: dict[str, object]) -> None:
    """Rows that were asked for must be there; without being asked, one can do without."""
    path = place.resolve(resolved.settings.conversion.output)
    if "conversion.output" in flags and not path.exists():
        hint = "Leave --data out to compare answers alone."
        raise UserError(f"{path}: there is no such file.", hint, ExitCode.USAGE)


def _prompts_in(place: Workspace, resolved: ResolvedSettings) -> int:
    from hegelion_core.generation.sources import evaluation_prompts

    return min(MOST, len(evaluation_prompts(resolved.settings.evaluation, place)))


def _print(state: RunState, *, as_json: bool) -> None:
    """What was found, of a run that has it."""
    import msgspec

    from hegelion_core.evaluation.side_by_side import side_by_side
    from hegelion_core.evaluation.summary import Evaluation

    if state.evaluation is None:
        return
    path = Path(state.evaluation.path)
    try:
        content = read_regular(path)
        found = msgspec.json.decode(content, type=Evaluation)
    except OSError as error:
        raise explain(error) from None
    except UNREADABLE as error:
        hint = "Evaluate again with --new."
        raise UserError(f"{path}: is damaged ({error}).", hint) from None
    if as_json:
        write_result(printable_json(msgspec.json.encode(found)))
        return
    width = shutil.get_terminal_size((100, 24)).columns if sys.stdout.isatty() else 100
    write_result("".join(f"{printable(line)}\n" for line in side_by_side(found, width)))
