"""What a student's own chat template does, found out by rendering probes with it."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Protocol

from hegelion_core.errors import ExitCode, UserError
from hegelion_core.models import templates

Message = dict[str, str]

_QUESTION, _SYSTEM, _TRACE, _ANSWER = "PROBE-QUESTION", "PROBE-SYSTEM", "PROBE-TRACE", "PROBE-ANSWER"


class ChatTokenizer(Protocol):
    """What is needed of a tokenizer: mlx-lm's ``TokenizerWrapper`` has it."""

    @property
    def has_chat_template(self) -> bool: ...
    @property
    def bos_token(self) -> str | None: ...
    @property
    def bos_token_id(self) -> int | None: ...
    @property
    def eos_token(self) -> str | None: ...

    def apply_chat_template(
        self, conversation: Sequence[Message], *, tokenize: bool, add_generation_prompt: bool
    ) -> str: ...

    def encode(self, text: str, *, add_special_tokens: bool = ...) -> list[int]: ...

    def decode(self, token_ids: Sequence[int]) -> str: ...

    def get_added_vocab(self) -> dict[str, int]: ...


def unusable(student: str, fault: str) -> UserError:
    """The error of a chat template that does not serve: ``fault`` completes 'the chat template of X ...'."""
    return UserError(
        f"The chat template of {student} {fault}.",
        "Take an instruct or thinking model as the student, or convert with --template chatml.",
        ExitCode.NOT_READY,
    )


def load_tokenizer(folder: Path) -> ChatTokenizer:
    """The tokenizer of a model folder, as mlx-lm loads it for training and generation, without the weights.

    Raises:
        UserError: there is none, or it cannot be read.
    """
    from mlx_lm.utils import load_tokenizer as load

    try:
        tokenizer: ChatTokenizer = load(folder)
    except (OSError, ValueError, KeyError, TypeError, AttributeError, ImportError) as error:
        raise UserError(
            f"{folder}: the tokenizer cannot be loaded ({_first_line(error)}).",
            "Check tokenizer.json and tokenizer_config.json there, or name another student with --student.",
            ExitCode.NOT_READY,
        ) from None
    return tokenizer


class ChatTemplate:
    """A student's chat template, and what its probes show."""

    def __init__(self, tokenizer: ChatTokenizer, student: str) -> None:
        """Probe the template.

        Raises:
            UserError: there is none, it fails, or it loses the question.
        """
        if not tokenizer.has_chat_template:
            raise UserError(
                f"{student} has no chat template.",
                "Take an instruct or thinking model as the student, or convert with --template chatml.",
                ExitCode.NOT_READY,
            )
        self._tokenizer = tokenizer
        self._student = student
        self._missing_begin = ""
        self._folds_system = not self._knows_system()
        probe = self.prompt(_SYSTEM, _QUESTION)
        if _QUESTION not in probe or _SYSTEM not in probe:
            raise unusable(student, "loses the question or the system text")
        self._missing_begin = self._begin_that_encoding_adds(probe)

    def prompt(self, system: str, question: str) -> str:
        """The generation prompt, with the begin token once if the model has one."""
        return self._missing_begin + self._apply(self._messages(system, question))

    def opened_block(self) -> str:
        """The ``<think>`` with which the generation prompt ends, white space behind it included; or nothing."""
        prompt = self.prompt("", _QUESTION)
        head = prompt.rstrip()
        return prompt[len(head.removesuffix("<think>")) :] if head.endswith("<think>") else ""

    def knows_think(self) -> bool:
        """Whether assistant messages lose their ``<think>`` block, or are given one, and the prompt leaves it open."""
        if self.prompt("", _QUESTION).rstrip().endswith("</think>"):
            return False
        with_trace = self._answered(f"<think>\n{_TRACE}\n</think>\n\n{_ANSWER}")
        return _TRACE not in with_trace or "<think>" in self._answered(_ANSWER)

    def before_answer(self) -> str:
        """What the template writes between its generation prompt and an assistant's text."""
        answered, prompt = self._answered(_ANSWER), self._apply(self._messages("", _QUESTION))
        return answered[len(prompt) : answered.index(_ANSWER)] if answered.startswith(prompt) else ""

    def end_token(self) -> str:
        """The token with which the template ends an assistant's turn, and what stands before it, if anything does.

        Raises:
            UserError: there is none, and the tokenizer names no end token.
        """
        rest = self._answered(_ANSWER).rpartition(_ANSWER)[2]
        found = [(rest.find(token), token) for token in self._tokenizer.get_added_vocab() if token.strip()]
        ends = sorted((place, -len(token)) for place, token in found if place >= 0)
        if ends:
            return rest[: ends[0][0] - ends[0][1]]
        if self._tokenizer.eos_token:
            return self._tokenizer.eos_token
        raise unusable(self._student, "ends a turn with no special token, and the tokenizer has no end token")

    def _answered(self, content: str) -> str:
        answer = {"role": "assistant", "content": content}
        return self._apply([*self._messages("", _QUESTION), answer], add_generation_prompt=False)

    def _messages(self, system: str, question: str) -> list[Message]:
        if system and self._folds_system:
            return [{"role": "user", "content": f"{system}\n\n{question}"}]
        head = [{"role": "system", "content": system}] if system else []
        return [*head, {"role": "user", "content": question}]

    def _knows_system(self) -> bool:
        from jinja2.exceptions import TemplateError

        messages = [{"role": "system", "content": _SYSTEM}, {"role": "user", "content": _QUESTION}]
        try:
            return _SYSTEM in self._render(messages, add_generation_prompt=True)
        except TemplateError:  # some templates refuse a system message
            return False

    def _begin_that_encoding_adds(self, prompt: str) -> str:
        """The begin token, where encoding would add it but the template does not write it."""
        tokenizer = self._tokenizer
        begin, number = tokenizer.bos_token, tokenizer.bos_token_id
        if begin is None or prompt.startswith(begin):
            return ""
        return begin if tokenizer.encode("a")[:1] == [number] else ""

    def _apply(self, messages: Sequence[Message], add_generation_prompt: bool = True) -> str:
        from jinja2.exceptions import TemplateError

        try:
            return self._render(messages, add_generation_prompt=add_generation_prompt)
        except TemplateError as error:
            raise unusable(self._student, f"fails ({_first_line(error)})") from None

    def _render(self, messages: Sequence[Message], *, add_generation_prompt: bool) -> str:
        """What the template makes of messages.

        Raises:
            UserError: it takes too much, or fails like any program.
            TemplateError: it refuses the messages.
        """
        from jinja2.exceptions import TemplateError

        given = sum(len(message["content"]) for message in messages)
        try:
            with templates.bounded():
                rendered = self._tokenizer.apply_chat_template(
                    messages, tokenize=False, add_generation_prompt=add_generation_prompt
                )
            return templates.refuse_flood(rendered, given)
        except templates.TooCostly as error:
            raise unusable(self._student, str(error)) from None
        except TemplateError:
            raise
        except Exception as error:
            raise unusable(self._student, f"fails ({type(error).__name__}: {_first_line(error)})") from None


def _first_line(error: Exception) -> str:
    return (str(error).splitlines() or [type(error).__name__])[0][:200]
