"""Snapshots of Hugging Face Hub repositories: the local cache first and without a network, then the Hub."""

from __future__ import annotations

import errno
import logging
import re
import threading
import time
import warnings
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from fnmatch import fnmatch
from pathlib import Path
from typing import Any, Literal

from automl.fetch.miss import Miss

PROBE_SECONDS = 4.0
SILENCE_SECONDS = 60.0  # for so long a Hub that did not answer is not asked again
LARGEST_DATA_SET = 2_000_000_000  # bytes of the wanted files
ONLINE = "run once without --offline and HF_HUB_OFFLINE, or give a local path"
ELSEWHERE = "check the network, its proxy settings and HF_ENDPOINT, or give a local path"

_silent: dict[str, tuple[float, Miss]] = {}  # by endpoint: when it last did not answer, and how


def snapshot(
    repo_id: str, *, repo_type: Literal["model", "dataset"], allow_patterns: Sequence[str], offline: bool = False
) -> Path:
    """The local folder with the repository's files that match: from the cache if all are there, else from the Hub.

    Args:
        repo_id: OWNER/NAME.
        allow_patterns: shell patterns of the wanted files, `*` crossing folders.
        offline: never ask the Hub (HF_HUB_OFFLINE does the same).

    Raises:
        Miss: nothing gave it; `outcome` says why. A Hub that does not answer is noticed within 5 s.
    """
    from huggingface_hub import constants

    with quiet():
        folder, known_complete = _cached(repo_id, repo_type, allow_patterns)
        if folder and known_complete:
            return folder
        try:
            if offline or constants.HF_HUB_OFFLINE:
                raise Miss("offline", f"{repo_id} is not in the Hugging Face cache", ONLINE)
            _probe(repo_id, repo_type, allow_patterns)
            return _download(repo_id, repo_type, allow_patterns)
        except Miss as miss:
            if folder and miss.outcome in ("offline", "unreachable"):
                return folder
            raise


def _cached(repo_id: str, repo_type: str, patterns: Sequence[str]) -> tuple[Path | None, bool]:
    """A usable cached snapshot, and whether the repository's own list of files says that it is complete."""
    from huggingface_hub import errors, get_cached_repo_tree, snapshot_download

    try:
        found = snapshot_download(repo_id, repo_type=repo_type, allow_patterns=list(patterns), local_files_only=True)
    except (errors.LocalEntryNotFoundError, errors.IncompleteSnapshotError, errors.HFValidationError):
        return None, False
    folder = Path(found)
    try:
        get_cached_repo_tree(repo_id, repo_type=repo_type)
    except errors.CachedRepoTreeNotFoundError:
        # Another tool fetched single files; whether they are all can only be guessed.
        return (folder if _looks_usable(folder, repo_type, patterns) else None), False
    return folder, True


def _looks_usable(folder: Path, repo_type: str, patterns: Sequence[str]) -> bool:
    names = [path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file()]
    wanted = [name for name in names if any(fnmatch(name, pattern) for pattern in patterns)]
    if repo_type == "model" and not ("config.json" in wanted and any(name.endswith(".safetensors") for name in wanted)):
        return False
    shards: dict[tuple[str, int], set[int]] = {}
    for name in wanted:
        if shard := re.fullmatch(r"(.*)-(\d{5})-of-(\d{5})\..*", name):
            shards.setdefault((shard[1], int(shard[3])), set()).add(int(shard[2]))
    return bool(wanted) and all(len(found) == total for (_, total), found in shards.items())


def _probe(repo_id: str, repo_type: str, patterns: Sequence[str]) -> None:
    """One cheap request that tells whether the Hub answers, has the repository, lets us in, and how large it is."""
    from huggingface_hub import HfApi, constants

    since, earlier = _silent.get(constants.ENDPOINT, (0.0, None))
    if earlier and time.monotonic() - since < SILENCE_SECONDS:
        raise earlier
    try:
        with _as_miss(repo_id):
            info = _within(
                PROBE_SECONDS,
                lambda: HfApi().repo_info(repo_id, repo_type=repo_type, files_metadata=True, timeout=PROBE_SECONDS),
            )
    except Miss as miss:
        if miss.outcome == "unreachable":
            _silent[constants.ENDPOINT] = time.monotonic(), miss
        raise
    if repo_type == "dataset":
        files = [file for file in info.siblings or [] if any(fnmatch(file.rfilename, one) for one in patterns)]
        size = sum(file.size or 0 for file in files)
        if size > LARGEST_DATA_SET:
            allowed = f"at most {LARGEST_DATA_SET / 1e9:.0f} GB are fetched"
            reason = f"{repo_id} holds {size / 1e9:.1f} GB of data files, {allowed}"
            raise Miss("too big", reason, "download the part that you need and give it as --task path/to/file.parquet")


def _download(repo_id: str, repo_type: str, patterns: Sequence[str]) -> Path:
    from huggingface_hub import snapshot_download

    with _as_miss(repo_id):
        return Path(snapshot_download(repo_id, repo_type=repo_type, allow_patterns=list(patterns)))


def _within(seconds: float, call: Callable[[], Any]) -> Any:
    """The call's result. Its own timeout leaves out name lookups, so it runs in a thread that can be left behind."""
    outcome: list[Any] = []
    failure: list[BaseException] = []

    def run() -> None:
        try:
            outcome.append(call())
        except BaseException as error:  # raised again below, in the caller's thread
            failure.append(error)

    thread = threading.Thread(target=run, daemon=True)
    thread.start()
    thread.join(seconds)
    if failure:
        raise failure[0]
    if not outcome:
        raise TimeoutError(f"no answer in {seconds:.0f} s")
    return outcome[0]


@contextmanager
def _as_miss(repo_id: str) -> Iterator[None]:
    """Turn whatever the library raises for `repo_id` into a Miss."""
    try:
        yield
    except Exception as error:
        raise _miss(repo_id, error) from None


def _miss(repo_id: str, error: Exception) -> Miss:
    from huggingface_hub import constants, errors

    chain: list[BaseException] = [error]
    while chain[-1].__cause__ is not None:
        chain.append(chain[-1].__cause__)
    if isinstance(error, errors.HFValidationError):
        return Miss("not found", f"{repo_id!r} is not a Hub id", "give it as OWNER/NAME")
    if isinstance(error, OSError) and error.errno in (errno.ENOSPC, errno.EDQUOT, errno.EACCES, errno.EROFS):
        reason = f"the Hugging Face cache {constants.HF_HUB_CACHE} cannot be written ({error.strerror})"
        return Miss("disk", reason, "free some space there or set HF_HOME to another folder")
    if any(isinstance(one, errors.GatedRepoError) for one in chain):
        reason = f"{repo_id} is gated: its owner asks you to accept terms on its Hub page"
        return Miss("needs auth", reason, "accept them, then run `hf auth login` or set HF_TOKEN")
    status = next((one.response.status_code for one in chain if isinstance(one, errors.HfHubHTTPError)), None)
    if status in (401, 403):
        # The Hub answers 401 for a repository that does not exist, too.
        reason = f"the Hub refuses {repo_id} ({status}): it does not exist, is private, or the token is not valid"
        return Miss("needs auth", reason, "check the name, or run `hf auth login` or set HF_TOKEN")
    if status in (404, 410):
        return Miss("not found", f"the Hub has no repository {repo_id}", "check the name (OWNER/NAME)")
    said = f"it answered {status}" if status else str(chain[-1])[:200] or type(chain[-1]).__name__
    return Miss("unreachable", f"the Hub at {constants.ENDPOINT} cannot be reached ({said})", ELSEWHERE)


@contextmanager
def quiet() -> Iterator[None]:
    """Keep the library's bars, logs and warnings off the terminal."""
    from huggingface_hub.utils import logging as hub_logging
    from huggingface_hub.utils.tqdm import disable_progress_bars

    before = hub_logging.get_verbosity()
    hub_logging.set_verbosity(logging.CRITICAL)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        disable_progress_bars()
        try:
            yield
        finally:
            hub_logging.set_verbosity(before)
