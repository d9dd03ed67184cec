"""Every name that modelyard writes into a cluster, in one place.

Label keys, port names and paths inside pods are defined only here, so that a rename is one line and a search for a
name finds its only definition. Keys of our own all derive from GROUP.
"""

from typing import Final, Literal

GROUP = "serving.modelyard.dev"
VERSION = "v1alpha1"
API_VERSION = f"{GROUP}/{VERSION}"
KIND = "InferenceService"
PLURAL = "inferenceservices"
SINGULAR = "inferenceservice"
SHORT_NAME = "infsvc"

LABEL_NAMESPACE_NAME = "kubernetes.io/metadata.name"
"""Set by the API server on every namespace: the namespace's own name."""
PROFILE_KIND = "ServingProfile"
PROFILE_PLURAL = "servingprofiles"
PROFILE_SINGULAR = "servingprofile"

APPLICATION = "modelyard"
FIELD_MANAGER = "modelyard"
SCALING_FIELD_MANAGER = "modelyard-autoscaler"
"""Writes spec.replicas through the scale subresource; everything else is FIELD_MANAGER's."""

NAME_LENGTH = 50
"""Longest name of an InferenceService: what remains of a label value's and DNS label's 63 once pool and pod suffixes
are added. Names are never hashed."""

LABEL_SERVICE = f"{GROUP}/service"
LABEL_POOL = f"{GROUP}/pool"
LABEL_APP_NAME = "app.kubernetes.io/name"
LABEL_APP_INSTANCE = "app.kubernetes.io/instance"
LABEL_APP_COMPONENT = "app.kubernetes.io/component"
LABEL_APP_PART_OF = "app.kubernetes.io/part-of"
LABEL_APP_MANAGED_BY = "app.kubernetes.io/managed-by"
RECOMMENDED_LABELS = (
    LABEL_APP_NAME,
    LABEL_APP_INSTANCE,
    LABEL_APP_COMPONENT,
    LABEL_APP_PART_OF,
    LABEL_APP_MANAGED_BY,
)
"""The labels outside GROUP that we set."""
MANAGED_SELECTOR = f"{LABEL_APP_MANAGED_BY}={APPLICATION}"
"""Label selector of every child and every pod of ours; watches are limited to it on the server."""

PROFILE_NAME_LENGTH = 63
"""Longest name of a ServingProfile: what a label's value can hold."""

LABEL_PROFILE = f"{GROUP}/profile"
"""On a namespace, written by a platform team: the profile of its services that name none themselves. Only namespaces
that have it are watched."""

LEADER_LEASE = "modelyard"
"""Name of the Lease, in the operator's own namespace, whose holder is the one process that writes."""

CLAIM_LEASE = "modelyard-claim"
"""Name of the Lease by which an installation claims the namespace that the Lease is in: no other one writes there."""

LABEL_CLAIM = f"{GROUP}/claim"
CLAIM = "namespace"
CLAIM_SELECTOR = f"{LABEL_CLAIM}={CLAIM}"
"""Label selector of every claim; a cluster has a Lease for each node, of which none is watched."""

COMPONENT_ENGINE = "engine"
COMPONENT_OPERATOR = "operator"
COMPONENT_NODE = "node"
COMPONENT_PREFETCH = "prefetch"
COMPONENT_MODEL = "model"
DEFAULT_POOL = "default"

ANNOTATION_RENDERED = f"{GROUP}/rendered"
"""On each child: the hash of what was applied, to skip an apply that would change nothing."""

ANNOTATION_INPUTS = f"{GROUP}/template-inputs"
"""On the Deployment: what its pod template took from outside the spec, with the hash of the template that it gave, as
JSON. A new operator renders from it, so that its arrival restarts no pod."""

ANNOTATION_TEMPLATE = f"{GROUP}/template"
"""On the pod template, and so on each pod: the hash of the template, which marks the pods of the newest template.
It is the hash that ANNOTATION_INPUTS records."""

ANNOTATION_MODELS = f"{GROUP}/models"
"""On pods whose engine keeps a model repository: the names of the models that must be ready in its index, separated by
commas, or MODELS_ALL for all that it has, of which there must be at least one."""

MODELS_ALL = "*"

ANNOTATION_REFRESH = f"{GROUP}/refresh"
"""On the InferenceService, written by a person: any new value takes the operator's present defaults."""

ANNOTATION_PAUSED = f"{GROUP}/paused"
"""On the InferenceService, written by a person: while its value is "true", nothing is written but the status."""

ANNOTATION_WAKE = f"{GROUP}/wake"
"""On the InferenceService: when something last needed a service at zero replicas, as an RFC 3339 time."""

ANNOTATION_REVISIONS = f"{GROUP}/revisions"
"""On the ConfigMap of a service's verified contents: its keys, separated by commas, the one of the present revision
last. The API server sorts the keys themselves."""

ANNOTATION_ROUND = f"{GROUP}/prefetch-round"
"""On the Job that prefetches: its nodes and the model to fetch, as JSON. It is planned once and kept."""

ANNOTATION_RETRIED = f"{GROUP}/retried"
"""On a Deployment whose pods are refused: when the last retry was triggered."""

CSI_DRIVER = f"cache.{GROUP}"
"""The node cache's driver: the volumes of pods whose cache medium is NodeLocal, served by modelyard-node."""

LABEL_MODEL_DOMAIN = f"model.{GROUP}"
"""On nodes: `<this>/<uid of an InferenceService>` for each service whose model the node's cache holds; the value is the
beginning of the digest. Keyed by the service, so that its pods prefer such nodes by a term that never changes."""

LABEL_HOSTNAME = "kubernetes.io/hostname"
"""Set by the kubelet on its node; mostly the node's name."""

TAINT_CACHE_STARTING = f"cache.{GROUP}/starting"
"""A startup taint that a platform team may put on fresh nodes (Karpenter's `startupTaints`); modelyard-node removes it
from its own node once the kubelet has registered the driver."""

MEDIUM_NODE_LOCAL: Final = "NodeLocal"
MEDIUM_EPHEMERAL: Final = "Ephemeral"
"""Where a pod's model cache lies: on the node, shared by the namespace's pods, or in a volume of the pod's own."""

Medium = Literal["Ephemeral", "NodeLocal"]

CONTAINER_FETCH = "modelyard-fetch"
CONTAINER_ENGINE = "engine"

PORT_HTTP = "http"
PORT_GRPC = "grpc"
PORT_METRICS = "metrics"
PORT_FETCH_STATE = "fetch-state"
SERVICE_PORT = 80
FETCH_STATE_PORT = 9470
"""Where the fetcher serves its state as JSON while it runs (GET /)."""
NODE_PORT = 9471
"""Where modelyard-node serves /metrics, /healthz, /readyz and /cache (what its node's cache holds, as JSON)."""

PATH_MODEL = "/model"
PATH_CACHE = "/cache"
PATH_CLAIM = "/claim"
PATH_LAUNCHER_FOLDER = "/modelyard"
PATH_LAUNCHER = f"{PATH_LAUNCHER_FOLDER}/launcher.py"
PATH_CREDENTIALS = "/etc/modelyard/credentials"
PATH_CA_BUNDLE = "/etc/modelyard/ca"
PATH_REVISION = "/etc/modelyard/revision"
"""Where the ConfigMap of a service's verified contents is mounted: one file per revision, which holds a digest."""
PATH_COMPILE_CACHE = "/compile"
PATH_TERMINATION_LOG = "/dev/termination-log"

ENV_POD_UID = "POD_UID"
ENV_POD_IPS = "MODELYARD_POD_IPS"
"""The pod's addresses, separated by commas, the first of them the one by which Services and probes reach it."""
ENV_MODEL_URI = "MODELYARD_MODEL_URI"
ENV_MODEL_REVISION = "MODELYARD_MODEL_REVISION"
ENV_MODEL_DIGEST = "MODELYARD_MODEL_DIGEST"
"""spec.model.digest: other content is refused."""
ENV_REVISION_KEY = "MODELYARD_REVISION_KEY"
"""Name of this revision's file below PATH_REVISION. Where the file is, other content than it names is refused."""
ENV_CACHE_MEDIUM = "MODELYARD_CACHE_MEDIUM"
"""MEDIUM_NODE_LOCAL for a cache that modelyard-node serves; unset: the pod's own volume."""
ENV_COMPILE_KEY = "MODELYARD_COMPILE_KEY"
"""Name of the compile cache's folder that the fetcher makes for the engine; unset: none."""
ENV_S3_ENDPOINT = "MODELYARD_S3_ENDPOINT"
ENV_S3_REGION = "MODELYARD_S3_REGION"
ENV_S3_ADDRESSING_STYLE = "MODELYARD_S3_ADDRESSING_STYLE"
ENV_HF_ENDPOINT = "MODELYARD_HF_ENDPOINT"
ENV_HTTPS_SHA256 = "MODELYARD_HTTPS_SHA256"
ENV_CREDENTIALS_SECRET = "MODELYARD_CREDENTIALS_SECRET"  # noqa: S105 - the name of a variable that holds a Secret's name
"""The Secret's name, for messages. Set exactly when spec.model.credentials is: its keys are then files in
PATH_CREDENTIALS, and the fetcher waits for them. No variable ever carries a secret."""
ENV_CA_BUNDLE = "MODELYARD_CA_BUNDLE"
"""Path of the PEM file below PATH_CA_BUNDLE; its file name is the ConfigMap's key."""
ENV_CA_BUNDLE_CONFIG_MAP = "MODELYARD_CA_BUNDLE_CONFIG_MAP"
"""The ConfigMap's name, for messages."""
ENV_PROXY = ("HTTP_PROXY", "HTTPS_PROXY")
ENV_NO_PROXY = "NO_PROXY"
"""The names that Python's urllib and boto3 read."""
ENV_CACHE = "MODELYARD_CACHE"
ENV_CLAIM = "MODELYARD_CLAIM"
ENV_REVISION_FOLDER = "MODELYARD_REVISION_FOLDER"
ENV_LAUNCHER_FOLDER = "MODELYARD_LAUNCHER_FOLDER"
ENV_CREDENTIALS_FOLDER = "MODELYARD_CREDENTIALS_FOLDER"
ENV_STATE_PORT = "MODELYARD_STATE_PORT"
ENV_TERMINATION_LOG = "MODELYARD_TERMINATION_LOG"
"""The last seven have the PATH_ and PORT values above as defaults: a pod need not set them."""

ENV_NODE_NAME = "MODELYARD_NODE_NAME"
ENV_NODE_CACHE_PATH = "MODELYARD_NODE_CACHE_PATH"
ENV_NODE_BUDGET = "MODELYARD_NODE_BUDGET"
ENV_NODE_RESERVE = "MODELYARD_NODE_RESERVE"
ENV_NODE_GUARANTEED_SHARE = "MODELYARD_NODE_GUARANTEED_SHARE"
ENV_NODE_LEFTOVER_AGE_S = "MODELYARD_NODE_LEFTOVER_AGE_S"
ENV_NODE_CHECK_INTERVAL_S = "MODELYARD_NODE_CHECK_INTERVAL_S"
ENV_NODE_KUBELET_FOLDER = "MODELYARD_NODE_KUBELET_FOLDER"
ENV_NODE_SERVICE_ACCOUNT_FOLDER = "MODELYARD_NODE_SERVICE_ACCOUNT_FOLDER"
ENV_NODE_PORT = "MODELYARD_NODE_PORT"
"""Settings of modelyard-node; docs/node-cache.md has their meaning and defaults."""

PATH_HOME = "/home/modelyard"
PATH_TMP = "/tmp"  # noqa: S108 - a volume of the pod's own
PATH_SHM = "/dev/shm"  # noqa: S108 - a volume of the pod's own

VOLUME_CACHE = "cache"
VOLUME_CLAIM = "claim"
VOLUME_REVISION = "revision"
VOLUME_LAUNCHER = "launcher"
VOLUME_CREDENTIALS = "credentials"
VOLUME_CA_BUNDLE = "ca-bundle"
VOLUME_HOME = "home"
VOLUME_TMP = "tmp"
VOLUME_SHM = "shm"
