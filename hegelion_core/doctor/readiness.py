"""The readiness checklist: what has to be there before samples are made and the student is trained.

What takes long or might hang is looked at by ``doctor.probe``; these read a few files.
"""

from __future__ import annotations

import os
import stat
from collections.abc import Iterator
from pathlib import Path

from hegelion_core import checklist
from hegelion_core.commands.words import size
from hegelion_core.doctor import remedies
from hegelion_core.doctor.case import Case
from hegelion_core.doctor.finding import Finding, from_check
from hegelion_core.pressure import read_pressure
from hegelion_core.regular import open_regular
from hegelion_core.settings import BUNDLED, DEFAULT_LIMIT


def prompts(case: Case) -> Finding:
    """Where the prompts come from."""
    generation = case.settings.generation
    if case.run is not None and case.run.prompts.exists():
        return Finding("prompts", "ok", f"prepared for this run: {case.state.prompts:,} prompts")
    if (file := generation.prompt_file) is not None:
        path = case.place.resolve(file)
        if not path.is_file():
            return Finding(
                "prompts", "failed", f"{case.shown(path)}: no such file.", "Name another file with --prompt-file."
            )
        return Finding("prompts", "ok", f"{case.shown(path)}, {size(path.stat().st_size)}")
    if generation.dataset == BUNDLED:
        return Finding("prompts", "ok", "those that ship with this program")
    if case.place.resolve(Path(generation.dataset)).exists():
        return Finding("prompts", "ok", f"local: {generation.dataset}")
    return Finding(
        "prompts", "note", f"{generation.dataset} of the hub, read when a run begins",
        "Without a network: --dataset bundled, a local folder, or --prompt-file.",
    )  # fmt: skip


def samples(case: Case) -> Finding:
    """Whether there are as many samples as are wanted."""
    generation = case.settings.generation
    path = case.place.resolve(generation.output)
    wanted = generation.limit or case.state.target or (0 if generation.prompt_file else DEFAULT_LIMIT)
    if not path.exists():
        return Finding("samples", "note", f"none yet: {case.shown(path)}", f"Generate them: {case.command('generate')}")
    told = case.state.sample_path == str(path)
    have, what = (case.state.accepted, "samples") if told else (_lines(path), "lines")
    found = f"{have:,}{f' of {wanted:,}' if wanted else ''} {what} in {case.shown(path)}"
    if wanted and have < wanted:
        return Finding("samples", "note", found, f"Generate the rest: {case.command('generate')}")
    return Finding("samples", "ok", found)


def rows(case: Case) -> Finding:
    """Whether the samples are converted."""
    path = case.place.resolve(case.settings.conversion.output)
    source = case.place.resolve(case.settings.generation.output)
    convert = f"Convert the samples: {case.command('convert')}"
    if not path.exists():
        return Finding("training rows", "note", f"none yet: {case.shown(path)}", convert)
    if not (count := _lines(path)):
        return Finding("training rows", "warning", f"{case.shown(path)} is empty.", convert)
    if source.exists() and source.stat().st_mtime > path.stat().st_mtime:
        return Finding("training rows", "note", f"{count:,} rows, older than the samples: {case.shown(path)}", convert)
    return Finding("training rows", "ok", f"{count:,} rows in {case.shown(path)}")


def folders(case: Case) -> Iterator[Finding]:
    """Whether everything that is made can be written. Nothing is made here."""
    place, settings = case.place, case.settings
    files = {"sample file": settings.generation.output, "training rows' file": settings.conversion.output}
    for name, path in ((name, place.resolve(path)) for name, path in files.items()):
        if path.exists() or path.parent.is_dir():
            yield from_check(checklist.output_file(name, path))
    absent = {path.parent for path in map(place.resolve, files.values()) if not path.parent.is_dir()}
    for path in sorted(absent):
        yield _folder(case, "data folder", path)
    yield _folder(case, "adapter folder", place.resolve(settings.training.adapter_path))
    yield _folder(case, "runs folder", place.runs)
    yield _folder(case, "logs folder", place.logs)


def _folder(case: Case, name: str, path: Path) -> Finding:
    if path.exists():
        return from_check(checklist.output_folder(name, path))
    above = next(folder for folder in path.parents if folder.exists())
    if not above.is_dir() or not os.access(above, os.W_OK):
        why = "may not be written" if above.is_dir() else "is a file, not a folder"
        return Finding(name, "failed", f"{path} cannot be made: {above} {why}.", "Choose another path, or mend that.")
    remedy = remedies.make_folder(path, case.shown(path))
    return Finding(name, "note", f"{case.shown(path)} is not there yet.", "It is made when it is needed.", remedy)


def machine(case: Case) -> Iterator[Finding]:
    """Disk and memory: what the student needs, and how hard the machine is pressed now."""
    now = read_pressure(case.place.artifacts, interval=0)
    yield from (from_check(check) for check in checklist.machine(case.place, case.settings, now))
    if now.level != "normal":
        yield Finding(
            "memory pressure", "warning",
            f"{now.level}: {size(now.available)} of {size(now.total)} are free.",
            "Close other programs; for generation, fewer instances (-); for training, --micro_batch_size 1.",
        )  # fmt: skip


def _lines(path: Path) -> int:
    """Line ends in a regular file, as ``wc -l`` counts them."""
    if not stat.S_ISREG(path.stat().st_mode):
        return 0
    with open_regular(path) as file:
        return sum(block.count(b"\n") for block in iter(lambda: file.read(1 << 20), b""))
