// Keycloak as the layer upstreams has it, with its database in memory, but with the memory and the compiler of a server
// that is to be fast, and with ES256.
import * as keycloak from '../upstreams/keycloak.mjs';
import { client, missing, redirect, report, user } from './report.mjs';

const realm = {
  realm: 'school', enabled: true, sslRequired: 'none', defaultSignatureAlgorithm: 'ES256',
  clients: [{
    clientId: client.id, secret: client.secret, enabled: true, protocol: 'openid-connect', publicClient: false,
    standardFlowEnabled: true, directAccessGrantsEnabled: false, serviceAccountsEnabled: true, redirectUris: [redirect],
    attributes: { 'pkce.code.challenge.method': 'S256', 'access.token.signed.response.alg': 'ES256', 'id.token.signed.response.alg': 'ES256' },
  }],
  users: [{
    username: user.name, email: user.email, emailVerified: true, firstName: 'Edgar', lastName: 'Degas', enabled: true,
    credentials: [{ type: 'password', value: user.password, temporary: false }],
  }],
};

// What it prints while it is fetched must not stand before the report.
console.log = console.error;
const reason = keycloak.missing();
console.log = (line) => process.stdout.write(`${line}\n`);
if (reason !== undefined) missing(reason);
const { issuer, pid } = await keycloak.start({ realm, java: ['-Xms512m', '-Xmx2g'] }).catch((error) => missing(error.message.slice(0, 500)));
report({
  version: keycloak.version, issuer, pid, id: client.id, secret: client.secret, scope: 'openid email',
  form: { username: user.name, password: user.password },
  works: ['code flow with a session', 'client credentials', 'refresh', 'userinfo', 'introspection', 'discovery'],
});
