// Proofs of possession (RFC 9449 §4.3) that an API accepts, and those that it refuses: each is a good one with one
// thing wrong. `ask` is what a request shows, and whether to a verifier that has just begun.
import { createHash, generateKeyPairSync, randomUUID, sign } from 'node:crypto';

export const api = 'https://api.example/school';
const [method, path, token] = ['GET', '/lessons', 'a.b.c'];

const hash = (text) => createHash('sha256').update(text).digest('base64url');
const part = (value) => Buffer.from(JSON.stringify(value)).toString('base64url');

// A key of a client, with its members in the order of the thumbprint (RFC 7638 §3.2).
function key(namedCurve = 'P-256') {
  const { privateKey, publicKey } = generateKeyPairSync('ec', { namedCurve });
  const { crv, kty, x, y } = publicKey.export({ format: 'jwk' });
  const { d } = privateKey.export({ format: 'jwk' });
  return { privateKey, jwk: { crv, kty, x, y }, d, jkt: hash(JSON.stringify({ crv, kty, x, y })) };
}

function signed(header, claims, { privateKey }) {
  const input = `${part(header)}.${part(claims)}`;
  return `${input}.${sign('sha256', Buffer.from(input), { key: privateKey, dsaEncoding: 'ieee-p1363' }).toString('base64url')}`;
}

export function proofCases() {
  const [own, other, rsa] = [key(), key(), generateKeyPairSync('rsa', { modulusLength: 2048 })];
  const now = Math.floor(Date.now() / 1000);
  const header = { typ: 'dpop+jwt', alg: 'ES256', jwk: own.jwk };
  const claims = () => ({ jti: randomUUID(), htm: method, htu: `${api}${path}`, iat: now, ath: hash(token) });
  const ask = (...proofs) => ({ proofs, method, path, token, jkt: own.jkt, isYoung: false });
  const proof = (change = {}, changedHeader = {}, by = own) =>
    signed({ ...header, ...changedHeader }, { ...claims(), ...change }, by);
  const seen = proof();
  const rsaInput = `${part({ ...header, alg: 'RS256', jwk: rsa.publicKey.export({ format: 'jwk' }) })}.${part(claims())}`;
  const byRsa = `${rsaInput}.${sign('sha256', Buffer.from(rsaInput), rsa.privateKey).toString('base64url')}`;
  const good = {
    'a proof': ask(seen),
    'another proof': ask(proof()),
    'with a query in htu': ask(proof({ htu: `${api}${path}?a=b#c` })),
    'with the default port in htu': ask(proof({ htu: 'HTTPS://API.example:443/school/lessons' })),
    'with an empty port in htu': ask(proof({ htu: 'https://api.example:/school/lessons#part' })),
    'with dot segments in htu': ask(proof({ htu: `${api}/./x/%2e%2E${path}` })),
    'with escapes in htu': ask(proof({ htu: 'https://%61pi.example/school/%6Cessons' })),
    'of a clock that is 20 s ahead': ask(proof({ iat: now + 20 })),
    'with more members': ask(proof({ more: 1, exp: now + 60 }, { kid: 'any' })),
  };
  const bad = {
    'no proof': ask(),
    'two proofs': ask(proof(), proof()),
    'one that was seen': ask(seen),
    'no JWT': ask('x'),
    'over 4 KiB': ask(proof({ more: 'x'.repeat(4096) })),
    'an access token': ask(proof({}, { typ: 'at+jwt' })),
    'no type': ask(proof({}, { typ: undefined })),
    'no algorithm': ask(`${part({ ...header, alg: 'none' })}.${part(claims())}.`),
    'RS256': ask(byRsa),
    'an empty crit': ask(proof({}, { crit: [] })),
    // jose, for one, knows this member.
    'a known crit': ask(proof({}, { crit: ['b64'], b64: true })),
    'an unknown crit': ask(proof({}, { crit: ['more'], more: 1 })),
    'no key': ask(proof({}, { jwk: undefined })),
    'the private key': ask(proof({}, { jwk: { ...own.jwk, d: own.d } })),
    'a key on another curve': ask(proof({}, { jwk: key('P-384').jwk })),
    'a signature by another key': ask(proof({}, {}, other)),
    'another key': ask(proof({}, { jwk: other.jwk }, other)),
    'no jti': ask(proof({ jti: undefined })),
    'a long jti': ask(proof({ jti: 'x'.repeat(513) })),
    'another method': ask(proof({ htm: 'POST' })),
    'no method': ask(proof({ htm: undefined })),
    'another address': ask(proof({ htu: `${api}/register` })),
    'another host': ask(proof({ htu: `https://evil.example${path}` })),
    'no address': ask(proof({ htu: undefined })),
    'a list of addresses': ask(proof({ htu: [`${api}${path}`] })),
    'another scheme': ask(proof({ htu: `http://api.example/school${path}` })),
    'another port': ask(proof({ htu: `https://api.example:8443/school${path}` })),
    'a port with a zero before it': ask(proof({ htu: `https://api.example:0443/school${path}` })),
    'a user in the address': ask(proof({ htu: `https://api.example@api.example/school${path}` })),
    'an address with a slash more': ask(proof({ htu: `${api}/${path}` })),
    'an address with a slash at its end': ask(proof({ htu: `${api}${path}/` })),
    'an address in another case': ask(proof({ htu: `${api}/Lessons` })),
    'an escaped slash': ask(proof({ htu: `${api}%2Flessons` })),
    'a malformed escape': ask(proof({ htu: `${api}${path}%` })),
    'backslashes': ask(proof({ htu: 'https:\\\\api.example\\school\\lessons' })),
    'a blank before the address': ask(proof({ htu: ` ${api}${path}` })),
    'a tab in the address': ask(proof({ htu: `${api}/les\tsons` })),
    'another token': ask(proof({ ath: hash('another') })),
    'no token': ask(proof({ ath: undefined })),
    'of 2 min ago': ask(proof({ iat: now - 120 })),
    'of 2 min ahead': ask(proof({ iat: now + 120 })),
    'no time': ask(proof({ iat: undefined })),
    'over': ask(proof({ exp: now - 60 })),
    'over by a little': ask(proof({ exp: now - 2 })),
    'with null for an end': ask(proof({ exp: null })),
    'with a text for an end': ask(proof({ exp: `${now + 60}` })),
    'not yet': ask(proof({ nbf: now + 120 })),
    'with null for a begin': ask(proof({ nbf: null })),
    'with null for a time': ask(proof({ iat: null })),
    'with a text for a time': ask(proof({ iat: `${now}` })),
    'after a restart': { ...ask(proof()), isYoung: true },
    'of a clock that is ahead, after a restart': { ...ask(proof({ iat: now + 20 })), isYoung: true },
  };
  return { good, bad };
}
