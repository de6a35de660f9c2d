// Web applications on Node.
import assert from 'node:assert/strict';
import { randomBytes } from 'node:crypto';
import { readFileSync, symlinkSync } from 'node:fs';
import { join } from 'node:path';
import { form } from '../person.mjs';
import { packages, tools, versionOfNode } from './found.mjs';
import { signOut } from './signing_out.mjs';

const needs = [[join(packages, 'express'), 'no packages in tests/interop/node']];

const application = (name, client, did) => ({
  name,
  client,
  needs,
  version: () => versionOfNode(name),
  async run(world) {
    const file = `${client}.mjs`;
    const cwd = world.lay(file);
    symlinkSync(packages, join(cwd, 'node_modules'));
    await world.launch([process.execPath, file], { cwd });
    const person = world.person();
    const page = await person.open(`${world.app}/private`);
    assert.equal(page.url, `${world.app}/private`);
    const user = JSON.parse(page.text);
    assert.equal(user.email, person.address);
    assert.match(user.sub, /^[0-9a-f-]{36}$/);
    const after = await signOut(world, person, '/logout', '/private');
    assert.equal(after.url, `${world.app}/`);
    assert.equal(after.text, 'Anyone may read this.');
    return [...did, 'sign-out and back'];
  },
});

export const expressOpenidConnect = { ...application('express-openid-connect', 'express', ['code + PKCE, client_secret_basic, userinfo']), path: true };
export const passport = application('passport-openidconnect', 'passport', ['code without PKCE, client_secret_post, userinfo']);

const next = join(tools, 'next');

// Its compiler wants the packages inside of the application's folder.
export const authJs = {
  name: 'Next.js with next-auth (Auth.js)',
  client: 'next',
  needs: [[join(next, '.entree-lock'), 'no packages of tests/interop/next']],
  version: () => ['next', 'next-auth'].map((name) => JSON.parse(readFileSync(join(next, 'node_modules', name, 'package.json'))).version).join(' + '),
  async run(world) {
    const cwd = world.layIn(next, 'auth.js', 'app/api/auth/[...nextauth]/route.js', 'app/private/route.js');
    const env = { NEXTAUTH_URL: world.app, NEXTAUTH_SECRET: randomBytes(32).toString('hex'), NEXT_TELEMETRY_DISABLED: '1' };
    const program = join(next, 'node_modules/next/dist/bin/next');
    await world.launch([process.execPath, program, 'dev', '-H', '127.0.0.1', '-p', String(world.port)], { cwd, env });
    const person = world.person();
    const press = async (page) => {
      const { action, fields } = form(page);
      return person.open(action, fields);
    };
    const page = await press(await person.open(`${world.app}/private`));
    assert.equal(page.url, `${world.app}/private`);
    const user = JSON.parse(page.text);
    assert.equal(user.email, person.address);
    assert.match(user.id, /^[0-9a-f-]{36}$/);
    await press(await person.open(`${world.app}/api/auth/signout`));
    assert.match((await person.open(`${world.app}/private`)).url, /\/api\/auth\/signin/);
    return ['code + PKCE, client_secret_basic, userinfo, session', 'sign-out of the application'];
  },
};
