// Validates operations.graphql against schema.graphql by graphql-js, in the current directory.
import { readFileSync } from 'node:fs';
import { buildSchema, parse, validate } from 'graphql';

const schema = buildSchema(readFileSync('schema.graphql', 'utf8'));
const mistakes = validate(schema, parse(readFileSync('operations.graphql', 'utf8')));
for (const mistake of mistakes) console.error(`graphql-js: ${mistake.message}`);
process.exitCode = mistakes.length === 0 ? 0 : 1;
