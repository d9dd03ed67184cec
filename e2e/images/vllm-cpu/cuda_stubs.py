"""Stub CUDA libraries, so that the package index's CUDA build of torch loads on a machine without CUDA.

Usage: `cuda_stubs.py TORCH_LIB OUT`. The torch wheel links fifteen NVIDIA libraries, 3 GB that a CPU never calls. Each
is replaced by a library with the same soname, symbol versions and symbols, whose every function returns an error: then
`torch.cuda.is_available()` is False and nothing else is asked. Needs gcc, readelf and nm.
"""

import re
import subprocess
import sys
import tempfile
from collections import defaultdict
from dataclasses import dataclass, field
from pathlib import Path

NVIDIA_LIBRARY = re.compile(r"lib(cu|nv|nccl)")
NVIDIA_SYMBOL = re.compile(r"(cu|nv|nccl|__cuda)")
NEEDED = re.compile(r"\(NEEDED\).*\[(.*?)\]")
VERSION_FILE = re.compile(r"File: (\S+)")
VERSION_NAME = re.compile(r"Name: (\S+)\s+Flags")
ERROR = 100  # cudaErrorNoDevice and CUDA_ERROR_NO_DEVICE; an error in every other NVIDIA library too


@dataclass
class Wanted:
    """What a set of libraries asks of the NVIDIA ones: sonames, each one's symbol versions, each version's symbols."""

    versions_by_soname: dict[str, set[str]] = field(default_factory=lambda: defaultdict(set))
    symbols_by_version: dict[str, set[str]] = field(default_factory=lambda: defaultdict(set))


def output_of(*command: str) -> str:
    """What the command prints; raises CalledProcessError when it fails."""
    return subprocess.run(command, capture_output=True, text=True, check=True).stdout


def add_needed_libraries(library: Path, present: set[str], wanted: Wanted) -> None:
    """Note the NVIDIA sonames that the library links and that do not lie beside it."""
    for match in NEEDED.finditer(output_of("readelf", "-dW", str(library))):
        if match[1] not in present and NVIDIA_LIBRARY.match(match[1]):
            wanted.versions_by_soname.setdefault(match[1], set())


def add_versions(library: Path, wanted: Wanted) -> None:
    """Note the symbol versions that the library asks of each NVIDIA soname."""
    soname = ""
    for line in output_of("readelf", "-VW", str(library)).splitlines():
        if match := VERSION_FILE.search(line):
            soname = match[1]
        elif (match := VERSION_NAME.search(line)) and soname in wanted.versions_by_soname:
            wanted.versions_by_soname[soname].add(match[1])


def add_symbols(library: Path, wanted: Wanted) -> None:
    """Note the undefined symbols of the library that have a version, or that look like NVIDIA's."""
    for line in output_of("nm", "-D", "--undefined-only", str(library)).splitlines():
        name, _, version = line.split()[-1].partition("@")
        if version or NVIDIA_SYMBOL.match(name):
            wanted.symbols_by_version[version].add(name)


def wanted_by(folder: Path) -> Wanted:
    """What all the libraries in the folder together want."""
    libraries = sorted(folder.glob("*.so*"))
    present = {library.name for library in libraries}
    wanted = Wanted()
    for library in libraries:
        add_needed_libraries(library, present, wanted)
    for library in libraries:
        add_versions(library, wanted)
        add_symbols(library, wanted)
    return wanted


def source_of(soname: str, wanted: Wanted) -> tuple[str, str]:
    """The C text and the version script of one stub library."""
    symbols = {name: sorted(wanted.symbols_by_version[name]) for name in sorted(wanted.versions_by_soname[soname])}
    script = "\n".join(f"{name} {{ global: {' '.join(f'{s};' for s in names)} }};" for name, names in symbols.items())
    if soname.startswith("libcudart"):
        symbols[""] = sorted(wanted.symbols_by_version[""])  # unversioned ones: any library in scope will do
    functions = "\n".join(f"long {s}(void) {{ return {value_of(s)}; }}" for names in symbols.values() for s in names)
    return f"static char slot[64] __attribute__((unused));\n{functions}\n", script


def value_of(symbol: str) -> str:
    """What a stub returns: an error, but a handle from the one function whose result torch keeps while it loads."""
    return "(long)slot" if symbol == "__cudaRegisterFatBinary" else str(ERROR)


def compile_stub(soname: str, wanted: Wanted, out: Path) -> None:
    """Write the stub library into `out`; raises CalledProcessError when gcc refuses."""
    source, script = source_of(soname, wanted)
    with tempfile.TemporaryDirectory() as folder:
        source_path, script_path = Path(folder, "stub.c"), Path(folder, "stub.map")
        source_path.write_text(source)
        script_path.write_text(script)
        versions = [f"-Wl,--version-script={script_path}"] if script else []
        # -w: the stubs deliberately redefine compiler builtins' names with other signatures
        command = ["gcc", "-w", "-shared", "-fPIC", "-O1", f"-Wl,-soname,{soname}", *versions, "-s"]
        subprocess.run([*command, "-o", str(out / soname), str(source_path)], check=True)


def main() -> None:
    """Read TORCH_LIB, fill OUT, say what was written."""
    torch_lib, out = Path(sys.argv[1]), Path(sys.argv[2])
    out.mkdir(parents=True, exist_ok=True)
    wanted = wanted_by(torch_lib)
    for soname in sorted(wanted.versions_by_soname):
        compile_stub(soname, wanted, out)
    print(f"{len(wanted.versions_by_soname)} stub libraries in {out}")


if __name__ == "__main__":
    main()
