"""Who leads where files of models are gone: people remove them, too."""

from __future__ import annotations

from pathlib import Path

from automl.tuning.configurations import configurations
from automl.tuning.kept import leader_with_models
from automl.tuning.policy import Policy
from tests.tuning.records import a_trial


def test_who_has_all_models_leads_before_one_who_lacks_some(tmp_path: Path) -> None:
    policy, files = Policy(2, 7, ()), [tmp_path / f"{number}.safetensors" for number in range(2)]
    found = configurations([a_trial(n, 0.9 - n / 10, checkpoint=str(file)) for n, file in enumerate(files)])

    def leading() -> int | None:
        leader = leader_with_models(policy, found)
        return None if leader is None else leader.number

    assert leading() == 0, "nobody has a model: the best of all"
    files[1].touch()
    assert leading() == 1
    files[0].touch()
    assert leading() == 0
    assert leader_with_models(policy, []) is None
