//! The URL of a MongoDB deployment: what the driver reads in it, and what Tidegate requires in addition. Nothing is
//! resolved or connected to here, and no message repeats a credential.

use std::fmt;

use mongodb::{
    error::{Error, ErrorKind},
    options::{
        Acknowledgment, AuthMechanism, ConnectionString, HostInfo, ReadConcern, ReadPreference,
    },
};

/// Databases of MongoDB itself.
const DATABASES_RESERVED: [&str; 3] = ["admin", "config", "local"];

/// A checked URL with its database.
#[derive(Clone)]
pub(crate) struct MongodbUrl {
    /// What the driver connects with. It holds the credentials.
    pub(crate) connection: ConnectionString,
    /// The database of the store.
    pub(crate) database: String,
}

impl MongodbUrl {
    pub(super) fn parse(url: &str) -> Result<Self, InvalidMongodbUrl> {
        let connection = ConnectionString::parse(url).map_err(|error| refused(url, &error))?;
        let database = connection.default_database.clone();
        let database = database.ok_or(InvalidMongodbUrl::NoDatabase)?;
        if DATABASES_RESERVED.contains(&database.as_str()) {
            return Err(InvalidMongodbUrl::ReservedDatabase(database));
        }
        check_promises(&connection)?;
        Ok(Self {
            connection,
            database,
        })
    }

    /// Reads a URL, with a user and a password that it does not name itself.
    pub(crate) fn with_login(
        url: &str,
        user: Option<&str>,
        password: Option<&str>,
    ) -> Result<Self, InvalidMongodbUrl> {
        let filled = Credentials::of(url).map(|login| login.filled(user, password));
        Self::parse(filled.as_deref().unwrap_or(url))
    }

    /// Whether its user needs a password that is missing.
    pub(super) fn lacks_a_password(&self) -> bool {
        self.connection.credential.as_ref().is_some_and(|who| {
            let by_certificate = matches!(who.mechanism, Some(AuthMechanism::MongoDbX509));
            who.username.is_some() && who.password.is_none() && !by_certificate
        })
    }
}

/// The user's part of a URL as it is written, and the text around it. It is split where the driver splits it.
pub(super) struct Credentials<'a> {
    scheme: &'a str,
    pub(super) user: Option<&'a str>,
    pub(super) password: Option<&'a str>,
    rest: &'a str,
}

impl<'a> Credentials<'a> {
    /// `None` if it is no URL.
    pub(super) fn of(url: &'a str) -> Option<Self> {
        let (scheme, after) = url.split_once("://")?;
        let before_options = after.split_once('?').map_or(after, |(before, _)| before);
        let Some((who, _)) = before_options.rsplit_once('@') else {
            return Some(Self {
                scheme,
                user: None,
                password: None,
                rest: after,
            });
        };
        let rest = &after[who.len() + 1..];
        let (user, password) = match who.split_once(':') {
            Some((user, password)) => (user, Some(password)),
            None => (who, None),
        };
        Some(Self {
            scheme,
            user: Some(user).filter(|user| !user.is_empty()),
            password,
            rest,
        })
    }

    /// The URL with these credentials if it has none of its own. They go into the text because the driver drops
    /// `authSource` from a URL without a user.
    pub(super) fn filled(&self, user: Option<&str>, password: Option<&str>) -> String {
        let Self { scheme, rest, .. } = self;
        let given = |given: Option<&str>| given.map(percent_encoded);
        let user = self.user.map(str::to_owned).or_else(|| given(user));
        let password = self.password.map(str::to_owned).or_else(|| given(password));
        match (user, password) {
            (None, _) => format!("{scheme}://{rest}"),
            (Some(user), None) => format!("{scheme}://{user}@{rest}"),
            (Some(user), Some(password)) => format!("{scheme}://{user}:{password}@{rest}"),
        }
    }
}

fn percent_encoded(text: &str) -> String {
    let encoded = |byte: u8| match byte {
        b'0'..=b'9' | b'A'..=b'Z' | b'a'..=b'z' => char::from(byte).to_string(),
        _ => format!("%{byte:02X}"),
    };
    text.bytes().map(encoded).collect()
}

/// Shows neither credentials nor options.
impl fmt::Debug for MongodbUrl {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let hosts = match &self.connection.host_info {
            HostInfo::HostIdentifiers(hosts) => {
                let hosts: Vec<String> = hosts.iter().map(ToString::to_string).collect();
                hosts.join(",")
            }
            HostInfo::DnsRecord(name) => format!("srv {name}"),
            _ => "elsewhere".to_owned(),
        };
        write!(formatter, "MongodbUrl({hosts}/{})", self.database)
    }
}

/// Why a URL is not accepted: the end of a sentence that begins with the key.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum InvalidMongodbUrl {
    #[error("names no database; append one: mongodb://HOSTS/DATABASE")]
    NoDatabase,
    #[error("names the database {0}, which is MongoDB's own; name your application's")]
    ReservedDatabase(String),
    #[error(
        "names a host in a form that is none; write HOST or HOST:PORT, several with commas between them"
    )]
    Host,
    #[error(
        "has a user name or a password that is not percent-encoded (%40 for @ and so on); encode it, or set store.username and store.password instead"
    )]
    Credentials,
    #[error("sets {0}; leave it out: {1}")]
    Promise(&'static str, &'static str),
    #[error("is refused: {0}")]
    Driver(String),
}

/// Refuses options that contradict Tidegate's promises, rather than ignoring them. Options that agree with the promises
/// are accepted, since hosted services put them into their URLs.
fn check_promises(connection: &ConnectionString) -> Result<(), InvalidMongodbUrl> {
    if let Some(concern) = &connection.write_concern {
        let by_majority = matches!(concern.w, None | Some(Acknowledgment::Majority));
        if !by_majority || concern.journal == Some(false) || concern.w_timeout.is_some() {
            return Err(InvalidMongodbUrl::Promise(
                "w, journal or wtimeoutMS",
                "every change is written with majority and journal, under a deadline of its own",
            ));
        }
    }
    let majority = ReadConcern::majority();
    if connection
        .read_concern
        .as_ref()
        .is_some_and(|concern| *concern != majority)
    {
        return Err(InvalidMongodbUrl::Promise(
            "readConcernLevel",
            "clients are shown what a majority has",
        ));
    }
    match connection.read_preference {
        None | Some(ReadPreference::Primary) => Ok(()),
        Some(_) => Err(InvalidMongodbUrl::Promise(
            "readPreference",
            "clients see their own writes, which only the primary is sure to have",
        )),
    }
}

/// The driver quotes what it cannot read. If the credentials are not encoded, it reads parts of them as hosts and
/// options. So its message is shown only for a URL without credentials, and never one about hosts.
fn refused(url: &str, error: &Error) -> InvalidMongodbUrl {
    let anonymous = anonymous(url);
    let message = match ConnectionString::parse(&anonymous) {
        Ok(_) if anonymous != url => return InvalidMongodbUrl::Credentials,
        Ok(_) => message(error),
        Err(error) => message(&error),
    };
    if message.starts_with("invalid server address") {
        return InvalidMongodbUrl::Host;
    }
    InvalidMongodbUrl::Driver(message)
}

/// The URL without anything that may belong to a credential, however it is written.
fn anonymous(url: &str) -> String {
    match (url.split_once("://"), url.rsplit_once('@')) {
        (Some((scheme, _)), Some((_, rest))) => format!("{scheme}://{rest}"),
        _ => url.to_owned(),
    }
}

fn message(error: &Error) -> String {
    match &*error.kind {
        ErrorKind::InvalidArgument { message, .. } => message.clone(),
        _ => "the driver cannot read it".to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use mongodb::options::Credential;

    use super::*;

    fn shown(url: &str) -> String {
        MongodbUrl::parse(url).map_or_else(|error| error.to_string(), |url| format!("{url:?}"))
    }

    #[test]
    fn the_urls_of_hosted_services_are_taken_and_shown_without_their_secrets() {
        for (url, expected) in [
            ("mongodb://db1/app", "MongodbUrl(db1:27017/app)"),
            (
                "mongodb://u:hunter2@db1:1,db2:2/app?replicaSet=rs0&tls=true&tlsCAFile=ca.pem&maxPoolSize=20",
                "MongodbUrl(db1:1,db2:2/app)",
            ),
            (
                "mongodb+srv://u:hunter2@c.example.net/app?retryWrites=true&w=majority&readPreference=primary",
                "MongodbUrl(srv c.example.net/app)",
            ),
        ] {
            assert_eq!(shown(url), expected);
        }
    }

    #[test]
    fn problems_of_a_url_are_reported_without_what_may_be_a_secret() {
        for (url, part) in [
            ("mongodb://db1", "names no database"),
            ("mongodb://db1/admin", "MongoDB's own"),
            (
                "mongodb://db1/app?maxPoolSiz=1",
                "maxpoolsiz is an invalid option. An option with a similar name exists: maxpoolsize",
            ),
            (
                "mongodb://db1/app?maxPoolSize=many",
                "`maxpoolsize` argument must be a positive integer",
            ),
            (
                "mongodb://db1/app?w=1",
                "sets w, journal or wtimeoutMS; leave it out",
            ),
            ("mongodb://db1/app?journal=false", "sets w, journal"),
            (
                "mongodb://db1/app?readPreference=nearest",
                "sets readPreference",
            ),
            (
                "mongodb://db1/app?readConcernLevel=local",
                "sets readConcernLevel",
            ),
            ("mongodb://db1:hunter2/app", "a form that is none"),
            ("mongodb://u:hunter2", "a form that is none"),
            ("mongodb://u:hunter2/@db1/app", "not percent-encoded"),
            ("mongodb://u:hunter2?x=@db1/app", "not percent-encoded"),
            ("mongodb://u:hunter2@x@db1/app", "not percent-encoded"),
            ("mongodb://u:hunter2?x@db1/app?w=0&w=0", "repeated options"),
        ] {
            let message = shown(url);
            assert!(message.contains(part), "{url}: {message}");
            assert!(!message.contains("hunter2"), "{message}");
        }
    }

    #[test]
    fn name_and_password_can_be_given_beside_the_url() {
        let credential = |url: &str, user: Option<&str>, password: Option<&str>| {
            let url = Credentials::of(url).unwrap().filled(user, password);
            let Credential {
                username,
                password,
                source,
                ..
            } = MongodbUrl::parse(&url).unwrap().connection.credential?;
            Some((username?, password?, source))
        };
        let odd = "p@:/?#[]%é ";
        let expected = |source: Option<&str>| {
            Some((
                "us/er".to_owned(),
                odd.to_owned(),
                source.map(str::to_owned),
            ))
        };
        assert_eq!(
            credential("mongodb://db1/app", Some("us/er"), Some(odd)),
            expected(None)
        );
        assert_eq!(
            credential(
                "mongodb://us%2Fer@db1/app?authSource=users",
                None,
                Some(odd)
            ),
            expected(Some("users"))
        );
        assert_eq!(
            credential("mongodb://db1/app?appName=a@b", None, None),
            None
        );
        let none = MongodbUrl::parse("mongodb://user@db1/app").unwrap();
        assert!(none.lacks_a_password());
        let certificate = "mongodb://user@db1/app?authMechanism=MONGODB-X509&tls=true";
        assert!(!MongodbUrl::parse(certificate).unwrap().lacks_a_password());
    }
}
