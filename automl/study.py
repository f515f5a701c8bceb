"""The study database, and the only module that touches it: one study holds one search and every trial of it."""

from __future__ import annotations

import json
import logging
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self
from urllib.parse import quote

from automl.errors import StorageError, StudyMismatch
from automl.records import State, Trial

if TYPE_CHECKING:
    import optuna

IDENTITY = "identity"  # study attribute: what this study is a search over; never changes


class Study:
    """One search's record: start a trial, report its values, end it. Trials are known by their number.

    It is the only writer of its trials, so that they are read once, when it is opened: what a search asks of thousands
    of trials at each report of one costs no look at the database.
    """

    def __init__(self, study: optuna.Study, storage: optuna.storages.BaseStorage) -> None:
        self._study = study
        self._storage = storage
        self._id = storage.get_study_id_from_name(study.study_name)
        self._live: set[int] = set()  # numbers of the trials that this process runs
        frozen = study.get_trials(deepcopy=False)
        self._trials = [_trial(one) for one in frozen]  # by number
        self._ids = [one._trial_id for one in frozen]  # likewise

    @property
    def name(self) -> str:
        return self._study.study_name

    @property
    def facts(self) -> dict[str, Any]:
        """What was recorded about the study as a whole."""
        return dict(self._study.user_attrs)

    def record(self, name: str, value: Any) -> None:
        """Record one fact (JSON) about the study as a whole."""
        self._study.set_user_attr(name, value)

    def trials(self) -> list[Trial]:
        """Every trial, by number."""
        return list(self._trials)

    def trial(self, number: int) -> Trial:
        """One of them."""
        return self._trials[number]

    def again(self) -> Trial | None:
        """A trial that was given back, RUNNING from now on as it was; None where none waits."""
        waiting = (trial.number for trial in self._trials if trial.state is State.WAITING)
        number = next(waiting, None)
        return None if number is None else self._run(number)

    def start(self, params: Mapping[str, Any], distributions: Mapping[str, Any], facts: Mapping[str, Any]) -> Trial:
        """A new trial of these params, RUNNING from now on.

        Args:
            distributions: what each of the params was chosen from.
            facts: recorded with it. A trial without the fact "configuration" is the first of a new one.
        """
        import optuna

        waiting = optuna.trial.create_trial(
            state=optuna.trial.TrialState.WAITING,
            params=dict(params),
            distributions=dict(distributions),
            user_attrs=dict(facts),
        )
        # In one write: a process that dies here leaves a trial that can be run.
        self._ids.append(self._storage.create_new_trial(self._id, template_trial=waiting))
        self._trials.append(_trial(self._storage.get_trial(self._ids[-1])))
        return self._run(self._trials[-1].number)

    def report(self, number: int, step: int, value: float) -> None:
        """Record a running trial's value at a step; a repeated trial's values replace those of its first attempt."""
        self._storage.set_trial_intermediate_value(self._ids[number], step, value)
        known = self._trials[number]
        self._trials[number] = replace(known, intermediate={**known.intermediate, step: value})

    def end(self, number: int, state: State, value: float | None, facts: Mapping[str, Any]) -> Trial:
        """End a trial: the only way to do so. Facts are written first, for a finished trial cannot be changed."""
        import optuna

        for name, fact in facts.items():
            self._storage.set_trial_user_attr(self._ids[number], name, fact)
        value = value if state is State.COMPLETE else None  # Optuna keeps a pruned trial's last value itself
        self._live.remove(number)
        self._study.tell(number, value, optuna.trial.TrialState[state.value])
        return self._read(number)

    def release(self, number: int) -> None:
        """Give an unfinished trial back: it keeps its number, params and facts, and waits until `again` is asked."""
        self._live.remove(number)
        self._become(number, State.WAITING)

    def recover(self) -> list[int]:
        """Release trials that a search which is no longer alive left RUNNING. Their numbers."""
        running = [trial.number for trial in self._trials if trial.state is State.RUNNING]
        stuck = [number for number in running if number not in self._live]
        for number in stuck:
            self._become(number, State.WAITING)
        return stuck

    def close(self) -> None:
        """Close the database connections."""
        _close(self._storage)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, traceback: object) -> None:
        import optuna
        import sqlalchemy

        self.close()
        if isinstance(error, optuna.exceptions.StorageInternalError | sqlalchemy.exc.SQLAlchemyError):
            raise StorageError(
                f"the study database stopped answering: {_first_line(error)}; what was recorded is safe: when it is "
                "back (or the disk has room), the same command goes on"
            ) from error

    def _run(self, number: int) -> Trial:
        self._live.add(number)
        return self._become(number, State.RUNNING)

    def _become(self, number: int, state: State) -> Trial:
        import optuna

        self._storage.set_trial_state_values(self._ids[number], state=optuna.trial.TrialState[state.value])
        return self._read(number)

    def _read(self, number: int) -> Trial:
        self._trials[number] = _trial(self._storage.get_trial(self._ids[number]))
        return self._trials[number]


def open_study(url: str, name: str, identity: Mapping[str, str]) -> Study:
    """Create the study, or open it again if it is a search over the same thing.

    Args:
        url: any SQLAlchemy URL that Optuna can use; SQLite takes one writing process.
        identity: fingerprints of task, model and search space.

    Raises:
        StorageError: the database cannot be opened.
        StudyMismatch: the study of that name has another identity.
    """
    import optuna

    optuna.logging.set_verbosity(optuna.logging.WARNING)
    storage = _open_storage(url)
    try:
        if name in {study.study_name for study in storage.get_all_studies()}:
            study = optuna.load_study(study_name=name, storage=storage)
            _require_same(name, study.user_attrs.get(IDENTITY, {}), identity)
        else:
            study = optuna.create_study(study_name=name, storage=storage, direction="maximize")
            study.set_user_attr(IDENTITY, dict(identity))
    except StudyMismatch:
        _close(storage)
        raise
    return Study(study, storage)


def study_in_memory(name: str) -> Study:
    """A new study that is gone with this process: for a search that is only simulated."""
    import optuna

    optuna.logging.set_verbosity(optuna.logging.WARNING)
    storage = optuna.storages.InMemoryStorage()
    return Study(optuna.create_study(study_name=name, storage=storage, direction="maximize"), storage)


@dataclass(frozen=True)
class PastStudy:
    """What a database has of a search, to be read only; `trials` reads them now, and gives none where it cannot."""

    name: str
    facts: Mapping[str, Any]
    trials: Callable[[], list[Trial]]


@contextmanager
def past_studies(url: str) -> Iterator[list[PastStudy]]:
    """Within the block, every study that searches left in the database, the newest first. Nothing is written.

    Studies of other tools are passed over. Where there is no database yet, there are none.

    Raises:
        StorageError: the database cannot be opened.
    """
    storage = _open_to_read(url)
    if storage is None:
        yield []
        return
    try:
        found = [study for study in storage.get_all_studies() if IDENTITY in study.user_attrs]
        newest_first = sorted(found, key=lambda study: study._study_id, reverse=True)
        yield [
            PastStudy(study.study_name, study.user_attrs, _reader(storage, study._study_id)) for study in newest_first
        ]
    finally:
        _close(storage)


def _reader(storage: optuna.storages.RDBStorage, study_id: int) -> Callable[[], list[Trial]]:
    def trials() -> list[Trial]:
        try:
            return [_trial(frozen) for frozen in storage.get_all_trials(study_id, deepcopy=False)]
        except (KeyError, ValueError):  # it was deleted a moment ago, or a later version wrote it
            return []

    return trials


def readable_url(url: str) -> str:
    """The URL without its password, for people and logs."""
    import sqlalchemy

    try:
        return sqlalchemy.engine.make_url(url).render_as_string(hide_password=True)
    except sqlalchemy.exc.ArgumentError:
        return "(not a URL)"


def _open_storage(url: str) -> optuna.storages.RDBStorage:
    import optuna

    with _opening(url):
        return optuna.storages.RDBStorage(url, engine_kwargs=_engine_options(url))


def _open_to_read(url: str) -> optuna.storages.RDBStorage | None:
    """None where no study was ever recorded."""
    import optuna
    import sqlalchemy

    with _opening(url):
        where = sqlalchemy.engine.make_url(url)
        options = _engine_options(url) | {"execution_options": {"postgresql_readonly": True}}
        if _is_sqlite(url) and where.database and not where.database.startswith("file:"):
            if not Path(where.database).exists():
                return None
            where = where.set(database=f"file:{quote(where.database)}").update_query_dict({"mode": "ro", "uri": "true"})
        engine = sqlalchemy.create_engine(where, **options)
        recorded = sqlalchemy.inspect(engine).has_table("studies")
        engine.dispose()
        if not recorded:
            return None
        text = where.render_as_string(hide_password=False)
        return optuna.storages.RDBStorage(text, engine_kwargs=options, skip_table_creation=True)


@contextmanager
def _opening(url: str) -> Iterator[None]:
    """Whatever goes wrong within the block is told as one line, without the password."""
    import sqlalchemy

    logging.getLogger("alembic").setLevel(logging.WARNING)
    try:
        yield
    except (sqlalchemy.exc.SQLAlchemyError, ImportError, RuntimeError, ValueError) as error:
        raise StorageError(
            f"--storage {readable_url(url)} cannot be opened: {_first_line(error)}; give a URL such as "
            "sqlite:///studies.db or postgresql+psycopg://USER@HOST/DATABASE (install the extra 'postgres' for it)"
        ) from None


def _engine_options(url: str) -> dict[str, Any]:
    return {"connect_args": {"timeout": 60}} if _is_sqlite(url) else {"pool_pre_ping": True}


def _is_sqlite(url: str) -> bool:
    return url.startswith("sqlite")


def _close(storage: optuna.storages.BaseStorage) -> None:
    import optuna

    storage.remove_session()
    if isinstance(storage, optuna.storages.RDBStorage):
        storage.engine.dispose()


def _require_same(name: str, stored: Mapping[str, str], wanted: Mapping[str, str]) -> None:
    for what, fingerprint in wanted.items():
        if stored.get(what) != fingerprint:
            raise StudyMismatch(
                f"study {name!r} was made from another {what}: it has {_short(stored.get(what))}, this command has "
                f"{_short(fingerprint)}; choose another --study-name, or repeat the command that began it"
            )


def _first_line(error: BaseException) -> str:
    cause = error.__cause__ or error
    return str(getattr(cause, "orig", None) or cause).strip().splitlines()[0]


def _short(fingerprint: str | None) -> str:
    return json.dumps((fingerprint or "none")[:16])


def _trial(frozen: optuna.trial.FrozenTrial) -> Trial:
    return Trial(
        number=frozen.number,
        state=State[frozen.state.name],
        params=frozen.params,
        value=frozen.values[0] if frozen.values else None,
        intermediate=frozen.intermediate_values,
        facts=frozen.user_attrs,
    )
