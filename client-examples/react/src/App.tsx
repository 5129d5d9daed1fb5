import type { Client } from "@tidegate/client";
import { useConflicts, useLive, useOutcomes, usePending, useStatus } from "@tidegate/client/react";
import { useMemo, useState } from "react";
import type { Model } from "tidegate-example-shared/model";
import { Articles, Inbox, Shell, Tasks, Waits } from "tidegate-example-shared/react";
import type { Session } from "tidegate-example-shared/session";
import { FIRST_FILTER, type Filter } from "tidegate-example-shared/words";
import { articleEdits, taskEdits } from "./edits.js";

interface AppProps {
  readonly client: Client<Model>;
  readonly session: Session;
}

export function App({ client, session }: AppProps) {
  return (
    <Shell session={session} status={useStatus(client)} signOut={(options) => client.signOut(options)}>
      <TaskList client={client} session={session} />
      <aside>
        <Inbox user={session.user} conflicts={useConflicts(client)} outcomes={useOutcomes(client)} />
        <ArticleList client={client} session={session} />
      </aside>
    </Shell>
  );
}

/** Another filter is another query; the page shows what it finds when it has found it. */
function TaskList({ client, session }: AppProps) {
  const [filter, setFilter] = useState(FIRST_FILTER);
  const tasks = useLive(() => tasksOf(client, filter), [client, filter]);
  const edits = useMemo(() => taskEdits(client), [client]);
  return (
    <Tasks
      tasks={tasks}
      audiences={session.audiences}
      filter={filter}
      onFilter={setFilter}
      edits={edits}
      waits={(id) => <PendingTask client={client} id={id} />}
    />
  );
}

/**
 * The index of `done` and `due` in the model serves this query: it reads 50 tasks and not all. No task of the page has a
 * due date, so they come in the order of their ids, the newest first.
 */
function tasksOf(client: Client<Model>, { done, audience, limit }: Filter) {
  const where = { done: { eq: done }, ...(audience !== undefined && { audience: { eq: audience } }) };
  return client.tasks.live({ where, orderBy: ["due_DESC"], limit });
}

function ArticleList({ client, session }: AppProps) {
  const articles = useLive(() => client.articles.live({ orderBy: ["title_ASC"], limit: 20 }), [client]);
  const edits = useMemo(() => articleEdits(client), [client]);
  return (
    <Articles
      articles={articles}
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
