"""C: what is repeated. D: what is refused."""

import asyncio
import json

from registry import row
from stage import begin, chat, counted, error_body, event, finish, hello, HELLO, stream, whole

FORM = ('--b\r\ncontent-disposition: form-data; name="model"\r\n\r\nwhisper-1\r\n--b\r\ncontent-disposition: '
        'form-data; '
        'name="file"; filename="a.wav"\r\ncontent-type: audio/wav\r\n\r\nRIFF\r\n--b--\r\n')
FORM_FIELDS = {"content-type": "multipart/form-data; boundary=b"}


async def elsewhere(stage, name, refusal, good, body, **more):
    """The first refuses, the second answers."""
    first, second, proxy = await stage.two(refusal, good)
    answer = await proxy.ask(body, **more)
    stage.say(f"{name}: {answer}, asked {first.asked()}+{second.asked()}")
    stage.expect(answer.good and second.asked() == 1, f"{name}: the second upstream")


@row("C1", "`/v1/responses` with `\"store\": false` (or a tool parameter of that name), first upstream 500",
     "`not_replayable`")
async def store(stage):
    said = {"id": "r", "object": "response", "status": "completed", "model": "m", "output": [
        {"type": "message", "role": "assistant", "content": [{"type": "output_text", "text": "hello"}]}]}
    tool = {"type": "function", "name": "buy", "parameters": {"type": "object",
                                                              "properties": {"store": {"type": "string"}}}}
    for name, more in (("store: false", {"store": False}), ("a parameter", {"store": False, "tools": [tool]})):
        await elsewhere(stage, name, whole(error_body(), 500), whole(said), json.dumps({"model": "m", "input": "hi",
                                                                                        **more}),
                        path="/v1/responses")


@row("C2", "transcription (multipart), first upstream 429", "429")
async def transcription(stage):
    await elsewhere(stage, "429", whole(error_body("slow down"), 429), whole({"text": "hello"}), FORM,
                    fields=FORM_FIELDS,
                    path="/v1/audio/transcriptions")


@row("C3", "`messages/count_tokens` 529, `:countTokens` 503", "handed on")
async def counting(stage):
    await elsewhere(stage, "count_tokens", whole({"type": "error", "error": {"type": "overloaded_error",
                                                                             "message": "m"}}, 529),
                    whole({"input_tokens": 3}), chat(), path="/v1/messages/count_tokens")
    await elsewhere(stage, ":countTokens", whole(error_body(), 503), whole({"totalTokens": 3}),
                    json.dumps({"contents": [{"parts": [{"text": "hi"}]}]}), path="/v1beta/models/gemini:countTokens")


@row("C4", "498, or a 403 with a challenge page of a CDN in HTML", "the caller's fault")
async def not_the_provider(stage):
    await elsewhere(stage, "498", whole(error_body("capacity exceeded"), 498), hello(), chat())
    await elsewhere(stage, "403", whole("<!DOCTYPE html><title>Just a moment...</title>", 403, kind="text/html"),
                    hello(),
                    chat())


@row("C5", "TLS certificate not trusted, one upstream", "6 attempts, 3.3 s")
async def not_trusted(stage):
    upstream = await stage.upstream(hello(), stage.tls(*await stage.certificate("unknown")))
    proxy = await stage.proxy(f"upstreams: {{first: {{url: \"{upstream.url}\"}}}}\n"
                              "routes: [{name: llm, match: {path_prefix: /}, upstreams: [first]}]\n")
    answer = await proxy.ask(chat())
    stage.say(f"{answer}, {counted(answer.attempts, 'attempt')}")
    stage.expect(answer.status == 502 and answer.attempts == 1 and answer.seconds < 2, "told at once")


@row("C6", "DNS name that does not exist", "6 look-ups, 5 s", limit=90)
async def no_such_name(stage):
    proxy = await stage.proxy("upstreams: {first: {url: \"http://no-such-name.invalid\"}}\n"
                              "routes: [{name: llm, match: {path_prefix: /}, upstreams: [first]}]\n")
    answer = await proxy.ask(chat())
    again = await proxy.ask(chat())
    stage.say(f"{answer}, {counted(answer.attempts, 'attempt')}; then {again}")
    stage.expect(answer.status == 502 and answer.attempts == 1, "told without a retry")
    stage.expect(again.status == 502 and again.seconds < 0.5, "and remembered")


async def passes(stage, name, right, of_route="", prefix="/", play=None, **more):
    upstream, proxy = await stage.one(play or hello(), of_route, prefix=prefix)
    answer = await proxy.ask(**more)
    target = upstream.requests[-1].target if upstream.requests else "nothing"
    stage.say(f"{name}{answer}, upstream saw {target}")
    stage.expect(right(answer, upstream, target), f"{name}served")
    return upstream, answer


@row("D1", "`GET /v1/models/meta-llama%2FLlama-3.1-8B-Instruct`", "400")
async def escaped_slash(stage):
    path = "/v1/models/meta-llama%2FLlama-3.1-8B-Instruct"
    await passes(stage, "", lambda answer, _, target: answer.good and target == path, path=path, prefix="/v1",
                 play=whole({"id": "m", "object": "model"}))


@row("D2", "`Content-Length: \\t 5 \\t`", "400")
async def white_space(stage):
    upstream, answer = await passes(stage, "", lambda answer, upstream, _: answer.good, play=whole(HELLO),
                                    method="POST",
                                    raw="POST /v1/chat/completions HTTP/1.1\r\nHost: localhost\r\n"
                                        "Content-Length: \t 5 \t\r\n\r\nhello")
    stage.expect(upstream.requests and upstream.requests[-1].body == b"hello", "with its five bytes")


@row("D3", "`Upgrade: h2c`, `HTTP2-Settings` with a POST (Java's client)", "501")
async def h2c(stage):
    await passes(stage, "", lambda answer, upstream, _: answer.good and "upgrade" not in upstream.requests[-1].headers,
                 body=chat(), fields={"connection": "Upgrade, HTTP2-Settings", "upgrade": "h2c",
                                      "http2-settings": "AAEAAEAAAAIAAAABAAMAAABkAAQBAAAAAAUAAEAA"})


@row("D4", "`GET /v1/responses`, `Upgrade: websocket`", "501: agents try five times")
async def websocket(stage):
    await passes(stage, "", lambda answer, *_: answer.status == 426 and "upgrade" in answer.headers,
                 path="/v1/responses",
                 fields={"connection": "Upgrade", "upgrade": "websocket", "sec-websocket-version": "13",
                         "sec-websocket-key": "dGhlIHNhbXBsZSBub25jZQ=="})


async def crowd(stage, count):
    upstream, proxy = await stage.one(hello(4))
    answers = await asyncio.gather(*(proxy.ask(chat(stream=n % 2 == 0)) for n in range(count)))
    bad = sum(not one.good for one in answers)
    longest = max(one.seconds for one in answers)
    stage.say(f"{bad} of {count} not served, longest {longest:.1f} s")
    stage.expect(not bad, "all are served")
    stage.expect(longest < 8, "without waiting for one another")


@row("D5", "300 concurrent requests of 4 s", "44 get 503 after 2 s", quick=False, alone=True)
async def crowd_of_300(stage):
    await crowd(stage, 300)


@row("D6", "`POST //v1/chat/completions`", "400")
async def two_slashes(stage):
    await passes(stage, "", lambda answer, _, target: answer.good and target == "/v1/chat/completions", body=chat(),
                 path="//v1/chat/completions", prefix="/v1")


@row("D7", "`accept: application/json, text/event-stream`, `stream: false`, after 27 s",
     "head of a stream, then an error frame", limit=60, quick=False)
async def accepts_both(stage):
    await passes(stage, "", lambda answer,
                 *_: answer.good and answer.headers["content-type"].startswith("application/json")
                 and answer.json == HELLO, body=chat(stream=False), play=hello(27),
                 fields={"accept": "application/json, text/event-stream"})


@row("D8", "`match.model` and a model named in multipart", "404")
async def model_in_form(stage):
    upstream = await stage.upstream(whole({"text": "hello"}))
    proxy = await stage.proxy(f"upstreams: {{first: {{url: \"{upstream.url}\"}}}}\n"
                              "routes:\n  - {name: llm, match: {path_prefix: /v1, model: whisper-1}, upstreams: "
                              "[first]}\n")
    answer = await proxy.ask(FORM, fields=FORM_FIELDS, path="/v1/audio/transcriptions")
    stage.say(f"{answer}, {counted(upstream.asked(), 'attempt')}")
    stage.expect(answer.good and upstream.asked() == 1, "found")


@row("D9", "upcast of vLLM's stream with `prompt_token_ids: null`", "given up for an hour")
async def vacant(stage):
    events = [event(begin("hello", prompt_token_ids=None)), event(finish(prompt_token_ids=None)),
              event({**finish(), "choices": [], "usage": HELLO["usage"]}), event("[DONE]")]

    async def play(request, reply):
        await (stream(events) if request.streams else whole(HELLO))(request, reply)
    upstream, proxy = await stage.one(play, "    stream: {upcast: on}\n")
    answers = [await proxy.ask(chat()) for _ in range(2)]
    streams = sum(one.streams for one in upstream.requests)
    stage.say(f"{answers[0]}, {answers[1]}; {streams} of {upstream.asked()} asked for as a stream")
    stage.expect(all(one.good for one in answers) and upstream.asked() == streams == 2, "no obstacle")
