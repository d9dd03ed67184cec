"""What a digest and a Kubernetes UID look like. Both come from outside and become parts of paths, names and keys."""

import re

DIGEST = re.compile(r"sha256:[0-9a-f]{64}")
"""The digest of a model's content."""

SHA256 = re.compile(r"[0-9a-f]{64}")
"""The same hash without its prefix, as hubs and lists of files write it."""

UID = re.compile(r"[A-Za-z0-9][A-Za-z0-9-]{0,62}")
"""Of a pod, a namespace or another object: a UUID today, which Kubernetes does not promise ("Object Names and IDs")."""
