"""A training that was ended anywhere ends in the uninterrupted one's bytes; what it keeps, and what it says."""

from __future__ import annotations

import json
import math
import os
import resource
import shutil
import subprocess
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import mlx.core as mx
import msgspec
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from safetensors.numpy import load_file, save_file

from hegelion_core import events as e
from hegelion_core import workspace
from hegelion_core.errors import ExitCode, UserError
from hegelion_core.training import adapter, checkpoint, finish, loop
from hegelion_core.training import metrics as metrics_module
from hegelion_core.training.loss import evaluate as evaluate_loss
from hegelion_core.training.progress import Standing
from hegelion_core.training.sampling import TrainingSample
from hegelion_core.training.scu.controller import ControllerState
from hegelion_core.training.step import Stepper, StepResult
from tests.fakes.tiny_model import make_tiny_model
from tests.fakes.training_runs import Here, metrics, write_rows

Make = Callable[..., Here]


@pytest.fixture(scope="module")
def student(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_tiny_model(tmp_path_factory.mktemp("student"))


@pytest.fixture
def make(tmp_path: Path, student: Path) -> Make:
    data = write_rows(tmp_path / "rows.jsonl")

    def made(name: str = "run", model: Path = student, rows: Path = data) -> Here:
        return Here(tmp_path / name, model, rows)

    return made


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory, student: Path) -> Here:
    """A training that nobody disturbed."""
    folder = tmp_path_factory.mktemp("whole")
    training = Here(folder / "run", student, write_rows(folder / "rows.jsonl"))
    training.train()
    return training


class Killed(BaseException):
    """The end of a process, as far as it can be had in this one: no handler of the product catches it."""


def kill_before(monkeypatch: pytest.MonkeyPatch, owner: object, name: str, call: int) -> None:
    """End the process in the ``call``-th call of a function, counted from 1."""
    original, calls = getattr(owner, name), iter(range(1, 1000))

    def dying(*arguments: object, **named: object) -> object:
        if next(calls) == call:
            raise Killed
        return original(*arguments, **named)

    monkeypatch.setattr(owner, name, dying)


@pytest.mark.parametrize(
    ("owner", "name", "call"),
    [
        (Stepper, "step", 1),
        (Stepper, "step", 8),
        (metrics_module, "append_step", 4),
        (checkpoint, "save", 2),
        (checkpoint, "_remove", 2),
        (workspace, "link", 1),
        (loop, "evaluate", 3),
        (adapter, "save_arrays", 1),
        (finish, "write_adapter", 1),
    ],
)
def test_killed_anywhere_it_ends_in_the_uninterrupted_ones_bytes(
    whole: Here, make: Make, monkeypatch: pytest.MonkeyPatch, owner: object, name: str, call: int
) -> None:
    parts = make("parts")
    with monkeypatch.context() as patched:
        kill_before(patched, owner, name, call)
        with pytest.raises(Killed):
            parts.train()
    mx.random.seed(99)
    parts.train()
    assert parts.left() == whole.left()
    assert parts.run.training_samples.read_bytes() == whole.run.training_samples.read_bytes()


def test_a_stop_during_validation_saves_and_the_validation_is_made_up_for(
    whole: Here, make: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    parts = make("parts")
    asked: list[int] = []
    original = evaluate_loss

    def evaluate(*arguments: object) -> float:
        asked.append(1)
        return original(*arguments)  # type: ignore[arg-type]

    with monkeypatch.context() as patched:
        patched.setattr(loop, "evaluate", evaluate)
        parts.train(stop=lambda: len(asked) == 3)  # the first batch, before the first step, then the first that is due
    state = json.loads((parts.run.checkpoints / "latest" / "state.json").read_text())
    assert (state["step"], state["pending"]["step"]) == (3, 3)
    assert [line["step"] for line in metrics(parts.folder)] == [1, 2]
    parts.train()
    assert parts.left() == whole.left()
    assert [line["step"] for line in metrics(parts.folder) if "validation" in line] == [3, 6, 9, 12]


def test_sample_answers_change_no_bit_and_are_written_and_told(make: Make, capsys: pytest.CaptureFixture[str]) -> None:
    with_samples, without = make("with"), make("without")
    with_samples.train()
    without.train(sample_every=0)
    told = [event for event in with_samples.reported() if isinstance(event, e.TrainingSampleWritten)]
    written = [
        msgspec.json.decode(line, type=TrainingSample)
        for line in with_samples.run.training_samples.read_bytes().splitlines()
    ]
    assert [sample.step for sample in written] == [4, 4, 8, 8, 12, 12]
    assert [(event.step, event.row) for event in told] == [(sample.step, sample.row) for sample in written]
    assert all(sample.prompt.startswith("Why ") and sample.tokens <= 5 for sample in written)
    assert "Sample at step 4 (row " in capsys.readouterr().out
    assert without.left() == {**with_samples.left(), "samples": ""}


def test_the_best_weights_become_the_adapter_and_are_said(make: Make, capsys: pytest.CaptureFixture[str]) -> None:
    """At a learning rate at which it overfits at once, the last step is not the best."""
    best, last = make("best"), make("last")
    best.train(lr=2e-2, iters=30, lambda_init=0)
    losses = {line["step"]: line["validation"] for line in metrics(best.folder) if "validation" in line}
    step = min(losses, key=lambda step: float(str(losses[step])))
    assert int(str(step)) < 30
    assert f"The adapter is that of step {step} of 30, the best of 10 validations" in capsys.readouterr().out
    finished = best.reported()[-1]
    assert isinstance(finished, e.TrainingFinished)
    assert (finished.steps, finished.kept_step, finished.kept_loss) == (30, step, losses[step])
    last.train(lr=2e-2, iters=30, lambda_init=0, keep="last")
    assert "The adapter is that of the last step, 30: that was asked for" in capsys.readouterr().out
    at_step = make("at step")
    at_step.train(lr=2e-2, iters=step, lambda_init=0, keep="last")
    assert weights_of(best) == weights_of(at_step)
    assert weights_of(best) != weights_of(last)


def weights_of(training: Here) -> bytes:
    return (training.adapter / "adapters.safetensors").read_bytes()


def test_it_stops_when_validation_does_not_improve_and_stays_stopped(
    make: Make, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    impatient, parts = make("impatient"), make("parts")
    impatient.train(lr=2e-2, iters=60, lambda_init=0, patience=2)
    last = metrics(impatient.folder)[-1]["step"]
    assert isinstance(last, int)
    assert last < 60
    assert f"not improved 2 times in a row: stopped at step {last}" in capsys.readouterr().out
    state = json.loads((impatient.run.checkpoints / "latest" / "state.json").read_text())
    assert (state["standing"]["unimproved"], state["standing"]["best_step"]) == (2, last - 6)
    with monkeypatch.context() as patched:
        kill_before(patched, finish, "write_adapter", 1)
        with pytest.raises(Killed):
            parts.train(lr=2e-2, iters=60, lambda_init=0, patience=2)
    parts.train(lr=2e-2, iters=60, lambda_init=0, patience=2)
    assert weights_of(parts) == weights_of(impatient)
    assert metrics(parts.folder) == metrics(impatient.folder)


@given(st.lists(st.one_of(st.floats(0, 10), st.just(math.nan)), max_size=12))
def test_the_standing_is_that_of_the_lowest_loss(losses: list[float]) -> None:
    standing = Standing()
    for step, loss in enumerate(losses, start=1):
        standing = standing.after(step, loss)
    finite = [loss for loss in losses if math.isfinite(loss)]
    assert standing.best_loss == (min(finite) if finite else None)
    assert standing.best_step == (losses.index(min(finite)) + 1 if finite else 0)
    assert standing.unimproved == len(losses) - standing.best_step
    assert standing.after(0, 1.0).best_step == standing.best_step


def test_a_touched_file_saves_a_checkpoint_and_goes(make: Make, monkeypatch: pytest.MonkeyPatch) -> None:
    training = make()
    original = Stepper.step

    def touch_in_seven(self: Stepper, *arguments: object, **rates: float) -> StepResult:
        if len(metrics(training.folder)) == 6:
            training.run.save_request.touch()
        return original(self, *arguments, **rates)  # type: ignore[arg-type]

    monkeypatch.setattr(Stepper, "step", touch_in_seven)
    training.train()
    saved = [event.step for event in training.reported() if isinstance(event, e.CheckpointSaved)]
    assert saved == [5, 7, 10, 12]
    assert not training.run.save_request.exists()


# Checkpoints that are damaged

IDENTITY = checkpoint.Identity(settings="s", data="d", model="m")
HERE = {"mlx": "1"}


def saved(folder: Path, step: int) -> Path:
    arrays = {"a.lora_a": mx.full((4,), step)}
    state = checkpoint.State(
        step=step, controller=ControllerState(lam=step / 3), random_key=(1, 2**32 - 1), tokens_per_epoch=9
    )
    made = checkpoint.Checkpoint(state, arrays, arrays, arrays, arrays)
    return checkpoint.save(folder, made, IDENTITY, HERE)


def restored(folder: Path) -> int:
    """The step of what is restored, whose content must be that step's."""
    found = checkpoint.restore(folder, IDENTITY, HERE, 100, lambda _: None)
    if found is None:
        return 0
    assert found.state.controller.lam == found.state.step / 3
    assert found.best is not None
    for weights in found.arrays().values():
        assert weights["a.lora_a"].tolist() == [float(found.state.step)] * 4
    return found.state.step


FILES = [adapter.WEIGHTS, checkpoint.BEST, checkpoint.OPTIMIZER, checkpoint.REFERENCE, checkpoint.STATE]


@settings(max_examples=30, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    name=st.sampled_from([*FILES, checkpoint.MANIFEST]),
    damage=st.sampled_from(["cut", "flipped", "missing", "emptied", "grown", "a folder"]),
    where=st.floats(0, 1, exclude_max=True),
    bit=st.integers(0, 7),
)
def test_whatever_is_damaged_what_is_restored_is_whole(
    tmp_path_factory: pytest.TempPathFactory, name: str, damage: str, where: float, bit: int
) -> None:
    folder = tmp_path_factory.mktemp("checkpoints")
    saved(folder, 5)
    path = saved(folder, 10) / name
    content = path.read_bytes()
    at = int(where * len(content))
    if damage in ("missing", "a folder"):
        path.unlink()
    if damage == "a folder":
        path.mkdir()
    if damage in ("cut", "emptied", "grown", "flipped"):
        flipped = content[:at] + bytes([content[at] ^ (1 << bit)]) + content[at + 1 :]
        changed = {"cut": content[:at], "emptied": b"", "grown": content + b"\0", "flipped": flipped}
        path.write_bytes(changed[damage])
    # In a manifest, a flipped bit may leave a manifest that holds: then the checkpoint is the whole one.
    assert restored(folder) in ((5, 10) if name == checkpoint.MANIFEST else (5,))
    saved(folder, 10)
    assert restored(folder) == 10
    shutil.rmtree(folder)


def test_a_link_that_dangles_and_what_a_kill_left_are_no_matter(tmp_path: Path) -> None:
    saved(tmp_path, 5)
    saved(tmp_path, 10)
    shutil.rmtree(tmp_path / "step-10")
    (tmp_path / "step-15.tmp").mkdir()
    (tmp_path / "step-20").write_text("a file in its place")
    assert not (tmp_path / "latest").exists()
    assert restored(tmp_path) == 5
    saved(tmp_path, 20)
    assert restored(tmp_path) == 20
    assert sorted(path.name for path in tmp_path.iterdir()) == ["latest", "step-20", "step-5"]
    assert (tmp_path / "latest").readlink() == Path("step-20")


def test_other_sizes_go_on_and_it_is_said_that_the_bits_differ(make: Make, capsys: pytest.CaptureFixture[str]) -> None:
    """As after a restart for want of memory: steps, N and the average of S go on."""
    training = make()
    training.train(stop=lambda: len(metrics(training.folder)) >= 6)
    training.train(micro_batch_size=1, max_seq_length=24)
    said = capsys.readouterr().out
    assert "was written with other length of rows and rows at a time: it goes on, but not bit for bit" in said
    assert [line["step"] for line in metrics(training.folder)] == list(range(1, 13))
    plans = [event for event in training.reported() if isinstance(event, e.TrainingPlanned)]
    assert plans[0].tokens_per_epoch == plans[1].tokens_per_epoch
    assert plans[1].start_step == 6


SEED = 0

# A disk that is full


@pytest.fixture(params=["a limit on files", "a full disk"])
def full(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[tuple[Path, Callable[[bool], None]]]:
    """A folder, and a switch that makes its disk full for whatever is larger than some KB."""
    if request.param == "a limit on files":
        soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
        yield tmp_path, lambda on: resource.setrlimit(resource.RLIMIT_FSIZE, (12_000 if on else soft, hard))
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
        return
    disk = tmp_path / "disk"
    disk.mkdir()
    mounted = subprocess.run(["mount", "-t", "tmpfs", "-o", "size=1m", "tmpfs", disk], capture_output=True, check=False)
    if mounted.returncode:
        pytest.skip("mounting is not allowed here")
    filler = disk / "filler"

    def fill(on: bool) -> None:
        if on:
            status = os.statvfs(disk)
            filler.write_bytes(b"0" * (status.f_bavail * status.f_frsize - 24_000))
        else:
            filler.unlink(missing_ok=True)

    yield disk, fill
    subprocess.run(["umount", disk], check=True)


def test_a_full_disk_leaves_the_last_checkpoint_whole_and_training_goes_on_later(
    whole: Here, make: Make, full: tuple[Path, Callable[[bool], None]]
) -> None:
    folder, fill = full
    training = Here(folder / "run", whole.student, make().data)
    training.train(stop=lambda: len(metrics(training.folder)) >= 6)
    fill(True)
    try:
        with pytest.raises(UserError, match="step-10: the checkpoint cannot be written") as caught:
            training.train()
    finally:
        fill(False)
    assert "the same command again" in caught.value.hint
    names = {path.name for path in training.run.checkpoints.iterdir()}
    assert names == {"latest", "step-5", "step-6"}
    assert not training.adapter.exists()
    training.train()
    assert training.left() == whole.left()


# What lies at the adapter path, and a loss that is no number


def test_an_adapter_of_another_training_is_kept_and_it_is_said(
    make: Make, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    first = make("first")
    first.train()
    old = weights_of(first)
    second = replace(make("second"), folder=tmp_path / "second")
    second.train(adapter_path=str(first.adapter), lora_rank=4)
    said = capsys.readouterr().out
    kept = second.run.replaced / "1"
    assert f"holds an adapter (of {second.student}, rank 2)" in said
    assert (kept / "adapters.safetensors").read_bytes() == old
    assert json.loads((kept / "adapter_config.json").read_text())["lora_parameters"]["rank"] == 2
    assert json.loads((first.adapter / "adapter_config.json").read_text())["lora_parameters"]["rank"] == 4
    second.train(adapter_path=str(first.adapter), lora_rank=4)  # nothing new: nothing is replaced
    assert [path.name for path in second.run.replaced.iterdir()] == ["1"]


def test_a_kill_between_the_moves_of_a_replaced_adapter_loses_nothing(tmp_path: Path) -> None:
    folder, kept = tmp_path / "adapter", tmp_path / "replaced"
    folder.mkdir()
    (folder / "adapters.safetensors").write_text("weights")
    (kept / "1").mkdir(parents=True)
    (kept / "1" / "adapter_config.json").write_text("config")
    finish.keep_replaced(folder, kept)
    assert (kept / "1" / "weights.safetensors").read_text() == "weights"
    assert list(folder.iterdir()) == []
    (folder / "adapters.safetensors").write_text("others")
    finish.keep_replaced(folder, kept)
    assert (kept / "2" / "adapters.safetensors").read_text() == "others"


@pytest.fixture
def poisoned(student: Path, tmp_path: Path) -> Path:
    """A student that makes no number of a tilde."""
    folder = tmp_path / "poisoned"
    shutil.copytree(student, folder)
    tokens = json.loads((folder / "tokenizer.json").read_text())["model"]["vocab"]
    config = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps({**config, "tie_word_embeddings": False}))
    weights = load_file(folder / "model.safetensors")
    weights["lm_head.weight"] = weights["model.embed_tokens.weight"].copy()
    weights["model.embed_tokens.weight"][tokens["~"]] = math.inf
    save_file(weights, folder / "model.safetensors", metadata={"format": "mlx"})
    return folder


def test_a_loss_that_is_no_number_names_step_and_rows_and_keeps_the_best(
    make: Make, poisoned: Path, tmp_path: Path
) -> None:
    """A real one: of a character in one row, which some step is the first to see, the student makes infinity."""
    data = tmp_path / "rows.jsonl"
    rows = [json.loads(line) for line in data.read_text().splitlines()]
    clean = make("clean", model=poisoned)
    clean.train(iters=4, sample_prompts=9, seed=SEED)
    held_out = {json.loads(line)["row"] for line in clean.run.training_samples.read_text().splitlines()}
    number = next(number for number, row in enumerate(rows) if row["id"] not in held_out)
    rows[number]["text"] += "~ and more."
    data.write_text("".join(json.dumps(row) + "\n" for row in rows))
    spoilt = make("spoilt", model=poisoned)
    with pytest.raises(UserError) as caught:
        spoilt.train(iters=40, batch_size=1, seed=SEED, validate_every=1, checkpoint_every=2)
    done = len(metrics(spoilt.folder))
    assert done >= 2, "the seed must be one that shows the row late"
    assert f"not a number any more at step {done + 1}" in caught.value.message
    assert f"line {number + 1} (id {rows[number]['id']})" in caught.value.message
    assert caught.value.exit_code == ExitCode.FAILED
    assert f"checkpoint of step {done - done % 2} is kept" in caught.value.hint
    assert (spoilt.run.best_adapter / "adapters.safetensors").exists()
    assert not spoilt.adapter.exists()
