"""One small adapter through every door: mlx-lm's own commands and ours, in real processes, and the guide's modules."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import mlx.core as mx
import numpy as np
import pytest
from mlx_lm.generate import generate
from mlx_lm.utils import load
from numpy.typing import NDArray
from safetensors.numpy import load_file

from hegelion_core.errors import ExitCode
from tests.fakes.console import PROGRAM, Console

TOKENS = mx.array([[5, 17, 99, 3, 42, 7, 7, 200]])
TRAINING = ("--data", "rows.jsonl", "--iters", "6", "--batch_size", "3", "--lr", "5e-3", "--max_seq_length", "96")


class Doors(Console):
    """A workspace with rows, a student, and an adapter that the guide's command trained."""

    def __init__(self, folder: Path) -> None:
        super().__init__(folder)
        rows = [
            {"id": str(n), "text": f"Why {n}?\nBecause of {n * n}. " * (1 + n % 3) + "<|im_end|>"} for n in range(9)
        ]
        (folder / "rows.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))

    def module(self, name: str, *arguments: str) -> subprocess.CompletedProcess[str]:
        """Run ``python -m name``, or the program of that name beside this Python."""
        command = [sys.executable, "-m", name] if name.startswith("hegelion") else [str(PROGRAM.parent / name)]
        return subprocess.run(
            [*command, *arguments],
            cwd=self.folder,
            env=self.environment,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=120,
            check=False,
        )


@pytest.fixture(scope="module")
def doors(tmp_path_factory: pytest.TempPathFactory) -> Doors:
    made = Doors(tmp_path_factory.mktemp("doors"))
    result = made.module(
        *("hegelion_core.training.mlx_scu_trainer", "--model", str(made.student), "--adapter_path", "adapters/scu"),
        *TRAINING,
        *("--lora_rank", "4", "--lora_alpha", "8", "--lora_dropout", "0.0", "--num-layers", "1", "--seed", "1"),
        *("--target_s", "0.2", "--kp", "0.8", "--ki", "0.15", "--lambda_init", "0", "--prior_sigma", "0.01"),
        *("--tokens_per_epoch", "-1", "--scu_update_freq", "10"),
    )
    assert result.returncode == ExitCode.DONE, result.stdout + result.stderr
    assert "Training complete." in result.stdout
    return made


def logits(folder: Path, adapter: Path | None = None) -> NDArray[np.float32]:
    return np.array(load(str(folder), adapter_path=str(adapter) if adapter else None)[0](TOKENS))


@pytest.fixture(scope="module")
def expected(doors: Doors) -> NDArray[np.float32]:
    """What the base and the adapter compute together; the adapter matters."""
    together = logits(doors.student, doors.folder / "adapters" / "scu")
    assert np.abs(together - logits(doors.student)).max() > 0.1
    return together


def said(folder: Path, adapter: Path | None = None) -> str:
    model, tokenizer, *_ = load(str(folder), adapter_path=str(adapter) if adapter else None)
    return str(generate(model, tokenizer, prompt="Why 3?", max_tokens=12))


def test_mlx_lm_generates_with_it_and_fuses_it(doors: Doors, expected: NDArray[np.float32]) -> None:
    given = ("--model", str(doors.student), "--adapter-path", "adapters/scu")
    fused = doors.module("mlx_lm.fuse", *given, "--save-path", "by_hand")
    assert fused.returncode == 0, fused.stderr
    np.testing.assert_allclose(logits(doors.folder / "by_hand"), expected, atol=1e-4)
    generated = doors.module(
        *("mlx_lm.generate", *given, "--prompt", "Why 3?", "--ignore-chat-template", "--max-tokens", "12"),
        *("--temp", "0", "--verbose", "False"),
    )
    assert generated.returncode == 0, generated.stderr
    assert said(doors.student, doors.folder / "adapters" / "scu").strip() in generated.stdout
    assert said(doors.student).strip() not in generated.stdout


def test_export_as_one_model(doors: Doors, expected: NDArray[np.float32]) -> None:
    result = doors.run("export", "--adapter_path", "adapters/scu", "--to", "fused", "--json")
    assert result.returncode == ExitCode.DONE, result.stderr
    told = json.loads(result.stdout)
    assert (told["to"], told["base"]) == ("fused", str(doors.student))
    assert told["files"]["model.safetensors"] > 0
    assert "Fusing 7 modules." in result.stderr
    np.testing.assert_allclose(logits(doors.folder / "adapters" / "scu-fused"), expected, atol=1e-4)


def test_export_for_peft_and_as_gguf(doors: Doors) -> None:
    for form, name in (("peft", "adapter_model.safetensors"), ("gguf", "model-f16.gguf")):
        result = doors.run("export", "--adapter_path", "adapters/scu", "--to", form, "--output", f"out/{form}")
        assert result.returncode == ExitCode.DONE, result.stderr
        assert f"Done: out/{form}" in result.stdout
        assert (doors.folder / "out" / form / name).stat().st_size > 0


def test_what_cannot_be_exported_is_told_in_two_lines(doors: Doors) -> None:
    for arguments, code, words in (
        (("--to", "peft", "--adapter_path", "nowhere"), ExitCode.USAGE, "lacks adapter_config.json"),
        (("--to", "peft", "--adapter_path", "adapters/scu", "--output", "student"), ExitCode.USAGE, "something else"),
        (("--to", "onnx"), ExitCode.USAGE, "onnx"),
    ):
        result = doors.run("export", *arguments)
        assert result.returncode == code
        assert words in result.stderr
        assert "Traceback" not in result.stderr
        assert len(result.stderr.strip().splitlines()) <= 2


def test_the_standard_trainer_is_mlx_lms_own(doors: Doors) -> None:
    """The guide's command with the published flags, then ``mlx_lm.lora`` by hand on what it prepared: the same bits."""
    doors.environment |= {"HEGELION_BLAS": "stock", "MLX_DISABLE_COMPILE": "1"}  # as mlx-lm computes by hand
    result = doors.module(
        *("hegelion_core.training.mlx_trainer", "--model", str(doors.student), "--adapter_path", "adapters/standard"),
        *TRAINING,
        *("--lora-layers", "1", "--grad-checkpoint", "--steps-per-report", "2", "--learning-rate", "5e-3"),
        *("--set", "training.validation_share=0"),
    )
    assert result.returncode == ExitCode.DONE, result.stdout + result.stderr
    assert "Step 6: Loss=" in result.stdout
    assert "Step 2: Loss=" in result.stdout
    assert "mlx-lm's own loop" in (doors.folder / "artifacts" / "logs" / "train.log").read_text()
    by_hand = doors.module("mlx_lm.lora", "-c", "artifacts/data/mlx/config.yaml")
    assert by_hand.returncode == 0, by_hand.stderr
    ours, theirs = (
        load_file(doors.folder / folder / "adapters.safetensors")
        for folder in ("adapters/standard", "artifacts/adapters/mlx_lm")
    )
    assert ours.keys() == theirs.keys()
    for name, tensor in ours.items():
        np.testing.assert_array_equal(tensor, theirs[name], err_msg=name)
