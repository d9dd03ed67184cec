"""What a log line holds. In a process of its own, since logging is set up once for a whole process."""

import importlib.util
import json
import subprocess
import sys
from datetime import datetime, timedelta
from pathlib import Path

from modelyard.api.service import Object

OPERATOR_ROOT = Path(__file__).parents[2] / "operator"


def logged(statements: str) -> list[Object]:
    """The lines that ``statements`` log."""
    program = f"import logging\nfrom modelyard.controller import log\nlog.configure('INFO')\n{statements}"
    done = subprocess.run(
        [sys.executable, "-c", program],
        env={"PYTHONPATH": str(OPERATOR_ROOT)},
        capture_output=True,
        text=True,
        check=True,
    )
    return [json.loads(line) for line in done.stderr.splitlines()]


def test_a_line_is_json_with_the_service_that_it_is_about() -> None:
    about, other = logged(
        "with log.service('team-a/smollm'):\n"
        "    logging.getLogger('modelyard.controller.children').info('child applied', extra={'kind': 'Service'})\n"
        "logging.getLogger('modelyard.controller.app').info('started')"
    )
    assert datetime.fromisoformat(about.pop("time")).utcoffset() == timedelta(0)
    assert about == {
        "level": "INFO",
        "logger": "modelyard.controller.children",
        "message": "child applied",
        "service": "team-a/smollm",
        "kind": "Service",
    }
    assert "service" not in other


def test_libraries_log_only_warnings_and_errors() -> None:
    [line] = logged(
        "logging.getLogger('kopf.activities').info('Initial authentication has finished.')\n"
        "logging.getLogger('kopf.clients').error('Request attempt failed.')"
    )
    assert line["message"] == "Request attempt failed."


def test_an_error_that_ends_kopf_is_not_logged_again_by_each_of_its_tasks() -> None:
    """The names are those of kopf's own modules: its next version may have others, and this test then fails."""
    modules = ("kopf._core.reactor.orchestration", "kopf._core.reactor.running")
    assert all(importlib.util.find_spec(module) for module in modules)
    assert logged("\n".join(f"logging.getLogger('{module}').error('x has failed')" for module in modules)) == []


def test_what_a_watch_raises_when_the_process_ends_is_not_logged_and_other_errors_of_asyncio_are() -> None:
    [line] = logged(
        "asyncio_logger = logging.getLogger('asyncio')\n"
        "closing = 'an error occurred during closing of asynchronous generator'\n"
        "asyncio_logger.error(f'{closing} <async_generator object infinite_watch at 0x7f>')\n"
        "asyncio_logger.error(f'{closing} <async_generator object pages at 0x7f>')"
    )
    assert "pages" in line["message"]
