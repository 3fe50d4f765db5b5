// A page of Chromium, and how a case waits for what it shows. What is asked is asked through the debugger, which the
// page's own policy does not touch.

import { existsSync } from 'node:fs';
import { delimiter, join } from 'node:path';
import { until } from './proxy.mjs';

export function findChromium() {
  if (process.env.EVENKEEL_CHROMIUM) return process.env.EVENKEEL_CHROMIUM;
  for (const name of ['chromium', 'chromium-browser', 'google-chrome']) {
    for (const folder of (process.env.PATH ?? '').split(delimiter)) {
      if (existsSync(join(folder, name))) return join(folder, name);
    }
  }
  return null;
}

export const desktop = { width: 1280, height: 900 };
export const phone = { width: 360, height: 740, isMobile: true, hasTouch: true };

// What a page must never have done, gathered from its beginning.
export async function openPage(browser, url, { scheme = 'light', viewport = desktop } = {}) {
  const context = await browser.createBrowserContext();
  const page = await context.newPage();
  page.trouble = [];
  page.asked = [];
  page.on('pageerror', (error) => page.trouble.push(`error: ${error.message}`));
  page.on('console', (message) => {
    const text = message.text();
    // What an answer's status was is the case's business.
    if (['error', 'warn'].includes(message.type()) && !/Failed to load resource|ERR_/.test(text)) page.trouble.push(`console: ${text}`);
  });
  page.on('request', (request) => page.asked.push(request.url()));
  await page.setViewport(viewport);
  await page.emulateMediaFeatures([{ name: 'prefers-color-scheme', value: scheme }]);
  await page.evaluateOnNewDocument(() => {
    window.violations = [];
    document.addEventListener('securitypolicyviolation', (event) => window.violations.push(`${event.violatedDirective} ${event.blockedURI}`));
  });
  await page.goto(url, { waitUntil: 'domcontentloaded' });
  return page;
}

export async function closePage(page) {
  const violations = await page.evaluate(() => window.violations ?? []);
  await page.browserContext().close();
  const trouble = [...page.trouble, ...violations.map((each) => `policy: ${each}`)];
  if (trouble.length > 0) throw new Error(`the page had trouble: ${trouble.join('; ')}`);
}

export const text = (page, selector) => page.evaluate((which) => document.querySelector(which)?.textContent ?? '', selector);
export const sees = (page, selector, pattern, within) => until(`${selector} says ${pattern}`, async () => {
  const found = await text(page, selector);
  if (!pattern.test(found)) throw new Error(found.slice(0, 300));
  return found;
}, within);
export const drawn = async (page, times = 1) => {
  const count = () => page.evaluate(() => Number(document.body.dataset.drawn ?? 0));
  const from = await count();
  await until('the page is drawn', async () => await count() >= from + times);
};
export const rowOf = (page, name) => page.evaluate((wanted) => {
  const body = [...document.querySelectorAll('#routes-table tbody')].find((each) => each.dataset.name === wanted);
  return body ? { tone: body.dataset.tone, text: body.textContent, rows: [...body.querySelectorAll('tr')].filter((row) => !row.hidden).length } : null;
}, name);
export const active = (page) => page.evaluate(() => {
  const at = document.activeElement;
  return `${at.id || at.tagName.toLowerCase()} ${at.textContent.trim().slice(0, 60)}`;
});
export const press = (page, selector) => page.evaluate((which) => document.querySelector(which).click(), selector);

// Asks for something, says yes, and waits for the word.
export async function confirm(page, open, done = /^Done$/) {
  await open();
  await until('it is asked', () => page.evaluate(() => document.getElementById('ask').open));
  await page.click('#ask-yes');
  await sees(page, '#ask-title', done);
  const said = await text(page, '#ask-text');
  await page.click('#ask-no');
  await until('it is closed', () => page.evaluate(() => !document.getElementById('ask').open));
  return said;
}
export const button = (page, words) => page.evaluate((wanted) => {
  const found = [...document.querySelectorAll('dialog[open] button, main button')].find((each) => each.offsetParent !== null && each.textContent.includes(wanted));
  if (!found) return false;
  found.click();
  return true;
}, words);
export async function openEndpoint(page, route, upstream) {
  await until(`${upstream} of ${route} is a button`, () => page.evaluate(([name, wanted]) => {
    const body = [...document.querySelectorAll('#routes-table tbody')].find((each) => each.dataset.name === name);
    const found = [...(body?.querySelectorAll('button.open') ?? [])].find((each) => each.textContent === wanted && each.offsetParent !== null);
    found?.click();
    return Boolean(found);
  }, [route, upstream]));
}
