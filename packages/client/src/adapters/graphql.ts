/**
 * GraphQL on the device: the queries and mutations of {@link localSchema}, read from a document and answered by a client.
 * It knows no cache; the adapters of Apollo Client and urql do.
 */

import { ClientError } from "../core/errors.js";
import type { Inside } from "../client/inside.js";
import type { Query } from "../client/query.js";
import type { EditOptions, ModelValue } from "../client/types.js";
import { own } from "../core/records.js";
import { change, increment, type Intention } from "../core/values.js";
import type { Body, Policy, Value } from "../protocol.js";
import type {
  DefinitionNode,
  DirectiveNode,
  FieldNode,
  FragmentNode,
  OperationNode,
  SelectionSetNode,
  ValueNode,
} from "./ast.js";
import { Referred, type Refer } from "./referred.js";

/**
 * What a client answers itself, as an extension of the gateway's schema, for code generators: of each type the mutations
 * that create, update and delete its documents. Queries such as `task(id: …)` and `tasks(where: …)` are the gateway's, and are
 * answered on the device too.
 */
export function localSchema({ types }: ModelValue): string {
  const mutations: string[] = [];
  for (const type of Object.keys(types)) {
    mutations.push(
      `  create${type}(id: ID, document: ${type}Input!, policy: SyncPolicy): ${type}!`,
      `  update${type}(id: ID!, set: ${type}Patch, increment: ${type}Patch, add: ${type}Patch, remove: ${type}Patch, policy: SyncPolicy): ${type}!`,
      `  delete${type}(id: ID!, policy: SyncPolicy): ID!`,
    );
  }
  return `extend type Mutation {\n${mutations.join("\n")}\n}\n`;
}

/** The types of embedded documents. */
export function embeddedIn({ embedded = {} }: ModelValue): readonly string[] {
  return [...new Set(Object.values(embedded).flatMap((fields) => Object.values(fields)))];
}

/** What an operation's fields ask for. */
export type Variables = Readonly<Record<string, unknown>>;

/** A document as any parser makes it. */
export interface ParsedDocument {
  readonly definitions: readonly unknown[];
}

/** A root field of {@link localSchema}. */
interface Root {
  readonly does: "one" | "many" | "create" | "update" | "delete";
  readonly type: string;
}

/** A root field as an operation asks for it. */
interface Asked extends Root {
  readonly key: string;
  readonly name: string;
  /** As they are written, and without those that are null. */
  readonly written: Variables | undefined;
  readonly args: Variables;
  readonly selection: SelectionSetNode | undefined;
}

/** What is asked of one document, or of a list. */
interface Reading {
  readonly type: string;
  readonly query: Query;
  readonly show: (found: readonly Body[], refer: Refer) => unknown;
}

/** What an operation answers. */
export type Answer = Record<string, unknown>;

/** An operation that the client answers itself. */
export interface LocalOperation {
  readonly kind: "query" | "mutation";
  /** The root fields with their arguments, also as one text: operations with an equal one show the same. */
  readonly fields: readonly { readonly name: string; readonly args: Variables | undefined; readonly text: string }[];
  /** Answers a query now and after each change. Returns how to end it. */
  follow(onAnswer: (answer: Answer) => void, onError: (error: unknown) => void): () => void;
  /** Carries out a mutation, one root field after the other. It resolves when the edits are stored on the device. */
  perform(): Promise<Answer>;
}

/**
 * Reads an operation. Undefined if nothing of it is for the client: then it is for the gateway.
 *
 * @throws ClientError INVALID_QUERY
 */
export function localOperation(
  inside: Inside,
  document: ParsedDocument,
  given: Variables = {},
  operationName?: string,
): LocalOperation | undefined {
  const definitions = document.definitions as readonly DefinitionNode[];
  const operations = definitions.filter((it) => it.kind === "OperationDefinition");
  const operation = operations.find((it) => it.name?.value === operationName) ?? operations[0];
  if (!operation || operation.operation === "subscription") return undefined;
  return new Reader(inside, definitions, operation, given).read();
}

const ROOTS = new WeakMap<ModelValue, ReadonlyMap<string, Root>>();

/** The root fields of a model, as `query task`. */
function rootsOf(model: ModelValue): ReadonlyMap<string, Root> {
  const known = ROOTS.get(model);
  if (known) return known;
  const roots = new Map<string, Root>();
  for (const [type, { root, collection }] of Object.entries(model.types)) {
    roots.set(`query ${root}`, { does: "one", type });
    roots.set(`query ${collection}`, { does: "many", type });
    for (const does of ["create", "update", "delete"] as const) roots.set(`mutation ${does}${type}`, { does, type });
  }
  ROOTS.set(model, roots);
  return roots;
}

/** Fields that the gateway has and no document before its first answer: an own create is of version 0. */
const UNANSWERED: Body = { syncVersion: 0, syncScope: "", syncChangedAt: "1970-01-01T00:00:00.000Z" };

/** One operation with its variables. */
class Reader {
  readonly #fragments: ReadonlyMap<string, FragmentNode>;
  readonly #variables: Variables;

  constructor(
    readonly inside: Inside,
    definitions: readonly DefinitionNode[],
    readonly operation: OperationNode,
    given: Variables,
  ) {
    const fragments = definitions.filter((it) => it.kind === "FragmentDefinition");
    this.#fragments = new Map(fragments.map((it) => [it.name.value, it]));
    const defaults = (operation.variableDefinitions ?? []).map(({ variable, defaultValue }) => {
      return [variable.name.value, defaultValue && this.#value(defaultValue)] as const;
    });
    this.#variables = { ...Object.fromEntries(defaults), ...given };
  }

  read(): LocalOperation | undefined {
    const kind = this.operation.operation as "query" | "mutation";
    const roots = rootsOf(this.inside.model);
    const fields = this.#fields(this.operation.selectionSet, undefined);
    const asked: Asked[] = [];
    const others: string[] = [];
    for (const [key, { field, selection }] of fields) {
      const name = field.name.value;
      if (name === "__typename") continue;
      const root = roots.get(`${kind} ${name}`);
      const written = this.#arguments(field);
      if (root) asked.push({ ...root, key, name, written, args: withoutNulls(written), selection });
      else others.push(name);
    }
    if (others.includes("pushChanges")) {
      throw invalid("pushChanges would pass the edits that wait: use createTask and the like");
    }
    if (asked.length === 0) return undefined;
    if (others.length > 0) throw invalid(`${others.join(", ")} is the gateway's, and ${asked[0]?.name} is not`);
    const typename = fields.get("__typename") && { __typename: kind === "query" ? "Query" : "Mutation" };
    return {
      kind,
      fields: asked.map(({ name, args, written }) => ({ name, args: written, text: `${name} ${canonical(args)}` })),
      follow: (onAnswer, onError) => this.#follow(asked, typename ?? {}, onAnswer, onError),
      perform: () => this.#perform(asked, typename ?? {}),
    };
  }

  #follow(
    asked: readonly Asked[],
    typename: Answer,
    onAnswer: (answer: Answer) => void,
    onError: (error: unknown) => void,
  ): () => void {
    const { inside } = this;
    const found = new Map<string, readonly Body[]>();
    const readings = asked.map((field) => [field.key, this.#reading(field)] as const);
    const lives = readings.map(([key, { type, query }]) => [key, inside.live(type, query)] as const);
    const show = (): void => {
      if (found.size < lives.length) return;
      const answer = referred.follow((refer): Answer => {
        return Object.fromEntries(readings.map(([key, it]) => [key, it.show(found.get(key) ?? [], refer)]));
      });
      if (answer) onAnswer({ ...typename, ...answer });
    };
    const referred = new Referred(inside, show);
    const ends = lives.map(([key, live]) => {
      return live.subscribe((bodies) => {
        found.set(key, bodies);
        show();
      });
    });
    inside.opened.then(() => {
      if (inside.isClosed()) onError(new ClientError("CLOSED", "the client is closed"));
    }, onError);
    return () => {
      for (const end of ends) end();
      referred.end();
    };
  }

  #reading({ does, type, name, args, selection }: Asked): Reading {
    if (does === "one") {
      const query: Query = { where: { id: { eq: args.id as Value } } };
      return { type, query, show: ([body], refer) => (body ? this.#project(selection, type, body, refer) : null) };
    }
    const paged = ["after", "scope"].find((it) => it in args);
    if (paged !== undefined) throw invalid(`${name} takes no ${paged} on a device`);
    const { where, orderBy, first } = args as { where?: Query["where"]; orderBy?: string[]; first?: number };
    const query: Query = {
      ...(where && { where }),
      ...(orderBy && { orderBy: [orderBy].flat() }),
      ...(typeof first === "number" && { limit: first }),
    };
    const parts = this.#fields(selection, `${type}Connection`);
    const show = (found: readonly Body[], refer: Refer): unknown => {
      const part = ([key, { field, selection: inner }]: [string, Selected]): readonly [string, unknown] => {
        if (field.name.value === "__typename") return [key, `${type}Connection`];
        return [key, found.map((body) => this.#project(inner, type, body, refer))];
      };
      return Object.fromEntries([...parts].map(part));
    };
    const unknown = [...parts.values()].find(({ field }) => !["nodes", "__typename"].includes(field.name.value));
    if (unknown) throw invalid(`${name} has nodes, and no ${unknown.field.name.value}`);
    return { type, query, show };
  }

  async #perform(asked: readonly Asked[], typename: Answer): Promise<Answer> {
    const answer: Answer = { ...typename };
    for (const field of asked) answer[field.key] = await this.#edit(field);
    return answer;
  }

  async #edit({ does, type, args, selection }: Asked): Promise<unknown> {
    const { inside } = this;
    const { id: given, document = {}, policy } = args as { id?: string; document?: Body; policy?: Policy };
    if (typeof given !== "string" && does !== "create") throw invalid(`${does}${type} needs an id`);
    const id = given ?? crypto.randomUUID();
    const options: EditOptions = policy ? { policy } : {};
    if (does === "create") await inside.edit([{ op: "create", type, id, document: defined(document) }], options);
    else if (does === "update") await inside.edit([{ op: "update", type, id, changes: changesOf(args) }], options);
    else await inside.edit([{ op: "delete", type, id }], options);
    if (does === "delete") return id;
    const body = await inside.get(type, id);
    if (!body) throw new ClientError("GONE", `there is no ${type}/${id} any more`);
    return new Referred(inside).now((refer) => this.#project(selection, type, body, refer));
  }

  /** What a selection shows of a document, or of one embedded in it. Modules of earlier gateways name no embedded types. */
  #project(selection: SelectionSetNode | undefined, type: string | undefined, body: Body, refer: Refer): Answer {
    const shown: Answer = {};
    const { types, embedded = {} } = this.inside.model;
    const references = own(types, type ?? "")?.references ?? {};
    for (const [key, { field, selection: inner }] of this.#fields(selection, type)) {
      const name = field.name.value;
      const [target, by] = own(references, name) ?? [];
      if (name === "__typename") {
        if (type !== undefined) shown[key] = type;
      } else if (target !== undefined && by !== undefined) {
        const id = own(body, by);
        const other = typeof id === "string" ? refer(target, id) : undefined;
        shown[key] = other ? this.#project(inner, target, other, refer) : null;
      } else {
        const value = own(body, name) ?? own(UNANSWERED, name) ?? null;
        const held = own(own(embedded, type ?? "") ?? {}, name);
        shown[key] = inner ? this.#nested(inner, held, value, refer) : value;
      }
    }
    return shown;
  }

  #nested(selection: SelectionSetNode, type: string | undefined, value: Value, refer: Refer): unknown {
    if (Array.isArray(value)) {
      return (value as readonly Value[]).map((item) => this.#nested(selection, type, item, refer));
    }
    if (typeof value !== "object" || value === null) return value;
    return this.#project(selection, type, value as Body, refer);
  }

  /** The fields of a selection by response key, with fragments spread and what is skipped left out. */
  #fields(set: SelectionSetNode | undefined, type: string | undefined): Map<string, Selected> {
    const fields = new Map<string, Selected>();
    const collect = (selections: SelectionSetNode["selections"]): void => {
      for (const node of selections) {
        if (!this.#isIncluded(node.directives)) continue;
        if (node.kind === "Field") {
          const key = node.alias?.value ?? node.name.value;
          const before = fields.get(key)?.selection;
          const selection = before && node.selectionSet ? joined(before, node.selectionSet) : node.selectionSet;
          fields.set(key, { field: node, selection });
          continue;
        }
        const fragment = node.kind === "FragmentSpread" ? this.#fragments.get(node.name.value) : node;
        const condition = fragment?.typeCondition?.name.value;
        if (fragment && this.#isOf(type, condition)) collect(fragment.selectionSet.selections);
      }
    };
    collect(set?.selections ?? []);
    return fields;
  }

  /** Interfaces and the types of embedded documents are not in the client's model, so they fit. */
  #isOf(type: string | undefined, condition: string | undefined): boolean {
    if (type === undefined || condition === undefined || condition === type) return true;
    return !Object.hasOwn(this.inside.model.types, condition);
  }

  #isIncluded(directives: readonly DirectiveNode[] = []): boolean {
    return directives.every((directive) => {
      const { value } = directive.arguments?.find((it) => it.name.value === "if") ?? {};
      const holds = value === undefined || this.#value(value) === true;
      if (directive.name.value === "skip") return !holds;
      return directive.name.value !== "include" || holds;
    });
  }

  #arguments({ arguments: given }: FieldNode): Variables | undefined {
    if (!given || given.length === 0) return undefined;
    return Object.fromEntries(given.map((it) => [it.name.value, this.#value(it.value)] as const));
  }

  #value(node: ValueNode): unknown {
    switch (node.kind) {
      case "Variable":
        return own(this.#variables, node.name.value);
      case "NullValue":
        return null;
      case "ListValue":
        return node.values.map((it) => this.#value(it));
      case "ObjectValue":
        return Object.fromEntries(node.fields.map((it) => [it.name.value, this.#value(it.value)]));
      case "IntValue":
      case "FloatValue":
        return Number(node.value);
      default:
        return node.value;
    }
  }
}

/** A field, with the selections of all its occurrences. */
interface Selected {
  readonly field: FieldNode;
  readonly selection: SelectionSetNode | undefined;
}

function joined(one: SelectionSetNode, other: SelectionSetNode): SelectionSetNode {
  return { ...one, selections: [...one.selections, ...other.selections] };
}

/** The changes of an update: values, and what is added to counters and sets, or removed from them. */
function changesOf(args: Variables): Readonly<Record<string, Value | Intention>> {
  const parts = args as Readonly<Record<"set" | "increment" | "add" | "remove", Body | undefined>>;
  const [set, amounts] = [defined(parts.set ?? {}), defined(parts.increment ?? {})];
  const [added, removed] = [defined(parts.add ?? {}), defined(parts.remove ?? {})];
  const changes: Record<string, Value | Intention> = { ...set };
  for (const [field, by] of Object.entries(amounts)) changes[field] = increment(by as number | string);
  for (const field of [...Object.keys(added), ...Object.keys(removed)]) {
    changes[field] = change(itemsOf(own(added, field)), itemsOf(own(removed, field)));
  }
  const twice = Object.keys(set).find((field) => [amounts, added, removed].some((it) => Object.hasOwn(it, field)));
  if (twice !== undefined) throw new ClientError("INVALID_VALUE", `${twice} is set and changed at once`);
  return changes;
}

function itemsOf(value: Value | undefined): readonly Value[] {
  if (value === undefined) return [];
  return Array.isArray(value) ? (value as readonly Value[]) : [value];
}

/** A null argument is none. */
function withoutNulls(args: Variables = {}): Variables {
  return Object.fromEntries(Object.entries(args).filter(([, value]) => value !== null && value !== undefined));
}

/** A variable that was not given leaves a field as it is. */
function defined(body: Body): Body {
  return Object.fromEntries(Object.entries(body as Variables).filter(([, value]) => value !== undefined)) as Body;
}

/** The same text for the same arguments, in whatever order they come. */
function canonical(value: unknown): string {
  return JSON.stringify(value, (_, it: unknown) => {
    if (typeof it !== "object" || it === null || Array.isArray(it)) return it;
    return Object.fromEntries(Object.entries(it).sort(([a], [b]) => (a < b ? -1 : 1)));
  });
}

function invalid(message: string): ClientError {
  return new ClientError("INVALID_QUERY", message);
}
