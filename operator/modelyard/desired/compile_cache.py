"""Which pods start with what earlier ones compiled: those of one model, engine and accelerator, on one node."""

from modelyard.api.service import Object
from modelyard.contract import names
from modelyard.desired import metadata
from modelyard.desired.resolved import Pool
from modelyard.integrations.engines.base import CompileCache


def kept(pool: Pool) -> CompileCache | None:
    """What the node keeps of the engine's compiled code; None for nothing, or where the user places it elsewhere."""
    cache = pool.engine.compile_cache
    users = {variable.name for variable in pool.service.spec.engine.env}
    return cache if cache and pool.is_node_local and cache.variable not in users else None


def key(pool: Pool) -> str:
    """The name of the cache's folder: 32 hexadecimal digits of everything that the compiled code depends on.

    vLLM keeps the results of different settings apart itself; other keys keep what is no longer used in folders of its
    own, which the node agent evicts one by one.
    """
    spec, accelerator = pool.service.spec, pool.accelerator
    devices = accelerator.devices
    compiled_from = {
        "model": [spec.model.uri, spec.model.revision, spec.model.digest],
        "image": pool.image,
        "accelerator": [accelerator.type, devices.resource, devices.count, list(devices.products)],
        "args": spec.engine.args,
    }
    return metadata.fingerprint(compiled_from, digits=32)


def mount(pool: Pool) -> Object:
    """The cache's folder as the engine's container has it. The fetcher makes it before."""
    return {
        "name": names.VOLUME_CACHE,
        "mountPath": names.PATH_COMPILE_CACHE,
        "subPath": f"compile/{key(pool)}",
    }
