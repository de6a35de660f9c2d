// CW-02: how Chromium applies `form-action` to the hops that a form starts. The pages of the service are built on this:
// a POST that leaves our origin answers with a page that goes on by itself. Each row runs on three origins made here.
import assert from 'node:assert/strict';
import { createServer } from 'node:http';

const policy = (sources) => ({ 'content-security-policy': `default-src 'none'; form-action ${sources}` });
const page = (answer, body, headers = {}) => answer.writeHead(200, { 'content-type': 'text/html', ...headers }).end(`<!doctype html>${body}`);
const to = (answer, location) => answer.writeHead(303, { location }).end();
const refresh = (answer, url) => page(answer, `<meta http-equiv="refresh" content="0;url=${url}">`);
const form = (answer, sources) => page(answer, '<form method=post action="/post"><button>go</button></form>', policy(sources));

// `routes(at)` gives, per origin, what each path answers; `at.name` is the address of that origin. `arrives`: the
// origin where the tab ends, or null if the browser says that it blocked the last hop.
async function row({ browser }, routes, arrives) {
  const names = ['us', 'client', 'third', 'provider'];
  const servers = names.map((name) => createServer((asked, answer) => {
    const path = asked.url.split('?')[0];
    const found = table[name]?.[path];
    unasked.delete(found);
    if (found) found(answer);
    else page(answer, `<p id=arrived>${name}`);
  }));
  await Promise.all(servers.map((server) => new Promise((done) => server.listen(0, '127.0.0.1', done))));
  const at = Object.fromEntries(names.map((name, index) => [name, `http://127.0.0.1:${servers[index].address().port}`]));
  const table = routes(at);
  const unasked = new Set(Object.values(table).flatMap(Object.values));
  const context = await browser.newContext();
  try {
    const tab = await context.newPage();
    const start = table.provider ? at.provider : at.us;
    await tab.goto(`${start}/form`);
    const blocked = new Promise((done) => tab.on('console', (message) => { if (message.text().includes('form-action')) done(null); }));
    await tab.click('button');
    const arrived = tab.waitForSelector('#arrived').then((found) => found.textContent());
    assert.equal(await Promise.race([arrived, blocked]), arrives);
    assert.equal(unasked.size, 0, 'every hop up to there was asked for');
  } finally {
    await context.close();
    for (const server of servers) server.close();
  }
}

export const formAction = {
  "CW-02 form-action 'self': a redirect from the POST to the client is blocked": (kit) =>
    row(kit, (at) => ({ us: { '/form': (a) => form(a, "'self'"), '/post': (a) => to(a, `${at.client}/cb`) } }), null),

  "CW-02 form-action 'self': so is one over a path of our own": (kit) =>
    row(kit, (at) => ({
      us: { '/form': (a) => form(a, "'self'"), '/post': (a) => to(a, '/next'), '/next': (a) => to(a, `${at.client}/cb`) },
    }), null),

  "CW-02 form-action 'self' client: the client's own redirect is blocked at the third": (kit) =>
    row(kit, (at) => ({
      us: { '/form': (a) => form(a, `'self' ${at.client}`), '/post': (a) => to(a, `${at.client}/cb`) },
      client: { '/cb': (a) => to(a, `${at.third}/x`) },
    }), null),

  "CW-02 form-action 'self': a page that goes on by itself reaches the client and the third": (kit) =>
    row(kit, (at) => ({
      us: { '/form': (a) => form(a, "'self'"), '/post': (a) => refresh(a, `${at.client}/cb`) },
      client: { '/cb': (a) => to(a, `${at.third}/x`) },
    }), 'third'),

  "CW-02 a provider's page that allows itself and us: our redirect to the client is blocked": (kit) =>
    row(kit, (at) => ({
      provider: { '/form': (a) => form(a, `'self' ${at.us}`), '/post': (a) => to(a, `${at.us}/callback`) },
      us: { '/callback': (a) => to(a, `${at.client}/cb`) },
    }), null),

  "CW-02 a provider's page that allows itself and us: our page that goes on works": (kit) =>
    row(kit, (at) => ({
      provider: { '/form': (a) => form(a, `'self' ${at.us}`), '/post': (a) => to(a, `${at.us}/callback`) },
      us: { '/callback': (a) => refresh(a, `${at.client}/cb`) },
    }), 'client'),
};
