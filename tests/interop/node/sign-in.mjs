// The parameters of one sign-in with openid-client, and what its response is checked against.
import * as client from 'openid-client';
import { task } from './program.mjs';

export const insecure = task.issuer.startsWith('http:') ? [client.allowInsecureRequests] : [];

export async function attempt() {
  const pkceCodeVerifier = client.randomPKCECodeVerifier();
  const [state, nonce] = [client.randomState(), client.randomNonce()];
  const parameters = {
    redirect_uri: task.redirectUri, scope: 'openid email offline_access', prompt: 'consent', state, nonce,
    code_challenge: await client.calculatePKCECodeChallenge(pkceCodeVerifier), code_challenge_method: 'S256',
  };
  return { parameters, checks: { pkceCodeVerifier, expectedState: state, expectedNonce: nonce, idTokenExpected: true } };
}
