"""What workers get: every text once, those without a label at the end, and no more of them than one can learn from."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from automl.models import checkpoint
from automl.prepare import Prepared, Request, prepare
from automl.progress import make_progress
from automl.study import Study, open_study
from automl.training.data import StudyData
from automl.training.worker import WorkerSetup
from automl.workload import LEAST_ROOM, device_here, worker_setup, workers_here
from tests.tiny import make_model, make_rows, write_csv, write_space

LABELLED = 48  # of 60 rows; the others are for the test


@pytest.fixture
def study() -> Iterator[Study]:
    with open_study("sqlite://", "s", {}) as study:
        yield study


@pytest.fixture
def request_of(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Request:
    monkeypatch.chdir(tmp_path)
    model, space = make_model(tmp_path / "model"), write_space(tmp_path / "space.yaml")
    rows = write_csv(tmp_path / "rows.csv", make_rows(60))
    return Request(str(rows), 1, str(model), str(space), folds=2, unlabelled=tmp_path / "more.txt", offline=True)


def made(request: Request, study: Study, texts: list[str]) -> tuple[Prepared, WorkerSetup]:
    assert request.unlabelled is not None
    request.unlabelled.write_text("\n".join(texts))
    prepared = prepare(request)
    prepared.folder.mkdir(parents=True)
    with make_progress(json=True, stream=None) as progress:
        return prepared, worker_setup(prepared, study, progress, "cpu")


def only(backbones: Mapping[str, Any]) -> Any:
    """The one encoder's."""
    (one,) = backbones.values()
    return one


def texts_of(prepared: Prepared, setup: WorkerSetup, rows: np.ndarray) -> list[str]:
    tokenizer, encoded = checkpoint.load_tokenizer(only(prepared.backbones).checkpoint), only(setup.backbones).data.rows
    ids = only(setup.backbones).used_tokens[encoded.features["input_ids"]]
    return [
        tokenizer.decode(ids[encoded.starts[row] : encoded.starts[row + 1]], skip_special_tokens=True) for row in rows
    ]


def test_texts_without_a_label_stand_behind_all_others(request_of: Request, study: Study) -> None:
    more = [row["text"] for row in make_rows(30, seed=4)]
    prepared, setup = made(request_of, study, more)
    data: StudyData = only(setup.backbones).data
    assert data.trial_rows.tolist() == list(range(2 * LABELLED)), "each with one copy"
    assert texts_of(prepared, setup, data.unlabelled_rows) == list(prepared.unlabelled)
    assert texts_of(prepared, setup, np.arange(LABELLED)) == list(prepared.splits.labelled.inputs)
    assert set(data.rows.labels[data.unlabelled_rows]) == {-1}


def test_of_very_many_some_are_drawn(request_of: Request, study: Study) -> None:
    more = sorted(row["text"] for row in make_rows(2 * LEAST_ROOM, seed=4))
    prepared, setup = made(request_of, study, more)
    drawn = texts_of(prepared, setup, only(setup.backbones).data.unlabelled_rows)
    assert len(drawn) == LEAST_ROOM
    places = [prepared.unlabelled.index(text) for text in drawn]
    assert places == sorted(set(places)), "none twice, in their order"
    assert np.mean(places) == pytest.approx(len(prepared.unlabelled) / 2, rel=0.1), "from everywhere in the file"


@pytest.mark.parametrize(
    ("options", "gpus", "workers", "device"),
    [
        ({}, 0, 8, "cpu"),
        ({"cpus_per_trial": 3}, 0, 2, "cpu"),
        ({"cpus_per_trial": 16}, 0, 1, "cpu"),
        ({}, 2, 2, "cuda"),
        ({"gpus_per_trial": 0.25}, 1, 4, "cuda"),
        ({"gpus_per_trial": 0.1, "cpus_per_trial": 2}, 1, 4, "cuda"),
        ({"gpus_per_trial": 0}, 2, 8, "cpu"),
        ({"workers": 3}, 2, 3, "cuda"),
    ],
)
def test_as_many_workers_as_cores_and_gpus_allow(
    monkeypatch: pytest.MonkeyPatch, options: dict[str, Any], gpus: int, workers: int, device: str
) -> None:
    monkeypatch.setattr(os, "sched_getaffinity", lambda process: set(range(8)))
    monkeypatch.setattr(torch.cuda, "is_available", lambda: gpus > 0)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: gpus)
    request = Request("task", 1, **options)
    assert (workers_here(request), device_here(request)) == (workers, device)
