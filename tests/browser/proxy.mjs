// What the page is about: a proxy in front of providers whose manners a case can change. Everything listens on loopback
// and is ended by its own process id.

import { spawn } from 'node:child_process';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import http from 'node:http';
import { tmpdir } from 'node:os';
import { join } from 'node:path';

import { freePort } from '../sdk/servers.mjs';

const running = [];

export async function until(what, condition, within = 20_000) {
  const deadline = Date.now() + within;
  for (let last; ;) {
    try {
      const found = await condition();
      if (found) return found;
      last = found;
    } catch (error) {
      last = error.message;
    }
    if (Date.now() > deadline) throw new Error(`not within ${within / 1000} s: ${what} (last: ${JSON.stringify(last)})`);
    await new Promise((resolve) => setTimeout(resolve, 40));
  }
}

const usage = { prompt_tokens: 120, completion_tokens: 40, total_tokens: 160 };

// `manner`: ok, or a status, or stall; `retryAfter` in seconds; `delay` of an answer's first byte, in ms.
export function startProvider() {
  const provider = { manner: 'ok', retryAfter: 0, delay: 5, asked: 0 };
  const server = http.createServer(async (request, response) => {
    let body = '';
    for await (const chunk of request) body += chunk;
    provider.asked++;
    if (provider.manner === 'stall') return;
    if (provider.manner !== 'ok') {
      const headers = { 'content-type': 'application/json' };
      if (provider.retryAfter) headers['retry-after'] = String(provider.retryAfter);
      response.writeHead(provider.manner, headers);
      response.end(JSON.stringify({ error: { message: 'as the case wants it', type: 'test', code: null } }));
      return;
    }
    await new Promise((resolve) => setTimeout(resolve, provider.delay));
    const { stream, model } = JSON.parse(body || '{}');
    if (!stream) {
      response.writeHead(200, { 'content-type': 'application/json' });
      response.end(JSON.stringify({ id: 'c', object: 'chat.completion', model, choices: [{ index: 0, finish_reason: 'stop', message: { role: 'assistant', content: 'hello' } }], usage }));
      return;
    }
    response.writeHead(200, { 'content-type': 'text/event-stream' });
    const event = (choices, more = {}) => response.write(`data: ${JSON.stringify({ id: 'c', object: 'chat.completion.chunk', model, choices, ...more })}\n\n`);
    event([{ index: 0, delta: { role: 'assistant', content: 'hel' } }]);
    event([{ index: 0, delta: { content: 'lo' } }]);
    event([{ index: 0, delta: {}, finish_reason: 'stop' }]);
    event([], { usage });
    response.end('data: [DONE]\n\n');
  });
  running.push({ server });
  return new Promise((resolve) => server.listen(0, '127.0.0.1', () => {
    provider.url = `http://127.0.0.1:${server.address().port}`;
    resolve(provider);
  }));
}

// `lines`: the file without version, listen, admin and logs.
export async function startProxy(binary, lines, { token } = {}) {
  const port = await freePort(), admin = await freePort();
  const directory = mkdtempSync(join(tmpdir(), 'evenkeel-browser-'));
  running.push({ directory });
  const file = join(directory, 'evenkeel.yaml');
  const proxy = { url: `http://127.0.0.1:${port}`, admin: `http://127.0.0.1:${admin}`, output: '' };
  proxy.write = (more) => writeFileSync(file, [
    'version: 1',
    `listen: 127.0.0.1:${port}`,
    `admin: {listen: 127.0.0.1:${admin}${token ? `, token: "${token}"` : ''}}`,
    'access_log: {path: off}',
    ...more, ''].join('\n'));
  proxy.start = async () => {
    const child = spawn(binary, ['run', '-c', 'evenkeel.yaml'], { cwd: directory, stdio: ['ignore', 'pipe', 'pipe'] });
    proxy.child = child;
    proxy.ended = new Promise((resolve) => child.on('exit', resolve));
    running.push({ child, ended: proxy.ended });
    for (const from of [child.stdout, child.stderr]) from.on('data', (chunk) => { proxy.output = (proxy.output + chunk).slice(-20_000); });
    let gone = false;
    proxy.ended.then(() => { gone = true; });
    await until('the proxy listens', async () => {
      if (gone) throw new Error(`the proxy ended: ${proxy.output}`);
      return (await fetch(`${proxy.admin}/readyz`)).ok;
    });
  };
  proxy.stop = async () => { proxy.child.kill('SIGKILL'); await proxy.ended; };
  proxy.ask = (path, { stream = false, model = 'gpt-test', id } = {}) => fetch(proxy.url + path, {
    method: 'POST',
    headers: { 'content-type': 'application/json', ...(id ? { 'x-request-id': id } : {}) },
    body: JSON.stringify({ model, stream, messages: [{ role: 'user', content: 'sk-CANARY-body' }] }),
  }).then((answer) => answer.text().then((text) => ({ status: answer.status, text })));
  proxy.write(lines);
  await proxy.start();
  return proxy;
}

export async function stopAll() {
  for (const { child, ended, directory, server } of running.splice(0).reverse()) {
    if (server) { server.closeAllConnections(); server.close(); }
    if (directory) rmSync(directory, { recursive: true, force: true });
    if (!child || child.exitCode !== null || child.signalCode !== null) continue;
    child.kill('SIGTERM');
    const hard = setTimeout(() => child.kill('SIGKILL'), 5_000);
    await ended;
    clearTimeout(hard);
  }
}
