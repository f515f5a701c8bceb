"""Every page over every kind of study: drawn without an exception, with what it is for, in both languages."""

from __future__ import annotations

import ast
import contextlib
import re
import shutil
import sqlite3
from collections.abc import Callable
from pathlib import Path
from typing import Any

import optuna
import pytest

from automl.dashboard.parts import SUMMARIES
from automl.dashboard.words import LANGUAGES, translate
from automl.study import Reader, open_study
from automl.study.door import note_of
from automl.study.heart import STOP
from tests.dashboard.studies import IDENTITY, STAGES
from tests.integration.conftest import Workplace
from tests.stand_in_hub import files, stand_in_hub

PAGES = ("studies", "study", "seeds", "trial", "compare", "data", "model")
VIEWS = ("now", "best", "space", "work")
# what a search calls by names of its own: its params, metrics, studies, trials, labels, and keys of records
OWN_NAMES = r"[\w.-]+|trial \d+( less .*)?|version of \w+|.*regression.*|rows-\w+.*"
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
    assert [error.value for error in app.error] in ([], ["loss is nan"] if name == "failed" else [])
    assert app.title
    if name == "failed" and page in ("study", "model", "data"):
        assert "loss is nan" in texts(app), "it says why"


@pytest.mark.parametrize("view", VIEWS)
@pytest.mark.parametrize("name", STAGES)
def test_every_view_of_a_study_draws_it_at_every_stage(opened: Open, stages: str, name: str, view: str) -> None:
    app = opened(stages, "study", study=name, view=view)
    assert not app.exception
    assert all(error.value == "loss is nan" for error in app.error)


@pytest.fixture(scope="module")
def foreign(tmp_path_factory: pytest.TempPathFactory) -> str:
    """A study of plain Optuna that is minimized, still runs, and has attributes by the names of our facts."""
    import optuna

    url = f"sqlite:///{tmp_path_factory.mktemp('foreign') / 'studies.db'}"
    study = optuna.create_study(storage=url, study_name="*theirs* $1 $2")
    for name in ("result", "data", "metric", "alive", "folder"):
        study.set_user_attr(name, "mnist")

    def objective(trial: optuna.Trial) -> float:
        for name in ("fold", "seed", "configuration", "stage", "settings", "versions", "seconds"):
            trial.set_user_attr(name, "x")
        for step in range(3):
            trial.report(step * 1e-5, step * 100)
        width = trial.number + 1.0
        return 1e-5 * trial.suggest_float("encoder.lr", 0, width) + 1e-6 * trial.suggest_int("head.lr", 0, 9)

    study.optimize(objective, n_trials=4)
    study.ask()
    return url


@pytest.mark.parametrize("page", PAGES)
def test_every_page_draws_a_study_of_another_tool(opened: Open, foreign: str, page: str) -> None:
    said = fine(opened(foreign, page, study="*theirs* $1 $2"))
    if page in ("data", "model"):
        assert "recorded by another tool" in said
    if page == "study":
        assert r"\*theirs\*" in said, "its name is shown as it is"
        assert "running" in said


@pytest.mark.parametrize("view", VIEWS)
def test_every_view_draws_a_study_of_another_tool(opened: Open, foreign: str, view: str) -> None:
    fine(opened(foreign, "study", study="*theirs* $1 $2", view=view))


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
    for language, summary in (("en", "The database cannot be read."), ("zh", "无法读取数据库。")):
        app = opened(f"sqlite:///{path}", page, lang=language)
        assert not app.exception
        assert any(summary in one.value and "broken.db" in one.value for one in app.error)
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
    next(button for button in app.button if button.label == "Yes, stop it").click().run()
    fine(app)
    with open_study(url, "running", IDENTITY) as study:
        assert study.facts[STOP]
        assert len(study.recover()) == 1
    app = opened(url, "study", study="running")
    assert "the winner is being made into one model" in fine(app)
    assert "Yes, stop it" not in [button.label for button in app.button], "nothing more can be"


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


def test_one_choice_after_another_is_followed_and_kept_in_the_link(opened: Open, stages: str) -> None:
    app = opened(stages, "study", study="running")
    for name in ("best", "space", "work", "now", "best"):
        app.segmented_control[0].set_value(name).run()
        fine(app)
        assert (app.segmented_control[0].value, app.query_params["view"]) == (name, name)
    for name in ("one", "failed", "running", "cut-off"):
        app.sidebar.selectbox[0].set_value(name).run()
        assert (app.title[0].value, app.query_params["study"]) == (name.replace("-", "\\-"), name)
    for name in ("zh", "en", "zh"):
        app.sidebar.selectbox[1].set_value(name).run()
        assert app.query_params["lang"] == name


def test_several_are_picked_one_after_another_and_none_stays_none(opened: Open, stages: str) -> None:
    app = opened(stages, "compare", study="running")
    every = app.multiselect[0].options
    assert len(every) == 2
    assert app.query_params["configurations"] == ["1", "0"]
    for picked in ([1], [], [0], [0, 1], [1]):
        app.multiselect[0].set_value(picked).run()
        assert not app.exception
        assert app.multiselect[0].value == picked
        app.run()
        assert app.multiselect[0].value == picked, "and it stays so"


def test_a_trial_is_chosen_after_another(opened: Open, stages: str) -> None:
    app = opened(stages, "trial", study="running")
    for number in (3, 0, 2, 1):
        app.main.selectbox[0].set_value(number).run()
        assert (app.main.selectbox[0].value, app.query_params["trial"]) == (number, str(number))


def test_a_link_that_names_too_much_or_what_is_not_there_is_read_as_far_as_it_goes(opened: Open, large: str) -> None:
    names = ["full.learning_rate", "full.layerwise_lr_decay"]
    app = opened(large, "study", view="space", technique="full", params=[*(name[5:] for name in names), "arm", "x"])
    fine(app)
    assert len(app.multiselect[0].value) == 2
    app = opened(large, "study", view="nowhere", technique="x", trial="minus one")
    fine(app)
    assert app.segmented_control[0].value == "now"


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


@pytest.mark.integration
@pytest.mark.slow
def test_the_model_goes_to_the_hub_and_the_token_nowhere_else(
    opened: Open, searched: Workplace, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with stand_in_hub(tmp_path / "hub") as hub:
        monkeypatch.setattr("huggingface_hub.constants.ENDPOINT", hub.url)
        app = opened(f"sqlite:///{searched.folder}/runs/studies.db", "model")
        fields = {one.label: one for one in app.text_input}
        fields["Repository"].set_value("me/reviews")
        fields["Token with write access"].set_value(hub.token)
        next(button for button in app.button if button.label == "Push").click().run()
        assert f"The model is at {hub.url}/me/reviews" in fine(app)
        pushed = files(hub.folder / "models" / "me" / "reviews")
    assert {"model.safetensors", "README.md"} <= pushed.keys()
    kept = [
        str(dict(app.query_params)),
        texts(app),
        *(path.read_bytes().decode("latin-1") for path in _files(searched)),
    ]
    assert not any(hub.token in text for text in [*kept, *(content.decode("latin-1") for content in pushed.values())])


def _files(place: Workplace) -> list[Path]:
    return [path for path in (place.folder / "runs").rglob("*") if path.is_file()]


@pytest.mark.parametrize("page", ["studies", "study"])
def test_a_locked_database_is_told_of_on_the_page(opened: Open, tmp_path: Path, page: str) -> None:
    from tests.dashboard.studies import make

    make(f"sqlite:///{tmp_path / 's.db'}", "one")
    with contextlib.closing(sqlite3.connect(tmp_path / "s.db", isolation_level=None)) as other:
        other.execute("BEGIN EXCLUSIVE")
        app = opened(f"sqlite:///{tmp_path / 's.db'}", page, study="one")
        other.execute("ROLLBACK")
    assert not app.exception
    assert any("locked" in error.value for error in app.error)
    assert "one" in fine(app.run()) or page == "studies"


@pytest.mark.slow
@pytest.mark.parametrize("view", VIEWS)
def test_thousands_of_trials_are_drawn(opened: Open, large: str, view: str) -> None:
    fine(opened(large, "study", view=view))


@pytest.mark.slow
@pytest.mark.parametrize("page", [page for page in PAGES if page != "study"])
def test_every_page_draws_thousands_of_trials(opened: Open, large: str, page: str) -> None:
    fine(opened(large, page))


@pytest.mark.integration
@pytest.mark.slow
@pytest.mark.parametrize("page", PAGES)
def test_a_search_whose_folder_is_gone_is_explained(
    opened: Open, searched: Workplace, tmp_path: Path, page: str
) -> None:
    shutil.copy(searched.folder / "runs" / "studies.db", tmp_path / "studies.db")
    url = f"sqlite:///{tmp_path / 'studies.db'}"
    storage = optuna.storages.RDBStorage(url)
    (study,) = storage.get_all_studies()
    storage.set_study_user_attr(study._study_id, "folder", str(tmp_path / "gone"))
    result = storage.get_study_user_attrs(study._study_id)["result"]
    storage.set_study_user_attr(study._study_id, "result", {**result, "model_dir": str(tmp_path / "gone")})
    app = opened(url, page)
    assert not app.exception
    assert all("gone" in error.value for error in app.error)
    if page in ("compare", "data", "model"):
        assert "it lies where the search ran" in texts(app) or "same command writes it again" in texts(app)
    storage.remove_session()
    storage.engine.dispose()


@pytest.mark.parametrize("page", PAGES)
def test_every_page_speaks_chinese(opened: Open, stages: str, page: str) -> None:
    app = opened(stages, page, study="running", lang="zh")
    assert not app.exception
    assert sum("\u4e00" <= letter <= "\u9fff" for letter in texts(app)) > 5


@pytest.mark.integration
@pytest.mark.slow
def test_nothing_of_a_real_search_is_left_untranslated_but_its_own_names(
    opened: Open, searched: Workplace, monkeypatch: pytest.MonkeyPatch
) -> None:
    missed: set[str] = set()

    def noted(text: str, language: str) -> str:
        translated = translate(text, language)
        if translated == text and language != "en" and not re.search("[\u4e00-\u9fff]", text):
            missed.add(text)
        return translated

    monkeypatch.setattr("automl.dashboard.parts.translate", noted)
    for page in PAGES:
        for view in VIEWS if page == "study" else ("",):
            fine(opened(f"sqlite:///{searched.folder}/runs/studies.db", page, lang="zh", view=view))
    assert {text for text in missed if not re.fullmatch(OWN_NAMES, text)} == set()


def test_every_text_of_the_pages_has_a_translation() -> None:
    folder = Path(__file__).parents[2] / "automl" / "dashboard"
    said = set(SUMMARIES.values())
    for file in folder.rglob("*.py"):
        for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Call) and getattr(node.func, "id", "") == "t":
                said |= {one.value for one in node.args if isinstance(one, ast.Constant)}
    missing = {
        text for text in said for language in LANGUAGES if language != "en" and translate(text, language) == text
    }
    assert not missing
