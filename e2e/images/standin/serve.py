"""The life of one `vllm serve`: loading, serving, stopping, with the real engine's awkward moments."""

import asyncio
import os
import signal
import socket
import sys
import time
import zlib
from http import HTTPStatus
from pathlib import Path

from . import engine_log
from .api import Api
from .command_line import VERSION, ServeOptions, parse
from .compile_cache import compile_model
from .completions import Served
from .controls import Controls, controls_from
from .engine import Engine
from .exposition import Metrics
from .http_server import HttpServer, Request, Response
from .model_folder import Model, Unusable, check_cache, check_weights, read_config
from .process_metrics import interpreter
from .scheduler import Scheduler

HERE = Path(__file__).parent
BLOCKS = 8192
"""Blocks of key-value cache without --num-gpu-blocks-override: what the real engine made of 1 GiB."""
MIB = 2**20
UNUSABLE_BLOCKS = 1
"""The real engine keeps one block for itself."""


def main(arguments: list[str]) -> int:
    """Runs until the engine ends; the exit code is the real one's for the same end."""
    options = parse(arguments)
    try:
        controls = controls_from(os.environ)
    except ValueError as error:
        print(f"standin: {error}", file=sys.stderr)
        return 2
    if controls.sigterm_while_loading == "lost":
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
    engine_log.starting(options)
    try:
        bound = _bind(options)
        engine_log.port_bound()
        model = read_config(options.model, options.max_model_tokens)
    except (OSError, Unusable) as error:
        engine_log.config_failed(str(error) if isinstance(error, Unusable) else f"OSError: {error}")
        return 1
    try:
        _load(options, controls, model)
    except Unusable as error:
        engine_log.core_failed(str(error))
        return 1
    return asyncio.run(_serve(options, controls, model, bound))


def _bind(options: ServeOptions) -> socket.socket:
    """Takes the port without listening on it, so that clients are refused until the model is loaded."""
    bound = socket.socket(socket.AF_INET6 if ":" in options.host else socket.AF_INET)
    bound.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    bound.bind((options.host, options.port))
    return bound


def _load(options: ServeOptions, controls: Controls, model: Model) -> None:
    engine_log.loading(options.model, model.architecture, model.max_tokens)
    taken = b"\1" * (controls.load_mib * MIB)  # written, so that the kernel must give the pages
    time.sleep(controls.load_s)
    del taken
    if controls.load_error:
        raise Unusable(controls.load_error)
    if not options.dummy_weights:
        check_weights(options.model)
    if controls.compile_s:
        compile_model(Path(os.environ["VLLM_CACHE_ROOT"]), controls.compile_s)
    check_cache(model.max_tokens, options.block_tokens, options.blocks_override)


async def _serve(options: ServeOptions, controls: Controls, model: Model, bound: socket.socket) -> int:
    metrics = _metrics(options, model)
    blocks = (options.blocks_override or BLOCKS) - UNUSABLE_BLOCKS
    engine = Engine(
        Scheduler(options.max_running, options.block_tokens, max(1, blocks)),
        metrics,
        tokens_per_s=controls.tokens_per_s,
        max_queued=options.max_queued,
        gauges=controls.gauges,
    )
    api = Api(_served(options, controls, model), engine, metrics, options.api_keys, controls)

    def served(request: Request, response: Response, took_s: float) -> None:
        api.count(request, response, took_s)
        if options.access_log:
            phrase = HTTPStatus(response.status).phrase
            engine_log.access(request.client, request.method, request.path, response.status, phrase)

    server = HttpServer(api.answer, served)
    stop_requested = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, stop_requested.set)
    stepping = asyncio.ensure_future(engine.run())
    await server.listen(bound)
    if controls.dies_after_s:
        asyncio.get_running_loop().call_later(controls.dies_after_s, engine.die)
    engine_log.loaded(controls.load_s, f"http://{options.host or '0.0.0.0'}:{options.port}", api.paths)
    await _until_the_end(engine, stop_requested, controls)
    exit_code = 1 if engine.state == "dead" and options.api_servers > 1 else 0
    if engine.state == "running":
        await _stop(engine, options.shutdown_timeout_s, controls)
    await server.close()
    stepping.cancel()
    return exit_code


async def _until_the_end(engine: Engine, stop_requested: asyncio.Event, controls: Controls) -> None:
    """Returns when the process has received a signal to stop, or some time after its engine has died."""
    stop = asyncio.ensure_future(stop_requested.wait())
    death = asyncio.ensure_future(engine.died.wait())
    await asyncio.wait((stop, death), return_when=asyncio.FIRST_COMPLETED)
    death.cancel()
    if not stop.done():
        stays = os.environ.get("VLLM_KEEP_ALIVE_ON_ENGINE_DEATH") == "1"
        await asyncio.wait((stop,), timeout=None if stays else controls.death_exit_s)
    stop.cancel()


async def _stop(engine: Engine, shutdown_timeout_s: int, controls: Controls) -> None:
    """Leaves the engine without requests, or silent where clients of the real one would receive nothing more."""
    if shutdown_timeout_s == 0:
        engine_log.info("[shutdown] API server: stopping engine client mode=abort timeout=0s")
        if engine.in_flight:
            {"hang": engine.silence, "abort": engine.abort, "error": engine.die}[controls.abort]()
        return
    engine_log.info(f"[shutdown] API server: stopping engine client mode=drain timeout={shutdown_timeout_s}s")
    engine.drain()
    try:
        async with asyncio.timeout(shutdown_timeout_s):
            await engine.drained()
    except TimeoutError:
        engine.silence()
    else:
        await asyncio.sleep(controls.teardown_s)
    engine_log.info("[shutdown] API server: engine client stopped")


def _served(options: ServeOptions, controls: Controls, model: Model) -> Served:
    return Served(
        names=options.served_names,
        root=str(options.model),
        max_model_tokens=model.max_tokens,
        answer_tokens=controls.answer_tokens,
        fingerprint=f"vllm-{VERSION}-{zlib.crc32(repr(options).encode()):08x}",
        track_load=options.track_load,
    )


def _metrics(options: ServeOptions, model: Model) -> Metrics:
    template = (HERE / ("metrics-multiprocess.prom" if options.api_servers > 1 else "metrics.prom")).read_text()
    if not options.log_stats:
        template = "".join(line for line in template.splitlines(keepends=True) if "vllm:" not in line)
    blocks = options.blocks_override or BLOCKS
    cache_tokens = blocks * options.block_tokens
    names = {
        "model_name": options.served_names[0],
        "num_gpu_blocks": str(blocks),
        "num_gpu_blocks_override": str(options.blocks_override),
        "kv_cache_size_tokens": str(cache_tokens),
        "kv_cache_max_concurrency": str(cache_tokens / model.max_tokens),
        **interpreter(),
    }
    metrics = Metrics(template, names, now_s=time.time())
    metrics.set("vllm:engine_sleep_state", 1.0, sleep_state="awake")
    return metrics
