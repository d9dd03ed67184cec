"""What deploy/components/node-cache lets an agent do, judged by a real API server with the agent's own calls."""

import ssl
from collections.abc import Callable
from dataclasses import dataclass
from itertools import product
from pathlib import Path

import pytest

from modelyard.api import kinds
from modelyard.api.kinds import Kind
from modelyard.contract import names
from modelyard.node.host.api_server import ApiServer as AgentsApi
from modelyard.node.host.api_server import UnreachableError
from modelyard.node.host.cluster import Namespaces, OwnNode
from tests.support.api_client import NAMESPACE, Client, Object, RefusedError
from tests.support.apiserver import BOB, REPOSITORY, ApiServer
from tests.support.eventually import eventually

HOME = "modelyard-system"
ACCOUNT = "modelyard-node"
RULES_REVIEW = Kind("authorization.k8s.io", "v1", "selfsubjectrulesreviews", "SelfSubjectRulesReview")
STARTING = {"key": names.TAINT_CACHE_STARTING, "effect": "NoSchedule"}
OTHER = {"key": "example.com/other", "value": "x", "effect": "NoSchedule"}


@pytest.fixture(scope="module", autouse=True)
def component(apiserver: ApiServer) -> None:
    """The whole installation with the node cache, as a platform team applies it."""
    apiserver.kubectl("apply", "-k", str(REPOSITORY / "deploy/overlays/node-cache"))


@dataclass(frozen=True)
class Agent:
    """An agent's node, and its two ways to the API server: with its own code, and with any request at all."""

    node: str
    api: AgentsApi
    client: Client

    def changes(self, operation: Object, **query: str) -> Object:
        """A JSON patch of its node."""
        path = f"/api/v1/nodes/{self.node}"
        return self.client.request("PATCH", path, [operation], content_type="application/json-patch+json", **query)

    def is_limited(self) -> bool:
        """Whether the API server has taken up the policy, some time after it was applied."""
        try:
            self.changes({"op": "add", "path": "/spec/unschedulable", "value": True}, dryRun="All")
        except RefusedError as error:
            return "node cache" in error.message
        return False


@pytest.fixture
def new_node(admin: Client, namespace: str) -> Callable[[str], str]:
    def made(suffix: str) -> str:
        name = f"{namespace}-{suffix}"
        labels = {"example.com/pool": "gpu"}
        admin.create(kinds.NODE, {"metadata": {"name": name, "labels": labels}, "spec": {"taints": [OTHER, STARTING]}})
        return name

    return made


@pytest.fixture
def agent(apiserver: ApiServer, admin: Client, new_node: Callable[[str], str], tmp_path: Path) -> Agent:
    """An agent on a node of its own, with the token that its kubelet would get for it."""
    node = new_node("own")
    spec = {"nodeName": node, "serviceAccountName": ACCOUNT, "containers": [{"name": "node", "image": "any"}]}
    pod = admin.create(kinds.POD, {"metadata": {"name": node, "namespace": HOME}, "spec": spec})
    bound = {"apiVersion": "v1", "kind": "Pod", "name": node, "uid": pod["metadata"]["uid"]}
    path = f"/api/v1/namespaces/{HOME}/serviceaccounts/{ACCOUNT}/token"
    token_request = {
        "apiVersion": "authentication.k8s.io/v1",
        "kind": "TokenRequest",
        "spec": {"boundObjectRef": bound},
    }
    token = admin.request("POST", path, token_request)["status"]["token"]
    (tmp_path / "token").write_text(token)
    (tmp_path / "ca.crt").write_text(apiserver.certificate.read_text())
    trust = ssl.create_default_context(cafile=str(apiserver.certificate))
    agent = Agent(node, AgentsApi(apiserver.url, tmp_path), Client(apiserver.url, token, trust))
    eventually(agent.is_limited)
    return agent


def test_an_agent_may_do_what_it_calls_and_nothing_else(
    apiserver: ApiServer, agent: Agent, shared_namespace: str
) -> None:
    def rights(client: Client) -> set[tuple[str, str, str]]:
        review = client.create(RULES_REVIEW, {"metadata": {}, "spec": {"namespace": shared_namespace}})
        rules = review["status"]["resourceRules"]
        return {right for rule in rules for right in product(rule["verbs"], rule["apiGroups"], rule["resources"])}

    needed = {("get", "", "namespaces"), ("list", "", "pods"), ("get", "", "nodes"), ("patch", "", "nodes")}
    everybodys = rights(apiserver.client(BOB))
    eventually(lambda: rights(agent.client) - everybodys, lambda more: more == needed - everybodys)


def test_it_learns_the_uid_of_a_namespace_and_that_one_is_gone(
    apiserver: ApiServer, admin: Client, agent: Agent
) -> None:
    name = apiserver.namespace()
    uid = admin.get(NAMESPACE, name)["metadata"]["uid"]
    namespaces = Namespaces(agent.api)
    assert namespaces.uid(name) == uid
    assert not namespaces.is_gone(name, uid)
    assert namespaces.is_gone(name, "another")
    assert namespaces.is_gone("never-there", uid)


def test_it_sees_the_pods_of_its_node_and_no_others(agent: Agent, admin: Client) -> None:
    own = admin.get(kinds.POD, agent.node, HOME)["metadata"]["uid"]
    elsewhere = {"nodeName": "another", "containers": [{"name": "any", "image": "any"}]}
    admin.create(kinds.POD, {"metadata": {"name": f"{agent.node}-2", "namespace": HOME}, "spec": elsewhere})
    assert OwnNode(agent.api, agent.node).pods() == {own}


def test_it_removes_its_start_up_taint_and_leaves_the_others(agent: Agent, admin: Client) -> None:
    before = admin.get(kinds.NODE, agent.node)["spec"]["taints"]
    assert {STARTING["key"], OTHER["key"]} < {taint["key"] for taint in before}
    OwnNode(agent.api, agent.node).remove_starting_taint()
    after = [taint for taint in before if taint["key"] != names.TAINT_CACHE_STARTING]
    assert admin.get(kinds.NODE, agent.node)["spec"]["taints"] == after
    OwnNode(agent.api, agent.node).remove_starting_taint()
    assert admin.get(kinds.NODE, agent.node)["spec"]["taints"] == after


def test_it_cannot_touch_another_node(agent: Agent, new_node: Callable[[str], str]) -> None:
    other = new_node("other")

    with pytest.raises(UnreachableError, match="may change only its own node"):
        OwnNode(agent.api, other).remove_starting_taint()


@pytest.mark.parametrize(
    "operation",
    [
        {"op": "replace", "path": "/spec/taints", "value": []},
        {"op": "replace", "path": "/spec/taints", "value": [STARTING]},
        {"op": "add", "path": "/spec/taints/-", "value": {"key": "mine", "effect": "NoExecute"}},
        {"op": "replace", "path": "/spec/taints", "value": [{**OTHER, "effect": "PreferNoSchedule"}]},
        {"op": "add", "path": "/spec/unschedulable", "value": True},
        {"op": "replace", "path": "/metadata/labels/example.com~1pool", "value": "mine"},
        {"op": "add", "path": "/metadata/annotations", "value": {"mine": "x"}},
        {"op": "add", "path": "/metadata/finalizers", "value": ["example.com/mine"]},
    ],
    ids=lambda operation: f"{operation['op']} {operation['path']}",
)
def test_it_can_change_nothing_else_of_its_own_node(agent: Agent, operation: Object) -> None:
    with pytest.raises(RefusedError, match="An agent of the node cache may") as refused:
        agent.changes(operation)
    assert refused.value.code == 403


def test_no_other_user_is_limited_by_the_agents_policy(admin: Client, agent: Agent) -> None:
    node = admin.get(kinds.NODE, agent.node)
    node["spec"]["taints"] = []
    admin.replace(kinds.NODE, node)
    assert "taints" not in admin.get(kinds.NODE, agent.node)["spec"]


@pytest.mark.parametrize(
    "path",
    ["/api/v1/secrets", "/api/v1/namespaces", "/api/v1/configmaps", "/api/v1/nodes", "/api/v1/persistentvolumes"],
)
def test_it_may_not_read_what_is_not_its_own(agent: Agent, path: str) -> None:
    with pytest.raises(RefusedError, match="cannot list") as refused:
        agent.client.request("GET", path)
    assert refused.value.code == 403
