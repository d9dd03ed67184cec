"""The agent's metrics, as docs/metrics.md lists them."""

from modelyard.node.cache.budget import Holding, Item, Kind, Limits
from modelyard.node.cache.metrics import Metrics
from modelyard.node.cache.overview import Disk, Overview
from tests.support import metrics_page


def test_the_page_lists_exactly_the_metrics_that_there_are_with_their_labels() -> None:
    metrics = Metrics()
    entry = Item("uid", Kind.ENTRY, "sha256-0", 1, 1)
    limits = Limits(budget_bytes=4, reserve_bytes=1, guaranteed_bytes=1, capacity_bytes=9)
    overview = Overview(limits, Disk(9, 5), {"uid": "team-a"}, (Holding("uid", 1, (entry,)),))
    metrics.watch_cache(lambda: overview)
    metrics.evicted(Kind.ENTRY, 1)
    metrics.refused("CacheFull")
    metrics.published("OK")
    metrics.checked("ok", 1)
    assert metrics_page.listed("Metrics of the node agents") == metrics_page.present(metrics.families())
