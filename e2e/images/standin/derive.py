"""Derives the stand-in's data files from recordings of the real vLLM.

Run after recording a new version: `python -m e2e.images.standin.derive RECORDINGS`, where RECORDINGS holds
`fixtures/*.prom` and `serve-help-all.txt`, what `vllm serve --help=all` prints. The metrics are kept in
tests/recordings, and tests hold the committed files to this derivation; of the help, flags.txt is all that is kept.

A metrics template is the real exposition text without values. `$name` stands for what changes from server to server,
and a line that starts with `?` appears only once its series has been used (the gauges of several API servers, and
everything by HTTP handler).
"""

import re
import sys
from pathlib import Path

HERE = Path(__file__).parent
RECORDED_MODEL = "tiny"
RECORDED_HANDLER = "/v1/models"
SERVER_LABELS = (
    ("implementation", "major", "minor", "patchlevel", "version"),
    ("num_gpu_blocks", "num_gpu_blocks_override", "kv_cache_size_tokens", "kv_cache_max_concurrency"),
)
"""Labels whose value is a server's own: of python_info, and of vllm:cache_config_info."""

OPTION = re.compile(r"^  (-\S.*?)(?:\s{2,}.*)?$", re.MULTILINE)
GAUGES_BORN_LATE = (
    "vllm:num_requests_running",
    "vllm:num_requests_waiting",
    "vllm:num_requests_waiting_by_reason",
    "vllm:kv_cache_usage_perc",
)


def flags(help_text: str) -> str:
    """One line for each option of `vllm serve --help=all`: its names and what it takes, as the help shows them."""
    return "".join(f"{option}\n" for option in OPTION.findall(help_text))


def template(exposition: str) -> str:
    """The template of one API server, from the metrics of a server that has answered one GET /v1/models."""
    return "".join(_family(lines) for lines in families(exposition))


def multiprocess_template(exposition: str, single: str) -> str:
    """The template of several API servers, from the metrics of such a server before its first request.

    `single` is the recording for `template`: it lends the series that the other one does not have yet. Which ones those
    are was compared with a running server; the order of families is not fixed there (it is that of files in a folder).
    """
    lent = {_name(lines): lines for lines in families(single)}
    parts = []
    for lines in families(exposition):
        if _name(lines) in GAUGES_BORN_LATE:
            late = [f"?{_valueless(line)}" for line in lent[_name(lines)] if not line.startswith("#")]
            parts.append("".join(f"{line}\n" for line in (*lines, *late)))
        else:
            parts.append(_family(lines))
    present = {_name(lines) for lines in families(exposition)}
    for name, lines in lent.items():
        if name.startswith("http_") and not name.endswith("_created") and name not in present:
            parts.append(_family(lines, headed_when_empty=False))
    return "".join(parts)


def families(exposition: str) -> list[list[str]]:
    """The lines of each metric family, in order: HELP, TYPE, then its samples."""
    found: list[list[str]] = []
    for line in exposition.splitlines():
        if line.startswith("# HELP"):
            found.append([])
        found[-1].append(line)
    return found


def _name(family: list[str]) -> str:
    return family[0].split(" ")[2]


def _family(lines: list[str], *, headed_when_empty: bool | None = None) -> str:
    samples = [_valueless(line) for line in lines if not line.startswith("#")]
    late = [f'handler="{RECORDED_HANDLER}"' in line for line in samples]
    if headed_when_empty is None:
        headed_when_empty = not (_name(lines).endswith("_created") and all(late))
    marked = [f"{'' if headed_when_empty else '?'}{line}" for line in lines if line.startswith("#")]
    for line, is_late in zip(samples, late, strict=True):
        marked.append(f"?{_by_handler(line)}" if is_late else line)
    return "".join(f"{line}\n" for line in marked)


def _by_handler(series: str) -> str:
    return re.sub(r'(handler|method|status)="[^"]*"', r'\1="$\1"', series)


def _valueless(sample: str) -> str:
    series = sample.rpartition(" ")[0].replace(f'model_name="{RECORDED_MODEL}"', 'model_name="$model_name"')
    for labels, of in zip(SERVER_LABELS, ("python_info{", "vllm:cache_config_info{"), strict=True):
        if series.startswith(of):
            for label in labels:
                series = re.sub(rf'([{{,]{label})="[^"]*"', rf'\1="${label}"', series)
    return series


def metrics(recordings: Path) -> dict[str, str]:
    """Each metrics template by its file's name, with the text that the recordings give it."""
    idle = (recordings / "fixtures/vllm-0.32.0-idle-cold.prom").read_text()
    several = (recordings / "fixtures/vllm-0.32.0-api-server-count-2.prom").read_text()
    return {"metrics.prom": template(idle), "metrics-multiprocess.prom": multiprocess_template(several, idle)}


if __name__ == "__main__":
    recorded = Path(sys.argv[1])
    found = {"flags.txt": flags((recorded / "serve-help-all.txt").read_text())} | metrics(recorded)
    for name, text in found.items():
        (HERE / name).write_text(text)
        print(f"{name}: {len(text.splitlines())} lines")
