"""The command line: `python -m automl.predict --model DIR --input rows.csv --output out.csv`."""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated

import typer

from automl.doors import run, stoppable

app = typer.Typer(add_completion=False, rich_markup_mode="rich", pretty_exceptions_enable=False)


@app.command()
@stoppable("interrupted: nothing was written")
def command(
    model: Annotated[Path, typer.Option(help="Folder of an exported model.")],
    input: Annotated[
        Path, typer.Option(help="Texts: CSV, TSV, JSONL or Parquet with a text column, or .txt with one a line.")
    ],
    output: Annotated[Path, typer.Option(help="CSV, TSV or JSONL that is not there yet.")],
    text_column: Annotated[
        str | None, typer.Option(help="Column with the text. (default: found by name, or the only one)")
    ] = None,
) -> None:
    """Label texts with an exported model. Every row is kept, and gains its label and the probability of each.

    Exit codes: 0 done, 2 wrong usage, 130 interrupted.
    """
    from automl.classifier import LABEL, load_classifier, predictions
    from automl.errors import DataError, OutputError
    from automl.quiet import quiet_libraries
    from automl.tasks.streams import read_stream, writer

    quiet_libraries(offline=True)
    if output.exists():
        raise OutputError(f"--output {output}: is there already; nothing is overwritten: name another file")

    part = output.with_name(f".{output.name}.{os.getpid()}.part")  # nobody else's
    try:
        with part.open("w", encoding="utf-8", errors="backslashreplace", newline="") as file:
            write = writer(file, output.suffix.lower())
            classifier = load_classifier(model)
            done, empty = 0, 0
            for labelled in predictions(classifier, read_stream(input), text_column, str(input)):
                write(labelled)
                done += len(labelled)
                empty += sum(row[LABEL] is None for row in labelled)
                if sys.stderr.isatty():
                    print(f"\r{done} rows", end="", file=sys.stderr, flush=True)
        if not done:
            raise DataError(f"--input {input}: holds no row; nothing was written")
        os.replace(part, output)
    except OSError as error:
        raise OutputError(f"--output {output}: cannot be written ({error.strerror or error})") from None
    finally:
        part.unlink(missing_ok=True)
    told = f"; {empty} without a text have no label" if empty else ""
    print(f"{done} rows are labelled in {output}{told}")


def main(arguments: Sequence[str] | None = None) -> None:
    """Entry point."""
    run(app, "python -m automl.predict", arguments)


if __name__ == "__main__":
    main()
