"""M: what else had to be shown."""

import asyncio
import json
import signal
import statistics
import time
import zlib

from registry import row
from rows_calls import crowd
from rows_time import warm
from stage import at_rate, chat, counted, error_body, hello, HELLO, HELLO_EVENTS


@row("M1", "400 concurrent requests of 4 s on defaults", "256 at a time, the others after 2 s: 503", quick=False,
     alone=True)
async def crowd_of_400(stage):
    await crowd(stage, 400)


@row("M2", "one key, two models, one of them limited: latency of the other without and with it", "it waits with it",
     limit=90,
     quick=False, alone=True)
async def other_model(stage):
    limited = False

    async def play(request, reply):
        if limited and request.json.get("model") == "big":
            return await reply.whole(error_body("slow down", code="rate_limit_exceeded"), 429,
                                     fields=[("retry-after", "4")])
        await reply.hello(0.1)
    _, proxy = await stage.one(play)
    fields = {"authorization": "Bearer one"}
    took = {False: [], True: []}

    async def one(number):
        is_limited = limited
        big = number % 2
        answer = await proxy.ask(chat(model="big" if big else "small"), fields=fields, patience=3 if big else 30)
        if not big:
            stage.expect(answer.good, "`small` is served")
            took[is_limited].append(answer.seconds)
    for turn in range(4):
        limited = turn % 2 == 1
        await at_rate(20, 6, one)
        if limited:
            await asyncio.sleep(5)  # the rest is over
    for name, value in (("median", statistics.median), ("P95", lambda of: statistics.quantiles(of, n=20)[-1])):
        was, now = value(took[False]), value(took[True])
        stage.say(f"{name} {1000 * was:.1f} and {1000 * now:.1f} ms ({100 * (now / was - 1):+.1f} %)")
        stage.expect(now <= max(1.05 * was, was + 0.005) or name != "median", f"{name} within 5 %")
        stage.expect(now <= max(1.2 * was, was + 0.1), f"{name} is no other")


@row("M3", "SIGTERM under load (40/s of 0.5 s, JSON and streams), `drain.delay: 5s`", "refused at once", limit=60,
     quick=False,
     alone=True)
async def drained(stage):
    _, proxy = await stage.one(hello(0.5), top="drain: {delay: 5s, timeout: 20s}\n")
    told, refused_early, refused_late, cut, served = [None], [0], [0], [0], [0]

    async def one(number):
        answer = await proxy.ask(chat(stream=number % 2 == 0), patience=20)
        if answer.good:
            served[0] += 1
        elif answer.status == 0 and told[0] is not None and time.monotonic() > told[0] + 4.9:
            refused_late[0] += 1
        elif answer.status == 0:
            refused_early[0] += 1
        else:
            cut[0] += 1
    load = asyncio.ensure_future(at_rate(40, 9, one))
    await asyncio.sleep(2)
    proxy.send(signal.SIGTERM)
    told[0] = time.monotonic()
    await load
    for _ in range(100):
        if proxy.ended:
            break
        await asyncio.sleep(0.05)
    stage.say(f"{served[0]} served, {refused_early[0]} refused within the delay, {cut[0]} cut, {refused_late[0]} "
              f"refused after it; "
              f"{'ended' if proxy.ended else 'still there'}")
    stage.expect(refused_early[0] == 0, "no connection is refused before the delay is over")
    stage.expect(cut[0] == 0, "no answer is cut")
    stage.expect(refused_late[0] > 0 and proxy.ended and proxy.child.returncode == 0, "then it ends, with 0")


@row("M4", "a second SIGTERM under load", "nothing happens", limit=40)
async def ended_at_once(stage):
    _, proxy = await stage.one(hello(30), top="drain: {delay: 20s, timeout: 20s}\n")
    load = asyncio.gather(*(proxy.ask(chat(stream=n % 2 == 0)) for n in range(50)))
    await asyncio.sleep(1)
    waits, took = await proxy.terminate_twice()
    stage.say(f"gone after {1000 * took:.0f} ms" if proxy.ended else "there after 10 s")
    stage.expect(waits and proxy.ended and took < 0.2, "gone within 200 ms, and not before")
    load.cancel()


@row("M5", "a pooled connection whose packets are dropped, and no rescue (`timeout.rescue: off`)", "nothing in 75 s",
     limit=100,
     quick=False)
async def dead_way_alone(stage):
    upstream, proxy = await stage.one(hello(), "    timeout: {rescue: off}\n")
    await warm(proxy, False, 3)
    asked = upstream.asked()
    upstream.turn_deaf()
    answer = await proxy.ask(chat(), patience=75)
    stage.say(f"{answer}, {counted(upstream.asked() - asked, 'request')} arrived")
    stage.expect(answer.good and answer.seconds <= 15 and upstream.asked() - asked == 1, "served within 15 s")


def pieces_of(coding, events):
    """What each event looks like in that coding: of what nobody here reads any bytes will do."""
    if coding == "gzip":
        engine = zlib.compressobj(wbits=31)
        return [*(engine.compress(one.encode()) + engine.flush(zlib.Z_SYNC_FLUSH) for one in events), engine.flush()]
    return [bytes(255 - byte for byte in one.encode()) for one in events]


def coded(coding, streams, after=0.0):
    """What is said in that coding, and how it is played."""
    fields = [("content-encoding", coding)]
    pieces = pieces_of(coding, HELLO_EVENTS if streams else [json.dumps(HELLO)])

    async def play(_, reply):
        await asyncio.sleep(after)
        await (reply.stream(pieces, fields=fields) if streams else reply.whole(b"".join(pieces), fields=fields))
    return b"".join(pieces), play


CODINGS = ("br", "zstd", "compress", "x-unknown", "gzip, br")


@row("M6", "answers in codings that nobody asked for (`br`, `zstd`, `compress`, an unknown one, `gzip, br`), JSON and "
           "streams, "
     "to who accepts them and who does not", "handed on, uncounted", limit=60)
async def unread(stage):
    async def try_it(coding, streams, accepts):
        said, play = coded(coding, streams)
        upstream, proxy = await stage.one(play)
        answer = await proxy.ask(chat(stream=streams), fields={"accept-encoding": accepts} if accepts else None)
        unread_answers = await proxy.metric("upstream_unread_answers_total")
        name = f"{coding}, {'stream' if streams else 'JSON'}"
        stage.expect(answer.headers.get("content-encoding") == coding, f"{name}: under its name")
        stage.expect(unread_answers == 1, f"{name}: counted")
        return answer.status == 200 and answer.whole and answer.body == said and upstream.asked() == 1
    results = await asyncio.gather(*(try_it(coding, streams, accepts) for coding in CODINGS for streams in (False, True)
                                     for accepts in ("gzip, br, zstd", None)))
    stage.say(f"{sum(results)} of {len(results)} handed on byte for byte, asked once")
    stage.expect(all(results), "all are handed on")


@row("M7", "the same as streams that begin after `head_hold`, the first and a later one of each upstream",
     "lost to an error event, or passed off as events that nobody can read", limit=60)
async def unread_behind_head(stage):
    async def try_it(coding, streams):
        said, play = coded(coding, streams, 1.5)
        upstream, proxy = await stage.one(play, "    stream: {head_hold: 1s}\n")
        first, later = [await proxy.ask(chat(stream=True)) for _ in range(2)]
        told = first.has_error and coding.encode() in first.body and said not in first.body
        lines = await proxy.access_lines(2)
        stage.expect(told and lines and lines[0]["outcome"] == "upstream_error", f"{coding}: the first is told, by "
                                                                                 f"its name")
        stage.expect(later.whole and later.body == said, f"{coding}: the later one is handed on, no head ahead")
        stage.expect(upstream.asked() == 2, f"{coding}: each is asked once")
        return told, later.whole and later.body == said
    results = await asyncio.gather(*(try_it(coding, streams) for coding in CODINGS for streams in (False, True)))
    stage.say(f"{sum(told for told, _ in results)} of {len(results)} first ones told as an error event that names the "
              f"coding, "
              f"{sum(whole for _, whole in results)} later ones handed on byte for byte")


@row("M8", "three callers at once, `coalesce: always`, a stream in a coding that nobody asked for", "3 calls", limit=40)
async def shared_unread(stage):
    async def try_it(coding):
        said, play = coded(coding, True, 0.5)
        upstream, proxy = await stage.one(play, "    coalesce: always\n")
        answers = await asyncio.gather(*(proxy.ask(chat(stream=True)) for _ in range(3)))
        stage.expect(upstream.asked() == 1, f"{coding}: one call")
        stage.expect(all(one.whole and one.body == said for one in answers), f"{coding}: all get it byte for byte")
        return upstream.asked()
    stage.say(f"{', '.join(map(str, await asyncio.gather(*map(try_it, (*CODINGS, 'gzip')))))} calls")
