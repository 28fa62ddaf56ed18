"""A stand-in for the Hugging Face hub on loopback: as much of its API as uploading a data set needs.

It keeps what is committed in memory, asks for a token, and fails as it is told to. Which files go into the commit
itself and which to large-file storage is decided by it, as there.
"""

from __future__ import annotations

import base64
import contextlib
import hashlib
import json
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

TOKEN = "hf_standInTokenOf40Characters0123456789ab"


@dataclass
class Repository:
    """A data set on the hub."""

    private: bool
    files: dict[str, bytes] = field(default_factory=dict)
    commits: int = 0


@dataclass
class Hub:
    """What the stand-in holds, and what it shall do."""

    url: str = ""
    repositories: dict[str, Repository] = field(default_factory=dict)
    fail: dict[str, int] = field(default_factory=dict)
    """Word in a path to the status with which a request for it is refused."""
    silent: str = ""
    """Word in a path; a request for it is read and never answered."""
    asked_in_vain: threading.Event = field(default_factory=threading.Event)
    """Set by a request that is not answered."""
    end: threading.Event = field(default_factory=threading.Event)
    large: str = ".parquet"
    """Files with this end go to large-file storage."""
    requests: list[str] = field(default_factory=list)
    stored: dict[str, bytes] = field(default_factory=dict)


@contextlib.contextmanager
def hub() -> Iterator[Hub]:
    """Run the stand-in."""
    state = Hub()

    class Handler(_Handler):
        hub = state

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    state.url = f"http://127.0.0.1:{server.server_address[1]}"
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield state
    finally:
        state.end.set()
        server.shutdown()
        server.server_close()
        thread.join()


class _Handler(BaseHTTPRequestHandler):
    hub: Hub
    protocol_version = "HTTP/1.1"

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - its name in the base class
        """Say nothing."""

    def do_GET(self) -> None:
        self._answer(b"")

    def do_HEAD(self) -> None:
        self._answer(b"")

    def do_PUT(self) -> None:
        self._answer(self._body())

    def do_POST(self) -> None:
        self._answer(self._body())

    def _body(self) -> bytes:
        if self.headers.get("Transfer-Encoding") == "chunked":
            parts = []
            while size := int(self.rfile.readline(), 16):
                parts.append(self.rfile.read(size))
                self.rfile.readline()
            self.rfile.readline()
            return b"".join(parts)
        return self.rfile.read(int(self.headers.get("Content-Length", 0)))

    def _answer(self, body: bytes) -> None:
        self.hub.requests.append(f"{self.command} {self.path}")
        if self._fails(f"{self.command} {self.path}"):
            return
        if not self.path.startswith("/storage/") and self.headers.get("Authorization") != f"Bearer {TOKEN}":
            self._send(401, {"error": "Invalid username or password."})
            return
        path = self.path.split("?")[0]
        if path == "/api/repos/create":
            self._create(json.loads(body))
        elif path == "/api/validate-yaml":
            self._send(200, {"warnings": [], "errors": []})
        elif path.startswith("/storage/"):
            self.hub.stored[path.removeprefix("/storage/")] = body
            self._send(200, {})
        elif path.endswith("/info/lfs/objects/batch"):
            self._batch(json.loads(body))
        elif path.startswith("/api/datasets/"):
            self._dataset(path.removeprefix("/api/datasets/"), body)
        elif path.startswith("/datasets/") and "/resolve/" in path:
            self._resolve(path.removeprefix("/datasets/"))
        else:
            self._send(404, {"error": "no such path"})

    def _fails(self, request: str) -> bool:
        """Whether the request was left without an answer, or refused."""
        if self.hub.silent and self.hub.silent in request:
            self.hub.asked_in_vain.set()
            self.hub.end.wait()
            return True
        for word, status in self.hub.fail.items():
            if word in request:
                self._send(status, {"error": f"refused, whatever {self.headers.get('Authorization')} may say"})
                return True
        return False

    def _create(self, wanted: dict[str, object]) -> None:
        name = f"{wanted.get('organization') or 'me'}/{wanted['name']}"
        if name in self.hub.repositories:
            self._send(
                409, {"url": f"{self.hub.url}/datasets/{name}", "error": "You already created this dataset repo"}
            )
            return
        private = wanted.get("private") is True or wanted.get("visibility") == "private"
        self.hub.repositories[name] = Repository(private)
        self._send(200, {"url": f"{self.hub.url}/datasets/{name}"})

    def _dataset(self, rest: str, body: bytes) -> None:
        name, action = "/".join(rest.split("/")[:2]), "/".join(rest.split("/")[2:])
        repository = self.hub.repositories.get(name)
        if repository is None:
            self._send(404, {"error": "Repository not found"}, {"X-Error-Code": "RepoNotFound"})
        elif action.startswith("preupload"):
            wanted = json.loads(body)["files"]
            self._send(200, {"files": [self._mode(file["path"], repository) for file in wanted]})
        elif action.startswith("commit"):
            self._commit(name, repository, body)
        else:
            siblings = [{"rfilename": path} for path in repository.files]
            known = {"id": name, "private": repository.private, "sha": "0" * 40, "siblings": siblings}
            self._send(200, {**known, "tags": [], "downloads": 0, "likes": 0, "disabled": False, "gated": False})

    def _mode(self, path: str, repository: Repository) -> dict[str, object]:
        """How a file is to be uploaded, and what stands there of it: a large one is known by its SHA-256."""
        large, there = path.endswith(self.hub.large), repository.files.get(path)
        known = hashlib.sha256(there).hexdigest() if large and there is not None else _git_id(there)
        mode = "lfs" if large else "regular"
        return {"path": path, "uploadMode": mode, "shouldIgnore": False, "oid": known}

    def _commit(self, name: str, repository: Repository, body: bytes) -> None:
        for line in body.splitlines():
            operation = json.loads(line)
            value = operation["value"]
            if operation["key"] == "file":
                repository.files[value["path"]] = base64.b64decode(value["content"])
            elif operation["key"] == "lfsFile":
                repository.files[value["path"]] = self.hub.stored[value["oid"]]
        repository.commits += 1
        commit = f"{repository.commits:040x}"
        self._send(200, {"commitUrl": f"{self.hub.url}/datasets/{name}/commit/{commit}", "commitOid": commit})

    def _batch(self, wanted: dict[str, list[dict[str, object]]]) -> None:
        objects = [
            {**each, "actions": {"upload": {"href": f"{self.hub.url}/storage/{each['oid']}"}}}
            for each in wanted["objects"]
        ]
        self._send(200, {"transfer": "basic", "objects": objects})

    def _resolve(self, rest: str) -> None:
        owner, name, _, _, *path = rest.split("/")
        data = self.hub.repositories[f"{owner}/{name}"].files["/".join(path)]
        headers = {"ETag": hashlib.sha256(data).hexdigest(), "X-Repo-Commit": "0" * 40}
        self._send(200, data, headers)

    def _send(self, status: int, content: object, headers: dict[str, str] | None = None) -> None:
        data = content if isinstance(content, bytes) else json.dumps(content).encode()
        self.send_response(status)
        kind = "application/octet-stream" if isinstance(content, bytes) else "application/json"
        if self.path.endswith("/info/lfs/objects/batch"):
            kind = "application/vnd.git-lfs+json"
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(len(data)))
        for name, value in (headers or {}).items():
            self.send_header(name, value)
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(data)


def _git_id(data: bytes | None) -> str | None:
    return None if data is None else hashlib.sha1(b"blob %d\0" % len(data) + data).hexdigest()  # noqa: S324 - git's
