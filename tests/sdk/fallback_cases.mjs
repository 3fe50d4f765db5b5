// What the SDKs make of degraded answers: last good ones given again, canned ones in the form they asked for. Through the
// proxy only, with the `defaults` of CMakeLists.txt: one attempt, a ladder of `last_good` and a canned chat completion.

import assert from 'node:assert/strict';

const user = (text) => [{ role: 'user', content: text }];
const failing = { headers: { 'x-sim': 'status=500' } };

// Each resolves with what the application gets to see.
const calls = {
  'openai chat': async (env, nonce, options) => (await env.openai().chat.completions.create({ model: 'sim-1', messages: user(`nonce:${nonce}`) }, options)).choices,
  'openai chat stream': async (env, nonce, options) => {
    const seen = [];
    const stream = await env.openai().chat.completions.create({ model: 'sim-1', stream: true, messages: user(`nonce:${nonce}`) }, options);
    for await (const event of stream) seen.push(event.choices);
    return seen;
  },
  'openai chat helper': async (env, nonce, options) =>
    (await env.openai().chat.completions.stream({ model: 'sim-1', messages: user(`nonce:${nonce}`) }, options).finalChatCompletion()).choices[0].message.content,
  'openai responses': async (env, nonce, options) => (await env.openai().responses.create({ model: 'sim-1', input: `nonce:${nonce}` }, options)).output_text,
  'openai responses helper': async (env, nonce, options) =>
    (await env.openai().responses.stream({ model: 'sim-1', input: `nonce:${nonce}` }, options).finalResponse()).output_text,
  'anthropic messages': async (env, nonce, options) =>
    (await env.anthropic().messages.create({ model: 'sim-1', max_tokens: 1000, messages: user(`nonce:${nonce}`) }, options)).content,
  'anthropic messages helper': async (env, nonce, options) =>
    (await env.anthropic().messages.stream({ model: 'sim-1', max_tokens: 1000, messages: user(`nonce:${nonce}`) }, options).finalMessage()).content,
};

export const cases = [];
const add = (name, run) => cases.push({ name, run, proxiedOnly: true });
let number = 0;
const fresh = () => `f${(number += 1)}`;

for (const [name, call] of Object.entries(calls)) {
  add(`${name}: the last good answer is the same to the application`, async (env) => {
    const nonce = fresh();
    const first = await call(env, nonce, {});
    assert.ok(JSON.stringify(first).includes(`[${nonce}:0]`));
    // The very same request: a field more would make it another one.
    await env.play('status=500');
    assert.deepEqual(await call(env, nonce, {}), first);
    if (!name.includes('stream') && !name.includes('helper')) return;
    await env.play('error_after=0; error=overload'); // an error inside a 200, before anything meaningful
    assert.deepEqual(await call(env, nonce, {}), first);
  });
}

for (const name of ['openai chat', 'openai chat stream', 'openai chat helper']) {
  add(`${name}: a canned answer is one`, async (env) => {
    const seen = await calls[name](env, fresh(), failing);
    assert.ok(JSON.stringify(seen).includes('come back later'));
  });
}

add('the label is there for applications that look', async (env) => {
  const answer = await env.openai().chat.completions.create({ model: 'sim-1', messages: user(`nonce:${fresh()}`) }, failing).asResponse();
  assert.equal(answer.status, 200);
  assert.equal(answer.headers.get('x-evenkeel-degraded'), 'respond');
  assert.equal(answer.headers.get('x-evenkeel-outcome'), 'degraded');
});

add("the caller's own mistake stays an error", async (env) => {
  await assert.rejects(env.openai().chat.completions.create({ model: 'sim-1', messages: user('x') }, { headers: { 'x-sim': 'error=invalid' } }), env.OpenAI.BadRequestError);
});
