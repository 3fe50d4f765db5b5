"""Whether the times of a run can be trusted: stolen time, and CPU that somebody else used meanwhile. The load average is
only shown: it still remembers our own build."""

import os
import resource
import time

STEAL_LIMIT = 0.01    # share of all CPU time
FOREIGN_LIMIT = 0.10  # of one core, used by processes that are not ours


def cpu_ticks():
    with open("/proc/stat") as stat:
        fields = [int(x) for x in stat.readline().split()[1:9]]
    user, nice, system, idle, iowait, irq, softirq, steal = fields
    return {"busy": user + nice + system + irq + softirq, "steal": steal, "all": sum(fields)}


def own_seconds():
    """Of this process and of every child it has waited for."""
    usages = (resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN))
    return sum(usage.ru_utime + usage.ru_stime for usage in usages)


class Watch:
    """Created before the first child of what is measured; finish() is called when all have been waited for."""

    def __init__(self):
        self.load = os.getloadavg()[0]
        self.began, self.ticks, self.own = time.monotonic(), cpu_ticks(), own_seconds()

    def finish(self):
        ticks = cpu_ticks()
        elapsed = time.monotonic() - self.began
        busy = (ticks["busy"] - self.ticks["busy"]) / os.sysconf("SC_CLK_TCK")
        found = {
            "load_before": self.load,
            "steal_share": (ticks["steal"] - self.ticks["steal"]) / max(1, ticks["all"] - self.ticks["all"]),
            "foreign_cores": max(0.0, (busy - (own_seconds() - self.own)) / elapsed),
        }
        found["noisy"] = found["steal_share"] > STEAL_LIMIT or found["foreign_cores"] > FOREIGN_LIMIT
        return found
