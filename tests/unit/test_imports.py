"""What is light stays light: the paths that must answer at once load nothing heavy."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

HEAVY = {"textual", "mlx", "mlx_lm", "datasets", "transformers", "numpy", "huggingface_hub"}
PROBE = """
import sys
{code}
print(sorted({{name.partition(".")[0] for name in sys.modules}} & {heavy!r}))
"""


def loaded(code: str, folder: Path) -> str:
    return subprocess.run(
        [sys.executable, "-c", PROBE.format(code=code, heavy=HEAVY)],
        cwd=folder,
        capture_output=True,
        text=True,
        check=True,
    ).stdout.splitlines()[-1]


@pytest.mark.parametrize(
    "code",
    [
        "import hegelion_core",
        "from hegelion_core.core import Core",
        "from hegelion_core.client import Client",
        "from hegelion_tui.cli import run; run(['--help'])",
        "from hegelion_tui.cli import run; run(['--version'])",
        "from hegelion_tui.cli import run; run(['ask', '--help'])",
        "import hegelion_core.generation.asking",
        "from hegelion_tui.cli import run; run(['--status'])",
        "from hegelion_tui.cli import run; run(['dataset', '--help'])",
        "from hegelion_tui.cli import run; run(['convert', '--help'])",
        "from hegelion_tui.cli import run; run(['--run-all', '--dry-run'])",
        "from hegelion_tui.cli import run; run(['doctor', '--patience', '0.1'])",
        "import hegelion_core.commands.headless",
    ],
)
def test_nothing_heavy_is_loaded(code: str, tmp_path: Path) -> None:
    assert loaded(code, tmp_path) == "[]"


def test_help_and_status_do_without_pydantic(tmp_path: Path) -> None:
    """Importing it takes longer than all the rest of these two."""
    for flag in ("--help", "--status"):
        code = f"from hegelion_tui.cli import run; run([{flag!r}]); assert 'pydantic' not in sys.modules"
        loaded(code, tmp_path)


def test_the_console_opens_without_what_draws_charts_and_asks_gpus(tmp_path: Path) -> None:
    later = {"numpy", "textual_plot", "pynvml", "mlx", "pydantic", "tomlkit"}
    loaded(f"import hegelion_tui.app; assert not {later} & set(sys.modules), sys.modules", tmp_path)
