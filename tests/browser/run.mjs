// The dashboard in a real Chromium, case by case: node run.mjs --evenkeel FILE --screenshots FOLDER [--only WORDS]
// "skipped: ..." where Chromium or its driver is not installed.

import { readFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import { parseArgs } from 'node:util';
import { cases, threeRoutes } from './cases.mjs';
import { findChromium } from './page.mjs';
import { startProvider, startProxy, stopAll } from './proxy.mjs';

const { values: given } = parseArgs({ options: { evenkeel: { type: 'string' }, screenshots: { type: 'string' }, only: { type: 'string' } } });
const require = createRequire(import.meta.url);

let puppeteer, axe;
try {
  puppeteer = (await import('puppeteer-core')).default;
  axe = readFileSync(require.resolve('axe-core/axe.min.js'), 'utf8');
} catch {
  console.log('skipped: puppeteer-core and axe-core are not installed (npm install in tests/browser)');
  process.exit(0);
}
const chromium = findChromium();
if (!chromium) {
  console.log('skipped: there is no Chromium here (deploy/install_packages browser)');
  process.exit(0);
}

const token = 'sk-CANARY-admin-token';
let failed = 0, browser;
try {
  // Sandboxes want privileges that containers do not have; what is loaded here is ours alone.
  browser = await puppeteer.launch({ executablePath: chromium, args: ['--no-sandbox', '--disable-dev-shm-usage', '--disable-gpu', '--force-color-profile=srgb', '--lang=en'] });
  const providers = [await startProvider(), await startProvider(), await startProvider()];
  const lines = threeRoutes(providers);
  const proxy = await startProxy(given.evenkeel, lines);
  const spare = await startProxy(given.evenkeel, lines);
  const guarded = await startProxy(given.evenkeel, lines, { token });
  guarded.overview = async () => (await fetch(`${guarded.admin}/-/overview`, { headers: { authorization: `Bearer ${token}` } })).json();
  const world = { browser, binary: given.evenkeel, providers, lines, proxy, spare, guarded, token, axe, screenshots: given.screenshots };
  for (const [name, run] of Object.entries(cases)) {
    if (given.only && !name.includes(given.only)) continue;
    const began = Date.now();
    try {
      await run(world);
      console.log(`ok      ${((Date.now() - began) / 1000).toFixed(1).padStart(5)} s  ${name}`);
    } catch (error) {
      failed++;
      console.log(`FAILED  ${((Date.now() - began) / 1000).toFixed(1).padStart(5)} s  ${name}\n${error.stack}`);
    }
    for (const each of providers) Object.assign(each, { manner: 'ok', retryAfter: 0, delay: 5 });
  }
} finally {
  await browser?.close();
  await stopAll();
}
console.log(failed ? `${failed} of the cases failed` : 'every case passed');
process.exit(failed ? 1 : 0);
