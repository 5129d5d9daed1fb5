//! Faults of the server, of the user's rights, and of the application's collections.

use mongodb::bson::{Bson, Document, doc};
use serde_json::Value;

use super::{Report, assert_says, run, served};
use crate::harness::{
    SECRET, complaint_of, configured_on,
    mongod::{Deployment, ROOT, free_port},
    with_secret,
};

#[test]
fn what_cannot_be_examined_ends_with_2() {
    let nowhere = format!(
        "mongodb://127.0.0.1:{}/app?serverSelectionTimeoutMS=500",
        free_port()
    );
    let directory = configured_on(&nowhere);
    let output = run(&directory, &[]);
    assert_eq!(output.status.code(), Some(2));
    let reported = String::from_utf8(output.stderr).unwrap();
    assert_says(
        &reported,
        &[
            "not everything could be examined: ",
            "MongoDB cannot be reached",
        ],
    );
    let report = Report::of(&directory);
    assert_eq!(report.code, 2);
    assert_says(
        &report.json["failure"].to_string(),
        &["MongoDB cannot be reached"],
    );

    std::fs::write(directory.path().join("tidegate.toml"), "stor = 1\n").unwrap();
    let report = Report::of(&directory);
    assert_eq!(report.code, 2);
    assert_says(&report.json["failure"].to_string(), &["stor"]);
}

#[tokio::test]
async fn a_standalone_server_prevents_a_start() {
    let standalone = Deployment::standalone().await;
    let report = Report::of(&configured_on(&standalone.url("app")));
    assert_eq!(report.code, 1);
    let fault = report.only("server");
    assert_eq!(fault["preventsStart"], true);
    assert_says(&fault.to_string(), &["is a standalone server", "--replSet"]);
}

#[tokio::test]
async fn missing_rights_are_named_and_an_oplog_that_may_not_be_read_is_a_warning() {
    let deployment = Deployment::with_users().await;
    let admin = deployment.client().await.database("admin");
    let password = "of the tests";
    for (user, role) in [("reader", "read"), ("gateway", "readWrite")] {
        let roles = [doc! {"role": role, "db": "app"}];
        let create = doc! {"createUser": user, "pwd": password, "roles": &roles};
        admin.run_command(create).await.unwrap();
    }
    let directory = configured_on(&deployment.url_of("reader", password, "app"));
    let report = Report::of(&directory);
    assert_eq!(report.code, 1);
    let fault = report.only("rights");
    assert_eq!(fault["preventsStart"], true);
    assert_says(&fault.to_string(), &["may not insert, update, remove"]);
    let mut check = with_secret(directory.path(), &["check"]);
    let checked = String::from_utf8(check.output().unwrap().stderr).unwrap();
    assert_says(&checked, &[fault["message"].as_str().unwrap()]);
    let refused = complaint_of(&mut with_secret(directory.path(), &["serve"]));
    assert_says(&refused, &[fault["message"].as_str().unwrap()]);

    let url = deployment.url_of("gateway", password, "app");
    let report = Report::of(&configured_on(&url));
    assert_eq!(report.code, 0, "a warning alone is no problem");
    assert_says(
        &report.only("oplog").to_string(),
        &["may not read it", "local"],
    );
    for secret in [password, ROOT.1, SECRET] {
        assert!(!report.json.to_string().contains(secret));
    }
}

#[tokio::test]
async fn collections_that_cannot_be_synced_are_problems_and_a_collation_is_a_warning() {
    let (directory, database) = served().await;
    let tasks = database.collection::<Document>("tasks");
    let folding = doc! {"locale": "en", "strength": 2};
    for (create, code, oddity) in [
        (
            doc! {"create": "tasks", "collation": folding},
            0,
            "a collation",
        ),
        (
            doc! {"create": "tasks", "capped": true, "size": 4096},
            1,
            "is capped",
        ),
        (
            doc! {"create": "tasks", "viewOn": "others", "pipeline": []},
            1,
            "is a view",
        ),
        (
            doc! {"create": "tasks", "timeseries": {"timeField": "at"}},
            1,
            "time series",
        ),
    ] {
        tasks.drop().await.unwrap();
        database.run_command(create).await.unwrap();
        let report = Report::of(&directory);
        assert_eq!(report.code, code, "{:#}", report.json);
        let faults = report.faults("collections");
        assert_says(&faults[0].to_string(), &["the collection tasks ", oddity]);
        assert_eq!(faults[0]["preventsStart"], false);
    }
}

#[tokio::test]
async fn ids_of_another_type_are_counted_and_the_first_are_named() {
    let (directory, database) = served().await;
    let tasks = database.collection::<Document>("tasks");
    let odd = (0..30).map(|number| doc! {"_id": number, "title": "odd"});
    let odd = odd.chain([doc! {"_id": {"a": "nested"}}]);
    tasks.insert_many(odd).await.unwrap();
    let texts = (0..500).map(|number| doc! {"_id": format!("t{number}"), "audience": "user:alice"});
    tasks.insert_many(texts).await.unwrap();
    let report = Report::of(&directory);
    let [fault] = report.faults("ids")[..] else {
        panic!("{:#}", report.json);
    };
    assert_eq!(
        (&fault["level"], &fault["count"]),
        (&"warning".into(), &31.into())
    );
    assert_eq!(fault["examples"].as_array().unwrap().len(), 10);
    assert_says(
        &fault.to_string(),
        &["are not of the model's idType STRING", "withheld"],
    );

    tasks.delete_many(doc! {}).await.unwrap();
    let numbers = (0..30).map(|number| doc! {"_id": Bson::Int64(number)});
    tasks.insert_many(numbers).await.unwrap();
    let report = Report::of(&directory);
    assert_eq!(report.code, 1);
    let obstacle: Vec<&Value> = report
        .faults("ids")
        .into_iter()
        .filter(|fault| fault["preventsStart"] == true)
        .collect();
    assert_says(&obstacle[0].to_string(), &["idType: INT"]);
}
