"""The init container that fetches the model: its configuration, and where it reports its progress."""

from dataclasses import replace
from ipaddress import IPv6Address

from modelyard.api.service import Object
from modelyard.contract import names
from modelyard.desired import compile_cache, content_pin
from modelyard.desired.resolved import Pool
from modelyard.integrations.pod_parts import PodParts, SourceParts

POD_UID: Object = {"name": names.ENV_POD_UID, "valueFrom": {"fieldRef": {"fieldPath": "metadata.uid"}}}
"""Names the pod's link in the cache. Only a variable of the same container can be part of a subPathExpr."""


METADATA_SERVERS = ("169.254.169.254", "169.254.170.2", "169.254.170.23", "[fd00:ec2::254]", "[fd00:ec2::23]")
"""Where clouds give pods an identity, which no proxy can reach: AWS's, Google's and Azure's metadata servers, and AWS's
for containers (boto3's documentation, "Credentials"; Amazon EKS User Guide, "Pod Identity")."""


def build(pool: Pool, security: Object) -> tuple[Object, SourceParts]:
    """The container, and the source's parts whose volumes the pod must have."""
    model = pool.service.spec.model
    source = pool.source.parts(model)
    cache = [] if source.mount else [{"name": names.VOLUME_CACHE, "mountPath": names.PATH_CACHE}]
    kept = _kept_content(pool)
    container = {
        "name": names.CONTAINER_FETCH,
        "image": pool.inputs.fetch_image,
        "env": [
            POD_UID,
            {"name": names.ENV_MODEL_URI, "value": model.uri},
            *_variables(pool),
            *kept.env,
            *source.fetch.env,
            *proxy(pool),
        ],
        "ports": [{"name": names.PORT_FETCH_STATE, "containerPort": names.FETCH_STATE_PORT, "protocol": "TCP"}],
        "volumeMounts": [
            *cache,
            {"name": names.VOLUME_LAUNCHER, "mountPath": names.PATH_LAUNCHER_FOLDER},
            {"name": names.VOLUME_TMP, "mountPath": names.PATH_TMP},
            *kept.mounts,
            *source.fetch.mounts,
        ],
        "resources": {name: amounts for name, amounts in pool.inputs.fetch_resources.model_dump().items() if amounts},
        "securityContext": security,
        "terminationMessagePolicy": "File",
    }
    return container, replace(source, fetch=kept + source.fetch)


def _variables(pool: Pool) -> list[Object]:
    """The fetcher's variables beside the model's URI, without those that are unset."""
    model = pool.service.spec.model
    values = {
        names.ENV_MODEL_REVISION: model.revision,
        names.ENV_MODEL_DIGEST: model.digest,
        names.ENV_CACHE_MEDIUM: pool.cache_medium if pool.is_node_local else None,
        names.ENV_COMPILE_KEY: compile_cache.key(pool) if compile_cache.kept(pool) else None,
    }
    return [{"name": name, "value": value} for name, value in values.items() if value]


def _kept_content(pool: Pool) -> PodParts:
    """What gives the fetcher the content that its revision was first served with; nothing where the user sets it."""
    model = pool.service.spec.model
    if not content_pin.is_kept(model) or model.digest:
        return PodParts()
    # Optional: the first pods come before anything is known.
    config_map = {"name": content_pin.config_map_name(pool.service.key.name), "optional": True}
    return PodParts(
        env=({"name": names.ENV_REVISION_KEY, "value": content_pin.key(model)},),
        volumes=({"name": names.VOLUME_REVISION, "configMap": config_map},),
        mounts=({"name": names.VOLUME_REVISION, "mountPath": names.PATH_REVISION, "readOnly": True},),
    )


def proxy(pool: Pool) -> list[Object]:
    """The variables of the service's proxy, else of the platform team's, whose exceptions hold only for their own.

    None for a model that is not fetched.
    """
    if pool.source.parts(pool.service.spec.model).mount:
        return []
    proxy, default = pool.service.spec.model.proxy, pool.inputs.fetch_proxy
    exceptions = proxy.no_proxy if proxy else []
    if proxy and proxy.url:
        url = proxy.url
    elif default:
        url, exceptions = default.url, [*default.no_proxy, *exceptions]
    else:
        return []
    return [
        *({"name": name, "value": url} for name in names.ENV_PROXY),
        {"name": names.ENV_NO_PROXY, "value": ",".join([*map(_as_in_urls, exceptions), *METADATA_SERVERS])},
    ]


def _as_in_urls(host: str) -> str:
    """The exception as it is compared: with a URL's host, which has an IPv6 address in brackets."""
    try:
        return f"[{IPv6Address(host)}]"
    except ValueError:
        return host
