"""The floors of the architecture: modules import only from their own floor's folder or below, and never in a circle."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
# From the ground up. A module may import from lower floors, and from its own.
FLOORS = [
    {
        "automl",
        "automl.commands",
        "automl.errors",
        "automl.doors",
        "automl.records",
        "automl.metrics",
        "automl.params",
        "automl.quiet",
        "automl.texts",
        "automl.threads",
    },
    {"automl.fetch", "automl.tasks", "automl.models", "automl.spaces", "automl.study", "automl.progress"},
    {"automl.data", "automl.selection", "automl.baselines", "automl.backbones", "automl.learning_curve"},
    {"automl.training", "automl.export"},
    {"automl.tuning"},
    {
        "automl.prepare",
        "automl.workload",
        "automl.outcome",
        "automl.forecast",
        "automl.printout",
        "automl.verdict",
        "automl.candidates",
        "automl.shipping",
        "automl.classifier",
    },
    {"automl.pipeline", "automl.dashboard"},
    {"automl.search", "automl.predict"},
]


def modules() -> dict[str, Path]:
    files = sorted((ROOT / "automl").rglob("*.py"))
    names = {path: ".".join(path.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__") for path in files}
    return {name: path for path, name in names.items()}


def imports(path: Path, known: dict[str, Path]) -> set[str]:
    """Every module of this package that the file imports, lazily or not; not those for type checking only."""
    tree = ast.parse(path.read_text(encoding="utf-8"))
    for node in ast.walk(tree):
        if isinstance(node, ast.If) and isinstance(node.test, ast.Name) and node.test.id == "TYPE_CHECKING":
            node.body = []
    found: set[str] = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            found |= {
                f"{node.module}.{alias.name}" if f"{node.module}.{alias.name}" in known else node.module
                for alias in node.names
            }
    return found & set(known)


def floor(module: str) -> int:
    parts = module.split(".")
    names = {".".join(parts[:2]), module} if len(parts) > 1 else {module}
    return next(level for level, floor in enumerate(FLOORS) if names & floor)


@pytest.mark.parametrize("module", modules())
def test_a_module_imports_only_from_its_floor_and_below(module: str) -> None:
    known = modules()
    above = {other for other in imports(known[module], known) if floor(other) > floor(module)}
    assert not above


def test_there_is_no_circle() -> None:
    known = modules()
    graph = {name: imports(path, known) - {name} for name, path in known.items()}
    done: set[str] = set()
    while len(done) < len(graph):
        free = {name for name, needs in graph.items() if name not in done and needs <= done}
        assert free, f"these import each other: {sorted(set(graph) - done)}"
        done |= free
