// graphql-js behind one pipe: its answer to an operation, as JSON, one line for each line read.
// `{sdl, roots, documents, isDown}` sets schema and data and answers `{}`; `{query, variables}` answers `{refused}`, why
// it is not executed, or `{data, errors}`: data as text, since the order of its fields counts.
// `roots` holds what root fields answer, by their text as in `Query.task(id: "a")`. A value `{$fails: true}` is a resolver
// that fails, `{$reference: key}` one that loads a document, which fails if the store is down.
import { createInterface } from "node:readline";
import {
  assertValidSchema, buildSchema, execute, GraphQLError, isObjectType, isScalarType, isSpecifiedScalarType, parse,
  subscribe, validate,
} from "graphql";

let schema;
let data;

for await (const line of createInterface({ input: process.stdin })) {
  const request = JSON.parse(line);
  const answer = request.sdl === undefined ? await ask(request) : set(request);
  process.stdout.write(JSON.stringify(answer) + "\n");
}

function set(given) {
  data = given;
  schema = buildSchema(given.sdl);
  assertValidSchema(schema);
  for (const type of Object.values(schema.getTypeMap())) {
    if (isObjectType(type)) type.isTypeOf = isObject;
    if (isScalarType(type) && !isSpecifiedScalarType(type) && type.name !== "JSON") type.serialize = text;
  }
  return {};
}

function isObject(value) {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}

function text(value) {
  if (typeof value !== "string") throw new GraphQLError("not a text");
  return value;
}

async function ask({ query, variables }) {
  const document = parse(query);
  const [invalid] = validate(schema, document);
  if (invalid) return { refused: invalid.message };
  const [operation] = document.definitions;
  const args = { schema, document, variableValues: variables };
  if (operation.operation !== "subscription") {
    return told(await execute({ ...args, fieldResolver: resolve }));
  }
  // A stream that cannot begin is reported as an event whose field fails: clients of Tidegate get its error with a path.
  const events = await subscribe({
    ...args,
    subscribeFieldResolver: async function* () {
      yield {};
    },
    fieldResolver: resolve,
  });
  return told((await events.next()).value);
}

function told({ data, errors = [] }) {
  return { data: JSON.stringify(data ?? null), errors: errors.map(({ path, message }) => ({ path, message })) };
}

function resolve(source, _args, _context, info) {
  const value = info.path.prev ? source[info.fieldName] : data.roots[rootText(info)];
  if (value?.$fails) throw new Error("fails");
  if (!value?.$reference) return value;
  if (data.isDown) throw new Error("the store is down");
  return data.documents[value.$reference];
}

/** A root field as it is written, without its alias. */
function rootText({ parentType, fieldName, fieldNodes: [node] }) {
  const given = node.arguments;
  const text = given.length ? node.loc.source.body.slice(given[0].loc.start, given.at(-1).loc.end) : "";
  return `${parentType.name}.${fieldName}(${text})`;
}
