"""One processor for what is measured, another for what it is measured against."""

import os
import resource


def run_on(index: int) -> None:
    """Keep this process on one of its processors, and let it have as many files open as it may."""
    processors = sorted(os.sched_getaffinity(0))
    os.sched_setaffinity(0, {processors[index]})
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))
