"""Plots of what was compared, as PNG."""

from collections.abc import Callable, Mapping, Sequence
from io import BytesIO

from matplotlib.axes import Axes
from matplotlib.figure import Figure

from modelyard.simulate.compare import Compared

_SIZE_INCHES = (9.0, 3.2)


def draw(compared: Sequence[Compared]) -> dict[str, bytes]:
    """A PNG by the name of its file: replicas, the queue, the attainment and the GPU-hours, each over time."""
    return {f"{name}.png": _figure(title, compared, line) for name, (title, line) in _PLOTS.items()}


def _figure(title: str, compared: Sequence[Compared], line: Callable[[Axes, Compared], None]) -> bytes:
    figure = Figure(figsize=_SIZE_INCHES, layout="constrained")
    axes = figure.add_subplot()
    for one in compared:
        line(axes, one)
    axes.set_title(title, loc="left")
    axes.set_xlabel("hours")
    axes.set_ylim(bottom=0)
    axes.margins(x=0)
    axes.grid(alpha=0.3)
    axes.legend(loc="upper left", bbox_to_anchor=(1.0, 1.0), frameon=False)
    written = BytesIO()
    figure.savefig(written, format="png", dpi=110, metadata={"Software": None})
    return written.getvalue()


def _replicas(axes: Axes, one: Compared) -> None:
    (line,) = axes.step(one.course.hours, one.course.serving, where="post", label=one.alternative.name)
    axes.step(one.course.hours, one.course.replicas, where="post", color=line.get_color(), alpha=0.4, linestyle=":")


def _queue(axes: Axes, one: Compared) -> None:
    axes.plot(one.course.hours, one.course.waiting, label=one.alternative.name, linewidth=1)


def _attainment(axes: Axes, one: Compared) -> None:
    percent = [float("nan") if share is None else 100 * share for share in one.course.attainment]
    axes.plot(one.course.attainment_hours, percent, label=one.alternative.name, linewidth=1)


def _gpu_hours(axes: Axes, one: Compared) -> None:
    axes.plot(one.course.hours, one.course.gpu_hours, label=one.alternative.name, linewidth=1)


_PLOTS: Mapping[str, tuple[str, Callable[[Axes, Compared], None]]] = {
    "replicas": ("Replicas that serve (dotted: all that exist)", _replicas),
    "queue": ("Requests that wait", _queue),
    "attainment": ("Requests that attained the objective, %", _attainment),
    "gpu-hours": ("GPU-hours so far", _gpu_hours),
}
