// A client with a secret, and what it does after the sign-in: userinfo, refresh, revocation.
import * as client from 'openid-client';
import { task, tell, tokens, version, visit } from './program.mjs';

version('openid-client');
const authentication = { client_secret_basic: client.ClientSecretBasic, client_secret_post: client.ClientSecretPost };
const insecure = task.issuer.startsWith('http:') ? [client.allowInsecureRequests] : [];
const config = await client.discovery(
  new URL(task.issuer), task.clientId, { id_token_signed_response_alg: task.idAlg },
  authentication[process.env.CLIENT_AUTH](process.env.CLIENT_SECRET),
  { execute: [...insecure, client.enableNonRepudiationChecks] },
);
const pkceCodeVerifier = client.randomPKCECodeVerifier();
const checks = { pkceCodeVerifier, expectedState: client.randomState(), expectedNonce: client.randomNonce() };
const back = await visit(client.buildAuthorizationUrl(config, {
  redirect_uri: task.redirectUri,
  scope: 'openid email offline_access',
  // OIDC Core §11: without it offline_access may be left out.
  prompt: 'consent',
  code_challenge: await client.calculatePKCECodeChallenge(pkceCodeVerifier),
  code_challenge_method: 'S256',
  state: checks.expectedState,
  nonce: checks.expectedNonce,
}));
const first = await client.authorizationCodeGrant(config, back, { ...checks, idTokenExpected: true });
tell('did', 'client_secret_basic and client_secret_post');

const { sub } = first.claims();
const person = await client.fetchUserInfo(config, first.access_token, sub);
if (person.email_verified !== true) throw new Error('no verified address at userinfo');
tell('did', 'userinfo');

const second = await client.refreshTokenGrant(config, first.refresh_token);
if (!second.refresh_token || second.refresh_token === first.refresh_token) throw new Error('the refresh token stayed');
if (second.claims().sub !== sub) throw new Error('another subject');
tell('did', 'refresh with rotation');

await client.tokenRevocation(config, second.refresh_token);
await client.refreshTokenGrant(config, second.refresh_token).then(
  () => { throw new Error('a revoked token was taken'); },
  (error) => { if (error.error !== 'invalid_grant') throw error; },
);
tell('did', 'revocation');
tokens({ access: second.access_token, id: second.id_token });
