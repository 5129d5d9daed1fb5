// What the client knows of the model: the types that it keeps, and the operations that it sends. It selects what it shows.

/** The first line of schema.graphql when this app was made. The gateway then knows which of both is older. */
export const API_HASH = "7d3367d5ea618811b581c3c55cf46cd3";

/**
 * A model by its types. Each has its key in a change, the fields that it selects, those that are merged as differences (1.8),
 * and the defaults that a create leaves out.
 */
export function modelOf(types) {
  const on = (name) => Object.entries(types).map(([type, { fields }]) => `... on ${name(type)} { ${fields} }`);
  const fields = on((type) => type).join(" ");
  const state = `{ __typename ${on((type) => `Sync${type}State`).join(" ")} }`;
  const document = `document { __typename id syncVersion syncScope ${fields} }`;
  return {
    types,

    changes: `subscription Changes(
  $checkpoint: Checkpoint, $types: [SyncType!], $refresh: [SyncType!], $reread: [ID!]
) {
  changes(checkpoint: $checkpoint, types: $types, refresh: $refresh, reread: $reread, limit: 1000) {
    checkpoint hasMore reset revokedScopes epoch digests { scope digest }
    changes { type documentId kind version scope ${document} }
  }
}`,

    push: `mutation Push($input: PushChangesInput!) {
  pushChanges(input: $input) {
    results {
      status version ${document} error { code message }
      conflict { conflictId fields { field mine theirs result } }
    }
  }
}`,

    conflicts: `subscription Conflicts {
  conflicts(first: 50) {
    nodes {
      id type documentId openedBy currentVersion fields mine ${state}
      current { __typename id ${fields} }
    }
    pageInfo { hasNextPage }
  }
}`,
  };
}

export const VIEWER = "query Viewer($clientId: ID) { viewer(clientId: $clientId) { id lastMutationId } }";

export const RESOLVE = `mutation Resolve($input: ResolveConflictInput!) {
  resolveConflict(input: $input) { result { status error { code message } } }
}`;

/** The types of the task list. */
export const MODEL = modelOf({
  Task: {
    root: "task",
    fields: "audience title notes done labels minutesSpent",
    merges: { labels: "SET", minutesSpent: "COUNTER" },
    defaults: { done: false, labels: [], minutesSpent: 0 },
  },
  Article: { root: "article", fields: "audience title text", merges: {}, defaults: {} },
});
