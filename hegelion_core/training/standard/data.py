"""``artifacts/data/mlx/``: the rows in the form that ``mlx_lm.lora --data`` encodes as this product does.

Of mlx-lm's three forms only ``text`` keeps a row as it is. ``messages`` and ``prompt``/``completion`` go through the
student's chat template, which drops the trace of thinking models. But with ``text`` mlx-lm lets the tokenizer add its
begin token, which a row holds already, and appends the end token where another one ends the row; so what encoding adds
is left out here, and every row is encoded as mlx-lm will do it, to see. What ``text`` cannot have is a masked prompt.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

from hegelion_core import workspace
from hegelion_core.conversion.lengths import first_of
from hegelion_core.settings import TrainingSettings
from hegelion_core.training.batching import Row

if TYPE_CHECKING:
    from hegelion_core.training.lora import LoraShape

CONFIG = "config.yaml"


class TextTokenizer(Protocol):
    """What is used of mlx-lm's ``TokenizerWrapper``."""

    @property
    def bos_token(self) -> str | None: ...
    @property
    def eos_token(self) -> str | None: ...
    @property
    def eos_token_id(self) -> int | None: ...

    def encode(self, text: str, *, add_special_tokens: bool = ...) -> list[int]: ...


@dataclass(frozen=True)
class Prepared:
    """What was written."""

    train: int
    valid: int
    too_long: tuple[int, ...]
    """Lines of rows that were left out, since mlx-lm would cut off their ends."""
    different: int
    """Rows that mlx-lm encodes otherwise than this product, by a begin or end token that it adds."""


def prepare(
    folder: Path, train: Sequence[Row], valid: Sequence[Row], tokenizer: TextTokenizer, max_seq_length: int
) -> Prepared:
    """Write ``train.jsonl`` and ``valid.jsonl``, shortest rows first: mlx-lm batches rows in the order of the file.

    Raises:
        OSError: they cannot be written.
    """
    folder.mkdir(parents=True, exist_ok=True)
    different = 0
    too_long: list[int] = []
    counts: list[int] = []
    for name, rows in (("train", train), ("valid", valid)):
        encoded = [
            (mlx_text(row.text, tokenizer), tokenizer.encode(row.text, add_special_tokens=False)) for row in rows
        ]
        fitting = sorted(((len(ids), i) for i, (_, ids) in enumerate(encoded) if len(ids) <= max_seq_length))
        texts = [encoded[i] for _, i in fitting]
        too_long += [row.line for row, (_, ids) in zip(rows, encoded, strict=True) if len(ids) > max_seq_length]
        different += sum(mlx_ids(text, tokenizer) != ids for text, ids in texts)
        path, lines = folder / f"{name}.jsonl", [json.dumps({"text": text}, ensure_ascii=False) for text, _ in texts]
        if lines:
            workspace.replace(path, "".join(f"{line}\n" for line in lines).encode())
        else:
            path.unlink(missing_ok=True)
        counts.append(len(lines))
    return Prepared(counts[0], counts[1], tuple(sorted(too_long)), different)


def mlx_ids(text: str, tokenizer: TextTokenizer) -> list[int]:
    """Token ids that mlx-lm makes of a ``text`` row (``mlx_lm.tuner.datasets.TextDataset``)."""
    ids = tokenizer.encode(text)
    return ids if ids[-1:] == [tokenizer.eos_token_id] else [*ids, tokenizer.eos_token_id or 0]


def mlx_text(text: str, tokenizer: TextTokenizer) -> str:
    """The text that mlx-lm encodes to what ``text`` is, where there is one; otherwise ``text``."""
    wanted = tokenizer.encode(text, add_special_tokens=False)
    return next((form for form in _forms(text, tokenizer) if mlx_ids(form, tokenizer) == wanted), text)


def _forms(text: str, tokenizer: TextTokenizer) -> Iterator[str]:
    begin, end = tokenizer.bos_token or "", tokenizer.eos_token or ""
    yield text
    yield text.removeprefix(begin)
    yield text.removesuffix(end)
    yield text.removeprefix(begin).removesuffix(end)


def write_config(
    folder: Path, adapter: Path, settings: TrainingSettings, model: Path, batch_size: int, shape: LoraShape
) -> None:
    """Write ``config.yaml``, with which ``mlx_lm.lora -c`` does by hand what the standard trainer does.

    JSON is YAML, too.

    Args:
        folder: of the rows.
        adapter: where mlx-lm shall write.

    Raises:
        OSError: it cannot be written.
    """
    from hegelion_core.training.adapter import adapter_config

    config = json.loads(adapter_config(shape, str(model))) | {
        "train": True,
        "data": str(folder),
        "adapter_path": str(adapter),
        "optimizer": "adam",
        "batch_size": batch_size,
        "iters": settings.iters,
        "learning_rate": settings.lr,
        "max_seq_length": settings.max_seq_length,
        "steps_per_report": settings.report_every,
        "steps_per_eval": settings.validation_interval,
        "val_batches": -1,
        "save_every": settings.checkpoint_every,
        "grad_checkpoint": settings.grad_checkpoint,
        "seed": settings.seed,
    }
    workspace.replace(
        folder / CONFIG,
        json.dumps(config, indent=2, ensure_ascii=False).encode() + b"\n",
        mode=workspace.SHARED,
    )


def words(prepared: Prepared, folder: Path) -> list[str]:
    """What was written and how to use it, and what of it is not as it should be."""
    use = f", for mlx_lm.lora -c {folder / CONFIG}" if prepared.train else ""
    said = [f"{folder}: {prepared.train} rows, {prepared.valid} for validation{use}"]
    if prepared.different:
        said.append(f"  {prepared.different} rows get a begin or end token from mlx-lm that they do not have here.")
    return said


def left_out(prepared: Prepared, folder: Path, max_seq_length: int) -> str:
    """What a person should know of the rows that were left out, or nothing."""
    if not prepared.too_long:
        return ""
    which = f"{len(prepared.too_long)} rows of more than {max_seq_length} tokens ({first_of(prepared.too_long)})"
    return (
        f"{folder}: {which} are left out, since mlx-lm would cut off their ends"
        f"{'' if prepared.train else '; no row is left to train on by hand'}. Give a larger --max-seq-length."
    )
