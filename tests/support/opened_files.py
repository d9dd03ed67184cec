"""Which files a program opens: `python -m tests.support.opened_files LOG MODULE` runs the module as a program.

LOG then has the path of each file or folder that was opened or listed, one per line, in order.
"""

import os
import runpy
import sys
from pathlib import Path


def main(log: str, module: str) -> None:
    """Runs the module to its end."""
    descriptor = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o644)

    def note(event: str, arguments: tuple[object, ...]) -> None:
        if event in {"open", "os.listdir", "os.scandir"} and isinstance(arguments[0], str | Path):
            os.write(descriptor, f"{arguments[0]}\n".encode())

    sys.addaudithook(note)
    runpy.run_module(module, run_name="__main__")


if __name__ == "__main__":
    main(*sys.argv[1:])
