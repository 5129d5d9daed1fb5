//! What `dev` shows a newcomer: the page's tabs, and a first operation to paste.

use std::{
    fmt::Write,
    net::{Ipv4Addr, SocketAddr},
};

use super::super::model::LoadedModel;
use crate::http::{DevUser, GraphiqlConfig, Tab};

/// The warning when others can reach a gateway whose key lies in a directory.
pub(super) const BEYOND_LOOPBACK: &str = "warning: `dev` listens beyond this machine: others reach GraphiQL and the schema, without tokens. \
    A token of this terminal, or the key, gives the right to read and write everything; use `serve` for anything but trying.";

/// A first push for the built-in example.
const EXAMPLE_PUSH: &str = "\
mutation Push {
  pushChanges(input: {changes: [
    {task: {create: {
      id: \"buy-milk\"
      document: {title: \"Buy milk\", audience: \"team:demo\"}
    }}}
  ]}) {
    results {
      documentId
      status
      version
      document { ... on Task { title audience done } }
      error { message }
    }
  }
}
";

const PULL: &str = "\
query Pull {
  changesSince {
    changes { type documentId kind version scope }
    checkpoint
    hasMore
  }
}
";

const FOLLOW: &str = "\
subscription Follow {
  changes {
    changes { type documentId kind version scope }
    checkpoint
  }
}
";

/// GraphiQL's configuration.
pub(super) fn page(loaded: &LoadedModel, users: &[DevUser]) -> GraphiqlConfig {
    let example = loaded.is_example().then_some(EXAMPLE_PUSH);
    let tab = |query: &str| Tab {
        query: query.to_owned(),
        variables: String::new(),
    };
    let tabs = [Some(PULL), example, Some(FOLLOW)]
        .into_iter()
        .flatten()
        .map(tab)
        .collect();
    GraphiqlConfig {
        endpoint: "/graphql".to_owned(),
        users: users.to_vec(),
        tabs,
    }
}

/// What the terminal shows.
pub(super) fn text(loaded: &LoadedModel, address: SocketAddr, users: &[DevUser]) -> String {
    let source = &loaded.source;
    let mut near = address;
    if address.ip().is_unspecified() {
        near.set_ip(Ipv4Addr::LOCALHOST.into());
    }
    let mut text = format!(
        "Tidegate serves {source} at http://{address}\n\n  Open http://{near}/ for GraphiQL, signed in as alice or bob.\n\n"
    );
    for user in users {
        writeln!(text, "Token for {}:\n{}\n", user.name, user.token)
            .expect("writing to a string does not fail");
    }
    text.push_str(&first_operation(near, users));
    text
}

fn first_operation(address: SocketAddr, users: &[DevUser]) -> String {
    let Some(user) = users.first() else {
        return String::new();
    };
    format!(
        "A first operation to paste:\n\ncurl http://{address}/graphql -H 'Content-Type: application/json' \\\n  -H 'Authorization: Bearer {}' \\\n  -d '{{\"query\":\"{{ changesSince {{ changes {{ type documentId kind version }} checkpoint hasMore }} }}\"}}'\n\n",
        user.token
    )
}
