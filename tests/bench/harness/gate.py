"""The gate: counts that do not depend on how busy the machine is.

User-space instructions come from callgrind, with one request in flight over 8 connections: nothing is batched, and a
repeat differs by a fraction of a percent (two of the counts around a 429 are such a repeat). System calls of requests
come from strace at 32 connections; it slows the proxy down and so raises batching, which makes the counts of epoll_wait
low bounds. Events come one at a time, from one stream: with many streams under strace most events would be merged, and
the counts would flatter everybody.
"""

import glob
import http.client
import os
import re
import select
import signal
import subprocess
import time

from .processes import OTHER_CORES, BenchError, Load, Process

JSON_REQUESTS = 2000
# Bytes of the body, and how many requests have it.
PROMPTS = {"100 KB": (100 * 1024, 300), "1.6 MB": (1600 * 1024, 40)}
STRACE_REQUESTS = 3000
# Slow enough that a proxy under valgrind or strace is done with one event before the next, on a busy machine as well.
INTERVAL_US, SECONDS = 20000, 2


def json_load(tools, running, **options):
    return Load(tools.load, tools.work, "closed", running.port, **options)


def sse_load(tools, running):
    return Load(tools.load, tools.work, "streams", running.port, connections=1, events=1000000,
                interval_us=INTERVAL_US, warmup=0.5, seconds=SECONDS)


def few_requests(tools, running, **options):
    options = {"warmup": 400, "requests": JSON_REQUESTS, **options}
    return json_load(tools, running, connections=8, in_flight=1, **options)


def under_callgrind(tools, subject, workload):
    out = os.path.join(tools.work, "callgrind.out")
    for old in glob.glob(out + "*"):
        os.remove(old)
    prefix = [tools.valgrind, "--tool=callgrind", f"--callgrind-out-file={out}"]
    return subject.start(workload, tools.origin, tools.work, prefix)


def count(tools, running, load):
    """User-space instructions per request, or per event of a stream."""
    dumps = os.path.join(tools.work, "callgrind.out.*")
    before = set(glob.glob(dumps))
    with load:
        control(tools, running, "--zero")
        result = load.run()
        control(tools, running, "--dump")
    new = set(glob.glob(dumps)) - before
    if len(new) != 1:
        raise BenchError(f"callgrind left {len(new)} dumps instead of one")
    return counted(new.pop()) / (result["events"] or result["completed"])


def instructions(tools, subject, workload):
    with under_callgrind(tools, subject, workload) as running:
        return count(tools, running, sse_load(tools, running) if workload == "sse" else few_requests(tools, running))


def prompts(tools, subject):
    with under_callgrind(tools, subject, "json") as running:
        return {name: count(tools, running, few_requests(tools, running, prompt=size, warmup=20, requests=requests))
                for name, (size, requests) in PROMPTS.items()}


def around_a_429(tools, subject):
    """Plain requests of one process twice before, and once after it has been told 429 and has waited as it was told."""
    with under_callgrind(tools, subject, "json") as running:
        found = {name: count(tools, running, few_requests(tools, running)) for name in ("before", "again")}
        client = http.client.HTTPConnection("127.0.0.1", running.port, timeout=30)
        client.request("POST", "/v1/chat/completions", b'{"model":"bench","messages":[]}',
                       {"Content-Type": "application/json", "X-Bench-Refuse": "1"})
        status = client.getresponse().status
        client.close()
        if status != 200:
            raise BenchError(f"a request that was turned away once ended with {status}")
        found["after"] = count(tools, running, few_requests(tools, running))
    return found


def counted(dump):
    with open(dump) as lines:
        return int(re.search(r"^(?:summary|totals): (\d+)", lines.read(), re.MULTILINE).group(1))


def heads(tools):
    """{parser: {head: instructions}}: what reading one head of the plain request costs, gate included. Reading it oftener
    and less often differ by nothing else."""
    out = os.path.join(tools.work, "heads.out")
    results = {}
    for parser, binary in tools.heads.items():
        row = results[parser] = {}
        for head in ("request", "response"):
            counts = []
            for times in (100, 1100):
                done = subprocess.run([tools.valgrind, "--tool=callgrind", f"--callgrind-out-file={out}", binary, head,
                                       str(times)], capture_output=True, text=True, timeout=60)
                if done.returncode != 0:
                    raise BenchError(f"{binary} {head} failed:\n" + done.stderr)
                counts.append(counted(out))
            row[head] = (counts[1] - counts[0]) / 1000
    return results


def control(tools, running, command):
    done = subprocess.run([tools.callgrind_control, command, str(running.process.pid)], capture_output=True, text=True,
                          timeout=30)
    if done.returncode != 0 or "Error" in done.stdout + done.stderr:
        raise BenchError("callgrind_control failed: " + done.stdout + done.stderr)


def system_calls(tools, subject, workload):
    """System calls per request or event: all together, how many of them failed, and each by name."""
    table = os.path.join(tools.work, "strace.out")
    with subject.start(workload, tools.origin, tools.work) as running:
        load = (sse_load(tools, running) if workload == "sse" else
                json_load(tools, running, connections=32, warmup=2000, requests=STRACE_REQUESTS))
        with load:
            strace = Process([tools.strace, "-c", "-f", "-p", str(running.process.pid), "-o", table], OTHER_CORES,
                             os.path.join(tools.work, "strace.log"), stderr=subprocess.PIPE)
            try:
                wait_until_attached(strace)
                result = load.run()
            finally:
                strace.stop(signal.SIGINT)
                strace.child.stderr.close()
    units = result["events"] or result["completed"]
    counts = {"by_name": {}}
    with open(table) as lines:
        for line in lines:
            # % time, seconds, usecs/call, calls, errors (often blank), syscall
            found = re.match(r"\s*[\d.]+\s+[\d.]+\s+\d+\s+(\d+)\s+(\d+)?\s*(\w+)$", line)
            if not found:
                continue
            calls, errors, name = int(found[1]) / units, int(found[2] or 0) / units, found[3]
            if name == "total":
                counts["all"], counts["failed"] = calls, errors
            else:
                counts["by_name"][name] = calls
    if "all" not in counts:
        raise BenchError("strace printed no table:\n" + strace.last_words())
    return counts


def wait_until_attached(strace):
    until = time.monotonic() + 10
    said = b""
    while b"attached" not in said:
        readable, _, _ = select.select([strace.child.stderr], [], [], max(0, until - time.monotonic()))
        piece = os.read(strace.child.stderr.fileno(), 4096) if readable else b""
        if not piece:
            raise BenchError("strace could not attach: " + said.decode(errors="replace"))
        said += piece


def measure(tools, subjects, say):
    """{subject: {metric: number}} for every subject that is a proxy."""
    results = {}
    for subject in subjects:
        row = results[subject.name] = {}
        for workload, unit in (("json", "request"), ("sse", "event")):
            row[f"instructions_per_{unit}"] = instructions(tools, subject, workload)
            calls = system_calls(tools, subject, workload)
            row[f"syscalls_per_{unit}"] = calls["all"]
            row[f"failed_syscalls_per_{unit}"] = calls["failed"]
            row[f"syscalls_per_{unit}_by_name"] = {k: round(v, 4) for k, v in calls["by_name"].items()}
        row["instructions_with_prompt"] = prompts(tools, subject)
        if subject.name == "evenkeel":
            row["instructions_around_a_429"] = around_a_429(tools, subject)
        say(f"{subject.name:24s} {row['instructions_per_request']:9.0f} instructions/request "
            f"{row['instructions_per_event']:8.0f} /event {row['syscalls_per_request']:6.2f} syscalls/request "
            f"{row['syscalls_per_event']:6.2f} /event")
    return results
