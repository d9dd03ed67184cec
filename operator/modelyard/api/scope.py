"""Where an installation works: in the whole cluster, or in some namespaces that it claims."""

from dataclasses import dataclass

from modelyard.api.kinds import Kind

EVERYWHERE = ""
"""Stands for all namespaces in a request."""


@dataclass(frozen=True)
class Scope:
    """The only ``namespaces`` of an installation; none: it is for the whole cluster."""

    namespaces: tuple[str, ...] = ()

    @property
    def is_cluster(self) -> bool:
        """Whether it sees every namespace. Only then may it write nodes, which belong to all."""
        return not self.namespaces

    def places(self, kind: Kind) -> tuple[str, ...]:
        """The namespaces in which to ask for objects of ``kind``, one request each."""
        return self.namespaces if kind.is_namespaced and self.namespaces else (EVERYWHERE,)


WHOLE_CLUSTER = Scope()
