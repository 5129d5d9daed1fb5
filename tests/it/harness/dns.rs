//! A name server of a test's own, and commands that ask only that one.
//!
//! `/etc/resolv.conf` names the server, so a command gets a file of its own, in a mount namespace that ends with it.
//! That takes what a small disk takes, and a port that only root may open.

use std::{
    net::{Ipv4Addr, UdpSocket},
    path::Path,
    process::Command,
    str::FromStr,
};

use hickory_proto::{
    op::{Message, ResponseCode},
    rr::{Name, RData, Record},
};

/// Puts the file `$0` in place of the system's, and becomes the command that follows.
const ASK: &str = r#"mount --bind "$0" /etc/resolv.conf && exec "$@""#;

/// Names with their records. It answers until the tests end.
pub(crate) struct NameServer {
    address: Ipv4Addr,
}

impl NameServer {
    /// A server that knows these names and no others.
    pub(crate) fn start(zone: &[(&str, RData)]) -> Self {
        let records = zone.iter().map(|(name, data)| {
            let name = Name::from_str(name).unwrap();
            Record::from_rdata(name, 60, data.clone())
        });
        let records: Vec<Record> = records.collect();
        let (socket, address) = bind();
        std::thread::spawn(move || {
            let mut bytes = [0; 4096];
            while let Ok((length, asker)) = socket.recv_from(&mut bytes) {
                let answer = answer(&records, &bytes[..length]);
                socket.send_to(&answer, asker).unwrap();
            }
        });
        Self { address }
    }

    /// The same command, which looks names up here. A file is left in the given directory.
    pub(crate) fn asked_by(&self, directory: &Path, command: &Command) -> Command {
        let settings = directory.join("resolv.conf");
        std::fs::write(&settings, format!("nameserver {}\n", self.address)).unwrap();
        let mut asking = Command::new("unshare");
        asking.args(["--mount", "--map-root-user", "sh", "-c", ASK]);
        asking.arg(&settings).arg(command.get_program());
        asking.args(command.get_args()).current_dir(directory);
        // Its path finds `unshare` and `mount`.
        asking
            .env_clear()
            .env("PATH", std::env::var_os("PATH").unwrap());
        for (name, value) in command.get_envs() {
            asking.env(name, value.unwrap_or_default());
        }
        asking
    }
}

/// An address of this machine whose port 53 is free: the settings can name no other port.
fn bind() -> (UdpSocket, Ipv4Addr) {
    let [.., c, d] = std::process::id().to_be_bytes();
    let mut addresses = (1..=100).map(|b| Ipv4Addr::new(127, b, c, d.clamp(1, 254)));
    let bound = addresses.find_map(|address| {
        let socket = UdpSocket::bind((address, 53)).ok()?;
        Some((socket, address))
    });
    bound.expect("port 53 of some loopback address, which takes root")
}

fn answer(records: &[Record], question: &[u8]) -> Vec<u8> {
    let mut message = Message::from_vec(question).unwrap().into_response();
    let query = message.queries[0].clone();
    let of_name = || records.iter().filter(|record| record.name == query.name);
    let answers = of_name().filter(|record| record.record_type() == query.query_type);
    message.answers.extend(answers.cloned());
    if of_name().next().is_none() {
        message.metadata.response_code = ResponseCode::NXDomain;
    }
    message.to_vec().unwrap()
}
