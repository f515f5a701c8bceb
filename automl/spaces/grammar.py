"""Read a search space from YAML, and find everything that is wrong with it at once, each with its line."""

from __future__ import annotations

import contextlib
import re
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import yaml

from automl.errors import SpaceError
from automl.spaces.entry import Entry, read_params, read_value
from automl.spaces.nodes import Entries, Report, compose, entries, keyed, line_of, nearest, one_line, scalar, shown
from automl.spaces.param import Param
from automl.spaces.space import Arm, SearchSpace

_KEYS = ("name", "description", "params", "techniques", "recipes")
_ARM_KEYS = ("description", "min_rows", "params", "recipes")
_ARM_NAME = re.compile(r"[A-Za-z][A-Za-z0-9_-]{0,39}")  # no dot: Optuna knows its params as arm.param


def read_space(path: Path) -> SearchSpace:
    """Read a YAML file and check the whole of it.

    Raises:
        SpaceError: it is not valid: then one line `file:line: problem` for each problem.
    """
    root = compose(path)
    problems: list[tuple[int, str]] = []
    space = _space(root, lambda node, text: problems.append((line_of(node), text)))
    if problems:
        problems.sort(key=lambda problem: problem[0])
        raise SpaceError("\n".join(f"{path}:{line}: {text}" for line, text in problems))
    return replace(space, text=path.read_text(encoding="utf-8"))


def _space(root: yaml.Node, report: Report) -> SearchSpace:
    found = keyed(root, "the file: ", _KEYS, report)
    name, description = one_line(found, "name", report), one_line(found, "description", report)
    if "name" not in found:
        report(root, "name is missing; a search space has a name, and params or techniques")
    if "params" not in found and "techniques" not in found:
        report(root, "params is missing; a search space has params, techniques or both")
    shared = read_params(found["params"][1], "params: ", report) if "params" in found else {}
    recipes: tuple[Mapping[str, Any], ...] = ()
    if "recipes" in found and "techniques" in found:
        report(found["recipes"][0], "recipes: each technique has its own; move these to theirs")
    elif "recipes" in found:
        recipes = _recipes(found["recipes"][1], shared, report)
    arms: tuple[Arm, ...] = (Arm("", recipes=recipes),)
    if "techniques" in found:
        written = entries(found["techniques"][1], "techniques: ", report)
        arms = tuple(_arm(arm, key, node, shared, report) for arm, (key, node) in written.items())
        if arms and arms[0].min_rows:
            first, _ = next(iter(written.values()))
            report(first, "the first technique is for any number of rows; remove its min_rows")
    return SearchSpace(name, description, _valid(shared), arms)


def _arm(name: str, key: yaml.Node, node: yaml.Node, shared: Mapping[str, Entry], report: Report) -> Arm:
    if not _ARM_NAME.fullmatch(name):
        report(key, f"technique {shown(name)}: its name should be 1 to 40 letters, digits, _ and -, a letter first")
    place = f"technique {shown(name)}: "
    found = keyed(node, place, _ARM_KEYS, report)
    if found and "params" not in found:
        report(key, f"{place}params is missing; a technique has the keys {', '.join(_ARM_KEYS)}")
    own = read_params(found["params"][1], f"{place}params: ", report) if "params" in found else {}
    for param, entry in own.items():
        if param in shared:
            line = line_of(shared[param].node)
            report(entry.node, f"{param} is shared by all techniques on line {line}; keep it there, or in each of them")
    recipes = _recipes(found["recipes"][1], {**shared, **own}, report) if "recipes" in found else ()
    return Arm(name, one_line(found, "description", report), _valid(own), recipes, _min_rows(found, place, report))


def _min_rows(found: Entries, place: str, report: Report) -> int:
    if "min_rows" not in found:
        return 0
    node = found["min_rows"][1]
    with contextlib.suppress(ValueError):
        value = scalar(node)
        if type(value) is int and value >= 1:
            return value
    report(node, f"{place}min_rows {shown(node.value)} should be a whole number of labelled rows, from 1")
    return 0


def _recipes(node: yaml.Node, known: Mapping[str, Entry], report: Report) -> tuple[Mapping[str, Any], ...]:
    if not isinstance(node, yaml.SequenceNode) or not node.value:
        report(node, "recipes: should be a list of configurations, such as [{learning_rate: 1e-4}]")
        return ()
    return tuple(_recipe(item, known, report) for item in node.value)


def _recipe(node: yaml.Node, known: Mapping[str, Entry], report: Report) -> dict[str, Any]:
    recipe: dict[str, Any] = {}
    for name, (key, value) in entries(node, "recipe: ", report).items():
        if name not in known:
            hint = nearest(name, known) or f"; searched: {', '.join(_searched(known))}"
            report(key, f"recipe: {shown(name)} is not searched here{hint}")
            continue
        param = known[name].param
        if param is None:
            continue  # what is wrong is said where it stands
        if not param.searched:
            report(key, f"recipe: {name} is fixed at {param.default}; leave it out, or search the param")
            continue
        try:
            recipe[name] = read_value(param, value)
        except ValueError as error:
            report(value, f"recipe: {name} {error}")
    return recipe


def _searched(known: Mapping[str, Entry]) -> list[str]:
    return [name for name, entry in known.items() if entry.param and entry.param.searched]


def _valid(read: Mapping[str, Entry]) -> tuple[Param, ...]:
    return tuple(entry.param for entry in read.values() if entry.param)
