"""Archives come through the pip of this environment, from a local folder in place of an index."""

import hashlib
import io
import os
import socket
import sys
import tarfile
import time

import pytest

from automl.fetch import packages
from automl.fetch.miss import Miss
from automl.fetch.packages import PinnedPackage

NAME = "madeup-1.0.tar.gz"


def sdist(path, marker):
    """A source archive whose setup.py leaves a mark if anything runs it."""
    members = {
        "setup.py": f"open({str(marker)!r}, 'w').close()\nimport setuptools\nsetuptools.setup(name='madeup')\n",
        "PKG-INFO": "Metadata-Version: 2.1\nName: madeup\nVersion: 1.0\n",
        "data.txt": "the data\n",
    }
    with tarfile.open(path, "w:gz") as archive:
        for name, text in members.items():
            entry = tarfile.TarInfo(f"madeup-1.0/{name}")
            entry.size = len(text)
            archive.addfile(entry, io.BytesIO(text.encode()))
    return PinnedPackage("madeup", "1.0", path.name, hashlib.sha256(path.read_bytes()).hexdigest())


@pytest.fixture
def shelf(tmp_path, monkeypatch):
    """A folder that pip looks into, with no index beside it, and an empty cache."""
    folder = tmp_path / "shelf"
    folder.mkdir()
    for name in [name for name in os.environ if name.startswith("PIP_")]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("PIP_CONFIG_FILE", os.devnull)
    monkeypatch.setenv("PIP_FIND_LINKS", str(folder))
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.setenv("AUTOML_CACHE", str(tmp_path / "cache"))
    return folder


def cached(tmp_path):
    return sorted(path.name for path in (tmp_path / "cache" / "packages").iterdir())


def test_an_sdist_is_fetched_once_and_its_code_never_runs(shelf, tmp_path, capfd):
    pin = sdist(shelf / NAME, tmp_path / "it-ran")
    before = set(sys.modules)
    path = packages.fetch(pin)
    assert hashlib.sha256(path.read_bytes()).hexdigest() == pin.sha256
    assert not (tmp_path / "it-ran").exists()
    assert not any(name.startswith("pip._") for name in set(sys.modules) - before)
    assert capfd.readouterr() == ("", "")
    (shelf / NAME).unlink()
    assert packages.fetch(pin, offline=True) == path
    assert cached(tmp_path) == [NAME]


@pytest.mark.parametrize("setting", ["PIP_ONLY_BINARY", "PIP_NO_BINARY"])
def test_a_users_choice_of_formats_does_not_hide_a_pinned_file(shelf, tmp_path, monkeypatch, setting):
    monkeypatch.setenv(setting, ":all:")
    assert packages.fetch(sdist(shelf / NAME, tmp_path / "it-ran")).is_file()


def test_a_tampered_file_is_refused_and_removed(shelf, tmp_path):
    pin = sdist(shelf / NAME, tmp_path / "it-ran")
    with (shelf / NAME).open("ab") as file:
        file.write(b"more")
    found = hashlib.sha256((shelf / NAME).read_bytes()).hexdigest()
    with pytest.raises(Miss) as caught:
        packages.fetch(pin)
    assert caught.value.outcome == "damaged"
    assert pin.sha256 in str(caught.value)
    assert found in str(caught.value)
    assert cached(tmp_path) == []


def test_a_damaged_cached_file_is_fetched_again(shelf, tmp_path):
    pin = sdist(shelf / NAME, tmp_path / "it-ran")
    path = packages.fetch(pin)
    path.write_bytes(b"damaged")
    assert packages.fetch(pin).read_bytes() == (shelf / NAME).read_bytes()
    path.write_bytes(b"damaged")
    with pytest.raises(Miss) as caught:
        packages.fetch(pin, offline=True)
    assert caught.value.outcome == "offline"


def test_offline_and_not_cached_says_where_to_put_the_file(shelf, tmp_path):
    pin = sdist(shelf / NAME, tmp_path / "it-ran")
    with pytest.raises(Miss, match="run once online") as caught:
        packages.fetch(pin, offline=True)
    assert str(tmp_path / "cache" / "packages") in str(caught.value)


def test_a_file_that_the_index_does_not_have(shelf, tmp_path):
    sdist(shelf / NAME, tmp_path / "it-ran")
    with pytest.raises(Miss, match=r"madeup-9\.9\.tar\.gz.*1 file") as caught:
        packages.fetch(PinnedPackage("madeup", "9.9", "madeup-9.9.tar.gz", "0" * 64))
    assert caught.value.outcome == "not found"


def test_an_unreachable_index_is_named_without_its_password(shelf, monkeypatch, tmp_path):
    with socket.socket() as closed:
        closed.bind(("127.0.0.1", 0))
        port = closed.getsockname()[1]
    monkeypatch.delenv("PIP_NO_INDEX")
    monkeypatch.setenv("PIP_INDEX_URL", f"http://user:secret@127.0.0.1:{port}/index")
    start = time.monotonic()
    with pytest.raises(Miss, match=r"Connection refused.*pip config list") as caught:
        packages.fetch(PinnedPackage("madeup", "1.0", NAME, "0" * 64))
    assert time.monotonic() - start < 15
    assert caught.value.outcome == "unreachable"
    assert str(port) in str(caught.value)
    assert "secret" not in str(caught.value)
    assert "\n" not in str(caught.value)
    assert cached(tmp_path) == []
