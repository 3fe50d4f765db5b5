// What the SDKs get for buffered calls that go upstream as streams: the same object as from the provider itself. With the
// `defaults` of CMakeLists.txt: `stream.upcast: on`.

import assert from 'node:assert/strict';

// Of two calls the ids differ, and the provider counts the members that the proxy adds as input.
const comparable = (answer) => {
  const { id, _request_id, usage, ...rest } = structuredClone({ ...answer });
  assert.ok(id && usage);
  for (const choice of rest.choices ?? []) if (choice.message.annotations?.length === 0) delete choice.message.annotations; // streams never name it
  return { ...rest, output: usage.completion_tokens ?? usage.output_tokens, counted: Object.keys(usage).sort() };
};
const withoutIds = (answer) => JSON.parse(JSON.stringify(answer, (name, value) => (name === 'id' ? 'id' : value)));
const parameters = { type: 'object', properties: { place: { type: 'string' } } };
const user = (text) => [{ role: 'user', content: text }];
const chat = (env, more) => env.openai().chat.completions.create({ model: 'sim-1', messages: user('hi'), ...more });
const message = (env, more) => env.anthropic().messages.create({ model: 'sim-1', max_tokens: 50, messages: user('hi'), ...more });

export const cases = [
  { name: 'openai chat', run: async (env) => comparable(await chat(env)) },
  { name: 'anthropic messages', run: async (env) => comparable(await message(env)) },
  { name: 'openai tools', run: async (env) => withoutIds(comparable(await chat(env, { messages: user('nonce:u1'), tools: [{ type: 'function', function: { name: 'weather', parameters } }] }))) },
  { name: 'anthropic tools', run: async (env) => withoutIds(comparable(await message(env, { messages: user('nonce:u2'), tools: [{ name: 'weather', input_schema: parameters }] }))) },
  { name: 'openai chat of several answers goes as it is', run: async (env) => (await chat(env, { n: 2 })).choices.length },
  {
    name: 'it did go as a stream',
    proxiedOnly: true,
    run: async (env) => {
      const answer = await chat(env).asResponse();
      assert.equal(answer.headers.get('content-type'), 'application/json');
      assert.equal(answer.headers.get('cache-control'), null);
      assert.ok(!(await answer.text()).includes('annotations')); // which the provider's own JSON has
    },
  },
];
