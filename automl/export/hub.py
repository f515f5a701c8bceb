"""A folder onto the Hugging Face Hub: a new repository, or by wish a further commit of one. Never over one unasked."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from pathlib import Path

from automl.errors import AutomlError, FetchError, UsageError
from automl.fetch.hub import quiet

OF_THE_HUB = {".gitattributes"}  # what a repository has that is empty
# Of an earlier model nothing may stay that this one does not have: loaders would mix the two.
OF_A_MODEL = [
    *("model*.safetensors*", "adapter_config.json", "adapter_model.safetensors", "generation_config.json"),
    *("tokenizer*", "special_tokens_map.json", "added_tokens.json", "vocab.*", "merges.txt", "search_space.yaml"),
    *("base/*.json", "base/*.safetensors", "original/*.json", "original/*.safetensors"),
]
AGAIN = "a commit is whole or not at all, so that nothing is half published: try again"


def push(folder: Path, repo_id: str, *, private: bool = False, update: bool = False, token: str | None = None) -> str:
    """Upload a folder as one commit; the address of the repository.

    Args:
        repo_id: OWNER/NAME.
        update: whether a repository that has files gets this as a further commit.
        token: None takes that of the environment or of `hf auth login`. It is not kept.

    Raises:
        UsageError: the name cannot be used, has files already, is public where a private one was asked for, or the
            token may not write there.
        FetchError: the Hub did not answer, or broke off.
    """
    from huggingface_hub import HfApi

    if repo_id.count("/") != 1:  # the library allows names without an owner; it checks the rest
        raise _misnamed(repo_id)
    api = HfApi(token=token)
    with quiet(), _by_lfs(), _explained(repo_id):
        address = str(api.create_repo(repo_id, private=private, exist_ok=True))
        info = api.model_info(repo_id)
        there = {file.rfilename for file in info.siblings or []} - OF_THE_HUB
        if private and not info.private:
            raise UsageError(
                f"--to {repo_id}: this repository is there already, and public; name another one for --private, or "
                "make it private on the Hub first"
            )
        if there and not update:
            raise UsageError(
                f"--to {repo_id}: this repository has {len(there)} files already; nothing is overwritten unasked: name "
                "another one, or give --update to add a commit to it"
            )
        api.upload_folder(
            repo_id=repo_id,
            folder_path=folder,
            commit_message="Add a model found by automl",
            parent_commit=info.sha,  # refused if somebody changed it since
            delete_patterns=OF_A_MODEL,
        )
    return address


@contextlib.contextmanager
def _by_lfs() -> Iterator[None]:
    """Large files go by LFS: Xet saves what a repository has already, and weights are new as a whole."""
    from huggingface_hub import constants

    before, constants.HF_HUB_DISABLE_XET = constants.HF_HUB_DISABLE_XET, True
    try:
        yield
    finally:
        constants.HF_HUB_DISABLE_XET = before


@contextlib.contextmanager
def _explained(repo_id: str) -> Iterator[None]:
    """Turn what the library raises into a line that says what to do; a token is in none of them."""
    try:
        yield
    except AutomlError:
        raise
    except Exception as error:
        raise _told(repo_id, error) from None


def _misnamed(repo_id: str) -> UsageError:
    return UsageError(f"--to {repo_id!r}: a repository is named OWNER/NAME, of letters, digits and . _ -")


def _told(repo_id: str, error: Exception) -> AutomlError:
    """In words, by the first cause that is understood; uploads raise theirs within another."""
    from huggingface_hub import constants, errors

    of_the_network = errors.HfHubHTTPError.__bases__  # what the HTTP library, whichever it is, and sockets raise
    cause: BaseException | None = error
    while cause is not None:
        if isinstance(cause, errors.HFValidationError):
            return _misnamed(repo_id)
        if isinstance(cause, errors.LocalTokenNotFoundError):
            return UsageError(f"--to {repo_id}: there is no token: run `hf auth login` or set HF_TOKEN")
        if isinstance(cause, errors.HfHubHTTPError):
            return _refused(repo_id, cause.response.status_code, constants.ENDPOINT)
        if isinstance(cause, of_the_network) and getattr(cause, "filename", None) is None:
            return FetchError(f"the Hub at {constants.ENDPOINT} broke off ({type(cause).__name__}); {AGAIN}")
        cause = cause.__cause__
    what = f"{type(error).__name__}: {str(error).strip().partition(chr(10))[0]}"
    return FetchError(f"--to {repo_id}: the upload failed ({what}); {AGAIN}")


def _refused(repo_id: str, status: int, endpoint: str) -> UsageError:
    match status:
        case 401:
            return UsageError(
                f"--to {repo_id}: the Hub does not know the token (401): run `hf auth login`, or set HF_TOKEN to one "
                "that may write"
            )
        case 403:
            return UsageError(
                f"--to {repo_id}: the token may not write there (403): make one with write access, or name a "
                "repository of your own"
            )
        case 404:
            return UsageError(
                f"--to {repo_id}: the Hub knows no such owner, or the token may not see it (404): check the name"
            )
        case 409 | 412:
            return UsageError(
                f"--to {repo_id}: somebody else changes this repository now ({status}); {AGAIN} in a moment"
            )
        case 429:
            return FetchError(f"the Hub has had too many requests (429); {AGAIN} in a few minutes")
        case _:
            return FetchError(f"the Hub at {endpoint} answered {status}; {AGAIN} later")
