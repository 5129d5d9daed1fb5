import type { Client } from "@tidegate/client";
import { useConflicts, useOutcomes, usePending, useStatus } from "@tidegate/client/react";
import type { RxDocument, RxQuery } from "rxdb";
import { useEffect, useMemo, useState } from "react";
import type { Model } from "tidegate-example-shared/model";
import { Articles, Inbox, Shell, Tasks, Waits } from "tidegate-example-shared/react";
import type { Session } from "tidegate-example-shared/session";
import { FIRST_FILTER, type Filter } from "tidegate-example-shared/words";
import type { Collections } from "./database.js";
import { articleEdits, taskEdits } from "./edits.js";

interface AppProps {
  readonly client: Client<Model>;
  readonly collections: Collections;
  readonly session: Session;
}

/** Documents come from RxDB. How they stand to the gateway, the client says: RxDB has no place for outcomes. */
export function App({ client, collections, session }: AppProps) {
  const { replication } = collections;
  return (
    <Shell session={session} status={useStatus(replication)} signOut={(options) => replication.signOut(options)}>
      <TaskList client={client} collections={collections} session={session} />
      <aside>
        <Inbox user={session.user} conflicts={useConflicts(client)} outcomes={useOutcomes(client)} />
        <ArticleList client={client} collections={collections} session={session} />
      </aside>
    </Shell>
  );
}

/** What a query of RxDB finds; undefined before the first answer. */
function useFound<T>(query: RxQuery<T, RxDocument<T>[]>): readonly T[] | undefined {
  const [found, setFound] = useState<{ readonly by: unknown; readonly documents: readonly T[] }>();
  useEffect(() => {
    const subscription = query.$.subscribe((documents) => {
      setFound({ by: query, documents: documents.map((it) => it.toJSON() as T) });
    });
    return () => {
      subscription.unsubscribe();
    };
  }, [query]);
  return found?.by === query ? found.documents : undefined;
}

function TaskList({ client, collections, session }: AppProps) {
  const [filter, setFilter] = useState(FIRST_FILTER);
  const query = useMemo(() => tasksOf(collections, filter), [collections, filter]);
  const found = useFound(query);
  const edits = useMemo(() => taskEdits(collections), [collections]);
  return (
    <Tasks
      tasks={found?.map((task) => ({ notes: null, ...task }))}
      audiences={session.audiences}
      filter={filter}
      onFilter={setFilter}
      edits={edits}
      waits={(id) => <PendingTask client={client} id={id} />}
    />
  );
}

/** Ids begin with the time: the newest come first. */
function tasksOf({ tasks }: Collections, { done, audience, limit }: Filter) {
  const selector = { done, ...(audience !== undefined && { audience }) };
  return tasks.find({ selector, sort: [{ id: "desc" }], limit });
}

function ArticleList({ client, collections, session }: AppProps) {
  const query = useMemo(() => collections.articles.find({ sort: [{ title: "asc" }], limit: 20 }), [collections]);
  const found = useFound(query);
  const edits = useMemo(() => articleEdits(collections), [collections]);
  return (
    <Articles
      articles={found?.map((article) => ({ ...article, text: article.text ?? null }))}
      audience={session.audiences[0] ?? `user:${session.user}`}
      edits={edits}
      waits={(id) => <PendingArticle client={client} id={id} />}
    />
  );
}

interface PendingProps {
  readonly client: Client<Model>;
  readonly id: string;
}

function PendingTask({ client, id }: PendingProps) {
  return <Waits edits={usePending(client.tasks, id).length} />;
}

function PendingArticle({ client, id }: PendingProps) {
  return <Waits edits={usePending(client.articles, id).length} />;
}
