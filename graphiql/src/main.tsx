import './workers';
import 'graphiql/style.css';
import './style.css';
import { createGraphiQLFetcher, StorageAPI } from '@graphiql/toolkit';
import { GraphiQL } from 'graphiql';
import { useMemo } from 'react';
import { createRoot } from 'react-dom/client';
import { type Config, loadConfig } from './config';
import { headersOf, SignedIn } from './SignedIn';

const root = createRoot(document.getElementById('root')!);

try {
  root.render(<Page config={await loadConfig()} />);
} catch (error) {
  root.render(<p className="failure">{String(error)}</p>);
}

function Page({ config: { endpoint, users, tabs } }: { config: Config }) {
  const fetcher = useMemo(
    () => createGraphiQLFetcher({ url: endpoint, subscriptionUrl: endpoint, enableIncrementalDelivery: false }),
    [endpoint],
  );
  const [user] = users;
  return (
    <GraphiQL
      fetcher={fetcher}
      defaultTabs={tabs}
      initialVariables={firstVisit() ? tabs[0]?.variables : undefined}
      defaultHeaders={user && headersOf(user)}
      defaultEditorToolsVisibility="variables"
      inputValueDeprecation
      schemaDescription
      shouldPersistHeaders={false}
      showPersistHeadersSettings={false}
    >
      <GraphiQL.Logo>{user ? <SignedIn users={users} /> : undefined}</GraphiQL.Logo>
    </GraphiQL>
  );
}

/** GraphiQL fills the variables editor from what the browser has kept, not from the first of `defaultTabs`. */
function firstVisit(): boolean {
  return new StorageAPI().get('tabState') === null;
}
