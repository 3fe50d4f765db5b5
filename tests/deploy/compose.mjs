// deploy/compose/compose.yaml against the published schema of Compose: `compose.mjs FILE`. Exit 1 with a line for each
// breach. What the files mean, and whether the program takes them, is tests/deploy/compose.

import { existsSync, readFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';

const modules = join(dirname(fileURLToPath(import.meta.url)), 'node_modules');
if (!existsSync(join(modules, 'dclint'))) {
  console.log('skipped: the schemas are not installed (npm install in tests/deploy)');
  process.exit(0);
}
const require = createRequire(import.meta.url);
const { parse } = require('yaml');
const Ajv = require('ajv').default;
const schema = JSON.parse(readFileSync(join(modules, 'dclint/schemas/compose.schema.json'), 'utf8'));
delete schema.$schema; // draft-07, by another address than the one that ajv knows
const ajv = new Ajv({ allErrors: true, strict: false });
require('ajv-formats').default(ajv, { formats: ['duration', 'uri'] });
ajv.addFormat('expose', true).addFormat('ports', true).addFormat('subnet_ip_address', true);
const holds = ajv.compile(schema);

const file = parse(readFileSync(process.argv[2], 'utf8'));
const breaches = holds(file) ? [] : holds.errors.map((one) => `${one.instancePath} ${one.message}`);

// Whether it would find anything.
for (const [what, wrong] of [['a key that is not there', { services: { a: { imagge: 'x' } } }],
                             ['a wrong type', { services: { a: { image: 'x', read_only: 3 } } }]])
  if (holds(wrong)) breaches.push(`${what} is not found`);

console.log(`${Object.keys(file.services).length} services`);
for (const breach of breaches) console.log(breach);
process.exit(breaches.length ? 1 : 0);
