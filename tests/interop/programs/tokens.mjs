// Tokens by code + PKCE, as a client of its own gets them.
import assert from 'node:assert/strict';
import { createHash, randomBytes } from 'node:crypto';

export async function codeFlow(world, { client_id, client_secret, redirect_uri }) {
  const person = world.person();
  const code_verifier = randomBytes(32).toString('base64url');
  const code_challenge = createHash('sha256').update(code_verifier).digest('base64url');
  const query = { client_id, redirect_uri, scope: 'openid email', response_type: 'code', code_challenge, code_challenge_method: 'S256', nonce: 'n-1' };
  const back = new URL(await person.visit(`${world.issuer}/oauth2/authorize?${new URLSearchParams(query)}`));
  const code = back.searchParams.get('code');
  assert.ok(code, `no code: ${back.search}`);
  const body = new URLSearchParams({ grant_type: 'authorization_code', code, code_verifier, redirect_uri, ...(client_secret ? {} : { client_id }) });
  const answer = await person.send(`${world.issuer}/oauth2/token`, String(body), {
    'content-type': 'application/x-www-form-urlencoded',
    ...(client_secret && { authorization: `Basic ${Buffer.from(`${client_id}:${client_secret}`).toString('base64')}` }),
  });
  assert.equal(answer.status, 200, answer.text);
  return { person, ...JSON.parse(answer.text) };
}
