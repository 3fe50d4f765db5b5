"""Starting, pinning, reading and ending the processes of a benchmark. Children are ended by their pid, always."""

import contextlib
import json
import os
import resource
import select
import signal
import socket
import subprocess
import time


class BenchError(Exception):
    """Something without which the numbers would mean nothing; the message is for the user."""


CORES = sorted(os.sched_getaffinity(0))
PROXY_CORE = {CORES[0]}
# Generator and origin stay off the proxy's core, where there is another one.
OTHER_CORES = set(CORES[1:]) or PROXY_CORE


def allow_many_files():
    """2000 connections and their upstream halves need more descriptors than the usual soft limit."""
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))


def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


class Process:
    """A child on given cores; its output goes to a file that is quoted when it fails."""

    def __init__(self, argv, cores, log, **popen):
        self.argv, self.log = argv, log
        with open(log, "wb") as output:
            popen.setdefault("stdout", output)
            popen.setdefault("stderr", output)
            self.child = subprocess.Popen(argv, preexec_fn=lambda: os.sched_setaffinity(0, cores), **popen)
        self.pid = self.child.pid

    def alive(self):
        return self.child.poll() is None

    def last_words(self):
        with open(self.log, errors="replace") as log:
            return "".join(log.readlines()[-10:])

    def wait_for_port(self, port, seconds=30):
        until = time.monotonic() + seconds
        while time.monotonic() < until:
            if not self.alive():
                raise BenchError(f"{self.argv[0]} ended at once:\n{self.last_words()}")
            with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), 1):
                return
            time.sleep(0.05)
        raise BenchError(f"{self.argv[0]} does not listen on {port}:\n{self.last_words()}")

    def stop(self, how=signal.SIGTERM):
        if self.alive():
            self.child.send_signal(how)
            try:
                self.child.wait(5)
            except subprocess.TimeoutExpired:
                self.child.kill()
        self.child.wait()

    def cpu_ns(self):
        """CPU time of all threads, in nanoseconds."""
        total = 0
        for task in os.listdir(f"/proc/{self.pid}/task"):
            with contextlib.suppress(FileNotFoundError), open(f"/proc/{self.pid}/task/{task}/schedstat") as stat:
                total += int(stat.read().split()[0])
        return total

    def sleeps(self):
        """How often its threads have gone to sleep: work that comes in bursts costs fewer wake-ups."""
        total = 0
        for task in os.listdir(f"/proc/{self.pid}/task"):
            with contextlib.suppress(FileNotFoundError), open(f"/proc/{self.pid}/task/{task}/status") as status:
                total += next(int(line.split()[1]) for line in status if line.startswith("voluntary_ctxt_switches"))
        return total

    def rss_bytes(self):
        # statm lags behind by a batch of pages per core; the rollup counts.
        with open(f"/proc/{self.pid}/smaps_rollup") as rollup:
            for line in rollup:
                if line.startswith("Rss:"):
                    return int(line.split()[1]) * 1024
        raise BenchError("no Rss in smaps_rollup")


class Load:
    """One run of bench_load: warm-up, `ready`, then exactly what is measured between start() and result()."""

    def __init__(self, binary, work, mode, port, limit=120, **options):
        argv = [binary, mode, "--target", f"127.0.0.1:{port}", "--handshake", "1", "--limit", str(limit)]
        for name, value in options.items():
            argv += ["--" + name.replace("_", "-"), str(value)]
        self.limit = limit
        self.process = Process(argv, OTHER_CORES, os.path.join(work, "load.log"), stdin=subprocess.PIPE,
                               stdout=subprocess.PIPE, text=True)

    def __enter__(self):
        try:
            if self._line() != "ready":
                raise BenchError("the generator never got ready:\n" + self.process.last_words())
        except BaseException:
            self.process.stop()
            raise
        return self

    def __exit__(self, *_):
        with contextlib.suppress(BrokenPipeError):
            self.process.child.stdin.close()
        try:
            self.process.child.wait(5)
        except subprocess.TimeoutExpired:
            self.process.stop()
        self.process.child.stdout.close()

    def _line(self):
        readable, _, _ = select.select([self.process.child.stdout], [], [], self.limit + 5)
        return self.process.child.stdout.readline().strip() if readable else ""

    def start(self):
        self.process.child.stdin.write("go\n")
        self.process.child.stdin.flush()

    def result(self):
        line = self._line()
        if not line:
            raise BenchError("the generator broke off:\n" + self.process.last_words())
        result = json.loads(line)
        if result["fails"]:
            raise BenchError(f"{result['fails']} wrong answers:\n{self.process.last_words()}")
        return result

    def run(self):
        self.start()
        return self.result()
