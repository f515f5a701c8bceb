"""The command line: `python -m automl.search --task T --budget N`."""

from __future__ import annotations

import shlex
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from automl.doors import STORAGE_VARIABLE, run, stoppable

if TYPE_CHECKING:
    from automl.prepare import Request

DATA, SEARCH, MACHINE, OUT = "Data", "Search", "Machine", "Study and output"

app = typer.Typer(add_completion=False, rich_markup_mode="rich", pretty_exceptions_enable=False)


@app.command()
@stoppable("interrupted: what was recorded is safe, the same command goes on")
def command(
    task: Annotated[
        str,
        typer.Option(
            help="A named task (sst2, bbc_news, …), a file (CSV, TSV, JSON, JSONL, Parquet), a folder with "
            "train/validation/test files, a saved `datasets` folder, or a Hub id OWNER/NAME.",
            rich_help_panel=DATA,
        ),
    ],
    budget: Annotated[
        int,
        typer.Option(
            min=1,
            help="Trials to start, pruned and failed ones and those of earlier runs included.",
            rich_help_panel=SEARCH,
        ),
    ] = 50,
    text_column: Annotated[
        str | None, typer.Option(help="Column with the text. (default: found by name)", rich_help_panel=DATA)
    ] = None,
    label_column: Annotated[
        str | None, typer.Option(help="Column with the label. (default: found by name)", rich_help_panel=DATA)
    ] = None,
    metric: Annotated[
        str | None,
        typer.Option(
            help="What models are chosen by: accuracy, macro_f1 (every label counts the same) or matthews. "
            "(default: accuracy; of some named tasks another)",
            rich_help_panel=SEARCH,
        ),
    ] = None,
    group_column: Annotated[
        str | None,
        typer.Option(
            help="Column whose equal values belong together, such as an author: never parted between training, "
            "held-out and test rows. A row without a value stands alone.",
            rich_help_panel=DATA,
        ),
    ] = None,
    folds: Annotated[
        int | None,
        typer.Option(
            min=1,
            max=100,
            help="Parts of the labelled rows that are held out in turn; 1 holds out a fifth. (default: 5 below 1500 "
            "rows, else 1; 1 where validation rows are given)",
            rich_help_panel=DATA,
        ),
    ] = None,
    train_size: Annotated[
        int | None,
        typer.Option(
            min=4,
            help="Labelled rows to use. (default: all; 1000 for large named tasks)",
            rich_help_panel=DATA,
        ),
    ] = None,
    max_length: Annotated[
        int,
        typer.Option(
            min=8,
            help="Tokens of a text that are read, at most what the encoder can; time grows with them.",
            rich_help_panel=DATA,
        ),
    ] = 128,
    no_stand_in: Annotated[
        bool,
        typer.Option(
            "--no-stand-in",
            help="Refuse where SST-2 cannot be had; else film reviews stand in for it, and it is said.",
            rich_help_panel=DATA,
        ),
    ] = False,
    offline: Annotated[
        bool, typer.Option("--offline", help="Use no network; only paths and caches.", rich_help_panel=DATA)
    ] = False,
    unlabelled: Annotated[
        Path | None,
        typer.Option(
            help="Further texts without labels, for what is shipped to learn from and for domain adaptation: .txt with "
            "one a line, or any format of a task.",
            rich_help_panel=DATA,
        ),
    ] = None,
    mask_model: Annotated[
        str | None,
        typer.Option(
            help="Masked language model of the augmentation masked_words. (default: each --model)", rich_help_panel=DATA
        ),
    ] = None,
    translators: Annotated[
        str | None,
        typer.Option(
            help="Two MarianMT models THERE,BACK, of the augmentation back_translation.", rich_help_panel=DATA
        ),
    ] = None,
    model: Annotated[
        str,
        typer.Option(
            help="Pretrained encoder: a Hub id or a local folder with safetensors. A,B searches several at once.",
            rich_help_panel=SEARCH,
        ),
    ] = "sentence-transformers/all-MiniLM-L6-v2",
    search_space: Annotated[
        str,
        typer.Option(
            help="The path of a YAML file, or a preset: default, fast, few_shot, stable, thorough, features, "
            "contrastive, adapters, recipes, imbalanced, text.",
            rich_help_panel=SEARCH,
        ),
    ] = "default",
    time_limit: Annotated[
        float | None, typer.Option(min=1, help="Seconds for everything. (default: none)", rich_help_panel=SEARCH)
    ] = None,
    target: Annotated[
        float | None,
        typer.Option(
            help="Value of the metric at which nothing new is tried any more. (default: none)", rich_help_panel=SEARCH
        ),
    ] = None,
    warm_start: Annotated[
        bool,
        typer.Option(
            "--warm-start",
            help="Begin a new study with the best configurations of other studies in the same database.",
            rich_help_panel=SEARCH,
        ),
    ] = False,
    seed: Annotated[int, typer.Option(min=0, help="Of splits, sampler and training.", rich_help_panel=SEARCH)] = 0,
    workers: Annotated[
        int | None,
        typer.Option(min=1, help="Trials at once. (default: as many as cores or GPUs allow)", rich_help_panel=MACHINE),
    ] = None,
    cpus_per_trial: Annotated[
        float, typer.Option(min=0.1, help="Cores a trial; its threads are as many.", rich_help_panel=MACHINE)
    ] = 1,
    gpus_per_trial: Annotated[
        float | None,
        typer.Option(
            min=0,
            help="GPUs a trial, 0.5 lets two share one. (default: 1 where there is one, else 0)",
            rich_help_panel=MACHINE,
        ),
    ] = None,
    address: Annotated[
        str | None,
        typer.Option(
            help="HOST:PORT of a Ray cluster whose nodes share this folder. (default: Ray on this machine only)",
            rich_help_panel=MACHINE,
        ),
    ] = None,
    storage: Annotated[
        str | None,
        typer.Option(
            help="SQLAlchemy URL of the study database; one with a password is better given in the environment. "
            "(default: sqlite:///runs/studies.db)",
            envvar=STORAGE_VARIABLE,
            rich_help_panel=OUT,
        ),
    ] = None,
    study_name: Annotated[
        str | None,
        typer.Option(
            help="An existing study of that name is continued. (default: made from task, model and space)",
            rich_help_panel=OUT,
        ),
    ] = None,
    output: Annotated[
        Path | None,
        typer.Option(
            help="Folder for the model, empty or not there yet. (default: runs/STUDY/model)", rich_help_panel=OUT
        ),
    ] = None,
    keep_original: Annotated[
        bool,
        typer.Option(
            "--keep-original",
            help="Keep the winner's own models beside the one that is shipped, for `automl.export.original`.",
            rich_help_panel=OUT,
        ),
    ] = False,
    as_json: Annotated[
        bool, typer.Option("--json", help="One JSON object a line on stdout.", rich_help_panel=OUT)
    ] = False,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Print the plan and stop.", rich_help_panel=OUT)] = False,
) -> None:
    """Search hyperparameters for a text classifier, and export the best as a folder that plain transformers loads.

    Exit codes: 0 done, 1 no trial could be used, 2 wrong usage, 130 interrupted. The same command resumes a study.
    """
    from automl.prepare import Request

    request = Request(
        task=task,
        budget=budget,
        model=model,
        search_space=search_space,
        time_limit=time_limit,
        target=target,
        warm_start=warm_start,
        train_size=train_size,
        text_column=text_column,
        label_column=label_column,
        metric=metric,
        group_column=group_column,
        folds=folds,
        max_length=max_length,
        unlabelled=unlabelled,
        mask_model=mask_model,
        translators=translators,
        seed=seed,
        workers=workers,
        cpus_per_trial=cpus_per_trial,
        gpus_per_trial=gpus_per_trial,
        address=address,
        storage=storage,
        study_name=study_name,
        output=output,
        keep_original=keep_original,
        offline=offline,
        stand_in=not no_stand_in,
        command=_typed(sys.argv[1:]),
    )
    raise typer.Exit(_run(request, as_json=as_json, dry_run=dry_run))


def _run(request: Request, *, as_json: bool, dry_run: bool) -> int:
    """Carry the request out; the exit code."""
    from automl.prepare import prepare
    from automl.printout import plan_text, result_text
    from automl.progress import Notice, ResultReady, make_progress
    from automl.quiet import own_stdout, quiet_libraries

    started = time.monotonic()
    quiet_libraries(offline=request.offline)
    prepared = prepare(request)
    if dry_run:
        print(plan_text(prepared))
        return 0

    from automl.pipeline import search

    with own_stdout() as stdout, make_progress(json=as_json, stream=stdout if as_json else None) as progress:
        if prepared.task.stand_in:
            progress.emit(Notice("warning", prepared.task.stand_in))
        for line in prepared.left_out:
            progress.emit(Notice("info", line))
        result = search(prepared, progress, started=started)
        progress.emit(ResultReady(result))
    if not as_json:
        print(result_text(result))
    return 130 if result["interrupted"] else 0


def _typed(arguments: Sequence[str]) -> str:
    """The command as the user typed it, but for the password of a database: it is recorded and published."""
    from automl.study import readable_url

    words: list[str] = []
    for word in arguments:
        option, equals, value = word.partition("=") if word.startswith("--storage=") else ("", "", word)
        is_url = bool(equals) or words[-1:] == ["--storage"]
        words.append(option + equals + (readable_url(value) if is_url else value))
    return shlex.join(["python", "-m", "automl.search", *words])


def main(arguments: Sequence[str] | None = None) -> None:
    """Entry point."""
    run(app, "python -m automl.search", arguments)


if __name__ == "__main__":
    main()
