"""A study that is written: the record of one search."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import replace
from typing import TYPE_CHECKING, Any, Self

from automl.errors import StorageError, StudyMismatch
from automl.records import State, Trial
from automl.study.storage import close, first_line, open_storage

if TYPE_CHECKING:
    import optuna

IDENTITY = "identity"  # study attribute: what this study is a search over; never changes
LEADER = "leader"  # study attribute: number of the configuration that leads, as the search counts
RESULT = "result"  # study attribute: the content of `result.json`, when the search has ended


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
        self._trials = [trial_of(one) for one in frozen]  # by number
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
        self._trials.append(trial_of(self._storage.get_trial(self._ids[-1])))
        return self._run(self._trials[-1].number)

    def report(self, number: int, step: int, value: float) -> None:
        """Record a running trial's value at a step; a repeated trial's values replace those of its first attempt."""
        self._storage.set_trial_intermediate_value(self._ids[number], step, value)
        known = self._trials[number]
        self._trials[number] = replace(known, intermediate={**known.intermediate, step: value})

    def note(self, number: int, facts: Mapping[str, Any]) -> None:
        """Record facts of a running trial."""
        for name, fact in facts.items():
            self._storage.set_trial_user_attr(self._ids[number], name, fact)
        known = self._trials[number]
        self._trials[number] = replace(known, facts={**known.facts, **facts})

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
        close(self._storage)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, traceback: object) -> None:
        import optuna
        import sqlalchemy

        self.close()
        if isinstance(error, optuna.exceptions.StorageInternalError | sqlalchemy.exc.SQLAlchemyError):
            raise StorageError(
                f"the study database stopped answering: {first_line(error)}; what was recorded is safe: when it is "
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
        self._trials[number] = trial_of(self._storage.get_trial(self._ids[number]))
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
    storage = open_storage(url)
    try:
        if name in {study.study_name for study in storage.get_all_studies()}:
            study = optuna.load_study(study_name=name, storage=storage)
            _require_same(name, study.user_attrs.get(IDENTITY, {}), identity)
        else:
            study = optuna.create_study(study_name=name, storage=storage, direction="maximize")
            study.set_user_attr(IDENTITY, dict(identity))
    except StudyMismatch:
        close(storage)
        raise
    return Study(study, storage)


def study_in_memory(name: str) -> Study:
    """A new study that is gone with this process: for a search that is only simulated."""
    import optuna

    optuna.logging.set_verbosity(optuna.logging.WARNING)
    storage = optuna.storages.InMemoryStorage()
    return Study(optuna.create_study(study_name=name, storage=storage, direction="maximize"), storage)


def _require_same(name: str, stored: Mapping[str, str], wanted: Mapping[str, str]) -> None:
    for what, fingerprint in wanted.items():
        if stored.get(what) != fingerprint:
            raise StudyMismatch(
                f"study {name!r} was made from another {what}: it has {_short(stored.get(what))}, this command has "
                f"{_short(fingerprint)}; choose another --study-name, or repeat the command that began it"
            )


def _short(fingerprint: str | None) -> str:
    return json.dumps((fingerprint or "none")[:16])


def trial_of(frozen: optuna.trial.FrozenTrial) -> Trial:
    """Optuna's trial as ours."""
    return Trial(
        number=frozen.number,
        state=State[frozen.state.name],
        params=frozen.params,
        value=frozen.values[0] if frozen.values else None,
        intermediate=frozen.intermediate_values,
        facts=frozen.user_attrs,
        started=frozen.datetime_start,
        ended=frozen.datetime_complete,
    )
