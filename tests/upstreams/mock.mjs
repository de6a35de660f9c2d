// npm oauth2-mock-server: signs anything. A test spoils one response and checks how the service handles it.
import { createSign, generateKeyPairSync } from 'node:crypto';
import { OAuth2Issuer, OAuth2Service } from 'oauth2-mock-server';
import { Door } from './listen.mjs';

export async function mock() {
  const door = new Door();
  const issuer = new OAuth2Issuer();
  const service = new OAuth2Service(issuer);
  await issuer.keys.generate('RS256', { kid: 'one' });
  await door.open(service.requestHandler);
  issuer.url = door.origin;
  return new Mock(door, issuer, service);
}

class Mock {
  constructor(door, issuer, service) {
    Object.assign(this, { door, issuer: door.origin, keys: issuer.keys, service, subject: undefined });
    // It signs an access token too; only ID tokens carry a nonce or are for the client.
    service.on('beforeTokenSigning', (token) => {
      if (!('aud' in token.payload)) return;
      Object.assign(token.payload, { sub: this.subject, email: `${this.subject}@example.test`, email_verified: true });
      this.spoil.token?.(token);
    });
    service.on('beforeResponse', (response) => this.spoil.response?.(response));
    service.on('beforeAuthorizeRedirect', (redirect) => this.spoil.redirect?.(redirect.url));
    service.on('beforeUserinfo', (response) => {
      response.body = { sub: this.subject };
      this.spoil.userinfo?.(response);
    });
    this.honest();
  }

  // From now on as it should be, for a new person.
  honest() {
    this.spoil = {};
    this.subject = `mock-${++Mock.people}-${process.pid}`;
  }

  static people = 0;
}

const part = (value) => Buffer.from(JSON.stringify(value)).toString('base64url');
const parts = (token) => token.split('.').slice(0, 2).map((one) => JSON.parse(Buffer.from(one, 'base64url')));

// The token with another header and payload, signed by a key that the provider never published; or not at all.
export function resign(token, { header = {}, payload = {}, key = stranger } = {}) {
  const [oldHeader, oldPayload] = parts(token);
  const text = `${part({ ...oldHeader, ...header })}.${part({ ...oldPayload, ...payload })}`;
  return `${text}.${key ? createSign('sha256').update(text).sign(key).toString('base64url') : ''}`;
}
const stranger = generateKeyPairSync('rsa', { modulusLength: 2048 }).privateKey;
