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

/// What the user sees, for any model.
const DOCUMENTS: &str = "\
# All that you may see, a page at a time. A device keeps the checkpoint, and
# sends it the next time: changesSince(checkpoint: \"…\") brings what is new.
query Documents {
  changesSince {
    changes { type documentId kind version scope }
    checkpoint
    hasMore
  }
}
";

const FOLLOW: &str = "\
# First what there is, and then each change soon after it happens.
# Leave it running, and push in another window.
subscription Follow {
  changes {
    changes { type documentId kind version scope }
    checkpoint
  }
}
";

/// The tabs of the built-in example between the two above, with their variables: a first push, an edit, a conflict, and
/// the inbox where it waits.
const EXAMPLE: [(&str, &str); 4] = [
    (
        "\
# A device adds a task and an article for the team of alice and bob.
mutation Push {
  pushChanges(input: {changes: [
    {task: {create: {
      id: \"buy-milk\"
      document: {title: \"Buy milk\", audience: \"team:demo\"}
    }}}
    {article: {create: {
      id: \"coffee\"
      document: {title: \"Coffee\", audience: \"team:demo\"}
    }}}
  ]}) {
    results {
      documentId
      status
      version
      error { message }
    }
  }
}
",
        "",
    ),
    (
        "\
# An edit names the version that it was made on, and what it sets.
# Another device may have edited other fields since: then it is MERGED.
mutation Edit {
  pushChanges(input: {changes: [
    {task: {update: {
      id: \"buy-milk\"
      baseVersion: 1
      set: {done: true}
    }}}
  ]}) {
    results {
      status
      version
      document { ... on Task { title done } }
    }
  }
}
",
        "",
    ),
    (
        "\
# Run it as alice. Then sign in as bob, write another title in the variables
# below, and run it again: bob's edit was made on version 1 too. Nothing is
# lost: his title waits in the inbox, which the next tab shows.
mutation Conflict($title: String!) {
  pushChanges(input: {changes: [
    {article: {update: {
      id: \"coffee\"
      baseVersion: 1
      set: {title: $title}
    }}}
  ]}) {
    results {
      status
      version
      document { ... on Article { title } }
      conflict { fields { field base mine theirs } }
    }
  }
}
",
        "{ \"title\": \"Black coffee\" }",
    ),
    (
        "\
# What waits for a person. resolveConflict ends it:
# docs/conflicts.md shows how.
query Inbox {
  conflicts {
    nodes {
      id
      documentId
      openedBy
      mine { ... on SyncArticleState { title } }
      theirs { ... on SyncArticleState { title } }
    }
  }
}
",
        "",
    ),
];

/// GraphiQL's configuration.
pub(super) fn page(loaded: &LoadedModel, users: &[DevUser]) -> GraphiqlConfig {
    let example: &[_] = match loaded.is_example() {
        true => &EXAMPLE,
        false => &[],
    };
    let tabs = [&[(DOCUMENTS, "")], example, &[(FOLLOW, "")]].concat();
    let tabs = tabs.into_iter().map(|(query, variables)| Tab {
        query: query.to_owned(),
        variables: variables.to_owned(),
    });
    GraphiqlConfig {
        endpoint: "/graphql".to_owned(),
        users: users.to_vec(),
        tabs: tabs.collect(),
    }
}

const WRITTEN: &str = "writing to a string does not fail";

/// What the terminal shows.
pub(super) fn text(loaded: &LoadedModel, address: SocketAddr, users: &[DevUser]) -> String {
    let source = &loaded.source;
    let mut near = address;
    if address.ip().is_unspecified() {
        near.set_ip(Ipv4Addr::LOCALHOST.into());
    }
    let mut text = format!(
        "Tidegate serves {source} at http://{address}\n\n  Open http://{near}/ for GraphiQL, signed in as alice or bob.\n"
    );
    if address.ip().is_loopback() && loaded.is_example() {
        writeln!(
            text,
            "  Open http://{near}/devices for two devices in step."
        )
        .expect(WRITTEN);
    }
    text.push('\n');
    for user in users {
        writeln!(text, "Token for {}:\n{}\n", user.name, user.token).expect(WRITTEN);
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
