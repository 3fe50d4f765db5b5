// Starts and ends what the tests talk to. Everything listens on loopback and is ended by its own process id.

import { spawn } from 'node:child_process';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import net from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';

const running = [];

// Runs `command` until stopAll(); resolves with its first line that matches `ready`, or rejects with what it said.
function launch(command, args, ready) {
  const child = spawn(command, args, { stdio: ['ignore', 'pipe', 'pipe'] });
  const server = { child, output: '', ended: false };
  running.push(server);
  return new Promise((resolve, reject) => {
    const fail = (why) => reject(new Error(`${command}: ${why}\n${server.output}`));
    const deadline = setTimeout(() => fail('not ready after 20 s'), 20_000);
    const listen = (chunk) => {
      server.output = (server.output + chunk).slice(-20_000);
      const match = ready?.exec(server.output);
      if (match) done(match);
    };
    const done = (match) => { clearTimeout(deadline); resolve({ server, match }); };
    child.stdout.on('data', listen);
    child.stderr.on('data', listen);
    child.on('error', (error) => { clearTimeout(deadline); fail(error.message); });
    child.on('exit', (code, signal) => {
      server.ended = true;
      clearTimeout(deadline);
      fail(`ended with ${code ?? signal}`);
    });
    if (!ready) done(null);
  });
}

export async function startProvider(binary) {
  const { match } = await launch(binary, ['--listen', '127.0.0.1:0'], /listening on (\S+)/);
  return `http://${match[1]}`;
}

export function freePort() {
  return new Promise((resolve, reject) => {
    const probe = net.createServer();
    probe.on('error', reject);
    probe.listen(0, '127.0.0.1', () => {
      const { port } = probe.address();
      probe.close(() => resolve(port));
    });
  });
}

async function waitForPort(port, server) {
  const deadline = Date.now() + 20_000;
  for (;;) {
    if (server.ended) throw new Error(`the proxy ended:\n${server.output}`);
    const connected = await new Promise((resolve) => {
      const socket = net.connect(port, '127.0.0.1');
      socket.on('connect', () => { socket.destroy(); resolve(true); });
      socket.on('error', () => resolve(false));
    });
    if (connected) return;
    if (Date.now() > deadline) throw new Error(`the proxy does not listen on ${port}:\n${server.output}`);
    await new Promise((resolve) => setTimeout(resolve, 20));
  }
}

// The tests compare what the provider says with what arrives, so nothing in between may repeat or replace it.
// `defaults` is YAML in flow style for the file's `defaults` key, e.g. "{retry: off}".
export function startProxy(binary, providerUrl, defaults) {
  return startProxyWith(binary, [
    'upstreams:',
    `  sim: {url: "${providerUrl}"}`,
    ...(defaults ? [`defaults: ${defaults}`] : []),
    'routes:',
    '  - name: all',
    '    match: {path_prefix: /}',
    '    upstreams: [sim]',
  ]);
}

// `lines`: the file without version, listen, admin and logs.
export async function startProxyWith(binary, lines) {
  const port = await freePort();
  const directory = mkdtempSync(join(tmpdir(), 'evenkeel-sdk-'));
  running.push({ directory });
  const file = join(directory, 'evenkeel.yaml');
  writeFileSync(file, [
    'version: 1',
    `listen: 127.0.0.1:${port}`,
    'admin:',
    '  listen: 127.0.0.1:0',
    'access_log: {path: off}',
    ...lines,
    '',
  ].join('\n'));
  const { server } = await launch(binary, ['run', '-c', file], null);
  await waitForPort(port, server);
  return `http://127.0.0.1:${port}`;
}

// Copies bytes both ways: stands in for the proxy when these tests themselves are tested.
export async function startForwarder(providerUrl) {
  const to = new URL(providerUrl);
  const forwarder = net.createServer((client) => {
    const upstream = net.connect(Number(to.port), to.hostname);
    client.setNoDelay(true);
    upstream.setNoDelay(true);
    const end = () => { client.destroy(); upstream.destroy(); };
    client.on('error', end).on('close', end);
    upstream.on('error', end).on('close', end);
    client.pipe(upstream);
    upstream.pipe(client);
  });
  await new Promise((resolve) => forwarder.listen(0, '127.0.0.1', resolve));
  forwarder.unref();
  running.push({ forwarder });
  return `http://127.0.0.1:${forwarder.address().port}`;
}

export async function stopAll() {
  for (const { child, ended, directory, forwarder } of running.splice(0).reverse()) {
    forwarder?.close();
    if (directory) rmSync(directory, { recursive: true, force: true });
    if (!child || ended) continue;
    const exited = new Promise((resolve) => child.on('exit', resolve));
    child.kill('SIGTERM');
    const hard = setTimeout(() => child.kill('SIGKILL'), 5_000);
    await exited;
    clearTimeout(hard);
  }
}
