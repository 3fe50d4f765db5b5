// What an operator does with the page. Each case has a page of its own, and leaves the proxy as it found it.

import assert from 'node:assert/strict';
import { mkdirSync } from 'node:fs';
import { join } from 'node:path';
import { active, button, closePage, confirm, desktop, drawn, openEndpoint, openPage, phone, press, rowOf, sees, text } from './page.mjs';
import { startProxy, until } from './proxy.mjs';

const upstream = (name, provider, more = '') => `  ${name}: {url: "${provider.url}", headers: {set: {authorization: "Bearer sk-CANARY-${name}"}}${more}}`;
const route = (name, upstreams) => `  - {name: ${name}, match: {path_prefix: /${name}}, rewrite: {path_prefix: /}, upstreams: [${upstreams.join(', ')}]}`;
const call = (name) => `/${name}/v1/chat/completions`;

export const threeRoutes = ([one, two, three], more = []) => [
  'chaos: {enabled: true}',
  'defaults: {retry: {max_retries: 2, backoff: {initial: 5ms, max: 20ms}}, circuit_breaker: {recovery_timeout: 1s, max_recovery_timeout: 2s}}',
  ...more,
  'upstreams:',
  upstream('deepseek', one, ', prices: {"*": {input: 0.28, output: 0.42}}'),
  upstream('openai', two, ', prices: {"*": {input: 2.5, output: 10}}'),
  upstream('spare', three),
  'routes:',
  route('chat', ['deepseek', 'openai']),
  route('embed', ['openai']),
  route('night', ['spare']),
];

async function traffic(proxy, times = 4) {
  for (let i = 0; i < times; i++) {
    await proxy.ask(call('chat'), { stream: i % 2 === 0 });
    await proxy.ask(call('embed'));
  }
}

async function noSidewaysScroll(page) {
  // Of a phone the inner width grows with what does not fit.
  const { width } = page.viewport();
  const wide = await page.evaluate((most) => [document.documentElement.scrollWidth, ...[...document.querySelectorAll('body *')]
    .filter((each) => each.getBoundingClientRect().right > most + 1 && each.offsetParent !== null && !each.closest('.sr')).map((each) => `${each.tagName} ${each.id} ${each.className}`).slice(0, 5)], width);
  assert.ok(wide[0] <= width, `the page is ${wide[0]} wide in a window of ${width}: ${wide.slice(1).join(', ')}`);
}

async function accessible(page, axe, where) {
  // The rules' own script is put in by the debugger; only the policy of the page would refuse it.
  await page.evaluate(axe);
  const { violations } = await page.evaluate(() => window.axe.run(document, { resultTypes: ['violations'] }));
  const bad = violations.filter((each) => ['serious', 'critical'].includes(each.impact));
  assert.deepEqual(bad.map((each) => `${where}: ${each.id}: ${each.nodes.map((node) => node.html.slice(0, 160)).join(' | ')}`), []);
}

export const cases = {
  'the page is one small document of this host alone': async ({ browser, proxy }) => {
    const page = await openPage(browser, `${proxy.admin}/`);
    await sees(page, '#verdict-sentence', /^All 3 routes serve\.$/);
    assert.equal(await text(page, '#verdict-word'), 'Calm.');
    const whole = await fetch(`${proxy.admin}/`, { headers: { accept: 'text/html' } });
    const body = await whole.arrayBuffer();
    assert.ok(body.byteLength < 100 * 1024, `${body.byteLength} bytes`);
    const asked = page.asked.filter((url) => !url.startsWith('data:')).map((url) => url.replace(proxy.admin, ''));
    assert.deepEqual(asked, ['/', '/-/live']);
    console.log(`    ${body.byteLength} bytes`);
    await closePage(page);
  },

  'what happens is shown as it happens: requests, a rest with its reason and end, who takes over, the disturbed request': async ({ browser, proxy, providers }) => {
    const page = await openPage(browser, `${proxy.admin}/`);
    await sees(page, '#link', /^live$/);
    await traffic(proxy);
    await until('requests are counted', async () => /[1-9]\d*\/min/.test((await rowOf(page, 'embed')).text));
    providers[0].manner = 429;
    providers[0].retryAfter = 40;
    await proxy.ask(call('chat'), { id: 'browser-failed-over', model: '<img src=x onerror=alert(1)>' });
    await sees(page, '#verdict-sentence', /deepseek rests \(rate limited\) for \d+ s more; openai takes its traffic\./);
    assert.equal(await text(page, '#verdict-word'), 'Trouble.');
    assert.match(await page.title(), /^Trouble/);
    await sees(page, '#announce', /^Trouble\..*deepseek rests/);
    assert.equal((await rowOf(page, 'chat')).tone, 'trouble');
    assert.match((await rowOf(page, 'chat')).text, /Rests/);
    // Trouble comes first.
    assert.equal(await page.evaluate(() => document.querySelector('#routes-table tbody').dataset.name), 'chat');
    await sees(page, '#request-list', /chat.*failed over.*deepseek: rate limited 429.*retry openai: success 200/s);
    // A client's words are words.
    assert.match(await text(page, '#request-list'), /<img src=x onerror=alert\(1\)>/);
    assert.equal(await page.evaluate(() => document.images.length), 0);
    await page.click('#request-list summary');
    await sees(page, '#request-list .more', /browser-failed-over/);
    assert.match(await text(page, '#request-list .more'), /\d\.\d{3} s/);
    providers[0].manner = 'ok';
    await fetch(`${proxy.admin}/-/rests/deepseek`, { method: 'POST' });
    await sees(page, '#verdict-sentence', /^All 3 routes serve\.$/);
    await sees(page, '#bill-sentence', /attempts, .* of them extra/);
    await sees(page, '#tokens', /in answers/);
    await closePage(page);
  },

  'a circuit opens, is shown with its reason and next probe, and closes': async ({ browser, proxy, providers }) => {
    const page = await openPage(browser, `${proxy.admin}/`);
    providers[0].manner = 500;
    await until('the circuit is open', async () => {
      await traffic(proxy, 1);
      return /deepseek has an open circuit after \d+ failures? in a row, the last: server error 500/.test(await text(page, '#verdict-sentence'));
    });
    assert.match((await rowOf(page, 'chat')).text, /Open/);
    providers[0].manner = 'ok';
    await until('it is closed again', async () => {
      await traffic(proxy, 1);
      return /^All 3 routes serve\.( chat: .*)?$/.test(await text(page, '#verdict-sentence'));
    });
    await closePage(page);
  },

  'an endpoint is drained, released, held closed, each after a question; no is no': async ({ browser, proxy, providers }) => {
    const page = await openPage(browser, `${proxy.admin}/`);
    await openEndpoint(page, 'chat', 'deepseek');
    await sees(page, '#endpoint-title', /^deepseek, for chat$/);
    await button(page, 'Drain');
    await sees(page, '#ask-text', /Nothing new is sent to deepseek/);
    await page.click('#ask-no');
    await drawn(page, 2);
    assert.doesNotMatch(await text(page, '#endpoint-note'), /held open/);

    await confirm(page, () => button(page, 'Drain'));
    await sees(page, '#endpoint-note', /held open by an operator/);
    await sees(page, '#verdict-sentence', /deepseek is held open by an operator: nothing is sent there; openai takes its traffic/);
    const asked = providers[0].asked;
    await traffic(proxy, 2);
    assert.equal(providers[0].asked, asked);
    await confirm(page, () => button(page, 'Hold its circuit closed'));
    await sees(page, '#endpoint-note', /an operator holds closed/);
    await confirm(page, () => button(page, 'Release'));
    await sees(page, '#endpoint-note', /^It is up\.$/);
    await page.click('#endpoint-close');
    await traffic(proxy, 1);
    assert.ok(providers[0].asked > asked);
    await closePage(page);
  },

  'a rest is ended': async ({ browser, proxy, providers }) => {
    const page = await openPage(browser, `${proxy.admin}/`);
    providers[0].manner = 429;
    providers[0].retryAfter = 50;
    await proxy.ask(call('chat'));
    providers[0].manner = 'ok';
    await sees(page, '#verdict-sentence', /deepseek rests/);
    await openEndpoint(page, 'chat', 'deepseek');
    assert.match(await confirm(page, () => button(page, 'End its rest')), /1 rest was ended/);
    await sees(page, '#verdict-sentence', /^All 3 routes serve\.$/);
    await closePage(page);
  },

  'a fault is injected, shown, and ended': async ({ browser, proxy }) => {
    const page = await openPage(browser, `${proxy.admin}/`);
    await sees(page, '#chaos-sentence', /No fault is injected/);
    await press(page, '#chaos-new summary');
    await page.select('#chaos-route', 'night');
    await page.select('#chaos-fault', 'abort');
    await page.evaluate(() => { document.getElementById('chaos-share').value = '100'; });
    assert.match(await confirm(page, () => page.evaluate(() => document.getElementById('chaos-form').requestSubmit())), /1 rule is in force/);
    await sees(page, '#chaos', /night.*any.*abort.*100 %/);
    await sees(page, '#verdict-sentence', /A rehearsal is on: 1 rule injects faults on purpose/);
    assert.equal((await proxy.ask(call('night'))).status, 503);
    await sees(page, '#chaos', /abort.*[1-9]$/);
    await confirm(page, () => press(page, '#chaos-off'));
    await sees(page, '#chaos-sentence', /No fault is injected/);
    assert.equal((await proxy.ask(call('night'))).status, 200);
    await closePage(page);
  },

  'a file with an error is not taken and its diagnostics are shown; a good one is; what waits for a restart is told': async ({ browser, proxy, lines }) => {
    const page = await openPage(browser, `${proxy.admin}/`);
    proxy.write([...lines, 'retries: 3']);
    await confirm(page, () => press(page, '#reload'), /^It was not done$/);
    await sees(page, '#config-diagnostics', /error: .*retries/);
    await sees(page, '#verdict-sentence', /The last reload failed/);
    proxy.write(['workers: 3', ...lines]);
    await confirm(page, () => press(page, '#reload'));
    await sees(page, '#config-facts', /Wait for a restart.*workers/s);
    await sees(page, '#verdict-sentence', /A changed key waits for a restart: workers\./);
    assert.equal(await page.evaluate(() => document.getElementById('config-problem').hidden), true);
    proxy.write(lines);
    await confirm(page, () => press(page, '#reload'));
    await sees(page, '#verdict-sentence', /^All 3 routes serve\./);
    await closePage(page);
  },

  'everything by keyboard: skip, filter, unfold, look, drain, say yes, come back': async ({ browser, proxy }) => {
    const page = await openPage(browser, `${proxy.admin}/`);
    await sees(page, '#verdict-sentence', /^All 3 routes serve\./);
    const key = (name) => page.keyboard.press(name);
    const tabTo = async (pattern, most = 40) => {
      for (let i = 0; i < most; i++) {
        if (pattern.test(await active(page))) return;
        await key('Tab');
      }
      assert.fail(`Tab does not reach ${pattern}; it is at ${await active(page)}`);
    };
    await key('Tab');
    assert.match(await active(page), /Skip to the routes/);
    await key('Enter');
    assert.match(await active(page), /^routes/);
    await key('/');
    assert.match(await active(page), /^filter/);
    await page.keyboard.type('night');
    await until('the filter holds', async () => (await page.evaluate(() => [...document.querySelectorAll('#routes-table tbody')].filter((each) => !each.hidden).map((each) => each.dataset.name).join())) === 'night');
    for (let i = 0; i < 5; i++) await key('Backspace');
    await tabTo(/^button chat/);
    await key('Enter');
    await until('it is folded', async () => (await rowOf(page, 'chat')).rows === 1);
    await key('Space');
    await until('it is unfolded', async () => (await rowOf(page, 'chat')).rows === 3);
    await tabTo(/^button deepseek/);
    await key('Enter');
    await until('it is looked at', () => page.evaluate(() => document.getElementById('endpoint').open));
    await key('Escape');
    await until('it is closed', () => page.evaluate(() => !document.getElementById('endpoint').open));
    assert.match(await active(page), /^button deepseek/); // where it came from
    await key('Enter');
    for (const [words, after] of [[/^button Drain/, /held open/], [/^button Release/, /^It is up/]]) {
      await tabTo(words);
      await key('Enter');
      await until('it is asked', () => page.evaluate(() => document.getElementById('ask').open));
      assert.match(await active(page), /^ask-no Cancel/); // a key too many does nothing
      await page.keyboard.down('Shift');
      await key('Tab');
      await page.keyboard.up('Shift');
      assert.match(await active(page), /^ask-yes/);
      await key('Enter');
      await sees(page, '#ask-title', /^Done$/);
      assert.match(await active(page), /^ask-no Close/);
      await key('Enter');
      await until(`it says ${after}`, async () => {
        await traffic(proxy, 1); // what was released is probed by the next request
        return after.test(await text(page, '#endpoint-note'));
      });
    }
    await key('Escape');
    await closePage(page);
  },

  'a token is asked for, a session shown in its place, and ended': async ({ browser, guarded, token }) => {
    const page = await openPage(browser, `${guarded.admin}/`);
    assert.match(await text(page, 'label'), /Admin token/);
    assert.equal(await page.evaluate(() => document.activeElement.id), 'token');
    await page.keyboard.type('not it');
    await Promise.all([page.waitForNavigation(), page.keyboard.press('Enter')]);
    assert.match(await text(page, '[role=alert]'), /That is not the token/);
    await page.type('#token', token);
    await Promise.all([page.waitForNavigation(), page.keyboard.press('Enter')]);
    await sees(page, '#verdict-sentence', /serve/);
    await sees(page, '#link', /^live$/);
    const cookies = await page.browserContext().cookies();
    assert.equal(cookies.length, 1);
    assert.equal(cookies[0].httpOnly, true);
    assert.equal(cookies[0].sameSite, 'Strict');
    assert.ok(!cookies[0].value.includes('CANARY'));
    assert.equal(await page.evaluate(() => document.cookie), '');
    assert.ok(!(await page.content()).includes('CANARY'));
    // Control works, over the session and its Origin.
    assert.match(await confirm(page, () => press(page, '#reload')), /reloaded/);
    // ... and for no page of another port of this host.
    const foreign = await page.browserContext().newPage();
    await foreign.goto(`${guarded.url}/nothing-there`);
    const before = (await guarded.overview()).configuration.tried_at;
    await foreign.evaluate((url) => fetch(`${url}/-/reload`, { method: 'POST', mode: 'no-cors', credentials: 'include' }).catch(() => {}), guarded.admin);
    assert.equal((await guarded.overview()).configuration.tried_at, before);
    await foreign.close();
    await Promise.all([page.waitForNavigation(), page.click('#logout button')]);
    assert.match(await text(page, 'label'), /Admin token/);
    assert.equal((await page.browserContext().cookies()).length, 0);
    page.trouble = page.trouble.filter((each) => !each.includes('401'));
    await closePage(page);
  },

  'a session that ends while one looks leads to the form': async ({ browser, guarded, token }) => {
    const page = await openPage(browser, `${guarded.admin}/`);
    await page.type('#token', token);
    await Promise.all([page.waitForNavigation(), page.keyboard.press('Enter')]);
    await sees(page, '#link', /^live$/);
    const [cookie] = await page.browserContext().cookies();
    await fetch(`${guarded.admin}/-/logout`, { method: 'POST', redirect: 'manual', headers: { cookie: `${cookie.name}=${cookie.value}`, origin: guarded.admin } });
    await sees(page, 'label', /Admin token/);
    await closePage(page);
  },

  'a proxy that is gone is told, and one that is back is shown': async ({ browser, spare }) => {
    const page = await openPage(browser, `${spare.admin}/`);
    await sees(page, '#link', /^live$/);
    await spare.stop();
    await sees(page, '#link', /^no news for \d+ s$/);
    assert.equal(await page.evaluate(() => document.body.dataset.stale), 'yes');
    await spare.start();
    await sees(page, '#link', /^live$/);
    page.trouble = [];
    await closePage(page);
  },

  'where as many listen as may, it asks instead': async ({ browser, spare }) => {
    const listeners = [];
    for (let status = 200; status === 200;) {
      listeners.push(new AbortController());
      ({ status } = await fetch(`${spare.admin}/-/live`, { signal: listeners.at(-1).signal }));
      assert.ok(listeners.length <= 17);
    }
    const page = await openPage(browser, `${spare.admin}/`);
    await sees(page, '#verdict-sentence', /^All 3 routes serve\.$/);
    await drawn(page, 2);
    await sees(page, '#link', /^live$/);
    for (const one of listeners) one.abort();
    await closePage(page);
  },

  'no serious finding of axe-core, and no sideways scrolling, in light and dark, on a desktop and a phone': async ({ browser, proxy, guarded, providers, axe }) => {
    providers[2].manner = 500;
    for (let i = 0; i < 3; i++) await proxy.ask(call('night'));
    providers[2].manner = 'ok';
    await fetch(`${proxy.admin}/-/chaos`, { method: 'POST', body: JSON.stringify({ rules: [{ route: 'night', upstream: 'spare', fault: 'connect_fail', probability: 0.01, for: '10m' }] }) });
    for (const scheme of ['light', 'dark']) {
      for (const viewport of [desktop, phone]) {
        const where = `${scheme}, ${viewport.width} px`;
        const page = await openPage(browser, `${proxy.admin}/`, { scheme, viewport });
        await sees(page, '#verdict-sentence', /serve/);
        await sees(page, '#request-list', /night/);
        await sees(page, '#chaos', /connect fail/);
        await press(page, '#request-list summary');
        await sees(page, '#request-list .more', /Request/);
        await press(page, '#chaos-new summary');
        await drawn(page);
        await noSidewaysScroll(page);
        await accessible(page, axe, where);
        await openEndpoint(page, 'chat', 'deepseek');
        await accessible(page, axe, `${where}, endpoint`);
        await button(page, 'Drain');
        await accessible(page, axe, `${where}, question`);
        await noSidewaysScroll(page);
        await closePage(page);
        const form = await openPage(browser, `${guarded.admin}/`, { scheme, viewport });
        await noSidewaysScroll(form);
        await accessible(form, axe, `${where}, form`);
        form.trouble = form.trouble.filter((each) => !each.includes('401'));
        await closePage(form);
      }
    }
    await fetch(`${proxy.admin}/-/chaos/off`, { method: 'POST' });
  },

  '50 routes and 200 endpoints: found, ordered, unfolded, and drawn in time': async ({ browser, binary, providers }) => {
    const names = [...'abcd'];
    const many = Array.from({ length: 50 }, (_, i) => `route-${String(i).padStart(2, '0')}`);
    const proxy = await startProxy(binary, [
      'upstreams:', ...names.map((name, i) => upstream(name, providers[i % 3])),
      'routes:', ...many.map((name) => route(name, names)),
    ]);
    await proxy.ask(call('route-37'));
    const page = await openPage(browser, `${proxy.admin}/`);
    await sees(page, '#routes-count', /^50, with 200 endpoints$/);
    const folded = await page.evaluate(() => document.querySelectorAll('#routes-table tr').length);
    assert.ok(folded < 60, `${folded} rows`);
    await page.type('#filter', 'route-37');
    await sees(page, '#routes-count', /^1 of 50$/);
    await page.evaluate(() => { const filter = document.getElementById('filter'); filter.value = ''; filter.dispatchEvent(new Event('input')); });
    await press(page, '#unfold');
    await until('all are unfolded', () => page.evaluate(() => document.querySelectorAll('#routes-table tr.end').length > 20));
    // What is far away is not drawn; all is there once it is scrolled to.
    const took = [];
    for (let i = 0; i < 8; i++) {
      await page.evaluate((part) => window.scrollTo(0, document.documentElement.scrollHeight * part / 8), i);
      await drawn(page);
      took.push(await page.evaluate(() => Number(document.body.dataset.took)));
    }
    await until('all endpoints are there', () => page.evaluate(() => document.querySelectorAll('#routes-table tr.end').length === 200));
    took.sort((a, b) => a - b);
    const median = took[took.length >> 1];
    console.log(`    an update takes ${median} ms, ${took.at(-1)} ms at most`);
    assert.ok(median < 100, `an update takes ${median} ms`);
    // The one in trouble comes to the top and unfolds, from wherever one looks.
    providers[0].manner = 500;
    await press(page, '#unfold');
    await until('it is told', async () => {
      await proxy.ask(call('route-37'));
      return /a has an open circuit/.test(await text(page, '#verdict-sentence'));
    });
    await until('a troubled route is first', async () => (await page.evaluate(() => document.querySelector('#routes-table tbody').dataset.tone)) === 'trouble');
    await closePage(page);
    const small = await openPage(browser, `${proxy.admin}/`, { viewport: phone });
    await sees(small, '#routes-count', /^50/);
    await drawn(small);
    await noSidewaysScroll(small);
    await closePage(small);
  },

  'no secret is in the page, in what it is told, or in what it may ask for': async ({ proxy }) => {
    for (const path of ['/', '/-/overview', '/-/requests?disturbed&tries', '/health', '/-/config']) {
      const body = await (await fetch(proxy.admin + path, { headers: { accept: 'text/html' } })).text();
      assert.ok(body.length > 100 && !body.includes('CANARY'), path);
    }
  },

  'screenshots, in calm and in trouble': async ({ browser, binary, providers, screenshots }) => {
    mkdirSync(screenshots, { recursive: true });
    const proxy = await startProxy(binary, threeRoutes(providers));
    for (let i = 0; i < 12; i++) await traffic(proxy, 1);
    providers[0].manner = 429;
    providers[0].retryAfter = 45;
    providers[2].manner = 500;
    await proxy.ask(call('chat'), { model: 'deepseek-chat' });
    await Promise.all(Array.from({ length: 4 }, () => proxy.ask(call('night'), { model: 'gpt-night' })));
    const pages = [];
    for (const scheme of ['light', 'dark']) {
      for (const [name, viewport] of [['desktop', desktop], ['phone', { ...phone, deviceScaleFactor: 2 }]]) {
        pages.push([`dashboard-${name}-${scheme}`, await openPage(browser, `${proxy.admin}/`, { scheme, viewport })]);
      }
    }
    for (let i = 0; i < 12; i++) { // so that there are lines to be seen
      providers[1].delay = 20 + 15 * (i % 5);
      await traffic(proxy, 1 + (i % 4));
      await drawn(pages[0][1]);
    }
    for (const [name, page] of pages) {
      await sees(page, '#verdict-sentence', /deepseek rests/);
      await page.bringToFront();
      await drawn(page);
      await page.screenshot({ path: join(screenshots, `${name}.png`), fullPage: name.includes('desktop') });
      await closePage(page);
    }
  },
};
