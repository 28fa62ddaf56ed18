"""Completion that knows both spellings of a flag, as the commands do: ``--batch-size`` and ``--batch_size``."""

from __future__ import annotations

from click.shell_completion import (
    BashComplete,
    CompletionItem,
    FishComplete,
    ShellComplete,
    ZshComplete,
    add_completion_class,
)


class _BothSpellings(ShellComplete):
    """What is offered goes on as it was begun: some shells pass over what does not begin with what was typed."""

    def get_completions(self, args: list[str], incomplete: str) -> list[CompletionItem]:
        offered = super().get_completions(list(map(_dashed, args)), begun := _dashed(incomplete))
        if begun == incomplete:
            return offered
        return [
            CompletionItem(incomplete + item.value[len(begun) :].replace("-", "_"), item.type, item.help)
            if item.value.startswith(begun)
            else item
            for item in offered
        ]


def _dashed(word: str) -> str:
    """A flag as it is declared; any other word as it is."""
    name, equals, value = word.partition("=")
    return name.replace("_", "-") + equals + value if name.startswith("--") else word


def register() -> None:
    """Have click use it."""

    class Bash(_BothSpellings, BashComplete):
        pass

    class Zsh(_BothSpellings, ZshComplete):
        pass

    class Fish(_BothSpellings, FishComplete):
        pass

    for kind in (Bash, Zsh, Fish):
        add_completion_class(kind)
