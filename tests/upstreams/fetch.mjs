// Fetches and builds the providers that are programs of their own, where they are not there yet. The tests do so as
// well, for what is missing then.
import * as dex from './dex.mjs';
import * as hydra from './hydra.mjs';
import * as keycloak from './keycloak.mjs';

for (const [name, { missing }] of Object.entries({ dex, hydra, keycloak })) console.log(`${name}: ${missing() ?? 'there'}`);
