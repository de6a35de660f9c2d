// What each program here prints once it can be measured: one line of JSON. tests/testkit/src/bin/peers reads it.
//   { version, issuer, pid, id, secret, scope, resource?, works: [...], form?: { field: value } }
// or { missing: reason }. It then runs until it is killed.
import { randomBytes } from 'node:crypto';

// Where the client's responses go: testkit::driver::provider::REDIRECT.
export const redirect = 'http://127.0.0.1:9/callback';

export const client = { id: 'peers', secret: randomBytes(32).toString('hex') };

// What a user enters at the provider's pages.
export const user = { name: 'degas', email: 'degas@school.test', password: 'arabesque' };

export function report(found) {
  console.log(JSON.stringify(found));
}

export function missing(reason) {
  report({ missing: reason });
  process.exit(0);
}
