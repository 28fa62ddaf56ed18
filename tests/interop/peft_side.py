"""transformers and PEFT on what ``prepare.py`` wrote; runs in an environment of its own, and needs nothing of ours.

    python peft_side.py FOLDER

Both compute in float32. Equal means to 1e-4, absolute or relative (``numpy.allclose``): two programs round differently
with or without an adapter, and SmolLM2's logits go up to 30. The base's own difference stands beside the adapter's.
Exits 1 if a case is not equal.
"""

from __future__ import annotations

import json
import sys
import warnings
from pathlib import Path

import numpy as np
import peft
import torch
import transformers

LIMIT = 1e-4


def check(case: Path) -> bool:
    """Compare one case and print its line; whether it holds."""
    ours = np.load(case / "ours.npz")
    config = json.loads((case / "peft" / "adapter_config.json").read_text())
    base = transformers.AutoModelForCausalLM.from_pretrained(
        config["base_model_name_or_path"], dtype=torch.float32, local_files_only=True
    ).eval()
    ids = torch.tensor(ours["ids"])[None]
    with torch.no_grad():
        plain = base(ids).logits[0].numpy()
        adapted = peft.PeftModel.from_pretrained(base, case / "peft").eval()(ids).logits[0].numpy()
    equal = np.allclose(ours["logits"], adapted, atol=LIMIT, rtol=LIMIT)
    figures = (ours["logits"] - adapted, ours["base"] - plain, ours["logits"] - ours["base"], ours["logits"])
    adapter, without, change, largest = (float(np.abs(values).max()) for values in figures)
    print(
        f"{case.name:<36} {adapter:8.1e} {without:8.1e} {change:8.2f} {largest:8.2f}  {'' if equal else 'FAILED'}",
        flush=True,
    )
    return bool(equal)


def main(folder: Path) -> int:
    """Every case; returns the exit code."""
    warnings.simplefilter("ignore")
    transformers.utils.logging.disable_progress_bar()
    print(f"torch {torch.__version__}, transformers {transformers.__version__}, peft {peft.__version__}, float32")
    print("Largest difference of a logit to ours: with the adapter, and the base alone;")
    print("what the adapter changes a logit by, and the largest logit")
    cases = json.loads((folder / "cases.json").read_text())
    failed = [name for name in cases if not check(folder / name)]
    print(f"{len(cases) - len(failed)} passed, {len(failed)} failed")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1])))
