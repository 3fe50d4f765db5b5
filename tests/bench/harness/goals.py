"""What evenkeel is held to, as ratios inside one run wherever a number depends on the machine. `must` leaves room for
features the yardsticks lack; `ambitious` is what prototypes of this design reached. A gate goal that is missed fails
the run; a report goal is only shown, because times on a shared machine prove little."""


def better_of(table, metric):
    return min(table[name][metric]["median"] for name in ("nginx", "haproxy"))


# tier, what, must, ambitious, value(gate, report)
GOALS = [
    ("gate", "instructions/request over nginx", 0.75, 0.40,
     lambda g, r: g["evenkeel"]["instructions_per_request"] / g["nginx"]["instructions_per_request"]),
    ("gate", "system calls/request", 5.5, 4.5, lambda g, r: g["evenkeel"]["syscalls_per_request"]),
    ("gate", "system calls/SSE event", 4.3, 3.0, lambda g, r: g["evenkeel"]["syscalls_per_event"]),
    ("report", "CPU/request, saturated, over haproxy", 0.95, 0.85,
     lambda g, r: r["times"]["json"]["evenkeel"]["cpu_over_haproxy"]["median"]),
    ("report", "CPU/request, saturated, over nginx", 0.85, 0.72,
     lambda g, r: r["times"]["json"]["evenkeel"]["cpu_over_nginx"]["median"]),
    ("report", "CPU/request at 3000/s over the better one", 0.95, 0.85,
     lambda g, r: r["times"]["open"]["evenkeel"]["cpu_us"]["median"] / better_of(r["times"]["open"], "cpu_us")),
    ("report", "added p50 at 3000/s over the better one", 0.90, 0.80,
     lambda g, r: r["times"]["open"]["evenkeel"]["added_p50_us"]["median"]
     / better_of(r["times"]["open"], "added_p50_us")),
    ("report", "added p99 at 3000/s over the better one", 1.00, 0.85,
     lambda g, r: r["times"]["open"]["evenkeel"]["added_p99_us"]["median"]
     / better_of(r["times"]["open"], "added_p99_us")),
    ("report", "CPU/SSE event over haproxy (no-delay)", 1.10, 0.95,
     lambda g, r: r["times"]["sse"]["evenkeel"]["cpu_over_haproxy"]["median"]),
    ("report", "CPU/SSE event over nginx", 1.00, 0.85,
     lambda g, r: r["times"]["sse"]["evenkeel"]["cpu_over_nginx"]["median"]),
    ("report", "KB of RSS per idle connection", 3.0, 2.0,
     lambda g, r: r["memory"]["evenkeel"]["bytes_per_idle_connection"] / 1024),
    ("report", "KB of RSS per SSE stream", 12.0, 9.0,
     lambda g, r: r["memory"]["evenkeel"]["bytes_per_stream"] / 1024),
]


def judge(gate, report):
    """[{tier, goal, value, must, ambitious, met}] for what was measured."""
    return [{"tier": tier, "goal": what, "value": value(gate, report), "must": must, "ambitious": ambitious,
             "met": value(gate, report) <= must}
            for tier, what, must, ambitious, value in GOALS if tier == "gate" or report]
