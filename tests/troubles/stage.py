"""What the rows of `run` are played on: scripted upstreams on loopback, the real program with a small configuration,
and a client that says what it got and when. One event loop; every child is ended by its pid, every wait is bounded."""

import asyncio
import contextlib
import contextvars
import ctypes
import json
import os
import random
import signal
import socket
import ssl
import struct
import subprocess
import time

HELLO = {"id": "c", "object": "chat.completion", "created": 1, "model": "m",
         "choices": [{"index": 0, "message": {"role": "assistant", "content": "hello"}, "finish_reason": "stop"}],
         "usage": {"prompt_tokens": 3, "completion_tokens": 2, "total_tokens": 5}}


def chat(**more):
    return json.dumps({"model": "m", "messages": [{"role": "user", "content": "hi"}], **more})


def delta(text, **more):
    return {"id": "c", "object": "chat.completion.chunk", "created": 1, "model": "m",
            "choices": [{"index": 0, "delta": {"content": text}, "finish_reason": None}], **more}


def begin(text, **more):
    return {**delta("", **more), "choices": [{"index": 0, "delta": {"role": "assistant", "content": text},
                                              "finish_reason": None}]}


def finish(**more):
    return {**delta("", **more), "choices": [{"index": 0, "delta": {}, "finish_reason": "stop"}]}


def counted(number, what):
    return f"{number} {what}{'s' * (number != 1)}"


def event(data, name=None):
    return (f"event: {name}\n" if name else "") + f"data: {data if isinstance(data, str) else json.dumps(data)}\n\n"


HELLO_EVENTS = [event(begin("hel")), event(delta("lo")), event(finish()), event("[DONE]")]


def error_body(message="no luck", **more):
    return {"error": {"message": message, **more}}


# Ports below those that the kernel gives to connections, each once.
_ports = iter(random.sample(range(15000, 32000), 17000))


def free_port():
    for port in _ports:
        with socket.socket() as probe, contextlib.suppress(OSError):
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            probe.bind(("127.0.0.1", port))
            return port
    raise RuntimeError("no port is free")


class Message:
    """What has a body."""

    @property
    def json(self):
        try:
            return json.loads(self.body)
        except ValueError:
            return {}


class Request(Message):
    def __init__(self, head):
        lines = head.decode("latin-1").split("\r\n")
        self.method, self.target, _ = lines[0].split(" ", 2)
        self.headers = {}
        for line in lines[1:]:
            if line:
                name, value = line.split(":", 1)
                self.headers[name.strip().lower()] = value.strip()
        self.body = b""
        self.at = time.monotonic()

    @property
    def streams(self):
        return bool(self.json.get("stream")) or ":streamGenerateContent" in self.target


async def read_body(reader, headers, into):
    """Appends what comes to `into`. True: it came whole."""
    if "chunked" in headers.get("transfer-encoding", ""):
        while True:
            line = await reader.readline()
            if not line.endswith(b"\n"):
                return False
            size = int(line, 16)
            into += await reader.readexactly(size)
            await reader.readexactly(2)
            if size == 0:
                return True
    if "content-length" in headers:
        into += await reader.readexactly(int(headers["content-length"]))
        return True
    return None


class Reply:
    """How an upstream answers one request."""

    def __init__(self, request, reader, writer):
        self.request, self.reader, self.writer = request, reader, writer
        self.chunked = False

    async def raw(self, data):
        self.writer.write(data if isinstance(data, bytes) else data.encode())
        await self.writer.drain()

    async def head(self, status=200, kind="text/event-stream", fields=()):
        self.chunked = True
        lines = [f"HTTP/1.1 {status} X", f"content-type: {kind}", "transfer-encoding: chunked",
                 *(f"{name}: {value}" for name, value in fields)]
        await self.raw("\r\n".join(lines) + "\r\n\r\n")

    async def piece(self, data):
        data = data if isinstance(data, bytes) else data.encode()
        await self.raw(b"%x\r\n%s\r\n" % (len(data), data))

    async def end(self):
        await self.raw("0\r\n\r\n")

    async def whole(self, data, status=200, kind="application/json", fields=()):
        if not isinstance(data, (bytes, str)):
            data = json.dumps(data)
        data = data if isinstance(data, bytes) else data.encode()
        lines = [f"HTTP/1.1 {status} X", f"content-type: {kind}", f"content-length: {len(data)}",
                 *(f"{name}: {value}" for name, value in fields)]
        await self.raw("\r\n".join(lines).encode() + b"\r\n\r\n" + data)

    async def stream(self, events, kind="text/event-stream", fields=(), pause=0.0):
        await self.head(kind=kind, fields=fields)
        for one in events:
            await self.piece(one)
            if pause:
                await asyncio.sleep(pause)
        await self.end()

    async def hello(self, after=0.0):
        await asyncio.sleep(after)
        if self.request.streams:
            await self.stream(HELLO_EVENTS)
        else:
            await self.whole(HELLO)

    async def silence(self):
        """Until whoever asked leaves."""
        while await self.reader.read(65536):
            pass


class Upstream:
    """`play(request, reply)` answers; it is the upstream's `play` at that moment, so that a row can change it."""

    def __init__(self, play, tls=None):
        self.play, self.tls = play, tls
        self.requests, self.connections, self.open = [], 0, set()
        self.server = None

    async def start(self):
        self.server = await asyncio.start_server(self._serve, "127.0.0.1", 0, backlog=2048, ssl=self.tls)
        self.port = self.server.sockets[0].getsockname()[1]
        self.url = f"http{'s' if self.tls else ''}://127.0.0.1:{self.port}"
        return self

    async def _serve(self, reader, writer):
        self.connections += 1
        self.open.add(writer)
        # Cancelled: the run is over, and asyncio would complain of it.
        with contextlib.suppress(OSError, asyncio.IncompleteReadError, asyncio.LimitOverrunError,
                                 asyncio.CancelledError):
            while True:
                request = Request((await reader.readuntil(b"\r\n\r\n"))[:-4])
                self.requests.append(request)
                body = bytearray()
                await read_body(reader, request.headers, body)
                request.body = bytes(body)
                if await self.play(request, Reply(request, reader, writer)) is False:
                    break
        self.open.discard(writer)
        writer.close()

    def turn_deaf(self):
        """The kernel drops what comes for the connections that are open, and acknowledges nothing: as a firewall on
        the way would. It takes no privilege. New ones are well."""
        instruction = ctypes.create_string_buffer(struct.pack("HBBI", 0x06, 0, 0, 0))  # return 0 bytes
        program = struct.pack("HL", 1, ctypes.addressof(instruction))
        for writer in self.open:
            writer.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, 26, program)  # SO_ATTACH_FILTER

    def close(self):
        self.server.close()
        for writer in list(self.open):
            writer.transport.abort()

    def asked(self, since=0.0, until=float("inf")):
        return sum(since <= one.at < until for one in self.requests)


def hello(after=0.0):
    async def play(_, reply):
        await reply.hello(after)
    return play


async def silent(_, reply):
    await reply.silence()


def whole(data, status=200, after=0.0, kind="application/json", fields=()):
    async def play(_, reply):
        await asyncio.sleep(after)
        await reply.whole(data, status, kind, fields)
    return play


def stream(events, **more):
    async def play(_, reply):
        await reply.stream(events, **more)
    return play


def in_turn(*plays):
    """The first request, the second, ...; the last of them for all further ones."""
    number = -1

    async def play(request, reply):
        nonlocal number
        number += 1
        return await plays[min(number, len(plays) - 1)](request, reply)
    return play


class Answer(Message):
    def __init__(self):
        self.status, self.headers, self.body, self.whole = 0, {}, b"", False
        self.seconds = self.first = None  # until it was over; until the first byte of its body
        self.left = False                 # our patience was over

    @property
    def text(self):
        return self.body.decode("utf-8", "replace")

    @property
    def attempts(self):
        return int(self.headers.get("x-evenkeel-attempts", 0))

    @property
    def upstream(self):
        return self.headers.get("x-evenkeel-upstream", "")

    @property
    def good(self):
        return self.status == 200 and self.whole and not self.has_error

    @property
    def has_error(self):
        return any(sign in self.body for sign in (b"event: error", b'{"error"', b'"type":"error"'))

    def __str__(self):
        said = "nothing" if not self.status else str(self.status)
        if self.status and not self.whole:
            said += " cut" if not self.left else " unfinished"
        if self.has_error and self.status == 200:
            said += " with an error"
        return f"{said} {self.seconds:.1f} s"


async def ask(port, body=None, path="/v1/chat/completions", method=None, fields=None, patience=90.0, pieces=None,
              raw=None, tls=None):
    """One request over a connection of its own. `pieces`: (seconds, bytes) of the body instead, of which each waits."""
    answer, begun = Answer(), time.monotonic()
    body = body.encode() if isinstance(body, str) else body
    method = method or ("GET" if body is None and pieces is None else "POST")
    writer = None

    async def talk():
        nonlocal writer
        reader, writer = await asyncio.open_connection("127.0.0.1", port, limit=1 << 24, ssl=tls)
        if raw is not None:
            writer.write(raw if isinstance(raw, bytes) else raw.encode("latin-1"))
        else:
            length = sum(len(data) for _, data in pieces) if pieces else len(body or b"")
            given = {"host": f"127.0.0.1:{port}", **(fields or {})}
            if body is not None or pieces:
                given.setdefault("content-type", "application/json")
                given["content-length"] = str(length)
            writer.write((f"{method} {path} HTTP/1.1\r\n" + "".join(f"{n}: {v}\r\n" for n, v in given.items()) + "\r\n")
                         .encode("latin-1") + (body or b""))

            async def send():
                for wait, data in pieces or ():
                    await asyncio.sleep(wait)
                    writer.write(data)
                    await writer.drain()
            if pieces:
                sending = asyncio.ensure_future(send())
                sending.add_done_callback(lambda done: done.cancelled() or done.exception())
        while True:
            head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1").split("\r\n")
            answer.status = int(head[0].split(" ")[1])
            if answer.status >= 200 or answer.status == 101:
                break
        for line in head[1:]:
            if line:
                name, value = line.split(":", 1)
                answer.headers[name.strip().lower()] = value.strip()
        received = Counted(begun)
        try:
            if method == "HEAD" or answer.status in (101, 204, 304):
                answer.whole = True
            else:
                came = await read_body_into(reader, answer.headers, received)
                answer.whole = came
        finally:
            answer.body, answer.first = bytes(received.data), received.first

    try:
        await asyncio.wait_for(talk(), patience)
    except asyncio.TimeoutError:
        answer.left = True
    except (OSError, asyncio.IncompleteReadError, asyncio.LimitOverrunError, ValueError):
        pass
    finally:
        if writer is not None:
            writer.transport.abort() if answer.left else writer.close()
    answer.seconds = time.monotonic() - begun
    return answer


class Counted:
    def __init__(self, begun):
        self.begun, self.first, self.data = begun, None, bytearray()

    def add(self, data):
        if data and self.first is None:
            self.first = time.monotonic() - self.begun
        self.data += data


async def read_body_into(reader, headers, into):
    if "chunked" in headers.get("transfer-encoding", ""):
        while True:
            line = await reader.readline()
            if not line.endswith(b"\n"):
                return False
            size = int(line, 16)
            rest = size
            while rest:
                data = await reader.read(rest)
                if not data:
                    return False
                into.add(data)
                rest -= len(data)
            await reader.readexactly(2)
            if size == 0:
                return True
    if "content-length" in headers:
        rest = int(headers["content-length"])
        while rest:
            data = await reader.read(rest)
            if not data:
                return False
            into.add(data)
            rest -= len(data)
        return True
    while data := await reader.read(65536):
        into.add(data)
    return True


class Refused(Exception):
    """The program did not take the configuration."""


class Proxy:
    def __init__(self, program, folder, text, files=None):
        self.program, self.folder, self.port, self.admin_port = program, folder, free_port(), free_port()
        os.makedirs(folder)
        for name, content in (files or {}).items():
            with open(os.path.join(folder, name), "w") as file:
                file.write(content)
        self.file, self.log, self.access = (os.path.join(folder, name) for name in ("evenkeel.yaml", "log", "access"))
        listen = "" if "\nlisten:" in text else f"listen: 127.0.0.1:{self.port}\n"
        self.text = (f"version: 1\n{listen}admin: {{listen: 127.0.0.1:{self.admin_port}}}\n"
                     f"access_log: {{path: {self.access}}}\n" + text.replace("{port}", str(self.port))
                     .replace("{folder}", folder).lstrip("\n"))
        with open(self.file, "w") as file:
            file.write(self.text)
        self.child = None

    async def start(self):
        with open(self.log, "wb") as output:
            self.child = subprocess.Popen([self.program, "run", "-c", self.file], stdout=output, stderr=output)
        until = time.monotonic() + 30
        while time.monotonic() < until:
            if self.child.poll() is not None:
                raise Refused(self.said())
            with contextlib.suppress(OSError):
                _, writer = await asyncio.open_connection("127.0.0.1", self.port)
                writer.close()
                return self
            await asyncio.sleep(0.05)
        raise Refused("it does not listen: " + self.said())

    def said(self):
        with open(self.log, errors="replace") as file:
            return file.read()

    async def terminate_twice(self):
        """Whether it waited for the second SIGTERM, and how long it then took; at most 10 s."""
        self.send(signal.SIGTERM)
        await asyncio.sleep(0.5)
        waits = not self.ended
        self.send(signal.SIGTERM)
        begun = time.monotonic()
        while not self.ended and time.monotonic() < begun + 10:
            await asyncio.sleep(0.005)
        return waits, time.monotonic() - begun

    def send(self, what):
        self.child.send_signal(what)

    @property
    def ended(self):
        return self.child.poll() is not None

    async def end(self):
        if self.child is None:
            return
        if not self.ended:
            self.send(signal.SIGTERM)
            self.send(signal.SIGTERM)
            for _ in range(40):
                if self.ended:
                    break
                await asyncio.sleep(0.05)
            if not self.ended:
                self.child.kill()
        self.child.wait()

    async def ask(self, body=None, **more):
        return await ask(self.port, body, **more)

    async def admin(self, path, method="GET"):
        return await ask(self.admin_port, path=path, method=method, patience=20)

    async def metric(self, name):
        """The sum over all labels."""
        lines = (await self.admin("/metrics")).text.splitlines()
        return sum(float(line.rsplit(" ", 1)[1]) for line in lines
                   if line.startswith((f"evenkeel_{name} ", f"evenkeel_{name}{{")))

    async def access_lines(self, least=1):
        for _ in range(60):
            with contextlib.suppress(OSError, ValueError), open(self.access) as file:
                lines = [json.loads(line) for line in file]
                if len(lines) >= least:
                    return lines
            await asyncio.sleep(0.05)
        return []


_beside = contextvars.ContextVar("what one of several says that are tried beside each other", default=None)


class Stage:
    """One row: what it starts is ended with it, and what it found and what was not right is collected here."""

    def __init__(self, program, folder):
        self.program, self.folder = program, folder
        self.ends, self.proxies = [], 0
        self.found, self.wrong = [], []

    def say(self, text):
        beside = _beside.get()
        (self.found if beside is None else beside).append(text)

    async def beside(self, *tries):
        """At the same time; what they say comes in their order."""
        async def one(each):
            said = []
            _beside.set(said)
            await each
            return said
        for said in await asyncio.gather(*map(one, tries)):
            self.found += said

    def expect(self, right, what):
        if not right:
            self.wrong.append(what)

    async def upstream(self, play, tls=None):
        made = await Upstream(play, tls).start()
        self.ends.append(made)
        return made

    def config(self, text, files=None):
        self.proxies += 1
        return Proxy(self.program, os.path.join(self.folder, str(self.proxies)), text, files)

    async def proxy(self, text, files=None):
        made = self.config(text, files)
        self.ends.append(made)
        return await made.start()

    async def one(self, play, of_route="", top="", of_upstream="", prefix="/"):
        upstream = await self.upstream(play)
        proxy = await self.proxy(f"{top}upstreams:\n  first: {{url: \"{upstream.url}\"{of_upstream}}}\n"
                                 f"routes:\n  - name: llm\n    match: {{path_prefix: {prefix}}}\n"
                                 f"    upstreams: [first]\n{of_route}")
        return upstream, proxy

    async def two(self, first, second, of_route="", top=""):
        a, b = await self.upstream(first), await self.upstream(second)
        proxy = await self.proxy(f"{top}upstreams:\n  first: {{url: \"{a.url}\"}}\n  second: {{url: \"{b.url}\", "
                                 "headers: {set: {authorization: \"Bearer own\"}}}\n"
                                 "routes:\n  - name: llm\n    match: {path_prefix: /}\n"
                                 f"    upstreams: [first, second]\n{of_route}")
        return a, b, proxy

    async def check(self, text, *options):
        """What `evenkeel check` makes of a configuration: its status, and what it prints."""
        made = self.config(text)
        done = await asyncio.to_thread(subprocess.run, [self.program, "check", "-c", made.file, *options],
                                       capture_output=True, text=True, timeout=30)
        return done.returncode, done.stdout + done.stderr

    async def certificate(self, name):
        """A key and a certificate of its own for 127.0.0.1; their files."""
        os.makedirs(self.folder, exist_ok=True)
        key, made = (os.path.join(self.folder, f"{name}.{end}") for end in ("key", "pem"))
        make = ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes",
                "-keyout", key, "-out", made, "-days", "30", "-subj", f"/CN={name}",
                "-addext", "subjectAltName=IP:127.0.0.1"]
        await asyncio.to_thread(subprocess.run, make, check=True, capture_output=True, timeout=30)
        return key, made

    def tls(self, key, certificate):
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(certificate, key)
        return context

    async def end(self):
        for one in reversed(self.ends):
            if isinstance(one, Proxy):
                await one.end()
            else:
                one.close()


async def at_rate(a_second, seconds, each):
    """Open loop: `each(number)` begins at its time whether or not others are done. Their results in order."""
    begun, tasks = time.monotonic(), []
    for number in range(int(a_second * seconds)):
        await asyncio.sleep(max(0.0, begun + number / a_second - time.monotonic()))
        tasks.append(asyncio.ensure_future(each(number)))
    return await asyncio.gather(*tasks)
