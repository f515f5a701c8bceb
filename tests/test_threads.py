"""Work beside a search that starts processes comes to an end."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest

# Products of matrices that OpenBLAS shares between its threads, while the process forks again and again.
PROGRAM = """
import subprocess, time
import numpy as np
from automl.threads import beside

def products():
    ends, done, matrix = time.monotonic() + 3, 0, np.ones((400, 400))
    while time.monotonic() < ends:
        matrix @ matrix
        done += 1
    return done

with beside(products) as found:
    while not found.done():
        subprocess.run(["true"], preexec_fn=lambda: None)
print(found.result() > 0)
"""


def test_work_beside_forks_ends() -> None:
    """Without the limit of threads it never does on a machine of several cores."""
    free = {name: value for name, value in os.environ.items() if not name.endswith("_NUM_THREADS")}
    try:
        done = subprocess.run([sys.executable, "-c", PROGRAM], env=free, capture_output=True, text=True, timeout=60)
    except subprocess.TimeoutExpired:
        pytest.fail("a product waits for threads that are gone")
    assert (done.stdout, done.returncode) == ("True\n", 0), done.stderr
