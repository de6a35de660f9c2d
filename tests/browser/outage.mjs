// Redis is killed in the middle of a sign-in: the page says so, and "Try again" leads to the application with its
// request.
import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { existsSync, mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { delimiter, join } from 'node:path';
import { codeOf, entree } from './service.mjs';
import { newAddress } from './people.mjs';
import { applications } from './tabs.mjs';

const program = (process.env.PATH ?? '').split(delimiter).map((one) => join(one, 'redis-server')).find(existsSync);

// Redis on a socket, which keeps what it holds over a kill.
class Redis {
  constructor() {
    this.folder = mkdtempSync(join(tmpdir(), 'entree-redis-'));
    this.socket = join(this.folder, 'redis.sock');
    this.url = `redis+unix://${this.socket}`;
  }

  async start() {
    // setpriv: the kernel ends it even when we are killed.
    this.child = spawn('setpriv', ['--pdeathsig=KILL', program, '--port', '0', '--unixsocket', this.socket, '--dir', this.folder,
      '--appendonly', 'yes', '--appendfsync', 'always', '--save', '', '--maxmemory', '128mb', '--maxmemory-policy', 'noeviction']);
    for await (const chunk of this.child.stdout) if (/ready to accept/i.test(String(chunk))) break;
  }

  async kill() {
    const ended = once(this.child, 'close');
    this.child.kill('SIGKILL');
    await ended;
  }

  async end() {
    await this.kill();
    rmSync(this.folder, { recursive: true, force: true });
  }
}

async function assertAway(page, button) {
  await page.waitForSelector('#error');
  assert.match(await page.locator('h1').innerText(), /Temporarily unavailable/);
  assert.equal(await page.locator(button).innerText(), 'Try again');
}

async function tryAgain(page, button) {
  const from = page.url();
  await page.locator(button).click();
  await page.waitForURL((url) => url.href !== from);
}

const walk = async ({ browser, javaScriptEnabled }) => {
  if (!program) return;
  const apps = await applications();
  const redis = new Redis();
  await redis.start();
  const service = await entree({ clients: apps.clients, env: { ENTREE__TICKETS__URL: redis.url } });
  const context = await browser.newContext({ javaScriptEnabled });
  const page = await context.newPage();
  const address = newAddress();

  await redis.kill();
  await page.goto(apps.authorize(service, 'Alpha', 'kept'));
  await assertAway(page, 'a#next');
  await redis.start();
  await tryAgain(page, 'a#next');
  assert.match(await page.locator('h1').innerText(), /Alpha/);

  await page.fill('form#sign-in [name=email]', address);
  await redis.kill();
  await page.click('form#sign-in button');
  await assertAway(page, 'form#again button');
  await redis.start();
  await page.click('form#again button');
  await page.waitForSelector('form#code');
  assert.match(await page.locator('main').innerText(), new RegExp(address));

  await page.fill('form#code [name=code]', codeOf(await service.mail(address)));
  await redis.kill();
  await page.click('form#code button');
  await assertAway(page, 'a#next');
  await redis.start();
  await page.locator('a#next').click();
  await apps.ended(page, 'Alpha', 'code for kept');
  await context.close();
  await redis.end();
  apps.close();
};

export const outage = {
  'OD-12 Redis is killed at each step of a sign-in: Try again leads to the application': ({ browser }) =>
    walk({ browser, javaScriptEnabled: true }),
  'OD-12 the same without scripts': ({ browser }) => walk({ browser, javaScriptEnabled: false }),
};
