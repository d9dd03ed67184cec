"""Every reason that a condition of an InferenceService can have: its message and its remedy.

docs/troubleshooting.md has one section per reason; a test keeps the two lists equal. observe/ decides which reason
applies. The reasons of a refused spec and of a failed fetch are listed here by name only: their messages stand where
they are raised.
"""

from typing import get_args

from modelyard.api.conditions import Kind, Reason
from modelyard.contract import fetch_report, names
from modelyard.contract.errors import Refusal, Wait


def _good(name: str, text: str, remedy: str = "") -> Reason:
    return Reason(name, Kind.GOOD, text, remedy)


def _under_way(name: str, text: str, remedy: str = "") -> Reason:
    return Reason(name, Kind.UNDER_WAY, text, remedy)


def _problem(name: str, text: str, remedy: str = "") -> Reason:
    return Reason(name, Kind.PROBLEM, text, remedy)


class Reasons:
    """Every reason, in the order in which a service meets them."""

    # The spec. What makes it invalid is in errors.Refusal.
    ACCEPTED = _good("Accepted", "The spec is valid and has been applied.")

    ACCEPTED_AS_RECORDED = _good(
        "AcceptedAsRecorded",
        "The pods keep the settings they were created with. The current settings or profile would refuse them "
        "({reason}): {cause}",
        "Running pods are not affected. Fix this before you change the spec or request a refresh.",
    )
    UP_TO_DATE = _good("UpToDate", "The pods use the current settings and profile.")
    REFRESH_CHANGES_PODS = _good(
        "RefreshChangesPods",
        "The pods use older defaults. A refresh would change {changes}.",
        "To refresh them, at a time of your choice, run: kubectl -n {namespace} annotate infsvc/{name} "
        f"{names.ANNOTATION_REFRESH}=$(date +%s) --overwrite",
    )
    CONTESTED = _problem(
        "Contested",
        "The spec is valid, but another writer keeps changing {field} of {child}. modelyard now reverts it once a "
        "minute.",
        "Change the InferenceService instead, or stop the other writer. Point an autoscaler at the InferenceService, "
        "not at its Deployment.",
    )

    # Automatic scaling
    SCALING = _good(
        "Scaling", "Replicas follow demand: {desired} of at most {maximum}.{unknown} status.scaling has the reasons."
    )
    RECOMMENDING = _good(
        "Recommending",
        "mode is Recommend: nothing is scaled. Auto would run {desired} of at most {maximum}; status.scaling has "
        "the reasons.",
        "To scale, set spec.scaling.mode to Auto.",
    )
    AWAITING_DECISION = _under_way("AwaitingDecision", "No scaling decision has been made yet.")
    METRICS_UNAVAILABLE = _problem(
        "MetricsUnavailable",
        "The metrics that scaling needs cannot be read, so the number of replicas stays within its bounds: {cause}.",
        "Check that the operator can connect to the source, and that it still has the metric.",
    )
    FOREIGN_AUTOSCALER = _problem("ForeignAutoscaler", "{autoscaler} scales {target}, {conflict}", "{remedy}")

    # The service as a whole
    READY = _good("Ready", "{ready} of {desired} replicas are ready at {url}.")
    COMPLETE = _good("Complete", "{desired} of {desired} replicas run the current spec.")
    ROLLING_OUT = _under_way("RollingOut", "{ready} of {desired} replicas are ready; the rollout is in progress.")
    SERVING_PREVIOUS = _problem(
        "ServingPrevious",
        "Still serving the previous configuration (ready pods: {ready}). The current one is not running: {cause}",
    )
    DEGRADED = _problem("Degraded", "{ready} of {desired} replicas are ready. The others are not: {cause}")
    SCALED_TO_ZERO = _under_way(
        "ScaledToZero",
        "Scaled to zero.",
        "To scale up, run: kubectl -n {namespace} scale infsvc/{name} --replicas=1",
    )
    PAUSED = _under_way(
        "Paused",
        "Reconciliation is paused by the annotation {annotation}: modelyard updates only this status. Changes to the "
        "spec and reverts of other writers' changes wait.",
        "To resume, run: kubectl -n {namespace} annotate infsvc/{name} {annotation}-",
    )
    DELETING = _under_way("Deleting", "The InferenceService is being deleted; its pods are draining.")

    # Pods are created and scheduled
    CREATING = _under_way("Creating", "Pods are being created.")
    PREPARING = _under_way("Preparing", "Node {node} is preparing the pod: {step}{pace}.")
    QUOTA_EXCEEDED = _problem(
        "QuotaExceeded",
        "The namespace's resource quota does not allow the pod: {cause}.",
        "Lower the requests, free some quota (kubectl -n {namespace} describe quota), or have the quota raised.",
    )
    POD_SECURITY_REFUSED = _problem(
        "PodSecurityRefused",
        "Pod Security admission rejected the pod: {cause}.",
        "Remove from the spec what the namespace's level forbids, or have the namespace's label "
        "pod-security.kubernetes.io/enforce changed.",
    )
    SERVICE_ACCOUNT_MISSING = _problem(
        "ServiceAccountMissing",
        "The pod's service account does not exist: {cause}.",
        "Create it in namespace {namespace}, or correct spec.serviceAccountName.",
    )
    ADMISSION_REFUSED = _problem(
        "AdmissionRefused",
        "The API server rejected the pod: {cause}.",
        "Change what the message names, or contact the owner of that policy or webhook.",
    )
    SCHEDULING = _under_way("Scheduling", "The pod is waiting to be scheduled.{hint}")
    UNSCHEDULABLE = _problem(
        "Unschedulable",
        "No node can run the pod: {cause}. {offered}",
        "Lower spec.resources, free or add a node, or remove the taint or node label that excludes the pod.",
    )
    INSUFFICIENT_ACCELERATORS = _problem(
        "InsufficientAccelerators",
        "No eligible node has {request} free. {offered} Scheduler: {cause}.",
        "Free accelerators, add a node, lower spec.accelerator.count, or remove what excludes nodes.",
    )
    ROLLOUT_LACKS_ACCELERATORS = _problem(
        "RolloutLacksAccelerators",
        "The rollout's new pod needs {request}, which no node has free while the old pods run. {offered} "
        "The old pods keep serving. Scheduler: {cause}.",
        "Free accelerators or add a node; the rollout then continues.",
    )
    VOLUME_CLAIM_MISSING = _problem(
        "VolumeClaimMissing",
        "A PersistentVolumeClaim of the pod does not exist: {cause}.",
        "Create the PersistentVolumeClaim in namespace {namespace}, or correct its name (a pvc:// URI, podTemplate).",
    )
    VOLUME_CLAIM_UNBOUND = _problem(
        "VolumeClaimUnbound",
        "A PersistentVolumeClaim of the pod is not bound: {cause}.",
        "See kubectl -n {namespace} describe pvc. The claim needs a matching volume, or a storage class with a running "
        "provisioner.",
    )
    NODE_UNAVAILABLE = _problem(
        "NodeUnavailable",
        "Node {node} is not available: {cause}.",
        "See kubectl describe node {node}. Kubernetes replaces the pod once it gives up on the node.",
    )
    NODE_REFUSED = _problem(
        "NodeRefused",
        "Node {node} rejected the pod: {cause}. {devices}",
        "A device may be unhealthy or the node overcommitted: see kubectl describe node {node}. "
        "Kubernetes creates a new pod.",
    )
    EVICTED = _problem(
        "Evicted",
        "Node {node} evicted the pod: {cause}.",
        "Request what the pod actually uses in spec.resources (memory, ephemeral-storage), or use larger nodes.",
    )

    # The node prepares the pod
    IMAGE_PULL_FAILED = _problem(
        "ImagePullFailed",
        "Image {image} cannot be pulled: {cause}.",
        "{why} The kubelet retries at least every 5 minutes.",
    )
    SECRET_MISSING = _problem(
        "SecretMissing",
        "A Secret that the pod needs does not exist: {cause}.",
        "Create it in namespace {namespace}, or correct its name (spec.engine.env, podTemplate). The pod then starts.",
    )
    CONFIG_MAP_MISSING = _problem(
        "ConfigMapMissing",
        "A ConfigMap that the pod needs does not exist: {cause}.",
        "Create it in namespace {namespace}, or correct its name (spec.engine.env, podTemplate). The pod then starts.",
    )
    KEY_MISSING = _problem(
        "KeyMissing",
        "A Secret or ConfigMap lacks a key that the pod needs: {cause}.",
        "Add the key in namespace {namespace}, or correct its name (spec.engine.env, podTemplate). The pod then "
        "starts.",
    )
    VOLUME_MOUNT_FAILED = _problem(
        "VolumeMountFailed",
        "A volume cannot be mounted: {cause}.",
        "Create what the message names (claim, ConfigMap, Secret, driver), or correct the spec.",
    )
    NO_NODE_CACHE = _problem(
        "NoNodeCache",
        "Node {node} has no model cache: {cause}.",
        "Have modelyard-node deployed there (kubectl get pods -A -o wide -l "
        f"{names.LABEL_APP_COMPONENT}={names.COMPONENT_NODE},{names.MANAGED_SELECTOR}), keep the pods off such nodes, "
        "or set spec.cache.medium to Ephemeral.",
    )
    SANDBOX_FAILED = _problem(
        "SandboxFailed",
        "Node {node} cannot set up the pod's sandbox: {cause}.",
        "Check the node's network plugin, runtime class and container runtime.",
    )
    CONTAINER_CONFIG_INVALID = _problem(
        "ContainerConfigInvalid",
        "Container {container} cannot be set up: {cause}.",
        "Correct what the message names in spec.engine or spec.podTemplate, or use another image.",
    )
    CONTAINER_START_FAILED = _problem(
        "ContainerStartFailed",
        "Container {container} cannot start: {cause}.",
        "The image must contain python3 and the engine's command: correct spec.engine.image.",
    )

    # Containers that are not modelyard's own
    WAITING_FOR_CONTAINER = _under_way(
        "WaitingForContainer",
        "The pod is waiting for container {container}, which is not modelyard's own: {step}{pace}.",
    )
    CONTAINER_FAILED = _problem(
        "ContainerFailed",
        "Container {container}, which is not modelyard's own, {how}: {cause}.",
        "Correct it in spec.podTemplate, or where it is injected: "
        "see kubectl -n {namespace} logs {pod} -c {container} --previous.",
    )
    CONTAINER_NOT_READY = _problem(
        "ContainerNotReady",
        "The engine is ready, but container {container}, which is not modelyard's own, has not been since {since}: "
        "{cause}.",
        "A pod is ready when all its containers are. Correct it in spec.podTemplate, or where it is injected: "
        "see kubectl -n {namespace} logs {pod} -c {container}.",
    )

    # The model is fetched. How a fetch can fail is in fetch_report.Reason.
    FETCHING = _under_way("Fetching", "Fetching the model: {progress}{pace}.")
    FETCHER_UNREACHABLE = _under_way(
        "FetcherUnreachable",
        "Fetching the model{pace}, but the operator cannot reach port {port} of pod {pod}, so its progress is unknown.",
        "A NetworkPolicy probably denies it: set spec.networkPolicy, whose policy allows the operator, or allow "
        f"ingress to port {names.FETCH_STATE_PORT} from pods labelled {names.LABEL_APP_NAME}={names.APPLICATION} and "
        f"{names.LABEL_APP_COMPONENT}={names.COMPONENT_OPERATOR} in the operator's namespace.",
    )
    CACHED = _good("Cached", "The model is complete and verified on the pods' nodes.")
    MOUNTED = _good("Mounted", "The model is mounted from its volume, and the pods can read all of it.")
    CONTENTS_DIFFER = _problem(
        "ContentsDiffer",
        "Pods of the same revision serve different contents, because the source changed while they started: "
        "{contents}.",
        "Set a new spec.model.revision: every pod is then replaced by one that serves the source's current content.",
    )
    FETCH_FAILED = _problem(
        "FetchFailed",
        "Fetching the model failed: {cause}.",
        "See kubectl -n {namespace} logs {pod} -c modelyard-fetch.",
    )

    # The model is prefetched; these appear in status.prefetch
    PREFETCHED = _good("Prefetched", "{ready} of {desired} nodes have the model and the engine's image.")
    PREFETCHING = _under_way("Prefetching", "{ready} of {desired} nodes have the model and the engine's image. {step}")
    PREFETCH_LACKS_NODES = _problem(
        "PrefetchLacksNodes",
        "{ready} of {desired} nodes have the model and the engine's image, and no other node is eligible. {lacking}",
        "Add nodes, remove what excludes them (spec.podTemplate, spec.cache.prefetchNodeSelector), or lower "
        "spec.cache.prefetch. New nodes are used as they join.",
    )
    PREFETCH_LOST = _problem(
        "PrefetchLost",
        "{lost} of {desired} nodes no longer have the prefetched model; it is being prefetched again, on these or on "
        "other nodes.",
        "Their caches needed the space or were emptied. If this repeats, have the caches' budget raised, or lower "
        "spec.cache.prefetch.",
    )

    # The engine starts and runs
    STARTING = _under_way("Starting", "The engine {loading}{pace}{limit}.")
    START_TIMEOUT = _problem(
        "StartTimeout",
        "A replica exceeded spec.startup.timeoutSeconds ({budget_s} s): it was {stage}.",
        "Raise spec.startup.timeoutSeconds, or see what takes so long: "
        "kubectl -n {namespace} logs {pod} --all-containers.",
    )
    ENGINE_FAILED = _problem(
        "EngineFailed",
        "The engine exited with code {exit_code}: {cause}.",
        "See kubectl -n {namespace} logs {pod} -c engine --previous.",
    )
    CRASH_LOOPING = _problem(
        "CrashLooping",
        "The engine has exited {restarts} times, most recently with code {exit_code}: {cause}.",
        "See kubectl -n {namespace} logs {pod} -c engine --previous.",
    )
    OUT_OF_MEMORY = _problem(
        "OutOfMemory",
        "Container {container} ran out of host memory (restarts: {restarts}): {cause}.",
        "Raise memory in spec.resources (requests and limits), or serve a smaller model.",
    )
    ACCELERATOR_OUT_OF_MEMORY = _problem(
        "AcceleratorOutOfMemory",
        "The accelerator ran out of memory (restarts: {restarts}): {cause}.",
        "Use more accelerators (spec.accelerator.count), larger ones, a smaller or quantized model, "
        "or, with vLLM, a lower --gpu-memory-utilization if another process uses the device.",
    )
    KV_CACHE_TOO_SMALL = _problem(
        "KvCacheTooSmall",
        "The memory left for the KV cache is too small for the context length (restarts: {restarts}): {cause}.",
        "Lower --max-model-len or raise --gpu-memory-utilization in spec.engine.args, or give each replica more memory "
        "(on CPU: spec.resources and VLLM_CPU_KVCACHE_SPACE).",
    )
    MODEL_NOT_LOADABLE = _problem(
        "ModelNotLoadable",
        "The engine cannot load the model (restarts: {restarts}): {cause}.",
        "Check that spec.model.uri names a complete model that this engine and version support.",
    )
    MODELS_NOT_READY = _problem(
        "ModelsNotReady",
        "The server is running, but not every model is ready: {cause}.",
        "spec.model.uri must be the folder that contains the models' folders. Fix or remove the models that fail to "
        "load, or list the ones to serve in spec.engine.triton.models.",
    )
    BAD_ARGUMENT = _problem(
        "BadArgument",
        "The engine rejected its arguments (restarts: {restarts}): {cause}.",
        "Correct spec.engine.args.",
    )
    PORT_IN_USE = _problem(
        "PortInUse",
        "The engine's port is already in use (restarts: {restarts}): {cause}.",
        "Move the other process in the pod that uses it, such as a sidecar from spec.podTemplate, to another port.",
    )
    PROBE_FAILING = _problem(
        "ProbeFailing",
        "The readiness probe has failed since {since}: {cause}.",
        "The engine may be overloaded or hung: see kubectl -n {namespace} logs {pod} -c engine.",
    )


def every_reason() -> tuple[str, ...]:
    """The names of all reasons that a condition can have."""
    rows = (row.name for row in vars(Reasons).values() if isinstance(row, Reason))
    return (*rows, *get_args(Refusal), *get_args(Wait), *fetch_report.Reason)
