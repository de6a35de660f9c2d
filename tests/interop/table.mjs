// docs/interop.md, from what a run did.
const cell = (text) => text.replaceAll('|', '\\|').replaceAll('\n', ' ');

// `order`: names of rows; others follow.
export function table(rows, order) {
  const schemes = [...new Set(rows.map(({ scheme }) => scheme))];
  const names = [...new Set([...order, ...rows.map(({ name }) => name)])]
    .filter((name) => name !== 'all' && rows.some((row) => row.name === name));
  const lines = names.map((name) => {
    const of = rows.filter((row) => row.name === name);
    const run = of.find(({ version }) => version) ?? of[0];
    const results = schemes.map((scheme) =>
      rows.find((row) => row.scheme === scheme && (row.name === name || row.name === 'all'))?.result ?? '–');
    return `| ${[name, run.version || '–', run.did.join(', ') || '–', ...results].map(cell).join(' | ')} |`;
  });
  return `# Interoperation

Written by a run: \`WRITE=1 tests/interop/run.sh\`. Each library ran unchanged against a running service: over http on
loopback, over https behind a proxy that ends TLS, and over the listener for https. Those with a result in the last
column also ran against an issuer with a path, \`https://HOST/auth\`, behind a proxy that passes on what
[https.md](https.md#at-a-path-of-a-shared-host) says; neither they nor the user asked for anything else of the host.
oauth4webapi read the document of RFC 8414 at the root of the host, and so did Spring Boot's own decoder, from which the
one below the path was withheld.

Each client library signed a user in by the code from the email, as two public clients: a first-party one with the
algorithms that it gets by default (ID token RS256, access token ES256), and a third-party one with consent and the two
swapped; those with a secret as two such clients. The service asked for a nonce with each proof of possession (DPoP);
the clients for FAPI 2.0 have \`profile = "fapi2"\`. The user entered the codes of devices at \`/device\`. Access tokens
were exchanged for those of the next API, and signing out brought logout tokens to the clients that ask for them.

Every access token that needs no proof of a key then went to every verifier, and bad ones: expired, of another issuer
with the same keys, for another API, an ID token in its place, a changed signature, changed claims, a bit flipped,
\`alg: none\`, a foreign key under our \`kid\`, an unknown \`kid\`, the public key as an HMAC secret. The rows that name
a document ran what stands in it; its verifiers take ES256 alone, so that RS256 is one bad token more, and a token that
is bound to a key came to them without its proof, too.

Schemathesis read the OpenAPI document of the JSON API and made requests that it allows and that it forbids: the
service accepted and refused them as the document says, and every response was as described there.

The programs at the end ran with the files of their recipes in [clients.md](clients.md): a user without scripts opened
a protected page, signed in, was the right user there, and signed out where the program can. The API server of
Kubernetes takes issuers over https alone.

| library | version | what was done | ${schemes.join(' | ')} |
|---|---|---|${'---|'.repeat(schemes.length)}
${lines.join('\n')}

What needs care: \`@auth/core\` demands \`userinfo_endpoint\`, which OIDC Discovery §3 only recommends. oidc-client-ts runs
in a page of another origin, so its client needs \`allowed_origins\`; it reads the claims of the ID token and leaves the
signature to TLS (OIDC Core §3.1.3.7). Authlib makes assertions that live for an hour, and Entree accepts five minutes,
so the program of its row shortens them; it has no pushed requests and no logout tokens, which joserfc, on which it
stands, verified. requests-oauth2client does not read \`device_authorization_endpoint\` in the metadata, and cannot
validate an ID token beside a token that is bound to a key, so the programs give it the one and validate the other
apart. Nimbus puts no \`iat\` into assertions unless the program does, and
[configuration.md](configuration.md#clients-that-sign) says why it should. Neither golang.org/x/oauth2 nor go-oidc has a
call for pushed requests, so the program makes it.
`;
}
