"""The pod template: the fetcher, the engine, and what they share.

It passes Pod Security `restricted`, carries no secret, and holds nothing that is learned at run time.
"""

from modelyard.api.devices import DeviceRequest
from modelyard.api.service import Object
from modelyard.contract import names
from modelyard.desired import engine_container, fetch_container, metadata, node_affinity, pod_template
from modelyard.desired.resolved import Pool

CONTAINER_SECURITY: Object = {
    "allowPrivilegeEscalation": False,
    "capabilities": {"drop": ["ALL"]},
    "readOnlyRootFilesystem": True,
}


def template(pool: Pool) -> Object:
    """The pod template. Raises InvalidError for what only an engine or a source can know to be wrong."""
    rendered = pod_template.merge(_template(pool), pool.service.spec.pod_template)
    _require_product(rendered["spec"], pool.accelerator.devices)
    if pool.is_node_local:
        # Words that never change, whichever nodes have the label: the scheduler reads it afresh for each pod.
        node_affinity.prefer(rendered["spec"], {"key": model_label(pool), "operator": "Exists"})
    fingerprint = {names.ANNOTATION_TEMPLATE: metadata.fingerprint(rendered)}
    rendered["metadata"]["annotations"] = rendered["metadata"].get("annotations", {}) | fingerprint
    return rendered


def template_hash(rendered: Object) -> str:
    """The hash that ``template`` wrote on its result: a Deployment whose hash stays restarts no pod."""
    return str(rendered["metadata"]["annotations"][names.ANNOTATION_TEMPLATE])


def _template(pool: Pool) -> Object:
    fetch, source = fetch_container.build(pool, CONTAINER_SECURITY)
    engine, engine_parts = engine_container.build(pool, source, CONTAINER_SECURITY)
    account = pool.service.spec.service_account_name
    spec: Object = {
        "initContainers": [fetch],
        "containers": [engine],
        "volumes": [
            *([] if source.mount else [{"name": names.VOLUME_CACHE, **_cache_volume(pool)}]),
            {"name": names.VOLUME_LAUNCHER, "emptyDir": {}},
            {"name": names.VOLUME_HOME, "emptyDir": {}},
            {"name": names.VOLUME_TMP, "emptyDir": {}},
            *engine_parts.volumes,
            *source.fetch.volumes,
        ],
        "securityContext": _pod_security(pool),
        **({"serviceAccountName": account} if account else {}),
        # Also with an account: cloud identities come as volumes of their own (docs/adr/0002-service-accounts.md).
        "automountServiceAccountToken": False,
        # A Service named vllm would set VLLM_PORT, and vLLM would read it.
        "enableServiceLinks": False,
        "terminationGracePeriodSeconds": (pool.inputs.propagation_pause_s + pool.drain_s + pool.engine.teardown_s),
    }
    if pull_secrets := pool.service.spec.image_pull_secrets:
        spec["imagePullSecrets"] = [{"name": secret.name} for secret in pull_secrets]
    if pool.accelerator.taints:
        spec["tolerations"] = [{"key": taint, "operator": "Exists"} for taint in pool.accelerator.taints]
    about: Object = {"labels": metadata.own_labels(pool)}
    if engine_parts.annotations:
        about["annotations"] = dict(engine_parts.annotations)
    return {"metadata": about, "spec": spec}


def _cache_volume(pool: Pool) -> Object:
    return {"csi": {"driver": names.CSI_DRIVER}} if pool.is_node_local else {"emptyDir": {}}


def model_label(pool: Pool) -> str:
    """The label of nodes that hold the service's model; see names.LABEL_MODEL_DOMAIN."""
    return f"{names.LABEL_MODEL_DOMAIN}/{pool.service.uid}"


def _pod_security(pool: Pool) -> Object:
    """Who the containers run as; the ids are left out where the cluster assigns them."""
    ids = pool.inputs.pod_security
    stated = {"runAsUser": ids.run_as_user, "runAsGroup": ids.run_as_group, "fsGroup": ids.fs_group}
    return {
        "runAsNonRoot": True,
        "seccompProfile": {"type": "RuntimeDefault"},
        **{name: value for name, value in stated.items() if value is not None},
    }


def _require_product(spec: Object, devices: DeviceRequest) -> None:
    """Add to the pod's ``spec``, in place, that its node must have one of the devices' products, if any is requested.

    Raises InvalidError as node_affinity.require.
    """
    if devices.products:
        condition = {"key": devices.product_label, "operator": "In", "values": list(devices.products)}
        node_affinity.require(spec, condition)
