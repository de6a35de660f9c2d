// Where run.sh put what the programs need, and what versions these are.
import { spawnSync } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { join, resolve } from 'node:path';

export const tools = resolve(process.env.INTEROP_TOOLS ?? 'target/interop');

// The version of a Go module that stands in tests/interop/go/FOLDER/go.mod.
export function versionOfGo(folder, module) {
  const text = readFileSync(join(import.meta.dirname, '../go', folder, 'go.mod'), 'utf8');
  return text.match(new RegExp(`${module.replaceAll('.', '\\.')} (v\\S+)`))[1];
}

export const packages = join(import.meta.dirname, '../node/node_modules');
export const versionOfNode = (name) => JSON.parse(readFileSync(join(packages, name, 'package.json'))).version;

// Of a package of Debian, without what Debian adds to it.
export const versionOfDebian = (name) =>
  spawnSync('dpkg-query', ['-W', '-f=${Version}', name], { encoding: 'utf8' }).stdout.replace(/-[^-]*$/, '');
