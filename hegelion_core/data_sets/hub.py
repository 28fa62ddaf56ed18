"""A data set to the Hugging Face hub: files and card in one commit; private unless it was said otherwise.

The token is the hub client's own business: ``HF_TOKEN``, or what ``hf auth login`` keeps. It is in no argument, no log
and no message of ours.
"""

from __future__ import annotations

import contextlib
import os
import tempfile
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from hegelion_core.data_sets.card import MARK
from hegelion_core.errors import ExitCode, UserError
from hegelion_core.redaction import Redactor

if TYPE_CHECKING:
    from huggingface_hub import HfApi

CARD = "README.md"
TIMEOUT = 20.0
"""Seconds for the hub to say what a data set is."""
SILENCE = 60.0
"""Seconds after which a hub that takes nothing more, or answers nothing, is left."""
_AGAIN = "The files lie here; the same command pushes them again."


def check(name: str) -> str:
    """See that a data set can be pushed at all, before the work; returns the token.

    Raises:
        UserError: it is no name of the hub's, or there is no token.
    """
    from huggingface_hub import get_token
    from huggingface_hub.errors import HFValidationError
    from huggingface_hub.utils import validate_repo_id

    try:
        validate_repo_id(name)
    except HFValidationError:
        name = f"{name} "
    if name.count("/") != 1 or name.endswith(" "):
        raise UserError(f"{name.strip()}: is no name of the hub's.", "Give --push-to-hub OWNER/NAME.", ExitCode.USAGE)
    token = get_token()
    if not token:
        raise UserError(
            "There is no token for the hub.",
            "Set HF_TOKEN to a token that may write, or run 'hf auth login'.",
            ExitCode.NOT_READY,
        )
    return str(token)


def push(
    name: str,
    files: Mapping[str, Path],
    card: str,
    *,
    public: bool,
    force: bool,
    log: Callable[[str], None],
    endpoint: str | None = None,
) -> str:
    """Upload files and card in one commit; the data set is made if there is none. The same again is no new commit.

    Args:
        name: ``owner/name``.
        files: path in the data set to file.
        card: the README.
        public: whether everyone may see a data set that is made, and whether one that everyone sees may be used.
        force: replace a card that is none of ours.
        log: takes a line for people.
        endpoint: of the hub; none: ``HF_ENDPOINT``, or the hub's own.

    Returns:
        The address of the commit.

    Raises:
        UserError: the hub refuses, cannot be reached, or shows what is here to everyone though that was not asked for.
    """
    from httpx2 import HTTPError
    from huggingface_hub import HfApi
    from huggingface_hub.utils import disable_progress_bars

    token = check(name)
    disable_progress_bars()
    api = HfApi(endpoint, token=token)
    try:
        with _no_long_silence():
            _refuse_other(api, name, public=public, force=force)
            url = api.create_repo(name, repo_type="dataset", private=not public, exist_ok=True)
            what = "1 file" if len(files) == 1 else f"{len(files)} files"
            log(f"Uploading {what} to {url} ({'public' if public else 'private'} if it is new).")
            return _commit(api, name, files, card)
    except (HTTPError, OSError, ValueError, RuntimeError) as error:
        raise _refused(name, error, token) from None
    except KeyboardInterrupt:
        log(f"Stopped. {_AGAIN}")
        raise


def _commit(api: HfApi, name: str, files: Mapping[str, Path], card: str) -> str:
    from huggingface_hub import CommitOperationAdd

    operations = [CommitOperationAdd(path, str(file)) for path, file in files.items()]
    for operation in operations:  # one after the other, in this thread: Ctrl+C would wait for the client's own threads
        api.preupload_lfs_files(name, [operation], repo_type="dataset")
    operations.append(CommitOperationAdd(CARD, card.encode()))
    done = api.create_commit(
        name, operations, commit_message="Data set written by hegelion-console", repo_type="dataset"
    )
    return str(done.commit_url)


@contextlib.contextmanager
def _no_long_silence() -> Iterator[None]:
    """The hub's client as it is while data sets are pushed.

    By itself it waits for an answer without end, and where a service is busy for as long as that wants; and its other
    way of uploading (``hf_xet``, which the hub does not demand) asks a hub that does not know it again and again for
    minutes, without a word. So it has a limit here, uploads by HTTP, and leaves it to us to say what happened.
    """
    from httpx2 import Client, Request, Response, TimeoutException
    from huggingface_hub import constants, set_client_factory
    from huggingface_hub.utils import hf_raise_for_status, logging
    from huggingface_hub.utils._http import default_client_factory, hf_request_event_hook

    class Impatient(Client):
        def send(self, request: Request, **how: object) -> Response:
            try:
                response = super().send(request, **how)  # type: ignore[arg-type]
            except TimeoutException:
                raise TimeoutError from None  # as one of its own it would be tried five times more
            if response.status_code == 429:
                hf_raise_for_status(response)
            return response

    xet, loudness = constants.HF_HUB_DISABLE_XET, logging.get_verbosity()
    constants.HF_HUB_DISABLE_XET = True
    logging.set_verbosity_error()
    hooks = {"request": [hf_request_event_hook]}
    set_client_factory(lambda: Impatient(event_hooks=hooks, follow_redirects=True, timeout=SILENCE))
    try:
        yield
    finally:
        constants.HF_HUB_DISABLE_XET = xet
        logging.set_verbosity(loudness)
        set_client_factory(default_client_factory)


def _refuse_other(api: HfApi, name: str, *, public: bool, force: bool) -> None:
    """See what is there.

    Raises:
        UserError: it is public, or has a card that is none of ours.
    """
    from huggingface_hub.errors import RepositoryNotFoundError

    try:
        found = api.dataset_info(name, timeout=TIMEOUT)
    except RepositoryNotFoundError as error:
        if error.response.status_code == 401 and "Invalid" in str(error):
            raise
        return
    if not found.private and not public:
        raise UserError(
            f"The data set {name} is there and public.",
            "Say --public if everyone may see this, or give another name.",
            ExitCode.USAGE,
        )
    if force or CARD not in {file.rfilename for file in found.siblings or ()}:
        return
    with tempfile.TemporaryDirectory() as folder:
        card = Path(api.hf_hub_download(name, CARD, repo_type="dataset", local_dir=folder))
        ours = MARK in card.read_text("utf-8", "replace")
    if not ours:
        raise UserError(
            f"The data set {name} has a card that is none of ours, so it is not replaced.",
            "Give another name, or say --force.",
            ExitCode.USAGE,
        )


def _refused(name: str, error: Exception, token: str) -> UserError:
    if isinstance(error, RuntimeError) and isinstance(error.__cause__, Exception):
        error = error.__cause__  # of a large file that could not be uploaded
    response = getattr(error, "response", None)
    status = getattr(response, "status_code", None)
    if isinstance(error, TimeoutError):
        return UserError("The hub does not answer.", f"Try later, or check the network. {_AGAIN}", ExitCode.NOT_READY)
    if isinstance(status, int):
        found = _STATUS.get(status)
        if found is not None:
            return UserError(f"The hub refuses {name}: {found[0]} ({status}).", f"{found[1]} {_AGAIN}", found[2])
        if status >= 500:
            return UserError(f"The hub has a fault of its own ({status}).", _AGAIN)
    first = (str(error).strip().splitlines() or [type(error).__name__])[0][:200]
    why = Redactor(os.environ)(first.replace(token, "[redacted]"))
    if isinstance(status, int) or isinstance(error, ValueError | RuntimeError):
        return UserError(f"The hub refuses {name}: {why}", _AGAIN)
    return UserError(f"The hub cannot be reached: {why}", f"Check the network. {_AGAIN}", ExitCode.NOT_READY)


_STATUS = {
    401: (
        "the token is not valid",
        "Set HF_TOKEN to a token that may write, or run 'hf auth login'.",
        ExitCode.NOT_READY,
    ),
    403: ("the token may not write there", "Take a token with write access to that owner.", ExitCode.NOT_READY),
    404: ("there is no such owner or data set", "Check the name.", ExitCode.USAGE),
    409: ("someone else changed it meanwhile", "Run the same command again.", ExitCode.FAILED),
    412: ("someone else changed it meanwhile", "Run the same command again.", ExitCode.FAILED),
    413: ("a file is too large", "Write Parquet, or fewer rows.", ExitCode.FAILED),
    429: ("too many requests", "Wait some minutes.", ExitCode.COME_BACK_LATER),
}
