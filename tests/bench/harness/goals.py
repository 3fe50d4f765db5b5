"""What evenkeel is held to, as ratios inside one run wherever a number depends on the machine. `must` leaves room for
features the yardsticks lack; `ambitious` is what prototypes of this design reached. A gate goal that is missed fails
the run; a count goal is asked for and only shown; so is a report goal, because times on a shared machine prove little.
Beside those of CPU stands how far evenkeel lay from itself."""


def better_of(table, metric):
    return min(table[name][metric]["median"] for name in ("nginx", "haproxy"))


def cpu_of(workload):
    return lambda g, r: r["times"][workload]["evenkeel"]["cpu_over_nginx"]["median"]


# tier, what, must, ambitious, value(gate, report), and the workload of the report whose A/A stands beside it
GOALS = [
    ("gate", "instructions/request over nginx", 0.75, 0.40,
     lambda g, r: g["evenkeel"]["instructions_per_request"] / g["nginx"]["instructions_per_request"], None),
    ("gate", "system calls/request", 5.5, 4.5, lambda g, r: g["evenkeel"]["syscalls_per_request"], None),
    ("gate", "system calls/SSE event", 4.3, 3.0, lambda g, r: g["evenkeel"]["syscalls_per_event"], None),
    ("count", "instructions/request", 26500, 22000, lambda g, r: g["evenkeel"]["instructions_per_request"], None),
    ("count", "system calls/SSE event, asked", 3.6, 3.0, lambda g, r: g["evenkeel"]["syscalls_per_event"], None),
    ("count", "instructions/request after a 429 over before", 1.01, 1.00,
     lambda g, r: g["evenkeel"]["instructions_around_a_429"]["after"]
     / g["evenkeel"]["instructions_around_a_429"]["before"], None),
    ("report", "CPU/request, saturated, over haproxy", 0.95, 0.85,
     lambda g, r: r["times"]["json"]["evenkeel"]["cpu_over_haproxy"]["median"], "json"),
    ("report", "CPU/request, saturated, over nginx", 0.85, 0.72, cpu_of("json"), "json"),
    ("report", "CPU/request, 100 KB prompt, over nginx", 1.10, 0.95, cpu_of("100 KB"), "100 KB"),
    ("report", "CPU/request, 1.6 MB prompt, over nginx", 1.10, 0.95, cpu_of("1.6 MB"), "1.6 MB"),
    ("report", "CPU/request at 3000/s over the better one", 0.95, 0.85,
     lambda g, r: r["times"]["open"]["evenkeel"]["cpu_us"]["median"] / better_of(r["times"]["open"], "cpu_us"), "open"),
    ("report", "added p50 at 3000/s over the better one", 0.90, 0.80,
     lambda g, r: r["times"]["open"]["evenkeel"]["added_p50_us"]["median"]
     / better_of(r["times"]["open"], "added_p50_us"), None),
    ("report", "added p99 at 3000/s over the better one", 1.00, 0.85,
     lambda g, r: r["times"]["open"]["evenkeel"]["added_p99_us"]["median"]
     / better_of(r["times"]["open"], "added_p99_us"), None),
    ("report", "CPU/SSE event over haproxy (no-delay)", 1.10, 0.95,
     lambda g, r: r["times"]["sse"]["evenkeel"]["cpu_over_haproxy"]["median"], "sse"),
    ("report", "CPU/SSE event over nginx", 1.00, 0.85, cpu_of("sse"), "sse"),
    ("report", "KB of RSS per idle connection", 3.0, 2.0,
     lambda g, r: r["memory"]["evenkeel"]["bytes_per_idle_connection"] / 1024, None),
    ("report", "KB of RSS per SSE stream", 12.0, 9.0,
     lambda g, r: r["memory"]["evenkeel"]["bytes_per_stream"] / 1024, None),
]


def judge(gate, report):
    """[{tier, goal, value, must, ambitious, met, a_over_a}] for what was measured."""
    judged = []
    for tier, what, must, ambitious, value, beside in GOALS:
        if tier == "report" and not report:
            continue
        found = value(gate, report)
        judged.append({"tier": tier, "goal": what, "value": found, "must": must, "ambitious": ambitious,
                       "met": found <= must, "a_over_a": report["a_over_a"][beside] if beside else None})
    return judged
