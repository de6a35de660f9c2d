import { createRemoteJWKSet, jwtVerify } from 'jose';
import { task, tell, verifier, version } from './program.mjs';

version('jose');
const keys = createRemoteJWKSet(new URL(`${task.issuer}/.well-known/jwks.json`), { cooldownDuration: 0 });
tell('did', 'access token (RFC 9068) with cached JWKS');
await verifier(async (token) => {
  const { payload } = await jwtVerify(token, keys, {
    issuer: task.issuer, audience: task.audience, algorithms: ['ES256', 'RS256'], typ: 'at+jwt',
    requiredClaims: ['exp', 'iat', 'sub', 'client_id', 'jti'],
  });
  return payload.sub;
});
