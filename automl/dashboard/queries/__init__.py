"""From what the database has of a study to tables: one row a study, a configuration, a trial, a step. No Streamlit."""

from automl.dashboard.queries.again import again_command, as_space
from automl.dashboard.queries.configurations import as_optuna, configurations_table
from automl.dashboard.queries.luck import best_of_n, luck_table
from automl.dashboard.queries.params import params_of, params_text, technique_of
from automl.dashboard.queries.states import StudyState, state_of, studies_table
from automl.dashboard.queries.trials import (
    facts_of,
    history_table,
    seeds_table,
    steps_table,
    timeline_table,
    trials_table,
    utilisation_table,
)

__all__ = [
    "StudyState",
    "again_command",
    "as_optuna",
    "as_space",
    "best_of_n",
    "configurations_table",
    "facts_of",
    "history_table",
    "luck_table",
    "params_of",
    "params_text",
    "seeds_table",
    "state_of",
    "steps_table",
    "studies_table",
    "technique_of",
    "timeline_table",
    "trials_table",
    "utilisation_table",
]
