"""A: time and evidence."""

import asyncio
import json
import time

from registry import row
from stage import at_rate, chat, counted, error_body, event, hello, HELLO_EVENTS, in_turn, silent, whole

WARM = 15


async def warm(proxy, stream=False, count=WARM):
    for _ in range(count):
        await proxy.ask(chat(stream=stream))


def seconds_of(answers):
    return ", ".join(f"{one.seconds:.1f}" if one.good else str(one) for one in answers)


@row("A1", "two; 15 warm answers of 20 ms, then the first is silent; one request at a time",
     "buffered 25, 25, 60, 60 s; streams 10, 30, 30, 30 s", limit=230, quick=False)
async def falls_silent(stage):
    async def try_it(streams):
        first, second, proxy = await stage.two(hello(0.02), hello(0.02))
        await warm(proxy, streams)
        first.play = silent
        asked = second.asked()
        answers = [await proxy.ask(chat(stream=streams)) for _ in range(4)]
        kind = "streams" if streams else "buffered"
        stage.say(f"{kind} {seconds_of(answers)} s")
        stage.expect(all(one.good for one in answers), f"{kind}: all are served")
        stage.expect(max(one.seconds for one in answers) <= 5, f"{kind}: nobody waits for more than 5 s")
        stage.expect(sum(one.seconds > 0.5 for one in answers) <= 2, f"{kind}: at most two pay")
        stage.expect(second.asked() - asked == 4, f"{kind}: the second is asked once a request")
    await stage.beside(try_it(False), try_it(True))


@row("A2", "the same; patience of 3 s told, `timeout.total: 8s`, or a client that leaves after 4 s",
     "504 or nothing, attempt 1 of 1, every time", limit=120, quick=False)
async def impatient(stage):
    async def try_it(name, of_route, fields, patience):
        first, _, proxy = await stage.two(hello(0.02), hello(0.02), of_route)
        await warm(proxy)
        first.play = silent
        answers = [await proxy.ask(chat(), fields=fields, patience=patience) for _ in range(3)]
        stage.say(f"{name} {seconds_of(answers)}{' s' if answers[0].good else ''}")
        stage.expect(all(one.good for one in answers), f"{name}: all are served")
    await stage.beside(try_it("told", "", {"x-evenkeel-timeout": "3"}, 30),
                         try_it("total", "    timeout: {total: 8s}\n", None, 30),
                         try_it("left", "", None, 4))


@row("A3", "the same with `hedge: {}`; 26 requests", "7 wins, then 19 of 19 hang; 1,008 refusals counted for 19 "
                                                     "requests",
     limit=200, quick=False)
async def hedged(stage):
    first, _, proxy = await stage.two(hello(0.02), hello(0.02), "    hedge: {}\n")
    await warm(proxy)
    first.play = silent
    answers, until = [], time.monotonic() + 120
    while len(answers) < 26 and time.monotonic() < until:
        answers.append(await proxy.ask(chat(), patience=30))
    refused = await proxy.metric("hedges_refused_total")
    good = [one for one in answers if one.good]
    stage.say(f"{len(good)} of {len(answers)} served, longest {max(one.seconds for one in answers):.1f} s; "
              f"refusals counted: {refused:.0f}" + ("" if len(answers) == 26 else "; 120 s were over"))
    stage.expect(len(good) == 26, "all are served")
    stage.expect(max(one.seconds for one in answers) <= 5, "nobody waits for more than 5 s")
    stage.expect(refused <= 26, "one refusal a request at most")


@row("A4", "the same at 2/s for 40 s; then the first is well again",
     "the probe is a request of a caller and waits 60 s",
     limit=220, quick=False)
async def probed(stage):
    first, _, proxy = await stage.two(hello(0.02), hello(0.02))
    await warm(proxy)
    first.play = silent
    begun = time.monotonic()
    answers = await at_rate(2, 40, lambda _: proxy.ask(chat(), patience=70))
    later = answers[20:]
    probes = first.asked(begun + 10)
    first.play = hello(0.02)
    well, back = time.monotonic(), None
    while back is None and time.monotonic() < well + 65:
        answer = await proxy.ask(chat(), patience=70)
        if answer.upstream == "first":
            back = time.monotonic() - well
        await asyncio.sleep(0.5)
    stage.say(f"10 s after it fell silent: longest {max(one.seconds for one in later):.1f} s, {probes} requests to it; "
              f"asked first again {'after %.0f s' % back if back is not None else 'never'}")
    stage.expect(all(one.good for one in answers), "all are served")
    stage.expect(max(one.seconds for one in later) < 1, "no caller waits for a probe")
    stage.expect(1 <= probes <= 20, "it is probed, by few")
    stage.expect(back is not None and back <= 60, "it is used again within 60 s")


@row("A5", "one upstream, first token after 100 s", "6 requests billed, 254 s", limit=235, quick=False)
async def thinks(stage):
    async def try_it(streams):
        upstream, proxy = await stage.one(hello(100))
        answer = await proxy.ask(chat(stream=streams), patience=220)
        kind = "stream" if streams else "buffered"
        stage.say(f"{kind}: {counted(upstream.asked(), 'request')}, {answer}")
        stage.expect(answer.good, f"{kind}: served")
        stage.expect(answer.seconds < 104, f"{kind}: after 100 s")
        stage.expect(upstream.asked() <= 2, f"{kind}: one or two requests")
    await stage.beside(try_it(True), try_it(False))


@row("A6", "the same after 6 s at a timeout of 1 s, but `message_start` and a ping every 250 ms, or comments",
     "6 requests", limit=60, quick=False)
async def shows_life(stage):
    async def try_it(name, beginning, sign, said, path):
        async def play(_, reply):
            await reply.head()
            await reply.piece(beginning)
            for _ in range(24):
                await asyncio.sleep(0.25)
                await reply.piece(sign)
            for one in said:
                await reply.piece(one)
            await reply.end()
        upstream, proxy = await stage.one(play, "    timeout: {attempt: 1s}\n")
        answer = await proxy.ask(chat(stream=True, max_tokens=9), path=path)
        stage.say(f"{name}: {counted(upstream.asked(), 'request')}, {answer}")
        stage.expect(upstream.asked() == 1 and answer.good, f"{name}: one request, served")
    start = event({"type": "message_start", "message": {"id": "m", "type": "message", "role": "assistant",
                                                        "content": [],
                                                        "model": "m", "usage": {"input_tokens": 3,
                                                                                "output_tokens": 1}}},
                  "message_start")
    words = [event({"type": "content_block_start", "index": 0, "content_block": {"type": "text", "text": ""}},
                   "content_block_start"),
             event({"type": "content_block_delta", "index": 0, "delta": {"type": "text_delta", "text": "hello"}},
                   "content_block_delta"),
             event({"type": "content_block_stop", "index": 0}, "content_block_stop"),
             event({"type": "message_delta", "delta": {"stop_reason": "end_turn"}, "usage": {"output_tokens": 2}},
                   "message_delta"),
             event({"type": "message_stop"}, "message_stop")]
    await stage.beside(try_it("pings", start, event({"type": "ping"}, "ping"), words, "/v1/messages"),
                         try_it("comments", ": PROCESSING\n\n", ": PROCESSING\n\n", HELLO_EVENTS,
                                "/v1/chat/completions"))


@row("A7", "a client that uploads for 2.5 s, attempt timeout 1 s, two", "sent twice, the first one blamed; fixed: 504",
     limit=40)
async def uploads(stage):
    async def try_it(name, timeout):
        first, second, proxy = await stage.two(hello(0.05), hello(0.05), f"    timeout: {timeout}\n")
        text = chat(messages=[{"role": "user", "content": "x" * 250_000}]).encode()
        step = len(text) // 10 + 1
        pieces = [(0.25, text[at:at + step]) for at in range(0, len(text), step)]
        answer = await proxy.ask(pieces=pieces, patience=30)
        stage.say(f"{name}: {answer}, asked {first.asked()}+{second.asked()}")
        stage.expect(answer.good and (first.asked(), second.asked()) == (1, 0), f"{name}: sent once, and served")
    await stage.beside(try_it("learned", "{adaptive: {initial: 1s, min: 1s}}"), try_it("fixed", "{attempt: 1s}"))


async def way_is_dead(stage, most):
    async def try_it(streams):
        upstream, proxy = await stage.one(hello())
        await warm(proxy, streams, 3)
        asked = upstream.asked()
        upstream.turn_deaf()
        answer = await proxy.ask(chat(stream=streams), patience=75)
        kind = "stream" if streams else "buffered"
        stage.say(f"{kind}: {answer}")
        stage.expect(answer.good and answer.seconds <= most, f"{kind}: served within {most} s")
        stage.expect(not answer.good or upstream.asked() - asked == 1, f"{kind}: by one request that arrived")
    await stage.beside(try_it(False), try_it(True))


@row("A8", "a pooled connection whose packets are dropped from now on", "buffered: nothing in 75 s; stream: 30 s",
     limit=100,
     quick=False)
async def dead_way(stage):
    await way_is_dead(stage, 15)


@row("A9", "429 `insufficient_quota` once, then ten 200s, then a 500",
     "the upstream rests for 15 min through all of it; the 500 is not retried", limit=40)
async def guessed_rest(stage):
    spent = whole(error_body("You exceeded your current quota", type="insufficient_quota", code="insufficient_quota"),
                  429)
    upstream, proxy = await stage.one(in_turn(spent, *[hello(0.01)] * 10, whole(error_body(), 500), hello(0.01)))
    answers = [await proxy.ask(chat()) for _ in range(12)]
    last = answers[-1]
    stage.say(f"the first {answers[0].status}, ten of {sum(one.good for one in answers[1:11])} served, the last "
              f"{last.status} after {counted(last.attempts, 'attempt')}")
    stage.expect(last.good and last.attempts == 2, "the 500 is retried")


@row("A10", "429 with `retry-after: 8` for model `big`; half a second later a request for `small`, same key", "7.9 s",
     limit=40, quick=False)
async def per_model(stage):
    limited = in_turn(whole(error_body("slow down", code="rate_limit_exceeded"), 429, fields=[("retry-after", "8")]),
                      hello(0.02))

    async def play(request, reply):
        return await (limited if request.json["model"] == "big" else hello(0.02))(request, reply)
    upstream, proxy = await stage.one(play)
    fields = {"authorization": "Bearer one"}
    big = asyncio.ensure_future(proxy.ask(chat(model="big"), fields=fields))
    await asyncio.sleep(0.5)
    small = await proxy.ask(chat(model="small"), fields=fields)
    big = await big
    stage.say(f"small {small.seconds:.2f} s, big {big}")
    stage.expect(small.good and small.seconds < 0.5, "`small` is served at once")
    stage.expect(big.good and 7.5 < big.seconds < 10, "`big` when its time has come")


@row("A11", "two; a person opens the circuit of the first while the second rests after a 401 of its own key",
     "held for 60 s, \"the circuit of each is open\"", limit=120)
async def operator(stage):
    refused = whole(error_body("Incorrect API key provided", code="invalid_api_key", type="invalid_request_error"), 401)
    first, second, proxy = await stage.two(hello(), refused)
    opened = await proxy.admin("/-/circuits/first?state=open", "POST")
    await proxy.ask(chat())
    answer = await proxy.ask(chat(), patience=70)
    message = answer.json.get("error", {}).get("message", "") if isinstance(answer.json, dict) else ""
    stage.say(f"{answer}: \"{message[:150]}\"")
    stage.expect(opened.status == 200, "the order is taken")
    stage.expect(answer.status in (401, 503) and answer.seconds < 1, "refused at once")
    stage.expect("first" in message and "second" in message and "each is open" not in message,
                 "with each one's true reason")


@row("A12", "two; the client leaves after 2 s while attempt 1 is silent", "log: `attempts: 0`, no upstream; health: 0 "
                                                                          "requests",
     limit=40)
async def left(stage):
    first, _, proxy = await stage.two(silent, hello())
    answer = await proxy.ask(chat(), patience=2)
    line = (await proxy.access_lines() or [{}])[-1]
    health = (await proxy.admin("/health")).json
    departures = health.get("services", {}).get("llm", {}).get("departures", 0)
    told = {name: line[name] for name in ("outcome", "attempts", "upstream", "silent_s") if name in line}
    stage.say(f"log: {json.dumps(told)}; /health: {departures} left")
    stage.expect(answer.left and line.get("attempts") == 1 and line.get("upstream") == "first", "the attempt is told")
    stage.expect(line.get("silent_s", 0) >= 1.5, "and how long it was silent")
    stage.expect(departures == 1, "/health counts who left")


@row("A13", "two; 60/s of 0.5 s; after 5 s half of them get 500 from the first; the second is idle and well",
     "128 of 480 end as 500 after one attempt, `denied: overload`", limit=60, quick=False, alone=True)
async def idle_health(stage):
    first_is_ill = False

    async def play(request, reply):
        await asyncio.sleep(0.5)
        if first_is_ill and request.target == "/v1/completions":
            await reply.whole(error_body(), 500)
        else:
            await reply.hello()
    _, _, proxy = await stage.two(play, hello(0.5))

    def one(number):
        return proxy.ask(chat(), path="/v1/completions" if number % 2 else "/v1/chat/completions")
    await at_rate(60, 5, one)
    first_is_ill = True
    answers = await at_rate(60, 8, one)
    bad = [one for one in answers if not one.good]
    stage.say(f"{len(bad)} of {len(answers)} not served, longest {max(one.seconds for one in answers):.1f} s")
    stage.expect(not bad, "all are served")


@row("A14", "two of 50 ms, `least_latency`, 20/s; the first says 503, or is 1 s slower, for 5 s, then is well",
     "nothing for a minute, or for ever", limit=90, quick=False)
async def looked_at_again(stage):
    async def try_it(name, trouble):
        first, second, proxy = await stage.two(hello(0.05), hello(0.05), "    balance: least_latency\n")
        answers = await at_rate(20, 8, lambda _: proxy.ask(chat()))
        begun = time.monotonic()
        first.play = trouble
        answers += await at_rate(20, 5, lambda _: proxy.ask(chat()))
        well = time.monotonic()
        first.play = hello(0.05)
        answers += await at_rate(20, 40, lambda _: proxy.ask(chat()))
        during, again = first.asked(begun + 1, well), first.asked(well + 25)
        stage.say(f"{name}: {during} of 80 requests while it is so, then within 10 s "
                  f"{first.asked(well, well + 10)}, in the last 15 s {again} of {again + second.asked(well + 25)}")
        stage.expect(all(one.good for one in answers), f"{name}: all are served")
        stage.expect(during <= 10, f"{name}: few requests while it is not well")
        stage.expect(first.asked(well, well + 10) >= 1 and again >= 45, f"{name}: it is looked at within seconds, and "
                                                                        f"used")
    await stage.beside(try_it("503", whole(error_body(), 503, 0.005)), try_it("slow", hello(1.05)))


@row("A15", "two, `least_latency`, 20/s for 20 s; the first answers 400 in 20 ms, the second 200 in 120 ms",
     "57 % success; in turn 77 %", limit=60, quick=False)
async def fast_refusal(stage):
    first, second, proxy = await stage.two(whole(error_body("bad", type="invalid_request_error"), 400, 0.02),
                                           hello(0.12),
                                           "    balance: least_latency\n")
    answers = await at_rate(20, 20, lambda _: proxy.ask(chat()))
    share = sum(one.good for one in answers) / len(answers)
    stage.say(f"{100 * share:.0f} % success")
    stage.expect(share >= 0.85, "it draws few")


@row("A16", "two; 40/s, 8 s of health, then the first answers every request 500", "opens after 320 failures", limit=60,
     quick=False, alone=True)
async def window(stage):
    first, second, proxy = await stage.two(hello(0.05), hello(0.05))
    answers = await at_rate(40, 8, lambda _: proxy.ask(chat()))
    begun = time.monotonic()
    first.play = whole(error_body(), 500, 0.02)
    answers += await at_rate(40, 9, lambda _: proxy.ask(chat()))
    failures = first.asked(begun)
    stage.say(f"{failures} of 360 requests met it, {sum(not one.good for one in answers)} not served")
    stage.expect(all(one.good for one in answers), "all are served")
    stage.expect(failures <= 30, "it is left alone after a few")


@row("A17", "1,000 at once; room for 200 of 0.5 s, 429 without a hint beyond; 10 s of patience",
     "721 handed back after one attempt, `denied: budget`", limit=60, quick=False, alone=True)
async def throttled(stage):
    under_way = refusals = 0

    async def play(request, reply):
        nonlocal under_way, refusals
        if under_way >= 200:
            refusals += 1
            return await reply.whole(error_body("too many", code="rate_limit_exceeded"), 429)
        under_way += 1
        try:
            await reply.hello(0.5)
        finally:
            under_way -= 1
    upstream, proxy = await stage.one(play)
    fields = {"x-evenkeel-timeout": "10"}
    await at_rate(25, 2, lambda _: proxy.ask(chat(), fields=fields))
    refusals = 0
    answers = await asyncio.gather(*(proxy.ask(chat(), fields=fields) for _ in range(1000)))
    good = sum(one.good for one in answers)
    stage.say(f"{1000 - good} not served, {refusals} refusals, longest {max(one.seconds for one in answers):.1f} s")
    stage.expect(good >= 990, "they are waited for")
    stage.expect(refusals < 4000, "without a storm")
