import * as client from 'openid-client';
import { task, tell, tokens, version, visit } from './program.mjs';

version('openid-client');
const insecure = task.issuer.startsWith('http:') ? [client.allowInsecureRequests] : [];
const config = await client.discovery(
  new URL(task.issuer), task.clientId, { id_token_signed_response_alg: task.idAlg }, client.None(),
  // Not left to TLS: the signature of the ID token is verified too.
  { execute: [...insecure, client.enableNonRepudiationChecks] },
);
tell('did', 'discovery');

// The way to the service and back; `checks` are what the exchange needs.
async function authorize() {
  const pkceCodeVerifier = client.randomPKCECodeVerifier();
  const checks = { pkceCodeVerifier, expectedState: client.randomState(), expectedNonce: client.randomNonce() };
  const back = await visit(client.buildAuthorizationUrl(config, {
    redirect_uri: task.redirectUri,
    scope: 'openid email',
    code_challenge: await client.calculatePKCECodeChallenge(pkceCodeVerifier),
    code_challenge_method: 'S256',
    state: checks.expectedState,
    nonce: checks.expectedNonce,
  }));
  return { back, checks: { ...checks, idTokenExpected: true } };
}

const { back, checks } = await authorize();
const answer = await client.authorizationCodeGrant(config, back, checks);
tell('did', 'code + PKCE');
if (!answer.claims()?.sub) throw new Error('no subject');
tell('did', 'ID token');

// Signed in already: no page. A wrong verifier is an error that the library knows.
const again = await authorize();
const wrong = { ...again.checks, pkceCodeVerifier: client.randomPKCECodeVerifier() };
await client.authorizationCodeGrant(config, again.back, wrong).then(
  () => { throw new Error('a wrong code_verifier gave tokens'); },
  (error) => { if (error.error !== 'invalid_grant') throw error; },
);
tell('did', 'invalid_grant for a wrong verifier');

const state = client.randomState();
const gone = await visit(client.buildEndSessionUrl(config, {
  id_token_hint: answer.id_token, post_logout_redirect_uri: task.goodbyeUri, state,
}));
if (gone.searchParams.get('state') !== state) throw new Error(`came back to ${gone}`);
tell('did', 'sign-out');
tokens({ access: answer.access_token, id: answer.id_token });
