"""The local cluster and all that it is made of: one file per thing that is made, plan.py has the list.

Standard library only: this runs before anything is installed.
"""

import sys

if sys.version_info < (3, 11):  # noqa: UP036  (it runs on whatever python3 the machine has)
    sys.exit(f"Set-up needs Python 3.11 or newer as python3; this is {sys.version.split()[0]}.")
