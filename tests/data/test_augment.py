"""Augmentations: as many copies as texts, seeded, bounded, and nothing touched that they do not understand."""

from __future__ import annotations

import json
import os
import pickle
import struct
import subprocess
import sys
from collections import Counter
from collections.abc import Iterator
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from automl.data.augment import AUGMENTATIONS, Resources, check, make_copies, thesaurus
from automl.data.augment.inflection import with_s, without_s
from automl.data.augment.pickled_hash import MAGIC, lists_of_strings, records
from automl.data.augment.random_edits import random_edits
from automl.data.augment.sentence_order import sentence_order, split_sentences
from automl.data.augment.synonyms import replace_synonyms
from automl.data.augment.typos import typos
from automl.data.augment.words import find_words, share_of
from automl.errors import OutputError, UsageError

TEXTS = [
    "the film was good , a fine story .",
    "A dull plot. Nobody laughs!",
    "ok",
    "",
    "这部电影很好看。我喜欢\uff01",
    "👍👍",
]
texts_strategy = st.lists(st.text(max_size=60) | st.lists(st.text("abcdé你.! ", max_size=8)).map(" ".join), max_size=4)


def lookup(word: str) -> list[str]:
    """A thesaurus of six words."""
    known = {"film": ["movie", "picture"], "good": ["fine", "decent"], "story": ["tale"], "dull": ["boring"]}
    return known.get(word, [])


ALTER = {
    "random_edits": lambda texts, rng: random_edits(texts, lookup, rng),
    "synonyms": lambda texts, rng: replace_synonyms(texts, lookup, rng),
    "typos": typos,
    "sentence_order": sentence_order,
}


def rng(seed: int = 0) -> np.random.Generator:
    return np.random.default_rng(seed)


def changed_words(text: str, copy: str) -> int:
    old, new = text.split(), copy.split()
    assert len(old) == len(new)
    return sum(one != other for one, other in zip(old, new, strict=True))


@pytest.mark.parametrize("name", ALTER)
@settings(max_examples=60, deadline=None)
@given(texts=texts_strategy, seed=st.integers(0, 99))
def test_copies_are_as_many_as_texts_seeded_and_never_empty(name: str, texts: list[str], seed: int) -> None:
    copies = ALTER[name](texts, rng(seed))
    assert copies == ALTER[name](texts, rng(seed))
    assert [bool(copy.strip()) for copy in copies] == [bool(text.strip()) for text in texts]


@pytest.mark.parametrize("name", ALTER)
def test_other_seeds_give_other_copies(name: str) -> None:
    text = "A good film. The story is dull, I think. Nobody laughs! Why would they?"
    assert len({ALTER[name]([text], rng(seed))[0] for seed in range(20)} - {text}) > 5


@settings(max_examples=60, deadline=None)
@given(texts_strategy, st.integers(0, 99))
def test_few_words_change(texts: list[str], seed: int) -> None:
    for text, copy in zip(texts, typos(texts, rng(seed)), strict=True):
        assert changed_words(text, copy) <= share_of(len(find_words(text)), 0.1)
    for text, copy in zip(texts, replace_synonyms(texts, lambda word: ["other"], rng(seed)), strict=True):
        assert changed_words(text, copy) <= share_of(len(find_words(text)), 0.15)
    for text, copy in zip(texts, random_edits(texts, lookup, rng(seed)), strict=True):
        assert abs(len(copy.split()) - len(text.split())) <= share_of(len(text.split()), 0.1)


@pytest.mark.parametrize("name", ["typos", "synonyms"])
@pytest.mark.parametrize(
    "text",
    ["这部电影很好看", "فيلم رائع جدا", "👍👍 🎬", "1930 4/5 :-)", "@goodfilm #goodfilm www.goodfilm.org/dull <good/>"],
)
def test_what_is_not_understood_stays(name: str, text: str) -> None:
    assert ALTER[name]([text] * 5, rng()) == [text] * 5


def test_random_edits_swap_drop_and_insert() -> None:
    text = "one two film four five"
    copies = random_edits([text] * 200, lookup, rng())
    assert Counter(len(copy.split()) for copy in copies).keys() == {4, 5, 6}
    inserted = {word for copy in copies for word in copy.split()} - set(text.split())
    assert inserted == {"movie", "picture"}  # synonyms of the only word that has any
    without = random_edits([text] * 200, lambda word: [], rng())
    assert {word for copy in without for word in copy.split()} == set(text.split())
    assert any(sorted(copy.split()) == sorted(text.split()) and copy != text for copy in copies)


def test_synonyms_keep_case_names_and_the_rest_of_the_text() -> None:
    text = '"Film  of the Story":\ta GOOD,  well-made film (1999)'
    copies = set(replace_synonyms([text] * 50, lookup, rng()))
    expected = [("Movie", "film"), ("Picture", "film"), ("Film", "movie"), ("Film", "picture")]
    assert copies == {f'"{first}  of the Story":\ta GOOD,  well-made {last} (1999)' for first, last in expected}
    assert replace_synonyms(["GOOD"], lambda word: ["fine"], rng()) == ["FINE"]


def test_stop_words_have_no_synonyms() -> None:
    assert replace_synonyms(["it is not for us"], lambda word: ["other"], rng()) == ["it is not for us"]


def test_a_typo_is_one_slip_of_the_fingers() -> None:
    kinds = Counter()
    for copy in typos(["Wonderful"] * 300, rng()):
        assert copy != "Wonderful"
        assert copy[0] == "W"
        kinds[len(copy) - 9, sorted(copy) == sorted("Wonderful")] += 1
    assert set(kinds) == {(-1, False), (0, False), (0, True), (1, False)}  # dropped, beside it, swapped, doubled
    assert min(kinds.values()) > 40
    beside = {copy[1] for copy in typos(["Wooo"] * 300, rng()) if len(copy) == 4} - {"o"}
    assert beside == set("ipkl")


def test_sentences_are_shuffled_whole() -> None:
    text = 'Dr. Who came. He said "No!" loudly... and left.\n这部电影很好看。我喜欢\uff01Why? 3.5 stars'
    sentences, spaces = split_sentences(text)
    assert sentences == [
        "Dr. Who came.",
        'He said "No!"',
        "loudly... and left.",
        "这部电影很好看。",
        "我喜欢\uff01",
        "Why?",
        "3.5 stars",
    ]
    assert "".join(s + space for s, space in zip(sentences, spaces, strict=True)) == text
    (copy,) = sentence_order([text], rng())
    assert copy != text
    assert all(sentence in copy for sentence in sentences)
    assert Counter(copy) == Counter(text)
    assert sentence_order(["One . Two ."] * 5, rng()) == ["Two . One ."] * 5


@pytest.mark.parametrize(
    "text",
    [
        "one sentence .",
        "well . . .",
        "no stop",
        "i say ... so what",
        "U.S. films",
        "later , e.t. is good .",
        "gangster no. 1 is solid",
        "好看。。。",
        "?!",
    ],
)
def test_a_single_sentence_stays(text: str) -> None:
    assert sentence_order([text], rng()) == [text]


@given(st.text("ab .!?。\n…\"')", max_size=40))
def test_splitting_loses_nothing(text: str) -> None:
    sentences, spaces = split_sentences(text)
    assert "".join(s + space for s, space in zip(sentences, spaces, strict=True)) == text


@pytest.mark.parametrize(
    ("one", "many"), [("movie", "movies"), ("story", "stories"), ("glass", "glasses"), ("box", "boxes")]
)
def test_the_ending_s(one: str, many: str) -> None:
    assert with_s(one) == many
    assert one in without_s(many)


@pytest.mark.parametrize("word", ["woman", "child", "knife", "series"])
def test_irregular_plurals_are_not_made(word: str) -> None:
    assert with_s(word) is None


# The thesaurus file


@given(
    st.dictionaries(st.text(max_size=300), st.lists(st.text(max_size=300), max_size=5), min_size=1),
    st.sampled_from([4, 5]),
)
def test_pickled_lists_are_read_without_unpickling(record: dict[str, list[str]], protocol: int) -> None:
    assert lists_of_strings(pickle.dumps(record, protocol)) == record


class Bomb:
    def __reduce__(self) -> tuple[object, ...]:
        return Path.touch, (Path("exploded"),)


@pytest.mark.parametrize("content", [Bomb(), {"noun": Bomb()}, [], ["a"], {"noun": ["a", 1]}])
def test_a_pickle_of_anything_else_is_refused(content: object, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(ValueError, match="opcode"):
        lists_of_strings(pickle.dumps(content, 4))
    assert not Path("exploded").exists()


def hash_file(pairs: dict[bytes, bytes], order: str = "<", page_size: int = 512) -> bytes:
    """One page of records behind the header, as the C library lays them out."""
    offsets, body = [], b""
    for key, value in pairs.items():
        body = value + key + body
        offsets += [page_size - len(body) + len(value), page_size - len(body)]
    start = struct.pack(f"{order}{len(offsets) + 1}H", len(offsets), *offsets)
    header = struct.pack(">4I", MAGIC, 2, 1234 if order == "<" else 4321, page_size)
    page = start + bytes(page_size - len(start) - len(body)) + body
    return header + bytes(page_size - len(header)) + page + struct.pack(f"{order}H", 7) + bytes(page_size - 2)


@pytest.mark.parametrize("order", ["<", ">"])
def test_records_are_found_on_their_pages(order: str) -> None:
    pairs = {b"film": b"a value", b"story": b"", b"x": b"another"}
    assert dict(records(hash_file(pairs, order))) == pairs


@pytest.mark.parametrize("raw", [b"", b"SQLite format 3\0" + bytes(100), hash_file({b"a": b"b"})[:-1]])
def test_another_file_is_refused(raw: bytes) -> None:
    with pytest.raises(ValueError, match="hash file"):
        list(records(raw))


@pytest.mark.skipif(not find_spec("synnamon"), reason="synnamon is not installed")
def test_synnamons_file_is_read() -> None:
    synonyms = thesaurus.from_synnamon()
    assert {"film", "picture"} <= set(synonyms("movie"))
    assert synonyms("tedious")[0] in {"boring", "tiresome", "wearisome", "irksome", "deadening"}
    assert synonyms("feel") == synonyms("cast") == []  # nouns and verbs alike
    assert synonyms("small") == []  # of many senses
    assert synonyms("qwertz") == synonyms("") == []


@pytest.mark.slow
@pytest.mark.skipif(not find_spec("nltk"), reason="nltk is not installed")
def test_wordnet_is_read_where_its_corpus_is(tmp_path: Path) -> None:
    """A corpus of two senses of film, the second one rare; in another process, because nltk keeps what it has found."""
    folder = tmp_path / "corpora" / "wordnet"
    folder.mkdir(parents=True)
    first = "00000000 10 n 02 film 0 movie 0 000 | what is shown in cinemas\n"
    second = f"{len(first):08} 10 n 02 film 1 coating 1 000 | a thin layer\n"
    files = {
        "data.noun": first + second,
        "index.noun": f"film n 2 0 2 1 00000000 {len(first):08}\nmovie n 1 0 1 1 00000000\n",
        "cntlist.rev": "aaa%1:10:00:: 1 1\n" * 9 + "film%1:10:00:: 1 38\nmovie%1:10:00:: 1 26\n",
        "lexnames": "".join(f"{number:02}\tname{number}\t1\n" for number in range(45)),
    }
    names = [f"{kind}.{part}" for kind in ("data", "index") for part in ("noun", "verb", "adj", "adv")]
    for name in [*names, *(f"{part}.exc" for part in ("noun", "verb", "adj", "adv")), "index.sense", *files]:
        (folder / name).write_text(files.get(name, ""))
    code = (
        "from automl.data.augment import thesaurus; lookup = thesaurus.load();"
        "print(thesaurus.identity()[:7], lookup('film'), lookup('films'), lookup('qwertz'))"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], env=os.environ | {"NLTK_DATA": str(tmp_path)}, capture_output=True, text=True
    )
    assert done.stdout.strip() == "wordnet ['movie'] ['movies'] []", done.stderr


@pytest.fixture
def no_thesaurus(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    for package in ("nltk", "synnamon"):
        monkeypatch.setitem(sys.modules, package, None)
    thesaurus.load.cache_clear()
    yield
    thesaurus.load.cache_clear()


@pytest.mark.usefixtures("no_thesaurus")
def test_synonyms_without_a_thesaurus_name_the_extra(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"no thesaurus is installed.*automl-search\[augment\]"):
        check("synonyms", Resources())
    with pytest.raises(UsageError, match="no thesaurus is installed"):
        make_copies(TEXTS, "synonyms", 1, 0, Resources(), tmp_path)
    copies = make_copies(["one two three four"], "random_edits", 4, 0, Resources(), tmp_path)
    assert set(" ".join(copy for (copy,) in copies).split()) <= {"one", "two", "three", "four"}


@pytest.mark.parametrize("name", ["masked_words", "back_translation"])
def test_a_missing_model_is_named(name: str) -> None:
    with pytest.raises(UsageError, match=rf"augmentation {name}: no .* given; "):
        check(name, Resources())


# Copies on disk


def test_copies_are_made_once_and_read_again(tmp_path: Path) -> None:
    first = make_copies(TEXTS, "typos", 1, 0, Resources(), tmp_path)
    (file,) = tmp_path.iterdir()
    lines = file.read_text().splitlines()
    assert [json.loads(line) for line in lines] == first[0]
    file.write_text("\n".join(['"from disk"', *lines[1:]]))
    again = make_copies(TEXTS, "typos", 3, 0, Resources(), tmp_path)
    assert again[0] == ["from disk", *first[0][1:]]
    assert again[1] != again[2]
    assert [len(copy) for copy in again] == [len(TEXTS)] * 3
    assert len(list(tmp_path.iterdir())) == 3


@pytest.mark.parametrize("damage", ["", '"cut', '"one"\n', "1\n" * len(TEXTS)])
def test_a_damaged_file_is_made_again(tmp_path: Path, damage: str) -> None:
    first = make_copies(TEXTS, "typos", 1, 0, Resources(), tmp_path)
    (file,) = tmp_path.iterdir()
    file.write_text(damage)
    assert make_copies(TEXTS, "typos", 1, 0, Resources(), tmp_path) == first
    assert [path.name for path in tmp_path.iterdir()] == [file.name]


def test_another_seed_method_or_text_has_another_file(tmp_path: Path) -> None:
    make_copies(TEXTS, "typos", 1, 0, Resources(), tmp_path)
    make_copies(TEXTS, "typos", 1, 1, Resources(), tmp_path)
    make_copies(TEXTS[::-1], "typos", 1, 0, Resources(), tmp_path)
    make_copies(TEXTS, "sentence_order", 1, 0, Resources(), tmp_path)
    assert len(list(tmp_path.iterdir())) == 4


def test_odd_characters_come_back_from_disk(tmp_path: Path) -> None:
    texts = ["a\u2028b\x85c\nd\r\x00", "\ud800 alone", "你好 👍"]
    first = make_copies(texts, "sentence_order", 1, 0, Resources(), tmp_path)
    assert make_copies(texts, "sentence_order", 1, 0, Resources(), tmp_path) == first


def test_a_folder_that_cannot_be_written_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(OutputError, match="file: copies of training texts cannot be kept there"):
        make_copies(TEXTS, "typos", 1, 0, Resources(), tmp_path / "file")


@pytest.mark.slow
def test_another_process_makes_the_same_copies(tmp_path: Path) -> None:
    names = [name for name in ("random_edits", "synonyms") if name == "random_edits" or thesaurus.identity()]
    code = (
        "import sys, pathlib; from automl.data.augment import *\n"
        f"for name in {names}: print(make_copies({TEXTS}, name, 2, 0, Resources(), pathlib.Path(sys.argv[1])))"
    )
    env = os.environ | {"PYTHONHASHSEED": "1", "PYTHONIOENCODING": "utf-8"}
    done = subprocess.run([sys.executable, "-c", code, str(tmp_path / "a")], env=env, capture_output=True, check=True)
    here = [str(make_copies(TEXTS, name, 2, 0, Resources(), tmp_path / "b")) for name in names]
    assert done.stdout.decode().splitlines() == here


def test_every_augmentation_a_trial_can_name_is_there() -> None:
    from automl.params import Params

    choices = Params.model_json_schema()["properties"]["augmentation"]["enum"]
    assert set(AUGMENTATIONS) == set(choices) - {"none"}
