//! The image and the composition, without an engine to run them: what they name exists, their settings are known, the
//! build gets all that it needs, and a mounted configuration decides.

use std::{fs, path::Path, process::Command};

use serde_json::{Value, json};
use tempfile::TempDir;

use super::expect_included;
use crate::harness::{
    CONFIG, Client, SECRET, Server, command, configured,
    mongod::{Deployment, fresh_database},
};

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

/// The gateway as it runs in the container: a directory with what the image and the volumes have in the container's, and the
/// image's variables.
struct Container {
    directory: TempDir,
    variables: Vec<(String, String)>,
}

impl Container {
    /// `docker run`, with these volumes.
    fn run(volumes: &[(&str, &str)]) -> Self {
        let directory = TempDir::new().unwrap();
        let copied = all("COPY");
        let copied = copied.iter().filter_map(|copy| copy.split_once(' '));
        let of_image = copied.filter(|(from, _)| from.starts_with("deploy/"));
        for (from, to) in of_image.chain(volumes.iter().copied()) {
            fs::copy(from, directory.path().join(in_workdir(to))).unwrap();
        }
        let set = all("ENV");
        let variables = set.iter().map(|set| set.split_once('=').unwrap());
        let variables = variables.map(|(name, value)| (name.to_owned(), value.to_owned()));
        Self {
            variables: variables.collect(),
            directory,
        }
    }

    /// `docker compose up`, with the volumes and variables of compose.yaml.
    fn composed() -> Self {
        let gateway = &composition()["services"]["gateway"];
        let volumes = gateway["volumes"].as_array().unwrap();
        let volumes = volumes.iter().map(|volume| {
            let [from, to, "ro"] = volume.as_str().unwrap().split(':').collect::<Vec<_>>()[..]
            else {
                panic!("{volume} is not to be written");
            };
            (from, to)
        });
        let mut container = Self::run(&volumes.collect::<Vec<_>>());
        let composed = gateway["environment"].as_object().unwrap().iter();
        let composed =
            composed.map(|(name, value)| (name.clone(), filled(value.as_str().unwrap())));
        container.variables.extend(composed);
        container
    }

    /// A command of the container.
    fn command(&self, arguments: &[&str]) -> Command {
        let mut command = command(self.directory.path());
        command.args(arguments).envs(self.variables.iter().cloned());
        command
    }

    /// What the container is started with.
    fn start(&self) -> Command {
        let arguments: Vec<String> = serde_json::from_str(&all("CMD")[0]).unwrap();
        let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
        self.command(&arguments)
    }
}

/// A path of the container, from its working directory.
fn in_workdir(path: &str) -> &Path {
    Path::new(path).strip_prefix(&all("WORKDIR")[1]).unwrap()
}

#[tokio::test]
async fn the_composed_gateway_serves_the_model_that_is_mounted() {
    let container = Container::composed();
    let mut serve = container.start();
    let deployment = Deployment::shared().await;
    serve.env("TIDEGATE_LISTEN", "127.0.0.1:0");
    serve.env("TIDEGATE_STORE__URL", deployment.url(&fresh_database()));
    let server = Server::start(container.directory.path(), serve);
    // As in the README.
    let token = ["token", "--sub", "alice", "--config", "/dev/null"];
    let token = container.command(&token).output().unwrap();
    let alice = Client {
        url: server.url.clone(),
        token: String::from_utf8(token.stdout).unwrap().trim().to_owned(),
        http: reqwest::Client::new(),
    };
    assert_eq!(alice.pull(None).await["changes"], json!([]));
}

#[test]
fn what_is_mounted_as_the_configuration_decides_and_not_the_image() {
    let mounted = configured(CONFIG);
    let volumes = ["tidegate.toml", "model.graphql"].map(|name| {
        let from = mounted.path().join(name).to_str().unwrap().to_owned();
        (from, format!("/etc/tidegate/{name}"))
    });
    let volumes = volumes.each_ref().map(|(from, to)| (&**from, &**to));
    let container = Container::run(&volumes);
    let mut serve = container.start();
    serve.env("TIDEGATE_AUTH__SECRET", SECRET);
    let server = Server::start(container.directory.path(), serve);
    // CONFIG says 127.0.0.1 and any port, and the image 0.0.0.0 and port 4000.
    let address = server.url.strip_prefix("http://127.0.0.1:").unwrap();
    assert_ne!(address, "4000");
    assert!(container.directory.path().join("data").exists());
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

    let container = Container::composed();
    let mut check = container.command(&["check", "--config", "tidegate.toml"]);
    let output = check.output().unwrap();
    let reported = String::from_utf8(output.stdout).unwrap();
    assert!(reported.ends_with("configuration: good\n"), "{reported}");
}

#[test]
fn the_image_listens_at_the_port_that_is_published_and_looked_at() {
    let container = Container::composed();
    let file = fs::read_to_string(container.directory.path().join("tidegate.toml")).unwrap();
    let settings = file.lines().filter(|line| !line.starts_with('#'));
    assert_eq!(settings.collect::<Vec<_>>(), [r#"listen = "0.0.0.0:4000""#]);
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
    expect_included(&context.path().join("src"));
    expect_included(&context.path().join("core/src"));
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
    let copies = [
        "--from=build /usr/local/bin/tidegate /usr/local/bin/tidegate",
        "deploy/image/tidegate.toml /etc/tidegate/tidegate.toml",
    ];
    assert_eq!(all("COPY")[1..], copies);
    assert_eq!(all("ENTRYPOINT"), [r#"["tidegate"]"#]);
}
