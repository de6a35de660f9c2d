// Spring Boot, as a client and as a resource server.
import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { claims, header } from '../forge.mjs';
import { form } from '../person.mjs';
import { signOut } from './signing_out.mjs';
import { codeFlow } from './tokens.mjs';
import { tools } from './found.mjs';

const jars = join(tools, 'spring/lib');
const pom = join(import.meta.dirname, '../java/spring/pom.xml');

const needs = [[join(tools, 'spring/.entree-lock'), 'no JDK and Maven; scripts/setup.sh interop installs them']];
const version = () => readFileSync(pom, 'utf8').match(/<version>([^<]*)</)[1];

// Compiles the one file and starts it with the other.
async function launch(world, java, yaml, main) {
  const cwd = world.lay(java, yaml);
  // `-parameters`: as Spring Boot's own build does it.
  const built = spawnSync('javac', ['-parameters', '-d', '.', '-cp', `${jars}/*`, java], { cwd, encoding: 'utf8' });
  assert.equal(built.status, 0, built.stderr);
  const quick = ['-XX:TieredStopAtLevel=1', '-XX:+UseSerialGC', '-Xmx256m', '-Dspring.main.banner-mode=off', `-Dspring.config.location=file:${yaml}`];
  await world.launch(['java', ...quick, '-cp', `.:${jars}/*`, main], { cwd, env: { PORT: String(world.port) } });
}

export const spring = {
  name: 'Spring Boot',
  client: 'spring',
  path: true,
  needs,
  version,
  async run(world) {
    world.secretFile(join(world.folder, 'etc/spring.properties'), `spring.security.oauth2.client.registration.entree.client-secret=${world.secret}\n`);
    await launch(world, 'Application.java', 'application.yaml', 'com.example.app.Application');
    const person = world.person();
    const page = await person.open(`${world.app}/private`);
    const user = JSON.parse(page.text);
    assert.equal(user.email, person.address);
    const registration = { client_id: 'spring', client_secret: world.secret, redirect_uri: `${world.app}/login/oauth2/code/entree` };
    const api = await apiOf(world, registration, 'at+jwt');
    const end = await signOut(world, person, () => leave(world, person), '/private');
    assert.equal(end.text, 'Anyone may read this.');
    return ['code + PKCE, client_secret_basic, userinfo', ...api, 'sign-out and back'];
  },
};

export const springApi = {
  name: "Spring Boot's own decoder",
  client: 'spring-api',
  path: true,
  needs,
  version,
  async run(world) {
    // At a path Spring asks below it first. Without that document it has to find the one at the root of the host (RFC
    // 8414 §3.1).
    const { pathname } = new URL(world.issuer);
    if (pathname !== '/') world.proxied.withheld = `${pathname}/.well-known/openid-configuration`;
    await launch(world, 'Reports.java', 'reports.yaml', 'com.example.reports.Reports');
    return apiOf(world, { client_id: 'spring-api', redirect_uri: 'http://127.0.0.1:49152/callback' }, 'JWT');
  },
};

// The form of Spring's own page, which asks whether to sign out.
async function leave(world, person) {
  const { action, fields } = form(await person.ask(`${world.app}/logout`));
  return person.open(action, fields);
}

// An access token of this API, none, and others.
async function apiOf(world, registration, typ) {
  const call = (token) => world.person().send(`${world.app}/api/me`, undefined, token && { authorization: `Bearer ${token}` });
  const mine = await codeFlow(world, registration);
  assert.equal(header(mine.access_token).typ, typ);
  const good = await call(mine.access_token);
  assert.equal(good.status, 200, good.text);
  assert.equal(JSON.parse(good.text).sub, claims(mine.access_token).sub);
  const elsewhere = await codeFlow(world, { client_id: 'elsewhere', redirect_uri: 'http://127.0.0.1:49152/callback' });
  const bad = { none: undefined, 'for another API': elsewhere.access_token, 'an ID token': mine.id_token, 'a changed signature': `${mine.access_token.slice(0, -8)}AAAAAAAA` };
  for (const [what, token] of Object.entries(bad)) assert.equal((await call(token)).status, 401, what);
  return [`resource server: access token of type ${typ}, ${Object.keys(bad).length} bad ones refused`];
}
