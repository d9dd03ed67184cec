"""vLLM in a container on one processor, reached on the loopback interface only, removed at the end."""

import subprocess
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager

from bench.simulator.served import Served

RUNNING_LIMIT = 8
MODEL_LENGTH_LIMIT = 2048
BATCHED_TOKENS_LIMIT = 2048
KV_CACHE_GIB = 1

PORT = 8000
MODEL = "/model"
START_LIMIT_S = 300
MEMORY = "6g"
CPU_SHARES = 262_144
"""The most: what else runs on the engine's processor gets a hundredth of it."""
CGROUP = {"cgroupfs": ("--cgroup-parent=/",)}
"""By Docker's driver: shares count among the siblings of a container's cgroup, at the root among all processes."""
LOOK_EVERY_S = 1.0
LINES_SHOWN = 15

FLAGS = (
    "--served-model-name=model",
    f"--port={PORT}",
    f"--max-num-seqs={RUNNING_LIMIT}",
    f"--max-model-len={MODEL_LENGTH_LIMIT}",
    f"--max-num-batched-tokens={BATCHED_TOKENS_LIMIT}",
    "--no-enable-prefix-caching",  # the same prompts come in each run
    "--dtype=float32",  # many a CPU multiplies bfloat16 five times as slowly
    "--enforce-eager",
    "--disable-uvicorn-access-log",
)
ENVIRONMENT = {
    "HOME": "/tmp",
    "HF_HUB_OFFLINE": "1",
    "OMP_NUM_THREADS": "1",
    "VLLM_CPU_OMP_THREADS_BIND": "nobind",  # the container's cpuset binds them
    "VLLM_CPU_KVCACHE_SPACE": str(KV_CACHE_GIB),
}


class EngineFailedError(Exception):
    """The engine did not start; the message has the end of its log."""


@contextmanager
def running(served: Served, processor: int, log: Callable[[str], None]) -> Iterator[str]:
    """The base URL of the engine, which serves until the end of the block, on that processor alone."""
    created = _docker(*_command(served, processor))
    try:
        address = _docker("port", created, f"{PORT}/tcp").splitlines()[0]
        _wait(created, f"http://{address}/health", log)
        yield f"http://{address}"
    finally:
        subprocess.run(("docker", "rm", "--force", created), capture_output=True, check=False)


def _command(served: Served, processor: int) -> Sequence[str]:
    cgroup = CGROUP.get(_docker("info", "--format={{.CgroupDriver}}"), ())
    variables = (part for name, value in ENVIRONMENT.items() for part in ("--env", f"{name}={value}"))
    return (
        *("run", "--detach", f"--cpuset-cpus={processor}", f"--cpu-shares={CPU_SHARES}", *cgroup),
        *(f"--memory={MEMORY}", f"--publish=127.0.0.1::{PORT}"),
        *(f"--volume={served.model}:{MODEL}:ro", "--shm-size=1g", "--cap-drop=ALL", *variables),
        *(served.image, MODEL, *FLAGS),
    )


def _wait(created: str, url: str, log: Callable[[str], None]) -> None:
    began_s = time.monotonic()
    log(f"vLLM starts, as {created[:12]}; that takes a minute or two")
    while not _answers(url):
        if _docker("inspect", "--format={{.State.Running}}", created) != "true":
            raise EngineFailedError(f"vLLM ended while it started:\n{_end_of_log(created)}")
        if time.monotonic() - began_s > START_LIMIT_S:
            raise EngineFailedError(f"vLLM does not answer after {START_LIMIT_S} s:\n{_end_of_log(created)}")
        time.sleep(LOOK_EVERY_S)
    log(f"vLLM answers after {time.monotonic() - began_s:.0f} s")


def _answers(url: str) -> bool:
    try:
        with urllib.request.urlopen(url, timeout=5) as answer:
            return bool(answer.status == 200)
    except OSError:
        return False


def _end_of_log(created: str) -> str:
    logged = subprocess.run(("docker", "logs", created), stdout=-1, stderr=subprocess.STDOUT, text=True, check=False)
    return "\n".join(logged.stdout.splitlines()[-LINES_SHOWN:])


def _docker(*arguments: str) -> str:
    done = subprocess.run(("docker", *arguments), capture_output=True, text=True, check=False)
    if done.returncode:
        raise EngineFailedError(f"`docker {arguments[0]}` failed: {done.stderr.strip()}")
    return done.stdout.strip()
