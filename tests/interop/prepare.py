"""Models, adapters and what mlx-lm computes with them: ``python -m tests.interop.prepare FOLDER``.

Writes a data set in each form that TRL reads, for ``trl_side.py``; and, for each case, a model folder that transformers
reads, PEFT's files as ``hegelion-console export`` makes them, and the logits in float32; ``peft_side.py`` then looks at
the same with transformers and PEFT.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path

from hegelion_core.models.blas import prepare_mlx

prepare_mlx()

import mlx.core as mx  # noqa: E402 - the fast BLAS goes first
import numpy as np  # noqa: E402
from mlx_lm.utils import load, save  # noqa: E402

from hegelion_core.models import loading  # noqa: E402
from hegelion_core.training.export.run import Request, export  # noqa: E402
from hegelion_core.workspace import Workspace  # noqa: E402
from hegelion_tui.cli import run as console  # noqa: E402
from tests.fakes.adapters import make_adapter  # noqa: E402
from tests.fakes.tiny_model import Kind, make_tiny_model  # noqa: E402
from tests.faults.stock import sample_line  # noqa: E402

TEXT = "Should cities ban cars? A city is for people, and people want to get about; a car is one way among several."


def smollm2(folder: Path, models: Path) -> Path:
    """The bundled model as float32 weights, which transformers reads."""
    loaded = loading.load(loading.locate("bundled", models))
    config = {name: value for name, value in loaded.config.items() if not name.startswith("quantization")}
    save(folder, loaded.folder, loaded.model, loaded.tokenizer, config, donate_model=False)
    return folder


def data_sets(folder: Path) -> None:
    """What ``hegelion-console dataset`` makes of twelve samples, in both kinds of files."""
    samples = folder / "samples.jsonl"
    samples.write_bytes(b"".join(sample_line(number) for number in range(12)))
    (folder / "data").mkdir()
    for form in ("dpo", "messages", "prompt-completion"):
        for suffix in ("jsonl", "parquet"):
            made = console(["dataset", str(samples), str(folder / "data" / f"{form}.{suffix}"), "--format", form])
            assert made == 0, form


def main(folder: Path) -> None:
    """Write the data sets, every case below ``folder``, and ``cases.json``."""
    data_sets(folder)
    kinds: tuple[Kind, ...] = ("llama", "qwen2", "qwen3")
    bases: dict[str, Path] = {kind: make_tiny_model(folder / kind, kind=kind) for kind in kinds}
    bases["smollm2"] = smollm2(folder / "smollm2", folder / "models")
    cases: list[str] = []
    for name, base in bases.items():
        deep = 8 if name == "smollm2" else 1
        for form, layers, dora, scale in (
            ("last layers", deep, False, 2.0),
            ("all layers, rank-stabilised", 30 if name == "smollm2" else 2, False, 32 / 8**0.5),
            ("DoRA", deep, True, 2.0),
        ):
            case = f"{name}, {form}"
            size = 0.01 if name == "smollm2" else 0.05
            adapter = make_adapter(base, folder / case / "adapter", layers=layers, dora=dora, scale=scale, size=size)
            export(Request(Workspace(folder), adapter, "peft", folder / case / "peft"), print)
            model, tokenizer = load(str(base), adapter_path=str(adapter))
            ids = tokenizer.encode(TEXT)
            logits = np.array(model(mx.array([ids])).astype(mx.float32))[0]
            plain = np.array(load(str(base))[0](mx.array([ids])).astype(mx.float32))[0]
            np.savez(folder / case / "ours.npz", ids=ids, logits=logits, base=plain)
            cases.append(case)
    (folder / "cases.json").write_text(json.dumps(cases))


if __name__ == "__main__":
    main(Path(sys.argv[1]))
