//! A connection between one gateway and one mongod, which can hold commits back, or lose the server's answer to one
//! after it was carried out.
//!
//! Messages pass unchanged. Only the name of the command is read.

use std::{
    collections::HashSet,
    io,
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, Ordering},
    },
};

use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{
        TcpListener, TcpStream,
        tcp::{OwnedReadHalf, OwnedWriteHalf},
    },
    sync::{Notify, watch},
    task::JoinHandle,
};

use super::Deployment;

/// The header of a message: its length, its id, the id of the message that it answers, and its kind, four bytes each.
const HEADER: usize = 16;
/// A command's name follows header, flags, the kind of the section, the document's length and the type of its first
/// element.
const NAME: usize = HEADER + 4 + 1 + 4 + 1;

/// The wire; it is cut when this is dropped.
pub(crate) struct Proxy {
    port: u16,
    loss: Arc<Loss>,
    hold: Arc<Hold>,
    accepting: JoinHandle<()>,
}

/// What the connection does with commits that gateways send.
struct Hold {
    holds: watch::Sender<bool>,
    held: Notify,
}

#[derive(Default)]
struct Loss {
    loses: AtomicBool,
    lost: Notify,
}

impl Proxy {
    /// A wire to a node.
    pub(crate) async fn to(deployment: &Deployment, node: usize) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = deployment.nodes[node].address();
        let loss = Arc::<Loss>::default();
        let hold = Arc::new(Hold {
            holds: watch::Sender::new(false),
            held: Notify::new(),
        });
        let port = listener.local_addr().unwrap().port();
        let accepting = accept(listener, address, Arc::clone(&loss), Arc::clone(&hold));
        Self {
            port,
            accepting: tokio::spawn(accepting),
            loss,
            hold,
        }
    }

    /// The URL of a database by this wire and no other.
    pub(crate) fn url(&self, database: &str) -> String {
        format!(
            "mongodb://127.0.0.1:{}/{database}?directConnection=true",
            self.port
        )
    }

    /// Holds all commits back from now on.
    pub(crate) fn hold_commits(&self) {
        self.hold.holds.send_replace(true);
    }

    /// Returns when a commit is held back: the server has all of its transaction except that.
    pub(crate) async fn holds_commit(&self) {
        self.hold.held.notified().await;
    }

    /// Lets commits pass, those that were held back too.
    pub(crate) fn let_commits_pass(&self) {
        self.hold.holds.send_replace(false);
    }

    /// Loses all answers to commits from now on. Returns when the first is lost.
    pub(crate) async fn lose_commits(&self) {
        self.loss.loses.store(true, Ordering::SeqCst);
        self.loss.lost.notified().await;
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        self.accepting.abort();
    }
}

async fn accept(listener: TcpListener, address: String, loss: Arc<Loss>, hold: Arc<Hold>) {
    loop {
        let (client, _) = listener.accept().await.unwrap();
        let Ok(server) = TcpStream::connect(&address).await else {
            continue;
        };
        let (from_client, to_client) = client.into_split();
        let (from_server, to_server) = server.into_split();
        let commits = Arc::default();
        let asking = ask(
            from_client,
            to_server,
            Arc::clone(&commits),
            Arc::clone(&hold),
        );
        let answering = answer(from_server, to_client, commits, Arc::clone(&loss));
        // When one side ends, the end of its connection shows it to the other.
        tokio::spawn(async {
            tokio::select! { _ = asking => {}, _ = answering => {} }
        });
    }
}

/// The ids of a connection's commits.
type Commits = Arc<Mutex<HashSet<[u8; 4]>>>;

async fn ask(
    mut from: OwnedReadHalf,
    mut to: OwnedWriteHalf,
    commits: Commits,
    hold: Arc<Hold>,
) -> io::Result<()> {
    loop {
        let message = read(&mut from).await?;
        if message[NAME..].starts_with(b"commitTransaction\0") {
            commits.lock().unwrap().insert(id(&message, 4));
            let mut holds = hold.holds.subscribe();
            if *holds.borrow() {
                hold.held.notify_one();
            }
            holds.wait_for(|holds| !holds).await.unwrap();
        }
        to.write_all(&message).await?;
    }
}

async fn answer(
    mut from: OwnedReadHalf,
    mut to: OwnedWriteHalf,
    commits: Commits,
    loss: Arc<Loss>,
) -> io::Result<()> {
    loop {
        let message = read(&mut from).await?;
        let is_commit = commits.lock().unwrap().remove(&id(&message, 8));
        if is_commit && loss.loses.load(Ordering::SeqCst) {
            loss.lost.notify_one();
        } else {
            to.write_all(&message).await?;
        }
    }
}

async fn read(from: &mut OwnedReadHalf) -> io::Result<Vec<u8>> {
    let mut message = vec![0; HEADER];
    from.read_exact(&mut message).await?;
    let length = u32::from_le_bytes(id(&message, 0));
    message.resize(usize::try_from(length).unwrap(), 0);
    from.read_exact(&mut message[HEADER..]).await?;
    Ok(message)
}

fn id(message: &[u8], at: usize) -> [u8; 4] {
    message[at..at + 4].try_into().unwrap()
}
