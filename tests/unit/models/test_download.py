"""A model from a hub, which a small server on the loopback plays."""

from __future__ import annotations

import hashlib
import json
import os
import subprocess
import sys
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from tests.fakes.tiny_model import make_tiny_model

SOME = 1000
COMMIT = "0123456789abcdef0123456789abcdef01234567"
FETCH = """
import sys
from pathlib import Path
from hegelion_core.errors import UserError
from hegelion_core.models import loading
try:
    folder = loading.locate(sys.argv[1], Path("models"), lambda *progress: print(*progress))
    print("found", *sorted(path.name for path in folder.iterdir()))
except UserError as error:
    print("error", error.exit_code, error)
"""


class Hub(ThreadingHTTPServer):
    """Serves one model, ``owner/name``, in the hub's form; ``asked`` are the requests for files' content."""

    def __init__(self, folder: Path) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.folder = folder
        self.asked: list[tuple[str, str | None]] = []
        self.breaks_off_once = False
        """The first answer that carries weights ends after ``SOME`` bytes."""

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_port}"


class _Handler(BaseHTTPRequestHandler):
    server: Hub

    def log_message(self, *args: object) -> None:
        """Silent."""

    def do_HEAD(self) -> None:
        self.do_GET()

    def do_GET(self) -> None:
        path = self.path.partition("?")[0]
        if path.startswith(f"/owner/name/resolve/{COMMIT}/"):
            self._send_file(self.server.folder / path.rpartition("/")[2])
        elif path == "/api/models/owner/name/revision/main":
            self._send_json({"id": "owner/name", "sha": COMMIT, "siblings": [], "private": False, "tags": []})
        elif path.startswith(f"/api/models/owner/name/tree/{COMMIT}"):
            self._send_json([self._entry(file) for file in self.server.folder.iterdir()])
        else:
            self.send_response(404)
            self.send_header("X-Error-Code", "RepoNotFound")
            self.send_header("Content-Length", "0")
            self.end_headers()

    def _entry(self, file: Path) -> dict[str, object]:
        return {"type": "file", "path": file.name, "size": file.stat().st_size, "oid": _tag(file)}

    def _send_json(self, content: object) -> None:
        data = json.dumps(content).encode()
        self.send_response(200)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)

    def _send_file(self, file: Path) -> None:
        data, asked = file.read_bytes(), self.headers.get("Range")
        begin = int(asked.removeprefix("bytes=").rstrip("-")) if asked else 0
        self.send_response(206 if asked else 200)
        self.send_header("ETag", f'"{_tag(file)}"')
        self.send_header("X-Repo-Commit", COMMIT)
        self.send_header("Content-Length", str(len(data) - begin))
        if asked:
            self.send_header("Content-Range", f"bytes {begin}-{len(data) - 1}/{len(data)}")
        self.end_headers()
        if self.command == "GET":
            self.server.asked.append((file.name, asked))
            if self.server.breaks_off_once and file.suffix == ".safetensors":
                self.server.breaks_off_once = False
                self.wfile.write(data[:SOME])
                self.close_connection = True
            else:
                self.wfile.write(data[begin:])


def _tag(file: Path) -> str:
    return hashlib.sha1(file.read_bytes(), usedforsecurity=False).hexdigest()


@pytest.fixture
def hub(tmp_path: Path) -> Iterator[Hub]:
    folder = make_tiny_model(tmp_path / "served")
    (folder / "pytorch_model.bin").write_text("a pickle")
    server = Hub(folder)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    yield server
    server.shutdown()
    server.server_close()
    thread.join()


def fetch(name: str, url: str, home: Path) -> list[str]:
    environ = {**os.environ, "HF_ENDPOINT": url, "HF_HOME": str(home), "HF_HUB_DISABLE_TELEMETRY": "1"}
    environ.pop("HF_HUB_OFFLINE", None)
    done = subprocess.run(
        [sys.executable, "-c", FETCH, name], env=environ, capture_output=True, text=True, check=True, timeout=60
    )
    return done.stdout.splitlines()


def test_a_model_is_fetched_once_and_then_serves_without_the_hub(hub: Hub, tmp_path: Path) -> None:
    *progress, found = fetch("owner/name", hub.url, tmp_path / "home")
    assert found == "found config.json model.safetensors tokenizer.json tokenizer_config.json"
    size = sum(path.stat().st_size for path in hub.folder.iterdir() if path.suffix != ".bin")
    assert progress[-1] == f"owner/name {size} {size}"
    assert sorted(name for name, _ in hub.asked) == found.split()[1:]
    hub.asked.clear()
    assert fetch("owner/name", hub.url, tmp_path / "home")[-1] == found
    assert hub.asked == []
    assert fetch("owner/name", "http://127.0.0.1:9", tmp_path / "home")[-1] == found


def test_a_connection_that_breaks_off_is_taken_up_again(hub: Hub, tmp_path: Path) -> None:
    hub.breaks_off_once = True
    *_, found = fetch("owner/name", hub.url, tmp_path / "home")
    assert found.startswith("found")
    assert [name for name, _ in hub.asked].count("model.safetensors") == 2
    (made,) = (tmp_path / "home").rglob("snapshots/*/model.safetensors")
    assert made.read_bytes() == (hub.folder / "model.safetensors").read_bytes()


def test_files_that_are_there_are_not_fetched_again(hub: Hub, tmp_path: Path) -> None:
    fetch("owner/name", hub.url, tmp_path / "home")
    (made,) = (tmp_path / "home").rglob("snapshots/*/model.safetensors")
    made.resolve().unlink()
    made.unlink()
    hub.asked.clear()
    assert fetch("owner/name", hub.url, tmp_path / "home")[-1].startswith("found")
    assert hub.asked == [("model.safetensors", None)]


def test_a_name_that_the_hub_does_not_know_is_said(hub: Hub, tmp_path: Path) -> None:
    said = fetch("nobody/nothing", hub.url, tmp_path / "home")
    assert said[0].startswith("error 3 nobody/nothing: there is no such model on the hub")


def test_a_hub_that_is_not_there_is_said(tmp_path: Path) -> None:
    said = fetch("owner/name", "http://127.0.0.1:9", tmp_path / "home")
    assert said[0].startswith("error 3 owner/name: the model hub can't be reached")
    assert "local model folder" in said[1]
