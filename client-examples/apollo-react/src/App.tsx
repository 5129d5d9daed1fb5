import { useApolloClient, useQuery } from "@apollo/client/react";
import type { Client, SignOutOptions } from "@tidegate/client";
import { useConflicts, useOutcomes, usePending, useStatus } from "@tidegate/client/react";
import { useMemo, useState } from "react";
import type { Model } from "tidegate-example-shared/model";
import { Articles, Inbox, Shell, Tasks, Waits } from "tidegate-example-shared/react";
import type { Session } from "tidegate-example-shared/session";
import { FIRST_FILTER } from "tidegate-example-shared/words";
import { ARTICLES, TASKS } from "./documents.js";
import { articleEdits, taskEdits } from "./edits.js";

interface AppProps {
  readonly client: Client<Model>;
  readonly session: Session;
}

/** Documents come by GraphQL; status, outcomes and conflicts are the client's own. */
export function App({ client, session }: AppProps) {
  const apollo = useApolloClient();
  const signOut = async (options?: SignOutOptions): Promise<void> => {
    await client.signOut(options);
    await apollo.clearStore();
  };
  return (
    <Shell session={session} status={useStatus(client)} signOut={signOut}>
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
  const { done, audience, limit } = filter;
  const where = { done: { eq: done }, ...(audience !== undefined && { audience: { eq: audience } }) };
  const { data } = useQuery(TASKS, { variables: { where, first: limit } });
  const apollo = useApolloClient();
  const edits = useMemo(() => taskEdits(apollo), [apollo]);
  return (
    <Tasks
      tasks={data?.tasks.nodes}
      audiences={session.audiences}
      filter={filter}
      onFilter={setFilter}
      edits={edits}
      waits={(id) => <PendingTask client={client} id={id} />}
    />
  );
}

function ArticleList({ client, session }: AppProps) {
  const { data } = useQuery(ARTICLES);
  const apollo = useApolloClient();
  const edits = useMemo(() => articleEdits(apollo), [apollo]);
  return (
    <Articles
      articles={data?.articles.nodes}
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
