//! MongoDB over TLS: with an authority of one's own, by a `mongodb+srv` name, and the messages when it fails.

use std::{fs, path::PathBuf};
#[cfg(target_os = "linux")]
use std::{net::Ipv4Addr, str::FromStr};

#[cfg(target_os = "linux")]
use hickory_proto::rr::{
    Name, RData,
    rdata::{SRV, TXT},
};
use rcgen::{
    BasicConstraints, CertificateParams, DnType, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair,
};
use serde_json::json;
use tempfile::TempDir;

use super::{CONFIG, assert_says, client, configured, token, with_secret};
#[cfg(target_os = "linux")]
use crate::harness::NameServer;
use crate::harness::{Server, create, mongod::Deployment};

/// Certificates as files, as an operator has them.
struct Files(TempDir);

impl Files {
    fn new() -> Self {
        Self(TempDir::new().unwrap())
    }

    /// An authority, and a server's certificate and key by it for these names; the paths of both.
    fn issue(&self, authority: &str, names: &[&str]) -> (PathBuf, PathBuf) {
        let mut params = CertificateParams::new(Vec::new()).unwrap();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let name = params.distinguished_name.clone();
        params.distinguished_name = name;
        params
            .distinguished_name
            .push(DnType::CommonName, authority);
        let key = KeyPair::generate().unwrap();
        let certificate = params.self_signed(&key).unwrap();
        let issuer = Issuer::new(params, key);

        let names: Vec<String> = names.iter().copied().map(str::to_owned).collect();
        let mut params = CertificateParams::new(names).unwrap();
        params.extended_key_usages = vec![
            ExtendedKeyUsagePurpose::ServerAuth,
            ExtendedKeyUsagePurpose::ClientAuth,
        ];
        let key = KeyPair::generate().unwrap();
        let server = params.signed_by(&key, &issuer).unwrap();
        (
            self.write(&format!("{authority}.pem"), &certificate.pem()),
            self.write(
                &format!("{authority}-server.pem"),
                &(server.pem() + &key.serialize_pem()),
            ),
        )
    }

    fn write(&self, name: &str, text: &str) -> PathBuf {
        let path = self.0.path().join(name);
        fs::write(&path, text).unwrap();
        path
    }
}

/// A configuration whose store is this one.
fn on(url: &str) -> TempDir {
    configured(&CONFIG.replace("embedded:data", url))
}

fn complaint(url: &str) -> String {
    let directory = on(url);
    let mut check = with_secret(directory.path(), &["check"]);
    let output = check.output().unwrap();
    assert_eq!(output.status.code(), Some(1), "{output:?}");
    String::from_utf8(output.stderr).unwrap()
}

#[tokio::test]
async fn a_gateway_speaks_tls_with_an_authority_of_ones_own_and_names_what_is_wrong() {
    let files = Files::new();
    let (authority, certificate) = files.issue("ours", &["127.0.0.1"]);
    let (other, _) = files.issue("theirs", &["127.0.0.1"]);
    let deployment = Deployment::with_tls(&certificate, &authority).await;
    let plain = deployment.url("app");
    let with = |ca: &PathBuf| format!("{plain}&tls=true&tlsCAFile={}", ca.display());
    let directory = on(&with(&authority));
    let server = Server::start(directory.path(), with_secret(directory.path(), &["serve"]));
    let alice = client(&server, &token(&directory, "alice"));
    let results = alice.push_all(json!([create("a", json!({"title": "Tea"}))]));
    assert_eq!(results.await[0]["status"], "APPLIED");
    assert_eq!(alice.pull(None).await["changes"][0]["documentId"], "a");
    server.stop();
    let check = with_secret(directory.path(), &["check"]).output().unwrap();
    assert_says(&String::from_utf8(check.stdout).unwrap(), &["store: good"]);

    let soon = "&serverSelectionTimeoutMS=500";
    for (url, said) in [
        (plain.clone() + soon, "does not answer as MongoDB does"),
        (with(&other) + soon, "UnknownIssuer"),
        (format!("{plain}&tls=true{soon}"), "UnknownIssuer"),
        (
            (with(&authority) + soon).replace("127.0.0.1", "localhost"),
            "not valid for name \"localhost\"",
        ),
    ] {
        let reported = complaint(&url);
        assert_says(
            &reported,
            &[said, "see that store.url has tls=true", "tlsCAFile"],
        );
    }
    let missing = authority.with_extension("missing");
    let reported = complaint(&with(&missing));
    assert_says(&reported, &["store.url cannot be used", "ours.missing"]);
}

/// A zone in which the cluster's name leads to one server, with the options that URLs otherwise have.
#[cfg(target_os = "linux")]
fn zone(port: u16) -> NameServer {
    let host = Name::from_str("db1.tidegate.test.").unwrap();
    let options = TXT::new(vec!["replicaSet=rs0".to_owned()]);
    NameServer::start(&[
        (
            "_mongodb._tcp.cluster.tidegate.test.",
            RData::SRV(SRV::new(0, 0, port, host)),
        ),
        ("cluster.tidegate.test.", RData::TXT(options)),
        ("db1.tidegate.test.", RData::A(Ipv4Addr::LOCALHOST.into())),
    ])
}

#[cfg(target_os = "linux")]
#[tokio::test]
async fn the_hosts_of_a_srv_url_are_looked_up_and_spoken_to_over_tls() {
    let files = Files::new();
    let (authority, certificate) = files.issue("ours", &["127.0.0.1", "db1.tidegate.test"]);
    let deployment = Deployment::with_tls(&certificate, &authority).await;
    let names = zone(deployment.ports().next().unwrap());
    let at = |name: &str| {
        let ca = authority.display();
        on(&format!(
            "mongodb+srv://{name}.tidegate.test/app?tlsCAFile={ca}"
        ))
    };
    let directory = at("cluster");
    let serve = with_secret(directory.path(), &["serve"]);
    let serve = names.asked_by(directory.path(), &serve);
    let server = Server::start(directory.path(), serve);
    let alice = client(&server, &token(&directory, "alice"));
    let results = alice.push_all(json!([create("a", json!({"title": "Tea"}))]));
    assert_eq!(results.await[0]["status"], "APPLIED");
    server.stop();

    let directory = at("another");
    let check = with_secret(directory.path(), &["check"]);
    let output = names.asked_by(directory.path(), &check).output().unwrap();
    let reported = String::from_utf8(output.stderr).unwrap();
    assert_says(
        &reported,
        &[
            "the hosts of store.url cannot be looked up",
            "another.tidegate.test",
        ],
    );
}
