"""Parses `vllm serve` as the real program does: every flag of its help, and its error for any other."""

import argparse
import re
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

VERSION = "0.32.0"
FLAGS = Path(__file__).with_name("flags.txt")
COMMANDS = ("chat", "complete", "serve", "launch", "bench", "collect-env", "run-batch")


def _tokens(text: str) -> int | None:
    """A length as vLLM reads it: 8192, 8k (thousands), 8K (of 1024); auto and -1 are the model's own."""
    if text in ("auto", "-1"):
        return None
    match = re.fullmatch(r"(\d+(?:\.\d+)?)([kKmMgG]?)", text)
    if match is None:
        raise argparse.ArgumentTypeError(f"invalid value: {text!r}")
    unit = {"": 1, "k": 10**3, "m": 10**6, "g": 10**9, "K": 2**10, "M": 2**20, "G": 2**30}[match[2]]
    return int(float(match[1]) * unit)


USED: dict[str, Callable[[str], int | None]] = {
    "port": int,
    "max-model-len": _tokens,
    "max-num-seqs": int,
    "max-num-queued-reqs": int,
    "num-gpu-blocks-override": int,
    "block-size": int,
    "api-server-count": int,
    "shutdown-timeout": int,
}
"""Flags that the stand-in acts on and whose value is no plain text: a bad one is refused as by the real engine."""


@dataclass(frozen=True)
class ServeOptions:
    """What the stand-in acts on; every other flag is accepted and has no effect."""

    model: Path
    served_names: tuple[str, ...]
    host: str
    port: int
    max_model_tokens: int | None
    """None: the model's own."""
    max_running: int
    max_queued: int | None
    block_tokens: int
    blocks_override: int | None
    api_servers: int
    shutdown_timeout_s: int
    log_stats: bool
    access_log: bool
    track_load: bool
    dummy_weights: bool
    api_keys: tuple[str, ...]
    non_default: dict[str, object]
    """What the command line set, as the engine logs it."""


def parse(arguments: list[str]) -> ServeOptions:
    """The options of `vllm serve MODEL ...`. Ends the process as argparse does on --help, --version and errors."""
    top = argparse.ArgumentParser(
        prog="vllm", usage=f"vllm [-h] [-v]\n            {{{','.join(COMMANDS)}}}\n            ..."
    )
    top.add_argument("-v", "--version", action="version", version=VERSION)
    serve = top.add_subparsers(dest="command", required=True, metavar="COMMAND").add_parser(
        "serve", usage="vllm serve [model_tag] [options]", add_help=False
    )
    serve.add_argument("model_tag", nargs="?")
    for line in FLAGS.read_text().splitlines():
        _add(serve, line)
    given = top.parse_args([_dashed(argument) for argument in arguments])
    model = given.model_tag or given.model
    if model is None:
        serve.error("a model is needed: vllm serve MODEL")
    return _options(given, model)


def _add(parser: argparse.ArgumentParser, line: str) -> None:
    """Adds the option that one line of flags.txt shows, e.g. `--block-size BLOCK_SIZE` or `--a, --no-a`."""
    variants = re.split(r", (?=-)", line)
    names = [variant.split(" ")[0] for variant in variants]
    takes = variants[0].partition(" ")[2]
    name = names[0].lstrip("-")
    if "--help" in names:
        parser.add_argument(*names, action="help")
    elif f"--no-{name}" in names:
        parser.add_argument(*(one for one in names if one != f"--no-{name}"), action="store_true", default=None)
        parser.add_argument(f"--no-{name}", action="store_false", default=None, dest=name.replace("-", "_"))
    elif not takes:
        parser.add_argument(*names, action="store_true", default=None)
    else:
        several = "+" if "..." in takes else "?" if takes.startswith("[") and "'" not in takes else None
        choices = re.fullmatch(r"\{(.*)\}", takes)
        kind: Callable[[str], object] = USED.get(name, str)
        parser.add_argument(
            *names, nargs=several, type=kind, choices=choices and choices[1].split(","), metavar="VALUE"
        )


def _dashed(argument: str) -> str:
    """--max_model_len is --max-model-len, and --config.key value is a part of --config."""
    if not argument.startswith("--"):
        return argument
    name, equals, value = argument.partition("=")
    return f"{name.split('.')[0].replace('_', '-')}{equals}{value}"


def _options(given: argparse.Namespace, model: str) -> ServeOptions:
    options = {name: value for name, value in vars(given).items() if value is not None and name != "command"}
    names = options.get("served_model_name") or [model]
    return ServeOptions(
        model=Path(model),
        served_names=tuple(names),
        host=options.get("host", ""),
        port=options.get("port", 8000),
        max_model_tokens=options.get("max_model_len"),
        max_running=options.get("max_num_seqs", 256),
        max_queued=options.get("max_num_queued_reqs"),
        block_tokens=options.get("block_size", 128),
        blocks_override=options.get("num_gpu_blocks_override"),
        api_servers=options.get("api_server_count", 1),
        shutdown_timeout_s=options.get("shutdown_timeout", 0),
        log_stats=not options.get("disable_log_stats", False),
        access_log=not options.get("disable_uvicorn_access_log", False),
        track_load=options.get("enable_server_load_tracking", False),
        dummy_weights=options.get("load_format") == "dummy",
        api_keys=tuple(options.get("api_key", ())),
        non_default=options | {"model": model},
    )
