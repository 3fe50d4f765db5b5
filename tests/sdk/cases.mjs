// What the SDKs do, each case a function of the environment (see run.mjs) that returns what direct and proxied calls
// have to agree on. A case asserts by itself what must hold on either way.

import assert from 'node:assert/strict';

const plain = (value) => JSON.parse(JSON.stringify(value));
const user = (text) => [{ role: 'user', content: text }];
const sim = (script, more = {}) => ({ headers: { 'x-sim': script }, ...more });
const now = () => process.hrtime.bigint(); // CLOCK_MONOTONIC, as the provider's stamps

const toolsOfOpenai = [{ type: 'function', function: { name: 'weather', description: 'of a place', parameters: { type: 'object', properties: { place: { type: 'string' } } } } }];
const toolsOfResponses = [{ type: 'function', name: 'weather', strict: false, parameters: { type: 'object', properties: { place: { type: 'string' } } } }];
const toolsOfAnthropic = [{ name: 'weather', description: 'of a place', input_schema: { type: 'object', properties: { place: { type: 'string' } } } }];

const chat = (text, more = {}) => ({ model: 'sim-1', messages: user(text), ...more });
const message = (text, more = {}) => ({ model: 'sim-1', max_tokens: 1000, messages: user(text), ...more });

const comparedHeaders = [
  'content-type', 'x-request-id', 'request-id', 'openai-processing-ms', 'openai-version', 'openai-organization',
  'x-ratelimit-limit-requests', 'x-ratelimit-remaining-requests', 'x-ratelimit-remaining-tokens', 'x-ratelimit-reset-tokens',
  'anthropic-organization-id', 'anthropic-ratelimit-requests-remaining', 'retry-after', 'retry-after-ms', 'x-should-retry',
  'content-encoding', 'cache-control', 'x-odd',
];
// The proxy names a request itself where the provider does not: Anthropic's `request-id` is the one to compare there.
const headersOf = (headers) =>
  Object.fromEntries(comparedHeaders.map((name) => [name, headers?.get?.(name) ?? null])
    .filter(([name, value]) => value !== null && !(name === 'x-request-id' && headers.get('request-id'))));

async function withHeaders(promise) {
  const { data, response } = await promise.withResponse();
  return { data: plain(data), status: response.status, headers: headersOf(response.headers) };
}

async function collect(promise) {
  const { data: stream, response } = await promise.withResponse();
  const events = [];
  for await (const event of stream) events.push(plain(event));
  return { status: response.status, headers: headersOf(response.headers), events };
}

// What an application sees of a failure.
async function failure(promise) {
  try {
    await promise;
  } catch (error) {
    return {
      thrown: error.constructor.name, status: error.status, code: error.code ?? null, type: error.type ?? null,
      message: error.message, body: plain(error.error ?? null),
      requestId: error.requestID ?? error.request_id ?? null, headers: headersOf(error.headers),
    };
  }
  throw new Error('the call succeeded');
}

const chatText = (events) => events.map((e) => e.choices[0]?.delta?.content ?? '').join('');
const messageText = (events) => events.filter((e) => e.type === 'content_block_delta').map((e) => e.delta.text ?? '').join('');
const pieces = (nonce, count) => Array.from({ length: count }, (_, i) => `[${nonce}:${i}]`);
function assertPieces(text, nonce, count) {
  assert.deepEqual(text.match(/\[[^\]]*\]/g), pieces(nonce, count));
}

const cases = [];
const add = (name, run, compare) => cases.push({ name, run, compare });

// --- plain calls ---

add('openai chat', async (env) => {
  const out = await withHeaders(env.openai().chat.completions.create(chat('nonce:c1'), sim('header=x-odd:a,  b "c"')));
  assertPieces(out.data.choices[0].message.content, 'c1', 12);
  return out;
});
add('openai chat, unicode both ways', async (env) => {
  const prompt = 'nonce:u1 Grüße 日本語 👩‍🚀 \u0000 \u2028 𝄞 "quoted" \\ / \uffff';
  const out = await withHeaders(env.openai().chat.completions.create(chat(prompt), sim('unicode')));
  assert.match(out.data.choices[0].message.content, /日本語/);
  const [record] = await env.records();
  return { ...out, received: record.body_sha256, bytes: record.body_bytes };
});
add('openai chat, stream', async (env) => {
  const out = await collect(env.openai().chat.completions.create(chat('nonce:s1', { stream: true }), sim('events=30;gap=1ms')));
  assertPieces(chatText(out.events), 's1', 30);
  return out;
});
add('openai chat, stream with usage', async (env) => {
  const out = await collect(env.openai().chat.completions.create(
    chat('nonce:s2', { stream: true, stream_options: { include_usage: true } })));
  assert.equal(out.events.at(-1).usage.completion_tokens, 12);
  return out;
});
add('openai chat, stream helper', async (env) => {
  const stream = env.openai().chat.completions.stream(chat('nonce:s3'), sim('unicode;gap=1ms'));
  return { final: plain(await stream.finalChatCompletion()) };
});
add('openai chat, two choices', async (env) =>
  collect(env.openai().chat.completions.create(chat('nonce:s4', { stream: true, n: 2 }))));
add('openai chat, length limit', async (env) =>
  withHeaders(env.openai().chat.completions.create(chat('nonce:c2', { max_completion_tokens: 3 }))));
add('openai tools', async (env) => {
  const out = await withHeaders(env.openai().chat.completions.create(chat('nonce:t1', { tools: toolsOfOpenai })));
  assert.equal(JSON.parse(out.data.choices[0].message.tool_calls[0].function.arguments).nonce, 't1');
  return out;
});
add('openai tools, stream', async (env) => {
  const out = await collect(env.openai().chat.completions.create(
    chat('nonce:t2', { tools: toolsOfOpenai, stream: true }), sim('unicode;events=20;gap=1ms')));
  const joined = out.events.map((e) => e.choices[0].delta.tool_calls?.[0].function.arguments ?? '').join('');
  assert.equal(JSON.parse(joined).nonce, 't2');
  return out;
});
add('openai completions', async (env) =>
  withHeaders(env.openai().completions.create({ model: 'sim-1', prompt: 'nonce:p1' })));
add('openai completions, stream', async (env) =>
  collect(env.openai().completions.create({ model: 'sim-1', prompt: 'nonce:p2', stream: true })));
add('openai embeddings', async (env) => {
  const out = await withHeaders(env.openai().embeddings.create({ model: 'sim-e', input: ['nonce:e1', 'two'] }));
  assert.equal(out.data.data[1].embedding.length, 16);
  return out;
});
add('openai embeddings as numbers', async (env) =>
  withHeaders(env.openai().embeddings.create({ model: 'sim-e', input: 'nonce:e2', encoding_format: 'float', dimensions: 1024 })));
add('openai responses', async (env) =>
  withHeaders(env.openai().responses.create({ model: 'sim-1', input: 'nonce:r1' })));
add('openai responses, stream', async (env) => {
  const out = await collect(env.openai().responses.create({ model: 'sim-1', input: 'nonce:r2', stream: true }, sim('gap=1ms;unicode')));
  assert.equal(out.events.at(-1).type, 'response.completed');
  return out;
});
add('openai responses, tool in a stream', async (env) =>
  collect(env.openai().responses.create({ model: 'sim-1', input: 'nonce:r3', stream: true, tools: toolsOfResponses })));
add('openai models', async (env) => {
  const names = [];
  for await (const model of env.openai().models.list()) names.push(model.id);
  return { names, one: await withHeaders(env.openai().models.retrieve('sim-2')) };
});
add('anthropic message', async (env) => {
  const out = await withHeaders(env.anthropic().messages.create(message('nonce:a1'), sim('unicode')));
  assertPieces(out.data.content[0].text, 'a1', 12);
  return out;
});
add('anthropic message, stream', async (env) => {
  const out = await collect(env.anthropic().messages.create(message('nonce:a2', { stream: true }), sim('events=30;gap=1ms')));
  assertPieces(messageText(out.events), 'a2', 30);
  return out;
});
add('anthropic message, stream helper', async (env) => {
  const stream = env.anthropic().messages.stream(message('nonce:a3'), sim('unicode;gap=1ms'));
  return { final: plain(await stream.finalMessage()) };
});
add('anthropic tools', async (env) => {
  const out = await withHeaders(env.anthropic().messages.create(message('nonce:a4', { tools: toolsOfAnthropic })));
  assert.equal(out.data.content[0].input.nonce, 'a4');
  return out;
});
add('anthropic tools, stream', async (env) => {
  const stream = env.anthropic().messages.stream(message('nonce:a5', { tools: toolsOfAnthropic }), sim('unicode;events=20'));
  const final = plain(await stream.finalMessage());
  assert.equal(final.content[0].input.nonce, 'a5');
  return final;
});
add('anthropic count tokens', async (env) =>
  withHeaders(env.anthropic().messages.countTokens({ model: 'sim-1', messages: user('nonce:a6') })));

// --- shapes of the wire ---

for (const [name, script] of [
  ['code points split across writes', 'unicode;split=2ms;events=20'],
  ['a byte at a time', 'unicode;drip=100us/3;events=4'],
  ['keep-alive comments first', 'keepalive=4@20ms'],
  ['processing comments first', 'keepalive=2@10ms;keepalive_form=processing'],
  ['all events in one write', 'merge;events=50'],
  ['preamble with the first content', 'preamble=late;first=50ms'],
  ['delimited by the end', 'framing=close'],
  ['an HTTP/1.0 answer', 'http=1.0'],
  ['gzip', 'encoding=gzip'],
  ['early hints before', 'informational=103'],
  ['connection: close', 'connection=close'],
]) {
  add(`openai stream: ${name}`, async (env) => {
    const out = await collect(env.openai().chat.completions.create(chat('nonce:w1', { stream: true }), sim(script)));
    return { events: out.events, status: out.status };
  });
  add(`anthropic stream: ${name}`, async (env) => {
    const out = await collect(env.anthropic().messages.create(message('nonce:w2', { stream: true }), sim(script)));
    return { events: out.events, status: out.status };
  });
}
for (const [name, script] of [
  ['blank lines first', 'keepalive=3@20ms'], ['chunked', 'framing=chunked'], ['gzip', 'encoding=gzip'],
  ['delimited by the end', 'framing=close'], ['an HTTP/1.0 answer', 'http=1.0'], ['a slow head', 'delay=150ms'],
]) {
  add(`openai answer: ${name}`, async (env) => {
    const out = await withHeaders(env.openai().chat.completions.create(chat('nonce:w3'), sim(script)));
    return { data: out.data, status: out.status };
  });
}

add('request arrives unchanged', async (env) => {
  const client = env.openai({ organization: 'org-1', project: 'proj-1', defaultQuery: { 'api-version': '2026-01-01', q: 'a b/ü' },
    defaultHeaders: { 'X-Custom': 'Ünicode is not allowed, this is: ~!@#', traceparent: undefined } });
  await client.chat.completions.create(chat('nonce:h1'));
  const [record] = await env.records();
  const hop = new Set(['host', 'connection', 'keep-alive', 'te', 'transfer-encoding', 'content-length', 'via', 'traceparent',
    'tracestate', 'x-request-id']);
  const headers = record.headers.map(([name, value]) => [name.toLowerCase(), value])
    .filter(([name]) => !hop.has(name) && !name.startsWith('x-forwarded-') && !name.startsWith('x-evenkeel-'));
  return { method: record.method, target: record.target, sha256: record.body_sha256, headers };
});

// --- errors ---

const errorScripts = [
  ['400', 'error=invalid'], ['401', 'error=auth'], ['402', 'error=billing'], ['403', 'error=permission'], ['404', 'error=not_found'],
  ['409', 'error=conflict'], ['422', 'status=422'], ['429 with Retry-After', 'error=rate;retry_after=2'],
  ['429 with retry-after-ms', 'error=rate;retry_after_ms=150'], ['429 for money', 'error=quota;should_retry=false'],
  ['context length', 'error=context_length'], ['content filter', 'error=content_filter'], ['500', 'error=server'],
  ['502 in HTML', 'status=502;body=html'], ['503', 'status=503;retry_after=1'], ['529', 'error=overload;status=529'],
  ['500 without a body', 'status=500;body=empty'],
];
for (const [name, script] of errorScripts) {
  add(`openai error: ${name}`, (env) => failure(env.openai().chat.completions.create(chat('nonce:x1'), sim(script))));
  add(`anthropic error: ${name}`, (env) => failure(env.anthropic().messages.create(message('nonce:x2'), sim(script))));
}
add('openai error: of a stream request', (env) =>
  failure(env.openai().chat.completions.create(chat('nonce:x3', { stream: true }), sim('error=rate;retry_after=3'))));
add('openai error: unknown model', (env) =>
  failure(env.openai().chat.completions.create(chat('nonce:x4', { model: 'no-such-model' }))));

async function brokenStream(stream, text) {
  const events = [];
  let thrown = null;
  try {
    for await (const event of await stream) events.push(plain(event));
  } catch (error) {
    thrown = error;
  }
  return { text: text(events), thrown };
}
for (const [name, script] of [['in the stream', 'error_after=4;gap=5ms'], ['in the stream, then a cut', 'error_after=4;error_then=close;gap=5ms']]) {
  add(`openai error: ${name}`, async (env) => {
    const out = await brokenStream(env.openai().chat.completions.create(chat('nonce:b1', { stream: true }), sim(script)), chatText);
    assertPieces(out.text, 'b1', 4);
    return { text: out.text, thrown: out.thrown?.constructor.name, message: out.thrown?.message };
  });
  add(`anthropic error: ${name}`, async (env) => {
    const out = await brokenStream(env.anthropic().messages.create(message('nonce:b2', { stream: true }), sim(script)), messageText);
    assertPieces(out.text, 'b2', 4);
    return { text: out.text, thrown: out.thrown?.constructor.name, message: out.thrown?.message };
  });
}
// The kind of error may differ here: direct, the transport breaks; the proxy may say more.
for (const script of ['close_after=4;gap=5ms', 'reset_after=4;gap=30ms', 'bad_chunk_after=4;gap=5ms']) {
  add(`openai cut stream is an error: ${script}`, async (env) => {
    const out = await brokenStream(env.openai().chat.completions.create(chat('nonce:b3', { stream: true }), sim(script)), chatText);
    assert.ok(out.thrown, 'a cut stream was taken for a whole one');
    return out.text;
  });
  add(`anthropic cut stream is an error: ${script}`, async (env) => {
    const out = await brokenStream(env.anthropic().messages.create(message('nonce:b4', { stream: true }), sim(script)), messageText);
    assert.ok(out.thrown, 'a cut stream was taken for a whole one');
    return out.text;
  });
}
add('openai cut answer is an error', async (env) => {
  const out = await failure(env.openai().chat.completions.create(chat('nonce:b5'), sim('close_after=6')));
  return typeof out.thrown;
});

// --- retries of the SDK itself ---

async function attempts(env) {
  return (await env.records()).map((r) => [r.status, Object.fromEntries(r.headers)['x-stainless-retry-count'] ?? null]);
}
for (const [name, script] of [
  ['500', 'fail_times=2;status=500;retry_after_ms=20'], ['429', 'fail_times=2;error=rate;retry_after_ms=20'],
  ['529', 'fail_times=1;status=529;retry_after_ms=20'], ['backoff of its own', 'fail_times=1;status=503'],
  ['told not to', 'fail_times=1;status=500;should_retry=false'],
]) {
  add(`openai retries: ${name}`, async (env) => {
    const call = env.openai({ maxRetries: 2 }).chat.completions.create(chat('nonce:y1'), sim(script));
    const result = await withHeaders(call).catch((error) => error.constructor.name);
    return { result, attempts: await attempts(env) };
  });
  add(`anthropic retries: ${name}`, async (env) => {
    const call = env.anthropic({ maxRetries: 2 }).messages.create(message('nonce:y2'), sim(script));
    const result = await withHeaders(call).catch((error) => error.constructor.name);
    return { result, attempts: await attempts(env) };
  });
}
add('openai retries: connection reset', async (env) => {
  const call = env.openai({ maxRetries: 2 }).chat.completions.create(chat('nonce:y3'), sim('fail_times=1;reset_after=request'));
  return (await withHeaders(call)).data;
});

// --- leaving ---

// How long after `abort` the provider saw its peer leave, in ms.
async function cancellation(env, start, abort) {
  const failed = start.then(() => null, (error) => error.constructor.name);
  const at = await abort();
  const thrown = await failed;
  const [record] = await env.until((records) => records[0]?.peer_closed_ns > 0 && records[0].finished_ns > 0, 'the client leaving');
  assert.equal(record.cancelled, true);
  return { thrown, ms: Number(BigInt(record.peer_closed_ns) - at) / 1e6 };
}
function compareCancellation(direct, proxied) {
  assert.equal(proxied.thrown, direct.thrown);
  assert.ok(proxied.ms <= direct.ms + 100, `seen after ${proxied.ms} ms, direct after ${direct.ms} ms`);
  return `seen after ${proxied.ms.toFixed(1)} ms, direct ${direct.ms.toFixed(1)} ms`;
}
for (const [dialect, create] of [
  ['openai', (env, body, options) => env.openai(options.client).chat.completions.create(chat('nonce:q1', body), options)],
  ['anthropic', (env, body, options) => env.anthropic(options.client).messages.create(message('nonce:q2', body), options)],
]) {
  for (const stream of [false, true]) {
    add(`${dialect} abort before the head${stream ? ' of a stream' : ''}`, (env) => {
      const controller = new AbortController();
      const call = create(env, { stream }, sim('stall_after=request', { signal: controller.signal }));
      return cancellation(env, call, async () => {
        await env.until((records) => records[0]?.body_ns > 0, 'the request');
        const at = now();
        controller.abort();
        return at;
      });
    }, compareCancellation);
  }
  add(`${dialect} abort in a stream`, (env) => {
    const controller = new AbortController();
    let aborted;
    const at = new Promise((resolve) => { aborted = resolve; });
    const read = async () => {
      let seen = 0;
      const stream = await create(env, { stream: true }, sim('events=2000;gap=10ms', { signal: controller.signal }));
      for await (const event of stream) {
        seen += event ? 1 : 0;
        if (seen === 8) {
          aborted(now());
          controller.abort();
        }
      }
    };
    return cancellation(env, read(), () => at);
  }, compareCancellation);
  add(`${dialect} leaves the loop of a stream`, (env) => {
    let left;
    const at = new Promise((resolve) => { left = resolve; });
    const read = async () => {
      let seen = 0;
      for await (const event of await create(env, { stream: true }, sim('events=2000;gap=10ms'))) {
        seen += event ? 1 : 0;
        if (seen === 8) {
          left(now());
          break;
        }
      }
    };
    return cancellation(env, read(), () => at);
  }, compareCancellation);
  add(`${dialect} timeout of the SDK`, async (env) => {
    const began = now();
    const thrown = await failure(create(env, {}, sim('stall_after=request', { timeout: 300 })));
    const ms = Number(now() - began) / 1e6;
    await env.until((records) => records[0]?.cancelled === true, 'the client leaving');
    assert.ok(ms >= 290 && ms < 1500, `thrown after ${ms} ms`);
    return { thrown: thrown.thrown, message: thrown.message };
  });
}

// --- size and number ---

add('openai answer of 2 MiB', async (env) => {
  const out = await withHeaders(env.openai().chat.completions.create(chat('nonce:z1'), sim('size=2MiB')));
  assert.ok(out.data.choices[0].message.content.length >= 2 * 1024 * 1024);
  return out;
});
add('openai stream of 2 MiB', async (env) => {
  const out = await collect(env.openai().chat.completions.create(chat('nonce:z2', { stream: true }), sim('size=2MiB;events=256')));
  assertPieces(chatText(out.events), 'z2', 256);
  return out;
});
add('anthropic answer of 2 MiB', async (env) =>
  withHeaders(env.anthropic().messages.create(message('nonce:z3'), sim('size=2MiB'))));
for (const [dialect, create] of [
  ['openai', (env, text, stream) => env.openai().chat.completions.create(chat(text, { stream }))],
  ['anthropic', (env, text, stream) => env.anthropic().messages.create(message(text, { stream }))],
]) {
  add(`${dialect} prompt of 1.5 MiB`, async (env) => {
    const text = `nonce:z4 ${'naïve 日本語 prompt '.repeat(70_000)}`;
    const out = await withHeaders(create(env, text, false));
    const [record] = await env.records();
    assert.ok(record.body_bytes > 1.5 * 1024 * 1024);
    return { out, bytes: record.body_bytes, sha256: record.body_sha256 };
  });
  add(`${dialect} 100 in flight`, async (env) => {
    const texts = await Promise.all(Array.from({ length: 100 }, async (_, i) => {
      const stream = i % 2 === 0;
      const nonce = `n${i}`;
      const call = dialect === 'openai'
        ? env.openai().chat.completions.create(chat(`nonce:${nonce}`, { stream }), sim('events=20;gap=5ms'))
        : env.anthropic().messages.create(message(`nonce:${nonce}`, { stream }), sim('events=20;gap=5ms'));
      let text;
      if (stream) {
        const { events } = await collect(call);
        text = dialect === 'openai' ? chatText(events) : messageText(events);
      } else {
        const answer = await call;
        text = dialect === 'openai' ? answer.choices[0].message.content : answer.content[0].text;
      }
      assertPieces(text, nonce, 20);
      return text;
    }));
    assert.equal((await env.records()).length, 100);
    return texts;
  });
}
add('one connection after another', async (env) => {
  // undici reuses its connections: fifty calls in sequence, every fifth announced to close.
  const client = env.openai();
  const out = [];
  for (let i = 0; i < 50; i += 1) {
    const answer = await client.chat.completions.create(chat(`nonce:k${i}`), sim(i % 5 === 4 ? 'connection=close' : ''));
    out.push(answer.choices[0].message.content);
  }
  return out;
});

// --- event by event ---

// Each event against the provider's own clock. "Batched" is an event that arrives after the next but one was sent,
// unless the provider sent all three at once.
async function arrivals(stream) {
  const delays = [];
  const sent = [];
  const arrived = [];
  for await (const event of await stream) {
    if (!event.sim) continue;
    arrived.push(now());
    sent.push(BigInt(event.sim.sent_ns));
  }
  for (let i = 0; i < sent.length; i += 1) delays.push(Number(arrived[i] - sent[i]) / 1e6);
  const batched = arrived.filter((at, i) => at > sent[i + 2] && sent[i + 2] - sent[i] > 40_000_000n).length;
  delays.sort((a, b) => a - b);
  return { count: sent.length, batched, p50: delays[Math.floor(delays.length / 2)], p99: delays[Math.floor(delays.length * 0.99)] };
}
function compareArrivals(direct, proxied) {
  assert.equal(proxied.count, direct.count);
  assert.equal(proxied.batched, 0, `${proxied.batched} of ${proxied.count} events came after the next but one was sent`);
  // Generous: the machine may be busy; a proxy that waits for more data would add a gap (30 ms) to every event.
  assert.ok(proxied.p50 < direct.p50 + 10, `p50 ${proxied.p50} ms, direct ${direct.p50} ms`);
  assert.ok(proxied.p99 < direct.p99 + 60, `p99 ${proxied.p99} ms, direct ${direct.p99} ms`);
  return `delay p50 ${proxied.p50.toFixed(2)} ms, p99 ${proxied.p99.toFixed(2)} ms; direct ${direct.p50.toFixed(2)} ms, ${direct.p99.toFixed(2)} ms`;
}
add('openai stream arrives event by event', (env) =>
  arrivals(env.openai().chat.completions.create(chat('nonce:g1', { stream: true }), sim('stamp;first=30ms;events=60;gap=30ms'))),
compareArrivals);
add('anthropic stream arrives event by event', (env) =>
  arrivals(env.anthropic().messages.create(message('nonce:g2', { stream: true }), sim('stamp;first=30ms;events=60;gap=30ms'))),
compareArrivals);

export { cases };
