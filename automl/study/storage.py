"""Databases opened, to write or only to read; what goes wrong is told as one line without the password."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import quote, unquote

from automl.errors import StorageError

if TYPE_CHECKING:
    import optuna

WRITE_SECONDS, LOOK_SECONDS = 60, 5  # for which a locked file is waited for


def readable_url(url: str) -> str:
    """The URL without its password, for people and logs."""
    import sqlalchemy

    try:
        where = sqlalchemy.engine.make_url(url)
    except sqlalchemy.exc.ArgumentError:
        return "(not a URL)"
    secret = [name for name in where.query if "pass" in name.lower()]  # drivers take it there, too
    return where.update_query_dict(dict.fromkeys(secret, "hidden")).render_as_string(hide_password=True)


def open_storage(url: str) -> optuna.storages.RDBStorage:
    """A database to write to, made if there is none. Raises StorageError where it cannot be opened."""
    import optuna

    with _opening(url):
        return optuna.storages.RDBStorage(url, engine_kwargs=_engine_options(url))


def open_to_read(url: str) -> optuna.storages.RDBStorage | None:
    """A database that is only read; None where no study was ever recorded. Raises StorageError likewise.

    A file that someone keeps locked is given up after some seconds: a person waits for it.
    """
    import optuna
    import sqlalchemy

    with _opening(url):
        where = sqlalchemy.engine.make_url(url)
        options = _engine_options(url, LOOK_SECONDS) | {"execution_options": {"postgresql_readonly": True}}
        if _is_sqlite(url) and where.database:
            named = where.database.startswith("file:")
            if not Path(unquote(where.database.removeprefix("file:")) if named else where.database).exists():
                return None
            if not named:
                where = where.set(database=f"file:{quote(where.database)}")
            where = where.update_query_dict({"mode": "ro", "uri": "true"})
        engine = sqlalchemy.create_engine(where, **options)
        recorded = sqlalchemy.inspect(engine).has_table("studies")
        engine.dispose()
        if not recorded:
            return None
        text = where.render_as_string(hide_password=False)
        return optuna.storages.RDBStorage(text, engine_kwargs=options, skip_table_creation=True)


def file_identity(url: str) -> tuple[int, int] | None:
    """Tells a database file from another one that has its place; None where it is no file, or none is there."""
    import sqlalchemy

    where = sqlalchemy.engine.make_url(url).database if _is_sqlite(url) else None
    if not where or where.startswith("file:") or not Path(where).exists():
        return None
    found = Path(where).stat()
    return found.st_dev, found.st_ino


@contextmanager
def _opening(url: str) -> Iterator[None]:
    """Whatever goes wrong within the block is told as one line, without the password."""
    import sqlalchemy

    logging.getLogger("alembic").setLevel(logging.WARNING)
    try:
        yield
    except (sqlalchemy.exc.SQLAlchemyError, ImportError, RuntimeError, ValueError, OSError) as error:
        raise StorageError(
            f"--storage {readable_url(url)} cannot be opened: {first_line(error)}; give a URL such as "
            "sqlite:///studies.db or postgresql+psycopg://USER@HOST/DATABASE (install the extra 'postgres' for it)"
        ) from None


def _engine_options(url: str, seconds: float = WRITE_SECONDS) -> dict[str, Any]:
    """A file that is locked, and a server that cannot be reached, is waited for that long."""
    if _is_sqlite(url):
        return {"connect_args": {"timeout": seconds}}
    options: dict[str, Any] = {"pool_pre_ping": True}
    if url.startswith("postgresql") and "connect_timeout" not in url:  # else the user's own
        options["connect_args"] = {"connect_timeout": round(seconds)}
    return options


def _is_sqlite(url: str) -> bool:
    return url.startswith("sqlite")


def close(storage: optuna.storages.BaseStorage) -> None:
    """Close its connections, if it has any."""
    import optuna

    storage.remove_session()
    if isinstance(storage, optuna.storages.RDBStorage):
        storage.engine.dispose()


def first_line(error: BaseException) -> str:
    """What a database says was wrong."""
    cause = error.__cause__ or error
    return str(getattr(cause, "orig", None) or cause).strip().splitlines()[0]
