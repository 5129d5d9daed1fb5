//! Whether the gateway's user has the rights that the gateway needs, by the privileges that the server reports.

use std::iter::once;

use mongodb::{
    Client,
    bson::{Document, doc},
    options::ClientOptions,
};

use super::{
    super::error::{UNAUTHORIZED, code},
    ServerProblem, ServerRequirements,
    diagnosis::diagnose,
};
use crate::store::finding::{Finding, Topic};

/// On the collections of documents, the application's and Tidegate's.
const ON_DOCUMENTS: [&str; 4] = ["find", "insert", "update", "remove"];
/// On Tidegate's collections in addition.
const ON_OWN: [&str; 2] = ["createCollection", "createIndex"];
/// On the database as a whole, since one change stream covers all collections.
const ON_DATABASE: [&str; 3] = ["listCollections", "changeStream", "find"];

/// On the application's collections. Without it the gateway works, and searches for longer.
const TO_RELATE: &str = "listIndexes";

/// Which rights are missing.
///
/// # Errors
/// Why the user is not known.
pub(super) async fn check(
    client: &Client,
    options: &ClientOptions,
    needs: &ServerRequirements,
) -> Result<Finding, ServerProblem> {
    let status = doc! {"connectionStatus": 1, "showPrivileges": true};
    let status = client.database("admin").run_command(status).await;
    let status = match status {
        Ok(status) => status,
        Err(error) => return Err(diagnose(options, &error).await),
    };
    let info = status.get_document("authInfo").cloned().unwrap_or_default();
    match documents(&info, "authenticatedUsers").first() {
        Some(user) => {
            let privileges = documents(&info, "authenticatedUserPrivileges");
            Ok(judge(user, &privileges, needs))
        }
        None => {
            try_anonymously(client, options, needs).await?;
            Ok(Finding::good(
                Topic::Rights,
                "MongoDB asks for no user, and allows everything",
            ))
        }
    }
}

/// Whether a gateway may end the sessions of a dead one. Every user may end its own, but some hosted services allow
/// nobody. A session without work is ended to find out.
pub(super) async fn ending_sessions(client: &Client) -> Option<Finding> {
    let session = client.start_session().await.ok()?;
    let ended = doc! {"killSessions": [{"id": session.id().get("id")?}]};
    let refused = client.database("admin").run_command(ended).await.err()?;
    let code = code(&refused)?;
    let message = format!(
        "MongoDB does not let the gateway end its sessions (killSessions, code {code}): a gateway that dies in a transaction keeps the scope locked for transactionLifetimeLimitSeconds"
    );
    Some(Finding::warning(Topic::Rights, message))
}

/// A server without users allows everything. One with users answers with a refusal.
async fn try_anonymously(
    client: &Client,
    options: &ClientOptions,
    needs: &ServerRequirements,
) -> Result<(), ServerProblem> {
    match client
        .database(&needs.database)
        .list_collection_names()
        .await
    {
        Ok(_) => Ok(()),
        Err(error) if code(&error) == Some(UNAUTHORIZED) => Err(ServerProblem::Anonymous),
        Err(error) => Err(diagnose(options, &error).await),
    }
}

fn judge(user: &Document, privileges: &[Document], needs: &ServerRequirements) -> Finding {
    let may = |collection: &str, action: &str| {
        privileges.iter().any(|privilege| {
            covers(privilege, &needs.database, collection) && allows(privilege, action)
        })
    };
    let missing = missing(needs, may);
    let name = user.get_str("user").unwrap_or_default();
    if !missing.is_empty() {
        let problem = ServerProblem::Rights {
            user: name.to_owned(),
            made_in: user.get_str("db").unwrap_or("admin").to_owned(),
            actions: missing.join(" and "),
            database: needs.database.clone(),
        };
        return Finding::obstacle(Topic::Rights, problem.to_string());
    }
    let hidden = needs.application_names();
    let hidden: Vec<&str> = hidden.filter(|name| !may(name, TO_RELATE)).collect();
    match hidden.is_empty() {
        true => {
            let message = format!("the user {name} has all rights that a gateway needs");
            Finding::good(Topic::Rights, message)
        }
        false => Finding::warning(Topic::Rights, hidden_indexes(name, &hidden)),
    }
}

/// The missing actions, and on what. Collections that lack the same are named together.
fn missing(needs: &ServerRequirements, may: impl Fn(&str, &str) -> bool) -> Vec<String> {
    let on_own = [&ON_DOCUMENTS[..], &ON_OWN].concat();
    let application = needs.application_names();
    let application = application.map(|name| (name, &ON_DOCUMENTS[..]));
    let own = needs.own.iter().map(|name| (name.as_str(), &on_own[..]));
    let needed = once(("", &ON_DATABASE[..])).chain(application).chain(own);
    let mut missing: Vec<(Vec<&str>, Vec<&str>)> = Vec::new();
    for (collection, actions) in needed {
        let actions = actions.iter().copied();
        let lacks: Vec<&str> = actions.filter(|action| !may(collection, action)).collect();
        let name = match collection {
            "" => "the whole database",
            _ => collection,
        };
        match missing.last_mut() {
            _ if lacks.is_empty() => {}
            Some((actions, collections)) if *actions == lacks => collections.push(name),
            _ => missing.push((lacks, vec![name])),
        }
    }
    let missing = missing.iter().map(|(actions, collections)| {
        format!("{} on {}", actions.join(", "), collections.join(", "))
    });
    missing.collect()
}

fn hidden_indexes(user: &str, collections: &[&str]) -> String {
    let collections = collections.join(", ");
    format!(
        "the user {user} may not {TO_RELATE} of the collections {collections}: each document that MongoDB refuses there costs as many statements as its push has changes"
    )
}

/// Whether a privilege covers this collection. The empty name stands for the database as a whole.
fn covers(privilege: &Document, database: &str, collection: &str) -> bool {
    let Ok(resource) = privilege.get_document("resource") else {
        return false;
    };
    let is_on = |part, name| {
        let part = resource.get_str(part);
        part.is_ok_and(|part| part.is_empty() || part == name)
    };
    resource.get_bool("anyResource").is_ok_and(|any| any)
        || (is_on("db", database) && is_on("collection", collection))
}

fn allows(privilege: &Document, action: &str) -> bool {
    let actions = privilege.get_array("actions");
    actions.is_ok_and(|actions| {
        actions
            .iter()
            .any(|allowed| allowed.as_str() == Some(action))
    })
}

fn documents(info: &Document, name: &str) -> Vec<Document> {
    let list = info.get_array(name).map(Vec::as_slice).unwrap_or_default();
    list.iter()
        .filter_map(|item| item.as_document().cloned())
        .collect()
}

#[cfg(test)]
mod tests {
    use tidegate_core::id::IdType;

    use super::*;
    use crate::store::mongo::server::SyncedCollection;

    const GOOD: &str = "the user gateway has all rights that a gateway needs";

    fn judged(privileges: &[Document]) -> String {
        let collection = |name: &str| SyncedCollection {
            name: name.to_owned(),
            id_type: IdType::String,
        };
        let needs = ServerRequirements {
            database: "app".to_owned(),
            application: ["sites", "tasks"].map(collection).into(),
            own: vec!["tidegate.feed".to_owned()],
        };
        let user = doc! {"user": "gateway", "db": "admin"};
        judge(&user, privileges, &needs).message
    }

    fn reported(resource: Document, actions: &[&str]) -> String {
        judged(&[doc! {"resource": resource, "actions": actions}])
    }

    /// The narrowest role.
    fn narrow() -> Vec<(&'static str, Vec<&'static str>)> {
        let on_application = vec!["insert", "update", "remove", TO_RELATE];
        let on_own = [&on_application[..3], &ON_OWN].concat();
        vec![
            ("", ON_DATABASE.to_vec()),
            ("sites", on_application.clone()),
            ("tasks", on_application),
            ("tidegate.feed", on_own),
        ]
    }

    #[test]
    fn each_missing_right_is_named_with_its_collection() {
        let judge_role = |role: &[(&str, Vec<&str>)]| {
            let privileges = role.iter().map(|(collection, actions)| {
                let resource = doc! {"db": "app", "collection": *collection};
                doc! {"resource": resource, "actions": actions.clone()}
            });
            judged(&privileges.collect::<Vec<Document>>())
        };
        assert_eq!(judge_role(&narrow()), GOOD);
        for (at, (collection, actions)) in narrow().into_iter().enumerate() {
            for action in actions {
                let mut role = narrow();
                role[at].1.retain(|granted| *granted != action);
                let reported = judge_role(&role);
                let expected = match (collection, action) {
                    (_, TO_RELATE) => {
                        format!("may not listIndexes of the collections {collection}: ")
                    }
                    // It covers that of every collection.
                    ("", "find") => {
                        "may not find on the whole database, sites, tasks, tidegate.feed; "
                            .to_owned()
                    }
                    ("", _) => format!("may not {action} on the whole database; "),
                    _ => format!("may not {action} on {collection}; "),
                };
                assert!(reported.contains(&expected), "{expected}: {reported}");
            }
        }
    }

    #[test]
    fn a_missing_right_is_named_with_the_command_that_grants_it() {
        let all = [
            "find",
            "insert",
            "update",
            "remove",
            "createCollection",
            "createIndex",
            "listCollections",
            "changeStream",
            "listIndexes",
        ];
        for resource in [
            doc! {"db": "app", "collection": ""},
            doc! {"db": "", "collection": ""},
            doc! {"anyResource": true},
        ] {
            assert_eq!(reported(resource, &all), GOOD);
        }
        let warning = reported(doc! {"db": "app", "collection": ""}, &all[..8]);
        assert!(
            warning.starts_with(
                "the user gateway may not listIndexes of the collections sites, tasks: "
            ),
            "{warning}"
        );
        assert_eq!(
            reported(doc! {"db": "app", "collection": ""}, &all[..6]),
            "in the database app the user gateway may not listCollections, changeStream on the whole database; in mongosh: \
             use admin, then db.grantRolesToUser(\"gateway\", [{role: \"readWrite\", db: \"app\"}])"
        );
        for resource in [
            doc! {"db": "other", "collection": ""},
            doc! {"cluster": true},
        ] {
            assert!(reported(resource, &all).contains(
                "may not listCollections, changeStream, find on the whole database and find, insert"
            ));
        }
        let only_tasks = reported(doc! {"db": "app", "collection": "tasks"}, &all);
        assert!(
            only_tasks.contains("changeStream"),
            "of one collection it is not enough: {only_tasks}"
        );
    }
}
