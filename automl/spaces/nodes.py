"""YAML as nodes that know their lines: parsed without building any object, read with every problem noted."""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Collection, Iterable
from difflib import get_close_matches
from pathlib import Path

import yaml

from automl.errors import SpaceError

_INTEGER = re.compile(r"[-+]?[0-9]+")
_NUMBER = re.compile(r"[-+]?([0-9]+\.?[0-9]*|\.[0-9]+)([eE][-+]?[0-9]+)?")

Report = Callable[[yaml.Node, str], None]  # notes a problem at the node's line
Entries = dict[str, tuple[yaml.Node, yaml.Node]]  # key -> (its node, its value's node)


def compose(path: Path) -> yaml.Node:
    """Parse a file to nodes; no object that a tag may name is built.

    Raises:
        SpaceError: it cannot be read, or is not YAML.
    """
    line, problem = 1, "the file is empty; a search space has a name, and params or techniques"
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


def line_of(node: yaml.Node) -> int:
    """Where the node begins, counted from 1."""
    return int(node.start_mark.line) + 1


def entries(node: yaml.Node, place: str, report: Report) -> Entries:
    """The mapping by its keys. A key that is there twice is a problem: YAML would silently keep the last."""
    found: Entries = {}
    if not isinstance(node, yaml.MappingNode) or not node.value:
        report(node, f"{place}should be a mapping that is not empty, one `key: value` a line")
        return found
    for key, value in node.value:
        if not isinstance(key, yaml.ScalarNode):
            report(key, f"{place}a key should be a word, not a list or mapping")
        elif key.value in found:
            first = line_of(found[key.value][0])
            report(key, f"{place}{shown(key.value)} is given twice, first on line {first}; remove one")
        else:
            found[key.value] = (key, value)
    return found


def keyed(node: yaml.Node, place: str, allowed: Collection[str], report: Report) -> Entries:
    """A mapping whose keys can only be those that are `allowed`."""
    found = entries(node, place, report)
    for name, (key, _) in found.items():
        if name not in allowed:
            report(key, f"{place}unknown key {shown(name)}{nearest(name, allowed)}; allowed: {', '.join(allowed)}")
    return found


def one_line(found: Entries, key: str, report: Report) -> str:
    """The text for people under `key`; nothing if there is none."""
    if key not in found:
        return ""
    node = found[key][1]
    text = str(node.value) if isinstance(node, yaml.ScalarNode) else ""
    if not text or not text.isprintable():
        report(node, f"{key}: not one line of text")
    return text


def scalar(node: yaml.Node) -> bool | int | float | str:
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
    raise ValueError(f"{shown(text)} should be a finite decimal number, a word, true or false")


def shown(text: object) -> str:
    """What stands in the file, as a message can hold it: short, on one line."""
    if not isinstance(text, str):
        return "(a list or mapping)"
    short = text if len(text) <= 40 else f"{text[:37]}..."
    return short if short.isprintable() and short.strip() else repr(short)


def nearest(word: str, known: Iterable[str]) -> str:
    """`; did you mean …?` for a word that is like a known one, else nothing."""
    near = get_close_matches(word, known, n=2)
    return f"; did you mean {' or '.join(near)}?" if near else ""
