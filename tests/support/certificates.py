"""A private CA and a certificate of it, made by the openssl program."""

import subprocess
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class Certificates:
    ca: Path
    certificate: Path
    key: Path


def make_certificates(folder: Path, names: Sequence[str] = ("IP:127.0.0.1",)) -> Certificates:
    """Makes them below ``folder``, for these subject alternative names.

    Raises when there is no openssl (Debian's package of that name).
    """
    made = Certificates(folder / "ca.crt", folder / "server.crt", folder / "server.key")
    ca_key = folder / "ca.key"
    new = ("openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-days", "2")
    ca = ("-subj", "/CN=a private CA", "-addext", "keyUsage=critical,keyCertSign", "-keyout", ca_key, "-out", made.ca)
    server = (
        "-subj",
        "/CN=a server",
        "-addext",
        f"subjectAltName={','.join(names)}",
        "-addext",
        "basicConstraints=CA:FALSE",
    )
    signed = ("-CA", made.ca, "-CAkey", ca_key, "-keyout", made.key, "-out", made.certificate)
    for arguments in ((*new, *ca), (*new, *server, *signed)):
        subprocess.run(arguments, check=True, capture_output=True)
    return made
