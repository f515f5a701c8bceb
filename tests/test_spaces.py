"""A search space is read whole, refused with every problem and its line, and handed to Optuna as it was written."""

import re
import subprocess
import sys
from pathlib import Path
from typing import Literal, get_args, get_origin

import pytest
from annotated_types import Ge, Gt, Le, Lt
from optuna.distributions import CategoricalDistribution, FloatDistribution, IntDistribution

from automl.errors import SpaceError
from automl.params import Params
from automl.spaces import GRAMMAR, load_space, presets

README = Path(__file__).parents[1] / "search_spaces" / "README.md"
FLOAT = "learning_rate: {type: float, low: 1.0e-5, high: 1.0e-3}"


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


def test_default_preset_gives_the_written_distributions():
    assert load_space("default").distributions(6) == {
        "learning_rate": FloatDistribution(1e-4, 6e-4, log=True),
        "layerwise_lr_decay": FloatDistribution(0.7, 1.0),
        "num_train_epochs": IntDistribution(2, 4),
        "frozen_layers": IntDistribution(0, 5),
        "lr_scheduler_type": CategoricalDistribution(("linear", "cosine")),
        "warmup_ratio": FloatDistribution(0.0, 0.2),
        "per_device_train_batch_size": CategoricalDistribution((16, 32)),
        "weight_decay": FloatDistribution(1e-3, 0.1, log=True),
        "augmentation": CategoricalDistribution(("none", "random_edits")),
    }


def test_default_preset_starts_from_its_recipe():
    recipe = {"learning_rate": 3e-4, "layerwise_lr_decay": 0.8, "lr_scheduler_type": "cosine"}
    recipe |= {"per_device_train_batch_size": 32, "frozen_layers": 2}
    assert Params(**load_space("default").defaults(6)) == Params(**recipe)


def test_every_param_has_a_place_in_a_preset():
    named = {param.name for preset in presets() for param in load_space(preset).params}
    assert named == set(Params.model_fields)


def test_a_number_that_may_be_left_to_the_model_can_be_searched(space_file):
    line = "hidden_dropout_prob: {type: float, low: 0.0, high: 0.3}"
    assert load_space(space_file(with_params(line))).distributions(6) == {
        "hidden_dropout_prob": FloatDistribution(0.0, 0.3)
    }
    assert Params().hidden_dropout_prob is None


def test_the_largest_value_of_a_whole_number(space_file):
    found = load_space(space_file(with_params("augmentation_copies: {type: int, low: 1, high: 3}", "lora_r: 4")))
    assert found.largest("augmentation_copies", default=1) == 3
    assert found.largest("lora_r", default=8) == 4
    assert found.largest("max_steps", default=7) == 7


@pytest.mark.parametrize("name", presets())
def test_every_preset_is_valid_and_named_after_its_file(name):
    space = load_space(name)
    assert space.name == name
    assert space.description
    for depth in (0, 1, 6, 12, 24):
        distributions = space.distributions(depth)
        for param, value in space.defaults(depth).items():
            assert distributions[param]._contains(distributions[param].to_internal_repr(value))
        Params(**space.defaults(depth), **space.fixed())


def test_fixed_and_searched_params_and_defaults(space_file):
    epochs = "num_train_epochs: {type: int, low: 2, high: 10, step: 4}"
    lines = ("weight_decay: 0", epochs, "augmentation: random_edits")
    layers = "frozen_layers: {type: layers, low: 0.29, high: 0.58, default: 0.5}"
    space = load_space(space_file(with_params(*lines, layers)))
    assert [param.name for param in space.params] == [line.split(":")[0] for line in (*lines, layers)]
    assert space.fixed() == {"weight_decay": 0.0, "augmentation": "random_edits"}
    assert space.distributions(100) == {
        "num_train_epochs": IntDistribution(2, 10, step=4),
        "frozen_layers": IntDistribution(29, 58),  # 0.29 * 100 is 28.999999999999996
    }
    assert space.defaults(5) == {"frozen_layers": 2}


@pytest.mark.parametrize(("written", "value"), [("1e-4", 1e-4), ("1E-4", 1e-4), (".5e-3", 5e-4), ("+1.0e-4", 1e-4)])
def test_exponents_without_a_point_are_numbers(space_file, written, value):
    param = load_space(space_file(with_params(f"learning_rate: {{type: float, low: {written}, high: 1e-1}}"))).params[0]
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


@pytest.mark.parametrize(
    ("content", "line", "part"),
    [
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
    assert len(load_space("default").params) > 1
    assert len(load_space("mine").params) == 1


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


def test_readme_grammar_and_examples_are_true(space_file):
    text = README.read_text()
    load_space(space_file(re.search(r"```yaml\n(.+?)```", text, re.DOTALL)[1]))
    for kind, (required, optional) in GRAMMAR.items():
        row = re.search(rf"\| `{{type: {kind}, ...}}` \| (.+?) \| (.+?) \|", text)
        assert set(re.findall(r"`(\w+)`", row[1])) == set(required)
        assert set(re.findall(r"`(\w+)`", row[2])) == set(optional)
