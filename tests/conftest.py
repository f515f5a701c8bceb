"""The environment of a test run: caches of its own, no proxy, one thread. Set before a library reads it at import."""

import os
import tempfile
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from tests.integration.conftest import Workplace

_caches = tempfile.TemporaryDirectory(prefix="automl-tests-")  # removed when the interpreter ends

for name in ("http_proxy", "https_proxy", "all_proxy"):
    os.environ.pop(name, None)
    os.environ.pop(name.upper(), None)
for name in ("HF_HUB_CACHE", "HUGGINGFACE_HUB_CACHE", "HF_DATASETS_CACHE"):  # each would win over HF_HOME
    os.environ.pop(name, None)
for name in ("HF_HOME", "AUTOML_CACHE", "XDG_CACHE_HOME"):
    os.environ[name] = os.path.join(_caches.name, name.lower())
os.environ["OMP_NUM_THREADS"] = "1"


@pytest.fixture(scope="session")
def searched(tmp_path_factory: pytest.TempPathFactory) -> "Workplace":
    """A folder in which a search has ended; to be left as it is."""
    from tests.integration.conftest import make_workplace

    place = make_workplace(tmp_path_factory.mktemp("searched"))
    done = place.run("--keep-original", budget=20, workers=1)  # with one worker the same trials come every time
    assert done.code == 0, done.errors
    return place
