"""What the engine prints, in the form of the real one, with its traps: a harmless warning that names an OSError, and
a last line without the cause.
"""

import os
import time
from pathlib import Path

from .command_line import VERSION, ServeOptions

API_SERVER, CORE, WORKER = "APIServer", "EngineCore", "Worker"
BANNER = (
    "",
    "       █     █     █▄   ▄█",
    f" ▄▄ ▄█ █     █     █ ▀▄▀ █  version {VERSION}",
    "  █▄█▀ █     █     █     █  model   {model}",
    "   ▀▀  ▀▀▀▀▀ ▀▀▀▀▀ ▀     ▀",
    "",
)
ULIMIT_WARNING = (
    "Found ulimit of 20000 and failed to automatically increase with error current limit exceeds maximum limit. This "
    "can cause fd limit errors like `OSError: [Errno 24] Too many open files`. Consider increasing with ulimit -n"
)


def line(process: str, level: str, source: str, message: str) -> None:
    stamp = time.strftime("%m-%d %H:%M:%S")
    for part in message.split("\n"):
        print(f"({process} pid={os.getpid()}) {level} {stamp} [{source}] {part}", flush=True)


def info(message: str, *, process: str = API_SERVER, source: str = "launcher.py:186") -> None:
    line(process, "INFO", source, message)


def starting(options: ServeOptions) -> None:
    info("\n".join(BANNER).format(model=options.model), source="api_utils.py:347")
    info(f"non-default args: {options.non_default}", source="api_utils.py:286")


def port_bound() -> None:
    line(API_SERVER, "WARNING", "system_utils.py:255", ULIMIT_WARNING)


def loading(model: Path, architecture: str, max_model_tokens: int) -> None:
    info(f"Resolved architecture: {architecture}", source="model.py:733")
    info(f"Using max model len {max_model_tokens}", source="model.py:2152")
    info(f"Initializing a V1 LLM engine (v{VERSION}) with config: model='{model}'", process=CORE, source="core.py:133")
    info(f"Starting to load model {model}...", process=WORKER, source="cpu_model_runner.py:68")


def compile_cache_used(folder: Path) -> None:
    info(f"Using cache directory: {folder} for vLLM's torch.compile", process=WORKER, source="backends.py:1080")


def compiled_graph_loaded() -> None:
    message = "Directly load the compiled graph(s) for compile range (1, 2048) from the cache, took 0.000 s"
    info(message, process=WORKER, source="backends.py:301")


def compiled(took_s: float) -> None:
    info(f"torch.compile took {took_s:.2f} s in total", process=WORKER, source="monitor.py:76")


def loaded(took_s: float, address: str, routes: tuple[str, ...]) -> None:
    info(f"Loading weights took {took_s:.2f} seconds", process=WORKER, source="default_loader.py:501")
    info(f"Starting vLLM server on {address}", source="entry.py:140")
    info("Available routes are:")
    for route in routes:
        info(f"Route: {route}", source="launcher.py:195")
    print("INFO:     Application startup complete.", flush=True)


def config_failed(cause: str) -> None:
    """An error of the API server itself: a plain traceback whose last lines are the cause."""
    print(f"Traceback (most recent call last):\n{_frame('main', 'args.dispatch_function(args)')}\n{cause}", flush=True)


def core_failed(cause: str) -> None:
    """An error behind the API server: the cause in a worker's lines, then a generic end."""
    line(WORKER, "ERROR", "multiproc_executor.py:953", f"WorkerProc failed to start.\n{_traceback(cause)}")
    vague = "Exception: WorkerProc initialization failed due to an exception in a background process. "
    line(
        CORE,
        "ERROR",
        "core.py:1510",
        f"EngineCore failed to start.\n{_traceback(vague + 'See stack trace for root cause.')}",
    )
    config_failed("RuntimeError: Engine core initialization failed. See root cause above. Failed core proc(s): {}")


def access(client: str, method: str, path: str, status: int, phrase: str) -> None:
    print(f'INFO:     {client} - "{method} {path} HTTP/1.1" {status} {phrase}', flush=True)


def _traceback(cause: str) -> str:
    return (
        f"Traceback (most recent call last):\n{_frame('worker_main', 'worker = WorkerProc(*args, **kwargs)')}\n{cause}"
    )


def _frame(function: str, code: str) -> str:
    return f'  File "vllm/standin.py", line 1, in {function}\n    {code}'
