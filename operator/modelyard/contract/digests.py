"""What digests, UIDs and keys look like. They come from outside and become parts of paths, names and mounts."""

import re

DIGEST = re.compile(r"sha256:[0-9a-f]{64}")
"""The digest of a model's content."""

UID = re.compile(r"[A-Za-z0-9][A-Za-z0-9-]{0,62}")
"""Of a pod, a namespace or another object: a UUID today, which Kubernetes does not promise ("Object Names and IDs")."""

REVISION_KEY = re.compile(r"[0-9a-f]{16}")
"""Under which the content of a service's revision is kept: a file below names.PATH_REVISION."""
