// docs/interop.md, from what a run did.
const cell = (text) => text.replaceAll('|', '\\|').replaceAll('\n', ' ');

export function table(rows) {
  const lines = rows.map(({ name, version, did, scheme, result }) =>
    `| ${[name, version || '–', did.join(', ') || '–', scheme, result].map(cell).join(' | ')} |`);
  return `# Interoperation

Written by a run: \`WRITE=1 tests/interop/run.sh\`. Each library ran unchanged against a running service; a client signed
in twice, with the algorithms that a client gets by default (ID token RS256, access token ES256) and with the two swapped.
Every access token went to every verifier, and forgeries of it: for another API, an ID token in its place, a changed
signature, changed claims, \`alg: none\`, a foreign key, an unknown \`kid\`, the public key as an HMAC secret.

| library | version | what was done | over | result |
|---|---|---|---|---|
${lines.join('\n')}
`;
}
