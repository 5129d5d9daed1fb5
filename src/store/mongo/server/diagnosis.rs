//! Why the driver found no server. The driver reports it in one long line about all hosts; here each host is asked
//! separately what it is.

use std::time::Duration;

use futures_util::future::join_all;
use mongodb::{
    Client,
    bson::{Document, doc},
    error::{Error, ErrorKind},
    event::{EventHandler, sdam::SdamEvent},
    options::{ClientOptions, ServerAddress},
};
use tokio::{net::TcpStream, sync::watch, time::timeout};

use super::{ServerProblem, of_options, too_old};
use crate::store::mongo::error::loggable;

/// How long one host may take to answer.
const HOST_DEADLINE: Duration = Duration::from_secs(3);

/// The answer of one host.
#[derive(Clone)]
enum HostReply {
    Nothing(String),
    /// Something else than MongoDB, or TLS on one side alone: the driver's description of it.
    Noise(String),
    Hello(Document),
}

/// Turns a failed operation into its reason.
pub(super) async fn diagnose(options: &ClientOptions, error: &Error) -> ServerProblem {
    match &*error.kind {
        ErrorKind::Authentication { message, .. } => refused_user(options, message),
        ErrorKind::ServerSelection { .. } => ask_everybody(options).await,
        ErrorKind::InvalidArgument { .. }
        | ErrorKind::InvalidTlsConfig { .. }
        | ErrorKind::DnsResolve { .. } => of_options(error),
        _ => ServerProblem::Failing(loggable(error)),
    }
}

fn refused_user(options: &ClientOptions, reason: &str) -> ServerProblem {
    let credential = options.credential.as_ref();
    let user = credential.and_then(|credential| credential.username.clone());
    ServerProblem::Credentials {
        user: user.unwrap_or_default(),
        reason: reason.to_owned(),
    }
}

async fn ask_everybody(options: &ClientOptions) -> ServerProblem {
    let voices = join_all(options.hosts.iter().map(|host| ask(options, host))).await;
    let voices: Vec<_> = options.hosts.iter().zip(voices).collect();
    let said = voices.iter().find_map(|(host, voice)| match voice {
        HostReply::Hello(hello) => Some(of_hello(options, &host.to_string(), hello)),
        _ => None,
    });
    let noise = || {
        voices.iter().find_map(|(host, voice)| match voice {
            HostReply::Noise(reason) => Some(ServerProblem::Silent {
                host: host.to_string(),
                reason: reason.clone(),
            }),
            _ => None,
        })
    };
    said.or_else(noise).unwrap_or_else(|| {
        let reason: Vec<String> = voices
            .iter()
            .filter_map(|(host, voice)| match voice {
                HostReply::Nothing(reason) => Some(format!("{host}: {reason}")),
                _ => None,
            })
            .collect();
        ServerProblem::Unreachable(reason.join(", "))
    })
}

/// Asks one host without credentials, which `hello` does not need.
async fn ask(options: &ClientOptions, host: &ServerAddress) -> HostReply {
    if let ServerAddress::Tcp { host, port } = host {
        let port = port.unwrap_or(27017);
        match timeout(HOST_DEADLINE, TcpStream::connect((host.as_str(), port))).await {
            Ok(Ok(_)) => {}
            Ok(Err(error)) => return HostReply::Nothing(error.to_string()),
            Err(_) => return HostReply::Nothing("no answer".to_owned()),
        }
    }
    let mut alone = options.clone();
    alone.hosts = vec![host.clone()];
    alone.direct_connection = Some(true);
    alone.repl_set_name = None;
    alone.credential = None;
    alone.server_selection_timeout = Some(HOST_DEADLINE);
    let (tell, mut heard) = watch::channel(None);
    alone.sdam_event_handler = Some(telling(tell));
    let client = match Client::with_options(alone) {
        Ok(client) => client,
        Err(error) => return HostReply::Noise(loggable(&error)),
    };
    let admin = client.database("admin");
    match admin.run_command(doc! {"hello": 1}).await {
        Ok(hello) => HostReply::Hello(hello),
        // The driver may answer before it emits its events.
        Err(error) => match timeout(HOST_DEADLINE, heard.wait_for(Option::is_some)).await {
            Ok(Ok(heard)) => heard.clone(),
            _ => None,
        }
        .unwrap_or_else(|| HostReply::Noise(loggable(&error))),
    }
}

/// If the driver selects no server, its events hold the reason and its answer does not: the failure, or the `hello` of
/// a server that is too old for it.
fn telling(heard: watch::Sender<Option<HostReply>>) -> EventHandler<SdamEvent> {
    EventHandler::callback(move |event| {
        let voice = match event {
            SdamEvent::ServerHeartbeatFailed(failed) => HostReply::Noise(loggable(&failed.failure)),
            SdamEvent::ServerHeartbeatSucceeded(succeeded) => HostReply::Hello(succeeded.reply),
            _ => return,
        };
        heard.send_replace(Some(voice));
    })
}

/// Why a host that answers cannot be used.
fn of_hello(options: &ClientOptions, host: &str, hello: &Document) -> ServerProblem {
    if let Some(problem) = too_old(hello) {
        return problem;
    }
    let host = host.to_owned();
    let Ok(found) = hello.get_str("setName") else {
        return match hello.get_bool("isreplicaset") {
            Ok(true) => ServerProblem::NotInitiated(host),
            _ => ServerProblem::Standalone(host),
        };
    };
    match &options.repl_set_name {
        Some(named) if named != found => ServerProblem::OtherSet {
            host,
            found: found.to_owned(),
            named: named.clone(),
        },
        _ => ServerProblem::NoPrimary {
            set: found.to_owned(),
            hint: hint(hello),
        },
    }
}

/// The driver connects to the names that the members report, which often have no meaning outside of their network.
fn hint(hello: &Document) -> String {
    match hello.get_str("primary") {
        Ok(primary) => format!(
            ": it is {primary} by the set's own configuration; see that this name leads there from here"
        ),
        Err(_) => "; an election may be under way, or too few of its members run".to_owned(),
    }
}
