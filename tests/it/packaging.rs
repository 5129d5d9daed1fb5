//! The image and the composition, as far as they can be compared with the repository without an engine to run them:
//! what they name exists, their settings are known, and the build gets all that it needs.

use std::{
    fs,
    path::{Path, PathBuf},
    process::Command,
};

use serde_json::{Value, json};
use tempfile::TempDir;

use crate::harness::{
    Client, Server, command,
    mongod::{Deployment, fresh_database},
};

const SECRET: &str = "a secret that the operator puts into the environment";

/// The value that an operator gives to the one required variable.
fn filled(text: &str) -> String {
    match text.strip_prefix("${TIDEGATE_AUTH__SECRET:?") {
        Some(_) => SECRET.to_owned(),
        None => text.to_owned(),
    }
}

/// compose.yaml.
fn composition() -> Value {
    let text = fs::read_to_string("compose.yaml").unwrap();
    serde_saphyr::from_str(&text).unwrap()
}

/// The instructions of the Dockerfile: name and arguments, with continued lines joined.
fn instructions() -> Vec<(String, String)> {
    let text = fs::read_to_string("Dockerfile").unwrap();
    let lines = text.lines().filter(|line| !line.starts_with('#'));
    let joined = lines.collect::<Vec<_>>().join("\n").replace("\\\n", " ");
    let instructions = joined.lines().filter_map(|line| line.split_once(' '));
    instructions
        .map(|(name, arguments)| (name.to_owned(), arguments.trim().to_owned()))
        .collect()
}

/// The arguments of all instructions of one name.
fn all(name: &str) -> Vec<String> {
    let found = instructions()
        .into_iter()
        .filter(|(instruction, _)| instruction == name);
    found.map(|(_, arguments)| arguments).collect()
}

/// The gateway as it runs in the container, except for its listen address: a directory with what is mounted into the
/// container's, and the variables of image and composition.
struct Container {
    directory: TempDir,
    variables: Vec<(String, String)>,
}

impl Container {
    fn new() -> Self {
        let gateway = &composition()["services"]["gateway"];
        let workdir = all("WORKDIR").pop().unwrap();
        let directory = TempDir::new().unwrap();
        for volume in gateway["volumes"].as_array().unwrap() {
            let [from, to, "ro"] = volume.as_str().unwrap().split(':').collect::<Vec<_>>()[..]
            else {
                panic!("{volume} is not to be written");
            };
            let to = Path::new(to).strip_prefix(&workdir).unwrap();
            fs::copy(from, directory.path().join(to)).unwrap();
        }
        let set = all("ENV");
        let image = set.iter().map(|set| set.split_once('=').unwrap());
        let composed = gateway["environment"].as_object().unwrap().iter();
        let composed = composed.map(|(name, value)| (name.as_str(), value.as_str().unwrap()));
        let variables = image.chain(composed);
        Self {
            directory,
            variables: variables
                .map(|(name, value)| (name.to_owned(), filled(value)))
                .collect(),
        }
    }

    fn run(&self, arguments: &[&str]) -> Command {
        let mut command = command(self.directory.path());
        command.args(arguments).envs(self.variables.iter().cloned());
        command
    }
}

#[tokio::test]
async fn the_composed_gateway_serves_the_model_that_is_mounted() {
    let container = Container::new();
    let started = all("CMD").pop().unwrap();
    let arguments: Vec<String> = serde_json::from_str(&started).unwrap();
    let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
    let mut serve = container.run(&arguments);
    let deployment = Deployment::shared().await;
    serve.env("TIDEGATE_LISTEN", "127.0.0.1:0");
    serve.env("TIDEGATE_STORE__URL", deployment.url(&fresh_database()));
    let server = Server::start(container.directory.path(), serve);
    // As in the README.
    let token = ["token", "--sub", "alice", "--config", "/dev/null"];
    let token = container.run(&token).output().unwrap();
    let alice = Client {
        url: server.url.clone(),
        token: String::from_utf8(token.stdout).unwrap().trim().to_owned(),
        http: reqwest::Client::new(),
    };
    assert_eq!(alice.pull(None).await["changes"], json!([]));
}

#[test]
fn the_composed_gateway_finds_the_composed_replica_set() {
    let composition = composition();
    let services = &composition["services"];
    let url = services["gateway"]["environment"]["TIDEGATE_STORE__URL"].as_str();
    assert_eq!(url, Some("mongodb://mongodb:27017/app?replicaSet=rs0"));
    let mongodb = &services["mongodb"];
    let command = json!(["mongod", "--replSet", "rs0", "--bind_ip_all"]);
    assert_eq!(mongodb["command"], command);
    let initiate = mongodb["healthcheck"]["test"].as_array().unwrap().last();
    let member = r#"rs.initiate({_id: "rs0", members: [{_id: 0, host: "mongodb:27017"}]})"#;
    assert!(initiate.unwrap().as_str().unwrap().contains(member));
    let depends = &services["gateway"]["depends_on"]["mongodb"]["condition"];
    assert_eq!(depends, "service_healthy");

    let container = Container::new();
    let check = container.run(&["check", "--config", "/dev/null"]);
    let output = { check }.output().unwrap();
    let reported = String::from_utf8(output.stdout).unwrap();
    assert!(reported.ends_with("configuration: good\n"), "{reported}");
}

#[test]
fn the_image_listens_at_the_port_that_is_published_and_looked_at() {
    let container = Container::new();
    let listen = ("TIDEGATE_LISTEN".to_owned(), "0.0.0.0:4000".to_owned());
    assert!(container.variables.contains(&listen));
    assert_eq!(all("EXPOSE"), ["4000"]);
    let ports = &composition()["services"]["gateway"]["ports"];
    assert_eq!(*ports, json!(["127.0.0.1:4000:4000"]));
    let health = all("HEALTHCHECK").pop().unwrap();
    assert!(
        health.ends_with("http://127.0.0.1:4000/healthz"),
        "{health}"
    );
}

/// What the build gets of the repository: `.dockerignore` excludes everything and includes what it names.
fn context() -> TempDir {
    let rules = fs::read_to_string(".dockerignore").unwrap();
    let mut rules = rules.lines();
    assert_eq!(rules.next(), Some("*"));
    let context = TempDir::new().unwrap();
    for rule in rules {
        let taken = rule.strip_prefix('!').expect("only to be taken back");
        copy(Path::new(taken), &context.path().join(taken));
    }
    context
}

fn copy(from: &Path, to: &Path) {
    if !from.is_dir() {
        fs::create_dir_all(to.parent().unwrap()).unwrap();
        fs::copy(from, to).unwrap();
        return;
    }
    fs::create_dir_all(to).unwrap();
    for entry in fs::read_dir(from).unwrap() {
        let name = entry.unwrap().file_name();
        copy(&from.join(&name), &to.join(&name));
    }
}

/// The files below a directory.
fn files(directory: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(directory).unwrap();
    let below = entries.flat_map(|entry| {
        let path = entry.unwrap().path();
        if path.is_dir() {
            files(&path)
        } else {
            vec![path]
        }
    });
    below.collect()
}

#[test]
fn the_image_is_built_of_all_that_the_build_needs() {
    let context = context();
    // The whole workspace and its lock file, as `cargo build --locked` reads them before it builds a part.
    let cargo = Command::new(env!("CARGO"))
        .args(["tree", "--locked", "--offline", "--package", "tidegate"])
        .current_dir(context.path())
        .output()
        .unwrap();
    let complaint = String::from_utf8_lossy(&cargo.stderr);
    assert!(cargo.status.success(), "{complaint}");
    let sources = ["src", "core/src"].map(|sources| files(&context.path().join(sources)));
    for source in sources.concat() {
        let Ok(text) = fs::read_to_string(&source) else {
            continue;
        };
        for included in text.split("include_").skip(1).filter_map(included) {
            let path = source.parent().unwrap().join(included);
            let is_test = source
                .iter()
                .any(|part| part == "tests" || part == "tests.rs");
            assert!(path.exists() || is_test, "{path:?} is not in the context");
        }
    }
}

/// The path in `str!("…")` or `bytes!("…")`.
fn included(rest: &str) -> Option<&str> {
    let path = rest
        .strip_prefix("str!(\"")
        .or_else(|| rest.strip_prefix("bytes!(\""))?;
    path.split('"').next()
}

#[test]
fn the_image_is_built_by_the_rust_that_the_workspace_asks_for_and_holds_its_binary() {
    let manifest = fs::read_to_string("Cargo.toml").unwrap();
    assert!(manifest.contains("rust-version = \"1.95\""));
    let stages = ["rust:1.95-bookworm AS build", "debian:bookworm-slim"];
    assert_eq!(all("FROM"), stages);
    let build = &all("RUN")[0];
    assert!(build.contains("cargo build --release --locked"), "{build}");
    assert!(build.ends_with("cp target/release/tidegate /usr/local/bin/tidegate"));
    let copies = ["--from=build /usr/local/bin/tidegate /usr/local/bin/tidegate"];
    assert_eq!(all("COPY")[1..], copies);
    assert_eq!(all("ENTRYPOINT"), [r#"["tidegate"]"#]);
}
