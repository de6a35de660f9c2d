// What is run: clients as the service knows them, and libraries. A new row is a line here and a program beside it.
import { generateKeyPairSync, randomBytes } from 'node:crypto';
import { freePort } from '../browser/ports.mjs';

export const audience = 'https://api.interop.example';
export const callback = 'http://127.0.0.1:49152/callback';
export const goodbye = 'http://127.0.0.1:49152/goodbye';
// Where a program that takes logout tokens listens while it runs.
const backchannel_logout_uri = `http://127.0.0.1:${await freePort()}/logout`;

// Nothing listens there: the person stops before the redirect, and the port is free (RFC 8252 §7.3).
const redirect_uris = ['http://127.0.0.1/callback', 'http://127.0.0.1/auth/callback/entree'];
const base = { name: 'Interop', audience, redirect_uris, post_logout_redirect_uris: [goodbye], first_party: true };
export const clients = {
  // What a client gets that registers nothing special.
  public: { ...base, token_endpoint_auth_method: 'none' },
  // A third party, whose people are asked for consent, with the other algorithm for each token.
  other: {
    ...base, first_party: false, token_endpoint_auth_method: 'none', id_token_signed_response_alg: 'ES256',
    access_token_alg: 'RS256',
  },
  // An app that draws its own form, as docs/native-apps.md has it.
  native: {
    ...base, app_sign_in: true, token_endpoint_auth_method: 'none', scopes: ['openid', 'profile', 'email', 'offline_access'],
  },
  // An application and a device in one, which pushes its requests and learns of sign-outs.
  terminal: {
    ...base, token_endpoint_auth_method: 'none', grant_types: ['authorization_code', 'device_code'], backchannel_logout_uri,
    require_pushed_authorization_requests: true,
  },
  // For tokens that this run's API must refuse.
  elsewhere: { ...base, token_endpoint_auth_method: 'none', audience: 'https://other.interop.example' },
};

// With a secret, and with refresh tokens: left out where a build takes no such clients.
const secret = randomBytes(32).toString('base64url');
const kept = { ...base, client_secret: secret, scopes: ['openid', 'profile', 'email', 'offline_access'] };
export const confidential = {
  basic: { ...kept, token_endpoint_auth_method: 'client_secret_basic' },
  post: { ...kept, token_endpoint_auth_method: 'client_secret_post' },
};

// With keys of their own: the service has the public ones.
const keys = new Map();
const own = (kind, options, alg, kid = `${alg} of this run`) => {
  const { privateKey, publicKey } = generateKeyPairSync(kind, options);
  keys.set(kid, { ...privateKey.export({ format: 'jwk' }), alg, kid });
  return {
    ...base, scopes: kept.scopes, token_endpoint_auth_method: 'private_key_jwt',
    grant_types: ['authorization_code', 'client_credentials'],
    jwks: JSON.stringify({ keys: [{ ...publicKey.export({ format: 'jwk' }), alg, kid }] }),
  };
};
export const signing = {
  es256: own('ec', { namedCurve: 'P-256' }, 'ES256'),
  ps256: own('rsa', { modulusLength: 2048 }, 'PS256'),
  eddsa: own('ed25519', {}, 'EdDSA'),
};
Object.assign(confidential, signing);

// An API behind that of the run.
const grades = { identifier: 'https://grades.interop.example', scopes: { 'grades:read': { en: 'See your grades' } } };
export const resources = [grades];

// The settings of its client that a program gets, as environment variables.
export const settingsFor = (client) => ({
  CLIENT_KEY: JSON.stringify(client.jwks ? keys.get(JSON.parse(client.jwks).keys[0].kid) : null),
  ID_ALG: client.id_token_signed_response_alg ?? 'RS256', ACCESS_ALG: client.access_token_alg ?? 'ES256',
  LOGOUT_URI: client.backchannel_logout_uri ?? '',
  CLIENT_AUTH: client.token_endpoint_auth_method, CLIENT_SECRET: client.client_secret ?? '',
});

const node = (file) => ({ language: 'Node', file: `node/${file}` });
const python = (file) => ({ language: 'Python', file: `python/${file}` });
const go = (file) => ({ language: 'Go', file });
const rust = (file) => ({ language: 'Rust', file });
// Files out of a document, as they stand there: they take the algorithm of API tokens alone, verify proofs of
// possession, and need no person to verify.
const documented = { algs: ['ES256'], offline: true, path: true, proofs: true };
const both = ['public', 'other'];

// Each signs in once as each of `as`; its access tokens go to every verifier. `needs`: a member of the discovery
// document without which the library cannot work, or the row would show nothing. `path`: it is run at a path of the
// host, too.
export const clientLibraries = [
  { name: 'openid-client', ...node('openid-client.mjs'), as: both, path: true },
  {
    name: 'openid-client (confidential)', ...node('openid-client-confidential.mjs'), as: ['basic', 'post'],
  },
  { name: 'oauth4webapi', ...node('oauth4webapi.mjs'), as: both, path: true },
  { name: '@auth/core (Auth.js)', ...node('auth-core.mjs'), as: both },
  { name: 'oidc-client-ts', language: 'Browser', as: both, path: true },
  { name: 'Authlib', ...python('authlib_client.py'), as: both, path: true },
  { name: 'pyoidc', ...python('pyoidc_client.py'), as: both, path: true },
  { name: 'mozilla-django-oidc', ...python('django_client.py'), as: ['basic', 'post'] },
  { name: 'go-oidc + golang.org/x/oauth2', ...go('client'), as: both, path: true },
  { name: 'go-oidc + golang.org/x/oauth2 (devices, sign-outs)', ...go('features'), as: ['terminal'], path: true },
  { name: 'openidconnect', ...rust('interop-client'), as: both, path: true },
  { name: 'docs/native-apps.md: curl', language: 'Shell', file: 'native-apps.sh', as: ['native'], path: true },
  // After the programs: a service that has just started cannot tell a new assertion from a replayed one for a minute.
  { name: 'openid-client (private_key_jwt)', late: true, ...node('openid-client-signing.mjs'), as: Object.keys(signing) },
];

// Each reads the OpenAPI document and holds the service to it; without TLS, which changes nothing there.
export const documentReaders = [
  { name: 'Schemathesis', schemes: ['http'], ...python('openapi_document.py') },
];

// Each gets every access token of the run, and forgeries.
export const verifierLibraries = [
  { name: 'jose', ...node('verify-jose.mjs') },
  { name: 'oauth4webapi (resource server)', ...node('verify-oauth4webapi.mjs') },
  { name: 'PyJWT', ...python('verify_pyjwt.py') },
  { name: 'golang-jwt + keyfunc', ...go('verifier') },
  { name: 'jsonwebtoken', ...rust('interop-verifier') },
  { name: 'docs/verify-tokens.md: Node, jose', ...node('verify-document.mjs'), ...documented },
  { name: 'docs/verify-tokens.md: Python, PyJWT', ...python('verify_document.py'), ...documented },
  { name: 'docs/verify-tokens.md: Go, golang-jwt + keyfunc', ...go('document'), ...documented },
  { name: 'docs/verify-tokens.md: Java, Nimbus', language: 'Java', file: 'Main', ...documented },
];
