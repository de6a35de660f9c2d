import * as oauth from 'oauth4webapi';
import { task, tell, verifier, version } from './program.mjs';

version('oauth4webapi');
const http = { [oauth.allowInsecureRequests]: task.issuer.startsWith('http:') };
const issuer = new URL(task.issuer);
const server = await oauth.processDiscoveryResponse(issuer, await oauth.discoveryRequest(issuer, http));
tell('did', 'access token as a resource server (RFC 9068 with `validateJwtAccessToken`)');
await verifier(async (token) => {
  const request = new Request('https://api.interop.example/', { headers: { authorization: `Bearer ${token}` } });
  const claims = await oauth.validateJwtAccessToken(server, request, task.audience, {
    ...http, signingAlgorithms: ['ES256', 'RS256'],
  });
  return claims.sub;
});
