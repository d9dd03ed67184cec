"""What a test can set of the stand-in beyond vLLM's own flags.

Environment variables, so that `spec.engine.env` of an InferenceService carries them. The defaults are the real engine's
most demanding behaviour, not its kindest.
"""

import re
from collections.abc import Mapping
from dataclasses import Field, dataclass, field, fields

PREFIX = "STANDIN_"


def choice(default: str, *others: str) -> str:
    value: str = field(default=default, metadata={"choices": (default, *others)})
    return value


@dataclass(frozen=True)
class Controls:
    """Each field is read from STANDIN_ and its name in capitals."""

    load_s: float = 1.0
    """Seconds from start to readiness; connections are refused meanwhile."""
    load_error: str = ""
    """Ends loading with this error in a worker's traceback and exit code 1, e.g. `RuntimeError: out of memory`."""
    compile_s: float = 0.0
    """Seconds of torch.compile where VLLM_CACHE_ROOT has no compiled graph yet; 0: nothing is compiled."""
    load_mib: int = 0
    """Host memory that loading takes, for as long as it lasts."""
    dies_after_s: float = 0.0
    """Seconds from readiness to the engine's death, as an engine that crashes while it serves; 0: it lives."""
    sigterm_while_loading: str = choice("lost", "exits")
    """`lost`: the server goes on to serve; `exits`: gone at once with 143, as in the first seconds (not as PID 1)."""
    tokens_per_s: float = 100.0
    """Tokens that each running request gets per second."""
    answer_tokens: int = 64
    """Length of an answer whose request does not set less (`max_tokens`) or all (`ignore_eos`)."""
    abort: str = choice("hang", "abort", "error")
    """What clients see when SIGTERM meets requests in flight at --shutdown-timeout 0: silence, `finish_reason: abort`,
    or an error chunk."""
    teardown_s: float = 1.0
    """Seconds between the last request and the exit; the real engine took 1 when idle and 13 on a busy machine."""
    death_exit_s: float = 5.0
    """Seconds from the engine's death to the exit, unless VLLM_KEEP_ALIVE_ON_ENGINE_DEATH=1."""

    gauges: str = choice("current", "of-last-step")
    """`of-last-step`: gauges keep what the last step of the model left, as in vllm-project/vllm#29928: when all clients
    hang up at once, there is no next step, and they show that load for ever."""
    metrics: str = choice("answered", "silent")
    """`silent`: /metrics accepts requests and answers none."""
    metrics_delay_s: float = 0.0
    """Seconds until /metrics answers; the real engine took up to 3 on a busy machine."""
    metric_names: str = choice("recorded", "v0")
    """`v0`: the names of vLLM's first engine, before 0.9."""
    renamed_metric: str = ""
    """`OLD=NEW`: one metric has another name, e.g. `vllm:num_requests_waiting=vllm:requests_queued`."""


def controls_from(environment: Mapping[str, str]) -> Controls:
    """The controls that an environment sets. Raises ValueError that names what is wrong and what is known."""
    known = {f"{PREFIX}{control.name.upper()}": control for control in fields(Controls)}
    given: dict[str, float | int | str] = {}
    for variable, text in environment.items():
        if not variable.startswith(PREFIX):
            continue
        if variable not in known:
            raise ValueError(f"{variable} is not known; there are {', '.join(known)}")
        given[known[variable].name] = _value(variable, text, known[variable])
    renamed = given.get("renamed_metric")
    if renamed and not re.fullmatch(r"[\w:]+=[\w:]+", str(renamed)):
        raise ValueError(f"{PREFIX}RENAMED_METRIC is OLD=NEW, not {renamed!r}")
    return Controls(**given)  # type: ignore[arg-type]  # each value has been read as its field's type


def _value(variable: str, text: str, control: "Field[object]") -> float | int | str:
    choices = control.metadata.get("choices")
    if choices and text not in choices:
        raise ValueError(f"{variable} is one of {', '.join(choices)}, not {text!r}")
    if control.type is str:
        return text
    try:
        value = int(text) if control.type is int else float(text)
    except ValueError:
        raise ValueError(f"{variable} is a number, not {text!r}") from None
    if value < 0 or (value == 0 and control.name in ("tokens_per_s", "answer_tokens")):
        raise ValueError(f"{variable} is too small: {text}")
    return value
