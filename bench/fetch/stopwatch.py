"""Runs a command and prints, as JSON on standard output, what it took; what the command writes goes to standard error.

A program of its own and standard library only: the kernel reports a resident set of a child that is never smaller
than its parent's was when it forked.
"""

import json
import os
import subprocess
import sys
import time

began_s, started_s = time.time(), time.monotonic()
process = subprocess.Popen(sys.argv[1:], stdout=sys.stderr)
_, status, usage = os.wait4(process.pid, 0)
took = {
    "began_s": began_s,
    "wall_s": time.monotonic() - started_s,
    "cpu_s": usage.ru_utime + usage.ru_stime,
    "peak_rss_bytes": usage.ru_maxrss * 1024,
    "exit_code": os.waitstatus_to_exitcode(status),
}
print(json.dumps(took))
