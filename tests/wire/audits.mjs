// Holds the endpoint named by the first argument, with the token of the second, against all audits of graphql-http.
// Prints one line of JSON: how many there were, and those that did not pass.
import { auditServer } from 'graphql-http';

const [url, token] = process.argv.slice(2);

// The audits know nothing of tokens.
const fetchFn = (input, init) =>
  fetch(input, { ...init, headers: { ...init?.headers, authorization: `Bearer ${token}` } });

const results = await auditServer({ url, fetchFn });
const failed = results
  .filter((result) => result.status !== 'ok')
  .map(({ name, status, reason }) => ({ name, status, reason }));
console.log(JSON.stringify({ audits: results.length, failed }));
