"""Logs as JSON lines on stderr, each with the service that it is about.

One info line per change that was made, none where nothing was to do.
"""

import logging
import logging.config
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar

_ENDS_OF_KOPF = ("kopf._core.reactor.orchestration", "kopf._core.reactor.running")
"""What logs a traceback for each task that ends with kopf. What ended it is raised as well, and logged once by us."""

_UNCLOSED_WATCH = ("an error occurred during closing of asynchronous generator", "infinite_watch")
"""What asyncio logs of one of kopf's watches, which kopf leaves open for it to close at the process's end. Nothing is
lost by what such a watch raises then (seen under load, after "stopped")."""

_service: ContextVar[str] = ContextVar("service", default="")


@contextmanager
def service(key: str) -> Iterator[None]:
    """Every line logged inside carries ``service: key``."""
    token = _service.set(key)
    try:
        yield
    finally:
        _service.reset(token)


class ServiceFilter(logging.Filter):
    """Adds the service to each record that is logged inside of service()."""

    def filter(self, record: logging.LogRecord) -> bool:
        """Lets every record pass."""
        if key := _service.get():
            record.service = key
        return True


class WatchEndFilter(logging.Filter):
    """Drops what a watch raises when it is closed at the process's end."""

    def filter(self, record: logging.LogRecord) -> bool:
        """Lets every other record pass."""
        return record.name != "asyncio" or not all(words in record.getMessage() for words in _UNCLOSED_WATCH)


def configure(level: str) -> None:
    """Set up logging for the process. ``level`` is one of Python's level names; of libraries only warnings are shown.

    kopf logs each of its own steps at info level.
    """
    logging.config.dictConfig(
        {
            "version": 1,
            "disable_existing_loggers": False,
            "formatters": {
                "json": {
                    "()": "pythonjsonlogger.json.JsonFormatter",
                    "format": "{levelname}{name}{message}",
                    "style": "{",
                    "rename_fields": {"levelname": "level", "name": "logger"},
                    "timestamp": "time",
                }
            },
            "filters": {"service": {"()": ServiceFilter}, "watch end": {"()": WatchEndFilter}},
            "handlers": {
                "stderr": {
                    "class": "logging.StreamHandler",
                    "formatter": "json",
                    "filters": ["service", "watch end"],
                }
            },
            "root": {"level": "WARNING", "handlers": ["stderr"]},
            "loggers": {"modelyard": {"level": level}, **{name: {"level": "CRITICAL"} for name in _ENDS_OF_KOPF}},
        }
    )
