"""Clients of a service, each of which reads one streamed completion after the other, every time on a new connection.

Runs in a pod, by a bare Python: only its standard library. Ends by itself. Prints one JSON line a second: how many
answers there were so far, how many came at all, and what came of the first that failed.
"""

import http.client
import json
import sys
import threading
import time
import urllib.request
from dataclasses import dataclass, field

TIMEOUT_S = 120
PAUSE_S = 0.2
"""After a failure: a service that is away is not to be flooded."""
ERRORS_SHOWN = 20


@dataclass
class Results:
    """What came of the requests."""

    answered: int = 0
    failed: list[str] = field(default_factory=list)


def stream_until(url: str, tokens: int, end_s: float, results: Results) -> None:
    """One streamed request after the other. An answer counts once its end came."""
    body = json.dumps({"prompt": "Once upon a time", "max_tokens": tokens, "ignore_eos": True, "stream": True}).encode()
    while time.monotonic() < end_s:
        request = urllib.request.Request(f"{url}/v1/completions", body, {"content-type": "application/json"})
        try:
            with urllib.request.urlopen(request, timeout=TIMEOUT_S) as answer:
                is_whole = b"data: [DONE]" in answer.read()
            if is_whole:
                results.answered += 1
            else:
                results.failed.append(f"{time.strftime('%H:%M:%S')} the stream broke off")
        except (OSError, ValueError, http.client.HTTPException) as error:
            results.failed.append(f"{time.strftime('%H:%M:%S')} {error!r}")
            time.sleep(PAUSE_S)


def main(url: str, clients: str, tokens: str, limit_s: str) -> None:
    """So many clients at once, for ``limit_s`` seconds at most."""
    results = Results()
    end_s = time.monotonic() + float(limit_s)
    for _ in range(int(clients)):
        threading.Thread(target=stream_until, args=(url, int(tokens), end_s, results), daemon=True).start()
    while time.monotonic() < end_s:
        line = {"answered": results.answered, "failed": len(results.failed), "errors": results.failed[:ERRORS_SHOWN]}
        print(json.dumps(line), flush=True)
        time.sleep(1)


if __name__ == "__main__":
    main(*sys.argv[1:])
