"""What ships and why; try it on texts of your own; take it away as a folder, or to the Hub."""

from __future__ import annotations

import tempfile
from collections.abc import Mapping
from itertools import islice
from pathlib import Path
from typing import Any

import pandas as pd
import streamlit as st

from automl.classifier import Classifier, load_classifier, predictions
from automl.dashboard import charts
from automl.dashboard.current import chosen_study, decimals, metric_of, watch, why_no_result
from automl.dashboard.parts import guarded, plain, t
from automl.dashboard.shown import figure, score, table
from automl.errors import UsageError
from automl.export.shipped import ShippedModel, copy_to, publish, shipped_of
from automl.study.reader import StudyRecord
from automl.study.record import RESULT
from automl.tasks.streams import STREAMS, read_stream

MOST_ROWS = 20_000  # of an uploaded file; the command line takes any number


def page() -> None:
    """The model of one study."""
    st.title(t("Model"))
    study = chosen_study()
    watch()
    if study is None:
        return
    result = study.facts.get(RESULT)
    if not result:
        st.info(why_no_result(study))
        return
    _what(study, result)
    _try(study)
    _export(study)


@guarded
def _what(study: StudyRecord, result: Mapping[str, Any]) -> None:
    places, winner = decimals(study), result["winner"]
    expected, tested = st.columns(2)
    score(expected, t("Expected on unseen data"), result["estimate"], places)
    score(tested, t("Test"), result["test"], places)
    st.markdown(f"**{t('Shipped')}**: {plain(result['shipped'])}")
    named = plain(", ".join(word for word in (f"{t('trial')} {winner['trial']}", winner["arm"]) if word))
    st.markdown(f"**{t('Winner')}**: {named}")
    st.code(result["model_dir"], language=None)
    rows = [(t("this model"), result["validation"], result["test"])]
    rows += [(name.replace("_", " "), one["validation"], one["test"]) for name, one in result["baselines"].items()]
    found = pd.DataFrame(
        [(name, value, one["value"], one["low"], one["high"]) for name, value, one in rows],
        columns=["what", "held out", "value", "low", "high"],
    )
    axis = t("test {metric}, 95 % interval", metric=metric_of(study))
    figure(charts.intervals(found, axis), "baselines", t("Beside the baselines"))
    table(found.rename(columns={"value": "test"}), "baselines", places=places)
    if result.get("by_label"):  # older studies have none
        st.subheader(t("By label, on the test rows"))
        each = pd.DataFrame.from_dict(result["by_label"], orient="index").rename_axis("label").reset_index()
        table(each, "by label", places=2)


@st.cache_resource(show_spinner=False, max_entries=2)
def _loaded(folder: str, written: float) -> Classifier:
    """One for all sessions, until the folder is written anew."""
    return load_classifier(Path(folder))


def _classifier(model: ShippedModel) -> Classifier:
    return _loaded(str(model.folder), (model.folder / "result.json").stat().st_mtime)


@guarded
def _try(study: StudyRecord) -> None:
    st.subheader(t("Try it"))
    model = shipped_of(study)
    with st.form("try"):
        text = st.text_area(t("A text"), key="text")
        asked = st.form_submit_button(t("Label it"))
    if asked and text.strip():
        classifier = _classifier(model)
        said = classifier.probabilities([text])[0]
        order = said.argsort()[::-1]
        st.markdown(f"**{plain(classifier.labels[order[0]])}** · {said[order[0]]:.0%}")
        shown = {"label": [classifier.labels[i] for i in order], "probability": said[order].astype(float)}
        table(pd.DataFrame(shown), "one text", places=2)
    suffixes = [suffix.removeprefix(".") for suffix in STREAMS]
    uploaded = st.file_uploader(t("Or a file with a text column, of which every row gets a label"), type=suffixes)
    if uploaded is not None:
        written = (model.folder / "result.json").stat().st_mtime
        table(_labelled(str(model.folder), written, uploaded.file_id, uploaded), "predictions", places=3)


@st.cache_data(show_spinner=False, max_entries=8)
def _labelled(folder: str, written: float, file: str, _uploaded: Any) -> pd.DataFrame:
    """An uploaded file with its labels, once: pages are drawn anew at every click."""
    with tempfile.TemporaryDirectory(prefix="automl-upload-") as scratch:
        path = Path(scratch) / f"upload{Path(_uploaded.name).suffix.lower()}"
        path.write_bytes(_uploaded.getvalue())
        try:
            rows = list(islice(read_stream(path), MOST_ROWS + 1))
        except UsageError as error:
            raise UsageError(str(error).replace(str(path), _uploaded.name)) from None
    if len(rows) > MOST_ROWS:
        raise UsageError(f"more than {MOST_ROWS} rows: label them with python -m automl.predict")
    with st.spinner(t("Labelling {count} rows", count=len(rows))):
        classifier = _loaded(folder, written)
        return pd.DataFrame([row for some in predictions(classifier, rows, None, _uploaded.name) for row in some])


@guarded
def _export(study: StudyRecord) -> None:
    st.subheader(t("Take it away"))
    model = shipped_of(study)
    to_folder, to_hub = st.tabs([t("To a folder"), t("To the Hugging Face Hub")])
    with to_folder, st.form("folder"):
        folder = st.text_input(t("Folder on the machine of this dashboard"), placeholder="exported/model")
        if st.form_submit_button(t("Export")) and folder:
            copy_to(model, Path(folder).expanduser())
            st.success(t("The model is in {place}", place=folder))
    with to_hub:
        _to_hub(model)
    with st.expander(t("The model card")):
        st.code(model.card(), language="markdown")
    with st.expander(t("The files")):
        sizes = [(str(name), (model.folder / name).stat().st_size / 1e6) for name in model.files]
        table(pd.DataFrame(sizes, columns=["file", "MB"]), "files", places=2)


@guarded
def _to_hub(model: ShippedModel) -> None:
    with st.form("hub", clear_on_submit=True):  # the token is gone from the page when it was used
        repository = st.text_input(t("Repository"), placeholder="USER/NAME")
        token = st.text_input(
            t("Token with write access"),
            type="password",
            autocomplete="off",
            help=t("Used once, and neither stored nor shown. Empty: that of `hf auth login` on this machine."),
        )
        private = st.checkbox(t("Private"), value=True)
        update = st.checkbox(t("Where the repository has files already, replace a model in it by a commit"))
        if st.form_submit_button(t("Push")) and repository:
            with st.spinner(t("Uploading")):
                address = publish(model, repository, private=private, update=update, token=token or None)
            st.success(t("The model is at {place}", place=address))


guarded(page)()
