//! docs/existing-data.md, step by step: a team adopts Tidegate on the database that it has, with authentication on.

mod drawn;
mod drivers;
mod neighbours;
mod shell;

use std::{
    fs,
    path::Path,
    process::{Command, Output},
};

use mongodb::bson::{Document, doc};
use serde_json::Value;
use tempfile::TempDir;

use self::shell::Shell;
use crate::{
    harness::{CONFIG, Server, configured, mongod::Deployment, with_secret},
    wire::{bring, printed},
};

const EXAMPLE: &str = "examples/existing-data";
const PASSWORD: &str = "that the environment names";

fn example(file: &str) -> String {
    let text = fs::read_to_string(Path::new(EXAMPLE).join(file)).unwrap();
    text.trim_end().to_owned()
}

/// Runs a script in mongosh as the user who may do everything.
fn mongosh(deployment: &Deployment, database: &str, script: &Path) -> String {
    bring("npm-packages", "tests/writers");
    let home = TempDir::new().unwrap();
    let mut shell = Command::new("tests/writers/node_modules/.bin/mongosh");
    shell
        .args(["--quiet", &deployment.url(database), "--file"])
        .arg(script)
        .env("TIDEGATE_STORE__PASSWORD", PASSWORD)
        .env("HOME", home.path());
    printed(&mut shell)
}

/// The directory of an operator: the example's model, and a configuration with the user of the example's role.
fn operator(deployment: &Deployment) -> TempDir {
    let url = deployment.url_of_nobody("service") + "&authSource=admin";
    let store = format!("url = \"{url}\"\nusername = \"tidegate\"");
    let config = CONFIG.replace("url = \"embedded:data\"", &store);
    let directory = configured(&config);
    fs::write(
        directory.path().join("model.graphql"),
        example("model.graphql"),
    )
    .unwrap();
    directory
}

/// A command of the operator.
fn tidegate(directory: &TempDir, arguments: &[&str]) -> Command {
    let mut command = with_secret(directory.path(), arguments);
    command.env("TIDEGATE_STORE__PASSWORD", PASSWORD);
    command
}

fn check(directory: &TempDir) -> (bool, String) {
    let Output { status, stderr, .. } = tidegate(directory, &["check"]).output().unwrap();
    (status.success(), String::from_utf8(stderr).unwrap())
}

#[tokio::test]
async fn each_right_of_the_examples_role_is_named_when_it_is_missing() {
    let deployment = Deployment::with_users().await;
    let role = Path::new(EXAMPLE).join("role.js");
    mongosh(&deployment, "admin", &role);
    let directory = operator(&deployment);
    let serve = tidegate(&directory, &["serve"]);
    Server::start(directory.path(), serve).stop();
    assert_eq!(check(&directory), (true, String::new()), "it is enough");

    let admin = deployment.client().await.database("admin");
    let info = doc! {"rolesInfo": "tidegate", "showPrivileges": true};
    let info = admin.run_command(info).await.unwrap();
    let role = info.get_array("roles").unwrap()[0].as_document().unwrap();
    let privileges = role.get_array("privileges").unwrap();
    let privileges = privileges.iter().map(|item| item.as_document().unwrap());
    let privileges: Vec<Document> = privileges.cloned().collect();
    for (at, privilege) in privileges.iter().enumerate() {
        let resource = privilege.get_document("resource").unwrap();
        let collection = match resource.get_str("collection").unwrap() {
            "" => "the whole database",
            name => name,
        };
        for action in privilege.get_array("actions").unwrap() {
            let mut rest = privileges.clone();
            let actions = rest[at].get_array_mut("actions").unwrap();
            actions.retain(|granted| granted != action);
            let update = doc! {"updateRole": "tidegate", "privileges": rest};
            admin.run_command(update).await.unwrap();
            let action = action.as_str().unwrap();
            if collection == "oplog.rs"
                || (collection.starts_with("tidegate.") && action == "listIndexes")
            {
                let output = tidegate(&directory, &["doctor"]).output().unwrap();
                let reported = String::from_utf8(output.stdout).unwrap();
                let expected = match collection {
                    "oplog.rs" => "db: \"local\"".to_owned(),
                    _ => format!("the user may not listIndexes on {collection}"),
                };
                assert!(reported.contains(&expected), "{action}: {reported}");
                continue;
            }
            let (is_good, reported) = check(&directory);
            let (preposition, is_needed) = match action {
                "listIndexes" => ("of the collections", false),
                _ => ("on", true),
            };
            let expected = format!("the user tidegate may not {action} {preposition} {collection}");
            assert!(reported.contains(&expected), "{expected}: {reported}");
            assert_eq!(is_good, !is_needed, "{reported}");
        }
    }
}

/// The page as a newcomer follows it: its files, and its commands in a shell, one after the other.
#[tokio::test(flavor = "multi_thread")]
async fn every_command_of_the_page_does_what_it_shows() {
    let deployment = Deployment::with_users().await;
    let mut shell = Shell::new(&deployment);
    let page = fs::read_to_string("docs/existing-data.md").unwrap();
    let mut shown = 0;
    for (language, text) in blocks(&page) {
        match language {
            "graphql" => assert_eq!(text, example("model.graphql")),
            "js" if text == example("role.js") => {}
            "js" => shell.mongosh(text),
            "toml" => shell.configure(text),
            "sh" => assert_eq!(shell.run(text), ""),
            "console" => {
                for (command, expected) in commands(text) {
                    shell.expect(command, expected).await;
                    shown += 1;
                }
            }
            other => panic!("a block of {other:?} is not tested"),
        }
    }
    assert!(shown >= 10, "{shown}");
}

/// The fenced blocks of a page, with their languages.
fn blocks(page: &str) -> impl Iterator<Item = (&str, &str)> {
    let fenced = page.split("\n```").skip(1).step_by(2);
    fenced.map(|block| {
        let (language, text) = block.split_once('\n').unwrap();
        (language, text)
    })
}

/// The commands of a block, each with the lines that it prints.
fn commands(block: &str) -> impl Iterator<Item = (&str, &str)> {
    let each = block.strip_prefix("$ ").unwrap().split("\n$ ");
    each.map(|command| command.split_once('\n').unwrap_or((command, "")))
}

#[test]
fn the_page_names_the_versions_of_drivers_that_the_tests_pin() {
    let page = fs::read_to_string("docs/existing-data.md").unwrap();
    let tested = page.split_once("## What was tested").unwrap().1;
    let packages = fs::read_to_string("tests/writers/package.json").unwrap();
    let packages: Value = serde_json::from_str(&packages).unwrap();
    let packages = packages["dependencies"].as_object().unwrap().values();
    let packages = packages.map(|version| version.as_str().unwrap().to_owned());
    let python = fs::read_to_string("tests/writers/requirements.txt").unwrap();
    let python = python
        .lines()
        .find_map(|line| line.strip_prefix("pymongo=="));
    let lock = fs::read_to_string("Cargo.lock").unwrap();
    let rust = lock
        .split_once("name = \"mongodb\"\nversion = \"")
        .unwrap()
        .1;
    let rust = rust.split('"').next().unwrap();
    let pinned = packages.chain([python.unwrap().to_owned(), rust.to_owned()]);
    for version in pinned {
        assert!(tested.contains(&version), "{version}: {tested}");
    }
}
