"""E: who may see what. F: an operator's night."""

import asyncio
import os
import signal
import ssl
import time

from registry import row
from stage import chat, counted, error_body, free_port, hello, silent, whole


def quoted(said, what):
    """The beginning of the first such message."""
    found = [line.split(what, 1)[1].strip() for line in said.splitlines() if what in line]
    return f", \"{found[0][:110]}\"" if found else ""


@row("E1", "two vendors in a route, the second without a credential of its own, the first answers 500",
     "the caller's key at the second vendor; `check --strict`: ok")
async def second_vendor(stage):
    first, second = await stage.upstream(whole(error_body(), 500)), await stage.upstream(hello())
    text = (f"upstreams:\n  first: {{url: \"{first.url}\"}}\n  second: {{url: \"{second.url}\"}}\n"
            "routes: [{name: llm, match: {path_prefix: /}, upstreams: [first, second]}]\n")
    status, said = await stage.check(text, "--strict")
    stage.say(f"check --strict: {status}" + quoted(said, "error:"))
    stage.expect(status == 1, "refused by check")
    if status == 0:
        proxy = await stage.proxy(text)
        await proxy.ask(chat(), fields={"authorization": "Bearer callers"})
        seen = [one.headers.get("authorization") for one in second.requests]
        stage.say(f"the second vendor saw {seen}")


@row("E2", "`listen: 0.0.0.0`, upstream with the company's key, no client authentication", "`check --strict`: ok")
async def open_to_all(stage):
    status, said = await stage.check("\nlisten: 0.0.0.0:{port}\nupstreams: {first: {url: \"https://api.openai.com\", "
                               "headers: {set: "
                               "{authorization: \"Bearer companys\"}}}}\n"
                               "routes: [{name: llm, match: {path_prefix: /}, upstreams: [first]}]\n", "--strict")
    stage.say(f"check --strict: {status}" + quoted(said, "warning:"))
    stage.expect(status == 1 and "warning" in said, "a warning")


@row("F1", "SIGTERM twice with a request under way", "the second does nothing", limit=60)
async def term_twice(stage):
    upstream, proxy = await stage.one(silent)
    asked = asyncio.ensure_future(proxy.ask(chat()))
    while not upstream.asked():
        await asyncio.sleep(0.05)
    waits, took = await proxy.terminate_twice()
    stage.say(f"gone {1000 * took:.0f} ms after the second" if proxy.ended else "there 10 s after the second")
    stage.expect(waits and proxy.ended, "the first drains, the second ends")
    stage.expect(took < 0.2, "within 200 ms")
    asked.cancel()


@row("F2", "new certificate files, SIGHUP", "\"reloaded\", the old certificate")
async def new_certificate(stage):
    key, made = await stage.certificate("one")
    upstream = await stage.upstream(hello())
    port = free_port()
    proxy = stage.config(f"\nlisten: [\"127.0.0.1:{{port}}\", {{address: \"127.0.0.1:{port}\", "
                         f"tls: {{cert_file: \"{made}\", "
                         f"key_file: \"{key}\"}}}}]\nupstreams: {{first: {{url: \"{upstream.url}\"}}}}\n"
                         "routes: [{name: llm, match: {path_prefix: /}, upstreams: [first]}]\n")
    stage.ends.append(proxy)
    await proxy.start()

    async def shown():
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
        _, writer = await asyncio.open_connection("127.0.0.1", port, ssl=context)
        shown = writer.get_extra_info("ssl_object").getpeercert(binary_form=True)
        writer.close()
        return shown
    before = await shown()
    for old, new in zip((key, made), await stage.certificate("other")):
        os.replace(new, old)
    proxy.send(signal.SIGHUP)
    begun, changed = time.monotonic(), False
    while not changed and time.monotonic() < begun + 5:
        await asyncio.sleep(0.05)
        changed = await shown() != before
    stage.say("the new one" if changed else "the old one" + (", \"reloaded\"" if "reloaded" in proxy.said() else ""))
    stage.expect(changed, "the new certificate is shown")


@row("F3", "SIGTERM to all containers of a pod",
     "port closed within half a second while the application finishes its calls")
async def pod_ends(stage):
    _, proxy = await stage.one(hello(0.02), top="drain: {delay: 3s}\n")
    proxy.send(signal.SIGTERM)
    begun, served, refused = time.monotonic(), 0, None
    await asyncio.sleep(0.3)
    ready = await proxy.admin("/readyz")
    while refused is None and time.monotonic() < begun + 8:
        answer = await proxy.ask(chat(), patience=5)
        if answer.good:
            served += 1
            await asyncio.sleep(0.1)
        else:
            refused = time.monotonic() - begun
    stage.say(f"served for {refused or 8:.1f} s more ({counted(served, 'request')}); /readyz {ready.status} "
              f"\"{ready.text.strip()[:70]}\"")
    stage.expect(refused is not None and 2.8 <= refused <= 5, "`drain.delay: 3s`: served for so long")
    stage.expect(ready.status == 503 and "draining" in ready.text, "while /readyz says no, and why")


@row("F4", "`url: https://api.openai.com/v1` with `path_prefix: /v1`", "`/v1/v1/...`, 404")
async def base_path(stage):
    status, said = await stage.check("upstreams: {first: {url: \"https://api.openai.com/v1\"}}\n"
                               "routes: [{name: llm, match: {path_prefix: /v1}, upstreams: [first]}]\n")
    stage.say(f"check: {status}" + (quoted(said, "warning:") or ", no warning"))
    stage.expect("warning:" in said, "a warning")


@row("F5", "SIGUSR1", "the process dies")
async def usr1(stage):
    _, proxy = await stage.one(hello())
    await proxy.ask(chat())
    await proxy.access_lines()
    os.rename(proxy.access, proxy.access + ".1")
    proxy.send(signal.SIGUSR1)
    await asyncio.sleep(0.5)
    answer = await proxy.ask(chat(), patience=5)
    lines = await proxy.access_lines()
    stage.say(f"{'ended' if proxy.ended else answer}; {len(lines)} line in the new access log")
    stage.expect(answer.good and len(lines) == 1, "the logs are opened anew")


@row("F6", "reload of a broken file by POST", "\"the log says why\"")
async def broken_file(stage):
    _, proxy = await stage.one(hello())
    with open(proxy.file, "a") as file:
        file.write("rutes: []\n")
    answer = await proxy.admin("/-/reload", "POST")
    stage.say(f"{answer.status}: {answer.text.replace(proxy.folder + '/', '').strip()[:170]}")
    stage.expect(answer.status >= 400 and "rutes" in answer.text, "the diagnostics in the answer")
    stage.expect((await proxy.ask(chat())).good, "and the old one stays in force")


@row("F7", "a proxy that is its own upstream", "42 connections for one request", limit=60)
async def own_upstream(stage):
    proxy = await stage.proxy("upstreams: {first: {url: \"http://127.0.0.1:{port}\"}}\n"
                              "routes: [{name: llm, match: {path_prefix: /}, upstreams: [first]}]\n")
    answer = await proxy.ask(chat(), patience=40)
    lines = (await proxy.admin("/metrics")).text.splitlines()
    opened = sum(float(line.rsplit(" ", 1)[1]) for line in lines
                 if line.startswith("evenkeel_connections_opened_total") and 'side="upstream"' in line)
    word = answer.json.get("error", {}).get("code", "")
    stage.say(f"{answer}{f', {word}' * bool(word)}, {counted(int(opened), 'connection')} to itself")
    stage.expect(answer.status == 502 and "proxy_loop" in answer.text and opened <= 1, "refused at once, by name")
