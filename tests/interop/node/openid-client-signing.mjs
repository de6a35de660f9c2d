// A client that signs with a key of its own, at every endpoint where clients authenticate; and the `claims` parameter.
import * as client from 'openid-client';
import { patiently, task, tell, tokens, version, visit } from './program.mjs';

version('openid-client');
const jwk = JSON.parse(process.env.CLIENT_KEY);
const kinds = {
  ES256: { name: 'ECDSA', namedCurve: 'P-256' }, PS256: { name: 'RSA-PSS', hash: 'SHA-256' }, EdDSA: { name: 'Ed25519' },
};
const key = await crypto.subtle.importKey('jwk', jwk, kinds[jwk.alg], false, ['sign']);
const insecure = task.issuer.startsWith('http:') ? [client.allowInsecureRequests] : [];
const config = await client.discovery(
  new URL(task.issuer), task.clientId, { id_token_signed_response_alg: task.idAlg },
  client.PrivateKeyJwt({ key, kid: jwk.kid }),
  { execute: [...insecure, client.enableNonRepudiationChecks] },
);

await patiently(() => client.clientCredentialsGrant(config));
tell('did', 'private_key_jwt with ES256, PS256 and EdDSA');
tell('did', 'client credentials');

const pkceCodeVerifier = client.randomPKCECodeVerifier();
const checks = { pkceCodeVerifier, expectedState: client.randomState(), expectedNonce: client.randomNonce() };
const back = await visit(client.buildAuthorizationUrl(config, {
  redirect_uri: task.redirectUri,
  scope: 'openid offline_access',
  prompt: 'consent',
  claims: JSON.stringify({ userinfo: { email: { essential: true } }, id_token: { email_verified: null } }),
  code_challenge: await client.calculatePKCECodeChallenge(pkceCodeVerifier),
  code_challenge_method: 'S256',
  state: checks.expectedState,
  nonce: checks.expectedNonce,
}));
const first = await client.authorizationCodeGrant(config, back, { ...checks, idTokenExpected: true });
const { sub, email, email_verified } = first.claims();
if (email !== undefined || email_verified !== true) throw new Error('the ID token does not tell what was asked');
const person = await client.fetchUserInfo(config, first.access_token, sub);
if (!person.email?.includes('@')) throw new Error('userinfo does not tell what was asked');
tell('did', 'code + PKCE with claims');

const introspection = await client.tokenIntrospection(config, first.access_token);
if (introspection.active !== true || introspection.sub !== sub) throw new Error('introspection does not know the token');
const second = await client.refreshTokenGrant(config, first.refresh_token);
await client.tokenRevocation(config, second.refresh_token);
await client.refreshTokenGrant(config, second.refresh_token).then(
  () => { throw new Error('a revoked token was taken'); },
  (error) => { if (error.error !== 'invalid_grant') throw error; },
);
tell('did', 'introspection, refresh, revocation');
tokens({ access: second.access_token, id: second.id_token });
