"""The verdict pairs what each model said of rows that it did not see; what is shipped is said, with the reason."""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from automl.backbones import Backbone
from automl.data.folds import ALWAYS_TRAINED
from automl.errors import NothingUsable
from automl.learning_curve import Share
from automl.models import checkpoint
from automl.params import Params
from automl.records import Rows, Splits
from automl.selection import Difference
from automl.shipping import as_facts as shipping_facts
from automl.shipping import choose_shipped
from automl.spaces import Arm, Param, SearchSpace
from automl.study import Study, open_study
from automl.tasks.kinds import kind_of
from automl.training.distillation import STUDENT as STUDENT_PARAMS
from automl.training.distillation import student_params
from automl.training.keep import write_logits
from automl.tuning.configurations import Cell, configurations
from automl.tuning.finals import AVERAGE, REFIT, REHEARSAL, STUDENT
from automl.tuning.policy import Policy
from automl.verdict import as_facts, gathered, judge, measured_baselines
from tests.tiny import make_model, make_rows
from tests.told import Told

RATE = Param("learning_rate", "float", 1e-5, 1e-3, log=True, default=1e-4)
SPACE = SearchSpace(
    "two",
    "",
    (),
    (
        Arm(
            "head", "", (Param("technique", "fixed", default="features"), Param("logistic_regression_c", "float", 0, 9))
        ),
        Arm("full", "", (RATE,)),
    ),
).over({"tiny": 6})
HEAD, FULL, OTHER = (
    {"arm": "head", "head.logistic_regression_c": 1.0},
    {"arm": "full", "full.learning_rate": 1e-4},
    {"arm": "full", "full.learning_rate": 2e-4},
)


def a_prepared(labels: np.ndarray, folds: np.ndarray, **more: Any) -> Any:
    rows = Rows(tuple(f"text {i}" for i in range(len(labels))), labels)
    splits = Splits(rows, folds, rows.take(np.arange(2)), ("no", "yes"), "f")
    own = {"splits": splits, "kind": kind_of("classification"), "request": SimpleNamespace(seed=0), "space": SPACE}
    own |= {"backbone_of": lambda params: "the tiny one", "unlabelled": ()}
    return SimpleNamespace(**own, **more)


class Recorder:
    """Writes trials of a study that are right in so many of their held-out rows, the first ones."""

    def __init__(self, study: Study, folder: Path, prepared: Any) -> None:
        self.study, self.folder, self.prepared = study, folder, prepared

    def __call__(self, params: Mapping[str, Any], cell: Cell, right: float, of: int | None = None) -> int:
        labels = self.prepared.splits.held_out(cell.fold).labels
        said = np.where(np.arange(len(labels)) < round(right * len(labels)), labels, 1 - labels)
        facts = {"stage": "search" if of is None else "race", "fold": cell.fold, "seed": cell.seed}
        facts |= {} if of is None else {"configuration": of}
        trial = self.study.start(params, SPACE.distributions(str(params["arm"])), facts)
        path = self.folder / f"{trial.number}.logits"
        logits = 2.0 * np.eye(2, dtype=np.float32)[said]
        left = {"predictions": str(path), "predictions_sha256": write_logits(path, logits)}
        left |= {
            "seconds": 1.0,
            "examples_per_second": 100.0,
            "checkpoint": str(self.folder / f"{trial.number}.safetensors"),
            "checkpoint_sha256": f"sha {trial.number}",
        }
        Path(str(left["checkpoint"])).touch()
        self.study.end(trial.number, state("COMPLETE"), float(np.mean(said == labels)), left)
        return trial.number


def state(name: str) -> Any:
    from automl.records import State

    return State[name]


@pytest.fixture
def study() -> Iterator[Study]:
    with open_study("sqlite://", "s", {}) as study:
        yield study


@pytest.fixture
def prepared() -> Any:
    """120 rows in three folds."""
    return a_prepared(np.arange(120) // 3 % 2, np.arange(120) % 3)


@pytest.fixture
def record(study: Study, tmp_path: Path, prepared: Any) -> Recorder:
    return Recorder(study, tmp_path, prepared)


POLICY = Policy(3, 7, ())
FIRST, SECOND, THIRD = POLICY.cells


def test_what_was_said_of_each_row_comes_from_the_training_that_held_it_out(
    study: Study, record: Recorder, prepared: Any
) -> None:
    good = record(FULL, FIRST, 1.0)
    dropped = record(HEAD, FIRST, 0.5)
    record(FULL, THIRD, 0.0, of=good)  # recorded before the second one ended
    record(FULL, SECOND, 1.0, of=good)
    evidence = gathered(configurations(study.trials()), POLICY, prepared)
    labels, folds = prepared.splits.labelled.labels, prepared.splits.folds
    assert evidence.numbers == [good, dropped]
    np.testing.assert_array_equal(evidence.predictions(good)[0], np.where(folds == 2, 1 - labels, labels))
    assert evidence.probabilities[good].max() == pytest.approx(1 / (1 + np.exp(-2)))
    np.testing.assert_array_equal(evidence.covered(dropped)[0], folds == 0)


def test_repeats_on_one_held_out_part_are_repeats_of_the_same_rows(study: Study, tmp_path: Path) -> None:
    held_out = np.arange(100) >= 80
    prepared = a_prepared(np.arange(100) % 2, np.where(held_out, 0, ALWAYS_TRAINED))
    policy, record = Policy(1, 7, (), repeats=2), Recorder(study, tmp_path, prepared)
    number = record(FULL, policy.cells[0], 1.0)
    record(FULL, policy.cells[2], 0.5, of=number)
    evidence = gathered(configurations(study.trials()), policy, prepared)
    labels = prepared.splits.labelled.labels[held_out]
    assert evidence.labels.tolist() == labels.tolist()
    right = evidence.predictions(number) == labels
    assert right.mean(axis=1).tolist() == [1.0, 0.0, 0.5]
    assert evidence.covered(number).all(axis=1).tolist() == [True, False, True]


def test_the_winner_is_the_best_by_the_mean_and_is_compared_with_baselines_and_other_techniques(
    study: Study, record: Recorder, prepared: Any
) -> None:
    numbers = [record(params, FIRST, right) for params, right in ((HEAD, 0.9), (FULL, 0.95), (OTHER, 0.5))]
    for number, params, rights in ((numbers[0], HEAD, (0.9, 0.9)), (numbers[1], FULL, (0.5, 0.6))):
        for cell, right in zip((SECOND, THIRD), rights, strict=True):
            record(params, cell, right, of=number)
    labels = prepared.splits.labelled.labels
    winner = POLICY.race.leader(configurations(study.trials()))
    assert winner is not None
    verdict = judge(winner, study, POLICY, prepared, {"majority": np.zeros_like(labels), "twin": labels.copy()})
    assert verdict.winner.number == numbers[0]
    assert verdict.value == pytest.approx(0.9, abs=0.02)
    assert verdict.estimate.low < 0.9 < verdict.estimate.high
    assert [one.name for one in verdict.differences] == ["majority", "twin", f"full (trial {numbers[1]})"]
    assert (verdict.not_distinguishable_from, verdict.outdone_by) == ([], ["twin"]), "which knows the labels"
    facts = as_facts(verdict)
    assert facts["seeds"] == [7, 8, 9]
    assert set(facts["differences"]) == {"majority", "twin", f"full (trial {numbers[1]})"}
    told = verdict.estimate
    seen = Difference("student", -0.2, -0.201, -0.199, 40_000)
    worse = judge(winner, study, POLICY, prepared, {}, teachers=4, gain=seen).estimate
    assert worse.value == pytest.approx(told.value - 0.2, abs=0.02), "what is shipped is not as good as what was chosen"
    assert worse.high - worse.low > told.high - told.low
    unseen, alone = (judge(winner, study, POLICY, prepared, {}, teachers=count).estimate for count in (4, 1))
    assert told.value < unseen.value < told.value + 0.02, "as much better as is usual"
    assert alone.value == pytest.approx(told.value), "one teacher has nothing to correct"
    assert unseen.value - unseen.low > told.value - told.low
    better = judge(winner, study, POLICY, prepared, {}, kept=Share(0.9, 0.8, 1.0)).estimate
    assert better.value == pytest.approx(1 - 0.9 * (1 - told.value)), "it was trained on more rows"
    assert told.low < better.low < better.value < better.high


def test_a_further_seed_on_one_fold_does_not_narrow_what_is_compared(
    study: Study, record: Recorder, prepared: Any
) -> None:
    policy = Policy(3, 7, (), repeats=1)
    number, other = record(HEAD, FIRST, 0.9), record(FULL, FIRST, 0.5)
    cells = policy.cells
    for cell in cells[1:]:
        record(HEAD, cell, 0.9, of=number)
    for cell in cells[1 : policy.n_folds]:
        record(FULL, cell, 0.5, of=other)
    assert len(cells) > policy.n_folds
    winner = policy.race.leader(configurations(study.trials()))
    assert winner is not None
    rows = len(prepared.splits.labelled)
    (difference,) = judge(winner, study, policy, prepared, {}).differences
    assert difference.rows == rows


def test_predictions_that_were_changed_are_no_evidence(study: Study, record: Recorder, prepared: Any) -> None:
    number = record(FULL, FIRST, 0.9)
    write_logits(record.folder / f"{number}.logits", np.zeros((40, 2), dtype=np.float32))
    (winner,) = configurations(study.trials())
    with pytest.raises(NothingUsable, match="hash differs"):
        judge(winner, study, POLICY, prepared, {})


def test_without_a_complete_trial_nothing_is_shipped(study: Study, prepared: Any) -> None:
    with pytest.raises(NothingUsable, match="no configuration was completed"):
        choose_shipped(study, POLICY, prepared, None)  # type: ignore[arg-type]  # nothing is told


@pytest.fixture(scope="module")
def found(tmp_path_factory: pytest.TempPathFactory) -> checkpoint.Checkpoint:
    return checkpoint.resolve(str(make_model(tmp_path_factory.mktemp("model"))))


def test_baselines_do_not_see_the_rows_that_they_are_measured_on(found: checkpoint.Checkpoint) -> None:
    # Labels that nothing tells: who saw them would know them by heart.
    texts = tuple(row["text"] for row in make_rows(90))
    labels = np.random.default_rng(0).integers(0, 2, 90)
    prepared = a_prepared(labels, np.arange(90) % 3, backbones={"tiny": Backbone("tiny", found, 3, 32)})
    prepared.splits = Splits(Rows(texts, labels), prepared.splits.folds, prepared.splits.test, ("no", "yes"), "f")
    simple = measured_baselines(prepared)
    values = {name: np.mean(said == labels) for name, said in simple.predictions.items()}
    assert set(values) == {
        "majority",
        "tfidf_logistic_regression",
        "frozen_encoder_logistic_regression",
    }
    assert all(value < 0.65 for value in values.values())
    for baseline in simple.baselines[1:]:
        knowing = np.mean(baseline.fit(prepared.splits.labelled)(texts) == labels)
        assert knowing > values[baseline.name] + 0.1


def test_every_frozen_encoder_is_a_baseline(found: checkpoint.Checkpoint, tmp_path: Path) -> None:
    other = checkpoint.resolve(str(make_model(tmp_path / "other", layers=1, words_first=9, seed=1)))
    texts = tuple(row["text"] for row in make_rows(90))
    labels = np.array([row["label"] == "positive" for row in make_rows(90)]).astype(np.int64)

    def measured(*chosen: Backbone) -> Any:
        prepared = a_prepared(labels, np.arange(90) % 3, backbones={one.name: one for one in chosen})
        prepared.splits = Splits(Rows(texts, labels), prepared.splits.folds, prepared.splits.test, ("no", "yes"), "f")
        return measured_baselines(prepared)

    one, two = Backbone("one", found, 3, 32), Backbone("two", other, 1, 32)
    name, both = "frozen_encoder_logistic_regression", measured(one, two)
    assert list(both.curves) == ["one", "two"]
    assert set(both.predictions) == {"majority", "tfidf_logistic_regression", f"{name} (one)", f"{name} (two)"}
    for chosen in (one, two):
        np.testing.assert_array_equal(both.predictions[f"{name} ({chosen.name})"], measured(chosen).predictions[name])


def test_a_fold_that_trains_on_one_label_alone_breaks_no_baseline(found: checkpoint.Checkpoint) -> None:
    prepared = a_prepared(
        np.array([0] * 8 + [1]), np.array([0, 1, 2] * 3), backbones={"tiny": Backbone("tiny", found, 3, 32)}
    )
    simple = measured_baselines(prepared)
    assert {name: said[-1] for name, said in simple.predictions.items()} == dict.fromkeys(simple.predictions, 0)


class TestShipped:
    """Of the winner's own model and the student of all its models."""

    def decide(
        self,
        study: Study,
        record: Recorder,
        prepared: Any,
        params: Mapping[str, Any],
        student: float | None,
        *,
        average: float | None = None,
        refit: bool = False,
    ) -> Any:
        """What is shipped where the winner has 0.95 in each fold, the student and the average so much on the first."""
        number = record(params, FIRST, 0.95)
        members = [number, record(params, SECOND, 0.95, of=number), record(params, THIRD, 0.95, of=number)]
        for member in members:
            study.record(f"answers {member}", {"answers": "there", "answers_sha256": "a"})
        labels = prepared.splits.held_out(0).labels

        def tried(name: str, value: float, **facts: Any) -> None:
            said = np.where(np.arange(len(labels)) < round(value * len(labels)), labels, 1 - labels)
            path = record.folder / f"{name}.logits"
            sha256 = write_logits(path, np.eye(2, dtype=np.float32)[said])
            told = {"value": value, "predictions": str(path), "predictions_sha256": sha256, "committee": members}
            study.record(name, {**told, **facts})

        def made(name: str) -> dict[str, Any]:
            return {"checkpoint": name, "checkpoint_sha256": f"sha of {name}"}

        if student is not None:
            study.record(STUDENT, {**made(STUDENT), "committee": members})
            tried(REHEARSAL, student)
        if average is not None:
            tried(AVERAGE, average, kept=2, **made(AVERAGE))
        if refit:
            study.record(REFIT, {**made(REFIT), "committee": members})
        return choose_shipped(study, POLICY, prepared, None, until=0.0)  # type: ignore[arg-type]  # no time to tell

    def test_a_student_that_is_about_as_good_is_shipped(self, study: Study, record: Recorder, prepared: Any) -> None:
        shipped = self.decide(study, record, prepared, FULL, 0.9, average=0.95)
        assert (shipped.name, shipped.checkpoint, shipped.sha256) == (STUDENT, "student", "sha of student")
        assert shipped.params == student_params(Params(learning_rate=1e-4))
        assert "learned from the winner's 3 models" in shipped.why
        assert "on fold 0: single 0.950, student 0.900, average 0.950" in shipped.why
        assert shipping_facts(shipped)["candidates"] == {
            "single": {"value": 0.95},
            "student": {"value": 0.9},
            "average": {"value": 0.95},
        }

    def test_where_it_is_clearly_worse_the_average_is(self, study: Study, record: Recorder, prepared: Any) -> None:
        shipped = self.decide(study, record, prepared, FULL, 0.5, average=0.95, refit=True)
        assert (shipped.name, shipped.checkpoint) == (AVERAGE, "average")
        assert "student 0.500" in shipped.why

    def test_where_both_are_one_model_trained_on_every_row_is(
        self, study: Study, record: Recorder, prepared: Any
    ) -> None:
        shipped = self.decide(study, record, prepared, FULL, 0.5, average=0.5, refit=True)
        assert (shipped.name, shipped.checkpoint) == (REFIT, "refit")
        assert "trained as the winner on every labelled row" in shipped.why

    def test_without_time_for_that_it_is_the_model_that_there_is(
        self, study: Study, record: Recorder, prepared: Any
    ) -> None:
        shipped = self.decide(study, record, prepared, FULL, 0.5)
        assert (shipped.name, Path(shipped.checkpoint).name, shipped.sha256) == ("single", "0.safetensors", "sha 0")
        assert shipped.teachers == 0
        assert "trial 0's model, which was trained without fold 0" in shipped.why
        assert "student 0.500" in shipped.why

    def test_where_transformers_has_no_class_for_the_winner_it_is_its_student_and_what_is_lost_is_known(
        self, study: Study, record: Recorder, prepared: Any
    ) -> None:
        shipped = self.decide(study, record, prepared, HEAD, 0.5)
        assert (shipped.name, shipped.checkpoint) == (STUDENT, "student")
        assert shipped.params == STUDENT_PARAMS
        assert shipped.teachers == len(shipped.winner.trials) > 0
        assert shipped.gain is not None
        assert shipped.gain.value == pytest.approx(-0.45, abs=0.01)

    def test_what_a_student_has_more_counts_like_what_it_has_less(
        self, study: Study, record: Recorder, prepared: Any
    ) -> None:
        gain = self.decide(study, record, prepared, HEAD, 1.0).gain
        assert gain is not None
        assert gain.value == pytest.approx(0.05)

    @pytest.mark.parametrize(
        ("other", "gone", "expected"),
        [(0.8, False, "0.safetensors"), (0.4, False, "student"), (0.8, True, "student")],
        ids=["better", "worse", "its model was not kept"],
    )
    def test_where_no_plain_model_learns_the_winner_the_best_plain_one_is_shipped_if_it_is_better(
        self, study: Study, record: Recorder, prepared: Any, other: float, gone: bool, expected: str
    ) -> None:
        number = record(FULL, FIRST, other)
        if gone:
            (record.folder / f"{number}.safetensors").unlink()
        shipped = self.decide(study, record, prepared, HEAD, 0.5)
        assert Path(shipped.checkpoint).name == expected
        instead = expected != "student"
        assert (shipped.winner.number == number) == instead
        assert ("came first, but no plain model learns it" in shipped.why) == instead

    def test_without_a_student_the_model_of_the_first_fold_is_shipped(
        self, study: Study, record: Recorder, prepared: Any
    ) -> None:
        shipped = self.decide(study, record, prepared, FULL, None)
        assert (Path(shipped.checkpoint).name, shipped.sha256) == ("0.safetensors", "sha 0")
        assert shipped.why == "trial 0's model, which was trained without fold 0"


class TestTooLate:
    """Where time was up before the winner, which transformers has no class for, had taught a plain model."""

    @pytest.fixture
    def asked(self, monkeypatch: pytest.MonkeyPatch) -> list[str]:
        """Jobs that were to be done in the end. None of them is."""
        jobs: list[str] = []

        class Worker:
            def __init__(self, setup: object) -> None:
                pass

            def work(self, order: Mapping[str, Any]) -> Iterator[dict[str, Any]]:
                jobs.append(order.get("name", order["job"]))
                yield {"answers": "there", "answers_sha256": "a", "checkpoint": "made", "checkpoint_sha256": "of it"}

        monkeypatch.setattr("automl.training.worker.TrialWorker", Worker)
        monkeypatch.setattr("automl.shipping.worker_setup", lambda *arguments: None)
        monkeypatch.setattr("automl.shipping.device_here", lambda request: "cpu")
        monkeypatch.setattr("automl.candidates._said", lambda facts: np.eye(2)[[0]].repeat(40, axis=0))
        return jobs

    @pytest.fixture
    def plain(self, record: Recorder) -> int:
        """The second of two, of a technique that transformers has a class for; the winner's is none of these."""
        record(HEAD, FIRST, 0.9)
        return record(FULL, FIRST, 0.6)

    def test_the_best_plain_one_is_shipped_without_a_training(
        self, study: Study, prepared: Any, asked: list[str], plain: int
    ) -> None:
        now = time.monotonic()
        shipped = choose_shipped(study, POLICY, prepared, Told(), until=now, latest=now)
        assert (shipped.winner.number, shipped.name, asked) == (plain, "single", [])
        assert "trial 0 came first, but no plain model was made of it in time" in shipped.why

    @pytest.mark.usefixtures("plain")
    def test_where_its_student_is_soon_made_it_is_shipped_though_it_has_no_rehearsal(
        self, study: Study, prepared: Any, asked: list[str]
    ) -> None:
        now = time.monotonic()
        shipped = choose_shipped(study, POLICY, prepared, Told(), until=now, latest=now + 3600)
        assert (shipped.winner.number, shipped.name, asked) == (0, STUDENT, ["answer", STUDENT])
        assert "it had no rehearsal: time was up" in shipped.why

    @pytest.mark.usefixtures("plain")
    def test_who_stopped_a_search_waits_for_the_student_alone(
        self, study: Study, prepared: Any, asked: list[str]
    ) -> None:
        assert choose_shipped(study, POLICY, prepared, Told(), until=time.monotonic()).name == STUDENT
        assert asked == ["answer", STUDENT]

    def test_a_student_that_is_there_is_not_rehearsed_any_more(
        self, study: Study, record: Recorder, prepared: Any, asked: list[str]
    ) -> None:
        number = record(HEAD, FIRST, 0.9)
        study.record(f"answers {number}", {"answers": "there", "answers_sha256": "a"})
        study.record(STUDENT, {"checkpoint": "there", "checkpoint_sha256": "b", "committee": [number]})
        shipped = choose_shipped(study, POLICY, prepared, Told(), until=0.0, latest=0.0)
        assert (shipped.name, shipped.checkpoint, asked) == (STUDENT, "there", [])

    def test_where_nothing_else_can_be_shipped_it_is_made_late_and_that_is_told(
        self, study: Study, record: Recorder, prepared: Any, asked: list[str]
    ) -> None:
        record(HEAD, FIRST, 0.9)
        told = Told()
        assert choose_shipped(study, POLICY, prepared, told, until=0.0, latest=0.0).name == STUDENT
        assert asked == ["answer", STUDENT]
        assert told.texts("warning") == ["time is up, but nothing can be shipped yet: that takes a last training"]


class TestBroken:
    """Where the last steps, that are made in the end, break."""

    @pytest.fixture(autouse=True)
    def broken(self, monkeypatch: pytest.MonkeyPatch) -> None:
        class Broken:
            def __init__(self, setup: object) -> None:
                pass

            def work(self, order: object) -> Iterator[dict[str, Any]]:
                raise RuntimeError("the device is gone")
                yield {}

        monkeypatch.setattr("automl.training.worker.TrialWorker", Broken)
        monkeypatch.setattr("automl.shipping.worker_setup", lambda *arguments: None)
        monkeypatch.setattr("automl.shipping.device_here", lambda request: "cpu")

    def test_the_model_that_there_is_is_shipped(self, study: Study, record: Recorder, prepared: Any) -> None:
        record(FULL, FIRST, 0.9)
        told = Told()
        shipped = choose_shipped(study, POLICY, prepared, told)
        assert (shipped.name, Path(shipped.checkpoint).name) == ("single", "0.safetensors")
        assert ["refit: the device is gone" in text for text in told.texts("warning")] == [True]

    def test_what_no_class_can_hold_gives_way_to_what_one_can(
        self, study: Study, record: Recorder, prepared: Any
    ) -> None:
        record(HEAD, FIRST, 0.9)
        other = record(FULL, FIRST, 0.6)
        shipped = choose_shipped(study, POLICY, prepared, Told())
        assert (shipped.winner.number, shipped.eligible) == (other, {other})
        assert "trial 0 came first, but no plain model was made of it" in shipped.why

    def test_where_nothing_can_be_shipped_it_is_said_in_one_line(
        self, study: Study, record: Recorder, prepared: Any
    ) -> None:
        record(HEAD, FIRST, 0.9)
        with pytest.raises(NothingUsable, match="no plain model could be made of trial 0"):
            choose_shipped(study, POLICY, prepared, Told())
