"""What the containers run is what the commands understand, and nothing of them is open to others by itself."""

from __future__ import annotations

import importlib
import re
import shlex
from pathlib import Path
from typing import Any

import pytest
import typer
import yaml

DOCKER = Path(__file__).parents[1] / "docker"


@pytest.fixture(scope="module")
def services() -> dict[str, Any]:
    found: dict[str, Any] = yaml.safe_load((DOCKER / "compose.yaml").read_text(encoding="utf-8"))["services"]
    return found


@pytest.mark.parametrize("name", ["search", "dashboard"])
def test_the_commands_are_understood(services: dict[str, Any], name: str) -> None:
    python, dash_m, module, *options = services[name]["command"]
    assert (python, dash_m) == ("python", "-m")
    params = typer.main.get_command(_app(module)).params
    known = {option for one in params for option in (*one.opts, *one.secondary_opts)}
    assert {option for option in options if option.startswith("--")} <= known
    assert any(getattr(one, "envvar", None) == "AUTOML_STORAGE" for one in params)


def test_the_commands_of_its_readme_are_understood() -> None:
    text = (DOCKER / "README.md").read_text(encoding="utf-8").replace("\\\n", " ")
    lines = [line.split("#")[0] for line in text.splitlines() if "python -m automl" in line]
    assert len(lines) >= 2
    for line in lines:
        words = shlex.split(line[line.index("python -m") :])
        known = {option for one in typer.main.get_command(_app(words[2])).params for option in one.opts}
        assert {word for word in words if word.startswith("--")} <= known


def test_only_the_dashboard_is_reachable_and_only_from_this_machine(services: dict[str, Any]) -> None:
    ports = {name: service.get("ports", []) for name, service in services.items()}
    assert {name for name, open_ones in ports.items() if open_ones} == {"dashboard"}
    assert all(port.startswith("127.0.0.1:") for port in ports["dashboard"])
    assert services["dashboard"]["volumes"] == ["runs:/srv/automl/runs:ro"]
    environment = services["dashboard"]["environment"]
    assert environment["AUTOML_STORAGE"].startswith("postgresql+psycopg://reader@")
    assert environment["PGPASSWORD"] == "${READER_PASSWORD}"


def test_no_password_is_written_down() -> None:
    for file in map(DOCKER.joinpath, ("Dockerfile", "README.md", "compose.yaml", "reading-role.sh")):
        for line in file.read_text(encoding="utf-8").splitlines():
            for value in re.findall(r"PASSWORD[\"']?(?:=|: )(\S+)", line):
                assert value.strip("\"'").startswith(("$", "one", "another")), line


def _app(module: str) -> Any:
    name = module if module == "automl.search" else f"{module}.__main__"
    return importlib.import_module(name).app
