"""`python3 -m e2e.cluster VERB`, with nothing but Python's standard library."""
import sys, time
from e2e.cluster import engine
from e2e.cluster.steps import Store, cache_folder
from e2e.cluster.run import make_all, Durations
from e2e.cluster.progress import Progress, table
store = Store(cache_folder()); 
from e2e.cluster.plan import STEPS as steps
d = Durations(cache_folder()/"durations.json")
t=time.monotonic()
rows = make_all(steps, [s.name for s in steps], store, Progress(d.usually_s(steps), time.monotonic), d)
print(table(rows, time.monotonic()-t))
