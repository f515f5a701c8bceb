"""Read a search space from YAML, and find everything that is wrong with it at once, each with its line."""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Iterable, Iterator
from difflib import get_close_matches
from functools import cache
from pathlib import Path
from typing import Any, cast, get_args

import yaml
from pydantic import TypeAdapter, ValidationError

from automl.errors import SpaceError
from automl.params import Params
from automl.spaces.space import Kind, Param, SearchSpace

# type -> (attributes that must be given, attributes that may be)
GRAMMAR: dict[str, tuple[tuple[str, ...], tuple[str, ...]]] = {
    "float": (("low", "high"), ("log", "default")),
    "int": (("low", "high"), ("step", "log", "default")),
    "layers": (("low", "high"), ("default",)),
    "categorical": (("choices",), ("default",)),
}
_KEYS = ("name", "description", "params")
_INTEGER = re.compile(r"[-+]?[0-9]+")
_NUMBER = re.compile(r"[-+]?([0-9]+\.?[0-9]*|\.[0-9]+)([eE][-+]?[0-9]+)?")

_Report = Callable[[yaml.Node, str], None]  # notes a problem at the node's line
_Entries = dict[str, tuple[yaml.Node, yaml.Node]]  # key -> (its node, its value's node)


def read_space(path: Path) -> SearchSpace:
    """Read a YAML file and check the whole of it.

    Raises:
        SpaceError: it is not valid: then one line `file:line: problem` for each problem.
    """
    root = _compose(path)
    problems: list[tuple[int, str]] = []
    space = _space(root, lambda node, text: problems.append((node.start_mark.line + 1, text)))
    if problems:
        problems.sort(key=lambda problem: problem[0])
        raise SpaceError("\n".join(f"{path}:{line}: {text}" for line, text in problems))
    return space


def _compose(path: Path) -> yaml.Node:
    """Parse to nodes, which know their lines; no object that a tag may name is built. Raises SpaceError."""
    line, problem = 1, "the file is empty; a search space has the keys name, description and params"
    try:
        content = path.read_bytes()
        text = content.decode("utf-8-sig")
        root: yaml.Node | None = yaml.compose(text, Loader=yaml.SafeLoader)
        if root is not None:
            return root
    except OSError as error:
        raise SpaceError(f"cannot read {path}: {error.strerror}; check the path and its permissions") from None
    except UnicodeDecodeError as error:
        line, problem = content[: error.start].count(b"\n") + 1, "not UTF-8 text; save the file as UTF-8"
    except yaml.reader.ReaderError as error:
        line, problem = text[: error.position].count("\n") + 1, "a control character; remove it"
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        line, problem = (mark.line + 1 if mark else 1), f"not valid YAML: {error.problem or error.context}"
    except (ValueError, OverflowError, RecursionError) as error:  # PyYAML lets these out: "\UFFFFFFFF", 1000 x "["
        problem = f"not valid YAML: {error}"
    raise SpaceError(f"{path}:{line}: {problem}")


def _space(root: yaml.Node, report: _Report) -> SearchSpace:
    entries = _entries(root, "the file: ", report)
    for key, (node, _) in entries.items():
        if key not in _KEYS:
            report(node, f"unknown key {_shown(key)}{nearest(key, _KEYS)}; allowed: {', '.join(_KEYS)}")
    texts = {"name": "", "description": ""}
    for key in texts.keys() & entries.keys():
        node = entries[key][1]
        texts[key] = node.value if isinstance(node, yaml.ScalarNode) else ""
        if not texts[key] or not texts[key].isprintable():
            report(node, f"{key}: not one line of text")
    for key in ("name", "params"):
        if key not in entries:
            report(root, f"{key} is missing; a search space has the keys {', '.join(_KEYS)}")
    params = _params(entries["params"][1], report) if "params" in entries else ()
    return SearchSpace(texts["name"], texts["description"], params)


def _params(node: yaml.Node, report: _Report) -> tuple[Param, ...]:
    found: list[Param | None] = []
    entries = _entries(node, "params: ", report)
    for name, (key, value) in entries.items():
        if name not in Params.model_fields:
            hint = nearest(name, Params.model_fields) or f"; allowed: {', '.join(Params.model_fields)}"
            report(key, f"unknown param {_shown(name)}{hint}")
        elif isinstance(value, yaml.MappingNode):
            found.append(_searched(name, key, value, report))
        else:
            found.append(_fixed(name, value, report))
    return tuple(param for param in found if param)


def _fixed(name: str, node: yaml.Node, report: _Report) -> Param | None:
    try:
        return Param(name, "fixed", default=_accepted(name, node))
    except ValueError as error:
        report(node, f"{name}: {error}")
        return None


def _searched(name: str, key: yaml.Node, node: yaml.Node, report: _Report) -> Param | None:
    entries = _entries(node, f"{name}: ", report)
    kind = _kind(name, key, entries, report)
    required, optional = GRAMMAR[kind] if kind else ((), {a for groups in GRAMMAR.values() for g in groups for a in g})
    values: dict[str, Any] = {}
    for attribute, (at, value) in entries.items():
        if attribute not in ("type", *required, *optional):
            allowed = ("type", *required, *sorted(optional))
            hint = f"{nearest(attribute, allowed)}; allowed: {', '.join(allowed)}"
            report(at, f"{name}: unknown attribute {_shown(attribute)}{hint}")
        elif attribute == "choices":
            values[attribute] = _choices(name, value, report)
        elif kind and attribute != "type":
            try:
                values[attribute] = _attribute(name, kind, attribute, value)
            except ValueError as error:
                report(value, f"{name}: {attribute} {error}")
    for attribute in required:
        if attribute not in entries:
            report(key, f"{name}: {attribute} is missing; type {kind} needs {' and '.join(required)}")
    for attribute, text in _conflicts(name, values):
        report(entries[attribute][1], f"{name}: {text}")
    return Param(name, kind, **values) if kind else None


def _kind(name: str, key: yaml.Node, entries: _Entries, report: _Report) -> Kind | None:
    """The type of a param, or None where it is missing, unknown, or not one that this param can be searched by."""
    annotation = Params.model_fields[name].annotation
    types = set(get_args(annotation)) or {annotation}  # float | None: a number that may be left to the model
    number = "float" if float in types else "int" if int in types else None
    layers = "layers" if name.endswith("_layers") else None
    usable = [kind for kind in (number, layers, "categorical") if kind]
    if "type" not in entries:
        report(key, f"{name}: type is missing; allowed: {', '.join(usable)}")
        return None
    node = entries["type"][1]
    if isinstance(node, yaml.ScalarNode) and node.value in usable:
        return cast(Kind, node.value)
    near = nearest(node.value, usable) if isinstance(node, yaml.ScalarNode) else ""
    report(node, f"{name}: type {_shown(node.value)} is not possible{near}; allowed: {', '.join(usable)}")
    return None


def _attribute(name: str, kind: Kind, attribute: str, node: yaml.Node) -> Any:
    """One attribute's value, checked by itself. Raises ValueError."""
    if attribute in ("low", "high", "default") and kind != "layers":
        return _accepted(name, node)
    value = _scalar(node)
    is_number = isinstance(value, (int, float)) and not isinstance(value, bool)
    if attribute == "log" and not isinstance(value, bool):
        raise ValueError(f"{_shown(node.value)} should be true or false")
    if attribute == "step" and not (is_number and isinstance(value, int) and value >= 1):
        raise ValueError(f"{_shown(node.value)} should be a whole number from 1")
    if kind == "layers" and not (is_number and 0 <= cast(float, value) <= 1):
        raise ValueError(f"{_shown(node.value)} should be a share of the encoder's depth, 0 to 1")
    return float(value) if kind == "layers" else value


def _choices(name: str, node: yaml.Node, report: _Report) -> tuple[Any, ...]:
    values: list[Any] = []
    if not isinstance(node, yaml.SequenceNode) or not node.value:
        report(node, f"{name}: choices should be a list of values, such as [8, 16]")
        return ()
    for item in node.value:
        try:
            value = _accepted(name, item)
        except ValueError as error:
            report(item, f"{name}: choice {error}")
            continue
        if value in values:
            report(item, f"{name}: choice {_shown(item.value)} is given twice; remove one")
        values.append(value)
    return tuple(values)


def _conflicts(name: str, values: dict[str, Any]) -> Iterator[tuple[str, str]]:
    """What is wrong between attributes that are each fine: (attribute to point at, text)."""
    low, high, default = (values.get(key) for key in ("low", "high", "default"))
    log, step, choices = (values.get(key) for key in ("log", "step", "choices"))
    if log and low is not None and low <= 0:
        yield "low", f"log needs a low above 0, not {low}"
    if log and step:
        yield "step", "step and log exclude each other; remove one"
    if choices and default is not None and default not in choices:
        yield "default", f"default {_shown(str(default))} should be one of the choices"
    if low is None or high is None:
        return
    if low >= high:
        advice = "swap them" if low > high else f"to fix the param write {name}: VALUE"
        yield "high", f"high {high} should be above low {low}; {advice}"
    elif step and not log and (high - low) % step:
        yield "step", f"step {step} does not lead from {low} to {high}; use a divisor of {high - low}"
    elif default is not None and not low <= default <= high:
        yield "default", f"default {default} should be within {low} to {high}"
    elif default is not None and step and (default - low) % step:
        yield "default", f"default {default} is not reached from {low} in steps of {step}"


def _accepted(name: str, node: yaml.Node) -> Any:
    """The scalar's value as `Params` takes it for the field `name`. Raises ValueError."""
    value = _scalar(node)
    try:
        return _field(name).validate_python(value, strict=True)
    except ValidationError as error:
        rule = error.errors()[0]["msg"].removeprefix("Input ")
        quotes = "; YAML reads it as true or false, text needs quotes" if isinstance(value, bool) else ""
        raise ValueError(f"{_shown(node.value)} {rule}{quotes}") from None


@cache
def _field(name: str) -> TypeAdapter[Any]:
    return TypeAdapter(Params.model_fields[name].rebuild_annotation())


def _scalar(node: yaml.Node) -> bool | int | float | str:
    """The value of a scalar node. Numbers are decimal and finite; 1e-4, text to YAML 1.1, is one. Raises ValueError."""
    if not isinstance(node, yaml.ScalarNode):
        raise ValueError("should be a single value, not a list or mapping")
    tag, text = node.tag.removeprefix("tag:yaml.org,2002:"), node.value
    if tag == "bool" and text.lower() in yaml.SafeLoader.bool_values:
        return bool(yaml.SafeLoader.bool_values[text.lower()])
    if tag == "str" and (node.style is not None or not _NUMBER.fullmatch(text)):
        return str(text)
    if tag in ("int", "float", "str") and _NUMBER.fullmatch(text) and math.isfinite(float(text)):
        return int(text) if _INTEGER.fullmatch(text) and tag == "int" else float(text)
    raise ValueError(f"{_shown(text)} should be a finite decimal number, a word, true or false")


def _entries(node: yaml.Node, place: str, report: _Report) -> _Entries:
    """The mapping by its keys. A key that is there twice is a problem: YAML would silently keep the last."""
    entries: _Entries = {}
    if not isinstance(node, yaml.MappingNode) or not node.value:
        report(node, f"{place}should be a mapping that is not empty, one `key: value` a line")
        return entries
    for key, value in node.value:
        if not isinstance(key, yaml.ScalarNode):
            report(key, f"{place}a key should be a word, not a list or mapping")
        elif key.value in entries:
            first = entries[key.value][0].start_mark.line + 1
            report(key, f"{place}{_shown(key.value)} is given twice, first on line {first}; remove one")
        else:
            entries[key.value] = (key, value)
    return entries


def _shown(text: object) -> str:
    """What stands in the file, as a message can hold it: short, on one line."""
    if not isinstance(text, str):
        return "(a list or mapping)"
    short = text if len(text) <= 40 else f"{text[:37]}..."
    return short if short.isprintable() and short.strip() else repr(short)


def nearest(word: str, known: Iterable[str]) -> str:
    """`; did you mean …?` for a word that is like a known one, else nothing."""
    near = get_close_matches(word, known, n=2)
    return f"; did you mean {' or '.join(near)}?" if near else ""
