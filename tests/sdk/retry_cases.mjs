// What the SDKs see of the proxy's retries. Their own are off unless a case says otherwise; every case runs through the
// proxy only, against one upstream, with the `defaults` of CMakeLists.txt (6 attempts, short pauses, nothing that remembers
// one case in the next: circuits, cooldown and overload control are off; heads given ahead
// after 150 ms).

import assert from 'node:assert/strict';

const user = (text) => [{ role: 'user', content: text }];
const sim = (script, more = {}) => ({ headers: { 'x-sim': script }, ...more });
const sleep = (ms) => new Promise((resolve) => setTimeout(resolve, ms));
const attemptsOf = async (env) => (await env.records()).length;
const MAX_ATTEMPTS = 6;

// The four kinds of call, alike: text(nonce, options) resolves with the whole text, or throws as the SDK does.
const calls = {
  'openai': {
    text: async (env, nonce, options, client = {}) =>
      (await env.openai(client).chat.completions.create({ model: 'sim-1', messages: user(`nonce:${nonce}`) }, options)).choices[0].message.content,
  },
  'openai stream': {
    stream: true,
    text: async (env, nonce, options, client = {}) => {
      let text = '';
      const stream = await env.openai(client).chat.completions.create({ model: 'sim-1', stream: true, messages: user(`nonce:${nonce}`) }, options);
      for await (const event of stream) text += event.choices[0]?.delta?.content ?? '';
      return text;
    },
  },
  'anthropic': {
    text: async (env, nonce, options, client = {}) =>
      (await env.anthropic(client).messages.create({ model: 'sim-1', max_tokens: 1000, messages: user(`nonce:${nonce}`) }, options)).content[0].text,
  },
  'anthropic stream': {
    stream: true,
    text: async (env, nonce, options, client = {}) => {
      let text = '';
      const stream = await env.anthropic(client).messages.create({ model: 'sim-1', max_tokens: 1000, stream: true, messages: user(`nonce:${nonce}`) }, options);
      for await (const event of stream) text += event.type === 'content_block_delta' ? event.delta.text ?? '' : '';
      return text;
    },
  },
};
const whole = (nonce, count = 12) => Array.from({ length: count }, (_, i) => `[${nonce}:${i}]`);

async function thrown(promise) {
  try {
    const text = await promise;
    throw Object.assign(new Error(`the call succeeded with ${JSON.stringify(text)}`), { succeeded: true });
  } catch (error) {
    if (error.succeeded) throw error;
    return error;
  }
}

export const cases = [];
const add = (name, run) => cases.push({ name, run, proxiedOnly: true });
let number = 0;
const fresh = () => `r${(number += 1)}`;

// --- every fault that happens once is healed ---

const once = [
  'status=500', 'status=502; body=html', 'status=503', 'status=504', 'status=408', 'error=overload', 'error=rate; retry_after_ms=20', 'error=rate; retry_after=0',
  'error=rate', 'reset_after=request', 'close_after=request', 'reset_after=status_line', 'reset_after=head', 'status=200; body=empty', 'status=200; body=html', 'conflict',
];
const onceInStreams = ['stall_after=request', 'stall_after=head', 'end_after=head', 'error_after=0', 'malformed_after=0', 'keepalive=2@10ms; reset_after=head'];
const onceInAnswers = ['reset_after=5', 'close_after=5', 'end_after=5', 'content_length=+9'];
for (const [kind, call] of Object.entries(calls)) {
  for (const fault of [...once, ...(call.stream ? onceInStreams : onceInAnswers)]) {
    add(`${kind} heals once: ${fault}`, async (env) => {
      const nonce = fresh();
      const text = await call.text(env, nonce, sim(`${fault}; fail_times=1`));
      assert.deepEqual(text.match(/\[[^\]]*\]/g), whole(nonce));
      assert.equal(await attemptsOf(env), 2);
    });
  }
}

// --- what cannot succeed costs one attempt, and arrives as it was said ---

for (const [kind, call] of Object.entries(calls)) {
  for (const fault of ['error=quota', 'error=billing', 'error=invalid', 'error=auth', 'error=not_found', 'error=too_large', 'error=context_length', 'error=content_filter']) {
    add(`${kind} asks once: ${fault}`, async (env) => {
      const error = await thrown(call.text(env, fresh(), sim(fault)));
      const [record, ...more] = await env.records();
      assert.equal(error.status, record.status);
      assert.equal(more.length, 0);
      assert.equal(error.headers.get('x-evenkeel-attempts'), '1');
      assert.equal(error.headers.get('x-should-retry'), 'false');
    });
  }
  add(`${kind} gets the last error verbatim`, async (env) => {
    const error = await thrown(call.text(env, fresh(), sim('status=502; header=x-odd:a,  b "c"')));
    assert.equal(error.status, 502);
    assert.equal(error.headers.get('x-odd'), 'a,  b "c"');
    assert.equal(error.headers.get('x-evenkeel-attempts'), String(MAX_ATTEMPTS));
    assert.equal(error.headers.get('x-evenkeel-outcome'), 'upstream_error');
    assert.equal(error.headers.get('x-should-retry'), 'false');
    assert.ok(error.error, 'the body of the provider');
    assert.equal(await attemptsOf(env), MAX_ATTEMPTS);
  });
  add(`${kind} with its own retries: a persistent 500 costs no more than our limit`, async (env) => {
    const error = await thrown(call.text(env, fresh(), sim('status=500'), { maxRetries: 2 }));
    assert.equal(error.status, 500);
    assert.equal(await attemptsOf(env), MAX_ATTEMPTS);
  });
  add(`${kind} aborted during a pause ends all work`, async (env) => {
    const abort = new AbortController();
    const error = thrown(call.text(env, fresh(), sim('error=rate; retry_after_ms=600', { signal: abort.signal })));
    await sleep(100);
    abort.abort();
    await error;
    await sleep(1_000);
    assert.equal(await attemptsOf(env), 1);
  });
}

// --- a stream that breaks after content is an exception, never a success ---

for (const [kind, call] of Object.entries(calls)) {
  if (!call.stream) continue;
  for (const fault of ['reset_after=5', 'close_after=5', 'end_after=5', 'stall_after=5', 'error_after=5', 'bad_chunk_after=5', 'terminal=none', 'error_after=5; error_then=close']) {
    add(`${kind} throws when it breaks: ${fault}`, async (env) => {
      const error = await thrown(call.text(env, fresh(), sim(fault)));
      assert.ok(error.message);
      assert.equal(await attemptsOf(env), 1);
    });
  }
  // A head given ahead and comments while the provider is silent change nothing of what arrives.
  add(`${kind} does not see heartbeats`, async (env) => {
    const nonce = fresh();
    const text = await call.text(env, nonce, sim('delay=700ms'));
    assert.deepEqual(text.match(/\[[^\]]*\]/g), whole(nonce));
  });
  add(`${kind} does not see retries behind heartbeats`, async (env) => {
    const nonce = fresh();
    const text = await call.text(env, nonce, sim('delay=400ms; status=500; fail_times=1'));
    assert.deepEqual(text.match(/\[[^\]]*\]/g), whole(nonce));
    assert.equal(await attemptsOf(env), 2);
  });
  add(`${kind} throws what the provider said, when its head had gone ahead`, async (env) => {
    const error = await thrown(call.text(env, fresh(), sim('delay=400ms; error=context_length')));
    assert.match(error.message, /context|long|token/i);
    assert.equal(await attemptsOf(env), 1);
  });
  add(`${kind} keeps its own timeout, heartbeats or not`, async (env) => {
    const began = Date.now();
    await thrown(call.text(env, fresh(), sim('stall_after=request', { timeout: 120 })));
    assert.ok(Date.now() - began < 700, `${Date.now() - began} ms`);
  });
}
