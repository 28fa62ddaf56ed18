"""What ``make lint`` can see of the dependencies, and that it never takes silence for health."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator, Sequence
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

from tests import dependencies
from tests.dependencies import Audit, Package, audit, needed

PACKAGE = Package("click", "8.1.0", "BSD-3-Clause")
ADVISORY = {
    "id": "GHSA-aaaa-bbbb-cccc",
    "summary": "It lets everybody in.",
    "affected": [
        {
            "package": {"name": "click", "ecosystem": "PyPI"},
            "ranges": [{"type": "ECOSYSTEM", "events": [{"introduced": "0"}, {"fixed": "8.1.9"}]}],
        }
    ],
}


@pytest.mark.parametrize(
    ("expression", "fits"),
    [
        ("MIT", True),
        ("BSD-3-Clause AND 0BSD AND MIT AND Zlib", True),
        ("GPL-3.0-only OR MIT", True),
        ("MIT AND GPL-3.0-only", False),
        ("MIT AND (GPL-3.0-only OR MIT)", False),  # not taken apart: a person looks
        ("LGPL-3.0-or-later", False),
        ("Proprietary", False),
        ("", False),
    ],
)
def test_which_licences_are_allowed(expression: str, fits: bool) -> None:
    assert dependencies.allowed(expression) is fits


@pytest.mark.parametrize(
    ("expression", "text", "classifiers", "read"),
    [
        (["MIT"], ["GPL"], [], "MIT"),
        ([], ["Apache 2.0"], ["License :: OSI Approved :: Apache Software License"], "Apache-2.0"),
        ([], ["A licence\nin full"], ["License :: OSI Approved :: BSD License"], "BSD-3-Clause"),
        ([], ["mit"], ["License :: OSI Approved"], "MIT"),
        ([], ["MIT"], ["License :: Other/Proprietary License"], "MIT AND Other/Proprietary License"),
        ([], [], ["Topic :: Utilities"], ""),
    ],
)
def test_a_licence_is_read_from_what_a_package_says(
    expression: list[str], text: list[str], classifiers: list[str], read: str
) -> None:
    assert dependencies.licence(expression, text, classifiers) == read


def test_an_exception_holds_for_one_licence_of_one_package() -> None:
    assert not dependencies.refused(Package("tqdm", "4", "MPL-2.0 AND MIT"))
    assert "not allowed: GPL-2.0-only" in dependencies.refused(Package("tqdm", "5", "GPL-2.0-only"))
    assert "it names none" in dependencies.refused(Package("new", "1", ""))


def test_all_that_is_needed_at_run_time_is_looked_at_and_nothing_else() -> None:
    found = needed(dependencies.PROJECT)
    assert {"textual", "pydantic-core", "mlx", "huggingface-hub", "hf-xet"} <= found  # also what others bring
    assert not found & {"pytest", "hypothesis", "pip-audit", "mypy"}


@pytest.fixture
def advisories() -> Iterator[str]:
    """An advisory service on this machine that speaks as OSV does."""

    class Service(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            asked = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
            known = asked["package"]["name"] == "click" and asked["version"] == PACKAGE.version
            body = json.dumps({"vulns": [ADVISORY]} if known else {}).encode()
            self.send_response(200)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, format: str, *args: object) -> None:  # noqa: A002
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Service)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{server.server_address[1]}/v1/query"
    server.shutdown()
    server.server_close()


def test_a_known_vulnerability_is_found_when_the_first_source_is_silent(advisories: str) -> None:
    asked = []

    def run(command: Sequence[str], seconds: float) -> str:
        asked.append(command[command.index("--vulnerability-service") + 1])
        return dependencies.printed([*command, "--osv-url", advisories], seconds) if asked[-1] == "osv" else ""

    found = audit([PACKAGE, Package("idna", "3.20", "MIT")], run)

    assert asked == ["pypi", "osv"]
    assert found == Audit(2, ("click 8.1.0 is known to be vulnerable: GHSA-aaaa-bbbb-cccc, mended in 8.1.9.",))


def test_a_package_that_no_source_knows_is_not_a_healthy_one() -> None:
    skipped = '{"dependencies": [{"name": "click", "skip_reason": "not found"}], "fixes": []}'

    assert audit([PACKAGE], lambda command, seconds: skipped) == Audit(0)


@pytest.mark.parametrize("output", ["", "Traceback", "[]", "{}", '{"dependencies": null}'])
def test_what_is_no_answer_is_none(output: str) -> None:
    assert dependencies.read(output) == Audit(0)


def test_the_sources_have_a_minute_together() -> None:
    now = 0.0
    given = []

    def slow(command: Sequence[str], seconds: float) -> str:
        nonlocal now
        now += seconds
        given.append(seconds)
        return ""

    assert audit([PACKAGE], slow, lambda: now) == Audit(0)
    assert given == [dependencies.PATIENCE]


@pytest.mark.parametrize(
    ("said", "package", "code", "shown"),
    [
        (Audit(0), PACKAGE, 0, "NOTICE: no advisory source can be reached"),
        (Audit(1), PACKAGE, 0, "No known vulnerabilities."),
        (Audit(1, ("click is bad",)), PACKAGE, 1, "error: click is bad"),
        (Audit(1), Package("bad", "1", "GPL-3.0-only"), 1, "error: bad 1: its licence is not allowed"),
    ],
)
def test_what_it_says_and_how_it_ends(
    said: Audit,
    package: Package,
    code: int,
    shown: str,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setattr(dependencies, "needed", lambda project: {package.name})
    monkeypatch.setattr(dependencies, "describe", lambda name: package)
    monkeypatch.setattr(dependencies, "audit", lambda packages, run: said)

    assert dependencies.main() == code
    out, err = capsys.readouterr()
    assert shown in out + err
