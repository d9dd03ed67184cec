"""Prometheus text in the exact bytes of the real engine, from a template (see derive.py) and the values of now."""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from math import inf
from string import Template

SERIES = re.compile(r"(?P<name>[^{]+)(?:\{(?P<labels>.*)\})?")
LABEL = re.compile(r'(\w+)="((?:[^"\\]|\\.)*)"')
PLACEHOLDER = re.compile(r"\$(\w+)")
SERVER_WIDE = ("engine", "model_name")
"""Labels that every series of one server shares: callers leave them out."""

Key = tuple[str, frozenset[tuple[str, str]]]


@dataclass
class Family:
    """One metric with its HELP and TYPE lines and its samples, in order."""

    header: list[str] = field(default_factory=list)
    headed_when_empty: bool = True
    samples: dict[str, float] = field(default_factory=dict)

    def text(self) -> str:
        if not self.samples and not self.headed_when_empty:
            return ""
        lines = [*self.header, *(f"{series} {go_float(value)}" for series, value in self.samples.items())]
        return "".join(f"{line}\n" for line in lines)


class Metrics:
    """The values behind one server's /metrics.

    Series are named by their sample name (`..._total`, `..._bucket`) and the labels that distinguish them on this
    server. A name that the template does not have is left out silently: which metrics exist is the template's
    decision (none of vLLM's own with --disable-log-stats).
    """

    def __init__(self, template: str, names: Mapping[str, str], *, now_s: float) -> None:
        """`names` fills the template's own placeholders; `now_s` is the Unix time of the `_created` samples."""
        escaped = {name: value.replace("\\", r"\\").replace('"', r"\"") for name, value in names.items()}
        self._families: list[Family] = []
        self._home: dict[str, Family] = {}
        self._series: dict[Key, str] = {}
        self._buckets: dict[Key, list[tuple[float, str]]] = {}
        self._late: list[tuple[str, Family]] = []
        self._late_by_label: list[tuple[str, Family]] = []
        for line in Template(template).safe_substitute(escaped).splitlines():
            self._read(line, now_s)

    def set(self, name: str, value: float, **labels: str) -> None:
        series = self._series.get(_key(name, labels))
        if series is not None:
            self.put(series, value)

    def add(self, name: str, amount: float = 1.0, **labels: str) -> None:
        series = self._series.get(_key(name, labels))
        if series is not None:
            self.put(series, self._home[series].samples[series] + amount)

    def observe(self, name: str, value: float, **labels: str) -> None:
        """Adds one value to a histogram or summary, named without its suffix."""
        self.add(f"{name}_count", 1.0, **labels)
        self.add(f"{name}_sum", value, **labels)
        for bound, series in self._buckets.get(_key(f"{name}_bucket", labels), ()):
            if value <= bound:
                self._home[series].samples[series] += 1

    def put(self, series: str, value: float) -> None:
        """Sets a sample named as the exposition writes it, with all its labels."""
        self._home[series].samples[series] = value

    def first_request(self, now_s: float) -> None:
        """Brings to life the series that wait for any request."""
        for series, family in self._late:
            self._admit(series, family, now_s)
        self._late = []

    def use(self, now_s: float, **labels: str) -> None:
        """Brings to life the series that wait for their first use with these labels."""
        for pattern, family in self._late_by_label:
            if set(PLACEHOLDER.findall(pattern)) <= labels.keys():
                self._admit(Template(pattern).substitute(labels), family, now_s)

    def text(self) -> str:
        return "".join(family.text() for family in self._families)

    def _read(self, line: str, now_s: float) -> None:
        late, line = line.startswith("?"), line.removeprefix("?")
        if line.startswith("# HELP"):
            self._families.append(Family(headed_when_empty=not late))
        family = self._families[-1]
        if line.startswith("#"):
            family.header.append(line)
        elif late:
            (self._late_by_label if PLACEHOLDER.search(line) else self._late).append((line, family))
        else:
            self._admit(line, family, now_s)

    def _admit(self, series: str, family: Family, now_s: float) -> None:
        if series in self._home:
            return
        name, labels = _parsed(series)
        self._home[series] = family
        family.samples[series] = now_s if name.endswith("_created") else float(name.endswith("_info"))
        bound = labels.pop("le", None)
        if bound is None:
            self._series[_key(name, labels)] = series
        else:
            self._buckets.setdefault(_key(name, labels), []).append((float(bound.replace("Inf", "inf")), series))


def go_float(value: float) -> str:
    """A sample's value as Prometheus clients write it: shortest digits, with an exponent from a million on."""
    if value == inf:
        return "+Inf"
    text = repr(float(value))
    whole, dot, fraction = text.partition(".")
    if not dot or "e" in fraction or len(whole) <= 6 or value < 0:
        return text
    digits = f"{whole[1:]}{fraction}".rstrip("0")
    return f"{whole[0]}{'.' if digits else ''}{digits}e+{len(whole) - 1:02d}"


def _parsed(series: str) -> tuple[str, dict[str, str]]:
    match = SERIES.fullmatch(series)
    if match is None:
        raise ValueError(f"not a series: {series}")
    return match["name"], dict(LABEL.findall(match["labels"] or ""))


def _key(name: str, labels: Mapping[str, str]) -> Key:
    return name, frozenset((label, value) for label, value in labels.items() if label not in SERVER_WIDE)
