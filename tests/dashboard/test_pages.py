"""Every page over every kind of study: drawn without an exception, with what it is for, in both languages."""

from __future__ import annotations

import ast
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from automl.dashboard.words import LANGUAGES, translate
from automl.study import Reader, open_study
from automl.study.door import note_of
from automl.study.heart import STOP
from tests.dashboard.studies import IDENTITY, STAGES
from tests.integration.conftest import Workplace

PAGES = ("studies", "study", "seeds", "trial", "compare", "data", "model")
VIEWS = ("now", "best", "space", "work")
Open = Callable[..., Any]


def texts(app: Any) -> str:
    """All words that a page shows."""
    kinds = (app.title, app.subheader, app.caption, app.info, app.warning, app.error, app.markdown, app.success)
    said = [element.value for kind in kinds for element in kind]
    return "\n".join([*said, *(f"{one.label} {one.value}" for one in app.metric)])


def fine(app: Any) -> str:
    """It drew without an exception or an error in red; its words."""
    assert not app.exception, app.exception
    assert not app.error, [one.value for one in app.error]
    return texts(app)


@pytest.mark.parametrize("name", STAGES)
@pytest.mark.parametrize("page", PAGES)
def test_every_page_draws_a_study_at_every_stage(opened: Open, stages: str, page: str, name: str) -> None:
    app = opened(stages, page, study=name)
    assert not app.exception, app.exception
    for error in app.error:  # made-up studies have no folder of texts and predictions
        assert "without its folder" in error.value or (name == "failed" and error.value == "loss is nan")
    assert app.title


@pytest.mark.parametrize("view", VIEWS)
@pytest.mark.parametrize("name", STAGES)
def test_every_view_of_a_study_draws_it_at_every_stage(opened: Open, stages: str, name: str, view: str) -> None:
    fine(opened(stages, "study", study=name, view=view))


@pytest.mark.parametrize("page", PAGES)
def test_without_a_database_it_says_how_to_start(opened: Open, tmp_path: Path, page: str) -> None:
    app = opened(f"sqlite:///{tmp_path / 'none.db'}", page)
    assert "No study has been recorded yet" in fine(app)
    assert "automl.search" in app.code[0].value
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("page", PAGES)
def test_a_broken_database_is_explained(opened: Open, tmp_path: Path, page: str) -> None:
    path = tmp_path / "broken.db"
    path.write_bytes(b"not a database" * 1000)
    app = opened(f"sqlite:///{path}", page)
    assert not app.exception
    assert any("broken.db" in one.value for one in app.error)
    assert path.read_bytes() == b"not a database" * 1000


def test_a_study_that_is_not_there_is_said_to_be_missing(opened: Open, stages: str) -> None:
    assert "There is no study 'gone'" in texts(opened(stages, "study", study="gone"))


def test_studies_are_found_by_what_is_typed(opened: Open, stages: str) -> None:
    app = opened(stages)
    fine(app)
    assert set(app.dataframe[0].value["study"]) == set(STAGES)
    assert dict(zip(app.dataframe[0].value["study"], app.dataframe[0].value["state"], strict=True)) == {
        "empty": "empty",
        "one": "cut off",
        "running": "running",
        "cut-off": "cut off",
        "failed": "failed",
    }
    app.text_input(key="search").set_value("RUNN").run()
    assert list(app.dataframe[0].value["study"]) == ["running"]


def test_a_running_study_shows_its_trials_and_can_be_stopped(opened: Open, tmp_path: Path) -> None:
    from tests.dashboard.studies import make

    url = f"sqlite:///{tmp_path / 's.db'}"
    make(url, "running")
    app = opened(url, "study", study="running")
    assert "Running trials" in fine(app)
    next(button for button in app.button if button.label == "Stop this search").click().run()
    fine(app)
    with open_study(url, "running", IDENTITY) as study:
        assert study.facts[STOP]


def test_a_note_is_kept_and_shown(opened: Open, tmp_path: Path) -> None:
    from tests.dashboard.studies import make

    url = f"sqlite:///{tmp_path / 's.db'}"
    make(url, "one")
    app = opened(url, "study", study="one")
    app.text_area[0].set_value("the best so far")
    next(button for button in app.button if button.label == "Keep this note").click().run()
    fine(app)
    record = Reader(url).study("one")
    assert record is not None
    assert note_of(record.facts) == "the best so far"
    assert opened(url, "study", study="one").text_area[0].value == "the best so far"


@pytest.mark.integration
@pytest.mark.slow
@pytest.mark.parametrize("page", PAGES)
def test_every_page_draws_a_real_search(opened: Open, searched: Workplace, page: str) -> None:
    said = fine(opened(f"sqlite:///{searched.folder}/runs/studies.db", page))
    wanted = {
        "studies": "Database",
        "study": "Expected on unseen data",
        "seeds": "How much of the gain was luck",
        "trial": "Again",
        "compare": "Rows on which they disagree",
        "data": "more labels",
        "model": "Beside the baselines",
    }
    assert wanted[page] in said


@pytest.mark.integration
@pytest.mark.slow
def test_the_model_labels_a_text_and_goes_to_a_folder(opened: Open, searched: Workplace, tmp_path: Path) -> None:
    app = opened(f"sqlite:///{searched.folder}/runs/studies.db", "model")
    app.text_area(key="text").set_value("a good warm film")
    next(button for button in app.button if button.label == "Label it").click().run()
    assert "**positive**" in fine(app)
    app.text_input[0].set_value(str(tmp_path / "taken"))
    next(button for button in app.button if button.label == "Export").click().run()
    fine(app)
    assert (tmp_path / "taken" / "model.safetensors").exists()


@pytest.mark.slow
@pytest.mark.parametrize("view", VIEWS)
def test_thousands_of_trials_are_drawn(opened: Open, large: str, view: str) -> None:
    fine(opened(large, "study", view=view))


@pytest.mark.parametrize("page", PAGES)
def test_every_page_speaks_chinese(opened: Open, stages: str, page: str) -> None:
    app = opened(stages, page, study="running", lang="zh")
    assert not app.exception
    assert sum("\u4e00" <= letter <= "\u9fff" for letter in texts(app)) > 5


def test_every_text_of_the_pages_has_a_translation() -> None:
    folder = Path(__file__).parents[2] / "automl" / "dashboard"
    said = set()
    for file in folder.rglob("*.py"):
        for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Call) and getattr(node.func, "id", "") == "t":
                said |= {one.value for one in node.args if isinstance(one, ast.Constant)}
    missing = {
        text for text in said for language in LANGUAGES if language != "en" and translate(text, language) == text
    }
    assert not missing
