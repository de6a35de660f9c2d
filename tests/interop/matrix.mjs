// What is run: clients as the service knows them, and libraries. A new row is a line here and a program beside it.
import { generateKeyPairSync, randomBytes } from 'node:crypto';
import { freePort } from '../browser/ports.mjs';

export const audience = 'https://api.interop.example';
export const callback = 'http://127.0.0.1:49152/callback';
export const goodbye = 'http://127.0.0.1:49152/goodbye';
// The API behind that of the run, for which `exchanging` exchanges tokens.
const nextApi = 'https://next.interop.example';

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
const own = (kind, options, alg) => {
  const { privateKey, publicKey } = generateKeyPairSync(kind, options);
  const kid = `${alg} of this run, ${keys.size}`;
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

// Tokens bound to a key: of a client without a secret, and of one that follows FAPI 2.0.
confidential.bound = {
  ...base, scopes: kept.scopes, token_endpoint_auth_method: 'none', dpop_bound_access_tokens: true,
  require_pushed_authorization_requests: true,
};
const { grant_types, post_logout_redirect_uris, ...keyed } = own('ec', { namedCurve: 'P-256' }, 'ES256');
confidential.fapi2 = {
  ...keyed, profile: 'fapi2', redirect_uris: ['https://127.0.0.1:49152/callback'],
  id_token_signed_response_alg: 'ES256', scopes: [...kept.scopes, 'lessons:read'],
};
// Gets logout tokens, where its program listens while it runs.
const informing = async () => ({
  backchannel_logout_uri: `http://127.0.0.1:${await freePort()}/logout-token`, private_hosts: ['127.0.0.1'],
});
confidential.informed = {
  ...own('ec', { namedCurve: 'P-256' }, 'ES256'), assertion_audience: 'issuer', scopes: [...kept.scopes, 'lessons:read'],
  backchannel_logout_session_required: true, ...await informing(),
};
// An application and a device in one, which pushes its requests and gets logout tokens.
confidential.terminal = {
  ...base, token_endpoint_auth_method: 'none', grant_types: ['authorization_code', 'device_code'],
  require_pushed_authorization_requests: true, ...await informing(),
};
// All of it in one, with a key.
const exchange = [{ from: audience, to: nextApi, scopes: ['lessons:read'] }];
confidential.combined = {
  ...own('ec', { namedCurve: 'P-256' }, 'ES256'), assertion_audience: 'issuer', scopes: [...kept.scopes, 'lessons:read'],
  grant_types: ['authorization_code', 'device_code'], dpop_bound_access_tokens: true,
  require_pushed_authorization_requests: true, token_exchange: exchange, ...await informing(),
};
// A device, and an API that exchanges its tokens for those of the next API.
confidential.television = {
  ...base, token_endpoint_auth_method: 'none', grant_types: ['device_code'],
  scopes: ['openid', 'email', 'lessons:read'],
};
confidential.exchanging = {
  ...base, grant_types: [], token_endpoint_auth_method: 'client_secret_basic', client_secret: secret,
  token_exchange: exchange,
};

// The settings of its client that a program gets, as environment variables.
export const settingsFor = (client) => ({
  CLIENT_KEY: JSON.stringify(client.jwks ? keys.get(JSON.parse(client.jwks).keys[0].kid) : null),
  ID_ALG: client.id_token_signed_response_alg ?? 'RS256', ACCESS_ALG: client.access_token_alg ?? 'ES256',
  CLIENT_AUTH: client.token_endpoint_auth_method, CLIENT_SECRET: client.client_secret ?? '',
  EXCHANGING_SECRET: secret, NEXT_API: nextApi, LOGOUT_URI: client.backchannel_logout_uri ?? '',
  ...(client.profile && { REDIRECT_URI: client.redirect_uris[0] }),
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
// host, too. `bound`: its tokens need a proof of their key, which no verifier of this run is shown. `waits`: it polls
// for a device, most of its time, and runs beside the others.
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
  { name: 'openidconnect', ...rust('interop-client'), as: both, path: true },
  { name: 'docs/native-apps.md: curl', language: 'Shell', file: 'native-apps.sh', as: ['native'], path: true },
  { name: 'docs/clients.md: DPoP, openid-client', ...node('openid-client-bound.mjs'), as: ['bound'], bound: true },
  { name: 'oauth4webapi (PAR, DPoP)', ...node('oauth4webapi-bound.mjs'), as: ['bound'], bound: true },
  { name: 'openid-client (device, token exchange)', ...node('openid-client-device.mjs'), as: ['television'], waits: true },
  { name: 'oauth4webapi (device, token exchange)', ...node('oauth4webapi-device.mjs'), as: ['television'], waits: true },
  {
    name: 'requests-oauth2client (device)', ...python('requests_oauth2client_device.py'), as: ['television'], waits: true,
  },
  {
    name: 'go-oidc + golang.org/x/oauth2 (PAR, device, logout tokens)', ...go('features'), as: ['terminal'], path: true,
    waits: true,
  },
  // After the programs: a service that has just started cannot tell a new assertion from a replayed one for a minute.
  { name: 'openid-client (private_key_jwt)', late: true, ...node('openid-client-signing.mjs'), as: Object.keys(signing) },
  { name: 'openid-client (FAPI 2.0)', late: true, ...node('openid-client-fapi.mjs'), as: ['fapi2'], bound: true },
  { name: 'oauth4webapi (FAPI 2.0)', late: true, ...node('oauth4webapi-fapi.mjs'), as: ['fapi2'], bound: true },
  {
    name: 'requests-oauth2client (FAPI 2.0, token exchange)', late: true, ...python('requests_oauth2client_fapi.py'),
    as: ['fapi2'], bound: true,
  },
  {
    name: 'Authlib (private_key_jwt, token exchange, logout tokens)', late: true, ...python('authlib_signing.py'),
    as: ['informed'],
  },
  {
    name: 'Nimbus oauth2-oidc-sdk', late: true, language: 'Java', file: 'Client', as: ['combined'], bound: true,
    waits: true,
  },
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
