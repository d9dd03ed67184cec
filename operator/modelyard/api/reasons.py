"""Every reason that a condition of an InferenceService can have: its text, and what to do about it.

All texts that a user reads in status and events are here, in one table, each with its remedy. docs/troubleshooting.md
has a section per reason; a test holds the two lists together. Which reason holds is decided in observe/.
"""

from modelyard.api.conditions import Kind, Reason
from modelyard.contract import names


def _good(name: str, says: str, remedy: str = "") -> Reason:
    return Reason(name, Kind.GOOD, says, remedy)


def _under_way(name: str, says: str, remedy: str = "") -> Reason:
    return Reason(name, Kind.UNDER_WAY, says, remedy)


def _problem(name: str, says: str, remedy: str = "") -> Reason:
    return Reason(name, Kind.PROBLEM, says, remedy)


class Reasons:
    """Every reason, in the order in which a service meets them."""

    # The spec; what makes it unacceptable is in REFUSALS
    ACCEPTED = _good("Accepted", "The spec is valid and applied.")

    ACCEPTED_AS_RECORDED = _good(
        "AcceptedAsRecorded",
        "The spec is applied with what its pods were made with. Made anew they would be refused ({reason}): {cause}",
        "The pods run on; see to that before you change the spec or order a refresh.",
    )
    UP_TO_DATE = _good("UpToDate", "A refresh would change no pod.")
    REFRESH_CHANGES_PODS = _good(
        "RefreshChangesPods",
        "The pods run with former defaults. A refresh would change {changes}.",
        "Take it, at a time of your choice, with: kubectl -n {namespace} annotate infsvc/{name} "
        f"{names.ANNOTATION_REFRESH}=$(date +%s) --overwrite",
    )
    CONTESTED = _problem(
        "Contested",
        "The spec is valid, but somebody else changes {field} of {child} again and again: it is set back once a "
        "minute only.",
        "Change the InferenceService instead, or end what writes there; an autoscaler has to name the "
        "InferenceService as its target.",
    )

    # The service as a whole
    READY = _good("Ready", "{ready} of {desired} replicas answer at {url}.")
    COMPLETE = _good("Complete", "{desired} of {desired} replicas run the present spec.")
    ROLLING_OUT = _under_way("RollingOut", "{ready} of {desired} replicas answer while pods are brought to the spec.")
    SERVING_PREVIOUS = _problem(
        "ServingPrevious", "{ready} pods of the former configuration answer; the present one does not run: {cause}"
    )
    DEGRADED = _problem("Degraded", "{ready} of {desired} replicas answer. The others: {cause}")
    SCALED_TO_ZERO = _under_way(
        "ScaledToZero",
        "Zero replicas are asked for, so nothing runs.",
        "Wake it with: kubectl -n {namespace} scale infsvc/{name} --replicas=1",
    )
    PAUSED = _under_way(
        "Paused",
        "The annotation {annotation} is true: nothing is written but this status, so neither spec "
        "changes nor repairs take effect.",
        "Go on with: kubectl -n {namespace} annotate infsvc/{name} {annotation}-",
    )
    DELETING = _under_way("Deleting", "The InferenceService is being deleted; its pods drain and go.")

    # Pods come to be
    CREATING = _under_way("Creating", "Pods are being created.")
    PREPARING = _under_way("Preparing", "Node {node} prepares the pod{pace}: it {step}.")
    QUOTA_EXCEEDED = _problem(
        "QuotaExceeded",
        "The namespace's quota refuses the pod: {cause}.",
        "Ask for less, free some (kubectl -n {namespace} describe quota), or have the quota raised.",
    )
    POD_SECURITY_REFUSED = _problem(
        "PodSecurityRefused",
        "Pod Security refuses the pod: {cause}.",
        "Remove from the spec what the namespace's level forbids, or have its label "
        "pod-security.kubernetes.io/enforce changed.",
    )
    SERVICE_ACCOUNT_MISSING = _problem(
        "ServiceAccountMissing",
        "The pod's service account does not exist: {cause}.",
        "Create it in namespace {namespace}, or correct spec.serviceAccountName.",
    )
    ADMISSION_REFUSED = _problem(
        "AdmissionRefused",
        "The API server refuses the pod: {cause}.",
        "Change what it objects to, or ask who runs that policy or webhook.",
    )
    SCHEDULING = _under_way("Scheduling", "The pod waits for the scheduler to choose a node.{hint}")
    UNSCHEDULABLE = _problem(
        "Unschedulable",
        "No node takes the pod: {cause}. {offered}",
        "Ask for less under spec.resources, free or add a node, or remove the taint or label that excludes it.",
    )
    INSUFFICIENT_ACCELERATORS = _problem(
        "InsufficientAccelerators",
        "No node that the pod may use has {asked} free. {offered} The scheduler says: {cause}.",
        "Free accelerators, add a node, lower spec.accelerator.count, or remove what excludes nodes.",
    )
    ROLLOUT_LACKS_ACCELERATORS = _problem(
        "RolloutLacksAccelerators",
        "The new pod of the rollout needs {asked} that no node has free beside the old pods. {offered} "
        "The old pods keep serving. The scheduler says: {cause}.",
        "Free accelerators or add a node; the rollout then goes on by itself.",
    )
    VOLUME_CLAIM_MISSING = _problem(
        "VolumeClaimMissing",
        "A volume claim of the pod does not exist: {cause}.",
        "Create the PersistentVolumeClaim in namespace {namespace}, or correct its name (a pvc:// URI, podTemplate).",
    )
    VOLUME_CLAIM_UNBOUND = _problem(
        "VolumeClaimUnbound",
        "A volume claim of the pod has no volume: {cause}.",
        "See kubectl -n {namespace} describe pvc: it needs a volume that fits, or a storage class whose provisioner "
        "runs.",
    )
    NODE_UNAVAILABLE = _problem(
        "NodeUnavailable",
        "Node {node} does not answer: {cause}.",
        "See kubectl describe node {node}; the pod is replaced when Kubernetes gives the node up.",
    )
    NODE_REFUSED = _problem(
        "NodeRefused",
        "Node {node} refuses the pod: {cause}. {devices}",
        "A device may be unhealthy or the node over-committed: see kubectl describe node {node}. "
        "A new pod is made by itself.",
    )
    EVICTED = _problem(
        "Evicted",
        "Node {node} evicted the pod: {cause}.",
        "Request what the pod really uses under spec.resources (memory, ephemeral-storage), or use larger nodes.",
    )

    # The node prepares the pod
    IMAGE_PULL_FAILED = _problem(
        "ImagePullFailed",
        "Image {image} cannot be pulled: {cause}.",
        "{why} The kubelet tries again by itself, at least every 5 minutes.",
    )
    SECRET_MISSING = _problem(
        "SecretMissing",
        "A Secret that the pod needs does not exist: {cause}.",
        "Create it in namespace {namespace}, or correct its name (spec.engine.env, podTemplate). The pod goes on by "
        "itself.",
    )
    CONFIG_MAP_MISSING = _problem(
        "ConfigMapMissing",
        "A ConfigMap that the pod needs does not exist: {cause}.",
        "Create it in namespace {namespace}, or correct its name (spec.engine.env, podTemplate). The pod goes on by "
        "itself.",
    )
    KEY_MISSING = _problem(
        "KeyMissing",
        "A Secret or ConfigMap lacks a key that the pod needs: {cause}.",
        "Add the key in namespace {namespace}, or correct its name (spec.engine.env, podTemplate). The pod goes on by "
        "itself.",
    )
    VOLUME_MOUNT_FAILED = _problem(
        "VolumeMountFailed",
        "A volume cannot be mounted: {cause}.",
        "Create what it names (claim, ConfigMap, Secret, driver), or correct the spec.",
    )
    NO_NODE_CACHE = _problem(
        "NoNodeCache",
        "Node {node} has no cache for models: {cause}.",
        "Have modelyard-node run there (kubectl get pods -A -o wide -l "
        f"{names.LABEL_APP_COMPONENT}={names.COMPONENT_NODE},{names.MANAGED_SELECTOR}), keep the pods off such nodes, "
        "or set spec.cache.medium to Ephemeral.",
    )
    SANDBOX_FAILED = _problem(
        "SandboxFailed",
        "Node {node} cannot set up the pod's sandbox: {cause}.",
        "Usually the node's network plugin, runtime class or container runtime: ask who runs the nodes.",
    )
    CONTAINER_CONFIG_INVALID = _problem(
        "ContainerConfigInvalid",
        "Container {container} cannot be set up: {cause}.",
        "Correct what it names under spec.engine or spec.podTemplate, or use another image.",
    )
    CONTAINER_START_FAILED = _problem(
        "ContainerStartFailed",
        "Container {container} cannot start: {cause}.",
        "The image must carry python3 and the engine's command: correct spec.engine.image.",
    )

    # The model is fetched; the fetcher's own words for failures are FETCH_FAILURES
    FETCHING = _under_way("Fetching", "The model is being fetched{pace}: {progress}.")
    CACHED = _good("Cached", "The model lies complete and checked on the pod's node.")
    MOUNTED = _good("Mounted", "The model is mounted from its volume, where the pod can read all of it.")
    CONTENTS_DIFFER = _problem(
        "ContentsDiffer",
        "Pods of one revision serve different contents, as the source changed while they started: {contents}.",
        "Set a new spec.model.revision: all pods are then replaced by ones that serve what the source holds now.",
    )
    FETCH_FAILED = _problem(
        "FetchFailed",
        "Fetching the model failed: {cause}.",
        "See kubectl -n {namespace} logs {pod} -c modelyard-fetch.",
    )

    # The model is brought to nodes ahead of the pods; these stand in status.prefetch
    PREFETCHED = _good("Prefetched", "{ready} of {desired} nodes have the model and the engine's image.")
    PREFETCHING = _under_way("Prefetching", "{ready} of {desired} nodes have the model and the engine's image. {step}")
    PREFETCH_LACKS_NODES = _problem(
        "PrefetchLacksNodes",
        "{ready} of {desired} nodes have the model and the engine's image, and no further node can be used. {lacking}",
        "Add nodes, remove what excludes them (spec.podTemplate, spec.cache.prefetchNodeSelector), or lower "
        "spec.cache.prefetch. Nodes that join are used by themselves.",
    )
    PREFETCH_LOST = _problem(
        "PrefetchLost",
        "{lost} of {desired} nodes no longer have the model that was prefetched, so it is brought to them or to "
        "others anew.",
        "Their caches needed the room, or were emptied. Where this goes on, have the caches' budget raised, or lower "
        "spec.cache.prefetch.",
    )

    # The engine starts and runs
    STARTING = _under_way("Starting", "The engine loads the model since {since}{pace}; it may take until {until}.")
    START_TIMEOUT = _problem(
        "StartTimeout",
        "A replica took longer than spec.startup.timeoutSeconds ({budget_s} s): it was {stage}.",
        "Raise spec.startup.timeoutSeconds, or see what takes so long: "
        "kubectl -n {namespace} logs {pod} --all-containers.",
    )
    ENGINE_FAILED = _problem(
        "EngineFailed",
        "The engine ended with exit code {exit_code}: {cause}.",
        "See kubectl -n {namespace} logs {pod} -c engine --previous.",
    )
    CRASH_LOOPING = _problem(
        "CrashLooping",
        "The engine ended {restarts} times, last with exit code {exit_code}: {cause}.",
        "See kubectl -n {namespace} logs {pod} -c engine --previous.",
    )
    OUT_OF_MEMORY = _problem(
        "OutOfMemory",
        "Container {container} ran out of host memory (restarts: {restarts}): {cause}.",
        "Raise memory under spec.resources (requests and limits), or serve a smaller model.",
    )
    ACCELERATOR_OUT_OF_MEMORY = _problem(
        "AcceleratorOutOfMemory",
        "The accelerator's memory does not suffice (restarts: {restarts}): {cause}.",
        "Use more accelerators (spec.accelerator.count), larger ones, a smaller or quantized model, "
        "or, with vLLM, lower --gpu-memory-utilization if another process uses the device.",
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
        "Check that spec.model.uri names a whole model folder that this engine and version can serve.",
    )
    MODELS_NOT_READY = _problem(
        "ModelsNotReady",
        "The server answers, but not for every model: {cause}.",
        "spec.model.uri must name the folder that holds the models' folders; correct or remove those that do not load, "
        "or name the ones to serve in spec.engine.triton.models.",
    )
    BAD_ARGUMENT = _problem(
        "BadArgument",
        "The engine refuses its arguments (restarts: {restarts}): {cause}.",
        "Correct spec.engine.args.",
    )
    PORT_IN_USE = _problem(
        "PortInUse",
        "The engine's port is taken (restarts: {restarts}): {cause}.",
        "Let whatever else listens there in the pod, such as a sidecar of spec.podTemplate, take another port.",
    )
    PROBE_FAILING = _problem(
        "ProbeFailing",
        "The engine runs but does not answer its probe since {since}: {cause}.",
        "It may be overloaded or hung: see kubectl -n {namespace} logs {pod} -c engine.",
    )


REFUSALS = (
    "InvalidSpec",
    "UnknownEngine",
    "UnknownSource",
    "UnknownAccelerator",
    "UnknownProfile",
    "InvalidProfile",
    "PodTemplateFieldForbidden",
    "NoEngineImage",
    "EngineArgumentRefused",
    "EngineVariableRefused",
    "PodTemplateRefused",
    "PodTemplateInvalid",
    "NameTaken",
    "ChildRefused",
)
"""Reasons of an errors.InvalidError: the spec cannot be applied. Where it is raised, the message is written, remedy
included."""

WAITS = ("PredecessorGoing", "NamespaceTerminating")
"""Reasons of an errors.NotReadyError: what the spec needs comes or goes by itself."""

FETCH_FAILURES = (
    "AccessDenied",
    "BucketNotFound",
    "BudgetTooSmall",
    "CABundleInvalid",
    "CABundleMissing",
    "CacheAgentSilent",
    "CacheFull",
    "CacheNotWritable",
    "CertificateNotTrusted",
    "ChecksumMismatch",
    "ClockSkew",
    "CredentialsInvalid",
    "CredentialsMissing",
    "DigestMismatch",
    "DiskFull",
    "EndpointUnreachable",
    "InternalError",
    "InvalidConfiguration",
    "ModelIncomplete",
    "ModelNotFound",
    "OverBudget",
    "ProxyFailed",
    "SourceChanged",
    "SourceError",
    "Throttled",
    "TooManyFiles",
    "UnknownScheme",
    "UnsafeKey",
    "WrongRegion",
)
"""What a fetcher may report by name (fetcher/failure.py); it writes message and remedy. It is untrusted: any other word
of its becomes FetchFailed."""


def every_reason() -> tuple[str, ...]:
    """The names of all reasons that a condition can have."""
    rows = (row.name for row in vars(Reasons).values() if isinstance(row, Reason))
    return (*rows, *REFUSALS, *WAITS, *FETCH_FAILURES)
