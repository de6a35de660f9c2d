// npm oidc-provider in one process: `oidc-provider.mjs memory|postgres`. Tokens rotate and end with the session, as
// those of Entree do; ID tokens and the access tokens of client credentials are signed with ES256.
import { generateKeyPairSync, randomBytes } from 'node:crypto';
import { createServer } from 'node:http';
import { readFileSync } from 'node:fs';
import { freePort } from '../browser/ports.mjs';
import { client, missing, redirect, report, user } from './report.mjs';

const api = 'https://api.example.test';
const { version } = JSON.parse(readFileSync(new URL('node_modules/oidc-provider/package.json', import.meta.url)).toString());

async function store(kind) {
  if (kind !== 'postgres') return (await import('./memory.mjs')).default;
  const { default: PostgresStore, prepare } = await import('./postgres.mjs');
  await prepare();
  return PostgresStore;
}

const key = (kind, options, alg) => ({
  ...generateKeyPairSync(kind, options).privateKey.export({ format: 'jwk' }), alg, use: 'sig', kid: alg,
});

const configuration = (adapter) => ({
  adapter,
  jwks: { keys: [key('ec', { namedCurve: 'P-256' }, 'ES256'), key('rsa', { modulusLength: 2048 }, 'RS256')] },
  clients: [{
    client_id: client.id, client_secret: client.secret, redirect_uris: [redirect], response_types: ['code'],
    grant_types: ['authorization_code', 'refresh_token', 'client_credentials'], token_endpoint_auth_method: 'client_secret_basic',
    id_token_signed_response_alg: 'ES256',
  }],
  enabledJWA: { idTokenSigningAlgValues: ['ES256', 'RS256'] },
  scopes: ['openid', 'email'],
  claims: { openid: ['sub'], email: ['email', 'email_verified'] },
  findAccount: (_, id) => ({ accountId: id, claims: () => ({ sub: id, email: `${id}@example.test`, email_verified: true }) }),
  pkce: { required: () => true },
  issueRefreshToken: () => true,
  rotateRefreshToken: () => true,
  cookies: { keys: [randomBytes(32).toString('hex')] },
  ttl: { AccessToken: 600, AuthorizationCode: 60, ClientCredentials: 600, Grant: 86_400, IdToken: 600, Interaction: 600, RefreshToken: 86_400, Session: 86_400 },
  features: {
    devInteractions: { enabled: true },
    clientCredentials: { enabled: true },
    introspection: { enabled: true },
    resourceIndicators: {
      enabled: true,
      getResourceServerInfo: () => ({ scope: '', audience: api, accessTokenTTL: 600, accessTokenFormat: 'jwt', jwt: { sign: { alg: 'ES256' } } }),
    },
  },
});

try {
  // It says on the console which settings a real deployment would change.
  console.info = console.warn = () => {};
  const { default: Provider } = await import('oidc-provider');
  const port = await freePort();
  const issuer = `http://127.0.0.1:${port}`;
  const provider = new Provider(issuer, configuration(await store(process.argv[2])));
  provider.on('server_error', (_, error) => console.error(error.stack));
  const server = createServer({ keepAliveTimeout: 60_000 }, provider.callback());
  server.listen(port, '127.0.0.1', () => report({
    version: `${version} on Node ${process.versions.node}`, issuer, pid: process.pid, id: client.id, secret: client.secret,
    scope: 'openid email', resource: api, form: { login: user.name, password: user.password },
    works: ['code flow with a session', 'client credentials', 'refresh', 'userinfo', 'introspection', 'discovery'],
  }));
} catch (error) {
  missing(String(error.message ?? error));
}
