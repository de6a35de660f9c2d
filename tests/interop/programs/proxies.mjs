// Programs that stand before an application and give it the user.
import assert from 'node:assert/strict';
import { randomBytes } from 'node:crypto';
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { signOut } from './signing_out.mjs';
import { tools, versionOfDebian, versionOfGo } from './found.mjs';

export const oauth2Proxy = {
  name: 'oauth2-proxy',
  client: 'oauth2-proxy',
  path: true,
  needs: [[join(tools, 'go/oauth2-proxy'), 'no Go that is new enough; scripts/setup.sh interop says which']],
  version: () => versionOfGo('oauth2-proxy', 'github.com/oauth2-proxy/oauth2-proxy/v7'),
  async run(world) {
    world.secretFile(join(world.folder, 'etc/oauth2-proxy.cookie'), randomBytes(16).toString('hex'));
    const cwd = world.lay('oauth2-proxy.cfg');
    await world.launch([join(tools, 'go/oauth2-proxy'), '--config', 'oauth2-proxy.cfg'], { cwd });
    const person = world.person();
    const page = await person.open(`${world.app}/some/page`);
    const headers = JSON.parse(page.text);
    assert.equal(page.url, `${world.app}/some/page`);
    assert.equal(headers['x-forwarded-email'], person.address);
    assert.match(headers['x-forwarded-user'], /^[0-9a-f-]{36}$/);
    const end = await signOut(world, person, `/oauth2/sign_out?rd=${encodeURIComponent(`${world.issuer}/oauth2/logout`)}`, '/some/page');
    assert.equal(end.url.split('?', 1)[0], `${world.issuer}/logged-out`);
    return ['code + PKCE, client_secret_basic, the user in headers', 'sign-out'];
  },
};

const modules = '/usr/lib/apache2/modules';
const loaded = ['mpm_event', 'authz_core', 'authn_core', 'authz_user', 'auth_openidc', 'proxy', 'proxy_http', 'env'];

export const apache = {
  name: 'mod_auth_openidc',
  client: 'apache',
  path: true,
  needs: [[join(modules, 'mod_auth_openidc.so'), 'no apache2 with mod_auth_openidc; scripts/setup.sh interop installs it']],
  version: () => versionOfDebian('libapache2-mod-auth-openidc'),
  async run(world) {
    const secrets = `OIDCClientSecret ${world.secret}\nOIDCCryptoPassphrase ${randomBytes(32).toString('hex')}\n`;
    world.secretFile(join(world.folder, 'etc/apache-secrets.conf'), secrets);
    const cwd = world.lay('apache.conf');
    // What a distribution's own configuration does before it reads the files of its sites.
    writeFileSync(join(cwd, 'httpd.conf'), [
      `ServerRoot ${cwd}`, `Listen 127.0.0.1:${world.port}`, 'ServerName 127.0.0.1', 'PidFile httpd.pid', 'ErrorLog |/bin/cat',
      'DefaultRuntimeDir .', 'StartServers 1', 'ThreadsPerChild 8', 'MinSpareThreads 1', 'MaxSpareThreads 8', 'MaxRequestWorkers 8',
      ...loaded.map((name) => `LoadModule ${name}_module ${join(modules, `mod_${name}.so`)}`),
      ...(process.getuid() === 0 ? ['User www-data', 'Group www-data'] : []),
      ...(world.trust ? [`OIDCCABundlePath ${world.trust.ca}`] : []),
      'Include apache.conf', '',
    ].join('\n'));
    await world.launch(['/usr/sbin/apache2', '-f', join(cwd, 'httpd.conf'), '-D', 'FOREGROUND'], { cwd });
    const person = world.person();
    const page = await person.open(`${world.app}/some/page?q=1`);
    assert.equal(page.url, `${world.app}/some/page?q=1`);
    const headers = JSON.parse(page.text);
    assert.equal(headers.oidc_claim_email, person.address);
    assert.match(headers.oidc_claim_sub, /^[0-9a-f-]{36}$/);
    const end = await signOut(world, person, `/oidc/callback?logout=${encodeURIComponent(`${world.app}/bye`)}`, '/some/page');
    assert.equal(end.url, `${world.app}/bye`);
    return ['code + PKCE, client_secret_basic, userinfo, the user in headers', 'sign-out and back'];
  },
};
