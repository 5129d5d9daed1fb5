/**
 * What a fresh device gets: pages from the beginning to the end, by a request of this module's own. It is no client.
 */

import { comparable, type Body } from "./device.js";

const QUERY = `query ($checkpoint: Checkpoint) {
  changesSince(checkpoint: $checkpoint) {
    checkpoint
    hasMore
    changes {
      type
      documentId
      kind
      document {
        id
        ... on Task { audience title notes done priority labels minutesSpent due projectId }
        ... on Project { audience name archived }
        ... on Article { audience title text }
      }
    }
  }
}`;

interface Page {
  readonly checkpoint: string;
  readonly hasMore: boolean;
  readonly changes: readonly {
    readonly type: string;
    readonly documentId: string;
    readonly kind: "UPSERT" | "DELETE" | "REVOKE";
    readonly document: Body | null;
  }[];
}

/** All documents that the user of a token may see, by `type/id`. */
export async function freshSync(url: string, token: string): Promise<Record<string, Body>> {
  const documents = new Map<string, Body>();
  for (let checkpoint: string | null = null, hasMore = true; hasMore;) {
    const page: Page = await pull(url, token, checkpoint);
    for (const { type, documentId, kind, document } of page.changes) {
      const key = `${type}/${documentId}`;
      if (kind === "UPSERT" && document) documents.set(key, document);
      else documents.delete(key);
    }
    ({ checkpoint, hasMore } = page);
  }
  return comparable(Object.fromEntries(documents));
}

async function pull(url: string, token: string, checkpoint: string | null): Promise<Page> {
  const response = await fetch(url, {
    method: "POST",
    headers: { "Content-Type": "application/json", Authorization: `Bearer ${token}` },
    body: JSON.stringify({ query: QUERY, variables: { checkpoint } }),
  });
  const { data, errors } = (await response.json()) as { data?: { changesSince: Page }; errors?: unknown };
  if (!data) throw new Error(`a fresh sync failed: ${JSON.stringify(errors)}`);
  return data.changesSince;
}
