"""The one way in for those who only watch: a note, or the wish that a search stops. Each is one small write."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from automl.errors import StorageError, UsageError
from automl.study.heart import STOP, now
from automl.study.storage import close, first_line, open_storage, open_to_read, readable_url

NOTE = "note"
LONGEST_NOTE = 10_000  # characters


def leave_note(url: str, study: str, text: str, trial: int | None = None) -> None:
    """Keep a note on a study, or on one of its trials, in place of the one before. An empty text removes it.

    Raises:
        UsageError: it is too long, or there is no such study.
        StorageError: the database cannot be written to.
    """
    if len(text) > LONGEST_NOTE:
        raise UsageError(f"this note has {len(text)} characters; {LONGEST_NOTE} are kept at most: shorten it")
    _record(url, study, note_key(trial), text.strip() or None)


def request_stop(url: str, study: str) -> None:
    """Ask the search that is at work on a study to stop: running trials are given back, the best so far is exported.

    Raises: as `leave_note` does.
    """
    _record(url, study, STOP, now().isoformat())


def note_of(facts: Mapping[str, Any], trial: int | None = None) -> str:
    """The note on a study, or on one of its trials."""
    return str(facts.get(note_key(trial)) or "")


def note_key(trial: int | None) -> str:
    """The fact of the study that holds it; a trial that has ended takes no more facts itself."""
    return NOTE if trial is None else f"{NOTE} {trial}"


def is_note(fact: str) -> bool:
    """Whether a fact of a study is a note."""
    return fact == NOTE or fact.startswith(f"{NOTE} ")


def _record(url: str, study: str, key: str, value: str | None) -> None:
    import optuna
    import sqlalchemy

    seen = open_to_read(url)  # opened to write, a database that is not there would be made
    if seen is None:
        raise UsageError(f"there is no study database {readable_url(url)}: is --storage right?")
    close(seen)
    storage = open_storage(url)
    try:
        storage.set_study_user_attr(storage.get_study_id_from_name(study), key, value)
    except KeyError:
        raise UsageError(f"there is no study {study!r} in {readable_url(url)}; the page Studies lists them") from None
    except (optuna.exceptions.StorageInternalError, sqlalchemy.exc.SQLAlchemyError) as error:
        raise StorageError(
            f"{readable_url(url)} cannot be written to: {first_line(error)}; open the dashboard with a role that may "
            "write, or leave this to who runs the search"
        ) from None
    finally:
        close(storage)
