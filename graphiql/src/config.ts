/** The configuration that the page gets from `GET /graphiql/config.json`; `src/http/graphiql.rs` writes it. */
export interface Config {
  /** Path of the GraphQL endpoint, for HTTP and WebSocket alike. */
  endpoint: string;
  /** Whom the page can sign in as; empty outside `tidegate dev`. */
  users: User[];
  /** What a first visit shows; later ones find the tabs as they were left. */
  tabs: Tab[];
}

export interface User {
  name: string;
  token: string;
}

export interface Tab {
  query: string;
  /** JSON text, shown as it is. */
  variables: string;
}

export async function loadConfig(): Promise<Config> {
  const response = await fetch('/graphiql/config.json');
  if (!response.ok) {
    throw new Error(`The gateway answered ${response.status} to /graphiql/config.json.`);
  }
  return response.json();
}
