import type { ReactNode } from "react";
import type { Article } from "../model.js";
import { audienceName } from "../words.js";
import { Add, Text } from "./Text.js";

/** What a user does to articles. Two edits that did not know of each other meet in the inbox. */
export interface ArticleEdits {
  readonly create: (title: string, audience: string) => Promise<unknown>;
  readonly change: (id: string, fields: { title?: string; text?: string }) => Promise<unknown>;
  readonly delete: (id: string) => Promise<unknown>;
}

/** What a card shows of an article. */
export type ShownArticle = Pick<Article, "id" | "audience" | "title" | "text">;

interface ArticlesProps {
  readonly articles: readonly ShownArticle[] | undefined;
  /** Whom new articles are for. */
  readonly audience: string;
  readonly edits: ArticleEdits;
  readonly waits: (id: string) => ReactNode;
}

export function Articles({ articles, audience, edits, waits }: ArticlesProps) {
  return (
    <section className="card" aria-label="Articles">
      <h2>Articles</h2>
      <p className="about">Texts that the team agrees on. Of two edits a person makes one.</p>
      <ul className="rows" aria-busy={articles === undefined}>
        {articles?.map(({ id, title, text, ...article }) => (
          <li key={id} className="article" aria-label={title} data-testid="article">
            <div className="what">
              <Text
                label="Title"
                className="title"
                required
                value={title}
                onCommit={(it) => void edits.change(id, { title: it })}
              />
              {waits(id)}
            </div>
            <Text
              label="Text"
              placeholder="What it says"
              multiline
              value={text ?? ""}
              onCommit={(it) => void edits.change(id, { text: it })}
            />
            <div className="foot">
              <span className="team">{audienceName(article.audience)}</span>
              <button
                type="button"
                className="danger"
                aria-label={`Delete the article ${title}`}
                onClick={() => void edits.delete(id)}
              >
                Delete
              </button>
            </div>
          </li>
        ))}
      </ul>
      {articles?.length === 0 && <p className="empty">No article yet.</p>}
      <Add label="New article" className="add" onAdd={(title) => void edits.create(title, audience)} />
    </section>
  );
}
