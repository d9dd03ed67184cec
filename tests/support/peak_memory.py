"""How much memory a program took at its worst."""

import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

_MEASURE = """
import os, subprocess, sys
program = subprocess.Popen(sys.argv[1:], stdout=subprocess.DEVNULL)
_, status, usage = os.wait4(program.pid, 0)
print(usage.ru_maxrss * 1024)
sys.exit(os.waitstatus_to_exitcode(status))
"""


def peak_memory_bytes(command: Sequence[str | Path], environment: Mapping[str, str] | None = None) -> int:
    """Runs the command to its good end and returns its largest resident set.

    A small process stands between: a child's figure includes what its parent had when it forked.
    """
    measured = subprocess.run(
        [sys.executable, "-S", "-c", _MEASURE, *command],
        stdout=subprocess.PIPE,
        env=environment,
        check=True,
        timeout=120,
    )
    return int(measured.stdout)
