import pytest

from automl.fetch import cache
from automl.fetch.miss import Miss


def test_the_folder_follows_the_environment(monkeypatch, tmp_path):
    monkeypatch.setenv("AUTOML_CACHE", str(tmp_path / "own"))
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "xdg"))
    assert cache.folder("models") == tmp_path / "own" / "models"
    monkeypatch.setenv("AUTOML_CACHE", "")
    assert cache.folder("models") == tmp_path / "xdg" / "automl" / "models"
    monkeypatch.delenv("XDG_CACHE_HOME")
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    assert cache.folder("models") == tmp_path / "home" / ".cache" / "automl" / "models"


def test_a_written_file_appears_whole(tmp_path):
    path = tmp_path / "new" / "file"
    with cache.writing(path) as part:
        part.write_text("half")
        assert not path.exists()
        part.write_text("whole")
    assert path.read_text() == "whole"
    assert list(path.parent.iterdir()) == [path]


def test_a_reader_of_the_earlier_file_keeps_it_whole(tmp_path):
    path = tmp_path / "file"
    path.write_text("earlier")
    with path.open() as reader:
        with cache.writing(path) as part:
            part.write_text("later")
        assert reader.read() == "earlier"
    assert path.read_text() == "later"


def test_an_interrupted_write_leaves_the_earlier_file_and_nothing_else(tmp_path):
    path = tmp_path / "file"
    path.write_text("earlier")

    def interrupted():
        with cache.writing(path) as part:
            part.write_text("half")
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        interrupted()
    assert path.read_text() == "earlier"
    assert list(tmp_path.iterdir()) == [path]


def test_a_cache_that_cannot_be_written_names_the_setting(tmp_path):
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(Miss, match="AUTOML_CACHE") as caught, cache.writing(tmp_path / "file" / "sub" / "x"):
        pass
    assert caught.value.outcome == "disk"


def test_a_miss_is_one_line_without_passwords():
    miss = Miss("unreachable", "https://user:secret@mirror/simple:\n no answer", "check the network")
    assert str(miss) == "https://mirror/simple: no answer; check the network"
    assert "check" not in miss.reason
