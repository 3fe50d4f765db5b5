// What a collector is sent, read by OpenTelemetry's own decoder: protobuf's JSON mapping, with ids in hex as OTLP has
// them. Every kind of request is asked for; each batch goes through the generated message classes and comes back the
// same, and the spans of each trace make one tree.
//
//   node otlp.mjs --evenkeel BIN --simulated-provider BIN
//
// Prints a request with a retry, a rescue and a hedge that won: as a tree in words, then as what was sent. Exit 1: a
// batch is none, or a shape is missing.

import assert from 'node:assert/strict';
import { existsSync } from 'node:fs';
import http from 'node:http';
import { createRequire } from 'node:module';
import { fileURLToPath } from 'node:url';

import { startProvider, startProxyWith, stopAll } from './servers.mjs';

const options = {};
for (let i = 2; i < process.argv.length; i += 2) options[process.argv[i].replace(/^--/, '')] = process.argv[i + 1];

const generated = fileURLToPath(new URL('node_modules/@opentelemetry/otlp-transformer/build/src/generated/root.js', import.meta.url));
if (!existsSync(generated)) {
  console.log('skipped: the SDKs are not installed (npm install in tests/sdk)');
  process.exit(0);
}
const { opentelemetry } = createRequire(import.meta.url)(generated);
const Batch = opentelemetry.proto.collector.trace.v1.ExportTraceServiceRequest;
const Answer = opentelemetry.proto.collector.trace.v1.ExportTraceServiceResponse;

const idLength = { traceId: 16, spanId: 8, parentSpanId: 8 };
const isId = (name) => Object.hasOwn(idLength, name);

// A copy of `value` with every id given by `turn`.
function withIds(value, turn) {
  if (Array.isArray(value)) return value.map((one) => withIds(one, turn));
  if (value === null || typeof value !== 'object' || value instanceof Uint8Array) return value;
  return Object.fromEntries(Object.entries(value).map(([name, member]) => [name, isId(name) ? turn(name, member) : withIds(member, turn)]));
}
const bytesOf = (name, hex) => {
  assert.match(hex, new RegExp(`^[0-9a-f]{${idLength[name] * 2}}$`), name);
  return Buffer.from(hex, 'hex');
};
const hexOf = (name, bytes) => Buffer.from(bytes).toString('hex');

// Whether the decoder reads all of it: what it does not know is left out on the way, what has another type comes back
// as another value.
function decoded(text) {
  const sent = JSON.parse(text);
  const given = withIds(sent, bytesOf);
  const message = Batch.fromObject(given);
  assert.equal(Batch.verify(message), null);
  const read = Batch.toObject(Batch.decode(Batch.encode(message).finish()), { longs: String });
  assert.deepEqual(withIds(read, hexOf), sent);
  return sent.resourceSpans.flatMap((resource) => resource.scopeSpans.flatMap((scope) => scope.spans));
}

const attributesOf = (one) => Object.fromEntries((one.attributes ?? []).map(({ key, value }) => [key, Object.values(value)[0]]));

async function startCollector() {
  const batches = [];
  const server = http.createServer((request, response) => {
    let text = '';
    request.setEncoding('utf8').on('data', (some) => { text += some; }).on('end', () => {
      batches.push({ text, path: request.url, type: request.headers['content-type'] });
      response.writeHead(200, { 'content-type': 'application/json' });
      response.end(JSON.stringify(Answer.toJSON?.(Answer.create({})) ?? {}));
    });
  });
  await new Promise((resolve) => server.listen(0, '127.0.0.1', resolve));
  server.unref();
  return { batches, url: `http://127.0.0.1:${server.address().port}`, spans: () => batches.flatMap(({ text }) => decoded(text)) };
}

async function until(what, seen) {
  for (const deadline = Date.now() + 30_000; ;) {
    const found = seen();
    if (found) return found;
    if (Date.now() > deadline) throw new Error(`not seen within 30 s: ${what}`);
    await new Promise((resolve) => setTimeout(resolve, 50));
  }
}

const chat = (nonce, more = {}) => JSON.stringify({ model: 'sim-1', messages: [{ role: 'user', content: `nonce:${nonce}` }], ...more });

async function ask(base, path, body, script, more = {}) {
  const headers = { 'content-type': 'application/json', ...(script ? { 'x-sim': script } : {}), ...more.headers };
  const answer = await fetch(base + path, { method: body === undefined ? 'GET' : 'POST', headers, body, signal: more.signal });
  return { status: answer.status, text: await answer.text().catch(() => '') };
}

async function leave(base, path, body, script) {
  const leaving = new AbortController();
  const asked = ask(base, path, body, script, { signal: leaving.signal }).catch(() => {});
  setTimeout(() => leaving.abort(), 300);
  await asked;
}

// The tree below `one` in words, a line for each span.
function tree(spans, one, depth = 0) {
  const told = attributesOf(one);
  const kind = { 1: 'INTERNAL', 2: 'SERVER', 3: 'CLIENT' }[one.kind];
  const words = ['evenkeel.outcome', 'evenkeel.attempt.kind', 'evenkeel.attempt.why', 'evenkeel.attempt.result', 'http.response.status_code', 'error.type']
    .filter((name) => told[name] !== undefined)
    .map((name) => `${name.replace(/^.*[.]/, '')}=${told[name]}`);
  const lines = [`${'  '.repeat(depth)}${kind} ${one.name}  ${words.join(' ')}${one.links ? `  (${one.links.length} linked)` : ''}`];
  for (const event of one.events ?? []) lines.push(`${'  '.repeat(depth + 1)}. ${event.name}`);
  for (const below of spans.filter((other) => other.parentSpanId === one.spanId)) lines.push(...tree(spans, below, depth + 1));
  return lines;
}

// One trace: its ids differ, one span has no parent here, every other one's parent is here and began no later.
function checkTree(spans) {
  const byId = new Map(spans.map((one) => [one.spanId, one]));
  assert.equal(byId.size, spans.length, 'ids differ');
  const roots = spans.filter((one) => !byId.has(one.parentSpanId));
  assert.equal(roots.length, 1, `one root, not ${roots.length}`);
  for (const one of spans) {
    assert(BigInt(one.startTimeUnixNano) <= BigInt(one.endTimeUnixNano), 'time runs forward');
    const above = byId.get(one.parentSpanId);
    if (above) assert(BigInt(above.startTimeUnixNano) <= BigInt(one.startTimeUnixNano), `${one.name} begins before ${above.name}`);
    for (const link of one.links ?? []) assert.notEqual(link.spanId, one.spanId);
  }
  return roots[0];
}

async function main() {
  const collector = await startCollector();
  const provider = await startProvider(options['simulated-provider']);
  const base = await startProxyWith(options.evenkeel, [
    `tracing: {otlp_endpoint: "${collector.url}", sample: 1, semconv: both, resource: {zone: "a b"}}`,
    'defaults: {retry: {backoff: {initial: 5ms, max: 20ms}, budget: {burst: 1000}}, circuit_breaker: off, cooldown: off, overload: off}',
    'upstreams:',
    `  a: {url: "${provider}", prices: {"*": {input: 1, output: 2}}}`,
    `  b: {url: "${provider}/b", caller_credentials: drop}`,
    `  c: {url: "${provider}/c", caller_credentials: drop}`,
    `  d: {url: "${provider}/d", caller_credentials: drop}`,
    '  nobody: {url: "http://127.0.0.1:9", caller_credentials: drop}',
    'routes:',
    '  - {name: four, match: {path_prefix: /four}, rewrite: {path_prefix: /}, upstreams: [a, b, c, d], timeout: {rescue: 300ms}, hedge: {delay: 450ms, max_hedges: 2}}',
    '  - {name: shared, match: {path_prefix: /shared}, rewrite: {path_prefix: /}, upstreams: [a], coalesce: always}',
    '  - {name: open, match: {path_prefix: /open}, rewrite: {path_prefix: /}, upstreams: [nobody], retry: off, circuit_breaker: {failure_ratio: 0, recovery_timeout: 10m, max_recovery_timeout: 10m, when_open: reject}}',
    '  - {name: ladder, match: {path_prefix: /ladder}, rewrite: {path_prefix: /}, upstreams: [nobody], retry: off, fallback: [{respond: {status: 200, body: "{}"}}]}',
    '  - {name: all, match: {path_prefix: /v1}, upstreams: [a]}',
    '  - {name: gemini, match: {path_prefix: /v1beta}, upstreams: [a]}',
    '  - {name: first, match: {path: /parts/first}, rewrite: {path: /v1/chat/completions}, upstreams: [a]}',
    '  - {name: second, match: {path: /parts/second}, rewrite: {path: /v1/chat/completions}, upstreams: [nobody], retry: off}',
    '  - {name: complete, match: {path: /complete}, fan_out: {parts: [first, second]}}',
  ]);
  const script = (rules) => fetch(`${provider}/__sim/script`, { method: 'POST', body: JSON.stringify(rules) }).then((answer) => assert.equal(answer.status, 200));

  // The one that is shown: the first fails, its retry and a rescue are silent, the hedge wins.
  await script([{ script: 'status=500', times: 1 }, { script: 'stall_after=request', times: 2 }]);
  const shown = await ask(base, '/four/v1/chat/completions', chat('shown'));
  assert.equal(shown.status, 200, shown.text);

  const messages = JSON.stringify({ model: 'sim-1', max_tokens: 100, stream: true, messages: [{ role: 'user', content: 'nonce:m' }] });
  const contents = JSON.stringify({ contents: [{ role: 'user', parts: [{ text: 'nonce:g' }] }] });
  await ask(base, '/v1/chat/completions', chat('plain'));
  await ask(base, '/v1/chat/completions', chat('stream', { stream: true, stream_options: { include_usage: true } }));
  await ask(base, '/v1/chat/completions?key=canary', chat('sparse'), undefined, { headers: { authorization: 'Bearer canary' } });
  await ask(base, '/v1/embeddings', JSON.stringify({ model: 'sim-1', input: 'nonce:e' }));
  await ask(base, '/v1/messages', messages);
  await ask(base, '/v1beta/models/sim-1:generateContent', contents);
  await ask(base, '/v1/models');
  await ask(base, '/v1/chat/completions', chat('invalid'), 'error=invalid');
  await ask(base, '/v1/chat/completions', chat('limited'), 'status=429; retry_after=1; fail_times=1');
  await ask(base, '/v1/chat/completions', chat('cut', { stream: true }), 'events=10; gap=20ms; reset_after=5').catch(() => {});
  await ask(base, '/v1/chat/completions', chat('failed', { stream: true }), 'events=10; gap=20ms; error_after=5');
  await leave(base, '/v1/chat/completions', chat('left'), 'first=5s');
  await Promise.all([1, 2, 3].map(() => ask(base, '/shared/v1/chat/completions', chat('shared'), 'delay=300ms')));
  for (let i = 0; i < 12; i += 1) await ask(base, '/open/v1/chat/completions', chat(`open${i}`));
  await ask(base, '/ladder/v1/chat/completions', chat('ladder'));
  await ask(base, '/complete', chat('parts'));
  await ask(base, '/nowhere', '{}');

  const own = (spans, of) => spans.filter((one) => Object.entries(of).every(([name, value]) => String(attributesOf(one)[name]) === value));
  const shapes = {
    'a request that was served': { 'evenkeel.outcome': 'ok' },
    'one that a hedge answered': { 'evenkeel.outcome': 'hedged' },
    'one that was retried': { 'evenkeel.outcome': 'retried' },
    'one whose client left': { 'evenkeel.outcome': 'client_cancelled' },
    'one that a provider refused': { 'evenkeel.outcome': 'upstream_error' },
    'one that was cut': { 'evenkeel.outcome': 'truncated' },
    'one that was refused': { 'evenkeel.outcome': 'proxy_error' },
    'one that fell back': { 'evenkeel.outcome': 'degraded' },
    'one without a route': { 'http.response.status_code': '404' },
    'a follower': { 'evenkeel.coalesced': 'follower' },
    'a part': { 'evenkeel.part_of': 'complete' },
    'chat': { 'gen_ai.operation.name': 'chat' },
    'embeddings': { 'gen_ai.operation.name': 'embeddings' },
    'generate_content': { 'gen_ai.operation.name': 'generate_content' },
    'Anthropic': { 'gen_ai.provider.name': 'anthropic' },
    'a first attempt': { 'evenkeel.attempt.kind': 'first' },
    'a retry': { 'evenkeel.attempt.kind': 'retry' },
    'a rescue': { 'evenkeel.attempt.kind': 'rescue' },
    'a hedge that won': { 'evenkeel.attempt.kind': 'hedge', 'evenkeel.attempt.result': 'success' },
    'an attempt that was needless': { 'evenkeel.attempt.result': 'cancelled' },
    'one that was limited': { 'evenkeel.attempt.result': 'rate_limited' },
    'one that was not connected': { 'evenkeel.attempt.result': 'connect_failure' },
    'what it cost': { 'evenkeel.usage.outcome': 'served' },
  };
  const missing = () => Object.keys(shapes).filter((name) => own(collector.spans(), shapes[name]).length === 0);
  await until('every shape', () => missing().length === 0).catch((error) => {
    const outcomes = collector.spans().map((one) => attributesOf(one)).map((told) => told['evenkeel.outcome'] ?? told['evenkeel.attempt.result']);
    throw new Error(`${error.message}: ${missing().join(', ')}; there are ${JSON.stringify(outcomes)}`);
  });

  assert(collector.batches.every(({ path, type }) => path === '/v1/traces' && type === 'application/json'));
  assert(!collector.batches.some(({ text }) => text.includes('canary')));
  const spans = collector.spans();
  const traces = Map.groupBy ? Map.groupBy(spans, (one) => one.traceId) : new Map();
  if (!Map.groupBy) for (const one of spans) traces.set(one.traceId, [...(traces.get(one.traceId) ?? []), one]);
  for (const one of traces.values()) checkTree(one);

  const four = traces.get(own(spans, { 'evenkeel.outcome': 'hedged' })[0].traceId);
  console.log(tree(four, checkTree(four)).join('\n'));
  console.log(JSON.stringify(four, null, 1));
  assert.deepEqual(four.map((one) => attributesOf(one)['evenkeel.attempt.kind']).filter(Boolean), ['first', 'retry', 'rescue', 'hedge']);
  console.log(`${Object.keys(shapes).length} shapes, ${traces.size} traces, ${spans.length} spans in ${collector.batches.length} batches: read by OpenTelemetry's decoder and the same again`);
  return 0;
}

let code = 1;
try {
  code = await main();
} catch (error) {
  console.error(error.stack);
} finally {
  await stopAll();
}
process.exit(code);
