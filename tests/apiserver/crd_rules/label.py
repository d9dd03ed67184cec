"""Rules of labels: those that selectors look for, those that users add to ours, and the peers of a network policy."""

from collections.abc import Iterator

from tests.apiserver.crd_rules.case import Case
from tests.support.api_client import Object
from tests.support.crd_schema import Rule

OWN_KEYS = (
    "serving.modelyard.dev/... and "
    "app.kubernetes.io/{name,instance,component,part-of,managed-by} are reserved for "
    "modelyard: choose another key"
)
LABEL_KEY = (
    "be a label key: an optional domain and '/', then at most 63 letters, digits, '-', '_' and '.', starting and "
    "ending with a letter or digit"
)
LABEL_VALUE = (
    "must be a label value: letters, digits, '-', '_' and '.', starting and ending with a letter or digit, or empty"
)
GOOD_LABEL_KEYS = ("app", "a" * 63, "example.com/App_1", "a" * 253 + "/x")
BAD_LABEL_KEYS = ("", "-a", "a" * 64, "/x", "a..b/x", "A.b/x", "a/b/c", "a" * 254 + "/x")
PEER = "spec.networkPolicy.from[]"
GOOD_PEERS: list[Object] = [{"namespaceSelector": {}}, {"podSelector": {}}, {"ipBlock": {"cidr": "::/0"}}]
BAD_PEERS: list[Object] = [{}, {"podSelector": {}, "ipBlock": {"cidr": "::/0"}}]


def label_cases() -> Iterator[Case]:
    """The rules of label selectors."""
    selector = "spec.cache.prefetchNodeSelector"
    yield Case(
        Rule(selector, f"each key must {LABEL_KEY}"),
        selector,
        [{selector: {key: "x"}} for key in GOOD_LABEL_KEYS],
        [{selector: {key: "x"}} for key in BAD_LABEL_KEYS],
    )
    yield Case(
        Rule(f"{selector}{{}}", LABEL_VALUE),
        f"{selector}[x]",
        [{selector: {"x": value}} for value in ("", "A_b.c-1")],
        [{selector: {"x": value}} for value in ("-", "a b", "a/b")],
    )
    for selector in ("namespaceSelector", "podSelector"):
        place, blames = f"{PEER}.{selector}", f"{PEER.replace('[]', '[0]')}.{selector}"
        yield Case(
            Rule(f"{place}.matchLabels", f"each key must {LABEL_KEY}"),
            f"{blames}.matchLabels",
            [{f"{place}.matchLabels": {key: "x"}} for key in GOOD_LABEL_KEYS],
            [{f"{place}.matchLabels": {key: "x"}} for key in BAD_LABEL_KEYS],
        )
        yield Case(
            Rule(f"{place}.matchLabels{{}}", LABEL_VALUE),
            f"{blames}.matchLabels[x]",
            [{f"{place}.matchLabels": {"x": value}} for value in ("", "A_b.c-1")],
            [{f"{place}.matchLabels": {"x": value}} for value in ("-", "a b", "a/b")],
        )
        expression = f"{place}.matchExpressions[]"
        yield Case(
            Rule(f"{expression}.key", f"must {LABEL_KEY}"),
            f"{blames}.matchExpressions[0].key",
            [{f"{expression}.key": key} for key in GOOD_LABEL_KEYS],
            [{f"{expression}.key": key} for key in BAD_LABEL_KEYS],
        )
        yield Case(
            Rule(f"{expression}.values[]", LABEL_VALUE),
            f"{blames}.matchExpressions[1].values[0]",
            [{f"{expression}.values[]": value} for value in ("", "A_b.c-1")],
            [{f"{expression}.values[]": value} for value in ("-", "a b", "a/b")],
        )
        yield Case(
            Rule(expression, "In and NotIn require values; Exists and DoesNotExist must have none"),
            f"{blames}.matchExpressions[0]",
            [
                {expression: {"key": "a", "operator": "NotIn", "values": ["b"]}},
                {expression: {"key": "a", "operator": "DoesNotExist"}},
                {expression: {"key": "a", "operator": "Exists", "values": []}},
            ],
            [
                {expression: {"key": "a", "operator": "In"}},
                {expression: {"key": "a", "operator": "NotIn", "values": []}},
                {expression: {"key": "a", "operator": "Exists", "values": ["b"]}},
            ],
        )


def peer_cases() -> Iterator[Case]:
    """The rules of network peers."""
    yield Case(
        Rule(PEER, "a peer must have either ipBlock, or namespaceSelector, podSelector or both"),
        "spec.networkPolicy.from[0]",
        [{PEER: peer} for peer in GOOD_PEERS],
        [{PEER: peer} for peer in BAD_PEERS],
    )
    for place, blames in (
        (f"{PEER}.ipBlock.cidr", "spec.networkPolicy.from[1].ipBlock.cidr"),
        (f"{PEER}.ipBlock.except[]", "spec.networkPolicy.from[2].ipBlock.except[0]"),
    ):
        yield Case(
            Rule(place, "must be a CIDR, such as 10.0.0.0/8"),
            blames,
            [{place: "2001:db8:2::/48"}],
            [{place: cidr} for cidr in ("", "10.0.0.0", "10.0.0.0/33", "010.0.0.0/8", "example.com")],
        )
    yield Case(
        Rule(f"{PEER}.ipBlock", "ipBlock.except must be a smaller range within ipBlock.cidr"),
        "spec.networkPolicy.from[1].ipBlock",
        [
            {f"{PEER}.ipBlock": {"cidr": "10.0.0.0/8", "except": parts}}
            for parts in ([], ["10.1.0.0/16", "10.2.3.4/32"])
        ],
        [
            {f"{PEER}.ipBlock": {"cidr": "10.0.0.0/8", "except": [part]}}
            for part in ("11.0.0.0/16", "10.0.0.0/8", "0.0.0.0/0", "2001:db8::/64")
        ],
    )


def metadata_cases() -> Iterator[Case]:
    """The rules of labels and annotations."""
    for place in (
        "spec.service.labels",
        "spec.service.annotations",
        "spec.podTemplate.metadata.labels",
        "spec.podTemplate.metadata.annotations",
    ):
        yield Case(
            Rule(place, OWN_KEYS),
            place,
            [{place: {key: "x"}} for key in ("app", "app.kubernetes.io/version", "modelyard.dev/x")],
            [{place: {key: "x"}} for key in ("serving.modelyard.dev/service", "app.kubernetes.io/managed-by")],
        )
        yield Case(
            Rule(place, f"each key must {LABEL_KEY}"),
            place,
            [{place: {key: "x"}} for key in GOOD_LABEL_KEYS],
            [{place: {key: "x"}} for key in BAD_LABEL_KEYS],
        )
    for place in ("spec.service.labels", "spec.podTemplate.metadata.labels"):
        yield Case(
            Rule(f"{place}{{}}", LABEL_VALUE),
            f"{place}[team]",
            [{place: {"team": value}} for value in ("", "a", "A_1.b-c")],
            [{place: {"team": value}} for value in ("-a", "a b", "a/b")],
        )
