"""The entries under `params:`: each fixes one param, or says how it is searched."""

from __future__ import annotations

from collections.abc import Iterator
from functools import cache
from typing import Any, NamedTuple, cast, get_args

import yaml
from pydantic import TypeAdapter, ValidationError

from automl.params import Params
from automl.spaces.nodes import Entries, Report, entries, nearest, scalar, shown
from automl.spaces.param import Kind, Param

# type -> (attributes that must be given, attributes that may be)
GRAMMAR: dict[str, tuple[tuple[str, ...], tuple[str, ...]]] = {
    "float": (("low", "high"), ("log", "default")),
    "int": (("low", "high"), ("step", "log", "default")),
    "layers": (("low", "high"), ("default",)),
    "categorical": (("choices",), ("default",)),
}


class Entry(NamedTuple):
    """A param where it stands; None in place of one with which something is wrong."""

    node: yaml.Node
    param: Param | None


def read_params(node: yaml.Node, place: str, report: Report) -> dict[str, Entry]:
    """Every entry by the name of its param."""
    found: dict[str, Entry] = {}
    for name, (key, value) in entries(node, place, report).items():
        if name in Params.model_fields:
            found[name] = Entry(key, _param(name, key, value, report))
        else:
            hint = nearest(name, Params.model_fields) or f"; allowed: {', '.join(Params.model_fields)}"
            report(key, f"unknown param {shown(name)}{hint}")
    return found


def read_value(param: Param, node: yaml.Node) -> Any:
    """One of the values that a searched param can take. Raises ValueError."""
    value = _attribute(param.name, param.type, "default", node)
    if misfit := param.misfit(value):
        raise ValueError(f"{shown(str(value))} {misfit}")
    return value


def _param(name: str, key: yaml.Node, value: yaml.Node, report: Report) -> Param | None:
    problems = []

    def note(node: yaml.Node, text: str) -> None:
        problems.append(text)
        report(node, text)

    read = _searched if isinstance(value, yaml.MappingNode) else _fixed
    param = read(name, key, value, note)
    return None if problems else param


def _fixed(name: str, _key: yaml.Node, node: yaml.Node, report: Report) -> Param | None:
    try:
        return Param(name, "fixed", default=_accepted(name, node))
    except ValueError as error:
        report(node, f"{name}: {error}")
        return None


def _searched(name: str, key: yaml.Node, node: yaml.Node, report: Report) -> Param | None:
    found = entries(node, f"{name}: ", report)
    kind = _kind(name, key, found, report)
    required, optional = GRAMMAR[kind] if kind else ((), {a for groups in GRAMMAR.values() for g in groups for a in g})
    values: dict[str, Any] = {}
    for attribute, (at, value) in found.items():
        if attribute not in ("type", *required, *optional):
            allowed = ("type", *required, *sorted(optional))
            hint = f"{nearest(attribute, allowed)}; allowed: {', '.join(allowed)}"
            report(at, f"{name}: unknown attribute {shown(attribute)}{hint}")
        elif attribute == "choices":
            values[attribute] = _choices(name, value, report)
        elif kind and attribute != "type":
            try:
                values[attribute] = _attribute(name, kind, attribute, value)
            except ValueError as error:
                report(value, f"{name}: {attribute} {error}")
    for attribute in required:
        if attribute not in found:
            report(key, f"{name}: {attribute} is missing; type {kind} needs {' and '.join(required)}")
    for attribute, text in _conflicts(name, kind, values):
        report(found[attribute][1], f"{name}: {text}")
    return Param(name, kind, **values) if kind else None


def _kind(name: str, key: yaml.Node, found: Entries, report: Report) -> Kind | None:
    """The type of a param, or None where it is missing, unknown, or not one that this param can be searched by."""
    annotation = Params.model_fields[name].annotation
    types = set(get_args(annotation)) or {annotation}  # float | None: a number that may be left to the model
    number = "float" if float in types else "int" if int in types else None
    layers = "layers" if name.endswith("_layers") else None
    usable = [kind for kind in (number, layers, "categorical") if kind]
    if "type" not in found:
        report(key, f"{name}: type is missing; allowed: {', '.join(usable)}")
        return None
    node = found["type"][1]
    if isinstance(node, yaml.ScalarNode) and node.value in usable:
        return cast(Kind, node.value)
    near = nearest(node.value, usable) if isinstance(node, yaml.ScalarNode) else ""
    report(node, f"{name}: type {shown(node.value)} is not possible{near}; allowed: {', '.join(usable)}")
    return None


def _attribute(name: str, kind: Kind, attribute: str, node: yaml.Node) -> Any:
    """One attribute's value, checked by itself. Raises ValueError."""
    if attribute in ("low", "high", "default") and kind != "layers":
        return _accepted(name, node)
    value = scalar(node)
    is_number = isinstance(value, (int, float)) and not isinstance(value, bool)
    if attribute == "log" and not isinstance(value, bool):
        raise ValueError(f"{shown(node.value)} should be true or false")
    if attribute == "step" and not (is_number and isinstance(value, int) and value >= 1):
        raise ValueError(f"{shown(node.value)} should be a whole number from 1")
    if kind == "layers" and not (is_number and 0 <= cast(float, value) <= 1):
        raise ValueError(f"{shown(node.value)} should be a share of the encoder's depth, 0 to 1")
    return float(value) if kind == "layers" else value


def _choices(name: str, node: yaml.Node, report: Report) -> tuple[Any, ...]:
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
            report(item, f"{name}: choice {shown(item.value)} is given twice; remove one")
        values.append(value)
    return tuple(values)


def _conflicts(name: str, kind: Kind | None, values: dict[str, Any]) -> Iterator[tuple[str, str]]:
    """What is wrong between attributes that are each fine: (attribute to point at, text)."""
    low, high, log, step = (values.get(key) for key in ("low", "high", "log", "step"))
    if log and low is not None and low <= 0:
        yield "low", f"log needs a low above 0, not {low}"
    if log and step:
        yield "step", "step and log exclude each other; remove one"
    if low is not None and high is not None:
        if low >= high:
            advice = "swap them" if low > high else f"to fix the param write {name}: VALUE"
            yield "high", f"high {high} should be above low {low}; {advice}"
            return
        if step and not log and (high - low) % step:
            yield "step", f"step {step} does not lead from {low} to {high}; use a divisor of {high - low}"
            return
    elif not values.get("choices"):
        return
    if kind and "default" in values and (misfit := Param(name, kind, **values).misfit(values["default"])):
        yield "default", f"default {shown(str(values['default']))} {misfit}"


def _accepted(name: str, node: yaml.Node) -> Any:
    """The scalar's value as `Params` takes it for the field `name`. Raises ValueError."""
    value = scalar(node)
    try:
        return _field(name).validate_python(value, strict=True)
    except ValidationError as error:
        rule = error.errors()[0]["msg"].removeprefix("Input ")
        quotes = "; YAML reads it as true or false, text needs quotes" if isinstance(value, bool) else ""
        raise ValueError(f"{shown(node.value)} {rule}{quotes}") from None


@cache
def _field(name: str) -> TypeAdapter[Any]:
    return TypeAdapter(Params.model_fields[name].rebuild_annotation())
