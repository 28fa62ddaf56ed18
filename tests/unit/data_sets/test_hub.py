"""Pushing to the hub, through its own client, to a stand-in on loopback."""

from __future__ import annotations

import socket
from collections.abc import Iterator
from pathlib import Path

import pytest

from hegelion_core.data_sets import hub as ours
from hegelion_core.data_sets.card import MARK
from hegelion_core.errors import ExitCode, UserError
from tests.fakes.hub import TOKEN, Hub, Repository, hub

CARD = f"{MARK}\n# Ours\n"


@pytest.fixture
def stand_in(monkeypatch: pytest.MonkeyPatch) -> Iterator[Hub]:
    monkeypatch.setenv("HF_TOKEN", TOKEN)
    with hub() as state:
        yield state


@pytest.fixture
def files(tmp_path: Path) -> dict[str, Path]:
    (tmp_path / "a.jsonl").write_bytes(b'{"text":"x"}\n')
    (tmp_path / "b.parquet").write_bytes(b"PAR1 and more PAR1")
    return {"data/train.jsonl": tmp_path / "a.jsonl", "data/test.parquet": tmp_path / "b.parquet"}


def push(
    hub: Hub, files: dict[str, Path], *, public: bool = False, force: bool = False, log: list[str] | None = None
) -> str:
    said = [] if log is None else log
    return ours.push("me/set", files, CARD, public=public, force=force, log=said.append, endpoint=hub.url)


def test_files_and_card_in_one_commit_and_private(stand_in: Hub, files: dict[str, Path]) -> None:
    log: list[str] = []
    url = push(stand_in, files, log=log)
    repository = stand_in.repositories["me/set"]
    assert url.startswith(f"{stand_in.url}/datasets/me/set/commit/")
    assert (repository.private, repository.commits) == (True, 1)
    assert repository.files == {
        "README.md": CARD.encode(),
        **{path: file.read_bytes() for path, file in files.items()},
    }
    assert "private if it is new" in log[0]
    assert TOKEN not in log[0]


def test_the_same_again_is_no_new_commit_unless_something_changed(stand_in: Hub, files: dict[str, Path]) -> None:
    push(stand_in, files)
    push(stand_in, files)
    assert stand_in.repositories["me/set"].commits == 1
    files["data/test.parquet"].write_bytes(b"PAR1 and other PAR1")
    push(stand_in, files)
    assert stand_in.repositories["me/set"].commits == 2
    files["data/train.jsonl"].write_bytes(b'{"text":"y"}\n')
    push(stand_in, files)
    assert stand_in.repositories["me/set"].commits == 3


def test_everyone_sees_it_only_if_that_was_said(stand_in: Hub, files: dict[str, Path]) -> None:
    stand_in.repositories["me/set"] = Repository(private=False)
    with pytest.raises(UserError, match="is there and public"):
        push(stand_in, files)
    assert stand_in.repositories["me/set"].files == {}
    push(stand_in, files, public=True)
    del stand_in.repositories["me/set"]
    push(stand_in, files, public=True)
    assert not stand_in.repositories["me/set"].private


def test_a_card_of_someone_else_is_kept_unless_that_was_said(stand_in: Hub, files: dict[str, Path]) -> None:
    stand_in.repositories["me/set"] = Repository(private=True, files={"README.md": b"# Mine"})
    with pytest.raises(UserError, match="a card that is none of ours"):
        push(stand_in, files)
    push(stand_in, files, force=True)
    assert stand_in.repositories["me/set"].files["README.md"] == CARD.encode()
    push(stand_in, files)


@pytest.mark.parametrize(
    ("place", "status", "words", "code"),
    [
        ("repos/create", 401, "the token is not valid", ExitCode.NOT_READY),
        ("repos/create", 403, "may not write there", ExitCode.NOT_READY),
        ("repos/create", 404, "no such owner", ExitCode.USAGE),
        ("/commit/", 409, "someone else changed it", ExitCode.FAILED),
        ("/commit/", 412, "someone else changed it", ExitCode.FAILED),
        ("/commit/", 413, "too large", ExitCode.FAILED),
        ("/commit/", 429, "too many requests", ExitCode.COME_BACK_LATER),
        ("/commit/", 400, "The hub refuses me/set", ExitCode.FAILED),
        ("GET /api/datasets", 500, "a fault of its own", ExitCode.FAILED),
        ("/commit/", 501, "a fault of its own", ExitCode.FAILED),
    ],
)
def test_a_hub_that_refuses(
    stand_in: Hub, files: dict[str, Path], place: str, status: int, words: str, code: ExitCode
) -> None:
    stand_in.fail[place] = status
    with pytest.raises(UserError, match=words) as refused:
        push(stand_in, files)
    assert refused.value.exit_code == code
    assert "same command" in str(refused.value)
    assert TOKEN not in str(refused.value)


@pytest.mark.parametrize("place", ["GET /api/datasets", "repos/create", "preupload", "PUT /storage", "/commit/"])
def test_a_hub_that_never_answers_is_left(
    stand_in: Hub, files: dict[str, Path], place: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(ours, "SILENCE", 0.2)
    monkeypatch.setattr(ours, "TIMEOUT", 0.2)
    stand_in.silent = place
    with pytest.raises(UserError, match="The hub does not answer") as left:
        push(stand_in, files)
    assert left.value.exit_code == ExitCode.NOT_READY
    assert "same command" in str(left.value)
    assert sum(place in request for request in stand_in.requests) == 1  # and it is not asked again and again


def test_a_hub_that_is_busy_for_an_hour_is_not_waited_for(stand_in: Hub, files: dict[str, Path]) -> None:
    stand_in.fail["PUT /storage"] = 429
    with pytest.raises(UserError, match="too many requests") as refused:
        push(stand_in, files)
    assert refused.value.exit_code == ExitCode.COME_BACK_LATER
    assert len([request for request in stand_in.requests if "PUT /storage" in request]) == 1


def test_the_hubs_client_is_afterwards_as_it_was(stand_in: Hub, files: dict[str, Path]) -> None:
    from huggingface_hub import constants, get_session

    push(stand_in, files)
    assert not constants.HF_HUB_DISABLE_XET
    assert get_session().timeout.read is None


def test_a_wrong_token(stand_in: Hub, files: dict[str, Path], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HF_TOKEN", "hf_another")
    with pytest.raises(UserError, match="the token is not valid") as refused:
        push(stand_in, files)
    assert refused.value.exit_code == ExitCode.NOT_READY


def test_no_network(files: dict[str, Path], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HF_TOKEN", TOKEN)
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        nowhere = Hub(url=f"http://127.0.0.1:{taken.getsockname()[1]}")
        with pytest.raises(UserError, match="cannot be reached") as refused:
            push(nowhere, files)
    assert refused.value.exit_code == ExitCode.NOT_READY


def test_no_token(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    for name in ("HF_TOKEN", "HUGGING_FACE_HUB_TOKEN"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr("huggingface_hub.constants.HF_TOKEN_PATH", str(tmp_path / "none"))
    with pytest.raises(UserError, match="no token") as refused:
        ours.check("me/set")
    assert refused.value.exit_code == ExitCode.NOT_READY


@pytest.mark.parametrize("name", ["", "set", "a/b/c", "me/..", "me/s et"])
def test_what_is_no_name(name: str) -> None:
    with pytest.raises(UserError, match="no name of the hub's"):
        ours.check(name)
