import csv
import io
import json

import pyarrow
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pyarrow import parquet

from automl.errors import DataError, TaskError
from automl.tasks.delimited import csv_columns, tsv_columns
from automl.tasks.readers import read_table

EXPECTED = {"text": ["good, really", 'a "bad" one'], "label": ["pos", "neg"]}
ROWS = [{"text": text, "label": label} for text, label in zip(*EXPECTED.values(), strict=True)]
CSV = 'text,label\n"good, really",pos\n"a ""bad"" one",neg\n'


def write(folder, name, content):
    path = folder / name
    path.write_bytes(content.encode() if isinstance(content, str) else content)
    return path


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("a.csv", CSV),
        ("a.CSV", CSV),
        ("crlf.csv", CSV.replace("\n", "\r\n")),
        ("blank-lines.csv", CSV.replace("\n", "\n\n")),
        ("excel.csv", 'text;label\n"good, really";pos\n"a ""bad"" one";neg\n'),
        ("a.tsv", 'text\tlabel\ngood, really\tpos\n"a ""bad"" one"\tneg\n'),
        ("unquoted.tsv", 'text\tlabel\ngood, really\tpos\na "bad" one\tneg\n'),
        ("a.json", json.dumps(ROWS)),
        ("columns.json", json.dumps(EXPECTED)),
        ("a.jsonl", "\n".join(map(json.dumps, ROWS)) + "\n\n"),
        ("utf8-mark.csv", CSV.encode("utf-8-sig")),
        ("utf8-mark.jsonl", "\n".join(map(json.dumps, ROWS)).encode("utf-8-sig")),
        ("utf16.csv", CSV.encode("utf-16")),
    ],
)
def test_every_form_gives_the_same_table(tmp_path, name, content):
    table = read_table(write(tmp_path, name, content))
    assert table.columns == EXPECTED
    assert table.origin.endswith(name)
    assert len(table) == 2


def test_parquet_keeps_types_and_ignores_folder_names(tmp_path):
    (tmp_path / "lang=en").mkdir()
    path = tmp_path / "lang=en" / "a.parquet"
    parquet.write_table(pyarrow.table({"text": ["a", None], "label": [1, 0]}), path)
    assert read_table(path).columns == {"text": ["a", None], "label": [1, 0]}


def test_label_names_in_parquet_take_the_place_of_numbers(tmp_path):
    features = {"text": {"dtype": "string", "_type": "Value"}, "label": {"names": ["no", "yes"], "_type": "ClassLabel"}}
    metadata = {"huggingface": json.dumps({"info": {"features": features}})}
    rows = pyarrow.table({"text": ["a", "b", "c"], "label": [1, 0, -1]}).replace_schema_metadata(metadata)
    parquet.write_table(rows, tmp_path / "a.parquet")
    table = read_table(tmp_path / "a.parquet")
    assert table.columns["label"] == ["yes", "no", None]
    assert table.label_names == ("no", "yes")


def test_json_keeps_types_and_fills_what_a_row_lacks(tmp_path):
    path = write(tmp_path, "a.jsonl", '{"text": "a\u2028b", "label": 1}\n{"text": "c", "score": 0.5}\n')
    assert read_table(path).columns == {"text": ["a\u2028b", "c"], "label": [1, None], "score": [None, 0.5]}


def test_cells_may_be_very_long_and_csvs_own_limit_is_put_back(tmp_path):
    csv.field_size_limit(131_072)
    for name, mark in (("a.csv", ","), ("a.tsv", "\t")):
        path = write(tmp_path, name, f"text{mark}label\n{'x' * 300_000}{mark}1\n")
        assert len(read_table(path).columns["text"][0]) == 300_000
    assert csv.field_size_limit() == 131_072


@pytest.mark.parametrize(
    ("name", "content", "said"),
    [
        ("empty.csv", "", "is empty"),
        ("empty.jsonl", "\n\n", "no rows"),
        ("header.csv", "text,label\n", "has a header but no rows"),
        ("none.json", "[]", "no rows"),
        (
            "latin.csv",
            "text,label\nfine,1\ncaf\xe9,0\n".encode("latin-1"),
            r"not UTF-8 \(byte 0xe9 at offset 21, line 3\)",
        ),
        ("utf16-without-mark.csv", CSV.encode("utf-16-le"), "NUL.*save it as UTF-8"),
        ("ragged.csv", 'text,label\n"two\nlines",1\na,b,c\n', "line 4: field count 3, .*header's is 2"),
        ("short.csv", "text,label\na\n", "line 2: field count 1"),
        ("ragged.tsv", "text\tlabel\na\tb\tc\n", "line 2: field count 3"),
        ("open.csv", 'text,label\na,1\n"never closed,1\nb,2\n', "line 3: a quotation mark is never closed"),
        ("twice.csv", "text,label, text\na,1,b\n", "more than one column is called 'text'"),
        ("broken.jsonl", '{"text": "a"}\n{"text": \n', "line 2: is not JSON"),
        ("lists.jsonl", '{"text": "a"}\n["b"]\n', r'line 2: found list \["b"\]'),
        ("broken.json", '[{"text": ', "is not JSON"),
        ("lines.json", '{"text": "a"}\n{"text": "b"}\n', "use the suffix .jsonl"),
        ("shape.json", '{"text": {"0": "a"}}', "list of objects.*found dict"),
        ("unequal.json", '{"text": ["a", "b"], "label": [1]}', "unequal length.*'text' 2, 'label' 1"),
        ("not.parquet", "text", "is not readable Parquet"),
        ("book.xlsx", "text", r"suffix '.xlsx'; allowed are .csv, .tsv, .json, .jsonl, .parquet"),
    ],
)
def test_what_cannot_be_read_is_named_with_its_place(tmp_path, name, content, said):
    with pytest.raises(DataError, match=said) as caught:
        read_table(write(tmp_path, name, content))
    assert str(caught.value).startswith(str(tmp_path / name))
    assert "\n" not in str(caught.value)


def test_a_missing_file_is_a_task_error(tmp_path):
    with pytest.raises(TaskError, match="no such file"):
        read_table(tmp_path / "absent.csv")


def test_two_parquet_columns_of_one_name(tmp_path):
    rows = pyarrow.Table.from_arrays([pyarrow.array(["a"]), pyarrow.array(["b"])], names=["text", "text"])
    parquet.write_table(rows, tmp_path / "a.parquet")
    with pytest.raises(DataError, match="more than one column is called 'text'"):
        read_table(tmp_path / "a.parquet")


def test_unclosed_quotes_in_a_tsv_do_not_swallow_the_rows_between_them():
    text = 'text\tlabel\n"It begins\t1\nand goes on\t0\nit ends"\t1\n'
    assert tsv_columns(text, "x") == {"text": ['"It begins', "and goes on", 'it ends"'], "label": ["1", "0", "1"]}


CELLS = st.text(st.characters(exclude_categories=("Cs",), exclude_characters="\0"))


def written(rows, delimiter):
    out = io.StringIO(newline="")
    csv.writer(out, delimiter=delimiter).writerows([("text", "label"), *rows])
    return out.getvalue()


def columns(rows):
    return {"text": [text for text, _ in rows], "label": [label for _, label in rows]}


@given(st.lists(st.tuples(CELLS, CELLS)))
def test_any_csv_that_python_writes_comes_back(rows):
    assert csv_columns(written(rows, ","), "x") == columns(rows)


@given(st.lists(st.tuples(CELLS, CELLS).map(lambda row: tuple(cell.replace("\t", " ") for cell in row))))
def test_any_tsv_that_python_writes_comes_back(rows):
    assert tsv_columns(written(rows, "\t"), "x") == columns(rows)
