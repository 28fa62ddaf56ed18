"""A seed and a number make a case: what runs, which faults strike it, where and when. Pure."""

from __future__ import annotations

import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from types import MappingProxyType
from typing import Literal

Scene = Literal["openai", "kimi", "convert", "stage", "train"]
"""What runs: a generation in front of an endpoint, or with a program that is a child process; a conversion of a file,
or as a stage with a child process; a training. The first two are converted afterwards."""
Deed = Literal["", "kill", "tree", "child", "guard", "freeze", "stops", "hangup", "drop"]
"""What is done from outside; empty: the injector does it all."""
Trigger = Literal["call", "time", "request", "answer"]
BAD = ("no_block", "cut_text", "refusal", "length", "wrong_order")
"""Answers that are rejected, and kept."""
PAIRS = ("INT INT", "INT TERM", "TERM TERM", "HUP TERM", "HUP HUP", "TERM INT", "TERM stop", "stop stop")
"""Two stops at once: signals, and the command that asks for one."""


@dataclass(frozen=True)
class Strike:
    """One fault, in one start of the command."""

    act: str = ""
    """What the injector does (``inject/sitecustomize.py``)."""
    op: str = "any"
    path: str = "."
    nth: int = 1
    lasting: bool = False
    role: str = "core"
    """The process in which calls are counted."""
    deed: Deed = ""
    trigger: Trigger = "call"
    after: float = 0.0
    """Seconds since the start, for ``time``; which request or answer, for these."""
    seconds: float = 0.0
    """How far the clock jumps, how long a process is frozen or the network is away."""
    pair: str = ""
    kilobytes: int = 0
    """Room that there is: of the disk where it can be mounted, else of each file."""
    mount: bool = False

    @property
    def injected(self) -> bool:
        """Whether the injector takes part."""
        return bool(self.act)


@dataclass(frozen=True)
class Case:
    """One case."""

    seed: int
    number: int
    group: str
    """The class of its faults: a key of ``GROUPS`` or ``TRAINING``."""
    scene: Scene
    samples: int
    instances: int
    answers: tuple[str, ...]
    """What the first requests get."""
    strikes: tuple[Strike, ...]

    @property
    def command(self) -> str:
        """What runs this case alone."""
        train = " --train" if self.scene == "train" else ""
        return f"python -m tests.faults --seed {self.seed} --only {self.number}{train}"


_DATA = r"/samples\.jsonl$"
_REJECTED = r"\.rejected\.jsonl$"
_EVENTS = r"/events\.jsonl$"
_OUT = r"/calls/[^/]+/out$"
_REQUEST = r"/request\.json$"
_FOLDERS = r"/spool(/(calls|spare)(/[^/]+)?)?$"
_RUN = r"/runs(/[^/]+)?(/spool)?$"
_BESIDE = r"\.(tmp|link)$"
_SMALL = r"(core\.json|core\.mark|_pid\.txt|\.log|settings\.json|prompts\.jsonl|report\.html|\.snapshot|\.verdicts)$"
_LOCKS = r"\.(lock|claims)$"
_ROWS = r"rows\.jsonl(\.part)?(\.journal)?$"

Spot = tuple[str, str, int]
"""An operation, where, and up to which time."""
_WRITES: tuple[Spot, ...] = (
    *(("write", _DATA, 4), ("write", _DATA, 2), ("write", _REJECTED, 2), ("write", _REJECTED, 1)),
    *(("write", _EVENTS, 40), ("write", _OUT, 40)),
    *(("write", _REQUEST, 5), ("write", _BESIDE, 12), ("write", r"generator_\d\.log$", 30), ("write", _SMALL, 20)),
    *(("write", r"/\.?settings\.json", 1), ("write", r"/\.?prompts\.jsonl", 1), ("write", r"/\.?core\.json", 1)),
    ("write", ".", 150),
)
_SYNCS: tuple[Spot, ...] = (("fsync", _DATA, 4), ("fsync", _REJECTED, 2), ("fsync", _EVENTS, 2), ("fsync", ".", 20))
_RENAMES: tuple[Spot, ...] = (
    *(("rename", _FOLDERS, 8), ("rename", r"\.(json|jsonl|txt|log|html|snapshot|verdicts)$", 12), ("rename", ".", 18)),
    ("symlink", ".", 2),
)
_OPENS: tuple[Spot, ...] = (
    *(("open", _DATA, 4), ("open", _REJECTED, 2), ("open", _LOCKS, 8), ("open", _OUT, 4), ("open", ".", 40)),
    *(("mkdir", _RUN, 4), ("mkdir", _FOLDERS, 4), ("mkdir", ".", 12), ("unlink", _FOLDERS, 4), ("unlink", ".", 20)),
    *(("ftruncate", ".", 5), ("rmdir", ".", 3), ("chmod", ".", 1)),
)
_KEEPING: Spot = ("any", _DATA, 12)
"""Where an answer is kept: the moments that matter most."""
_ANY: tuple[Spot, ...] = (
    ("any", ".", 200),
    *[_KEEPING] * 6,
    ("any", _REJECTED, 4),
    *_WRITES,
    *_SYNCS,
    *_RENAMES,
    *_OPENS,
)
_CONVERTING: tuple[Spot, ...] = (
    *(("any", ".", 14), ("open", ".", 4), ("write", ".", 4), ("fsync", ".", 3), ("rename", _ROWS, 1)),
    *(("unlink", ".", 2), ("write", _ROWS, 2), ("ftruncate", ".", 1)),
)
_TRAINING_SPOTS: tuple[Spot, ...] = (
    *(("any", ".", 150), ("write", r"metrics\.jsonl$", 8), ("fsync", r"metrics\.jsonl$", 8)),
    *(("any", r"/checkpoints(/|$)", 90), ("rename", r"/checkpoints(/|$)", 13), ("fsync", r"/checkpoints(/|$)", 24)),
    *(("write", r"/checkpoints(/|$)", 4), ("mkdir", ".", 6), ("open", ".", 30), ("unlink", ".", 22)),
    *(("any", r"/adapter(/|$)", 20), ("rename", r"/adapter(/|$)", 3), ("write", r"reports\.jsonl$", 12)),
)
_CORE_SPOTS: tuple[Spot, ...] = (
    *(("write", _EVENTS, 18), ("any", _RUN, 6), ("any", _BESIDE, 16), ("rename", ".", 4), ("any", ".", 40)),
    *(("open", ".", 6), ("fsync", ".", 6), ("write", ".", 20), ("mkdir", ".", 3)),
)
"""Of a core whose stage is a child's work."""
ERRORS = ("ENOSPC", "EIO", "EINTR", "EACCES")
_OPEN_ERRORS = ("EACCES", "EMFILE", "ENOSPC", "EIO", "EINTR")

Make = Callable[[random.Random, Scene], Strike]


def _spots(scene: Scene, spots: tuple[Spot, ...]) -> tuple[Spot, ...]:
    wanted = {op for op, _, _ in spots}
    match scene:
        case "convert" | "stage":
            return tuple(spot for spot in _CONVERTING if spot[0] in wanted) or _CONVERTING
        case "train":
            return tuple(spot for spot in _TRAINING_SPOTS if spot[0] in wanted) or _TRAINING_SPOTS
        case _:
            return spots


def _at_call(dice: random.Random, scene: Scene, act: str, spots: tuple[Spot, ...], **more: object) -> Strike:
    op, path, most = dice.choice(_spots(scene, spots))
    role = {"stage": "conversion.worker", "train": "training.worker"}.get(scene, "core")
    if scene in ("stage", "train") and dice.random() < 0.3:
        ops = {op, "any"}
        role, (op, path, most) = "core", dice.choice([spot for spot in _CORE_SPOTS if spot[0] in ops])
    nth = dice.randint(1, most)
    return Strike(act=act, op=op, path=path, nth=nth, role=role, **more)  # type: ignore[arg-type]


def _outside(dice: random.Random, scene: Scene, deed: Deed, **more: object) -> Strike:
    """Something that is done from outside, at a call, a request, an answer, or any time."""
    triggers: Sequence[Trigger] = ("call", "call", "request", "answer", "time")
    trigger: Trigger = dice.choice(triggers if scene in ("openai", "kimi") else ("call", "call", "call", "time"))
    if trigger == "call" and deed != "drop":
        held = _at_call(dice, scene, "hold", _ANY)
        return Strike(**{**held.__dict__, "deed": deed, **more})
    if trigger == "call":
        trigger = "request"
    longest = {"openai": 0.3, "kimi": 0.8, "convert": 0.15, "stage": 1.2, "train": 4.0}[scene]
    after = dice.uniform(0, longest) if trigger == "time" else float(dice.randint(1, 4))
    return Strike(deed=deed, trigger=trigger, after=after, **more)  # type: ignore[arg-type]


def _kill(dice: random.Random, scene: Scene) -> Strike:
    if dice.random() < 0.7:
        return _at_call(dice, scene, dice.choice(("kill", "kill_after")), _ANY)
    return _outside(dice, scene, "kill")


def _errors(spots: tuple[Spot, ...], names: tuple[str, ...]) -> Make:
    def make(dice: random.Random, scene: Scene) -> Strike:
        name = dice.choice(names)
        # A call that is interrupted is made again by Python itself: that it is each time has no like in life.
        return _at_call(dice, scene, name, spots, lasting=name != "EINTR" and dice.random() < 0.3)

    return make


def _clock(dice: random.Random, scene: Scene) -> Strike:
    far = dice.choice((-86400.0 * 365, -86400.0, -3600.0, -2.0, 2.0, 3600.0, 86400.0, 86400.0 * 365))
    return _at_call(dice, scene, "jump", (("any", ".", 30),), seconds=far)


def _disk(dice: random.Random, scene: Scene) -> Strike:
    return Strike(kilobytes=int(2 ** dice.uniform(2, 7)), mount=dice.random() < 0.6)


GROUPS: MappingProxyType[str, tuple[int, Make, tuple[Scene, ...]]] = MappingProxyType(
    {
        "kill": (18, _kill, ("openai", "openai", "openai", "kimi", "convert", "stage")),
        "tree": (7, lambda dice, scene: _outside(dice, scene, "tree"), ("openai", "kimi", "kimi", "stage")),
        "child": (
            5,
            lambda dice, scene: _outside(dice, scene, dice.choice(("child", "child", "guard"))),
            ("kimi", "kimi", "stage"),
        ),
        "torn": (
            8,
            lambda dice, scene: _at_call(dice, scene, "tear", _WRITES),
            ("openai", "openai", "kimi", "convert"),
        ),
        "write": (14, _errors(_WRITES, (*ERRORS, "short", "short")), ("openai", "openai", "openai", "kimi", "convert")),
        "fsync": (7, _errors(_SYNCS, ERRORS), ("openai", "openai", "openai", "kimi", "convert")),
        "rename": (8, _errors(_RENAMES, ERRORS), ("openai", "openai", "openai", "kimi", "convert")),
        "open": (7, _errors(_OPENS, _OPEN_ERRORS), ("openai", "openai", "openai", "kimi", "convert")),
        "power": (6, lambda dice, scene: _at_call(dice, scene, "power", _ANY), ("openai", "openai", "convert")),
        "freeze": (
            5,
            lambda dice, scene: _outside(dice, scene, "freeze", seconds=dice.uniform(0.01, 0.1)),
            ("openai", "kimi", "convert"),
        ),
        "clock": (4, _clock, ("openai", "openai", "kimi")),
        "network": (
            3,
            lambda dice, scene: _outside(dice, scene, "drop", seconds=dice.uniform(0.05, 0.5)),
            ("openai", "openai", "kimi"),
        ),
        "disk": (4, _disk, ("openai", "openai", "kimi", "convert")),
        "hangup": (3, lambda dice, scene: _outside(dice, scene, "hangup"), ("openai", "kimi", "convert")),
        "stops": (
            4,
            lambda dice, scene: _outside(dice, scene, "stops", pair=dice.choice(PAIRS)),
            ("openai", "openai", "kimi"),
        ),
    }
)
"""Class of faults: its share, how one is made, and what it strikes."""
TRAINING: MappingProxyType[str, tuple[int, Make, tuple[Scene, ...]]] = MappingProxyType(
    {
        "train-kill": (8, _kill, ("train",)),
        "train-tree": (3, lambda dice, scene: _outside(dice, scene, "tree"), ("train",)),
        "train-child": (3, lambda dice, scene: _outside(dice, scene, "child"), ("train",)),
        "train-torn": (2, lambda dice, scene: _at_call(dice, scene, "tear", _WRITES), ("train",)),
        "train-write": (3, _errors(_WRITES, (*ERRORS, "short")), ("train",)),
        "train-fsync": (2, _errors(_SYNCS, ERRORS), ("train",)),
        "train-rename": (3, _errors(_RENAMES, ERRORS), ("train",)),
        "train-power": (2, lambda dice, scene: _at_call(dice, scene, "power", _ANY), ("train",)),
        "train-disk": (2, _disk, ("train",)),
        "train-stops": (2, lambda dice, scene: _outside(dice, scene, "stops", pair=dice.choice(PAIRS)), ("train",)),
    }
)
"""The same for trainings."""


def make(seed: int, number: int, *, train: bool = False) -> Case:
    """The case of a seed with this number, from 0. Of each hundred in a row, each class has its share."""
    groups = TRAINING if train else GROUPS
    shares = [name for name, (share, _, _) in groups.items() for _ in range(share)]
    random.Random(f"{seed} {train} {number // len(shares)}").shuffle(shares)
    group = shares[number % len(shares)]
    dice = random.Random(f"{seed} {train} {number}")
    _, strike, scenes = groups[group]
    scene = dice.choice(scenes)
    samples = dice.randint(3, 6)
    strikes = tuple(strike(dice, scene) for _ in range(dice.choice((1, 1, 1, 2, 2, 3))))
    answers = ["good"] * samples
    for _ in range(2 if any(each.path == _REJECTED for each in strikes) else dice.choice((0, 1, 1, 2))):
        answers.insert(dice.randrange(len(answers)), dice.choice(BAD))
    return Case(
        seed=seed,
        number=number,
        group=group,
        scene=scene,
        samples=samples,
        instances=dice.randint(1, 3),
        answers=tuple(answers),
        strikes=strikes,
    )
