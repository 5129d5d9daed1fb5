// What the client knows of the model: the types that it keeps, and the operations that it sends. It selects what it shows.

/** The first line of schema.graphql when this app was made. The gateway then knows which of both is older. */
export const API_HASH = "2ace779d2c0fb97fe2754597355b6113";

/** By type: its key in a change, the fields that are merged as differences (1.8), and the defaults of the model. */
export const TYPES = {
  Task: {
    root: "task",
    merges: { labels: "SET", minutesSpent: "COUNTER" },
    defaults: { done: false, labels: [], minutesSpent: 0 },
  },
  Article: { root: "article", merges: {}, defaults: {} },
};

const FIELDS = {
  Task: "audience title notes done labels minutesSpent",
  Article: "audience title text",
};
const fieldsOn = (name) =>
  Object.entries(FIELDS)
    .map(([type, fields]) => `... on ${name(type)} { ${fields} }`)
    .join(" ");
const DOCUMENT = `document { __typename id syncVersion syncScope ${fieldsOn((type) => type)} }`;
const STATE = `{ __typename ${fieldsOn((type) => `Sync${type}State`)} }`;

export const CHANGES = `subscription Changes($checkpoint: Checkpoint, $types: [SyncType!], $refresh: [SyncType!]) {
  changes(checkpoint: $checkpoint, types: $types, refresh: $refresh, limit: 1000) {
    checkpoint hasMore reset revokedScopes epoch changes { type documentId kind version scope ${DOCUMENT} }
  }
}`;

export const PUSH = `mutation Push($input: PushChangesInput!) {
  pushChanges(input: $input) {
    results {
      status version ${DOCUMENT} error { code message }
      conflict { conflictId fields { field mine theirs result } }
    }
  }
}`;

export const LAST = "query Last($clientId: ID) { viewer(clientId: $clientId) { lastMutationId } }";

export const CONFLICTS = `subscription Conflicts {
  conflicts(first: 50) {
    nodes {
      id type documentId openedBy currentVersion fields mine ${STATE}
      current { __typename id ${fieldsOn((type) => type)} }
    }
    pageInfo { hasNextPage }
  }
}`;

export const RESOLVE = `mutation Resolve($input: ResolveConflictInput!) {
  resolveConflict(input: $input) { result { status error { code message } } }
}`;
