//! Examines a MongoDB deployment before the store is opened: whether it can be reached, is of a kind and version that
//! can keep the promises, and lets the gateway do its work. Each finding is a sentence that says what to do.

mod collections;
mod diagnosis;
mod ids;
mod rights;

use std::time::Duration;

use mongodb::{
    Client,
    bson::{Document, doc},
    error::{Error, ErrorKind},
    options::ClientOptions,
};
use thiserror::Error as ThisError;
use tidegate_core::id::IdType;
use tokio::time::timeout;

pub(super) use self::collections::unsyncable;
use self::diagnosis::diagnose;
use super::opening::primary;
use crate::store::{
    StoreError,
    finding::{Finding, Topic},
};

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
    pub(super) application: Vec<SyncedCollection>,
    /// Tidegate's own collections, which the gateway creates too.
    pub(super) own: Vec<String>,
}

impl ServerRequirements {
    fn application_names(&self) -> impl Iterator<Item = &str> {
        self.application.iter().map(|of| of.name.as_str())
    }
}

/// A collection of the application, and how the model says that it keeps its ids.
#[derive(Debug, Clone)]
pub(super) struct SyncedCollection {
    pub(super) name: String,
    pub(super) id_type: IdType,
}

/// The kind of the server.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Server {
    /// A member of a replica set.
    Member,
    /// The router of a sharded cluster.
    Router,
    /// Neither.
    Standalone,
}

/// The result of an examination.
#[derive(Debug)]
pub(super) struct Examined {
    /// The kind of the server.
    pub(super) server: Server,
    pub(super) findings: Vec<Finding>,
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

/// Examines the deployment that these options lead to. What else would be found behind an obstacle is not looked for.
///
/// # Errors
/// A [`ServerProblem`] that prevents the examination.
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
    let hello = hello(client, options).await?;
    let server = kind(&hello);
    let mut findings = obstacles(&hello, server);
    if findings.is_empty() {
        findings.extend(topology(client, &hello, server).await);
        findings.push(rights::check(client, options, needs).await?);
    }
    if !findings.iter().any(|finding| finding.prevents_start) {
        let existing = collections::list(client, needs).await?;
        findings.extend(collections::survey(&existing, needs));
        findings.extend(ids::sample(client, &existing, needs).await);
        findings.extend(rights::ending_sessions(client).await);
    }
    Ok(Examined { server, findings })
}

/// What the primary says of itself.
///
/// # Errors
/// Why there is none.
pub(super) async fn hello(
    client: &Client,
    options: &ClientOptions,
) -> Result<Document, ServerProblem> {
    let admin = client.database("admin");
    let hello = admin.run_command(doc! {"hello": 1});
    match hello.selection_criteria(primary()).await {
        Ok(hello) => Ok(hello),
        Err(error) => Err(diagnose(options, &error).await),
    }
}

fn kind(hello: &Document) -> Server {
    let is_router = hello.get_str("msg").is_ok_and(|msg| msg == "isdbgrid");
    match hello.contains_key("setName") {
        _ if is_router => Server::Router,
        true => Server::Member,
        false => Server::Standalone,
    }
}

/// Why a server cannot keep the promises, by its `hello`.
fn obstacles(hello: &Document, server: Server) -> Vec<Finding> {
    let host = hello.get_str("me").unwrap_or("MongoDB");
    let standalone = ServerProblem::Standalone(host.to_owned());
    let standalone = (server == Server::Standalone).then_some(standalone);
    let problems = standalone.into_iter().chain(too_old(hello));
    let problems = problems.map(|problem| Finding::obstacle(Topic::Server, problem.to_string()));
    problems.collect()
}

async fn topology(client: &Client, hello: &Document, server: Server) -> Vec<Finding> {
    let build = doc! { "buildInfo": 1 };
    let build = client.database("admin").run_command(build).await;
    let version = build.ok();
    let version = version.and_then(|build| build.get_str("version").map(str::to_owned).ok());
    let version = version.unwrap_or_else(|| "of an unknown version".to_owned());
    let set = hello.get_str("setName").unwrap_or_default();
    let (place, sharded) = match server {
        Server::Router => ("behind a router".to_owned(), Some(SHARDED)),
        _ => (format!("the replica set {set}"), None),
    };
    let found = Finding::good(Topic::Server, format!("MongoDB {version}, {place}"));
    let sharded = sharded.map(|caveat| Finding::warning(Topic::Server, caveat));
    [found].into_iter().chain(sharded).collect()
}

const SHARDED: &str = "the database is behind a router; keep Tidegate's own collections unsharded, and shard those of the model by _id alone, or two documents may have one id";

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
        let judged = |hello: &Document| {
            let server = kind(hello);
            let found = obstacles(hello, server).into_iter();
            let found: Vec<String> = found.map(|finding| finding.message).collect();
            (server, found.join(" "))
        };
        let member = doc! {"setName": "rs0", "me": "db1:27017", "maxWireVersion": 17};
        assert_eq!(judged(&member), (Server::Member, String::new()));
        let router = doc! {"msg": "isdbgrid", "maxWireVersion": 21};
        assert_eq!(judged(&router), (Server::Router, String::new()));
        let mut old = member.clone();
        old.insert("maxWireVersion", 13);
        let too_old = "MongoDB is of version 5.0; Tidegate needs 6.0 or later";
        assert_eq!(judged(&old), (Server::Member, too_old.to_owned()));
        let (server, reason) = judged(&doc! {"maxWireVersion": 17});
        assert_eq!(server, Server::Standalone);
        assert!(reason.contains("is a standalone server"), "{reason}");
    }
}
