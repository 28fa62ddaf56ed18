"""The local teacher's process: ``python -m hegelion_core.teachers.local_engine <job file>``.

It watches the calls' folder and answers several calls at once with mlx-lm's batch generation. Each call goes through
its four turns by itself; the turns of all calls are mixed in one batch, so no call waits for another. A call is
cancelled by removing its request.
"""

from __future__ import annotations

import contextlib
import os
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec

from hegelion_core import workspace
from hegelion_core.dialectic import turns
from hegelion_core.errors import ExitCode, UserError
from hegelion_core.events import TeacherReady
from hegelion_core.models import blas, loading, templates
from hegelion_core.teachers.teacher import GROWING, REQUEST, Call
from hegelion_core.unreadable import UNREADABLE
from hegelion_core.worker import Worker, main

if TYPE_CHECKING:
    from mlx_lm.generate import BatchGenerator

OUT = "out"
"""In a call's folder: what was written so far, a JSON line a turn and a last one."""
MIN_P = 0.1
"""Tokens below this share of the likeliest one's probability are left out; top_k would cost far more time."""
LOOK_EVERY = 0.05
"""Seconds between looks for new calls while there is nothing to do."""


TELL_EVERY = 0.25
"""Seconds between two looks of a person at a reply that grows."""


class TurnLine(msgspec.Struct, frozen=True, kw_only=True):
    """A finished turn."""

    turn: turns.TurnName
    text: str
    tokens: int


class DoneLine(msgspec.Struct, frozen=True, kw_only=True):
    """The whole answer; the last line."""

    text: str
    prompt_tokens: int
    completion_tokens: int
    truncated: bool
    done: bool = True


@dataclass
class _Conversation:
    """A call on its way through its turns."""

    call: Call
    folder: Path
    turn: turns.Turn
    replies: dict[turns.TurnName, str] = field(default_factory=dict)
    tokens: list[int] = field(default_factory=list)
    """Of the running turn."""
    prompt_tokens: int = 0
    completion_tokens: int = 0
    truncated: bool = False


class Engine:
    """Calls in, lines in their ``out`` files out; one forward pass a ``step``."""

    def __init__(
        self, loaded: loading.LoadedModel, *, max_new_tokens: int, temperature: float, seed: int, batch: int
    ) -> None:
        """``max_new_tokens`` are those of a whole call; ``batch`` is how many calls are worked on at once."""
        import mlx.core as mx
        from mlx_lm.generate import BatchGenerator
        from mlx_lm.sample_utils import make_sampler

        mx.random.seed(seed)
        self.batch = batch
        self._tokenizer = loaded.tokenizer
        self._budgets = {**turns.budgets(max_new_tokens), "judge": turns.judge_budget(max_new_tokens)}
        self._running: dict[int, _Conversation] = {}
        self._generator: BatchGenerator = BatchGenerator(
            loaded.model,
            stop_tokens=[[token] for token in loaded.tokenizer.eos_token_ids],
            sampler=make_sampler(temp=temperature, min_p=MIN_P),
            completion_batch_size=batch,
            prefill_batch_size=batch,
        )

    @property
    def folders(self) -> list[Path]:
        """The folders of the calls that are worked on."""
        return [conversation.folder for conversation in self._running.values()]

    def admit(self, call: Call, folder: Path) -> None:
        """Begin with a call."""
        self._ask(_Conversation(call, folder, _turn(call, turns.turns_of(call.step)[0], {})))

    def cancel(self, folder: Path) -> None:
        """Drop a call, if it is worked on."""
        for uid, conversation in list(self._running.items()):
            if conversation.folder == folder:
                self._generator.remove([uid])
                del self._running[uid]

    def step(self) -> None:
        """Generate one token for every call, and write down the turns that ended."""
        for response in self._generator.next_generated():
            conversation = self._running[response.uid]
            conversation.completion_tokens += 1
            if response.finish_reason != "stop":
                conversation.tokens.append(response.token)
            if response.finish_reason is not None:
                del self._running[response.uid]
                self._finish_turn(conversation)

    def tell(self) -> None:
        """Write down, for people, what there is of each step of a dialogue."""
        for conversation in self._running.values():
            if conversation.call.step is not None and conversation.tokens:
                turn = conversation.turn
                words: str = self._tokenizer.decode(conversation.tokens, skip_special_tokens=True)
                sofar = {**conversation.replies, turn.name: turns.clean(turn.opening + words)}
                with contextlib.suppress(FileNotFoundError):  # the call was cancelled a moment ago
                    (conversation.folder / GROWING).write_text(turns.assemble_step(sofar), "utf-8")

    def _ask(self, conversation: _Conversation) -> None:
        turn = conversation.turn
        messages = [
            {"role": "system", "content": self.plain(turn.system)},
            {"role": "user", "content": self.plain(turn.user)},
        ]
        prompt: str = self._tokenizer.apply_chat_template(messages, add_generation_prompt=True, tokenize=False)
        tokens: list[int] = self._tokenizer.encode(prompt + turn.opening, add_special_tokens=False)
        conversation.tokens = []
        conversation.prompt_tokens += len(tokens)
        [uid] = self._generator.insert([tokens], max_tokens=[self._budgets[turn.name]])
        self._running[uid] = conversation

    def _finish_turn(self, conversation: _Conversation) -> None:
        turn = conversation.turn
        words: str = self._tokenizer.decode(conversation.tokens, skip_special_tokens=True)
        text = turns.clean(turn.opening + words)
        conversation.replies[turn.name] = text
        conversation.truncated |= len(conversation.tokens) >= self._budgets[turn.name] and not turns.is_whole(text)
        line: TurnLine | DoneLine = TurnLine(turn=turn.name, text=text, tokens=len(conversation.tokens))
        try:
            _write(conversation.folder, line)
            call = conversation.call
            following = turns.turns_of(call.step)[len(conversation.replies) :]
            if following:
                conversation.turn = _turn(call, following[0], conversation.replies)
                self._ask(conversation)
                return
            _write(conversation.folder, _done(conversation))
        except FileNotFoundError:
            return  # the call was cancelled a moment ago

    def plain(self, text: str) -> str:
        """``text`` in which no added token, such as a turn's begin, stands: a question must not forge a turn."""
        for token in self._tokenizer.get_added_vocab():
            text = text.replace(token, f"{token[0]} {token[1:]}")
        return text


def _turn(call: Call, name: turns.TurnName, replies: Mapping[turns.TurnName, str]) -> turns.Turn:
    if call.step is None:
        return turns.turn(name, call.query, replies, call.correction)
    return turns.turn_of_step(name, call.query, call.step, replies, call.correction)


def _done(conversation: _Conversation) -> DoneLine:
    replies = conversation.replies
    return DoneLine(
        text=turns.assemble_step(replies) if conversation.call.step else turns.assemble(*replies.values()),
        prompt_tokens=conversation.prompt_tokens,
        completion_tokens=conversation.completion_tokens,
        truncated=conversation.truncated,
    )


def _write(folder: Path, line: TurnLine | DoneLine) -> None:
    workspace.append(folder / OUT, msgspec.json.encode(line) + b"\n")


def waiting(calls: Path) -> Iterator[tuple[Call, Path]]:
    """The calls that nobody has answered or begun to answer, in the order of their folders' names."""
    for folder in sorted(calls.iterdir()) if calls.is_dir() else ():
        if (folder / OUT).exists():
            continue
        try:
            yield msgspec.json.decode((folder / REQUEST).read_bytes(), type=Call), folder
        except (FileNotFoundError, NotADirectoryError, *UNREADABLE):  # gone meanwhile, or none of ours
            continue


def work(worker: Worker) -> None:
    """Answer calls until stopped, or until the process that started this one is gone."""
    parent = os.getppid()
    engine = _start(worker)
    calls = Path(worker.arguments["calls"])
    told = 0.0
    while not worker.stop_requested.is_set() and os.getppid() == parent:
        _look(engine, calls)
        if engine.folders:
            engine.step()
            if (now := time.monotonic()) - told >= TELL_EVERY:
                engine.tell()
                told = now
        else:
            worker.stop_requested.wait(LOOK_EVERY)


def _start(worker: Worker) -> Engine:
    arguments = worker.arguments
    device = blas.prepare_mlx()
    print(device, flush=True)  # noqa: T201 - a worker's log
    begun = time.monotonic()
    folder = loading.locate(arguments["model"], worker.workspace.models, worker.report_download)
    loaded = loading.load(folder)
    _check_template(loaded)
    engine = Engine(
        loaded,
        max_new_tokens=int(arguments["max_new_tokens"]),
        temperature=float(arguments["temperature"]),
        seed=int(arguments["seed"]),
        batch=int(arguments["batch"]),
    )
    print(f"{folder.name} is ready after {time.monotonic() - begun:.1f} s.", flush=True)  # noqa: T201
    worker.report(TeacherReady(teacher="local", version=folder.name, detail=device))
    return engine


def _check_template(loaded: loading.LoadedModel) -> None:
    """See at the start that the model takes a system text and a question, not at the first call."""
    from jinja2 import TemplateError

    probe = [{"role": "system", "content": "Be brief."}, {"role": "user", "content": "Why?"}]
    try:
        if loaded.tokenizer.has_chat_template:
            with templates.bounded():
                loaded.tokenizer.apply_chat_template(probe, add_generation_prompt=True, tokenize=False)
            return
        fault = "this model has no chat template."
    except templates.TooCostly as error:
        fault = f"this model's chat template {error}."
    except TemplateError as error:
        fault = f"this model's chat template takes no system text ({error})."
    raise UserError(f"{loaded.folder}: {fault}", "Choose a model that follows instructions.", ExitCode.USAGE)


def _look(engine: Engine, calls: Path) -> None:
    """Drop the calls whose request is gone, and take up new ones while there is room."""
    known = engine.folders
    for folder in known:
        if not (folder / REQUEST).exists():
            engine.cancel(folder)
    for call, folder in waiting(calls):
        if len(engine.folders) >= engine.batch:
            break
        if folder not in known:
            engine.admit(call, folder)


if __name__ == "__main__":
    main(work)
