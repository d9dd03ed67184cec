"""Requests completions from services without a pause, each on its own thread and each time on a new connection.

Runs in a pod, by a bare Python: only its standard library. Prints one JSON line a second: how many requests there were
so far, and what came of the first that failed.
"""

import http.client
import json
import sys
import threading
import time
import urllib.request

PAUSE_S = 0.1
TIMEOUT_S = 30
MOST_REPORTED = 20
"""Failures: a longer line would reach the reader of the log in parts."""
BODY = json.dumps({"prompt": "hi", "max_tokens": 4}).encode()

answered: list[str] = []
failed: list[str] = []


def request_forever(url: str) -> None:
    """One request after the other."""
    while True:
        request = urllib.request.Request(f"{url}/v1/completions", BODY, {"content-type": "application/json"})
        try:
            with urllib.request.urlopen(request, timeout=TIMEOUT_S) as answer:
                json.load(answer)
            answered.append(url)
        except (OSError, ValueError, http.client.HTTPException) as error:
            failed.append(f"{time.strftime('%H:%M:%S')} {url}: {error!r}")
        time.sleep(PAUSE_S)


def main(urls: list[str]) -> None:
    """Send requests to all of them, and print each second how it goes, until the process is ended."""
    for url in urls:
        threading.Thread(target=request_forever, args=(url,), daemon=True).start()
    while True:
        print(
            json.dumps({"answered": {url: answered.count(url) for url in urls}, "failed": failed[:MOST_REPORTED]}),
            flush=True,
        )
        time.sleep(1)


if __name__ == "__main__":
    main(sys.argv[1:])
