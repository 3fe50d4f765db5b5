// A refusal of a large upload has to reach a client that is still sending: Node's own fetch, as an application uses it.
//
//   node refused_uploads.mjs --evenkeel BIN --simulated-provider BIN [--rounds 20]
//
// One line per refusal and size: how often its status arrived. Exit 1 if it once did not.

import net from 'node:net';

import { startProvider, startProxyWith, stopAll } from './servers.mjs';

const options = {};
for (let i = 2; i < process.argv.length; i += 2) options[process.argv[i].replace(/^--/, '')] = process.argv[i + 1];
const rounds = Number(options.rounds ?? 20);
const mebibyte = 1024 * 1024;

const refusals = [
  { name: 'larger than limits.max_body', path: '/v1/chat/completions', status: 413, proxy: 'small' },
  { name: 'no route', path: '/nowhere', status: 404, proxy: 'usual' },
  { name: 'larger than retry.replay_buffer where the body must be seen', path: '/seen', status: 413, proxy: 'usual' },
  { name: 'limits.memory used up where the body must be seen', path: '/seen', status: 503, proxy: 'full' },
  { name: 'every circuit open', path: '/open', status: 503, proxy: 'usual' },
  { name: 'the upstream refuses before it has read', path: '/v1/chat/completions', status: 429, proxy: 'usual', script: 'early=drain; status=429' },
];

// The first bytes of a body that never ends, held by the proxy: what they take of limits.memory is gone.
function occupy(base, path, bytes) {
  const { hostname, port } = new URL(base);
  return new Promise((resolve, reject) => {
    const socket = net.connect(Number(port), hostname, () => {
      socket.write(`POST ${path} HTTP/1.1\r\nHost: h\r\nContent-Length: ${bytes + 1}\r\n\r\n`);
      socket.write(Buffer.alloc(bytes, 'x'), () => setTimeout(() => resolve(socket), 500));
    });
    socket.on('error', reject);
  });
}

async function start(provider, more, replayBuffer = '1MiB') {
  return startProxyWith(options.evenkeel, [
    ...more,
    'upstreams:',
    `  sim: {url: "${provider}"}`,
    '  broken: {url: "http://127.0.0.1:9"}',
    '  renaming: {url: "' + provider + '", models: {a: b}}',
    'routes:',
    '  - {name: seen, match: {path: /seen}, upstreams: [renaming], retry: {replay_buffer: ' + replayBuffer + '}}',
    '  - {name: open, match: {path: /open}, upstreams: [broken], retry: off, circuit_breaker: {failure_ratio: 0, recovery_timeout: 10m, max_recovery_timeout: 10m, when_open: reject}}',
    '  - {name: all, match: {path_prefix: /v1}, upstreams: [sim], retry: off, overload: off, cooldown: off}',
  ]);
}

async function ask(base, refusal, body) {
  try {
    const headers = { 'content-type': 'application/json', ...(refusal.script ? { 'x-sim': refusal.script } : {}) };
    const answer = await fetch(base + refusal.path, { method: 'POST', headers, body });
    await answer.text();
    return String(answer.status);
  } catch (error) {
    return error.cause?.code ?? error.cause?.message ?? error.message;
  }
}

async function main() {
  const provider = await startProvider(options['simulated-provider']);
  const proxies = {
    small: await start(provider, ['limits: {max_body: 1MiB}']),
    usual: await start(provider, []),
    full: await start(provider, ['limits: {memory: 24MiB, body_timeout: 10m, body_min_rate: off}', 'defaults: {timeout: {total: 10m}}'], '24MiB'),
  };
  const occupied = await occupy(proxies.full, '/seen', 23 * mebibyte);
  for (let i = 0; i < 30; i += 1) await ask(proxies.usual, { path: '/open' }, '{}'); // until it opens
  let failed = 0;
  for (const refusal of refusals) {
    for (const size of [4, 20]) {
      const body = Buffer.alloc(size * mebibyte, 'x');
      const seen = {};
      for (let i = 0; i < rounds; i += 1) {
        const what = await ask(proxies[refusal.proxy], refusal, body);
        seen[what] = (seen[what] ?? 0) + 1;
      }
      const good = seen[refusal.status] ?? 0;
      if (good !== rounds) failed += 1;
      console.log(`${good === rounds ? 'ok    ' : 'FAILED'}  ${size} MiB, ${refusal.name}: ${refusal.status} in ${good} of ${rounds}`
        + (good === rounds ? '' : `; seen: ${JSON.stringify(seen)}`));
    }
  }
  occupied.destroy();
  return failed === 0 ? 0 : 1;
}

let code = 1;
try {
  code = await main();
} catch (error) {
  console.error(error.message);
} finally {
  await stopAll();
}
process.exit(code);
