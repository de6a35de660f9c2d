// Access tokens that no resource server may accept (RFC 9068 §4, RFC 8725 §2), made from a true one.
import { createHmac, createPublicKey, generateKeyPairSync, sign } from 'node:crypto';

const part = (value) => Buffer.from(JSON.stringify(value)).toString('base64url');
const parts = (token) => token.split('.').map((one, at) => (at < 2 ? JSON.parse(Buffer.from(one, 'base64url')) : one));
export const header = (token) => parts(token)[0];
export const claims = (token) => parts(token)[1];

// One bit of the subject, so that it is still JSON: what a broken signature check would let through.
function flipBit(token) {
  const [head, body, signature] = token.split('.');
  const bytes = Buffer.from(body, 'base64url');
  bytes[bytes.indexOf('"sub":"') + 7] ^= 1;
  return [head, bytes.toString('base64url'), signature].join('.');
}

export function forgeries({ access, elsewhere, idToken, jwks, strays }) {
  const [head, body, signature] = parts(access);
  const signed = (header, claims, by) => {
    const input = `${part(header)}.${part(claims)}`;
    return `${input}.${by(input)}`;
  };
  const foreign = generateKeyPairSync('ec', { namedCurve: 'P-256' }).privateKey;
  const byForeign = (input) => sign('sha256', Buffer.from(input), { key: foreign, dsaEncoding: 'ieee-p1363' }).toString('base64url');
  const rsa = jwks.keys.find((key) => key.kty === 'RSA');
  const pem = createPublicKey({ key: rsa, format: 'jwk' }).export({ type: 'spki', format: 'pem' });
  const flipped = signature.slice(0, 20) + (signature[20] === 'A' ? 'B' : 'A') + signature.slice(21);
  return {
    ...strays,
    'for another API': elsewhere,
    'an ID token': idToken,
    'a changed signature': `${access.split('.', 2).join('.')}.${flipped}`,
    'changed claims': signed(head, { ...body, roles: ['admin'] }, () => signature),
    'a bit flipped in the claims': flipBit(access),
    'no signature': signed({ ...head, alg: 'none' }, body, () => ''),
    'the key of another': signed(head, body, byForeign),
    'a key that we do not publish': signed({ ...head, kid: 'unknown' }, body, byForeign),
    'the public key as a shared secret': signed({ ...head, alg: 'HS256', kid: rsa.kid }, body, (input) =>
      createHmac('sha256', pem).update(input).digest('base64url')),
  };
}
