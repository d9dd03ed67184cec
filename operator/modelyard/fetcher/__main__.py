"""modelyard-fetch: fetches the model, reports progress, and stops at once on a signal."""

import gc
import importlib.util
import logging
import os
import shutil
import signal
import sys
import threading
import time
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from itertools import chain, repeat
from pathlib import Path
from types import FrameType

from modelyard.contract import names
from modelyard.contract.errors import InvalidError
from modelyard.contract.fetch_report import Phase, Reason
from modelyard.fetcher.configuration import Configuration
from modelyard.fetcher.download.verification import WrongBytes
from modelyard.fetcher.failure import FetchError
from modelyard.fetcher.fetch import fetch
from modelyard.fetcher.report.delivery import Unread, serve
from modelyard.fetcher.report.state import ProgressLines, State

_log = logging.getLogger("modelyard.fetcher")

_OBJECTS_BETWEEN_COLLECTIONS = 100_000
"""Importing botocore makes many objects that stay: to look through them all every 700 takes a fifth of the start."""


class _Ending:
    """The process's exit code, set once: by the worker when it is done, or by a signal."""

    def __init__(self) -> None:
        self._set = threading.Event()
        self.code = 0

    def end(self, code: int) -> None:
        if not self._set.is_set():
            self.code = code
            self._set.set()

    def comes_within(self, seconds: float) -> bool:
        return self._set.wait(seconds)


def main() -> None:
    """The program. Exits with 0 once the model is in place, 1 if it cannot be fetched, 143 on a stop signal."""
    ending = _Ending()
    _stop_on_signals(ending)  # first of all: PID 1 without a handler ignores SIGTERM
    os.umask(0o022)  # the engine reads as another user
    gc.set_threshold(_OBJECTS_BETWEEN_COLLECTIONS)
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s %(message)s", stream=sys.stdout)
    logging.getLogger("botocore").setLevel(logging.WARNING)
    state = State(
        os.environ.get(names.ENV_MODEL_URI, ""),
        os.environ.get(names.ENV_MODEL_REVISION),
        lambda: datetime.now(UTC),
        medium=os.environ.get(names.ENV_CACHE_MEDIUM) or names.MEDIUM_EPHEMERAL,
    )
    worker = threading.Thread(target=_work, args=(state, ending), name="fetch", daemon=True)
    worker.start()
    _report_until(ending, state)
    _report_end(state, ending)
    os._exit(ending.code)  # without waiting for threads that a silent server blocks; the cache is whole at any moment


def _stop_on_signals(ending: _Ending) -> None:
    def stop(number: int, _: FrameType | None) -> None:
        ending.end(128 + number)

    signal.signal(signal.SIGTERM, stop)
    signal.signal(signal.SIGINT, stop)


def _work(state: State, ending: _Ending) -> None:
    """Retries until the model is there. A failure that no retry cures ends it, by name; the kubelet restarts it."""
    try:
        configuration = Configuration.from_environment(os.environ)
        serve(state, configuration.state_port)
        _copy_launcher(configuration.launcher_folder)
        unread = Unread(configuration.launcher_folder, state.last_read_s)
        has_fetched = fetch_patiently(configuration, state, unread.wait)
    except InvalidError as error:
        state.fail(Phase.FAILED, Reason(error.reason), error.message)
        ending.end(1)
    except Exception as error:  # noqa: BLE001 - the last resort: the pod must report something
        _log.exception("unexpected error")
        state.fail(Phase.FAILED, Reason.INTERNAL_ERROR, f"{type(error).__name__}: {error}. See this container's log")
        ending.end(1)
    else:
        ending.end(0 if has_fetched else 1)


def fetch_patiently(configuration: Configuration, state: State, wait: Callable[[str, float], bool]) -> bool:
    """Retries until the model is there, with ``wait``(reason, delay in seconds) after each failed attempt.

    False if ``wait`` returns False: only the program's end can report the failure. Raises InvalidError as ``fetch``.
    """
    wrong_bytes = WrongBytes()
    for delay_s in _delays_s():
        try:
            fetch(configuration, state, wrong_bytes)
        except FetchError as error:
            reason = error.reason
            state.fail(Phase.RETRYING, reason, error.message)
            _log.warning("%s. Retrying in %d s", str(error), delay_s)
        else:
            return True
        gc.collect()  # an attempt's botocore is 30,000 objects in cycles, and main() has them collected rarely
        if not wait(reason, delay_s):
            _log.warning("Ending, to report this: no one reads the report on port %d", configuration.state_port)
            return False
    raise AssertionError("there is always a next attempt")


def _delays_s() -> Iterator[int]:
    return chain((1, 2, 4, 8, 16), repeat(30))


def _copy_launcher(folder: Path) -> None:
    """Puts the engine's first process, and what that runs, where its container finds them: its image has neither."""
    for program in ("launcher", "compile_cache"):
        spec = importlib.util.find_spec(f"modelyard.launcher.{program}")
        if spec is None or spec.origin is None:
            raise FileNotFoundError(f"modelyard/launcher/{program}.py is not in this image")
        new = folder / f".{program}.py"
        shutil.copyfile(spec.origin, new)
        new.replace(folder / f"{program}.py")


def _report_until(ending: _Ending, state: State) -> None:
    """Logs the progress: what changed, at most once a second, and what did not at least every 10 s."""
    lines = ProgressLines()
    while not ending.comes_within(1.0):
        now_s = time.monotonic()
        state.sample_rate(now_s)
        if line := lines.due(state.report(), now_s):
            _log.info("%s", line)


def _report_end(state: State, ending: _Ending) -> None:
    if ending.code > 128:
        state.enter(Phase.STOPPED)
    text = state.report().as_json()
    _log.info("%s", text)
    try:
        Path(os.environ.get(names.ENV_TERMINATION_LOG, names.PATH_TERMINATION_LOG)).write_text(text)
    except OSError as error:
        _log.warning("the termination message cannot be written: %s", error)


if __name__ == "__main__":
    main()
