"""A search space is read whole, refused with every problem and its line, and handed to Optuna as it was written."""

import json
import re
import subprocess
import sys
import tempfile
import warnings
from pathlib import Path
from typing import Literal, get_args, get_origin

import optuna
import pytest
from annotated_types import Ge, Gt, Le, Lt
from hypothesis import given, settings
from hypothesis import strategies as st
from optuna.distributions import CategoricalDistribution, FloatDistribution, IntDistribution

from automl.errors import SpaceError
from automl.params import Params
from automl.spaces import GRAMMAR, load_space, presets
from tests.properties.test_spaces_properties import specs

README = Path(__file__).parents[1] / "search_spaces" / "README.md"
FLOAT = "learning_rate: {type: float, low: 1.0e-5, high: 1.0e-3}"
CONDITIONAL = """\
name: mine
params:
  weight_decay: 0.1
  warmup_ratio: {type: float, low: 0.0, high: 0.2}
techniques:
  head:
    description: cheap
    params:
      technique: features
      pooling: {type: categorical, choices: [mean, cls]}
    recipes:
      - {pooling: cls}
      - {pooling: mean, warmup_ratio: 0.1}
  full:
    params:
      frozen_layers: {type: layers, low: 0.0, high: 0.5, default: 0.25}
      num_train_epochs: {type: int, low: 2, high: 11, step: 3}
      learning_rate: {type: float, low: 1.0e-4, high: 1.0e-2, log: true}
      lora_r: {type: int, low: 2, high: 50, log: true}
    recipes:
      - {frozen_layers: 0.5, warmup_ratio: 0}
"""


@pytest.fixture
def space_file(tmp_path):
    """Writes text as a space file; the path as `load_space` takes it."""

    def write(content):
        path = tmp_path / "mine.yaml"
        path.write_bytes(content if isinstance(content, bytes) else content.encode())
        return str(path)

    return write


def with_params(*lines):
    return "\n".join(["name: mine", "params:", *(f"  {line}" for line in lines)]) + "\n"


def problems(path):
    """(line, problem) for each line of the error; every line must carry the file."""
    with pytest.raises(SpaceError) as caught:
        load_space(path)
    found = [re.fullmatch(re.escape(path) + r":(\d+): (.+)", line) for line in str(caught.value).split("\n")]
    assert all(found), caught.value
    return [(int(match[1]), match[2]) for match in found]


def write_space(folder, text):
    path = Path(folder) / "mine.yaml"
    path.write_text(text)
    return load_space(str(path))


def over(space, depth=6):
    """For one encoder."""
    return space.over({"tiny": depth})


def tpe(seed=0):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", optuna.exceptions.ExperimentalWarning)  # of `group`, when it is made
        return optuna.samplers.TPESampler(seed=seed, n_startup_trials=5, multivariate=True, group=True)


@pytest.fixture
def quiet_optuna():
    before = optuna.logging.get_verbosity()
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    yield
    optuna.logging.set_verbosity(before)


def test_each_arm_has_the_shared_params_and_its_own_under_its_name(tmp_path):
    written = write_space(tmp_path, CONDITIONAL)
    space = over(written)
    shared = {"arm": CategoricalDistribution(("head", "full")), "warmup_ratio": FloatDistribution(0.0, 0.2)}
    assert space.distributions("head") == shared | {"head.pooling": CategoricalDistribution(("mean", "cls"))}
    assert space.distributions("full") == shared | {
        "full.frozen_layers": IntDistribution(0, 3),
        "full.num_train_epochs": IntDistribution(2, 11, step=3),
        "full.learning_rate": FloatDistribution(1e-4, 1e-2, log=True),
        "full.lora_r": IntDistribution(2, 50, log=True),
    }
    assert [param.name for param in space.entries("head")] == ["weight_decay", "warmup_ratio", "technique", "pooling"]
    assert [(arm.name, arm.description) for arm in written.arms] == [("head", "cheap"), ("full", "")]


def test_recipes_are_complete_defaults_first_and_cheap_first(tmp_path):
    middle = {"full.num_train_epochs": 5, "full.learning_rate": pytest.approx(1e-3), "full.lora_r": 10}
    assert over(write_space(tmp_path, CONDITIONAL)).recipes() == [
        {"arm": "head", "warmup_ratio": 0.1, "head.pooling": "mean"},  # the recipe that repeats it is left out
        {"arm": "full", "warmup_ratio": 0.1, "full.frozen_layers": 1, **middle},
        {"arm": "head", "warmup_ratio": 0.1, "head.pooling": "cls"},
        {"arm": "full", "warmup_ratio": 0.0, "full.frozen_layers": 3, **middle},
    ]


def test_params_are_those_of_the_chosen_arm_by_their_plain_names(tmp_path):
    space = over(write_space(tmp_path, CONDITIONAL))
    head, full, *_ = space.recipes()
    fixed = {"weight_decay": 0.1, "warmup_ratio": 0.1}
    assert space.arm_of(head) == "head"
    assert space.params(head) == fixed | {"technique": "features", "pooling": "mean"}
    rest = {"frozen_layers": 1, "num_train_epochs": 5, "learning_rate": pytest.approx(1e-3), "lora_r": 10}
    assert space.arm_of(full) == "full"
    assert space.params(full) == fixed | rest


def test_a_flat_space_is_one_arm_without_a_name(tmp_path):
    text = with_params(FLOAT, "weight_decay: 0.1") + "recipes: [{learning_rate: 2e-4}, {learning_rate: 1.0e-5}]\n"
    space = over(write_space(tmp_path, text))
    assert [arm.name for arm in space.arms] == [""]
    assert space.distributions("") == {"learning_rate": FloatDistribution(1e-5, 1e-3)}
    assert space.recipes() == [
        {"learning_rate": pytest.approx(5.05e-4)},
        *[{"learning_rate": x} for x in (2e-4, 1e-5)],
    ]
    assert space.arm_of({"learning_rate": 3e-4}) == ""
    assert space.params({"learning_rate": 3e-4}) == {"learning_rate": 3e-4, "weight_decay": 0.1}


def test_a_single_technique_leaves_nothing_to_choose(tmp_path):
    space = over(write_space(tmp_path, f"name: x\ntechniques:\n  one:\n    params:\n      {FLOAT}\n"))
    assert space.recipes() == [{"one.learning_rate": pytest.approx(5.05e-4)}]
    assert set(space.distributions("one")) == {"one.learning_rate"}
    assert space.arm_of({"one.learning_rate": 1e-4}) == "one"
    assert space.params({"one.learning_rate": 1e-4}) == {"learning_rate": 1e-4}


def test_default_preset_starts_from_recipes_that_do_well():
    space = over(load_space("default"), 12)
    assert [arm.name for arm in space.arms] == ["frozen_head", "partly_frozen", "contrastive", "lora", "full"]
    recipes = [Params(**space.params(recipe)) for recipe in space.recipes()]
    assert recipes[0] == Params(
        technique="features", feature_source="all", logistic_regression_c=0.03, lr_scheduler_type="cosine"
    )
    full = Params(
        learning_rate=2e-4,
        layerwise_lr_decay=0.8,
        per_device_train_batch_size=16,
        num_train_epochs=4,
        min_steps=100,
        lr_scheduler_type="cosine",
    )
    assert recipes[4] == full
    assert full.model_copy(update={"learning_rate": 1e-4, "layerwise_lr_decay": 0.9, "num_train_epochs": 5}) in recipes
    partly_frozen = space.distributions("partly_frozen")["partly_frozen.frozen_layers"]
    assert partly_frozen == IntDistribution(4, 8)  # a third to two thirds


def test_every_param_has_a_place_in_a_preset():
    named = {param.name for preset in presets() for param in every_param(load_space(preset))}
    assert named == set(Params.model_fields)


def every_param(space):
    space = over(space)
    return [param for arm in space.arms for param in space.entries(arm.name)]


@pytest.mark.parametrize("name", presets())
def test_a_study_over_a_preset_only_gives_what_params_takes(name, quiet_optuna):
    space, seen = over(load_space(name)), set()
    study = optuna.create_study(sampler=tpe(), direction="maximize")
    recipes = space.recipes()
    for recipe in recipes:
        study.enqueue_trial(recipe)
    for number in range(40):
        trial = study.ask()
        space.suggest(trial)
        if number < len(recipes):
            assert trial.params == recipes[number]
        params = Params.model_validate(space.params(trial.params), strict=True)
        assert trial.distributions == space.distributions(space.arm_of(trial.params))
        seen.add(space.arm_of(trial.params))
        study.tell(trial, params.learning_rate * number)
    assert seen == {arm.name for arm in space.arms}


def test_a_technique_is_left_out_below_its_rows(tmp_path):
    text = "name: x\ntechniques:\n  a: {params: {optim: adamw}}\n"
    space = write_space(tmp_path, f"{text}  b: {{min_rows: 300, params: {{{FLOAT}}}}}\n")
    alone = write_space(tmp_path, text)
    assert [arm.name for arm in space.for_rows(299).arms] == ["a"]
    assert [arm.name for arm in space.for_rows(300).arms] == ["a", "b"]
    assert space.for_rows(299).digest == alone.digest, "what is searched is the same"
    assert space.for_rows(300).digest == space.digest != alone.digest


def test_two_arms_may_give_one_param_different_choices_and_bounds_in_a_database(tmp_path, quiet_optuna):
    one, other = (
        f"    params:\n      augmentation: {{type: categorical, choices: [{choices}]}}\n"
        f"      num_train_epochs: {{type: int, low: 2, high: 4, {scale}}}\n"
        for choices, scale in (("none, typos", "log: true"), ("typos, random_edits, synonyms", "step: 2"))
    )
    space = over(write_space(tmp_path, f"name: x\ntechniques:\n  a:\n{one}  b:\n{other}"))
    storage = optuna.storages.RDBStorage(f"sqlite:///{tmp_path / 'studies.db'}")
    study = optuna.create_study(storage=storage, sampler=tpe())
    for number in range(12):
        trial = study.ask()
        space.suggest(trial)
        study.tell(trial, number)
    stored = optuna.load_study(study_name=study.study_name, storage=storage).trials
    assert {space.arm_of(trial.params) for trial in stored} == {"a", "b"}
    for trial in stored:
        arm = space.arm_of(trial.params)
        assert trial.distributions == space.distributions(arm)
        assert space.params(trial.params)["augmentation"] in space.distributions(arm)[f"{arm}.augmentation"].choices
    storage.remove_session()
    storage.engine.dispose()


def test_with_several_encoders_each_has_every_arm_with_bounds_of_its_own(tmp_path):
    space = write_space(tmp_path, CONDITIONAL).over({"small": 6, "big": 12})
    names = ("small/head", "big/head", "small/full", "big/full")
    assert tuple(arm.name for arm in space.arms) == names
    head = {"big/head.warmup_ratio": FloatDistribution(0.0, 0.2)}
    head |= {"arm": CategoricalDistribution(names), "big/head.pooling": CategoricalDistribution(("mean", "cls"))}
    assert space.distributions("big/head") == head
    for arm, layers in (("small/full", 3), ("big/full", 6)):
        assert space.distributions(arm)[f"{arm}.frozen_layers"] == IntDistribution(0, layers)


def test_with_several_encoders_cheap_arms_of_all_are_tried_first(tmp_path):
    space = write_space(tmp_path, CONDITIONAL).over({"small": 6, "big": 12})
    recipes = space.recipes()
    order = ["small/head", "big/head", "small/full", "big/full"]
    assert [space.arm_of(recipe) for recipe in recipes] == order * 2
    assert [space.model_of(recipe) for recipe in recipes] == ["small", "big"] * 4
    assert [space.params(recipe).get("frozen_layers") for recipe in recipes] == [None, None, 1, 3, None, None, 3, 6]
    alone = [over(write_space(tmp_path, CONDITIONAL), depth) for depth in (6, 12)]
    assert [space.params(recipe) for recipe in recipes[::2]] == [alone[0].params(one) for one in alone[0].recipes()]
    assert [space.params(recipe) for recipe in recipes[1::2]] == [alone[1].params(one) for one in alone[1].recipes()]


def test_a_flat_space_over_several_encoders_chooses_between_these(tmp_path):
    space = write_space(tmp_path, with_params(FLOAT, "weight_decay: 0.1")).over({"small": 6, "big": 12})
    small, big = space.recipes()
    assert small == {"arm": "small", "small.learning_rate": pytest.approx(5.05e-4)}
    assert (space.arm_of(big), space.model_of(big)) == ("big", "big")
    assert space.params(big) == {"learning_rate": pytest.approx(5.05e-4), "weight_decay": 0.1}


def test_one_encoder_needs_no_choice_and_gives_its_name_to_nothing(tmp_path):
    space = write_space(tmp_path, CONDITIONAL).over({"small": 6})
    assert not any("small" in str(recipe) for recipe in space.recipes())
    assert {space.model_of(recipe) for recipe in space.recipes()} == {"small"}


def test_several_encoders_have_one_study_in_a_database(tmp_path, quiet_optuna):
    space = write_space(tmp_path, CONDITIONAL).over({"small": 6, "BAAI/bge-small-en-v1.5": 12})
    storage = optuna.storages.RDBStorage(f"sqlite:///{tmp_path / 'studies.db'}")
    study = optuna.create_study(storage=storage, sampler=tpe())
    recipes = space.recipes()
    for recipe in recipes:
        study.enqueue_trial(recipe)
    for number in range(len(recipes) + 4):
        trial = study.ask()
        space.suggest(trial)
        Params.model_validate(space.params(trial.params), strict=True)
        study.tell(trial, number)
    stored = optuna.load_study(study_name=study.study_name, storage=storage).trials
    assert [trial.params for trial in stored][: len(recipes)] == recipes
    for trial in stored:
        assert trial.distributions == space.distributions(space.arm_of(trial.params))
    assert {space.model_of(trial.params) for trial in stored[len(recipes) :]} == {"small", "BAAI/bge-small-en-v1.5"}
    storage.remove_session()
    storage.engine.dispose()


def test_a_number_that_may_be_left_to_the_model_can_be_searched(space_file):
    line = "hidden_dropout_prob: {type: float, low: 0.0, high: 0.3}"
    space = over(load_space(space_file(with_params(line))))
    assert space.distributions("") == {"hidden_dropout_prob": FloatDistribution(0.0, 0.3)}
    assert Params().hidden_dropout_prob is None


def test_the_largest_value_of_a_whole_number_in_any_arm(tmp_path):
    text = with_params("augmentation_copies: {type: int, low: 1, high: 3}", "lora_r: 4") + (
        "techniques:\n"
        "  a: {params: {num_virtual_tokens: {type: categorical, choices: [20, 4]}, knn_neighbors: 3}}\n"
        "  b: {params: {num_virtual_tokens: 8, knn_neighbors: {type: int, low: 1, high: 2}}}\n"
        "  c: {params: {technique: lora}}\n"
    )
    found = write_space(tmp_path, text)
    assert found.largest("augmentation_copies", default=1) == 3
    assert found.largest("lora_r", default=8) == 4
    assert found.largest("num_virtual_tokens", default=16) == 20
    assert found.largest("knn_neighbors", default=8) == 8  # what the third arm trains with
    assert found.largest("max_steps", default=7) == 7


def test_the_values_of_a_param_in_any_arm(tmp_path):
    text = (
        "name: x\ntechniques:\n"
        "  a: {params: {augmentation: {type: categorical, choices: [none, typos]}, technique: lora, lora_r: 4}}\n"
        "  b: {params: {augmentation: {type: categorical, choices: [typos, random_edits]}, technique: features}}\n"
        "  c: {params: {technique: lora, mixout: {type: float, low: 0.1, high: 0.2, default: 0.1}}}\n"
    )
    found = write_space(tmp_path, text)
    assert found.values("augmentation") == ("none", "typos", "random_edits")
    assert found.values("technique") == ("lora", "features")
    assert found.values("mixout") == found.values("starting_weights") == ()


@pytest.mark.parametrize("name", presets())
def test_every_preset_is_valid_and_named_after_its_file(name):
    space = load_space(name)
    assert space.name == name
    assert space.description
    assert all(arm.description for arm in space.arms if arm.name)
    for bound in [over(space, depth) for depth in (0, 1, 6, 12, 24)]:
        for recipe in bound.recipes():
            distributions = bound.distributions(bound.arm_of(recipe))
            assert list(recipe) == list(distributions)
            for param, value in recipe.items():
                assert distributions[param]._contains(distributions[param].to_internal_repr(value)), param
            Params.model_validate(bound.params(recipe), strict=True)


def test_fixed_and_searched_params_and_defaults(space_file):
    epochs = "num_train_epochs: {type: int, low: 2, high: 10, step: 4}"
    lines = ("weight_decay: 0", epochs, "augmentation: random_edits")
    layers = "frozen_layers: {type: layers, low: 0.29, high: 0.58, default: 0.5}"
    space = load_space(space_file(with_params(*lines, layers)))
    assert [param.name for param in space.shared] == [line.split(":")[0] for line in (*lines, layers)]
    assert over(space, 100).distributions("") == {
        "num_train_epochs": IntDistribution(2, 10, step=4),
        "frozen_layers": IntDistribution(29, 58),  # 0.29 * 100 is 28.999999999999996
    }
    assert over(space, 5).recipes() == [{"num_train_epochs": 6, "frozen_layers": 2}]
    fixed = {"weight_decay": 0.0, "augmentation": "random_edits"}
    assert (
        over(space, 5).params({"num_train_epochs": 6, "frozen_layers": 2})
        == {"num_train_epochs": 6, "frozen_layers": 2} | fixed
    )


@pytest.mark.parametrize(("written", "value"), [("1e-4", 1e-4), ("1E-4", 1e-4), (".5e-3", 5e-4), ("+1.0e-4", 1e-4)])
def test_exponents_without_a_point_are_numbers(space_file, written, value):
    param = load_space(space_file(with_params(f"learning_rate: {{type: float, low: {written}, high: 1e-1}}"))).shared[0]
    assert (param.low, param.high) == (value, 0.1)


# each with the line and a part of the one problem it must give; params start on line 3
REFUSED = [
    (["learning_rat: 0.1"], 3, "unknown param learning_rat; did you mean learning_rate?"),
    (["zzz: 0.1"], 3, "unknown param zzz; allowed: technique"),
    (["<<: 0.1"], 3, "unknown param <<"),
    (["learning_rate:", "    type: float", "    low: 1e-5", "    hihg: 1", "    high: 1e-3"], 6, "did you mean high?"),
    (["warmup_ratio: {type: float, low: 0, high: 0.2, step: 0.1}"], 3, "unknown attribute step"),
    (["warmup_ratio: {low: 0, high: 0.2}"], 3, "type is missing; allowed: float, categorical"),
    (["warmup_ratio: {type: flot, low: 0, high: 0.2}"], 3, "type flot is not possible; did you mean float?"),
    (["warmup_ratio: {type: [float], low: 0, high: 0.2}"], 3, "type (a list or mapping) is not possible"),
    (["num_train_epochs: {type: float, low: 1, high: 2}"], 3, "type float is not possible; allowed: int, categorical"),
    (["num_train_epochs: {type: layers, low: 0, high: 1}"], 3, "type layers is not possible"),
    (["augmentation: {type: int, low: 0, high: 1}"], 3, "type int is not possible; allowed: categorical"),
    (["warmup_ratio: {type: float, high: 0.2}"], 3, "low is missing; type float needs low and high"),
    (["warmup_ratio: {type: float, low: 0.1}"], 3, "high is missing"),
    (["augmentation: {type: categorical}"], 3, "choices is missing"),
    (["warmup_ratio: {type: float, low: 0.2, high: 0.1}"], 3, "high 0.1 should be above low 0.2; swap them"),
    (["warmup_ratio: {type: float, low: 0.1, high: 0.1}"], 3, "write warmup_ratio: VALUE"),
    (["warmup_ratio: {type: float, low: zero, high: 0.1}"], 3, "low zero should be a valid number"),
    (["warmup_ratio: {type: float, low: '0.0', high: 0.1}"], 3, "low 0.0 should be a valid number"),
    (["warmup_ratio: {type: float, low: [0], high: 0.1}"], 3, "low should be a single value"),
    (["warmup_ratio: {type: float, low: no, high: 0.1}"], 3, "low no should be a valid number; YAML reads it as true"),
    (["warmup_ratio: {type: float, low: 0, high: .nan}"], 3, "high .nan should be a finite decimal number"),
    (["warmup_ratio: {type: float, low: -.inf, high: 0.1}"], 3, "low -.inf should be a finite decimal number"),
    (["warmup_ratio: {type: float, low: 0, high: 1e999}"], 3, "high 1e999 should be a finite decimal number"),
    (["warmup_ratio: {type: float, low: 0, high: 1:30}"], 3, "high 1:30 should be a finite decimal number"),
    (["warmup_ratio: {type: float, low: 0, high: 0.95}"], 3, "high 0.95 should be less than or equal to 0.9"),
    (["warmup_ratio: {type: float, low: 0, high: ~}"], 3, "high ~ should be"),
    (["learning_rate: {type: float, low: 0, high: 1e-3}"], 3, "low 0 should be greater than 0"),
    (["num_train_epochs: {type: int, low: 3.5, high: 10}"], 3, "low 3.5 should be a valid integer"),
    (["num_train_epochs: {type: int, low: true, high: 10}"], 3, "low true should be a valid integer"),
    (["num_train_epochs: {type: int, low: 3, high: 9, step: 4}"], 3, "step 4 does not lead from 3 to 9"),
    (["num_train_epochs: {type: int, low: 3, high: 9, step: 0}"], 3, "step 0 should be a whole number from 1"),
    (["num_train_epochs: {type: int, low: 3, high: 9, step: true}"], 3, "step true should be a whole number from 1"),
    (["num_train_epochs: {type: int, low: 3, high: 9, step: 2, log: true}"], 3, "step and log exclude each other"),
    (["num_train_epochs: {type: int, low: 3, high: 9, step: 2, default: 4}"], 3, "default 4 is not reached from 3"),
    (["num_train_epochs: {type: int, low: 3, high: 9, default: 2}"], 3, "default 2 should be within 3 to 9"),
    (["num_train_epochs: {type: int, low: 3, high: 9, default: 10}"], 3, "default 10 should be within 3 to 9"),
    (["warmup_ratio: {type: float, low: 0, high: 0.1, log: true}"], 3, "log needs a low above 0, not 0.0"),
    (["warmup_ratio: {type: float, low: 0.1, high: 0.2, log: 1}"], 3, "log 1 should be true or false"),
    (["frozen_layers: {type: layers, low: 0, high: 6}"], 3, "high 6 should be a share of the encoder's depth, 0 to 1"),
    (["frozen_layers: {type: layers, low: no, high: 1}"], 3, "low no should be a share"),
    (["frozen_layers: {type: layers, low: 0, high: 0.5, default: 0.6}"], 3, "default 0.6 should be within 0.0 to 0.5"),
    (["augmentation: {type: categorical, choices: []}"], 3, "choices should be a list of values"),
    (["augmentation: {type: categorical, choices: none}"], 3, "choices should be a list of values"),
    (["augmentation:", "    type: categorical", "    choices:", "    - none", "    - none"], 7, "none is given twice"),
    (["augmentation: {type: categorical, choices: [none, edits]}"], 3, "choice edits should be 'none', 'random_edits'"),
    (["augmentation: {type: categorical, choices: [none], default: no}"], 3, "text needs quotes"),
    (["augmentation: {type: categorical, choices: [none], default: random_edits}"], 3, "one of the choices"),
    (["weight_decay: {type: categorical, choices: [0, 0.0]}"], 3, "choice 0.0 is given twice"),
    (["weight_decay: 2"], 3, "weight_decay: 2 should be less than or equal to 1"),
    (["weight_decay: [0.1]"], 3, "weight_decay: should be a single value"),
    (["weight_decay: !!python/object:os.system 1"], 3, "weight_decay: 1 should be"),
    (["weight_decay: 0.1", "warmup_ratio: 0.1", "weight_decay: 0.2"], 5, "given twice, first on line 3"),
    (["? [weight_decay]", ": 0.2"], 3, "a key should be a word"),
]


@pytest.mark.parametrize(("lines", "line", "part"), REFUSED, ids=[case[2] for case in REFUSED])
def test_one_wrong_thing_is_one_problem_at_its_line(space_file, lines, line, part):
    found = problems(space_file(with_params(*lines)))
    assert len(found) == 1, found
    assert found[0][0] == line
    assert part in found[0][1]


# as above; techniques start on line 4, "  full:" on 5, its params on 7
REFUSED_IN_TECHNIQUES = [
    ("lora_r: 4", "", 7, "lora_r is shared by all techniques on line 3; keep it there"),
    ("learning_rat: 1e-4", "", 7, "unknown param learning_rat; did you mean learning_rate?"),
    ("learning_rate: {type: float, low: 1e-3, high: 1e-4}", "recipes: [{learning_rate: 9}]", 7, "swap them"),
    (
        FLOAT,
        "recipe: []",
        8,
        "technique full: unknown key recipe; did you mean recipes?; allowed: description, min_rows, params",
    ),
    (FLOAT, "params: {optim: adamw}", 8, "params is given twice, first on line 6"),
    (FLOAT, "description: [a]", 8, "description: not one line of text"),
    (FLOAT, "recipes: {learning_rate: 1e-4}", 8, "recipes: should be a list of configurations, such as"),
    (FLOAT, "recipes: []", 8, "recipes: should be a list of configurations, such as"),
    (FLOAT, "recipes: [1e-4]", 8, "recipe: should be a mapping that is not empty"),
    (FLOAT, "recipes: [{}]", 8, "recipe: should be a mapping that is not empty"),
    (FLOAT, "recipes:\n    - learning_rate: 1e-4\n      learning_rate: 2e-4", 10, "is given twice, first on line 9"),
    (FLOAT, "recipes: [{learning_rat: 1e-4}]", 8, "learning_rat is not searched here; did you mean learning_rate?"),
    (
        FLOAT,
        "recipes: [{warmup_ratio: 0}]",
        8,
        "warmup_ratio is not searched here; searched: frozen_layers, learning_rate",
    ),
    (FLOAT, "recipes:\n    - lora_r: 4", 9, "recipe: lora_r is fixed at 8; leave it out, or search the param"),
    (FLOAT, "recipes:\n    - {learning_rate: 2e-3}", 9, "learning_rate 0.002 should be within 1e-05 to 0.001"),
    (FLOAT, "recipes: [{learning_rate: fast}]", 8, "recipe: learning_rate fast should be a valid number"),
    (FLOAT, "recipes: [{learning_rate: [1e-4]}]", 8, "recipe: learning_rate should be a single value"),
    (FLOAT, "recipes: [{frozen_layers: 3}]", 8, "frozen_layers 3 should be a share of the encoder's depth, 0 to 1"),
    (FLOAT, "recipes: [{frozen_layers: 0.8}]", 8, "recipe: frozen_layers 0.8 should be within 0.0 to 0.5"),
    ("optim: {type: categorical, choices: [adamw]}", "recipes: [{optim: adamw_uncorrected}]", 8, "one of the choices"),
    ("max_steps: {type: int, low: 2, high: 8, step: 3}", "recipes: [{max_steps: 4}]", 8, "not reached from 2 in steps"),
]


@pytest.mark.parametrize(
    ("param", "more", "line", "part"), REFUSED_IN_TECHNIQUES, ids=[c[3] for c in REFUSED_IN_TECHNIQUES]
)
def test_one_wrong_thing_in_a_technique_is_one_problem_at_its_line(space_file, param, more, line, part):
    shared = "lora_r: 8, frozen_layers: {type: layers, low: 0, high: 0.5}"
    text = f"name: mine\nparams:\n  {{{shared}}}\ntechniques:\n  full:\n    params:\n      {param}\n"
    found = problems(space_file(text + (f"    {more}\n" if more else "")))
    assert len(found) == 1, found
    assert found[0][0] == line
    assert part in found[0][1]


@pytest.mark.parametrize(
    ("content", "line", "part"),
    [
        (
            f"name: x\ntechniques:\n  a.b: {{params: {{{FLOAT}}}}}",
            3,
            "technique a.b: its name should be 1 to 40 letters",
        ),
        (
            "name: x\ntechniques:\n  a: {min_rows: 5, params: {optim: adamw}}",
            3,
            "the first technique is for any number of rows",
        ),
        *(
            (
                "name: x\ntechniques:\n  a: {params: {optim: adamw}}\n  b:\n    params: {optim: adamw}\n"
                f"    min_rows: {few}",
                6,
                "technique b: min_rows",
            )
            for few in ("0", "1.5", "many", "true", "[3]")
        ),
        (f"name: x\ntechniques:\n  '': {{params: {{{FLOAT}}}}}", 3, "its name should be 1 to 40 letters"),
        ("name: x\ntechniques:\n  a: {}", 3, "technique a: should be a mapping that is not empty"),
        ("name: x\ntechniques:\n  a: {description: y}", 3, "technique a: params is missing; a technique has the keys"),
        ("name: x\ntechniques:\n  a: {params: {}}", 3, "technique a: params: should be a mapping that is not empty"),
        ("name: x\ntechniques: [a]", 2, "techniques: should be a mapping that is not empty"),
        ("name: x\ntechniques:\n  a: &a {params: {optim: adamw}}\n  a: *a", 4, "a is given twice, first on line 3"),
        (
            f"name: x\nrecipes: [{{learning_rate: 1e-4}}]\ntechniques:\n  a: {{params: {{{FLOAT}}}}}",
            2,
            "recipes: each technique has its own; move these to theirs",
        ),
        (f"name: x\nparams:\n  {FLOAT}\nrecipes: [{{learning_rate: 1}}]", 4, "learning_rate 1 should be"),
        ("", 1, "the file is empty"),
        ("# only a comment\n", 1, "the file is empty"),
        ("- name: mine\n", 1, "should be a mapping"),
        (f"nmae: mine\nname: mine\nparams:\n  {FLOAT}", 1, "unknown key nmae; did you mean name?"),
        (f"params:\n  {FLOAT}", 1, "name is missing"),
        ("name: mine", 1, "params is missing"),
        ("name: mine\nparams:\n", 2, "params: should be a mapping that is not empty"),
        (f'name: mine\ndescription: "two\\nlines"\nparams:\n  {FLOAT}', 2, "description: not one line"),
        (f"name: mine\nname: yours\nparams:\n  {FLOAT}", 2, "name is given twice, first on line 1"),
        (f"name: mine\nparams:\n  {FLOAT}\n bad: [", 4, "not valid YAML"),
        (f"name: mine\nparams:\n\t{FLOAT}", 3, "not valid YAML"),
        ("name: mine\n---\nname: yours", 2, "not valid YAML"),
        ("name: mine\nparams: \x07", 2, "control character"),
        (b"name: mine\n# caf\xe9\n", 2, "not UTF-8"),
        ('name: "\\UFFFFFFFF"', 1, "not valid YAML"),
        ("[" * 3000, 1, "not valid YAML"),
    ],
)
def test_files_that_are_no_search_space(space_file, content, line, part):
    found = problems(space_file(content))
    assert found[0][0] == line
    assert part in found[0][1]


def test_all_problems_are_reported_at_once_in_order_of_lines(space_file):
    lines = [
        "num_train_epochs: {type: int, low: 0, high: 1.5, step: x, default: no}",
        "augmentation: {type: categorical, choices: [a, none, none], default: b}",
        "weight_decay: {tpye: float, low: 1}",
        "warmup: 1",
        "warmup_ratio:",
        "    low: -1",
        "    type: float",
    ]
    found = problems(space_file("naem: x\n" + with_params(*lines)))
    assert [line for line, _ in found] == [1, 4, 4, 4, 4, 5, 5, 5, 6, 6, 7, 8, 9]


def test_all_problems_of_techniques_are_reported_at_once(space_file):
    lines = [
        "name: mine",
        "params: {weight_decay: 2}",
        "techniques:",
        "  a:",
        "    params: {weight_decay: 0.1, warmup_ratio: {type: float, low: 0, high: 2}}",
        "    recipes:",
        "      - {warmup_ratio: 5, optim: adamw}",
        "  b:",
        "    recipes: [{mixout: 1}]",
        "  c.d: 1",
        "recipes: []",
    ]
    found = problems(space_file("\n".join(lines)))
    # a recipe's value is not held against bounds that are themselves wrong
    assert [line for line, _ in found] == [2, 5, 5, 7, 8, 9, 10, 10, 11]


def test_a_problem_is_one_line_whatever_the_file_says(space_file):
    text = with_params(r'"weight\ndecay": 1', r'augmentation: "no\nne"', rf'weight_decay: "{"x" * 500}"')
    found = problems(space_file(text))
    assert len(found) == 3
    assert all(len(problem) < 200 for _, problem in found)


def test_digest_is_of_the_content_only(space_file):
    written = load_space(space_file(with_params(FLOAT, "weight_decay: 0.01"))).digest
    same = (
        "# a comment\nparams:\n  weight_decay: 1.0e-2\n  learning_rate:\n    high: 0.001\n    log: no\n"
        "    low: 0.00001\n    type: float\ndescription: other words\nname: yours"
    )
    assert load_space(space_file(same)).digest == written
    for old, new in (("0.01", "0.02"), ("1.0e-3", "2.0e-3"), ("}", ", log: true}"), ("}", ", default: 1.0e-4}")):
        other = with_params(FLOAT, "weight_decay: 0.01").replace(old, new)
        assert load_space(space_file(other)).digest != written, new


@pytest.mark.parametrize(
    ("old", "new", "same"),
    [
        ("description: cheap", "description: dear", True),
        ("lora_r:", "lora_dropout: 0.1\n      lora_r:", False),
        ("- {pooling: cls}", "- {pooling: 'cls'}  # a comment", True),
        ("{pooling: mean, warmup_ratio: 0.1}", "{warmup_ratio: 1.0e-1, pooling: mean}", True),
        ("warmup_ratio: 0.1}", "warmup_ratio: 0.05}", False),
        ("      - {pooling: cls}\n", "", False),
        ("  full:", "  all:", False),
        ("low: 1.0e-4", "low: 2.0e-4", False),
        ("default: 0.25", "default: 0.3", False),
    ],
)
def test_digest_of_techniques_is_of_the_content_only(space_file, old, new, same):
    assert CONDITIONAL.count(old) == 1
    found = [load_space(space_file(text)).digest for text in (CONDITIONAL, CONDITIONAL.replace(old, new))]
    assert (found[0] == found[1]) is same


def test_digest_tells_the_order_of_techniques(space_file):
    arms = [f"  {name}: {{params: {{{FLOAT}}}}}\n" for name in "ab"]  # Optuna refuses choices in another order
    texts = ["name: x\ntechniques:\n" + "".join(order) for order in (arms, arms[::-1])]
    assert len({load_space(space_file(text)).digest for text in texts}) == 2


@st.composite
def recipes(draw, params):
    """One configuration inside the bounds of those of the specs that are searched; {} if none is."""
    values = {
        name: st.sampled_from(spec.get("choices") or [spec["low"], spec["high"]])
        for name, spec in params.items()
        if isinstance(spec, dict)
    }
    named = draw(st.lists(st.sampled_from(list(values)), min_size=1, unique=True)) if values else []
    return {name: draw(values[name]) for name in named}


@st.composite
def contents(draw):
    """A valid space, flat or with techniques."""
    names = draw(st.lists(st.sampled_from(list(Params.model_fields)), min_size=2, max_size=8, unique=True))
    cut = draw(st.integers(0, len(names) - 1))
    shared = {name: draw(specs(name)) for name in names[:cut]}
    content = {"name": "random"} | ({"params": shared} if shared else {})
    arms = {}
    for arm in draw(st.lists(st.sampled_from(["a", "full", "B-2", "arm", "max_steps"]), max_size=3, unique=True)):
        own = draw(st.lists(st.sampled_from(names[cut:]), min_size=1, unique=True))
        arms[arm] = {"params": {name: draw(specs(name)) for name in own}}
    if not arms:
        arms = {"": content}
        content["params"] = shared | {name: draw(specs(name)) for name in names[cut:]}
    else:
        content["techniques"] = arms
    for arm in arms.values():
        found = draw(st.lists(recipes({**shared, **arm["params"]}), max_size=2))
        if found := [recipe for recipe in found if recipe]:
            arm["recipes"] = found
    return content


@given(contents(), st.lists(st.integers(0, 512), min_size=1, max_size=3), st.integers(0, 2**31))
@settings(max_examples=100, deadline=None)
def test_whatever_a_valid_space_suggests_or_recommends_is_taken_by_params(content, depths, seed):
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    with tempfile.TemporaryDirectory() as folder:
        written = write_space(folder, json.dumps(content))  # JSON is YAML
    space = written.over({f"encoder {number}": depth for number, depth in enumerate(depths)})
    study = optuna.create_study(sampler=optuna.samplers.RandomSampler(seed=seed))
    wanted = space.recipes()
    for recipe in wanted:
        study.enqueue_trial(recipe)
    for number in range(len(wanted) + 2):
        trial = study.ask()
        space.suggest(trial)
        if number < len(wanted):
            assert trial.params == wanted[number]
        arm, params = space.arm_of(trial.params), space.params(trial.params)
        assert list(params) == [param.name for param in space.entries(arm)]
        Params.model_validate(params, strict=True)
    given = sum(len(arm.get("recipes", [])) for arm in content.get("techniques", {"": content}).values())
    assert len(space.arms) <= len(wanted) <= len(space.arms) + len(depths) * given


def test_unknown_names_say_what_there_is(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(SpaceError, match=r"'defualt'; did you mean default.*preset: adapters, contr") as caught:
        load_space("defualt")
    assert "\n" not in str(caught.value)
    for name in ("", "..", str(tmp_path), "nowhere.yaml", "a\0b", "x" * 5000):
        with pytest.raises(SpaceError, match="no search space"):
            load_space(name)


def test_a_preset_goes_before_a_file_of_the_same_name(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for name in ("default", "mine"):
        Path(name).write_text(with_params(FLOAT))
    assert len(load_space("default").arms) > 1
    assert len(load_space("mine").shared) == 1


def test_importing_spaces_is_light():
    code = "import sys, automl.spaces as s; s.load_space('default'); print({'optuna', 'torch'} & set(sys.modules))"
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout == "set()\n"


def allowed(field):
    if field.annotation is bool:
        return "`true`, `false`"
    if get_origin(field.annotation) is Literal:
        return ", ".join(f"`{value}`" for value in get_args(field.annotation))
    signs = {Ge: ("at least", "ge"), Gt: ("above", "gt"), Le: ("at most", "le"), Lt: ("below", "lt")}
    bounds = [(signs[type(bound)][0], getattr(bound, signs[type(bound)][1])) for bound in field.metadata]
    return ", ".join(f"{word} {bound:g}" for word, bound in bounds)


def params_table():
    """The rows of the README's table: run this test and paste what it expects."""
    types = {float: "float", float | None: "float", int: "int", bool: "bool"}
    return [
        f"| `{name}` | {types.get(f.annotation, 'word')} | {allowed(f)} | "
        f"{'' if f.default is None else f'`{f.default}`'} | {f.description} |"
        for name, f in Params.model_fields.items()
    ]


def test_readme_table_is_what_params_says():
    rows = README.read_text().split("## Params")[1].split("|---|---|---|---|---|\n")[1].splitlines()
    assert rows == params_table(), "\n".join(params_table())


def test_readme_tells_when_to_take_each_preset():
    table = README.read_text().split("## A flat space")[0]
    assert set(re.findall(r"^\| `(\w+)` \|", table, re.MULTILINE)) == set(presets())


def test_readme_grammar_and_examples_are_true(space_file):
    text = README.read_text()
    examples = re.findall(r"```yaml\n(.+?)```", text, re.DOTALL)
    assert [len(load_space(space_file(example)).arms) for example in examples] == [1, 2]
    for kind, (required, optional) in GRAMMAR.items():
        row = re.search(rf"\| `{{type: {kind}, ...}}` \| (.+?) \| (.+?) \|", text)
        assert set(re.findall(r"`(\w+)`", row[1])) == set(required)
        assert set(re.findall(r"`(\w+)`", row[2])) == set(optional)
