"""What is measured: no proxy, nginx and HAProxy as strong as their configuration makes them, and evenkeel."""

import os

from .processes import PROXY_CORE, Process, free_port

# One process without a master, so that callgrind and strace see all of it. Connections are never closed for their age,
# on either side. Unbuffered is what streams need. Prompts lie in memory, as they do in evenkeel: with the usual 16 KB buffer
# nginx writes them to a file, and passing them on unheld (proxy_request_buffering off) costs it more.
NGINX = """
daemon off;
master_process off;
worker_processes 1;
error_log stderr error;
pid {work}/nginx.pid;
events {{ worker_connections 8192; }}
http {{
    access_log off;
    client_max_body_size 64m;
    client_body_temp_path {work}/nginx-body;
    proxy_temp_path {work}/nginx-proxy;
    fastcgi_temp_path {work}/nginx-fastcgi;
    uwsgi_temp_path {work}/nginx-uwsgi;
    scgi_temp_path {work}/nginx-scgi;
    keepalive_requests 1000000000;
    keepalive_timeout 600s;
    upstream origin {{
        server 127.0.0.1:{origin};
        keepalive 2048;
        keepalive_requests 1000000000;
        keepalive_timeout 600s;
    }}
    server {{
        listen 127.0.0.1:{port};
        location / {{
            proxy_pass http://origin;
            proxy_http_version 1.1;
            proxy_set_header Connection "";
            proxy_buffering {buffering};
            client_body_buffer_size 4m;
        }}
    }}
}}
"""

# Without http-no-delay HAProxy holds events back for up to 200 ms, and its lower CPU is bought by that.
HAPROXY = """
global
    nbthread 1
    maxconn 8192
defaults
    mode http
    no log
    timeout connect 5s
    timeout client 600s
    timeout server 600s
    timeout http-keep-alive 600s
    http-reuse always
    {no_delay}
frontend in
    bind 127.0.0.1:{port}
    default_backend out
backend out
    server origin 127.0.0.1:{origin} pool-max-conn 8192 pool-purge-delay 600s
"""

EVENKEEL = """
version: 1
listen: 127.0.0.1:{port}
workers: 1
admin:
  listen: 127.0.0.1:{admin}
upstreams:
  origin:
    url: http://127.0.0.1:{origin}
    connections: {{max: 8192, idle_timeout: 600s, max_age: 1h}}
routes:
  - name: all
    match: {{path_prefix: /}}
    upstreams: [origin]
    bulkhead: {{max_concurrent: 8192}}
access_log: {{path: "{access_log}"}}
"""


class Direct:
    """No proxy. Its CPU is the origin's."""

    name = "direct"

    def start(self, workload, origin, work, prefix=()):
        return Running(origin.process, origin.port, owned=False)


class Proxy:
    """A proxy binary and how its configuration is written."""

    def __init__(self, name, argv, template, **values):
        self.name, self.argv, self.template, self.values = name, argv, template, values

    def start(self, workload, origin, work, prefix=()):
        """Starts it in front of the origin; `prefix` is what runs it (valgrind and its options)."""
        port, admin = free_port(), free_port()
        place = os.path.join(work, f"{self.name.replace(' ', '-')}-{port}")
        os.makedirs(place, exist_ok=True)
        values = {"port": port, "admin": admin, "origin": origin.port, "work": place,
                  "no_delay": "option http-no-delay" if workload == "sse" else "", **self.values}
        config = os.path.join(place, "config")
        with open(config, "w") as file:
            file.write(self.template.format(**{k: v.format(work=place) if isinstance(v, str) else v
                                               for k, v in values.items()}))
        argv = [part.format(config=config) for part in self.argv]
        process = Process([*prefix, *argv], PROXY_CORE, os.path.join(place, "log"))
        try:
            process.wait_for_port(port)
        except BaseException:
            process.stop()
            raise
        return Running(process, port)


class Running:
    """A subject that answers on a port."""

    def __init__(self, process, port, owned=True):
        self.process, self.port, self.owned = process, port, owned

    def __enter__(self):
        return self

    def __exit__(self, *_):
        if self.owned:
            self.process.stop()


def nginx(binary, name="nginx", buffering="off"):
    return Proxy(name, [binary, "-e", "stderr", "-c", "{config}"], NGINX, buffering=buffering)


def haproxy(binary, name="haproxy"):
    return Proxy(name, [binary, "-db", "-f", "{config}"], HAPROXY)


def evenkeel(binary, name="evenkeel", access_log="off"):
    return Proxy(name, [binary, "run", "-c", "{config}"], EVENKEEL, access_log=access_log)


def evenkeel_with_log(binary):
    return evenkeel(binary, "evenkeel with log", "{work}/access.ndjson")
