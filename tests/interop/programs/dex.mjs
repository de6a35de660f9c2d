// dex, with Entree upstream of it, and an application behind dex.
import assert from 'node:assert/strict';
import { join } from 'node:path';
import { claims } from '../forge.mjs';
import { tools, versionOfGo } from './found.mjs';

export const dex = {
  name: 'dex (connector oidc)',
  client: 'dex',
  needs: [[join(tools, 'go/dex'), 'no Go that is new enough; scripts/setup.sh interop says which']],
  version: () => versionOfGo('dex', 'github.com/dexidp/dex').replace(/\+.*/, ''),
  async run(world) {
    const cwd = world.lay('dex.yaml');
    await world.launch([join(tools, 'go/dex'), 'dex.yaml', join(tools, 'go/dex-web')], { cwd, env: { DEX_CLIENT_SECRET: world.secret } });
    const back = `http://127.0.0.1:${world.upstream.address().port}/callback`;
    const query = { client_id: 'grafana', redirect_uri: back, scope: 'openid email profile', response_type: 'code', nonce: 'n-1' };
    const person = world.person();
    const page = await person.open(`${world.app}/dex/auth?${new URLSearchParams(query)}`);
    assert.ok(page.url.startsWith(back), `${page.url}: ${page.text.slice(0, 500)}`);
    const code = new URL(page.url).searchParams.get('code');
    const body = { grant_type: 'authorization_code', code, redirect_uri: back, client_id: 'grafana', client_secret: 'change-me' };
    const answer = await person.ask(`${world.app}/dex/token`, body);
    assert.equal(answer.status, 200, answer.text);
    const { iss, email, email_verified, name } = claims(JSON.parse(answer.text).id_token);
    assert.deepEqual({ iss, email, email_verified, name }, { iss: `${world.app}/dex`, email: person.address, email_verified: true, name: person.name });
    return ['code, client_secret_basic, name and email in the ID token, an application behind dex', 'a name is asked for'];
  },
};
