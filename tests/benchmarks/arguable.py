"""How well and how fast ``dialectic.arguable.judge`` tells prompts apart: ``python tests/benchmarks/arguable.py``.

Prints the rows of the table in the documentation, then what passes by kind of unarguable prompt.
"""

from __future__ import annotations

import sys
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[2]))

from hegelion_core.dialectic.arguable import judge
from tests.fakes import prompt_sets
from tests.fakes.prompt_sets import KnownPrompt

SETS = {
    "bundled prompts": prompt_sets.bundled,
    "bundled evaluation prompts": prompt_sets.evaluation,
    "other arguable prompts": prompt_sets.arguable,
    "unarguable prompts": prompt_sets.unarguable,
}
REPEATS = 9


def share(prompts: list[KnownPrompt]) -> str:
    passed = sum(judge(prompt.text).arguable for prompt in prompts)
    return f"{passed / len(prompts):.1%} of {len(prompts)}" if prompts else "-"


def microseconds(texts: list[str]) -> float:
    """Processor time a prompt, the best of some rounds: what others do on the machine is not meant."""
    rounds = []
    for _ in range(REPEATS):
        begun = time.process_time()
        for text in texts:
            judge(text)
        rounds.append((time.process_time() - begun) / len(texts) * 1e6)
    return min(rounds)


def main() -> None:
    print("| judged arguable | development half | held-out half | us a prompt |")
    print("|---|---|---|---|")
    for name, read in SETS.items():
        prompts = read()
        halves = [[prompt for prompt in prompts if prompt.held_out is half] for half in (False, True)]
        speed = microseconds([prompt.text for prompt in prompts])
        print(f"| {name} | {share(halves[0])} | {share(halves[1])} | {speed:.0f} |")
    words = " ".join(prompt.text for prompt in prompt_sets.unarguable())
    for size in (500, 2_000, 200_000):
        print(f"| a prompt of {size:,} characters | | | {microseconds([(words * 5)[:size]] * 50):.0f} |")
    print("\n| unarguable, by kind | passed, both halves |\n|---|---|")
    unarguable = prompt_sets.unarguable()
    for kind in dict.fromkeys(prompt.kind for prompt in unarguable):
        print(f"| {kind} | {share([prompt for prompt in unarguable if prompt.kind == kind])} |")


if __name__ == "__main__":
    main()
