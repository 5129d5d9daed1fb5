// How normalised caches keep documents apart. Each document has a `__typename` and an `id`, and two types may use one id: a
// cache that looks at the id alone makes one of a task and a project. Nothing but documents, conflicts and the viewer has an
// `id`: a change and a result have `documentId`. Do not alias it to `id`.
import introspection from "./generated/introspection.json" with { type: "json" };

const { types, queryType, mutationType, subscriptionType } = introspection.__schema;
const roots = [queryType, mutationType, subscriptionType].map(({ name }) => name);

/** Apollo Client: `new InMemoryCache({ possibleTypes })`. Without it `... on Task` in a `SyncDocument` matches nothing. */
export const possibleTypes: Record<string, string[]> = Object.fromEntries(
  types.flatMap(({ name, possibleTypes }) => (possibleTypes ? [[name, possibleTypes.map((type) => type.name)]] : [])),
);

/** Graphcache: `cacheExchange({ schema: introspection, keys })`. A type without an `id` is kept inside what it is part of. */
export const keys: Record<string, () => null> = Object.fromEntries(
  types
    .filter(({ kind, name }) => kind === "OBJECT" && !name.startsWith("__") && !roots.includes(name))
    .filter(({ fields }) => !fields?.some(({ name }) => name === "id"))
    .map(({ name }) => [name, () => null]),
);

/** Relay: `new Store(source)` in `new Environment({ store, network, getDataID })`. Its default looks at the id alone. */
export function getDataID(record: { readonly id?: unknown }, typeName: string): string | undefined {
  return typeof record.id === "string" ? `${typeName}:${record.id}` : undefined;
}

export { introspection };
