"""A model from a hub, which a small server on the loopback plays."""

from __future__ import annotations

import hashlib
import json
import os
import random
import shutil
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import NamedTuple

import pytest
from huggingface_hub import constants
from hypothesis import given
from hypothesis import strategies as st

from hegelion_core.errors import ExitCode, UserError
from hegelion_core.models import download, loading

SOME = 70_000
WEIGHTS = "model.safetensors"
COMMIT = "0123456789abcdef0123456789abcdef01234567"
TOKEN = "hf_a_token_that_nobody_may_see"
CONTENT = {
    "config.json": b"{}",
    "tokenizer.json": b'{"version": "1.0"}',
    "tokenizer_config.json": b"",
    WEIGHTS: random.Random(1).randbytes(200_000),
    "pytorch_model.bin": b"a pickle",
    "onnx/config.json": b"of a folder that is not asked for",
    "../outside.json": b"of a hub that means harm",
}
WANTED = ["config.json", WEIGHTS, "tokenizer.json", "tokenizer_config.json"]
SIZE = sum(len(CONTENT[name]) for name in WANTED)
FETCH = """
from pathlib import Path
from hegelion_core.models import download, loading
download.REPORT_SECONDS = 0
loading.locate("owner/name", Path("models"), lambda what, done, total: print(done, flush=True))
"""


class Hub(ThreadingHTTPServer):
    """Serves the model ``owner/name`` in the hub's form; the weights come from a storage of another name."""

    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.url = f"http://127.0.0.1:{self.server_port}"
        self.asked: list[tuple[str, str | None]] = []
        """Requests for a file's content, with their ranges."""
        self.tokens: set[tuple[str, str | None]] = set()
        """Hosts that were asked, with the token they were given."""
        self.script: list[str | int] = []
        """How the next requests for the weights are answered, if not well: a word of ``_Handler``, or a status."""
        self.listing: bytes | None = None
        """What is said instead of the list of files."""
        self.silent = False
        """Whether the list of files is asked for in vain."""
        self.released = threading.Event()

    def ranges(self) -> list[str | None]:
        return [asked for name, asked in self.asked if name == WEIGHTS]


class _Handler(BaseHTTPRequestHandler):
    server: Hub

    def log_message(self, *args: object) -> None:
        """Silent."""

    def do_GET(self) -> None:
        path = self.path.partition("?")[0]
        if "name/" in path or "/storage/" in path:  # the library asks for other things too, once a process
            self.server.tokens.add((self.headers["Host"].partition(":")[0], self.headers["Authorization"]))
        if path == f"/owner/name/resolve/{COMMIT}/{WEIGHTS}":
            self._send(302, Location=f"http://localhost:{self.server.server_port}/storage/{WEIGHTS}?signature=secret")
        elif path.startswith((f"/owner/name/resolve/{COMMIT}/", "/storage/")):
            self._send_file(path.rpartition("/")[2])
        elif path == "/api/models/owner/name/revision/main" and self.server.silent:
            self.server.released.wait(60)
        elif path == "/api/models/owner/name/revision/main":
            assert "blobs=" in self.path  # sizes and hashes are wanted
            siblings = [*map(_entry, CONTENT)]
            self._send_json({"id": "owner/name", "sha": COMMIT, "siblings": siblings, "private": False, "tags": []})
        else:
            self._send(404, X_Error_Code="RepoNotFound")

    def _send(self, status: int, data: bytes = b"", **headers: str) -> None:
        self.send_response(status)
        for name, value in {"Content_Length": str(len(data)), **headers}.items():
            self.send_header(name.replace("_", "-"), value)
        self.end_headers()
        self.wfile.write(data)

    def _send_json(self, content: object) -> None:
        listing = self.server.listing
        self._send(200, json.dumps(content).encode() if listing is None else listing)

    def _send_file(self, name: str) -> None:
        asked, data = self.headers["Range"], CONTENT[name]
        self.server.asked.append((name, asked))
        match self.server.script.pop(0) if name == WEIGHTS and self.server.script else "well":
            case int(status):
                self._send(status, X_Error_Code={403: "GatedRepo", 404: "RevisionNotFound"}.get(status, ""))
            case "whole":
                self._send(200, data)
            case "changed":
                self._send(200, data[::-1])
            case "longer":
                self._send(200, data + b"more")
            case "another part":
                self._send(206, data[1:], Content_Range=f"bytes 1-{len(data) - 1}/{len(data)}")
            case how:
                begin = int(asked.removeprefix("bytes=").rstrip("-")) if asked else 0
                part = {"Content_Range": f"bytes {begin}-{len(data) - 1}/{len(data)}"} if asked else {}
                end = len(data) if how == "well" else begin + SOME
                self._send(206 if asked else 200, data[begin:end], Content_Length=str(len(data) - begin), **part)
                if how == "stall":
                    self.server.released.wait(60)


def _entry(name: str) -> dict[str, object]:
    entry: dict[str, object] = {"rfilename": name, "size": len(CONTENT[name]), "blobId": "0" * 40}
    if name == WEIGHTS:
        digest = hashlib.sha256(CONTENT[name]).hexdigest()
        entry["lfs"] = {"sha256": digest, "size": len(CONTENT[name]), "pointerSize": 134}
    return entry


@pytest.fixture
def hub(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[Hub]:
    server = Hub()
    thread = threading.Thread(target=server.serve_forever, args=(0.01,))
    thread.start()
    monkeypatch.setattr(constants, "ENDPOINT", server.url)
    template = "/{repo_id}/resolve/{revision}/{filename}"
    monkeypatch.setattr(constants, "HUGGINGFACE_CO_URL_TEMPLATE", server.url + template)
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", False)
    monkeypatch.setenv("HF_TOKEN", TOKEN)
    monkeypatch.setattr(download, "WAITS", (0.0, 0.0, 0.0))
    yield server
    server.released.set()
    server.shutdown()
    server.server_close()
    thread.join()


class Here(NamedTuple):
    """The folder of models."""

    models: Path

    @property
    def folder(self) -> Path:
        return self.models / "owner--name" / COMMIT

    @property
    def partial(self) -> Path:
        return self.folder / f"{WEIGHTS}.partial"

    def fetch(self, name: str = "owner/name") -> list[int]:
        """The bytes that were told."""
        told: list[int] = []

        def progress(what: str, done: int, total: int | None) -> None:
            assert (what, total) == (name, SIZE)
            told.append(done)

        found = loading.locate(name, self.models, progress)
        assert found == self.folder
        assert sorted(path.name for path in found.iterdir()) == WANTED
        assert all((found / path).read_bytes() == CONTENT[path] for path in WANTED)
        return told

    def refused(self, match: str, name: str = "owner/name") -> str:
        """The hint."""
        with pytest.raises(UserError, match=match) as caught:
            loading.locate(name, self.models)
        assert caught.value.exit_code is ExitCode.NOT_READY
        assert name.partition("/")[2] in caught.value.message or WEIGHTS in caught.value.message
        assert TOKEN not in str(caught.value)
        assert "secret" not in str(caught.value)
        return caught.value.hint


@pytest.fixture
def here(tmp_path: Path) -> Here:
    return Here(tmp_path / "models")


def test_a_model_is_fetched_once_and_then_serves_without_the_hub(
    hub: Hub, here: Here, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert here.fetch()[-1] == SIZE
    assert sorted(name for name, _ in hub.asked) == WANTED
    assert hub.tokens == {("127.0.0.1", f"Bearer {TOKEN}"), ("localhost", None)}
    assert not (here.models / "outside.json").exists()
    hub.asked.clear()
    hub.tokens.clear()
    assert here.fetch() == []
    assert hub.tokens == set()
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    assert here.fetch() == []


def test_a_tokenizer_is_fetched_without_the_weights_and_a_model_goes_on_from_it(hub: Hub, here: Here) -> None:
    told: list[tuple[int, int | None]] = []
    found = loading.locate_tokenizer("owner/name", here.models, lambda _, done, total: told.append((done, total)))
    light = [name for name in WANTED if name != WEIGHTS]
    assert found == here.folder
    assert sorted(path.name for path in found.iterdir()) == light
    assert [name for name, _ in hub.asked] == light
    assert told[-1] == (SIZE - len(CONTENT[WEIGHTS]),) * 2
    hub.tokens.clear()
    assert loading.locate_tokenizer("owner/name", here.models) == found
    assert hub.tokens == set()  # nobody was asked
    assert loading.find("owner/name", here.models) is None  # for a training there is something to do
    hub.asked.clear()
    here.fetch()
    assert [name for name, _ in hub.asked] == [WEIGHTS]


def test_a_killed_download_goes_on_where_it_was(hub: Hub, here: Here) -> None:
    hub.script = ["stall"]
    environ = {**os.environ, "HF_ENDPOINT": hub.url, "HF_HOME": str(here.models / "home"), "HF_HUB_OFFLINE": "0"}
    here.models.mkdir()
    arguments = [sys.executable, "-c", FETCH]
    with subprocess.Popen(arguments, cwd=here.models.parent, env=environ, stdout=subprocess.PIPE, text=True) as child:
        assert child.stdout is not None
        reached = len(CONTENT["config.json"]) + len(CONTENT["tokenizer.json"]) + SOME
        assert any(int(line) == reached for line in child.stdout)
        child.kill()
    assert here.partial.read_bytes() == CONTENT[WEIGHTS][:SOME]
    hub.asked.clear()
    assert here.fetch()[-1] == SIZE
    assert hub.asked == [(WEIGHTS, f"bytes={SOME}-")]


@pytest.mark.parametrize(
    ("script", "ranges"),
    [
        (["break"], [None, f"bytes={SOME}-"]),
        (["break", "break"], [None, f"bytes={SOME}-", f"bytes={2 * SOME}-"]),
        (["break", 503, 429], [None, *[f"bytes={SOME}-"] * 3]),
        (["break", "whole"], [None, f"bytes={SOME}-"]),
        (["break", "another part"], [None, f"bytes={SOME}-", None]),
        (["break", 204], [None, *[f"bytes={SOME}-"] * 2]),
        ([500, 500, 500], [None] * 4),
    ],
)
def test_a_broken_connection_is_taken_up_again(
    script: list[str | int], ranges: list[str | None], hub: Hub, here: Here
) -> None:
    hub.script = script
    assert here.fetch()[-1] == SIZE
    assert hub.ranges() == ranges


def test_a_hub_that_keeps_failing_is_left_and_the_next_run_goes_on(hub: Hub, here: Here) -> None:
    hub.script = ["break", 500, 500, 500]
    assert "goes on where it was" in here.refused(r"owner/name: the hub failed \(HTTP 500\)")
    assert here.partial.stat().st_size == SOME
    here.fetch()
    assert hub.ranges() == [None] + [f"bytes={SOME}-"] * 4


@pytest.mark.parametrize("how", ["changed", "longer"])
def test_weights_that_are_not_what_the_hub_lists_are_removed(how: str, hub: Hub, here: Here) -> None:
    hub.script = [how]
    here.refused(f"{WEIGHTS}: what came is not the file that the hub lists")
    assert not here.partial.exists()
    assert not (here.folder / WEIGHTS).exists()
    here.fetch()
    assert hub.ranges() == [None, None]


def test_a_file_that_was_lost_is_fetched_alone(hub: Hub, here: Here) -> None:
    here.fetch()
    (here.folder / "tokenizer.json").unlink()
    hub.asked.clear()
    here.fetch()
    assert hub.asked == [("tokenizer.json", None)]


def test_a_model_in_the_cache_of_the_hubs_library_is_used(hub: Hub, here: Here, tmp_path: Path) -> None:
    repository = tmp_path / "cache" / "models--owner--name"
    snapshot = repository / "snapshots" / COMMIT
    snapshot.mkdir(parents=True)
    for name in WANTED:
        (snapshot / name).write_bytes(CONTENT[name])
    (repository / "refs").mkdir()
    (repository / "refs" / "main").write_text(COMMIT)
    assert loading.locate("owner/name", here.models) == snapshot
    assert hub.tokens == set()
    (snapshot / WEIGHTS).unlink()
    here.fetch()


@pytest.mark.parametrize("status", [401, 403])
def test_a_model_without_permission_is_said(status: int, hub: Hub, here: Here) -> None:
    hub.script = [status]
    assert "hf auth login" in here.refused("owner/name: (needs its owner's permission|the hub refuses it)")
    assert len(hub.ranges()) == 1


def test_a_version_that_the_hub_gave_up_is_replaced_by_the_next_run(hub: Hub, here: Here) -> None:
    hub.script = [404]
    assert "again" in here.refused("owner/name: the hub no longer has the version")
    here.fetch()


@pytest.mark.usefixtures("hub")
@pytest.mark.parametrize("name", ["nobody/nothing", "owner/two..dots"])
def test_a_name_that_the_hub_does_not_know_is_said(name: str, here: Here) -> None:
    assert "local model folder" in here.refused(f"{name}: there is no such model on the hub", name)


@pytest.mark.usefixtures("hub")
def test_a_hub_that_is_not_there_is_said(here: Here, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(constants, "ENDPOINT", "http://127.0.0.1:9")
    hint = here.refused("owner/name: the model hub can't be reached")
    assert "goes on where it was" in hint
    assert "local model folder" in hint
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    assert "Unset HF_HUB_OFFLINE" in here.refused("owner/name: the model hub can't be reached")


def test_a_hub_that_falls_silent_is_left(hub: Hub, here: Here, monkeypatch: pytest.MonkeyPatch) -> None:
    hub.silent = True
    monkeypatch.setattr(constants, "HF_HUB_DOWNLOAD_TIMEOUT", 0.2)
    assert "Check the network" in here.refused("owner/name: the model hub can't be reached")


@pytest.mark.parametrize("listing", [b"<html>sign in here</html>", b"[]", b'{"sha": "../../elsewhere", "id": "x"}'])
def test_what_is_no_hub_is_said(listing: bytes, hub: Hub, here: Here) -> None:
    hub.listing = listing
    assert "HF_ENDPOINT" in here.refused("owner/name: what answers is not a model hub")


def test_too_little_space_is_said_before_the_first_byte(hub: Hub, here: Here, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(shutil, "disk_usage", lambda _: shutil._ntuple_diskusage(SIZE, 1, SIZE - 1))
    assert "Free some space" in here.refused("0.00 GB are still to be downloaded, 0.00 GB are free in ")
    assert hub.asked == []
    monkeypatch.setattr(shutil, "disk_usage", lambda _: shutil._ntuple_diskusage(SIZE, 0, SIZE))
    here.fetch()


@pytest.mark.usefixtures("hub")
def test_a_folder_that_cannot_be_written_is_said(here: Here) -> None:
    here.models.write_text("a file")
    here.refused("owner/name: can't be written")


@pytest.mark.parametrize(
    "path",
    [
        "pytorch_model.bin",
        "model.pt",
        "a/config.json",
        "../a.json",
        "..json",
        ".a.json",
        "a\\b.json",
        "a\0.json",
        "a.json\n",
        "",
    ],
)
def test_other_files_and_other_places_are_not_wanted(path: str) -> None:
    assert not download.is_wanted(path)


@given(st.text())
def test_a_wanted_name_stays_in_its_folder(stem: str) -> None:
    folder = Path("/models")
    if download.is_wanted(f"{stem}.json"):
        assert (folder / f"{stem}.json").parent == folder
        assert "\0" not in stem


def test_an_answer_is_the_rest_or_the_whole() -> None:
    assert download.continues(206, "bytes 5-9/10", 5, 10)
    assert download.continues(206, "bytes 5-9/*", 5, 10)
    assert not download.continues(200, "", 5, 10)
    for status, part in ((206, ""), (206, "bytes 4-9/10"), (206, "bytes 5-9/11"), (204, "bytes 5-9/10")):
        with pytest.raises(ConnectionError):
            download.continues(status, part, 5, 10)


def test_progress_is_told_once_a_second_and_at_the_end(monkeypatch: pytest.MonkeyPatch) -> None:
    now = iter([0.0, 0.9, 1.0, 1.5, 1.6])
    monkeypatch.setattr(time, "monotonic", lambda: next(now))
    told: list[tuple[str, int, int | None]] = []
    tell = download.throttled(lambda *args: told.append(args), "owner/name", 5)
    for done in range(1, 6):
        tell(done)
    assert told == [("owner/name", 1, 5), ("owner/name", 3, 5), ("owner/name", 5, 5)]
