// A Django site with mozilla-django-oidc.
import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { randomBytes } from 'node:crypto';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { form } from '../person.mjs';
import { tools } from './found.mjs';
import { signOut } from './signing_out.mjs';

const python = join(tools, 'venv/bin/python');

export const django = {
  name: 'Django with mozilla-django-oidc',
  client: 'django',
  needs: [[join(tools, 'venv/.entree-lock'), 'no virtual environment for Python']],
  version: () => readFileSync(join(import.meta.dirname, '../python/requirements.txt'), 'utf8').match(/^mozilla-django-oidc==(.*)$/m)[1],
  async run(world) {
    const cwd = world.lay('settings.py', 'entree.py', 'urls.py');
    const env = { SECRET_KEY: randomBytes(32).toString('hex'), DJANGO_SETTINGS_MODULE: 'settings', PYTHONPATH: cwd, PYTHONDONTWRITEBYTECODE: '1' };
    const migrated = spawnSync(python, ['-m', 'django', 'migrate', '-v0'], { cwd, env: { ...process.env, ...env }, encoding: 'utf8' });
    assert.equal(migrated.status, 0, migrated.stderr);
    await world.launch([python, '-m', 'django', 'runserver', '--noreload', `127.0.0.1:${world.port}`], { cwd, env });
    const person = world.person();
    const page = await person.open(`${world.app}/private`);
    assert.equal(page.url, `${world.app}/private`, page.text);
    const user = JSON.parse(page.text);
    assert.equal(user.email, person.address);
    assert.match(user.sub, /^[0-9a-f-]{36}$/);
    const end = await signOut(world, person, async () => {
      const { action, fields } = form(await person.ask(`${world.app}/leave`));
      return person.open(action, fields);
    }, '/private');
    assert.equal(end.text, 'Anyone may read this.');
    return ['code + PKCE, client_secret_post, ID token, userinfo', 'sign-out and back'];
  },
};
