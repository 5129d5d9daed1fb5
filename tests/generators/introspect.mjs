// Compares the schema that the gateway at SCHEMA_URL shows by introspection with schema.graphql, word for word.
import { equal } from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { buildClientSchema, buildSchema, getIntrospectionQuery, lexicographicSortSchema, printSchema } from 'graphql';

const print = (schema) => {
  // graphql-js prints no defaults that are objects.
  schema.getType('JSON').serialize = JSON.stringify;
  return printSchema(lexicographicSortSchema(schema));
};
const asks = { inputValueDeprecation: true, oneOf: true, schemaDescription: true, specifiedByUrl: true };
const response = await fetch(process.env.SCHEMA_URL, {
  method: 'POST',
  headers: { 'content-type': 'application/json', authorization: `Bearer ${process.env.TOKEN}` },
  body: JSON.stringify({ query: getIntrospectionQuery(asks) }),
});
const { data, errors } = await response.json();
equal(errors, undefined);
equal(print(buildClientSchema(data)), print(buildSchema(readFileSync('schema.graphql', 'utf8'))));
