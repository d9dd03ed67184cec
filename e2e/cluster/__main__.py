"""`python3 -m e2e.cluster VERB`: the local cluster, with nothing but Python's standard library.

up            make everything that is missing (`up STEP...`: only these and what they need)
demo          up, then a model served and queried
down          remove the cluster and the engine that set-up started, and put the host back; results stay in the cache
python        print the project's Python interpreter, made if missing
binaries      print the folder with etcd, kube-apiserver and kubectl, made if missing
nginx         print the folder that nginx was unpacked in, made if missing
steps         print the steps: what each makes, from what
clean-cache   down, and remove all kept results
"""

import os
import shutil
import signal
import sys
import time
from collections.abc import Sequence

from e2e.cluster import demo, engine, images, kind_cluster, network, registry
from e2e.cluster.host import Host, write_through
from e2e.cluster.plan import all_steps, before_images, for_benchmarks
from e2e.cluster.progress import Progress, Took, table
from e2e.cluster.run import Durations, Run, StepFailedError, plan
from e2e.cluster.steps import CannotMakeError, Making, Step, Store, cache_folder, programs_folder


def main(arguments: Sequence[str]) -> int:
    """Run the verb; the exit status."""
    os.environ["PATH"] = f"{programs_folder()}:{os.environ.get('PATH', '')}"
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    verb, *rest = arguments or [""]
    verbs = {
        "up": lambda: _up(rest),
        "demo": _demo,
        "down": _down,
        "python": lambda: _show("python-environment", "bin/python", before_images()),
        "binaries": lambda: _show("binaries", "", None),
        "nginx": lambda: _show("nginx", "root", for_benchmarks()),
        "steps": _steps,
        "clean-cache": _clean_cache,
    }
    if verb not in verbs:
        print(__doc__.strip(), file=sys.stderr)
        return 2
    try:
        _require_cache()
        verbs[verb]()
    except StepFailedError as failed:
        print(
            f"Not made: {failed}. What was made until here is kept; the next run goes on from there.", file=sys.stderr
        )
        return 1
    except CannotMakeError as error:
        print(error, file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("Stopped. What was made until here is kept; the next run goes on from there.", file=sys.stderr)
        return 130
    return 0


def _require_cache() -> None:
    """Raises CannotMakeError where results cannot be kept."""
    folder = cache_folder()
    try:
        for kept in (folder, folder / "made", folder / "locks"):
            kept.mkdir(parents=True, exist_ok=True)
            (kept / ".writable").touch()
    except OSError as error:
        raise CannotMakeError(
            f"Results are kept in {folder}, where this user cannot write ({error}): a run with sudo may have made it. "
            "Change its owner, remove it, or let XDG_CACHE_HOME name another folder."
        ) from error


def _make(steps: Sequence[Step], targets: Sequence[str]) -> list[Took]:
    store = Store(cache_folder())
    durations = Durations(cache_folder() / "durations.json")
    run = Run(plan(steps, targets, store), store, Progress(durations.usually_s(steps), time.monotonic))
    try:
        return run.make_all()
    finally:
        durations.measured({row.name: row.seconds for row in run.took.values() if row.made})


def _planned(steps: Sequence[Step], targets: Sequence[str]) -> dict[str, Making]:
    return {name: making for name, (_, making) in plan(steps, targets, Store(cache_folder())).items()}


def _up(targets: Sequence[str]) -> None:
    started = time.monotonic()
    took = _make(before_images(), [step.name for step in before_images() if not targets or step.name == "engine"])
    steps = all_steps(pull=registry.can_pull())
    names = list(targets) or [step.name for step in steps]
    before = {row.name: row for row in took}
    took = [before.get(row.name, row) for row in _make(steps, names)]
    if not targets:
        images.record(_planned(steps, names))
    print(table(took, time.monotonic() - started), file=sys.stderr)


def _demo() -> None:
    _up([])
    demo.run()


def _down() -> None:
    network.let_out()
    node_image = kind_cluster.node_image_in_use()
    kind_cluster.delete()
    engine.stop()
    if os.geteuid() == 0:
        Host(engine.STATE).restore()
    elif node_image:
        Host(engine.STATE).restore(write_through(node_image))
    print(f"Removed. What was built is kept in {cache_folder()}; `make clean-cache` removes that too.", file=sys.stderr)


def _show(target: str, path: str, steps: Sequence[Step] | None) -> None:
    if steps is None:
        _make(engine.steps(), ["engine"])
        steps = all_steps(pull=registry.can_pull())
    _make(steps, [target])
    print(_planned(steps, [target])[target].folder / path)


def _steps() -> None:
    for step in all_steps(pull=registry.can_pull()):
        print(f"{step.name:<18} {step.makes:<40} {', '.join(step.needs)}")


def _clean_cache() -> None:
    _down()
    shutil.rmtree(cache_folder(), ignore_errors=True)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
