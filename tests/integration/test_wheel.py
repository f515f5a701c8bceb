"""A wheel built from this repository is whole: it works from another folder, the repository out of reach."""

from __future__ import annotations

import os
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]

pytestmark = pytest.mark.integration


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The wheel, built offline by the locked build backend."""
    folder = tmp_path_factory.mktemp("wheel")
    options = ["--quiet", "--no-index", "--no-deps", "--no-build-isolation", "--disable-pip-version-check"]
    _run([sys.executable, "-m", "pip", "wheel", *options, "--wheel-dir", str(folder), str(ROOT)], cwd=folder)
    (built,) = folder.iterdir()
    return built


@pytest.fixture(scope="module")
def installed(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder that holds the wheel's files and no others."""
    target = tmp_path_factory.mktemp("installed")
    with zipfile.ZipFile(wheel) as archive:
        archive.extractall(target)
    return target


def test_wheel_holds_the_package_its_spaces_and_its_licence_and_nothing_else(wheel: Path) -> None:
    with zipfile.ZipFile(wheel) as archive:
        names = set(archive.namelist())
    info = {name for name in names if ".dist-info/" in name}
    modules = {str(path.relative_to(ROOT)) for path in (ROOT / "automl").rglob("*.py")}
    spaces = {f"automl/search_spaces/{path.name}" for path in (ROOT / "search_spaces").glob("*.yaml")}

    assert spaces
    assert modules | spaces <= names
    assert {name.partition("/")[0] for name in names - info} == {"automl"}
    assert not [name for name in names if "__pycache__" in name or name.endswith(".pyc")]
    assert [name for name in info if name.endswith("/licenses/LICENSE")]


def test_installed_wheel_finds_its_search_spaces(installed: Path, tmp_path: Path) -> None:
    code = """
import automl
from automl.spaces import load_space, presets
print(automl.__file__)
for name, path in presets().items():
    print(name, path, len(load_space(name).over({'tiny': 6}).recipes()) > 0)
"""
    package, *spaces = _run([sys.executable, "-c", code], cwd=tmp_path, path=installed).splitlines()

    assert package == str(installed / "automl" / "__init__.py")
    expected = sorted(path.stem for path in (ROOT / "search_spaces").glob("*.yaml"))
    assert spaces == [f"{name} {installed}/automl/search_spaces/{name}.yaml True" for name in expected]


def test_installed_wheel_answers_help(installed: Path, tmp_path: Path) -> None:
    said = _run([sys.executable, "-m", "automl.search", "--help"], cwd=tmp_path, path=installed)

    assert "--task" in said
    assert "--budget" in said
    assert list(tmp_path.iterdir()) == []


def _run(command: list[str], cwd: Path, path: Path | None = None) -> str:
    """Run to success, away from the repository; what it wrote to stdout."""
    environment = os.environ | {
        "PYTHONPATH": str(path or ""),
        "PYTHONWARNINGS": "error",
        "TERM": "dumb",
        "COLUMNS": "160",
    }
    done = subprocess.run(command, cwd=cwd, env=environment, capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr
    return done.stdout
