"""Every error this package raises on purpose, and the exit code the command line gives it.

    AutomlError
    ├── UsageError            2   the request cannot be carried out as it stands; nothing was written
    │   ├── TaskError             the task is unknown, or not where it was said to be
    │   ├── DataError             the rows, columns or labels cannot be used
    │   ├── SpaceError            the search space is not valid
    │   ├── ModelError            the model cannot be found or is not safe to load
    │   ├── FetchError            neither the Hub nor the package index gave what was asked, or its checksum is wrong
    │   ├── StorageError          the study database cannot be opened
    │   ├── StudyMismatch         the study holds another task, model or search space
    │   └── OutputError           the output folder is not empty, or the disk is too full
    ├── NothingUsable         1   the search ended without a model
    └── Interrupted         130   stopped by the user before there was a model

A message is one line: what is wrong (with the value and the place), what is allowed, what to do next.
"""


class AutomlError(Exception):
    """Base of every expected error; `exit_code` is what the command line ends with."""

    exit_code = 1


class UsageError(AutomlError):
    """The request cannot be carried out as it stands. Nothing was written."""

    exit_code = 2


class TaskError(UsageError):
    """The task is unknown, or its files are not where they were said to be."""


class DataError(UsageError):
    """Rows, columns or labels cannot be used."""


class SpaceError(UsageError):
    """The search space is not valid."""


class ModelError(UsageError):
    """The model cannot be found, or is not safe to load."""


class FetchError(UsageError):
    """Nothing reachable had the file, or what came has the wrong checksum."""


class StorageError(UsageError):
    """The study database cannot be opened."""


class StudyMismatch(UsageError):
    """The study of that name was made from another task, model or search space."""


class OutputError(UsageError):
    """The output folder is not empty, cannot be written, or the disk is too full."""


class NothingUsable(AutomlError):
    """The search ended without a trial that can be shipped."""


class Interrupted(AutomlError):
    """The user stopped the search before a trial could be shipped. What was recorded is safe."""

    exit_code = 130
