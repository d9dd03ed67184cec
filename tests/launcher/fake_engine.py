"""An engine with one of the awkward manners of the real ones.

    fake_engine.py MANNER PORT

MANNER: loading    never ready, ignores SIGTERM
        draining   ready; finishes its work on SIGTERM and exits 0
        hanging    ready; holds each connection to /stream open, and does not end on SIGTERM
        forgetful  ready once, then its health endpoint answers 503; drains as above
        worker     starts a worker that ignores SIGTERM, then fails as vLLM does with a cut model
        orphans    leaves ten orphans behind, and logs when none of them is a zombie any more
        flood      writes 200 MB without a line's end, then exits 0
        compiling  ready; logs what it finds in VLLM_CACHE_ROOT, adds the files that COMPILES names, drains as above
        brittle    fails where it finds anything in VLLM_CACHE_ROOT, else as compiling
"""

import http.server
import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

SIZE = 10_000


def log(text: str) -> None:
    os.write(1, f"{text}\n".encode())


class Handler(http.server.BaseHTTPRequestHandler):
    health_answers = 0
    forgetful = False

    def do_GET(self) -> None:
        if self.path == "/stream":
            self.send_response(200)
            self.end_headers()
            self.wfile.write(b"first token")
            threading.Event().wait()
        Handler.health_answers += 1
        self.send_response(503 if Handler.forgetful and Handler.health_answers > 1 else 200)
        self.end_headers()

    def log_message(self, *_: object) -> None:
        pass


def serve(port: int) -> None:
    server = http.server.ThreadingHTTPServer(("127.0.0.1", port), Handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()


def drain(*_: object) -> None:
    log("engine: drained")
    os._exit(0)


def leave_orphans() -> None:
    for _ in range(10):
        subprocess.run(
            [sys.executable, "-S", "-c", "import os; os.fork() or os.execlp('sleep', 'sleep', '0.1')"], check=True
        )


def use_compile_cache(*, is_brittle: bool) -> None:
    """Each file has its own name as its content, again and again."""
    cache = Path(os.environ["VLLM_CACHE_ROOT"])
    found = sorted(path for path in cache.rglob("*") if path.is_file())
    broken = [path.name for path in found if path.read_text() != path.name * SIZE]
    log(f"engine: found {[path.name for path in found]}, broken {broken}")
    if found and is_brittle:
        sys.exit(1)
    for name in os.environ["COMPILES"].split(","):
        path = cache / "torch_compile_cache" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(name * SIZE)


def zombies() -> int:
    states = [path.read_text().rpartition(")")[2].split()[0] for path in Path("/proc").glob("[0-9]*/stat")]
    return states.count("Z")


def main(manner: str, port: int) -> None:
    if manner == "flood":
        for _ in range(3200):
            os.write(1, b"x" * 65536)
        os._exit(0)
    if manner == "worker":
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
        subprocess.Popen(["sleep", "98765"])
        log("(Worker pid=1) ERROR 11-21 23:20:41 [executor.py:9] safetensors.SafetensorError: file not fully covered")
        log("RuntimeError: Engine core initialization failed. See root cause above.")
        sys.exit(1)
    if manner == "orphans":
        leave_orphans()
        while len(list(Path("/proc").glob("[0-9]*"))) > 2 or zombies():
            time.sleep(0.05)
        log("engine: all orphans are gone")
        return
    if manner in {"compiling", "brittle"}:
        use_compile_cache(is_brittle=manner == "brittle")
    signal.signal(signal.SIGTERM, signal.SIG_IGN if manner in {"loading", "hanging"} else drain)
    Handler.forgetful = manner == "forgetful"
    if manner != "loading":
        serve(port)
    log(f"engine: {manner}")
    threading.Event().wait()


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]))
