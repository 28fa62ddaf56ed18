"""Models from the hub, file by file, so that a download which was cut, even by a kill, goes on where it was.

``<models>/<owner>--<name>/files.json`` remembers the commit and its files; they lie in ``<commit>/`` beside it, and one
that is not whole yet ends in ``.partial``. The hub's own library lists the files and knows the user's token, endpoint
and cache; it downloads into temporary files that a killed process leaves to nobody, so the bytes are received here.
"""

from __future__ import annotations

import math
import os
import re
import shutil
import time
from collections.abc import Callable, Mapping
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Annotated

import msgspec

from hegelion_core import workspace
from hegelion_core.errors import ExitCode, UserError
from hegelion_core.unreadable import UNREADABLE

Progress = Callable[[str, int, int | None], None]
"""What is downloaded, bytes done, bytes in all where known."""

WEIGHTS = "*.safetensors"
TOKENIZER_FILES = ("*.json", "tokenizer.model", "*.tiktoken", "*.txt", "*.jinja")
"""What a tokenizer is loaded from: a model without its weights."""
FILES = (WEIGHTS, *TOKENIZER_FILES)
WAITS = (1.0, 2.0, 4.0, 8.0)
"""Seconds before each new try; the count begins anew whenever bytes came."""
REPORT_SECONDS = 1.0

_NAME = r"^[\w-][\w.+-]*\Z"  # names come from outside: no folder, nothing hidden, nothing that leads elsewhere
_BUSY = (408, 429, 500, 502, 503, 504)
_AGAIN = "Run the same command again: it goes on where it was. Or give a local model folder."

Commit = Annotated[str, msgspec.Meta(pattern=r"^[0-9a-f]{40}\Z")]


class File(msgspec.Struct, frozen=True):
    """A file of a model. ``size`` in bytes; ``sha256`` where the hub gives it, as it does for weights."""

    name: Annotated[str, msgspec.Meta(pattern=_NAME)]
    size: Annotated[int, msgspec.Meta(ge=0)]
    sha256: Annotated[str, msgspec.Meta(pattern=r"^[0-9a-f]{64}\Z")] | None = None


class Listing(msgspec.Struct, frozen=True):
    """The wanted files of one commit."""

    commit: Commit
    files: tuple[File, ...]


def find(name: str, models: Path, *, weights: bool = True) -> Path | None:
    """The folder of a model that is here already, whole: in ``models``, or in the cache of the hub's library.

    Without ``weights`` it is enough if the other files are there.
    """
    place = _place(name, models)
    if (listing := _remembered(place)) is not None and not _missing(place, listing, weights=weights):
        return place / listing.commit
    from huggingface_hub import snapshot_download
    from huggingface_hub.errors import HFValidationError

    try:
        wanted = FILES if weights else TOKENIZER_FILES
        return Path(snapshot_download(name, allow_patterns=list(wanted), local_files_only=True))
    except (OSError, HFValidationError):
        return None


def fetch(name: str, models: Path, progress: Progress, *, weights: bool = True) -> Path:
    """Download a model into ``models``, or what is missing of it; without ``weights``, its other files alone.

    Args:
        name: ``owner/name`` on the hub.
        models: folder of models; made if need be.
        progress: told of the bytes of all files together, at most once a second and at the end.

    Raises:
        UserError: no such model, no permission, no network, no space, or a file that is not what the hub lists.
    """
    from huggingface_hub.errors import HFValidationError, HTTPError, RevisionNotFoundError

    place = _place(name, models)
    try:
        place.mkdir(parents=True, exist_ok=True)
        with workspace.locked(place / ".lock"):
            listing = _remembered(place) or _resolve(name, place)
            try:
                _complete(name, place, listing, progress, weights=weights)
            except RevisionNotFoundError:
                (place / "files.json").unlink()
                raise
    except (HTTPError, HFValidationError, OSError) as error:
        raise _explained(name, error) from None
    return place / listing.commit


def is_wanted(path: str) -> bool:
    """Whether a path on the hub is a file of the model's own folder that a model needs; never a pickle."""
    return re.search(_NAME, path) is not None and any(fnmatchcase(path, pattern) for pattern in FILES)


def continues(status: int, content_range: str, begin: int, size: int) -> bool:
    """Whether an answer holds what follows the first ``begin`` bytes (RFC 9110, 14.4); otherwise it holds all.

    Raises:
        ConnectionError: it holds neither.
    """
    if status == 206 and re.fullmatch(rf"bytes {begin}-\d+/({size}|\*)", content_range):
        return True
    if status != 200:
        raise ConnectionError(f"neither the file nor the part that was asked for: HTTP {status}, {content_range}")
    return False


def throttled(progress: Progress, what: str, total: int) -> Callable[[int], None]:
    """``progress`` for bytes done, called at most every ``REPORT_SECONDS`` and when all are done."""
    told = -math.inf

    def tell(done: int) -> None:
        nonlocal told
        now = time.monotonic()
        if done == total or now - told >= REPORT_SECONDS:
            told = now
            progress(what, done, total)

    return tell


def _added(before: int, tell: Callable[[int], None]) -> Callable[[int], None]:
    return lambda size: tell(before + size)


def _place(name: str, models: Path) -> Path:
    return models / name.replace("/", "--")


def _remembered(place: Path) -> Listing | None:
    try:
        return msgspec.json.decode((place / "files.json").read_bytes(), type=Listing)
    except (OSError, *UNREADABLE):
        return None


def _resolve(name: str, place: Path) -> Listing:
    from huggingface_hub import HfApi, constants
    from huggingface_hub.errors import HFValidationError

    try:  # in one request, since the library's list of a tree waits for a silent hub without end
        info = HfApi().model_info(name, revision="main", files_metadata=True, timeout=constants.HF_HUB_DOWNLOAD_TIMEOUT)
        found = [
            {"name": file.rfilename, "size": file.size, "sha256": file.lfs.sha256 if file.lfs else None}
            for file in info.siblings or ()
            if is_wanted(file.rfilename)
        ]
        listing = msgspec.convert({"commit": info.sha, "files": found}, Listing)
    except HFValidationError:
        raise
    except (ValueError, KeyError, TypeError, AttributeError):  # a proxy's page, or an HF_ENDPOINT that is no hub
        message = f"{name}: what answers is not a model hub."  # its address may hold a password
        raise UserError(message, "Check HF_ENDPOINT and the network's sign-in page.", ExitCode.NOT_READY) from None
    workspace.replace(place / "files.json", msgspec.json.encode(listing), mode=workspace.SHARED)
    return listing


def _wanted(listing: Listing, *, weights: bool) -> list[File]:
    return [file for file in listing.files if weights or not fnmatchcase(file.name, WEIGHTS)]


def _missing(place: Path, listing: Listing, *, weights: bool) -> list[File]:
    wanted = _wanted(listing, weights=weights)
    return [file for file in wanted if _size(place / listing.commit / file.name) != file.size]


def _complete(name: str, place: Path, listing: Listing, progress: Progress, *, weights: bool) -> None:
    from huggingface_hub import hf_hub_url
    from huggingface_hub.utils import build_hf_headers

    folder, missing = place / listing.commit, _missing(place, listing, weights=weights)
    folder.mkdir(exist_ok=True)
    need = sum(file.size - (_size(_partial(folder / file.name)) or 0) for file in missing)
    if (free := shutil.disk_usage(folder).free) < need:
        raise UserError(
            f"{name}: {need / 1e9:.2f} GB are still to be downloaded, {free / 1e9:.2f} GB are free in {place}.",
            f"Free some space. {_AGAIN}",
            ExitCode.NOT_READY,
        )
    total = sum(file.size for file in _wanted(listing, weights=weights))
    done = total - sum(file.size for file in missing)
    tell = throttled(progress, name, total)
    headers = {**build_hf_headers(), "Accept-Encoding": "identity"}
    for file in missing:
        url = hf_hub_url(name, file.name, revision=listing.commit)
        _fetch_file(url, headers, file, folder / file.name, _added(done, tell))
        done += file.size


def _fetch_file(url: str, headers: Mapping[str, str], file: File, path: Path, tell: Callable[[int], None]) -> None:
    from huggingface_hub.errors import HTTPError

    partial, tries = _partial(path), 0
    while (have := _size(partial)) is None or have < file.size:
        try:
            _receive(url, headers, file, partial, tell)
        except (HTTPError, ConnectionError) as error:
            tries = 1 if (_size(partial) or 0) > (have or 0) else tries + 1
            if tries > len(WAITS) or not _may_pass(error):
                raise
            time.sleep(WAITS[tries - 1])
    if have > file.size or (file.sha256 and workspace.sha256(partial) != file.sha256):
        partial.unlink()
        message = f"{path.name}: what came is not the file that the hub lists (size or SHA-256); it was removed."
        raise UserError(message, f"A proxy may have changed it. {_AGAIN}", ExitCode.NOT_READY)
    with partial.open("rb") as whole:
        os.fsync(whole.fileno())
    partial.replace(path)
    workspace.sync_folder(path.parent)


def _receive(url: str, headers: Mapping[str, str], file: File, partial: Path, tell: Callable[[int], None]) -> None:
    from huggingface_hub import constants, get_session
    from huggingface_hub.utils import hf_raise_for_status

    begin = _size(partial) or 0
    # no If-Range: a commit's file never changes, and the storage that the hub leads to has other etags than the hub
    asked = {**headers, "Range": f"bytes={begin}-"} if begin else headers
    timeout = constants.HF_HUB_DOWNLOAD_TIMEOUT
    with get_session().stream("GET", url, headers=asked, follow_redirects=True, timeout=timeout) as answer:
        hf_raise_for_status(answer)
        try:
            goes_on = continues(answer.status_code, answer.headers.get("Content-Range", ""), begin, file.size)
        except ConnectionError:
            if answer.status_code == 206:  # this server's parts are of no use: the next try asks for the whole
                partial.unlink(missing_ok=True)
            raise
        with partial.open("ab" if goes_on else "wb") as out:
            for chunk in answer.iter_bytes():
                out.write(chunk)
                out.flush()
                tell(size := out.tell())
                if size > file.size:
                    return
    if (_size(partial) or 0) < file.size:
        raise ConnectionError("the answer ended early")


def _may_pass(error: Exception) -> bool:
    from huggingface_hub.errors import OfflineModeIsEnabled

    status = _status(error)
    return not isinstance(error, OfflineModeIsEnabled) and (status is None or status in _BUSY)


def _explained(name: str, error: Exception) -> UserError:
    """An error in words. The library's own text is left out: it may hold signed addresses."""
    from huggingface_hub import errors

    hint, status = f"Check the network. {_AGAIN}", _status(error)
    match error:
        case errors.GatedRepoError():
            message, hint = "needs its owner's permission.", "Ask for it on the hub, then run: hf auth login"
        case errors.RepositoryNotFoundError() | errors.HFValidationError():
            message = "there is no such model on the hub, or it is private."
            hint = "Check the name, run: hf auth login, or give a local model folder."
        case errors.RevisionNotFoundError():
            message, hint = "the hub no longer has the version that was begun.", "Run the same command again."
        case errors.OfflineModeIsEnabled():
            message = "the model hub can't be reached and no copy is here: HF_HUB_OFFLINE is set."
            hint = "Unset HF_HUB_OFFLINE, or give a local model folder."
        case _ if status in (401, 403):
            message, hint = f"the hub refuses it (HTTP {status}).", "Ask for it on the hub, then run: hf auth login"
        case _ if status is not None:
            message = f"the hub failed (HTTP {status})."
        case errors.HTTPError() | ConnectionError():
            message = f"the model hub can't be reached and no whole copy is here ({type(error).__name__})."
        case _:
            cause = error.strerror if isinstance(error, OSError) else None
            message, hint = f"can't be written: {cause or error}.", f"Free or allow it. {_AGAIN}"
    return UserError(f"{name}: {message}", hint, ExitCode.NOT_READY)


def _status(error: Exception) -> int | None:
    """Of an answer of the hub's that says no."""
    status: int | None = getattr(getattr(error, "response", None), "status_code", None)
    return status


def _partial(path: Path) -> Path:
    return path.with_name(f"{path.name}.partial")


def _size(path: Path) -> int | None:
    return path.stat().st_size if path.is_file() else None
