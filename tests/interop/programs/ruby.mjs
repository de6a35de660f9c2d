// Web applications in Ruby.
import assert from 'node:assert/strict';
import { form } from '../person.mjs';
import { versionOfDebian } from './found.mjs';
import { signOut } from './signing_out.mjs';

const needs = [['/usr/bin/rackup', 'no rackup; scripts/setup.sh interop installs it']];
const signedIn = ({ app }, person, page) => {
  assert.equal(page.url, `${app}/private`);
  const user = JSON.parse(page.text);
  assert.equal(user.email, person.address);
  assert.match(user.sub, /^[0-9a-f-]{36}$/);
};
const launch = (world, file) =>
  world.launch(['rackup', '-s', 'webrick', '-o', '127.0.0.1', '-p', String(world.port), file], { cwd: world.lay(file) });

export const ruby = {
  name: 'openid_connect (Ruby)',
  client: 'ruby',
  path: true,
  schemes: ['https by proxy', 'https'],
  needs: [...needs, ['/usr/share/doc/ruby-openid-connect', 'no ruby-openid-connect; scripts/setup.sh interop installs it']],
  version: () => versionOfDebian('ruby-openid-connect'),
  async run(world) {
    await launch(world, 'ruby.ru');
    const person = world.person();
    signedIn(world, person, await person.open(`${world.app}/private`));
    const end = await signOut(world, person, '/logout', '/private');
    assert.equal(end.text, 'Anyone may read this.');
    return ['discovery, code + PKCE, client_secret_basic, ID token, userinfo', 'sign-out and back'];
  },
};

export const rails = {
  name: 'omniauth_openid_connect (Rails)',
  client: 'rails',
  schemes: ['https by proxy', 'https'],
  needs: [...needs, ['/usr/share/doc/ruby-omniauth-openid-connect', 'no ruby-omniauth-openid-connect; scripts/setup.sh interop installs it']],
  version: () => versionOfDebian('ruby-omniauth-openid-connect'),
  async run(world) {
    await launch(world, 'rails.ru');
    const person = world.person();
    const press = async () => {
      const { action, fields } = form(await person.ask(`${world.app}/`));
      return person.open(action, fields);
    };
    signedIn(world, person, await press());
    const end = await person.open(`${world.app}/logout`);
    assert.equal(end.url, `${world.app}/`);
    signedIn(world, person, await press());
    assert.equal(person.signedIn, 2, 'Entree still had a session');
    return ['discovery, code, client_secret_basic, ID token, userinfo', 'sign-out and back'];
  },
};
