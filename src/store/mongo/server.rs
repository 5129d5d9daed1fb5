//! Examines a MongoDB deployment before the store is opened: whether it can be reached, is of a kind and version that
//! can keep the promises, and lets the gateway do its work. Each finding is a sentence that says what to do.

mod collections;
mod diagnosis;
mod rights;

use std::time::Duration;

use mongodb::{
    Client,
    bson::{Document, doc},
    error::{Error, ErrorKind},
    options::ClientOptions,
};
use thiserror::Error as ThisError;
use tokio::time::timeout;

use self::diagnosis::diagnose;
use super::opening::primary;
use crate::store::StoreError;

/// How long all checks may take once a server is selected. A server that hangs is not waited for.
const ANSWERS_MAX: Duration = Duration::from_secs(15);
/// The wire version of MongoDB 6.0.
const WIRE_VERSION_MIN: i32 = 17;

/// What a gateway needs of a deployment.
#[derive(Debug, Clone)]
pub(super) struct ServerRequirements {
    /// The database of the store.
    pub(super) database: String,
    /// The application's collections, whose documents are read and written.
    pub(super) application: Vec<String>,
    /// Those of them whose ids are texts.
    pub(super) with_text_ids: Vec<String>,
    /// Tidegate's own collections, which the gateway creates too.
    pub(super) own: Vec<String>,
}

/// The kind of the server.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Server {
    /// A member of a replica set.
    Member,
    /// The router of a sharded cluster.
    Router,
}

/// The result of an examination.
#[derive(Debug)]
pub(super) struct Examined {
    /// The kind of the server.
    pub(super) server: Server,
    /// What its operator should look at, one sentence each. None of it prevents serving.
    pub(super) warnings: Vec<String>,
}

/// Why a deployment cannot be used.
#[derive(Debug, Clone, PartialEq, Eq, ThisError)]
pub(super) enum ServerProblem {
    /// No server answers.
    #[error("MongoDB cannot be reached: {0}; see that it runs, and that store.url names it")]
    Unreachable(String),
    /// A server takes connections and does not speak.
    #[error(
        "{host} takes connections and does not answer as MongoDB does: {reason}; see that store.url has tls=true if the server wants TLS and only then, and that the server's certificate is of this name and of an authority that tlsCAFile names"
    )]
    Silent {
        /// The host.
        host: String,
        /// What it answered instead.
        reason: String,
    },
    /// The name of a `mongodb+srv` URL, or of a host.
    #[error("the hosts of store.url cannot be looked up: {0}")]
    Lookup(String),
    /// The replica set has no primary now, or none that can be reached.
    #[error("the replica set {set} has no primary that can be reached{hint}")]
    NoPrimary {
        /// Its name.
        set: String,
        /// A possible reason, or nothing.
        hint: String,
    },
    /// A member of a replica set that does not exist yet.
    #[error("{0} waits to become part of a replica set; run rs.initiate() on it")]
    NotInitiated(String),
    /// Another failure that may pass.
    #[error("MongoDB does not answer as it should: {0}")]
    Failing(String),
    /// The server has no transactions.
    #[error(
        "{0} is a standalone server, which has no transactions; make it a replica set (one node is enough): start mongod with --replSet rs0 and run rs.initiate()"
    )]
    Standalone(String),
    /// The server belongs to another replica set than the one named.
    #[error(
        "{host} belongs to the replica set {found}, and store.url names {named}; set replicaSet={found}"
    )]
    OtherSet {
        /// The host that answered.
        host: String,
        /// The set that it belongs to.
        found: String,
        /// The set that was named.
        named: String,
    },
    /// The server is older than 6.0.
    #[error("MongoDB is of version {0}; Tidegate needs 6.0 or later")]
    TooOld(&'static str),
    /// The user, the password or the database of users is wrong.
    #[error(
        "MongoDB refuses the user {user}: {reason}; see that user and password are right, and that authSource in store.url names the database the user was made in"
    )]
    Credentials {
        /// The user that was refused.
        user: String,
        /// The server's message.
        reason: String,
    },
    /// No user was named, and the server requires one.
    #[error(
        "MongoDB asks who the gateway is; set store.username and store.password, the latter best through the environment"
    )]
    Anonymous,
    /// The user lacks rights.
    #[error(
        "in the database {database} the user {user} may not {actions}; in mongosh: use {made_in}, then db.grantRolesToUser(\"{user}\", [{{role: \"readWrite\", db: \"{database}\"}}])"
    )]
    Rights {
        /// The user.
        user: String,
        /// The database in which the user was created.
        made_in: String,
        /// The missing actions, and on what.
        actions: String,
        /// The database in which they are missing.
        database: String,
    },
    /// Something else created one of Tidegate's own collections.
    #[error(
        "the collection {name}, which Tidegate keeps for itself, {oddity}; remove it, or set another store.prefix"
    )]
    OwnCollection {
        /// The name of the collection.
        name: String,
        /// What is wrong with it.
        oddity: &'static str,
    },
    /// Options that contradict one another, or certificates that cannot be read.
    #[error("store.url cannot be used: {0}")]
    Options(String),
}

impl ServerProblem {
    /// Whether the problem may pass by itself.
    fn may_pass(&self) -> bool {
        use ServerProblem::{Failing, Lookup, NoPrimary, NotInitiated, Silent, Unreachable};
        matches!(
            self,
            Unreachable(_)
                | Silent { .. }
                | Lookup(_)
                | NoPrimary { .. }
                | NotInitiated(_)
                | Failing(_)
        )
    }
}

impl From<ServerProblem> for StoreError {
    fn from(problem: ServerProblem) -> Self {
        if problem.may_pass() {
            Self::Unavailable(problem.to_string())
        } else {
            Self::Unsuitable(problem.to_string())
        }
    }
}

/// Examines the deployment that these options lead to.
///
/// # Errors
/// The first [`ServerProblem`] found.
pub(super) async fn examine(
    client: &Client,
    options: &ClientOptions,
    needs: &ServerRequirements,
) -> Result<Examined, ServerProblem> {
    let selection_max = options.server_selection_timeout.unwrap_or_default();
    let looked = timeout(
        selection_max + ANSWERS_MAX,
        examine_deployment(client, options, needs),
    )
    .await;
    looked.unwrap_or_else(|_| Err(ServerProblem::Failing("no answer in time".to_owned())))
}

async fn examine_deployment(
    client: &Client,
    options: &ClientOptions,
    needs: &ServerRequirements,
) -> Result<Examined, ServerProblem> {
    let admin = client.database("admin");
    let hello = admin.run_command(doc! {"hello": 1});
    let server = match hello.selection_criteria(primary()).await {
        Ok(hello) => judge(&hello)?,
        Err(error) => return Err(diagnose(options, &error).await),
    };
    let mut warnings: Vec<String> = rights::check(client, options, needs)
        .await?
        .into_iter()
        .collect();
    warnings.extend(collections::survey(client, needs).await?);
    warnings.extend(rights::ending_sessions(client).await);
    Ok(Examined { server, warnings })
}

/// The kind of a server by its `hello`, or why it cannot keep the promises.
fn judge(hello: &Document) -> Result<Server, ServerProblem> {
    let is_router = hello.get_str("msg").is_ok_and(|msg| msg == "isdbgrid");
    if !is_router && !hello.contains_key("setName") {
        let host = hello.get_str("me").unwrap_or("MongoDB");
        return Err(ServerProblem::Standalone(host.to_owned()));
    }
    let server = match is_router {
        true => Server::Router,
        false => Server::Member,
    };
    too_old(hello).map_or(Ok(server), Err)
}

/// Each `hello` names the newest protocol that the server speaks, so its version need not be asked for.
fn too_old(hello: &Document) -> Option<ServerProblem> {
    let version = match hello.get_i32("maxWireVersion").unwrap_or_default() {
        WIRE_VERSION_MIN.. => return None,
        16 => "5.3",
        15 => "5.2",
        14 => "5.1",
        13 => "5.0",
        9..=12 => "4.4",
        8 => "4.2",
        7 => "4.0",
        _ => "3.6 or earlier",
    };
    Some(ServerProblem::TooOld(version))
}

/// The problem of options that the driver refuses.
pub(super) fn of_options(error: &Error) -> ServerProblem {
    match &*error.kind {
        ErrorKind::DnsResolve { message, .. } => ServerProblem::Lookup(message.clone()),
        ErrorKind::InvalidArgument { message, .. }
        | ErrorKind::InvalidTlsConfig { message, .. } => ServerProblem::Options(message.clone()),
        ErrorKind::Io(error) => ServerProblem::Options(error.to_string()),
        other => ServerProblem::Options(other.to_string()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_server_is_judged_by_what_it_says_of_itself() {
        let member = doc! {"setName": "rs0", "me": "db1:27017", "maxWireVersion": 17};
        assert_eq!(judge(&member), Ok(Server::Member));
        let router = doc! {"msg": "isdbgrid", "maxWireVersion": 21};
        assert_eq!(judge(&router), Ok(Server::Router));
        let mut old = member.clone();
        old.insert("maxWireVersion", 13);
        let reason = judge(&old).unwrap_err().to_string();
        assert_eq!(
            reason,
            "MongoDB is of version 5.0; Tidegate needs 6.0 or later"
        );
        let alone = doc! {"maxWireVersion": 17};
        let reason = judge(&alone).unwrap_err();
        assert!(reason.to_string().contains("standalone"), "{reason}");
        assert!(!reason.may_pass());
    }
}
