"""TRL's trainers on the data sets that ``prepare.py`` wrote; runs in an environment of its own.

    python trl_side.py FOLDER

Each data set is loaded with ``datasets`` and trained on for two steps with a tiny model, as a user of TRL would. It
ends with a traceback if a trainer refuses one, and with 1 if its loss is no number. Needs nothing of ours.
"""

from __future__ import annotations

import math
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path

import datasets
import transformers
import trl

HOW = {
    "max_steps": 2,
    "per_device_train_batch_size": 2,
    "use_cpu": True,
    "bf16": False,
    "report_to": "none",
    "save_strategy": "no",
    "logging_steps": 1,
    "disable_tqdm": True,
}


def prefer(model: str, rows: datasets.Dataset, folder: str) -> transformers.Trainer:
    """Two steps of preference training."""
    return trl.DPOTrainer(model, args=trl.DPOConfig(folder, **HOW), train_dataset=rows)


def imitate(model: str, rows: datasets.Dataset, folder: str) -> transformers.Trainer:
    """Two steps of supervised training."""
    return trl.SFTTrainer(model, args=trl.SFTConfig(folder, **HOW), train_dataset=rows)


TRAINERS: dict[str, Callable[[str, datasets.Dataset, str], transformers.Trainer]] = {
    "dpo": prefer,
    "messages": imitate,
    "prompt-completion": imitate,
}


def check(path: Path, model: Path) -> bool:
    """Train on one file and print its line; whether that went well."""
    kind = "parquet" if path.suffix == ".parquet" else "json"
    rows = datasets.load_dataset(kind, data_files=str(path), split="train")
    with tempfile.TemporaryDirectory() as folder:
        trainer = TRAINERS[path.stem](str(model), rows, folder)
        loss = trainer.train().training_loss
    print(f"{path.name:<28} {len(rows):>3} rows, loss {loss:.3f} {'' if math.isfinite(loss) else 'FAILED'}", flush=True)
    return math.isfinite(loss)


def main(folder: Path) -> int:
    """Check every file below ``folder/data``."""
    transformers.logging.set_verbosity_error()
    datasets.disable_progress_bars()
    files = sorted((folder / "data").iterdir())
    print(f"TRL {trl.__version__}, transformers {transformers.__version__}, datasets {datasets.__version__}")
    held = [check(path, folder / "llama") for path in files]
    print(f"{sum(held)} of {len(files)} data sets are trained on")
    return 0 if held and all(held) else 1


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1])))
