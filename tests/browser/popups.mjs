// CW-01: a client that opens our pages in a window of its own keeps its handle to it, all the way back.
import assert from 'node:assert/strict';
import { createServer } from 'node:http';
import { codeOf } from './service.mjs';
import { newAddress } from './people.mjs';

const authorize = (client, back) => `/oauth2/authorize?${new URLSearchParams({
  client_id: client, redirect_uri: back, response_type: 'code', scope: 'openid', state: 's',
  code_challenge: 'E9Melhoa2OwvFrEMTJguCHaoeK1t8URWbuGJSstw-cM', code_challenge_method: 'S256',
})}`;

// Signs in in a window that the client's page opened, by the code of the mail; whether that window knows its opener
// then.
async function hasOpener({ browser, service }, client) {
  const server = createServer((_, answer) => answer.setHeader('content-type', 'text/html').end('<!doctype html><title>Client</title>'));
  await new Promise((listening) => server.listen(0, '127.0.0.1', listening));
  const context = await browser.newContext();
  try {
    const at = `http://127.0.0.1:${server.address().port}`;
    const page = await context.newPage();
    await page.goto(at);
    const opened = context.waitForEvent('page');
    await page.evaluate((url) => { window.open(url); }, service.at(authorize(client, `${at}/window`)));
    const window = await opened;
    const address = newAddress();
    await window.fill('form#sign-in [name=email]', address);
    await window.click('form#sign-in button');
    await window.waitForSelector('form#code');
    await window.fill('#code-field', codeOf(await service.mail(address)));
    await window.click('form#code button');
    await window.waitForURL((url) => url.pathname === '/window' && url.searchParams.has('code'), { timeout: 20_000 });
    return await window.evaluate(() => globalThis.opener !== null);
  } finally {
    await context.close();
    server.close();
  }
}

export const popups = {
  'CW-01 a client with pop-ups keeps its opener through a whole sign-in': async (kit) =>
    assert.ok(await hasOpener(kit, 'window')),

  'CW-01 any other client loses it': async (kit) => assert.ok(!(await hasOpener(kit, 'no-window'))),
};
