// AZ-14: `response_mode=form_post` at a client that listens, as browsers post it: by the page's script, and by its
// button.
import assert from 'node:assert/strict';
import { createHash, randomBytes } from 'node:crypto';
import { once } from 'node:events';
import { createServer } from 'node:http';
import { signIn } from './people.mjs';

// A client on a free port of loopback, and the requests that it got.
async function client() {
  const got = [];
  const server = createServer((asked, answer) => {
    let body = '';
    asked.on('data', (chunk) => { body += chunk; });
    asked.on('end', () => {
      const { method, url, headers } = asked;
      got.push({ method, url, type: headers['content-type'], referer: headers.referer, fields: Object.fromEntries(new URLSearchParams(body)) });
      answer.writeHead(200, { 'content-type': 'text/html' }).end('<!doctype html><link rel=icon href="data:,"><p id=arrived>here');
    });
  }).listen(0, '127.0.0.1');
  await once(server, 'listening');
  return { got, server, callback: `http://127.0.0.1:${server.address().port}/callback` };
}

async function walk({ browser, service }, javaScriptEnabled) {
  const { got, server, callback } = await client();
  const context = await browser.newContext({ javaScriptEnabled });
  const verifier = randomBytes(32).toString('base64url');
  const challenge = createHash('sha256').update(verifier).digest('base64url');
  const asks = async (more) => {
    const page = await context.newPage();
    const query = new URLSearchParams({
      client_id: 'lessons-web', redirect_uri: callback, response_type: 'code', response_mode: 'form_post', scope: 'openid',
      code_challenge: challenge, code_challenge_method: 'S256', ...more,
    });
    await page.goto(service.at(`/oauth2/authorize?${query}`), { waitUntil: 'commit' });
    if (!javaScriptEnabled) await page.click('form#form-post button');
    await page.waitForSelector('#arrived');
    assert.equal(page.url(), callback, 'nothing of the answer is in the address');
    const posted = got.pop();
    assert.deepEqual([got.length, posted.method, posted.url, posted.referer], [0, 'POST', '/callback', undefined]);
    assert.equal(posted.type, 'application/x-www-form-urlencoded');
    assert.deepEqual([posted.fields.iss, posted.fields.state], [service.url, more.state]);
    return posted.fields;
  };
  try {
    const state = 'a "state" <b> & ünï';
    const refused = await asks({ prompt: 'none', state });
    assert.deepEqual([refused.error, refused.code], ['login_required', undefined]);
    await signIn(context, service);
    const given = await asks({ state });
    assert.deepEqual(Object.keys(given).sort(), ['code', 'iss', 'state']);
    const body = new URLSearchParams({
      grant_type: 'authorization_code', client_id: 'lessons-web', redirect_uri: callback, code: given.code, code_verifier: verifier,
    });
    const exchanged = await fetch(service.at('/oauth2/token'), { method: 'POST', body });
    assert.equal(exchanged.status, 200, await exchanged.text());
  } finally {
    await context.close();
    server.close();
  }
}

export const formPost = {
  'AZ-14 form_post: answer and error arrive at the client by the script': async (kit) => walk(kit, true),
  'AZ-14 form_post: answer and error arrive at the client by the button': async (kit) => walk(kit, false),
};
