"""Used inside the peers' processes: figures of a piece of work, the start of the process left out."""
import json
import resource
import statistics
import time


def timed(run, repeats, weights_mb=0.0):
    """One untimed run, then the mean processor seconds and faults and the median wall seconds of `repeats` runs, printed."""
    run()
    before, times = resource.getrusage(resource.RUSAGE_SELF), []
    for _ in range(repeats):
        start = time.perf_counter()
        run()
        times.append(time.perf_counter() - start)
    after = resource.getrusage(resource.RUSAGE_SELF)
    print(json.dumps({"wall": statistics.median(times), "user": (after.ru_utime - before.ru_utime) / repeats, "system": (after.ru_stime - before.ru_stime) / repeats,
                      "faults": (after.ru_minflt + after.ru_majflt - before.ru_minflt - before.ru_majflt) / repeats, "weights_mb": weights_mb}))
