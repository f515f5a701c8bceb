import pyarrow
import pytest
from datasets import ClassLabel, Dataset, DatasetDict, Features, Value
from pyarrow import parquet

from automl.errors import DataError
from automl.tasks import folders, sources


def files(folder, *names):
    for name in names:
        (folder / name).parent.mkdir(exist_ok=True)
        if name.endswith(".parquet"):
            parquet.write_table(pyarrow.table({"text": [name], "label": [1]}), folder / name)
        elif name.endswith(".jsonl"):
            (folder / name).write_text(f'{{"text": "{name}", "label": 1}}\n')
        else:
            (folder / name).write_text(f"text,label\n{name},1\n")
    return folder


def texts(splits):
    return {role: table.columns["text"] for role, table in splits.items()}


@pytest.mark.parametrize("name", ["validation.csv", "valid.jsonl", "val.csv", "dev.parquet", "Dev.csv"])
def test_split_files_of_any_form_stand_side_by_side(tmp_path, name):
    files(tmp_path, "train.csv", name, "test.jsonl", "notes.csv")
    assert texts(folders.load(tmp_path)) == {"train": ["train.csv"], "validation": [name], "test": ["test.jsonl"]}


def test_shards_are_joined_in_order_also_from_a_data_folder(tmp_path):
    shards = [f"data/train-{index:05d}-of-00003.parquet" for index in range(3)]
    files(tmp_path, *reversed(shards), "data/test-00000-of-00001.parquet")
    splits = folders.load(tmp_path)
    assert texts(splits) == {"train": shards, "test": ["data/test-00000-of-00001.parquet"]}
    assert splits["train"].origin.endswith("train-*-of-00003.parquet")


def test_one_file_is_train(tmp_path):
    files(tmp_path, "reviews.csv")
    assert texts(folders.load(tmp_path / "reviews.csv")) == {"train": ["reviews.csv"]}


@pytest.mark.parametrize(
    ("names", "said"),
    [
        (["train.csv", "train.jsonl"], "more than one train file"),
        (["train.csv", "dev.csv", "val.csv"], "more than one validation split"),
        (["train.csv", "train-00000-of-00001.csv"], "more than one train file"),
        (["train-00000-of-00003.csv", "train-00002-of-00003.csv"], "shards of train are missing"),
        (["test.csv"], "has test but no train file"),
        (["reviews.csv"], "no file called train .*it holds reviews.csv"),
    ],
)
def test_folders_that_do_not_say_what_is_what(tmp_path, names, said):
    with pytest.raises(DataError, match=said):
        folders.load(files(tmp_path, *names))


def test_shards_of_different_columns(tmp_path):
    files(tmp_path, "train-00000-of-00002.csv", "train-00001-of-00002.csv")
    (tmp_path / "train-00001-of-00002.csv").write_text("text,score\na,1\n")
    with pytest.raises(DataError, match="columns or labels differ"):
        folders.load(tmp_path)


FEATURES = Features({"text": Value("string"), "label": ClassLabel(names=["no", "yes"])})


def part(labels):
    return Dataset.from_dict({"text": [f"row {label}" for label in labels], "label": labels}, features=FEATURES)


def test_a_saved_dataset_dict_keeps_label_names_and_drops_hidden_labels(tmp_path, capfd):
    saved = {"train": part([1, 0]), "dev": part([0, 1]), "test": part([-1, -1]), "unsupervised": part([-1])}
    DatasetDict(saved).save_to_disk(tmp_path / "saved")
    capfd.readouterr()
    task = sources.load(str(tmp_path / "saved"))
    assert set(task.splits) == {"train", "validation"}
    assert task.splits["train"].columns["label"] == ["yes", "no"]
    assert task.splits["train"].label_names == ("no", "yes")
    assert capfd.readouterr() == ("", "")


def test_a_saved_dataset_is_train_in_the_order_of_its_rows(tmp_path):
    part([0, 1, 0]).select([1, 0]).save_to_disk(tmp_path / "saved")
    assert folders.load(tmp_path / "saved")["train"].columns["text"] == ["row 1", "row 0"]


def test_two_named_label_columns_both_become_names(tmp_path):
    features = Features({"coarse": ClassLabel(names=["a", "b"]), "fine": ClassLabel(names=["a1", "b1"])})
    Dataset.from_dict({"coarse": [0, 1], "fine": [1, 0]}, features=features).save_to_disk(tmp_path / "saved")
    table = folders.load(tmp_path / "saved")["train"]
    assert table.columns == {"coarse": ["a", "b"], "fine": ["b1", "a1"]}
    assert table.label_names is None


def test_a_damaged_saved_folder_is_named(tmp_path):
    part([0, 1]).save_to_disk(tmp_path / "saved")
    next((tmp_path / "saved").glob("*.arrow")).write_bytes(b"damaged")
    with pytest.raises(DataError, match=r"saved: the `datasets` library cannot read it"):
        folders.load(tmp_path / "saved")
