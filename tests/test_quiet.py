"""What libraries print on stdout never mixes with our own lines."""

from __future__ import annotations

import os
import subprocess
import sys

CODE = """
import os, subprocess
from automl.quiet import own_stdout
with own_stdout() as ours:
    print("a library")
    os.write(1, b"native code\\n")
    subprocess.run(["echo", "a child"])
    print("our line", file=ours)
print("after")
"""


def test_only_our_lines_reach_stdout() -> None:
    done = subprocess.run([sys.executable, "-c", CODE], capture_output=True, text=True, check=True, env={**os.environ})
    assert done.stdout.splitlines() == ["our line", "after"]
    assert done.stderr == ""
