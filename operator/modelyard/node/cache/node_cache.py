"""The node's cache as a whole: usage by namespace, grants of space, and eviction."""

import contextlib
import logging
import os
import threading
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import PurePosixPath

from modelyard.contract.cache_layout import BROKEN_PREFIX, CORRUPT_SUFFIX, RECORD_SUFFIX
from modelyard.contract.fetch_report import Reason
from modelyard.node.cache import contents, garbage
from modelyard.node.cache.budget import Holding, Item, Kind, Limits, Refusal, evictions_for, evictions_to_fit
from modelyard.node.cache.contents import Contents, Measurements
from modelyard.node.cache.grants import Grant, Ledger
from modelyard.node.cache.metrics import Metrics
from modelyard.node.cache.namespace_folders import Parts
from modelyard.node.cache.overview import Overview
from modelyard.node.host import untrusted_files
from modelyard.node.host.mounts import Published, Seen

LEDGER = "granted.json"
ATTEMPTS = 3
"""How many times to try an eviction whose items come into use meanwhile."""
NOTHING = Contents(items=(), used_bytes=0, is_whole=True)

_NEW_FILE = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC

_log = logging.getLogger("modelyard.node")


class NodeCache:
    """Applies all changes to the cache, one at a time.

    ``seen`` returns what pods use now, ``limits`` the limits for a file system's size, ``now_s`` the wall clock.
    Methods raise PathMissingError if the node has no cache.
    """

    def __init__(
        self,
        parts: Parts,
        seen: Callable[[], Seen],
        limits: Callable[[int], Limits],
        now_s: Callable[[], float],
        metrics: Metrics,
    ) -> None:
        self._parts = parts
        self._seen = seen
        self._limits = limits
        self._measurements = Measurements(now_s)
        self._lock = threading.RLock()
        self._ledger: Ledger | None = None
        self._metrics = metrics

    def prepare(self, name: str, uid: str) -> None:
        """Makes the namespace's part, or what it lacks."""
        with self._lock:
            self._parts.make(uid, name)

    def overview(self) -> Overview:
        """What every namespace has."""
        with self._lock:
            return self._overview(self._look())

    def ask(self, namespace: str, folder: str, size_bytes: int) -> Grant | Refusal:
        """Room for a model of ``size_bytes`` (``folder`` is its digest's folder name); makes it first."""
        with self._lock:
            outcome = self._ask(namespace, folder, size_bytes)
            if isinstance(outcome, Refusal):
                self._metrics.refused(outcome.reason)
                _log.warning("no room for %s of namespace %s: %s", folder, namespace, outcome.message)
            return outcome

    def _ask(self, namespace: str, folder: str, size_bytes: int) -> Grant | Refusal:
        ledger = self._known_ledger()
        for _ in range(ATTEMPTS):
            found = self._look()
            overview = self._overview(found)
            held = found.get(namespace, NOTHING)
            coming_bytes = ledger.promised_bytes(namespace, held).get(folder, 0)
            wanted_bytes = max(0, size_bytes - held.staged_bytes().get(folder, 0) - coming_bytes)
            holdings = [_keeping(folder, holding, namespace) for holding in overview.holdings]
            plan = evictions_for(namespace, wanted_bytes, holdings, overview.limits, overview.disk.free_bytes)
            if isinstance(plan, Refusal):
                return plan
            if self._evict(plan):
                ledger.keep_only(found)
                grant = Grant(namespace, folder, size_bytes, replaces=folder in held.whole_bytes())
                ledger.grant(grant)
                ledger.save(self._parts.own_file(LEDGER))
                self._set_quota(namespace, held, overview.limits)
                return grant
        return Refusal(Reason.CACHE_FULL, "the models to evict came into use in the meantime. The fetch is retried")

    def _set_quota(self, namespace: str, held: Contents, limits: Limits) -> None:
        """Sets the quota to the guaranteed bytes plus what the namespace was granted."""
        allowed_bytes = self._known_ledger().allowed_bytes(namespace, held)
        try:
            self._parts.limit(namespace, limits.guaranteed_bytes + allowed_bytes)
        except OSError as error:  # the measured limits hold without it
            _log.warning("no quota for namespace %s: %s", namespace, error)

    def release(self, grant: Grant) -> None:
        """Ends the grant: its requester is done or gone."""
        with self._lock:
            self._known_ledger().release(grant)

    def discard(self, namespace: str, folder: str) -> bool:
        """Takes a broken entry out of the way, or the record that was written for one that never came; False where
        there is neither. One in use only loses its name.
        """
        with self._lock, self._parts.opened(namespace) as part, self._parts.trash() as trash:
            was_there = True
            try:
                with (
                    untrusted_files.opened_folder(Kind.ENTRY, part) as entries,
                    untrusted_files.opened_folder("staging", part) as staging,
                ):
                    if self._is_pinned(namespace, folder, part):
                        aside = f"{BROKEN_PREFIX}{folder}.{os.urandom(4).hex()}"
                        os.rename(folder, aside, src_dir_fd=entries, dst_dir_fd=staging)
                    else:
                        untrusted_files.discard(folder, entries, trash)
            except FileNotFoundError:
                was_there = False
            was_noted = _forget_record(folder, part)
            untrusted_files.empty(trash)
            return was_there or was_noted

    def mark_corrupt(self, namespace: str, folder: str) -> None:
        """Removes an entry whose bytes are corrupt, or marks it (layout.corrupt) while it is in use."""
        with self._lock, self._parts.opened(namespace) as part, self._parts.trash() as trash:
            if self._is_pinned(namespace, folder, part):
                with contextlib.suppress(FileExistsError), untrusted_files.opened_folder("records", part) as records:
                    os.close(os.open(f"{folder}{CORRUPT_SUFFIX}", _NEW_FILE, 0o644, dir_fd=records))
                return
            with untrusted_files.opened_folder(Kind.ENTRY, part) as entries:
                untrusted_files.discard(folder, entries, trash)
            _forget_record(folder, part)
            untrusted_files.empty(trash)

    def _is_pinned(self, namespace: str, folder: str, part: int) -> bool:
        seen = self._seen()
        is_used = seen.is_used(PurePosixPath(namespace, Kind.ENTRY, folder))
        return is_used or folder in contents.links(part, seen.pods_of(namespace))

    def trim(self) -> None:
        """Evicts until the cache is within its limits again, and empties the trash."""
        with self._lock:
            found = self._look()
            overview = self._overview(found)
            self._evict(evictions_to_fit(overview.holdings, overview.limits, overview.disk.free_bytes))
            ledger = self._known_ledger()
            ledger.keep_only(found)
            ledger.save(self._parts.own_file(LEDGER))
            for namespace, held in found.items():
                self._set_quota(namespace, held, overview.limits)

    def unpublished(self, published: Published) -> None:
        """A pod's volume went: what it used was used until now, and its link pins nothing any more."""
        pod = published.target.pod_uid
        with self._lock, contextlib.suppress(FileNotFoundError), self._parts.opened(published.namespace_uid) as part:
            if pod not in self._seen().pods_of(published.namespace_uid):
                self._forget_pod(pod, part)

    def remove_leftovers(self, namespace: str, living_pods: frozenset[str], now_s: float, age_s: float) -> list[str]:
        """Removes leftovers (modelyard.node.cache.garbage) and returns their paths."""
        with self._lock, self._parts.opened(namespace) as part, self._parts.trash() as trash:
            seen = self._seen()
            context = garbage.CacheContext(namespace, seen, living_pods, self._is_live, now_s, age_s)
            gone = list(garbage.leftovers(part, context))
            for path in gone:
                with contextlib.suppress(FileNotFoundError):
                    garbage.remove(path, part, trash)
            garbage.forget_pods(part, living_pods | seen.pods_of(namespace), trash)
            untrusted_files.empty(trash)
            return gone

    def remove_namespace(self, namespace: str) -> None:
        """Removes all that a namespace had."""
        with self._lock, self._parts.trash() as trash:
            self._parts.remove(namespace)
            untrusted_files.empty(trash)

    def _forget_pod(self, pod: str, part: int) -> None:
        for folder in contents.links(part, frozenset({pod})):
            _touch(Kind.ENTRY, folder, part)
        with contextlib.suppress(OSError), untrusted_files.opened_folder("by-pod", part) as by_pod:
            os.unlink(pod, dir_fd=by_pod)
        for key in untrusted_files.listed(Kind.COMPILE_CACHE, part):
            with contextlib.suppress(OSError), self._parts.trash() as trash:
                with garbage.opened_users(key, part) as users:
                    untrusted_files.discard(pod, users, trash)
                _touch(Kind.COMPILE_CACHE, key, part)

    def _look(self) -> dict[str, Contents]:
        seen = self._seen()
        found = {}
        for uid in self._parts.names():
            with contextlib.suppress(FileNotFoundError), self._parts.opened(uid) as part:
                found[uid] = contents.look(uid, part, seen, self._measurements, self._is_live)
        return found

    def _is_live(self, namespace: str, folder: str) -> bool:
        return self._ledger is not None and self._ledger.is_live(namespace, folder)

    def _overview(self, found: Mapping[str, Contents]) -> Overview:
        disk = self._parts.disk()
        limits = self._limits(disk.capacity_bytes)
        holdings = tuple(self._holding(namespace, held, limits) for namespace, held in found.items())
        return Overview(limits, disk, self._parts.names(), holdings)

    def _holding(self, namespace: str, held: Contents, limits: Limits) -> Holding:
        ledger = self._known_ledger()
        is_over = not held.is_whole or ledger.unasked_bytes(namespace, held) > limits.guaranteed_bytes
        promised_bytes = sum(ledger.promised_bytes(namespace, held).values())
        return Holding(namespace, held.used_bytes, held.items, promised_bytes, is_over_budget=is_over)

    def _known_ledger(self) -> Ledger:
        """The ledger; if none was kept, all models present count as granted."""
        if self._ledger is None:
            self._ledger = Ledger.load(self._parts.own_file(LEDGER)) or Ledger.adopting(self._look())
        return self._ledger

    def _evict(self, items: list[Item]) -> bool:
        """Removes what is unused; False if something stayed, because it came into use or could not be removed."""
        is_done = True
        for item in items:
            try:
                with self._parts.opened(item.namespace) as part:
                    is_done &= self._evict_from(part, item)
            except OSError as error:
                _log.warning("%s/%s of namespace %s stays: %s", item.kind, item.name, item.namespace, error)
                is_done = False
        with self._parts.trash() as trash:
            if not untrusted_files.empty(trash):
                _log.warning("the trash could not be emptied at once")
        return is_done

    def _evict_from(self, part: int, item: Item) -> bool:
        """Checks again after the item lost its name: if a pod linked it meanwhile, it gets its name back."""
        with self._parts.trash() as trash, untrusted_files.opened_folder(item.kind, part) as folder:
            name = untrusted_files.discard(item.name, folder, trash)
            if item.kind is Kind.ENTRY:
                if item.name in contents.links(part, self._seen().pods_of(item.namespace)):
                    os.rename(name, item.name, src_dir_fd=trash, dst_dir_fd=folder)
                    return False
                _forget_record(item.name, part)
        self._metrics.evicted(item.kind, item.size_bytes)
        _log.info("evicted %s/%s of namespace %s: %d bytes", item.kind, item.name, item.namespace, item.size_bytes)
        return True


def _keeping(folder: str, holding: Holding, namespace: str) -> Holding:
    """The holding; what the namespace has staged of this model has to stay."""
    if holding.namespace != namespace:
        return holding
    return replace(holding, items=tuple(item for item in holding.items if not _is_staging_of(folder, item)))


def _is_staging_of(folder: str, item: Item) -> bool:
    is_arriving = item.kind is Kind.STAGING and not contents.is_broken(item.name)
    return is_arriving and contents.digest_of_staging(item.name) == folder


def _touch(kind: Kind, name: str, part: int) -> None:
    with (
        contextlib.suppress(OSError),
        untrusted_files.opened_folder(kind, part) as folder,
        untrusted_files.opened_folder(name, folder) as item,
    ):
        os.utime(item)


def _forget_record(folder: str, part: int) -> bool:
    """Whether anything was noted of the entry."""
    was_noted = False
    with contextlib.suppress(OSError), untrusted_files.opened_folder("records", part) as records:
        for suffix in (RECORD_SUFFIX, CORRUPT_SUFFIX):
            with contextlib.suppress(OSError):
                os.unlink(f"{folder}{suffix}", dir_fd=records)
                was_noted = True
    return was_noted
