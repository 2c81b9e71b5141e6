// The pages in a real Chromium: what it loads, what it refuses to run, the keyboard, screen readers, both schemes of colours, and the playground.
// The environment has PORTAL_URL, API_KEY, CLUSTER_URL (a portal that visitors sign in to), BUSY_URL (the page of a route with a month of spend),
// RELAY_URL (a portal that asks a route for those who sign in with VISITOR_TOKEN), CHROMIUM, and SCREENSHOTS, a folder for pictures or nothing.
import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import { after, before, test } from 'node:test';
import { chromium } from 'playwright-core';

const { PORTAL_URL: url, API_KEY: key, CLUSTER_URL: cluster, BUSY_URL: busy, RELAY_URL: relay, VISITOR_TOKEN: token } = process.env;
const { CHROMIUM: executablePath, SCREENSHOTS: pictures } = process.env;
const axe = readFileSync(createRequire(import.meta.url).resolve('axe-core/axe.min.js'), 'utf8');
const route = `${url}/routes/ai-platform/mixtral-8x22b-instruct`;
const wide = { width: 1280, height: 900 };
const narrow = { width: 360, height: 740 };

let browser;
before(async () => { browser = await chromium.launch({ executablePath, args: ['--no-sandbox'] }); });
after(() => browser?.close());

// visit opens a page, and fails the test for all that the browser complains about or loads from elsewhere.
async function visit(t, address, { viewport = wide, colorScheme = 'light', javaScriptEnabled = true, extraHTTPHeaders = {} } = {}) {
  const context = await browser.newContext({ viewport, colorScheme, javaScriptEnabled, extraHTTPHeaders });
  t.after(() => context.close());
  const page = await context.newPage();
  const complaints = [];
  page.on('console', (message) => { if (['error', 'warning'].includes(message.type())) complaints.push(message.text()); });
  page.on('pageerror', (error) => complaints.push(error.message));
  page.on('request', (request) => { if (new URL(request.url()).origin !== new URL(address).origin) complaints.push(`it loads ${request.url()}`); });
  const answer = await page.goto(address);
  assert.equal(answer.status(), 200);
  return { page, context, complaints };
}

const pages = {
  list: `${url}/`, route, teams: `${url}/teams`, team: `${url}/teams/search`, 'sign-in': `${cluster}/sign-in`, busy,
};

for (const [name, address] of Object.entries(pages)) {
  for (const colorScheme of ['light', 'dark']) {
    for (const viewport of [wide, narrow]) {
      test(`the ${name}, ${colorScheme}, ${viewport.width} wide, is accessible and loads nothing from elsewhere`, async (t) => {
        const { page, complaints } = await visit(t, address, { viewport, colorScheme });
        if (pictures) {
          await page.screenshot({ path: `${pictures}/${name}-${colorScheme}-${viewport.width}.png`, fullPage: true });
          if (viewport === wide && colorScheme === 'light') await page.screenshot({ path: `${pictures}/${name}.png` });
        }
        await page.evaluate(axe);
        const { violations } = await page.evaluate(() => globalThis.axe.run());
        assert.deepEqual(violations.map(({ id, nodes }) => [id, nodes.map(({ html, failureSummary }) => [html, failureSummary])]), []);
        const [content, window] = await page.evaluate(() => [document.documentElement.scrollWidth, document.documentElement.clientWidth]);
        assert.ok(content <= window, `the page is ${content} wide in a window of ${window}`);
        assert.deepEqual(complaints, []);
      });
    }
  }
}

test('what was spent is in a picture for those who see, and in a table for all', async (t) => {
  const { page, complaints } = await visit(t, busy);
  assert.equal(await page.locator('.chart > svg rect').count(), 22 * 6); // On 22 of the days six series spend.
  const fills = await page.locator('.legend rect').evaluateAll((all) => all.map((one) => getComputedStyle(one).fill));
  assert.equal(new Set(fills).size, 6, `the series have the colours ${fills}`);
  assert.equal(await page.getByRole('img').count(), 0);
  await page.getByText('Spent each day, as a table').click();
  const table = page.getByRole('region', { name: 'Table of what was spent each day' });
  assert.equal(await table.getByRole('row').count(), 1 + 22);
  assert.deepEqual(await table.getByRole('columnheader').allTextContents(),
    ['Day', 'web', 'search', 'batch', 'ai-platform/notebook-of-somebody', 'mail', '4 others', 'All']);
  assert.deepEqual(complaints, []);
});

test('routes are found by keyboard alone', async (t) => {
  const { page, complaints } = await visit(t, `${url}/`);
  await page.keyboard.press('Tab');
  assert.equal(await page.evaluate(() => document.activeElement.textContent), 'Skip to the content');
  await page.keyboard.press('Enter');
  await page.keyboard.press('Tab');
  await page.keyboard.type('mistral');
  await page.keyboard.press('Enter');
  await page.waitForURL(/q=mistral/);
  await page.getByRole('link', { name: 'Mixtral 8x22B Instruct' }).focus();
  await page.keyboard.press('Enter');
  await page.getByRole('heading', { level: 1, name: 'Mixtral 8x22B Instruct' }).waitFor();
  assert.deepEqual(complaints, []);
});

test('an example is copied as it stands', async (t) => {
  const { page, context } = await visit(t, route);
  await context.grantPermissions(['clipboard-read', 'clipboard-write']);
  await page.getByText('Python', { exact: true }).click();
  await page.getByRole('button', { name: 'Copy the example in Python' }).click();
  await page.getByRole('button', { name: 'Copied the example in Python' }).waitFor();
  const copied = await page.evaluate(() => navigator.clipboard.readText());
  assert.match(copied, new RegExp(`^from openai import OpenAI\n[^]*OpenAI\\(base_url="${url}/v1"\\)[^]*model="mixtral-8x22b-instruct"`));
});

// tryIt asks in the playground, and sees to it that the answer is there and the key is kept nowhere.
async function tryIt(page) {
  await page.getByLabel('Your key').fill(key);
  await page.getByRole('button', { name: 'Send' }).click();
  await page.getByText(/^Done: \d+ tokens in, \d+ out, \$0\.\d+\.$/).waitFor();
  assert.ok((await page.getByRole('log', { name: 'Answer' }).textContent()).length > 10);
  assert.ok(!page.url().includes(key));
  const kept = await page.evaluate(() => JSON.stringify([{ ...localStorage }, { ...sessionStorage }, document.cookie, history.state]));
  assert.ok(!kept.includes(key), kept);
}

test('the playground streams an answer and keeps the key to itself', async (t) => {
  const { page, complaints } = await visit(t, route);
  await tryIt(page);
  if (pictures) await page.screenshot({ path: `${pictures}/playground.png`, fullPage: true });
  assert.deepEqual(complaints, []);
});

test('in a cluster the playground is for those who have signed in', async (t) => {
  const { page, complaints } = await visit(t, `${relay}/routes/a/mixtral-8x22b-instruct`);
  await page.getByLabel('Token').fill(token);
  await page.getByRole('button', { name: 'Sign in' }).click();
  await page.getByRole('heading', { level: 1, name: 'Model of a' }).waitFor();
  await tryIt(page);
  assert.deepEqual(complaints, []);
  await page.context().clearCookies();
  await page.getByRole('button', { name: 'Send' }).click();
  await page.getByText('401: You are not signed in any more. Load this page again.').waitFor();
});

test('behind a proxy that signs people in, nobody signs in to the playground', async (t) => {
  const headers = { extraHTTPHeaders: { Authorization: `Bearer ${token}` } };
  const { page, complaints } = await visit(t, `${relay}/routes/a/mixtral-8x22b-instruct`, headers);
  await tryIt(page);
  assert.equal(await page.getByRole('button', { name: 'Sign out' }).count(), 0);
  assert.deepEqual(complaints, []);
});

test('the playground says why it was refused', async (t) => {
  const { page } = await visit(t, route);
  await page.getByLabel('Your key').fill('wrong');
  await page.getByRole('button', { name: 'Send' }).click();
  await page.getByText(/^401: /).waitFor();
});

test('without scripts a page shows everything but the playground', async (t) => {
  const { page } = await visit(t, route, { javaScriptEnabled: false });
  await page.getByText('$2.00 per million tokens of input').waitFor();
  assert.equal(await page.getByLabel('Your key').isVisible(), false);
  assert.equal(await page.getByRole('button', { name: /^Copy/ }).count(), 0);
});

test('the policy keeps a script of somebody else from running', async (t) => {
  const { page, complaints } = await visit(t, route);
  await page.evaluate(() => {
    const script = document.createElement('script');
    script.textContent = 'globalThis.ran = true';
    document.body.append(script);
  });
  assert.equal(await page.evaluate(() => globalThis.ran), undefined);
  assert.match(complaints.join('\n'), /Content Security Policy/);
});
