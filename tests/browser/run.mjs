// Runs all tests in real headless Chromium against the built binaries. Arguments: parts of the names of tests to run.
// Prints one line a test and at the end `browser: N passed, N failed` or `browser: skipped (reason)`.
import { existsSync, mkdirSync } from 'node:fs';
import { delimiter, join } from 'node:path';
import { chromium } from 'playwright-core';
import { attacks, scans } from './attacks.mjs';
import { devices } from './devices.mjs';
import { formAction } from './form_action.mjs';
import { formPost } from './form_post.mjs';
import { demo } from './lessons.mjs';
import { looks } from './looks.mjs';
import { outage } from './outage.mjs';
import { atPath } from './path.mjs';
import { popups } from './popups.mjs';
import { tabs } from './tabs.mjs';
import { binary, entree } from './service.mjs';
import { walks } from './walks.mjs';
import { ways } from './ways.mjs';

const ci = process.env.CI === 'true';
const names = ['chromium', 'chromium-browser', 'google-chrome'];
const folders = (process.env.PATH ?? '').split(delimiter);
const executablePath = process.env.CHROMIUM ?? names.flatMap((name) => folders.map((one) => join(one, name))).find(existsSync);

function skip(reason) {
  console.log(`browser: skipped (${reason})`);
  process.exit(ci ? 1 : 0);
}
if (!executablePath) skip('no chromium on PATH; scripts/setup.sh installs it');
if (!binary('entree')) skip('the binary is not built');

const wanted = process.argv.slice(2);
const tests = Object.entries({ ...walks, ...demo, ...attacks, ...scans, ...formAction, ...formPost, ...popups, ...devices, ...atPath, ...looks, ...ways, ...tabs, ...outage })
  .filter(([name]) => wanted.length === 0 || wanted.some((part) => name.includes(part)));

const service = await entree();
const browser = await chromium.launch({
  executablePath,
  // The sandbox of Chromium does not work for root.
  chromiumSandbox: process.getuid() !== 0,
  args: ['--disable-gpu', '--disable-quic', '--no-first-run', '--disable-background-networking', '--disable-component-update'],
});
let passed = 0;
const failed = [];
const pictures = process.env.SCREENSHOTS ?? 'target/screenshots';
mkdirSync(pictures, { recursive: true });

async function one([name, test]) {
  const begin = Date.now();
  const contexts = new Set(browser.contexts());
  let timer;
  const late = new Promise((_, fail) => { timer = setTimeout(() => fail(new Error('not done within 90 s')), 90_000); });
  try {
    await Promise.race([test({ browser, service }), late]);
    passed++;
    console.log(`ok      ${name} (${Date.now() - begin} ms)`);
  } catch (error) {
    failed.push(name);
    console.log(`FAILED  ${name} (${Date.now() - begin} ms)\n${String(error.stack ?? error).replace(/^/gm, '        ')}`);
    for (const context of browser.contexts().filter((context) => !contexts.has(context))) {
      for (const [index, page] of context.pages().entries()) {
        const file = join(pictures, `failed-${name.replace(/\W+/g, '-').slice(0, 60)}-${index}.png`);
        await page.screenshot({ path: file, timeout: 3_000 }).catch(() => {});
      }
      await context.close().catch(() => {});
    }
  } finally {
    clearTimeout(timer);
  }
}

// One after another: the focus and the visible tab are one a browser.
for (const test of tests) await one(test);
await browser.close();
const loud = service.log.filter((line) => /\bERROR\b|panicked/.test(line));
if (loud.length > 0) {
  failed.push('no errors in the log');
  console.log(`FAILED  no errors in the log\n${loud.slice(0, 10).join('\n')}`);
}
console.log(`browser: ${passed} passed, ${failed.length} failed`);
process.exit(failed.length > 0 || passed === 0 ? 1 : 0);
