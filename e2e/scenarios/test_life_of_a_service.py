"""What happens to a service over its life, seen with kubectl; the stand-in engine serves."""

import json
import urllib.request

from e2e.support.kubectl import Kubectl, Object, condition, is_true
from e2e.support.port_forward import port_forward
from e2e.support.services import pods_of, service
from tests.support.eventually import eventually

READY_S = 240
"""Longest time until a stand-in pod is ready on a busy machine with two cores."""


def _up(kubectl: Kubectl, body: Object) -> Object:
    """Apply a service, wait until it is ready, and return it."""
    kubectl.apply(body)
    name = body["metadata"]["name"]
    kubectl.wait(f"infsvc/{name}", "condition=Ready", READY_S)
    return kubectl.get("infsvc", name)


def test_a_service_becomes_ready_and_its_conditions_report_it(namespace: Kubectl, standin: Object) -> None:
    ready = _up(namespace, service("plain", engine=standin))

    assert ready["status"]["url"] == f"http://plain.{namespace.namespace}.svc"
    assert ready["status"]["readyReplicas"] == 1
    assert is_true(ready, "Accepted")
    assert is_true(ready, "ModelCached")
    assert is_true(ready, "Available")
    assert condition(ready, "Reconciling") is None
    assert condition(ready, "Stalled") is None
    assert all(c["observedGeneration"] == 1 and c["reason"] for c in ready["status"]["conditions"])


def test_an_unchanged_file_applied_again_changes_nothing(namespace: Kubectl, standin: Object) -> None:
    body = service("again", engine=standin)
    before = _up(namespace, body)
    deployment = namespace.get("deployment", "again")

    assert "unchanged" in namespace.apply(body)

    assert namespace.get("infsvc", "again")["metadata"]["generation"] == before["metadata"]["generation"]
    assert namespace.get("deployment", "again")["metadata"]["generation"] == deployment["metadata"]["generation"]


def test_a_changed_argument_rolls_out_without_a_moment_unready(namespace: Kubectl, standin: Object) -> None:
    _up(namespace, service("rolls", engine=standin))
    (before,) = pods_of(namespace, "rolls")

    changed = service("rolls", engine=standin | {"args": ["--max-num-seqs=3"]})
    namespace.apply(changed)

    def rolled_out() -> bool:
        body = namespace.get("infsvc", "rolls")
        assert body["status"]["readyReplicas"] >= 1, "a rollout took the service away"
        pods = pods_of(namespace, "rolls")
        return (
            is_true(body, "Ready")
            and len(pods) == 1
            and pods[0]["metadata"]["uid"] != before["metadata"]["uid"]
            and "--max-num-seqs=3"
            in pods[0]["spec"]["containers"][0]["command"] + pods[0]["spec"]["containers"][0].get("args", [])
        )

    eventually(rolled_out, within_s=READY_S, every_s=1)


def test_children_that_are_edited_or_deleted_are_repaired(namespace: Kubectl, standin: Object) -> None:
    _up(namespace, service("repaired", engine=standin))
    first = {kind: namespace.get(kind, "repaired") for kind in ("deployment", "service", "pdb")}

    namespace.run("delete", "service/repaired", "pdb/repaired", "--wait=true")
    eventually(lambda: namespace.exists("service", "repaired"), within_s=30)
    eventually(lambda: namespace.exists("pdb", "repaired"), within_s=30)

    image = [{"op": "replace", "path": "/spec/template/spec/containers/0/image", "value": "example.com/other:1"}]
    namespace.run("patch", "deployment/repaired", "--type=json", f"--patch={json.dumps(image)}")
    desired = first["deployment"]["spec"]["template"]["spec"]["containers"][0]["image"]
    eventually(
        lambda: (
            namespace.get("deployment", "repaired")["spec"]["template"]["spec"]["containers"][0]["image"] == desired
        ),
        within_s=30,
    )

    namespace.run("label", "deployment/repaired", "team=ours")
    namespace.run("scale", "deployment/repaired", "--replicas=3")
    eventually(lambda: namespace.get("deployment", "repaired")["spec"]["replicas"] == 1, within_s=30)
    assert namespace.get("deployment", "repaired")["metadata"]["labels"]["team"] == "ours"

    namespace.run("delete", "deployment/repaired", "--wait=true")
    eventually(lambda: namespace.exists("deployment", "repaired"), within_s=30)
    eventually(lambda: is_true(namespace.get("infsvc", "repaired"), "Ready"), within_s=READY_S, every_s=1)


def test_deletion_leaves_nothing(namespace: Kubectl, standin: Object) -> None:
    _up(namespace, service("leaves", engine=standin))

    namespace.run("delete", "infsvc/leaves", "--wait=true")

    kinds = "deployments,services,pdb,replicasets,pods,endpointslices"
    ours = "app.kubernetes.io/managed-by=modelyard"
    eventually(lambda: not namespace.list(kinds, ours), within_s=60, every_s=1)
    assert not [s for s in namespace.list("endpointslices", "") if s["metadata"]["name"].startswith("leaves")]


def test_a_pod_that_is_deleted_while_its_model_loads_is_gone_within_seconds(
    namespace: Kubectl, standin: Object
) -> None:
    loading = standin | {"env": [{"name": "STANDIN_LOAD_S", "value": "600"}]}
    namespace.apply(service("loading", engine=loading))

    def engine_runs() -> str | None:
        for pod in pods_of(namespace, "loading"):
            statuses = pod["status"].get("containerStatuses") or [{}]
            if "running" in statuses[0].get("state", {}):
                return str(pod["metadata"]["name"])
        return None

    pod = eventually(engine_runs, within_s=READY_S, every_s=1)
    grace_s = namespace.get("pod", pod)["spec"]["terminationGracePeriodSeconds"]
    namespace.run("delete", "infsvc/loading", "--wait=true")

    assert grace_s > 15, "a short grace period would prove nothing"
    eventually(lambda: not namespace.exists("pod", pod), within_s=15, every_s=0.5)


def test_a_stream_in_flight_when_its_pod_is_deleted_comes_to_its_end(namespace: Kubectl, standin: Object) -> None:
    slow = standin | {"env": [{"name": "STANDIN_TOKENS_PER_S", "value": "10"}]}
    _up(namespace, service("streams", engine=slow, drain={"timeoutSeconds": 60}))
    (pod,) = pods_of(namespace, "streams")
    body = {"prompt": "hi", "max_tokens": 200, "ignore_eos": True, "stream": True}

    with port_forward(namespace, "streams") as url:
        request = urllib.request.Request(
            f"{url}/v1/completions", json.dumps(body).encode(), {"content-type": "application/json"}
        )
        with urllib.request.urlopen(request, timeout=120) as answer:
            first = answer.readline()
            namespace.run("delete", "pod", pod["metadata"]["name"], "--wait=false")
            events = [line for line in (first, *answer) if line.startswith(b"data: ")]

    assert events[-1] == b"data: [DONE]\n"
    assert sum(b'"text":' in event for event in events) >= 200


def test_scale_works_as_on_a_deployment(namespace: Kubectl, standin: Object) -> None:
    _up(namespace, service("scaled", engine=standin))
    path = f"/apis/serving.modelyard.dev/v1alpha1/namespaces/{namespace.namespace}/inferenceservices/scaled/scale"

    scale = json.loads(namespace.raw(path))
    assert scale["spec"]["replicas"] == 1
    assert scale["status"]["replicas"] == 1
    assert len(namespace.list("pods", scale["status"]["selector"])) == 1

    namespace.run("scale", "infsvc/scaled", "--replicas=2")
    namespace.wait("infsvc/scaled", "jsonpath={.status.readyReplicas}=2", READY_S)
    assert json.loads(namespace.raw(path))["status"]["replicas"] == 2

    namespace.run("scale", "infsvc/scaled", "--replicas=0")
    namespace.wait("infsvc/scaled", "condition=Ready=false", 60)
    eventually(lambda: not namespace.list("pods"), within_s=60, every_s=1)
