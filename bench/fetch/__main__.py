"""`make bench-fetch`: the fetcher against other clients. docs/benchmarks.md explains what is measured, and how."""

import math
import os
import signal
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

from bench.fetch import goals, link_check, report
from bench.fetch.options import InvalidOptionError, Options, disk_of
from bench.fetch.rounds import Case, run_rounds
from bench.fetch.servers import Servers, servers
from bench.fetch.sharing import Shared, client_start, share

_ROUNDS_LIMIT_S = 20 * 60
_SUFFIXES = ("", "_tls")
_CLIENTS = {
    "nginx": ("modelyard", "s5cmd", "boto3", "awscrt", "cp"),
    "seaweedfs": ("modelyard", "s5cmd"),
    "slow": ("modelyard", "s5cmd"),
    "tiny": ("modelyard", "s5cmd"),
}
_SHARING = "sharing"
_CLIENT_STARTS = 5


def main() -> int:
    """The whole run; the exit status is 1 when something could not be measured, whatever the figures are."""
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    try:
        options = Options.from_environment(os.environ)
        disk = disk_of(options.folder)
        return _run(options, disk)
    except InvalidOptionError as error:
        print(error, file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        print("Stopped: nothing is left running, and no file.", file=sys.stderr)
        return 130


def _run(options: Options, disk: str) -> int:
    ends_s = time.monotonic() + _ROUNDS_LIMIT_S
    clients = {name + suffix: clients for suffix in _SUFFIXES for name, clients in _CLIENTS.items()}
    options.check_cases({*clients, _SHARING})
    chosen = {name: clients for name, clients in clients.items() if _is_chosen(name, options)}
    with (
        tempfile.TemporaryDirectory(prefix="run-", dir=options.folder) as run_folder,
        servers(options, seaweedfs=any("seaweedfs" in name for name in chosen)) as running,
    ):
        folder = Path(run_folder)
        cases = [Case(name, running.places[name], clients) for name, clients in chosen.items()]
        _log(f"{options.size_bytes >> 20} MiB to {options.folder} ({disk}), {options.rounds} rounds, from the loopback")
        _check_links(cases)
        results = run_rounds(cases, options.rounds, folder, ends_s, _log)
        shared = [_share(running, suffix, folder) for suffix in _SUFFIXES] if _is_chosen(_SHARING, options) else []
        starts = [client_start(folder) for _ in range(_CLIENT_STARTS)] if shared else []
    figures = [figure for suffix in _SUFFIXES for figure in goals.of_rounds(results, chosen, suffix)]
    figures += [figure for one in shared for figure in goals.of_sharing(one)]
    print(f"\n{results.rounds} rounds counted. Load average {os.getloadavg()[1]:.1f} on {os.cpu_count()} processors.\n")
    tables = (report.clients_table(cases, results), report.hits(shared, starts), report.figures_table(figures))
    print(*tables, "\n".join(figure.line() for figure in figures), sep="\n\n")
    return 1 if any(math.isnan(figure.value) for figure in figures) else 0


def _is_chosen(name: str, options: Options) -> bool:
    return not options.only or name in options.only


def _check_links(cases: Sequence[Case]) -> None:
    for case in cases:
        if case.name.startswith(("nginx", "slow")):
            _log(f"{case.name}, read by plain sockets: {link_check.check(case.place)}")


def _share(running: Servers, suffix: str, folder: Path) -> Shared:
    place = running.places[f"nginx{suffix}"]
    _log(f"one cache for several pods, nginx{suffix}")
    return share(running.nginx, place, suffix, folder, _log)


def _log(line: str) -> None:
    print(f"{time.strftime('%H:%M:%S')} {line}", file=sys.stderr, flush=True)


if __name__ == "__main__":
    sys.exit(main())
