// Runs every case of cases.mjs twice, straight to the simulated provider and through the proxy, and compares.
//
//   node run.mjs --evenkeel BIN --simulated-provider BIN        starts both
//   node run.mjs --proxy URL --provider URL                     uses what runs already
//   node run.mjs --simulated-provider BIN --forwarder           a plain TCP forwarder instead of the proxy
//   options: --suite retry | fallback | upcast (NAME_cases.mjs, the first two through the proxy only), --only TEXT (cases whose name contains it),
//            --defaults YAML (the proxy's `defaults`, flow style), --verbose
//
// One line per case, then `N passed, N failed, N skipped`; exit 1 if any failed.

import assert from 'node:assert/strict';

import { startForwarder, startProvider, startProxy, stopAll } from './servers.mjs';

function parseArguments(args) {
  const flags = new Set(['forwarder', 'verbose', 'help']);
  const out = {};
  for (let i = 0; i < args.length; i += 1) {
    const name = args[i].replace(/^--/, '');
    const known = flags.has(name) || ['proxy', 'provider', 'evenkeel', 'simulated-provider', 'only', 'defaults', 'suite'].includes(name);
    if (!args[i].startsWith('--') || !known) throw new Error(`unknown argument ${args[i]}`);
    out[name] = flags.has(name) ? true : args[(i += 1)];
  }
  return out;
}

// What a case gets: clients for one base URL, and the provider's own view.
function environment(sdks, baseUrl, providerUrl) {
  const control = async (path, body) => {
    const response = await fetch(`${providerUrl}/__sim/${path}`,
      body === undefined ? {} : { method: 'POST', body: JSON.stringify(body) });
    assert.equal(response.status, 200, `control ${path}`);
    return response.json();
  };
  return {
    baseUrl,
    OpenAI: sdks.OpenAI,
    Anthropic: sdks.Anthropic,
    openai: (options = {}) => new sdks.OpenAI({ apiKey: 'sk-sim', baseURL: `${baseUrl}/v1`, maxRetries: 0, ...options }),
    anthropic: (options = {}) => new sdks.Anthropic({ apiKey: 'sk-sim', baseURL: baseUrl, maxRetries: 0, ...options }),
    records: () => control('records'),
    reset: () => control('reset', {}),
    // From now on the provider treats every request so, whatever the request says.
    play: async (script) => {
      await control('reset', {});
      await control('script', { script });
    },
    // Waits for what holds of the provider's records; they change within milliseconds.
    until: async (holds, what) => {
      const deadline = Date.now() + 5_000;
      for (;;) {
        const records = await control('records');
        if (holds(records)) return records;
        if (Date.now() > deadline) throw new Error(`the provider never saw: ${what}\n${JSON.stringify(records)}`);
        await new Promise((resolve) => setTimeout(resolve, 5));
      }
    },
  };
}

async function runCase(one, direct, proxied) {
  const results = [];
  for (const env of one.proxiedOnly ? [proxied] : [direct, proxied]) {
    await env.reset();
    results.push(await one.run(env, env === proxied));
  }
  if (one.proxiedOnly) return undefined;
  const [expected, actual] = results;
  if (one.compare) return one.compare(expected, actual);
  assert.deepEqual(actual, expected);
  return undefined;
}

async function main() {
  const options = parseArguments(process.argv.slice(2));
  if (options.help) {
    console.log('see the head of run.mjs');
    return 0;
  }
  let sdks;
  try {
    sdks = { OpenAI: (await import('openai')).default, Anthropic: (await import('@anthropic-ai/sdk')).default };
  } catch (error) {
    console.log(`skipped: the SDKs are not installed (npm install in this folder): ${error.message}`);
    console.log('0 passed, 0 failed, 1 skipped');
    return 0;
  }
  const { cases } = await import(['retry', 'fallback', 'upcast'].includes(options.suite) ? `./${options.suite}_cases.mjs` : './cases.mjs');
  const provider = options.provider ?? await startProvider(options['simulated-provider']);
  const proxy = options.proxy
    ?? (options.forwarder ? await startForwarder(provider) : await startProxy(options.evenkeel, provider, options.defaults));
  const direct = environment(sdks, provider, provider);
  const proxied = environment(sdks, proxy, provider);

  const count = { passed: 0, failed: 0, skipped: 0 };
  for (const one of cases) {
    if (options.only && !one.name.includes(options.only)) {
      count.skipped += 1;
      continue;
    }
    const began = Date.now();
    try {
      const note = await runCase(one, direct, proxied);
      count.passed += 1;
      console.log(`ok      ${one.name} (${Date.now() - began} ms)${note ? `: ${note}` : ''}`);
    } catch (error) {
      count.failed += 1;
      console.log(`FAILED  ${one.name} (${Date.now() - began} ms)`);
      console.log(String(options.verbose ? error.stack : error.message).split('\n').slice(0, 40).map((l) => `        ${l}`).join('\n'));
    }
  }
  console.log(`${count.passed} passed, ${count.failed} failed, ${count.skipped} skipped`);
  return count.failed === 0 ? 0 : 1;
}

let code = 1;
try {
  code = await main();
} catch (error) {
  console.error(error.message);
} finally {
  await stopAll();
}
// The SDKs' connection pools would keep the process alive for their idle time.
process.exit(code);
