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

const pkceCodeVerifier = client.randomPKCECodeVerifier();
const [expectedState, expectedNonce] = [client.randomState(), client.randomNonce()];
const back = await visit(client.buildAuthorizationUrl(config, {
  redirect_uri: task.redirectUri,
  scope: 'openid email',
  code_challenge: await client.calculatePKCECodeChallenge(pkceCodeVerifier),
  code_challenge_method: 'S256',
  state: expectedState,
  nonce: expectedNonce,
}));
const answer = await client.authorizationCodeGrant(config, back, {
  pkceCodeVerifier, expectedState, expectedNonce, idTokenExpected: true,
});
tell('did', 'code + PKCE');
if (!answer.claims()?.sub) throw new Error('no subject');
tell('did', 'ID token');
tokens({ access: answer.access_token, id: answer.id_token });
