"""The report: times. They depend on the machine and on who else uses it, so subjects take turns in random order, ratios
are taken inside a round, and one subject runs twice: how far that pair lies apart is the smallest difference that may
be claimed."""

import random
import statistics

from .processes import Load

WORKLOADS = {
    # mode, options; what is seen at full speed must not be compared with what is seen at a fixed rate
    "json": ("closed", {"connections": 32, "warmup": 3000, "seconds": 1}),
    "open": ("open", {"connections": 16, "rate": 3000, "warmup": 0.3, "seconds": 1}),
    "sse": ("streams", {"connections": 200, "events": 1000000, "interval_us": 20000, "warmup": 0.5, "seconds": 1}),
    "100 KB": ("closed", {"connections": 8, "prompt": 100 * 1024, "warmup": 400, "seconds": 1}),
    "1.6 MB": ("closed", {"connections": 4, "prompt": 1600 * 1024, "warmup": 40, "seconds": 1}),
}


def measure_once(tools, running, workload, seed):
    mode, options = WORKLOADS[workload]
    if mode != "closed":
        options = {**options, "seed": seed}
    with Load(tools.load, tools.work, mode, running.port, **options) as load:
        sleeps, before = running.process.sleeps(), running.process.cpu_ns()
        result = load.run()
        cpu, sleeps = running.process.cpu_ns() - before, running.process.sleeps() - sleeps
    units = result["events"] if workload == "sse" else result["completed"]
    return {"cpu_us": cpu / units / 1000, "rate": units / result["seconds"], "sleeps": sleeps / units,
            "p50_us": result["p50_us"], "p90_us": result["p90_us"], "p99_us": result["p99_us"]}


def rounds(tools, subjects, workloads, count, seed, say):
    """[{workload: {subject: measurement}}], one entry a round, every subject in each."""
    order = random.Random(seed)
    done = []
    for number in range(count):
        this = {workload: {} for workload in workloads}
        for workload in workloads:
            shuffled = subjects[:]
            order.shuffle(shuffled)
            # A process of its own for each measurement: layout and history are part of what is averaged.
            for subject in shuffled:
                with subject.start(workload, tools.origin, tools.work) as running:
                    this[workload][subject.name] = measure_once(tools, running, workload, seed * 1000 + number)
        done.append(this)
        say(f"round {number + 1} of {count} done")
    return done


def spread(values):
    return {"median": statistics.median(values), "min": min(values), "max": max(values)}


def summarise(done, names, yardsticks, pair):
    """Median, min and max over the rounds of each number, of what a proxy adds to direct, and of the CPU ratios; then
    the CPU ratio of the pair, which is one subject measured twice."""
    summary = {}
    workloads = done[0]
    for workload in workloads:
        table = summary[workload] = {}
        for name in names:
            mine = [entry[workload][name] for entry in done]
            row = table[name] = {metric: spread([m[metric] for m in mine]) for metric in mine[0]}
            direct = [entry[workload]["direct"] for entry in done]
            for metric in ("p50_us", "p90_us", "p99_us"):
                row["added_" + metric] = spread([m[metric] - d[metric] for m, d in zip(mine, direct)])
            for yardstick in yardsticks:
                theirs = [entry[workload][yardstick] for entry in done]
                row["cpu_over_" + yardstick] = spread([m["cpu_us"] / t["cpu_us"] for m, t in zip(mine, theirs)])
    first, again = pair
    same = {w: spread([entry[w][again]["cpu_us"] / entry[w][first]["cpu_us"] for entry in done]) for w in workloads}
    return summary, same


def memory(tools, subjects, say):
    """Growth of resident memory per connection; the kernel's socket memory is not in it."""
    idle, streams = 2000, 1000
    results = {}
    for subject in subjects:
        row = results[subject.name] = {}
        with subject.start("json", tools.origin, tools.work) as running:
            row["base_bytes"] = base = warm(tools, running)
            with Load(tools.load, tools.work, "closed", running.port, connections=idle, in_flight=1, warmup=idle):
                row["bytes_per_idle_connection"] = (running.process.rss_bytes() - base) / idle
        with subject.start("sse", tools.origin, tools.work) as running:
            base = warm(tools, running)
            with Load(tools.load, tools.work, "streams", running.port, connections=streams, events=1000,
                      interval_us=500000, warmup=2, seconds=1):
                row["bytes_per_stream"] = (running.process.rss_bytes() - base) / streams
        say(f"{subject.name:24s} {row['base_bytes'] / 1e6:6.1f} MB base {row['bytes_per_idle_connection']:8.0f} B/idle "
            f"connection {row['bytes_per_stream']:8.0f} B/stream")
    return results


def warm(tools, running):
    with Load(tools.load, tools.work, "closed", running.port, connections=8, warmup=200):
        return running.process.rss_bytes()
