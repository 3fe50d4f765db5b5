"""`evenkeel run` as a process of a test: started as a service manager, a shell or a container would, asked, and looked
at from outside."""

import http.client
import os
import pathlib
import re
import signal
import socket
import subprocess
import tempfile
import time

ROUTES = """
upstreams: {a: {url: "http://127.0.0.1:1"}}
routes: [{name: health, match: {path: /health}, serve: health}]
drain: {timeout: 5s}
"""


class Breaches(list):
    def check(self, holds, what):
        if not holds:
            self.append(what)
        return holds


def soon(done, seconds=20):
    """What `done` says first that is true, or its last word."""
    until = time.monotonic() + seconds
    while True:
        found = done()
        if found or time.monotonic() > until:
            return found
        time.sleep(0.02)


def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


class Evenkeel:
    """`sockets`: listening ones that it is given, with their names. `written`: called before it starts."""

    def __init__(self, program, head="listen: 127.0.0.1:0\nadmin: off\n", rest=ROUTES, environment=(), sockets=(),
                 prefix=(), preexec=None, written=None):
        self.folder = pathlib.Path(tempfile.mkdtemp(prefix="evenkeel-running-"))
        self.file, self.log_file, self.said = (self.folder / name for name in ("evenkeel.yaml", "log", "said"))
        self.head, self.rest = head, rest
        self.write()
        if written:
            written(self)
        variables = {key: value for key, value in os.environ.items()
                     if not key.startswith(("LISTEN_", "NOTIFY_", "WATCHDOG_"))}
        variables.update(environment)
        given = [one.fileno() for one, _ in sockets]
        if sockets:
            variables["LISTEN_FDS"] = str(len(given))
            variables.setdefault("LISTEN_FDNAMES", ":".join(name for _, name in sockets))

        def before():
            if preexec:
                preexec()
            # Away first, so that none is overwritten before it is moved.
            away = [os.dup(fd) for fd in given]
            away = [fcntl_beyond(fd, 64) for fd in away]
            for at, fd in enumerate(away):
                os.dup2(fd, 3 + at)

        # The shell has the id that the program keeps.
        start = ["sh", "-c", 'LISTEN_PID=$$ exec "$@"', "sh"] if sockets else []
        self.process = subprocess.Popen([*prefix, *start, program, "run", "-c", self.file], env=variables,
                                        stdout=open(self.folder / "output", "w"), stderr=open(self.said, "w"),
                                        preexec_fn=before, pass_fds=tuple(range(3, 3 + len(given))))
        self.pid = self.process.pid

    def write(self, more=""):
        self.file.write_text(f"version: 1\nlog: {{path: {self.log_file}}}\naccess_log: {{path: \"off\"}}\n"
                             + self.head + self.rest + more)

    def log(self):
        return self.log_file.read_text() if self.log_file.exists() else ""

    def logs(self, text, seconds=20):
        return soon(lambda: text in self.log() or (self.process.poll() is not None and text in self.log()), seconds)

    def listens(self):
        """Port, once it is in the log; None: it ended."""
        soon(lambda: re.search(r"listening.*\n", self.log()) or self.process.poll() is not None)
        found = re.search(r"listening\b.*?:(\d+)", self.log())
        return int(found[1]) if found else None

    def send(self, number):
        os.kill(self.pid, number)

    def end(self, seconds=20):
        """SIGTERM; its exit code."""
        self.send(signal.SIGTERM)
        return self.process.wait(seconds)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        if self.process.poll() is None:
            self.process.kill()
            self.process.wait()
        for pid in self.all():
            os.kill(pid, signal.SIGKILL)
        subprocess.run(["rm", "-rf", self.folder], check=True)

    def all(self):
        """Every process that runs with its file."""
        found = []
        for entry in pathlib.Path("/proc").iterdir():
            try:
                if entry.name.isdigit() and str(self.file).encode() in (entry / "cmdline").read_bytes().split(b"\0"):
                    found.append(int(entry.name))
            except OSError:
                pass
        return sorted(found)


def fcntl_beyond(fd, least):
    import fcntl
    return fcntl.fcntl(fd, fcntl.F_DUPFD, least)


def status_of(port, path="/health", method="GET"):
    client = http.client.HTTPConnection("127.0.0.1", port, timeout=20)
    try:
        client.request(method, path, headers={"content-length": "0"} if method == "POST" else {})
        answer = client.getresponse()
        answer.read()
        return answer.status
    finally:
        client.close()
