"""The Python process's own metrics, as every Prometheus client in Python shows them."""

import gc
import os
import platform
import resource
import time
from pathlib import Path

from .exposition import Metrics

PROCESS = Path("/proc/self")
FIRST_FIELD_AFTER_NAME = 3
"""Number, in proc(5), of the first field of /proc/self/stat behind the command's name in brackets."""


def interpreter() -> dict[str, str]:
    """The labels of python_info."""
    major, minor, patchlevel = platform.python_version_tuple()
    return {
        "implementation": platform.python_implementation(),
        "major": major,
        "minor": minor,
        "patchlevel": patchlevel,
        "version": platform.python_version(),
    }


def refresh_process(metrics: Metrics) -> None:
    fields = (PROCESS / "stat").read_text().rpartition(")")[2].split()
    started_ticks, virtual_bytes, resident_pages = (
        int(fields[place - FIRST_FIELD_AFTER_NAME]) for place in (22, 23, 24)
    )
    boot_s = time.time() - time.clock_gettime(time.CLOCK_BOOTTIME)
    metrics.set("process_virtual_memory_bytes", virtual_bytes)
    metrics.set("process_resident_memory_bytes", resident_pages * resource.getpagesize())
    metrics.set("process_start_time_seconds", round(boot_s + started_ticks / os.sysconf("SC_CLK_TCK"), 2))
    metrics.set("process_cpu_seconds_total", round(time.process_time(), 2))
    metrics.set("process_open_fds", sum(1 for _ in (PROCESS / "fd").iterdir()))
    metrics.set("process_max_fds", resource.getrlimit(resource.RLIMIT_NOFILE)[0])
    for generation, stats in enumerate(gc.get_stats()):
        metrics.set("python_gc_objects_collected_total", stats["collected"], generation=str(generation))
        metrics.set("python_gc_objects_uncollectable_total", stats["uncollectable"], generation=str(generation))
        metrics.set("python_gc_collections_total", stats["collections"], generation=str(generation))
