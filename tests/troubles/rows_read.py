"""B: what is read."""

import asyncio
import gzip
import json
import zlib

from registry import row
from stage import (begin, chat, counted, delta, error_body, event, finish, hello, HELLO, HELLO_EVENTS, in_turn,
                   stream, whole)

GZIP = [("content-encoding", "gzip")]
ACCEPTS = {"accept-encoding": "gzip"}
OVERLOADED = event({"type": "error", "error": {"type": "overloaded_error", "message": "Overloaded"}}, "error")


def packed(events):
    """Each event compressed and flushed, as a server that streams does."""
    engine = zlib.compressobj(wbits=31)
    pieces = [engine.compress(one.encode()) + engine.flush(zlib.Z_SYNC_FLUSH) for one in events]
    return [*pieces, engine.flush()]


async def once(stage, plays, body, right, expected, of_route="", prefix="/", **more):
    """One request to an upstream that plays these in turn; returns what came."""
    upstream, proxy = await stage.one(in_turn(*plays), of_route, prefix=prefix)
    answer = await proxy.ask(body, **more)
    stage.say(f"{answer}, {counted(upstream.asked(), 'attempt')}")
    stage.expect(right(answer, upstream), expected)
    return upstream, proxy, answer


@row("B1", "`accept-encoding: gzip`; first token after 28 s; the provider compresses its stream",
     "head ahead, then an error: the whole good answer is lost", limit=60, quick=False)
async def compressed_behind_head(stage):
    async def play(_, reply):  # whatever it is asked
        await asyncio.sleep(28)
        await reply.stream(packed(HELLO_EVENTS), fields=GZIP)
    await once(stage, [play], chat(stream=True),
               lambda answer, _: answer.good and b"hel" in answer.body and b"[DONE]" in answer.body,
               "the answer, behind a head that went ahead", fields=ACCEPTS)


@row("B2", "gzip stream whose first event is `overloaded_error`", "handed on, 1 attempt")
async def compressed_error(stage):
    await once(stage, [stream(packed([OVERLOADED]), fields=GZIP), hello()], chat(stream=True),
               lambda answer, upstream: answer.good and upstream.asked() == 2, "retried", fields=ACCEPTS)


@row("B3", "gzip stream that ends cleanly without its terminal marker", "`outcome: ok`")
async def compressed_cut(stage):
    _, proxy, _ = await once(stage, [stream(packed(HELLO_EVENTS[:2]), fields=GZIP)], chat(stream=True),
                             lambda answer, _: not answer.good, "no clean end (nothing can be put behind gzip: cut)",
                             fields=ACCEPTS)
    line = (await proxy.access_lines() or [{}])[-1]
    stage.say(f"outcome {line.get('outcome')}")
    stage.expect(line.get("outcome") == "truncated", "and told as one")

    async def polite(request, reply):
        asked = "gzip" in request.headers.get("accept-encoding", "")
        await reply.stream(packed(HELLO_EVENTS[:2]) if asked else HELLO_EVENTS[:2], fields=GZIP if asked else ())
    await once(stage, [polite], chat(stream=True), lambda answer, _: answer.has_error and b"[DONE]" not in answer.body,
               "the error frame from a provider that compresses when asked", fields=ACCEPTS)


@row("B4", "gzip 200 JSON that holds an error object", "success")
async def compressed_json_error(stage):
    bad = gzip.compress(json.dumps(error_body("overloaded", type="server_error")).encode())
    await once(stage, [whole(bad, fields=GZIP), hello()], chat(),
               lambda answer, upstream: answer.good and upstream.asked() == 2, "retried", fields=ACCEPTS)


@row("B5", "stream asked for, good events 0.3 s apart with `content-type: application/json`",
     "6 answers billed, first byte after 11 s, then 502s")
async def wrong_label(stage):
    _, _, answer = await once(stage, [stream(HELLO_EVENTS, kind="application/json", pause=0.3)], chat(stream=True),
                              lambda answer, upstream: answer.good and upstream.asked() == 1, "passed on, asked once")
    stage.say(f"first byte after {answer.first or 0:.1f} s")
    stage.expect(answer.first is not None and answer.first < 0.8, "event by event")


@row("B6", "Gemini 429 whose text says \"exceeded your current quota\", `quotaId` has `PerMinute`, `retryDelay: 1s`",
     "taken for money, 1 attempt")
async def minute_of_gemini(stage):
    said = {"error": {"code": 429, "message": "You exceeded your current quota, please check your plan and billing "
                                              "details.",
                      "status": "RESOURCE_EXHAUSTED",
                      "details": [{"@type": "type.googleapis.com/google.rpc.QuotaFailure", "violations": [
                                      {"quotaId": "GenerateRequestsPerMinutePerProjectPerModel-FreeTier"}]},
                                  {"@type": "type.googleapis.com/google.rpc.RetryInfo", "retryDelay": "1s"}]}}
    good = {"candidates": [{"content": {"parts": [{"text": "hello"}], "role": "model"}, "finishReason": "STOP"}]}
    await once(stage, [whole(said, 429), whole(good)], json.dumps({"contents": [{"parts": [{"text": "hi"}]}]}),
               lambda answer, upstream: answer.good and upstream.asked() == 2 and 0.9 < answer.seconds < 3,
               "a pause of 1 s, then served", path="/v1beta/models/gemini-2.5-flash:generateContent")


@row("B7", "429 `exceeded_current_quota_error`", "6 attempts")
async def money(stage):
    said = error_body("Your account is suspended, please check your plan and billing details",
                      type="exceeded_current_quota_error")
    await once(stage, [whole(said, 429)], chat(), lambda answer,
               upstream: answer.status == 429 and upstream.asked() == 1,
               "money: asked once")


@row("B8", "200 with an empty text and `finish_reason: stop`", "success")
async def says_nothing(stage):
    empty = {**HELLO, "choices": [{"index": 0, "finish_reason": "stop", "message": {"role": "assistant",
                                                                                    "content": ""}}]}
    await once(stage, [whole(empty)], chat(),
               lambda answer, upstream: answer.status == 200 and upstream.asked() == 2, "retried once, then handed on")
    await once(stage, [whole(empty), hello()], chat(),
               lambda answer, upstream: b"hello" in answer.body and upstream.asked() == 2, "retried, and served")


@row("B9", "200 with an error in the place of its first choice", "success")
async def error_in_choice(stage):
    bad = {**HELLO, "choices": [{"index": 0, "finish_reason": "error",
                                 "error": {"code": 502, "message": "Provider returned error"}}]}
    await once(stage, [whole(bad), hello()], chat(),
               lambda answer, upstream: b"hello" in answer.body and upstream.asked() == 2, "retried")


@row("B10", "stream that says `error: {...}` as a field behind content, then `[DONE]`", "`outcome: ok`")
async def error_as_field(stage):
    events = [HELLO_EVENTS[0], 'error: {"code": 500, "message": "engine died"}\n\n', event("[DONE]")]
    _, proxy, _ = await once(stage, [stream(events)], chat(stream=True),
                             lambda answer, _: answer.has_error and b"engine died" in answer.body.split(b"data:")[-1]
                             and b"[DONE]" not in answer.body, "told as the provider's error")
    line = (await proxy.access_lines() or [{}])[-1]
    stage.say(f"outcome {line.get('outcome')}, {line.get('stream_end')}")
    stage.expect(line.get("outcome") not in ("ok", None), "not as ok")


@row("B11", "`response.created` of 70 KiB, then `response.failed` (overload)", "committed at 64 KiB")
async def long_preamble(stage):
    made = {"id": "r", "object": "response", "status": "in_progress", "model": "m", "output": [],
            "instructions": "x" * 70_000}
    failed = {"type": "response.failed", "response": {"id": "r", "object": "response", "status": "failed", "error": {
        "code": "server_is_overloaded", "message": "overloaded"}}}
    bad = [event({"type": "response.created", "response": made}, "response.created"),
           event(failed, "response.failed")]
    good = [event({"type": "response.created", "response": {**made, "instructions": "x"}}, "response.created"),
            event({"type": "response.output_text.delta", "item_id": "i", "output_index": 0, "content_index": 0,
                   "delta": "hello"}, "response.output_text.delta"),
            event({"type": "response.completed", "response": {**made, "instructions": "x", "status": "completed"}},
                  "response.completed")]
    await once(stage, [stream(bad), stream(good)], json.dumps({"model": "m", "input": "hi", "stream": True}),
               lambda answer,
               upstream: b"response.completed" in answer.body and b"response.failed" not in answer.body and
               upstream.asked() == 2, "retried", path="/v1/responses")


UPCAST = "    stream: {upcast: on}\n"


def streamed(events):
    """A provider that streams these where it is asked to, and says HELLO otherwise."""
    async def play(request, reply):
        if request.streams:
            await reply.stream(events)
        else:
            await reply.whole(HELLO)
    return play


USAGE = {"prompt_tokens": 3, "completion_tokens": 2, "total_tokens": 5}


@row("B12", "upcast; deltas `\"a\\ud83d\"` and `\"\\ude00b\"`", "502 after 6 attempts")
async def halves(stage):
    events = [event(begin("a\ud83d")), event(delta("\ude00b")), event(finish()),
              event({**finish(), "choices": [], "usage": USAGE}), event("[DONE]")]
    await once(stage, [streamed(events)], chat(),
               lambda answer, upstream: answer.good and upstream.asked() <= 2 and
               answer.json["choices"][0]["message"]["content"] in ("a\U0001f600b", "hello"),
               "joined text, or one plain repetition", UPCAST)


@row("B13", "the first content event is half a surrogate pair; the other half follows",
     "6 attempts, 3 to 5 s, then passed")
async def half_first(stage):
    events = [event(delta("\ud83d")), event(delta("\ude00")), event(finish()), event("[DONE]")]
    await once(stage, [stream(events)], chat(stream=True),
               lambda answer, upstream: answer.good and upstream.asked() == 1 and answer.seconds < 1, "one attempt")


@row("B14", "JSON answer behind a byte order mark", "502 after 6 attempts")
async def byte_order_mark(stage):
    await once(stage, [whole(b"\xef\xbb\xbf" + json.dumps(HELLO).encode())], chat(),
               lambda answer, upstream: answer.status == 200 and upstream.asked() == 1, "read")


@row("B15", "`verified_replay`, usage holds `18446744073709551617` and `1.0`",
     "re-spelled as `1.8446744073709552E19`, `1E0`")
async def spelled(stage):
    usage = '"usage":{"total_tokens":18446744073709551617,"cost":1.0}'

    def says(text, reason="null"):
        return (f'data: {{"id":"c","object":"chat.completion.chunk","created":1,"model":"m","choices":[{{"index":0,'
                f'"delta":{{"content":"{text}"}},"finish_reason":{reason}}}],{usage}}}\n\n')

    async def cut(_, reply):
        await reply.head()
        await reply.piece(says("hel"))
        return False
    await once(stage, [cut, stream([says("hello"), says("", '"stop"'), event("[DONE]")])], chat(stream=True,
                                                                                                temperature=0),
               lambda answer, upstream: answer.good and upstream.asked() == 2 and
               answer.text.count(usage) == 3 and "E19" not in answer.text, "byte for byte",
               "    stream: {resume: verified_replay}\n")


@row("B16", "`HTTP/1.1 200` without the blank before an empty reason", "6 attempts, 502")
async def no_reason(stage):
    body = json.dumps(HELLO)

    async def play(_, reply):
        await reply.raw(f"HTTP/1.1 200\r\ncontent-type: application/json\r\ncontent-length: {len(body)}\r\n\r\n{body}")
    await once(stage, [play], chat(), lambda answer, upstream: answer.good and upstream.asked() == 1, "read")
