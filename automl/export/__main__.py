"""The command line: `python -m automl.export --study NAME --to USER/NAME`."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from automl.doors import DEFAULT_STORAGE, STORAGE_VARIABLE, run, stoppable

if TYPE_CHECKING:
    from automl.export.shipped import ShippedModel

app = typer.Typer(add_completion=False, rich_markup_mode="rich", pretty_exceptions_enable=False)


@app.command()
@stoppable("interrupted: nothing is half-written")
def command(
    study: Annotated[str, typer.Option(help="The study whose shipped model is exported.")],
    storage: Annotated[
        str, typer.Option(help="SQLAlchemy URL of the study database.", envvar=STORAGE_VARIABLE)
    ] = DEFAULT_STORAGE,
    to: Annotated[
        str | None, typer.Option(help="Repository USER/NAME on the Hugging Face Hub, made if there is none.")
    ] = None,
    output: Annotated[Path | None, typer.Option(help="Folder, empty or not there yet, in place of the Hub.")] = None,
    private: Annotated[
        bool, typer.Option("--private", help="For you alone; an existing public repository is refused.")
    ] = False,
    update: Annotated[
        bool,
        typer.Option(
            "--update", help="Where the repository has files already, add a commit that replaces a model in it."
        ),
    ] = False,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Print the files and the model card, and stop.")] = False,
) -> None:
    """Export the model that a study ships, with its card, to a folder or to the Hugging Face Hub.

    The token for the Hub is that of `hf auth login`, or HF_TOKEN. Exit codes: 0 done, 2 wrong usage, 130 interrupted.
    """
    from automl.errors import UsageError
    from automl.export.shipped import copy_to, publish, shipped_model
    from automl.quiet import quiet_libraries

    quiet_libraries(offline=False)
    if (to is None) == (output is None) and not dry_run:
        raise UsageError("give one of --to USER/NAME, for the Hub, and --output DIR, for a folder")
    model = shipped_model(storage, study)
    where = to or str(output or "PATH")
    if dry_run:
        print(_plan(model, where))
    elif output is not None:
        copy_to(model, output)
        print(f"The model is in {output}")
    else:
        print(f"The model is at {publish(model, where, private=private, update=update)}")


def _plan(model: ShippedModel, where: str) -> str:
    sizes = [(name, (model.folder / name).stat().st_size) for name in model.files]
    files = "\n".join(f"  {size / 1e6:9.2f} MB  {name}" for name, size in sizes)
    return f"{model.folder} to {where}:\n{files}\n\n{model.card(where)}"


def main(arguments: Sequence[str] | None = None) -> None:
    """Entry point."""
    run(app, "python -m automl.export", arguments)


if __name__ == "__main__":
    main(sys.argv[1:])
