// Runs all tests in real headless Chromium: the built binary, and real providers upstream of it. Arguments: parts of
// the names of tests to run. Prints one line a test and at the end `upstreams: N passed, N failed` and
// for each provider that is a program of its own `upstreams NAME: N passed, N failed`, or `… skipped (reason)`.
import { mkdirSync } from 'node:fs';
import { browserAt, playwright } from './chromium.mjs';
import * as dex from './dex.mjs';
import { direct } from './direct.mjs';
import * as keycloak from './keycloak.mjs';
import * as hydra from './hydra.mjs';
import { looks } from './looks.mjs';
import { realm, realmPerson } from './realm.mjs';
import { binary } from '../browser/service.mjs';
import { spoiled } from './spoiled.mjs';
import { walks } from './walks.mjs';
import { open } from './world.mjs';

const ci = process.env.CI === 'true';
const wanted = process.argv.slice(2);
const chosen = (tests) => Object.entries(tests).filter(([name]) => wanted.length === 0 || wanted.some((part) => name.includes(part)));
const pictures = process.env.SCREENSHOTS ?? 'target/screenshots';
mkdirSync(pictures, { recursive: true });

if (!browserAt) {
  for (const name of ['upstreams', 'upstreams keycloak', 'upstreams dex', 'upstreams hydra']) console.log(`${name}: skipped (no chromium on PATH; scripts/setup.sh installs it)`);
  process.exit(ci ? 1 : 0);
}
if (!binary('entree')) {
  console.log('upstreams: skipped (the binary is not built)');
  process.exit(ci ? 1 : 0);
}

const browser = await playwright.launch({
  executablePath: browserAt,
  // The sandbox of Chromium does not work for root.
  chromiumSandbox: process.getuid() !== 0,
  args: ['--disable-gpu', '--disable-quic', '--no-first-run', '--disable-background-networking', '--disable-component-update'],
});

async function one([name, test], world) {
  const begin = Date.now();
  const contexts = new Set(browser.contexts());
  let timer;
  const late = new Promise((_, fail) => { timer = setTimeout(() => fail(new Error('not done within 90 s')), 90_000); });
  try {
    await Promise.race([test(world), late]);
    console.log(`ok      ${name} (${Date.now() - begin} ms)`);
    return true;
  } catch (error) {
    console.log(`FAILED  ${name} (${Date.now() - begin} ms)\n${String(error.stack ?? error).replace(/^/gm, '        ')}`);
    for (const context of browser.contexts().filter((context) => !contexts.has(context))) {
      for (const [index, page] of context.pages().entries()) {
        const file = `${pictures}/failed-${name.replace(/\W+/g, '-').slice(0, 60)}-${index}.png`;
        await page.screenshot({ path: file, timeout: 3_000 }).catch(() => {});
        console.log(`        ${page.url().split('?')[0]}: ${(await page.locator('body').innerText({ timeout: 3_000 }).catch(() => '')).replace(/\s+/g, ' ').slice(0, 300)}`);
      }
      await context.close().catch(() => {});
    }
    return false;
  } finally {
    clearTimeout(timer);
  }
}

let wrong = false;
function report(name, results, log) {
  // What a provider does wrong, and an operator must look at, is an error too; the tests make it happen.
  const loud = log.filter((line) => /\bERROR\b|panicked/.test(line) && !line.includes('the operator must act'));
  if (loud.length > 0) console.log(`FAILED  no errors in the log\n${loud.slice(0, 10).join('\n')}`);
  const failed = results.filter((passed) => !passed).length + (loud.length > 0 ? 1 : 0);
  console.log(`${name}: ${results.length - results.filter((passed) => !passed).length} passed, ${failed} failed`);
  wrong ||= failed > 0 || results.length === 0;
}

// One after another: the focus and the visible tab are one a browser, and a test may kill a provider.
async function all(name, tests, world) {
  const results = [];
  for (const test of tests) results.push(await one(test, world));
  report(name, results, world.service.log);
}

// Programs of their own, each of which may be missing here and reports for itself.
const others = [
  { name: 'keycloak', module: keycloak, tests: realm, needs: { secret: realmPerson.secret, user: realmPerson }, id: 'school' },
  { name: 'dex', module: dex, tests: dex.tests, needs: {}, id: 'dex' },
  { name: 'hydra', module: hydra, tests: hydra.tests, needs: {}, id: 'hydra' },
].map((one) => ({ ...one, tests: chosen(one.tests) })).filter(({ tests }) => tests.length > 0);

const tests = chosen({ ...direct, ...walks, ...spoiled, ...looks });
// First: they may be fetched and built, and this process, which is the other providers too, stands still meanwhile.
for (const one of others) one.missing = one.module.missing();
const world = await open(browser);
if (tests.length > 0) await all('upstreams', tests, world);
for (const { name, module, tests, needs, id, missing } of others) {
  if (missing) {
    console.log(`upstreams ${name}: skipped (${missing})`);
    wrong ||= ci;
    continue;
  }
  // Not beside the others: its start takes all there is, and the service gives a provider few seconds to answer.
  const begin = Date.now();
  const started = await module.start({ redirect: world.service.at(`/upstream/${id}/callback`), ...needs }).catch((error) => ({ error }));
  if (!started.error) console.log(`${name} ${module.version} serves after ${Date.now() - begin} ms`);
  else console.log(`FAILED  ${name} starts\n${started.error.message}`);
  await all(`upstreams ${name}`, started.error ? [[`${name} starts`, () => { throw started.error; }]] : tests, { ...world, [name]: started });
  await started.stop?.();
}
await browser.close();
process.exit(wrong ? 1 : 0);
