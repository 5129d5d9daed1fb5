//! docs/existing-data.md, step by step: a team adopts Tidegate on the database that it has, with authentication on.

use std::{
    fs,
    path::Path,
    process::{Command, Output},
};

use mongodb::bson::{Document, doc};
use tempfile::TempDir;

use crate::{
    harness::{configured, mongod::Deployment, with_secret},
    wire::{bring, printed},
};

const EXAMPLE: &str = "examples/existing-data";
const PASSWORD: &str = "that the environment names";

/// Runs a script in mongosh as the user who may do everything.
fn mongosh(deployment: &Deployment, database: &str, script: &Path) -> String {
    bring("npm-packages", "tests/mongosh");
    let home = TempDir::new().unwrap();
    let mut shell = Command::new("tests/mongosh/node_modules/.bin/mongosh");
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
    let config = crate::harness::CONFIG.replace("url = \"embedded:data\"", &store);
    let directory = configured(&config);
    let model = Path::new(EXAMPLE).join("model.graphql");
    fs::copy(model, directory.path().join("model.graphql")).unwrap();
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
            let (is_good, reported) = check(&directory);
            let action = action.as_str().unwrap();
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
