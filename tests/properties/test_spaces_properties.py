"""Whatever a valid space lets Optuna propose, `Params` takes; whatever stands in a file, only SpaceError is raised."""

import json
import tempfile
from dataclasses import asdict
from pathlib import Path
from typing import get_args

import optuna
from hypothesis import example, given, settings
from hypothesis import strategies as st

from automl.errors import SpaceError
from automl.params import Params
from automl.spaces import load_space, presets

# what cuts YAML into pieces, breaks its parser, or stands for something else than it seems to
TOKENS = [
    "\n",
    "  ",
    "\t",
    ":",
    "- ",
    "[",
    "]",
    "{",
    "}",
    "&a ",
    "*a",
    "|",
    ">",
    "?",
    "<<: ",
    "'",
    '"',
    "#",
    "%",
    "=",
    "@",
    "`",
]
TOKENS += ["---\n", "...\n", "\\U00110000", "\\xZZ", "!!int ", "!!python/object:x ", "\x00", "\ufeff", "\u2028"]
TOKENS += [
    ".nan",
    "1e-4",
    "1_0",
    "0o7",
    "1:30",
    "~",
    "yes",
    "٣",
    "2001-01-01",
    "9" * 5000,
    "type",
    "low",
    "choices",
    "recipes",
    "techniques",
]


def load(content: bytes):
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "space.yaml"
        path.write_bytes(content)
        return load_space(str(path))


@st.composite
def numbers(draw, kind, values):
    """A valid float or int spec whose bounds are drawn from `values`."""
    ends = sorted(draw(st.lists(values, min_size=2, max_size=2, unique=True)))
    spec = {"type": kind, "low": ends[0], "high": ends[1]}
    if ends[0] > 0 and draw(st.booleans()):
        spec["log"] = True
    elif kind == "int" and draw(st.booleans()):
        span = ends[1] - ends[0]
        spec["step"] = draw(st.sampled_from([step for step in (1, 2, 5, span) if span % step == 0]))
    if draw(st.booleans()):
        steps = range(ends[0], ends[1] + 1, spec.get("step", 1)) if kind == "int" else None
        spec["default"] = draw(st.sampled_from(steps) if steps else st.floats(*ends))
    return spec


@st.composite
def specs(draw, name):
    field = Params.model_fields[name]
    types = {field.annotation, *get_args(field.annotation)}
    if not types & {int, float}:
        choices = st.sampled_from(get_args(field.annotation) or (True, False))
        return draw(choices | st.builds(categorical, st.lists(choices, min_size=1, unique=True)))
    kind, tiny = ("int", 1) if int in types else ("float", 1e-9)
    bounds = {key: value for bound in field.metadata for key, value in asdict(bound).items()}
    low, high = bounds.get("ge", bounds.get("gt", 0) + tiny), bounds.get("le", bounds.get("lt", 1e6) - tiny)
    values = st.integers(low, high) if kind == "int" else st.floats(low, high)
    options = values | numbers(kind, values)
    options |= st.builds(categorical, st.lists(values, min_size=1, max_size=4, unique=True))
    if name.endswith("_layers"):
        shares = st.lists(st.floats(0, 1), min_size=2, max_size=2, unique=True).map(sorted)
        options |= shares.map(lambda ends: {"type": "layers", "low": ends[0], "high": ends[1], "default": ends[0]})
    return draw(options)


def categorical(choices):
    return {"type": "categorical", "choices": choices, "default": choices[-1]}


@st.composite
def spaces(draw):
    names = draw(st.lists(st.sampled_from(list(Params.model_fields)), min_size=1, unique=True))
    return {"name": "random", "params": {name: draw(specs(name)) for name in names}}


@given(spaces(), st.integers(0, 512), st.integers(0, 2**31))
@settings(max_examples=150, deadline=None)
def test_params_takes_whatever_a_valid_space_proposes(content, depth, seed):
    space = load(json.dumps(content).encode())  # JSON is YAML, but for 1e-09, which the grammar takes as a number
    assert [param.name for param in space.shared] == list(content["params"])
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    space = space.over({"tiny": depth})
    distributions, (recipe,) = space.distributions(""), space.recipes()
    assert set(space.params(recipe)) == set(content["params"])
    study = optuna.create_study(sampler=optuna.samplers.RandomSampler(seed=seed))
    study.enqueue_trial(recipe)
    for proposed in (study.ask(distributions).params, study.ask(distributions).params):
        Params.model_validate(space.params(proposed), strict=True)
    assert study.trials[0].params == recipe, "a default was not in its distribution"


@given(spaces(), st.randoms(use_true_random=False))
@settings(max_examples=50, deadline=None)
def test_digest_does_not_depend_on_order_or_layout(content, random):
    turned = {key: content[key] for key in reversed(content)}
    names = random.sample(list(content["params"]), len(content["params"]))
    turned["params"] = {name: content["params"][name] for name in names}
    for name, spec in turned["params"].items():
        if isinstance(spec, dict):
            turned["params"][name] = {key: spec[key] for key in reversed(spec)}
    assert load(json.dumps(turned, indent=3).encode()).digest == load(json.dumps(content).encode()).digest


@st.composite
def mangled(draw):
    """The default preset with random cuts, repeats and insertions."""
    text = presets()["default"].read_text()
    for _ in range(draw(st.integers(1, 6))):
        at = draw(st.integers(0, len(text)))
        end = at + draw(st.integers(0, 12))
        text = text[:at] + draw(st.sampled_from(["", text[at:end] * 2, *TOKENS]) | st.text(max_size=4)) + text[end:]
    return text.encode("utf-8", "surrogatepass")


tokens = st.lists(st.sampled_from(TOKENS), max_size=12).map(lambda words: "".join(words).encode())


@given(mangled() | tokens | st.binary(max_size=60))
@example(b"params: &a {learning_rate: *a}")
@example(b'name: "\\uD800"\nparams: {"\\uD800": 1}')
@example(b"name: " + b"9" * 5000 + b"\nparams: {weight_decay: " + b"9" * 5000 + b"}")
@settings(max_examples=250, deadline=None)
def test_mangled_files_raise_nothing_but_space_errors(content):
    try:
        space = load(content)
    except SpaceError as error:
        lines = str(error).split("\n")
        assert all(": " in line and ".yaml:" in line for line in lines), lines
        str(error).encode()  # it can be printed
    else:
        space = space.over({"tiny": 6})
        for recipe in space.recipes():
            Params(**space.params(recipe))
