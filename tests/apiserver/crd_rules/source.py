"""Rules of where a model comes from."""

from tests.apiserver.crd_rules.case import Case, Changes
from tests.support.crd_schema import Rule

SHA256 = "0" * 64
NO_PREFETCH: Changes = {"spec.cache": {}}
"""What a mounted model cannot have."""


def of_uris(*uris: str) -> list[Changes]:
    """Models with nothing but these addresses, and a SHA-256 where one is needed."""
    return [
        {"spec.model": {"uri": uri} | ({"https": {"sha256": SHA256}} if uri.startswith("https:") else {})} | NO_PREFETCH
        for uri in uris
    ]


SOURCE_CASES = [
    Case(
        Rule(
            "spec.model.uri",
            (
                "model.uri must not use http://, because the model could be altered in transit: use "
                "https:// (with a private CA in model.caBundle) or s3://"
            ),
        ),
        "spec.model.uri",
        of_uris("https://host/model.gguf", "httpx://host/model"),
        of_uris("http://host/model.gguf", "http://host/manifest.json"),
    ),
    Case(
        Rule(
            "spec.model.uri",
            (
                "an https:// model.uri must name a file, or a manifest.json that lists files, without "
                "user, password, query or fragment: put credentials in a Secret and name it in "
                "model.credentials.secretName"
            ),
        ),
        "spec.model.uri",
        of_uris("https://host:8443/a/model.gguf", "https://host/manifest.json", "https://host/a@b/c%20d"),
        of_uris("https://host", "https://host/folder/", "https://a:b@host/c", "https://host/a?b", "https://host/a#b"),
    ),
    Case(
        Rule(
            "spec.model.uri",
            (
                "an hf:// model.uri must be hf://org/repository or hf://org/repository@revision, where "
                "revision is a branch, tag or commit"
            ),
        ),
        "spec.model.uri",
        of_uris("hf://gpt2", "hf://org/model", "hf://Org-1/my_model.v2@refs/pr/1"),
        of_uris("hf://a/b/c", "hf://a/b@", "hf://a/b@c@d", "hf://a/../b", "hf://a/"),
    ),
    Case(
        Rule(
            "spec.model.uri",
            (
                "a pvc:// model.uri must be pvc://claim/folder: the name of a PersistentVolumeClaim, then "
                "a path without '.', '..' and empty segments"
            ),
        ),
        "spec.model.uri",
        of_uris("pvc://claim", "pvc://claim/", "pvc://my.claim/a/b..c/.d/"),
        of_uris("pvc://Claim/a", "pvc://claim/../a", "pvc://claim/a/.", "pvc://claim//a", "pvc://claim/a//"),
    ),
    Case(
        Rule(
            "spec.model",
            ("for a model on the Hugging Face Hub, set model.uri to hf://org/model or hf://org/model@revision"),
        ),
        "spec.model.uri",
        of_uris("https://huggingface.co/org/model/resolve/main/model.gguf"),
        [
            {"spec.model": {"uri": uri}}
            for uri in (
                "https://huggingface.co/org/model",
                "https://hf.co/org/model",
                "https://huggingface.co/org/model/tree/main",
                "https://huggingface.co/org/model/resolve/main/model.gguf",
            )
        ],
    ),
    Case(
        Rule("spec.model", "an https:// model.uri requires model.https.sha256, the SHA-256 of the file at model.uri"),
        "spec.model.https",
        of_uris("https://host/model.gguf"),
        [{"spec.model": {"uri": "https://host/model.gguf"}}],
    ),
    Case(
        Rule("spec.model", "model.https is only valid with an https:// model.uri: remove it or change the uri"),
        "spec.model.https",
        of_uris("https://host/model.gguf"),
        [{"spec.model": {"uri": "s3://models/a", "https": {"sha256": SHA256}}}],
    ),
    Case(
        Rule("spec.model", "model.hf is only valid with an hf:// model.uri: remove it or change the uri"),
        "spec.model.hf",
        [{"spec.model": {"uri": "hf://a/b", "hf": {}}}],
        [{"spec.model": {"uri": "s3://models/a", "hf": {}}}],
    ),
    Case(
        Rule(
            "spec.model",
            (
                "model.credentials, model.caBundle and model.proxy have no effect with a pvc:// model, "
                "which is mounted and not fetched: remove them"
            ),
        ),
        "spec.model.uri",
        of_uris("pvc://claim/a"),
        [
            {"spec.model": {"uri": "pvc://claim/a", field: value}} | NO_PREFETCH
            for field, value in (
                ("credentials", {"secretName": "a"}),
                ("caBundle", {"configMapName": "a"}),
                ("proxy", {"noProxy": ["*"]}),
            )
        ],
    ),
    Case(
        Rule("spec.model", "model.caBundle and model.s3.caBundle are the same setting and differ: keep model.caBundle"),
        "spec.model.caBundle",
        [
            {"spec.model": {"uri": "s3://models", "caBundle": {"configMapName": "a"}}},
            {
                "spec.model": {
                    "uri": "s3://models",
                    "caBundle": {"configMapName": "a"},
                    "s3": {"caBundle": {"configMapName": "a", "key": "ca.crt"}},
                }
            },
        ],
        [
            {
                "spec.model": {
                    "uri": "s3://models",
                    "caBundle": {"configMapName": "a"},
                    "s3": {"caBundle": {"configMapName": name, "key": key}},
                }
            }
            for name, key in (("b", "ca.crt"), ("a", "other"))
        ],
    ),
    Case(
        Rule(
            "spec.model",
            ("model.digest has no effect with a pvc:// model, which is mounted and not fetched: remove it"),
        ),
        "spec.model.digest",
        [{"spec.model": {"uri": "s3://models/x", "digest": f"sha256:{SHA256}"}}],
        [{"spec.model": {"uri": "pvc://models/x", "digest": f"sha256:{SHA256}"}} | NO_PREFETCH],
    ),
    Case(
        Rule(
            "spec.model.digest",
            ("model.digest must be sha256: followed by 64 lower-case hexadecimal digits, as in status.model.digest"),
        ),
        "spec.model.digest",
        [{"spec.model.digest": "sha256:" + "0123456789abcdef" * 4}],
        [{"spec.model.digest": value} for value in ("", SHA256, f"sha256:{SHA256[1:]}", "sha256:" + "A" * 64)],
    ),
    Case(
        Rule("spec.model.https.sha256", "model.https.sha256 must be 64 lower-case hexadecimal digits"),
        "spec.model.https.sha256",
        [{"spec.model.https.sha256": "0123456789abcdef" * 4}],
        [{"spec.model.https.sha256": value} for value in ("", "0" * 63, "A" * 64)],
    ),
    Case(
        Rule(
            "spec.model.proxy.url",
            ("model.proxy.url must be the URL of a proxy, without a path, for example http://proxy.example.com:3128"),
        ),
        "spec.model.proxy.url",
        [{"spec.model.proxy.url": url} for url in ("http://proxy:3128", "https://proxy.example.com/")],
        [{"spec.model.proxy.url": url} for url in ("", "proxy:3128", "http://proxy/path", "socks5://proxy")],
    ),
    Case(
        Rule(
            "spec.model.proxy.url",
            ("model.proxy.url must not contain a user or password: proxies that require them are not supported"),
        ),
        "spec.model.proxy.url",
        [{"spec.model.proxy.url": "http://proxy:3128"}],
        [{"spec.model.proxy.url": "http://user:password@proxy:3128"}],
    ),
    Case(
        Rule(
            "spec.model.proxy.noProxy[]",
            (
                "must be a host name, a domain (.example.com), an IP address, or * for all hosts; URLs and "
                "CIDRs are not supported"
            ),
        ),
        "spec.model.proxy.noProxy[0]",
        [
            {"spec.model.proxy.noProxy[]": host}
            for host in ("a.example.com", ".example.com", "10.0.0.1", "fd00::1", "*")
        ],
        [{"spec.model.proxy.noProxy[]": host} for host in ("", "http://a", "10.0.0.0/8", "*.example.com", "a,b")],
    ),
]
