"""The results as text, for people; the JSON beside it is for programs."""


def gate_table(gate):
    lines = ["Counts (callgrind: 1 request in flight over 8 connections; strace: 32 connections; events one at a time)",
             f"{'':24s}{'instructions':>14s}{'/ nginx':>9s}{'/ haproxy':>11s}{'syscalls':>10s}{'of them':>9s}"
             f"{'instructions':>14s}{'syscalls':>10s}{'of them':>9s}",
             f"{'':24s}{'per request':>14s}{'':>9s}{'':>11s}{'/request':>10s}{'failed':>9s}"
             f"{'per event':>14s}{'/event':>10s}{'failed':>9s}"]
    for name, row in gate.items():
        count = row["instructions_per_request"]
        lines.append(f"{name:24s}{count:14,.0f}{count / gate['nginx']['instructions_per_request']:9.2f}"
                     f"{count / gate['haproxy']['instructions_per_request']:11.2f}{row['syscalls_per_request']:10.2f}"
                     f"{row['failed_syscalls_per_request']:9.2f}{row['instructions_per_event']:14,.0f}"
                     f"{row['syscalls_per_event']:10.2f}{row['failed_syscalls_per_event']:9.2f}")
    return "\n".join(lines)


def prompts_table(gate):
    names = next(iter(gate.values()))["instructions_with_prompt"]
    lines = ["Instructions per request with a large prompt, user space only: what the kernel copies is not in it",
             f"{'':24s}" + "".join(f"{name:>14s}{'/ nginx':>9s}" for name in names)]
    for name, row in gate.items():
        lines.append(f"{name:24s}" + "".join(
            f"{count:14,.0f}{count / gate['nginx']['instructions_with_prompt'][prompt]:9.2f}"
            for prompt, count in row["instructions_with_prompt"].items()))
    return "\n".join(lines)


def around_a_429_line(counts):
    return (f"Around a 429, one process: {counts['before']:,.0f} instructions/request before, "
            f"{counts['after']:,.0f} after ({counts['after'] / counts['before']:.3f}); "
            f"A/A {counts['again'] / counts['before']:.3f}")


def heads_table(heads, plain):
    """`plain`: instructions per request of evenkeel."""
    lines = ["The two heads of a plain request, gate included: instructions",
             f"{'':24s}{'request':>10s}{'response':>10s}{'both':>10s}{'of a request':>14s}{'added':>10s}"]
    ours = sum(heads["our scanner"].values())
    for parser, row in heads.items():
        both = sum(row.values())
        lines.append(f"{parser:24s}{row['request']:10,.0f}{row['response']:10,.0f}{both:10,.0f}"
                     f"{both / plain * 100:12.1f} %{(both - ours) / plain * 100:8.1f} %")
    return "\n".join(lines)


def number(value, digits=1):
    return f"{value['median']:.{digits}f} ({value['min']:.{digits}f}-{value['max']:.{digits}f})"


def ratio(value):
    return f"{value['median']:.2f} ({value['min']:.2f}-{value['max']:.2f})"


def times_table(times, yardsticks):
    titles = {"json": "Requests, saturated, 32 connections", "open": "Requests, 3000/s Poisson, 16 connections",
              "sse": "Streams, 200 x 1 event / 20 ms",
              "100 KB": "Requests with 100 KB prompts, saturated, 8 connections",
              "1.6 MB": "Requests with 1.6 MB prompts, saturated, 4 connections"}
    lines = []
    for workload in times:
        title, closed = titles[workload], workload not in ("open", "sse")
        unit = "event" if workload == "sse" else "request"
        lines += ["", f"{title}: median (min-max) over the rounds",
                  f"{'':24s}{'CPU us/' + unit:>22s}" + "".join(f"{'CPU / ' + y:>20s}" for y in yardsticks) +
                  f"{'sleeps/' + unit:>16s}" +
                  (f"{'per second':>26s}" if closed else f"{'p50 us':>26s}{'p99 us':>26s}") +
                  (f"{'added p50 us':>26s}{'added p99 us':>26s}" if workload == "open" else "")]
        for name, row in times[workload].items():
            cpu = "(the origin's)" if name == "direct" and not closed else number(row["cpu_us"])
            line = f"{name:24s}{cpu:>22s}"
            line += "".join(f"{'' if name == 'direct' else ratio(row['cpu_over_' + y]):>20s}" for y in yardsticks)
            line += f"{'' if name == 'direct' else format(row['sleeps']['median'], '.2f'):>16s}"
            if closed:
                line += f"{number(row['rate'], 0):>26s}"
            else:
                line += f"{number(row['p50_us']):>26s}{number(row['p99_us']):>26s}"
            if workload == "open" and name != "direct":
                line += f"{number(row['added_p50_us']):>26s}{number(row['added_p99_us']):>26s}"
            lines.append(line)
    return "\n".join(lines[1:])


def memory_table(memory):
    lines = ["Resident memory (kernel socket memory not included), one sample each",
             f"{'':24s}{'base MB':>10s}{'B/idle connection':>20s}{'B/stream':>12s}"]
    for name, row in memory.items():
        lines.append(f"{name:24s}{row['base_bytes'] / 1e6:10.1f}{row['bytes_per_idle_connection']:20,.0f}"
                     f"{row['bytes_per_stream']:12,.0f}")
    return "\n".join(lines)


def goals_table(goals):
    lines = [f"{'Goals of evenkeel':46s}{'value':>10s}{'must':>10s}{'ambitious':>11s}{'A/A':>19s}"]
    for goal in goals:
        verdict = "met" if goal["met"] else ("MISSED" if goal["tier"] == "gate" else "missed")
        digits = 0 if goal["must"] > 1000 else 2
        beside = ratio(goal["a_over_a"]) if goal["a_over_a"] else ""
        lines.append(f"{goal['goal']:46s}{goal['value']:10.{digits}f}{goal['must']:10.{digits}f}"
                     f"{goal['ambitious']:11.{digits}f}{beside:>19s}  "
                     f"{verdict}{'' if goal['tier'] == 'gate' else ' (shown only)'}")
    return "\n".join(lines)


def pair_line(name, same):
    """How far one subject, measured twice, lies from itself."""
    parts = [f"{workload} {ratio(value)}" for workload, value in same.items()]
    return f"A/A: CPU of {name} over itself: " + ", ".join(parts) + "; a difference inside this spread means nothing"


def noise_line(noise):
    line = (f"Machine: load {noise['load_before']:.2f} before, steal {noise['steal_share'] * 100:.1f} %, "
            f"other processes {noise['foreign_cores']:.2f} cores")
    return line + ("; NOISY: times are not to be quoted, counts are" if noise["noisy"] else "; quiet")
