// A realm of Keycloak that is configured as docs/providers.md says: nothing but configuration makes it work (UP-01).
import assert from 'node:assert/strict';
import { randomBytes } from 'node:crypto';
import { assertSignedOut } from '../browser/people.mjs';
import { walk } from './direct.mjs';
import * as keycloak from './keycloak.mjs';
import { arrive, begin, mails } from './people.mjs';
import { configure } from './world.mjs';

export const realmPerson = { name: 'degas', email: 'degas@school.test', password: 'arabesque', secret: randomBytes(32).toString('hex') };

const school = ({ issuer }) => ({
  kind: 'keycloak', name: 'School', issuer, client_id: 'entree', client_secret: realmPerson.secret,
  trust: 'authoritative', mail_domains: ['school.test'], private_hosts: ['127.0.0.1'], loopback_http: true,
});

export const realm = {
  'Keycloak by itself': async ({ browser, service, keycloak: { issuer } }) => {
    const at = { issuer, id: 'entree', secret: realmPerson.secret, redirect: service.at('/upstream/school/callback') };
    const claims = await walk(browser, at, (page) => keycloak.signIn(page, realmPerson));
    assert.equal(claims.email, realmPerson.email);
  },

  'UP-01 a pinned realm signs up in one click, and the second time needs no page of its own': async ({ browser, service, providers, keycloak: started }) => {
    await configure(service, { ...providers, school: school(started) });
    const context = await browser.newContext();
    const page = await context.newPage();
    await begin(page, service, 'school');
    const came = page.waitForRequest((request) => new URL(request.url()).pathname === '/upstream/school/callback');
    await keycloak.signIn(page, realmPerson);
    const { searchParams } = new URL((await came).url());
    assert.ok(searchParams.has('session_state') && searchParams.get('iss') === started.issuer, 'what it sends beside the code');
    await arrive(page);
    assert.equal(await page.locator('#email').innerText(), realmPerson.email);
    assert.deepEqual(await mails(service, realmPerson.email), []);
    await page.click('form#sign-out button');
    await page.waitForURL((url) => url.pathname === '/logged-out');
    await assertSignedOut(context, service);
    await page.goto(service.at('/login'));
    await begin(page, service, 'school');
    await arrive(page);
    await context.close();
  },

  'entree doctor finds the realm fine, and says which redirect URI to register': async ({ service }) => {
    const [, out] = await service.ask('doctor', '--dev', '--json');
    const found = JSON.parse(out).findings.filter(({ check }) => check === 'provider school');
    assert.ok(found.length > 0 && found.every(({ state }) => state !== 'fail'), out);
    assert.ok(found.some(({ what }) => what.includes('/upstream/school/callback')), out);
  },

  'DJ-01 the realm under another name: 503, and entree doctor prints both': async ({ browser, service, providers, keycloak: started }) => {
    await configure(service, { ...providers, other: { ...school(started), issuer: `${started.issuer}/` } });
    const context = await browser.newContext();
    const page = await context.newPage();
    await page.goto(service.at('/login'));
    const came = page.waitForResponse((response) => response.url().endsWith('/login/upstream/other'));
    await page.locator('form#upstream-other button').click();
    assert.equal((await came).status(), 503);
    const [status, out] = await service.ask('doctor', '--dev', '--json');
    assert.equal(status, 1);
    const found = JSON.parse(out).findings.find(({ check, state }) => check === 'provider other' && state === 'fail');
    assert.ok(found && JSON.stringify(found).includes(`${started.issuer}/`), out);
    await context.close();
    await configure(service, providers);
  },
};
