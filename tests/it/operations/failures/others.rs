//! Keys that expire, documents that do not fit, another model, another clock, and an import that stands still.

use std::{fs, process::Command};

use jsonwebtoken::get_current_timestamp;
use mongodb::bson::{Document, Timestamp, doc};
use serde_json::{Value, json};

use super::{Failure, task};
use crate::{
    harness::{
        Client, Replica, Watched, command, configured_on,
        mongod::{Deployment, fresh_database, until},
        push_query, with_secret,
    },
    serve::tokens::{Key, Provider, claims, directory},
    wire::printed,
};

#[tokio::test]
async fn expired_keys() {
    let failure = Failure::named("Expired keys");
    let provider = Provider::start().await;
    let (old, new) = (Key::p256(), Key::p256());
    let settings = format!("jwks_url = \"{}\"", provider.url);
    let directory = directory(old.algorithm, &settings);
    let mut serve = command(directory.path());
    serve.arg("serve");
    let watched = Watched::start(directory, serve);
    let of = |key: &Key, kid: &str| Client {
        url: watched.server.url.clone(),
        token: key.token(Some(kid), &claims(json!({}))),
        http: reqwest::Client::new(),
    };
    let (by_old, by_new) = (of(&old, "old"), of(&new, "new"));
    failure.says("`keys` of `/readyz` is bad only on a gateway that has never had a key");
    let no_key = "no key is known yet";
    assert_eq!(watched.until_part("keys", &[no_key]).await.0, 503);
    let asked = async |client: &Client| client.send("{ viewer { id } }", json!({})).await;
    let answer = asked(&by_old).await;
    assert_eq!(super::failure(&answer).0, "SERVICE_UNAVAILABLE");

    provider.publish(json!([old.jwk("old")]));
    until("a key", async || {
        asked(&by_old).await["errors"].is_null().then_some(())
    })
    .await;
    provider.fail();
    let answer = asked(&by_new).await;
    assert_eq!(super::failure(&answer).0, "UNAUTHENTICATED");
    assert!(asked(&by_old).await["errors"].is_null(), "known keys stay");
    assert_eq!(watched.ready().await.0, 200);
    failure.says("tidegate_key_set_fetches_total{result=\"failed\"}");
    let text = watched.text().await;
    for series in [
        "tidegate_key_set_fetches_total{result=\"failed\"} ",
        "tidegate_token_verifications_total{result=\"unknown_key\"} ",
        "tidegate_token_verifications_total{result=\"keys_unavailable\"} ",
    ] {
        assert!(text.contains(series), "{series} is not in {text}");
    }
    for result in ["unknown_key", "keys_unavailable"] {
        failure.says(&format!("`{result}`"));
    }
    let age = failure.series("tidegate_key_set_age_seconds", "");
    let earlier = watched.value(&age).await.unwrap();
    watched.until_value(&age, |age| age > earlier).await;
    watched
        .until_logged(failure.says("tokens are refused"))
        .await;
}

#[tokio::test]
async fn withheld_documents() {
    let failure = Failure::named("Withheld documents");
    let (deployment, name) = (Deployment::shared().await, fresh_database());
    let database = deployment.client().await.database(&name);
    let tasks = database.collection::<Document>("tasks");
    for id in ["a", "b"] {
        let odd = doc! {"_id": id, "audience": "public", "title": 5};
        tasks.insert_one(odd).await.unwrap();
    }
    let fits = doc! {"_id": "c", "audience": "public", "title": "Fits"};
    tasks.insert_one(fits).await.unwrap();
    let watched = Watched::serve(configured_on(&deployment.url(&name)), &[]);
    let series = failure.series("tidegate_withheld_documents", "type=\"Task\",found=\"int\"");
    watched.until_value(&series, |count| count == 2.0).await;
    failure.says("the log names each kind once");
    let of_kind = |fields: &&Value| {
        let message = fields["message"].as_str().unwrap_or_default();
        message.starts_with("documents do not fit the model") && fields["path"] == "title"
    };
    assert_eq!(watched.log().iter().filter(of_kind).count(), 1);
    failure.says("Devices do not have the documents");
    let mut replica = Replica::default();
    replica.pull(&watched.client("alice")).await;
    assert_eq!(replica.ids(), ["c"]);
    failure.says("`tidegate doctor` lists them");
    let doctor = with_secret(watched.directory.path(), &["doctor"]).output();
    let listed = String::from_utf8(doctor.unwrap().stdout).unwrap();
    for id in ["Task/a", "Task/b"] {
        assert!(listed.contains(id), "{listed}");
    }
}

#[tokio::test]
async fn an_old_model_beside_a_new_one() {
    let failure = Failure::named("An old model beside a new one");
    let url = Deployment::shared().await.url(&fresh_database());
    let old = Watched::serve(configured_on(&url), &[]);
    let changed = configured_on(&url);
    let path = changed.path().join("model.graphql");
    let model = fs::read_to_string(&path).unwrap();
    let field = "  name: String! ";
    assert!(model.contains(field));
    let stored = format!("{field}@stored(as: \"label\") @renamed(stored: \"name\") ");
    fs::write(&path, model.replace(field, &stored)).unwrap();
    let new = Watched::serve(changed, &[]);

    let said = failure.says("another model is in force");
    let (status, body) = old.until_part("model", &[said]).await;
    let degraded = failure.says("degraded");
    assert_eq!((status, &body["status"]), (200, &json!(degraded)), "{body}");
    let leads = failure.series("tidegate_model_leads", "");
    old.until_value(&leads, |leads| leads == 0.0).await;
    new.until_value(&leads, |leads| leads == 1.0).await;
    let generation = failure.series("tidegate_model_generation", "");
    let generations = [
        old.value(&generation).await.unwrap(),
        new.value(&generation).await.unwrap(),
    ];
    assert!(generations[0] < generations[1], "{generations:?}");

    let project = json!({"id": "p", "document": {"name": "Stay", "audience": "team:demo"}});
    let push = async |watched: &Watched, change: Value| {
        let input = json!({"input": {"changes": [change]}});
        watched.client("alice").send(&push_query(), input).await
    };
    let create = json!({"project": {"create": project}});
    let code = failure.says("SERVICE_UNAVAILABLE");
    assert_eq!(super::failure(&push(&old, create.clone()).await).0, code);
    for (watched, change) in [(&new, create), (&old, task("a"))] {
        let answer = push(watched, change).await;
        let status = &answer["data"]["pushChanges"]["results"][0]["status"];
        assert_eq!(status, "APPLIED", "{answer}");
    }
    old.server.stop();
}

#[tokio::test]
async fn a_clock_that_is_off_by_an_hour() {
    let failure = Failure::named("A clock that is off by an hour");
    let script = concat!(env!("CARGO_MANIFEST_DIR"), "/scripts/faketime");
    let library = printed(&mut Command::new(script));
    let library = library.trim();
    let url = Deployment::shared().await.url(&fresh_database());
    let on_time = Watched::serve(configured_on(&url), &[]);
    let serve = |offset: &str| {
        let clock = [
            ("LD_PRELOAD", library),
            ("FAKETIME", offset),
            ("FAKETIME_DONT_FAKE_MONOTONIC", "1"),
        ];
        Watched::serve(configured_on(&url), &clock)
    };
    let offset = failure.series("tidegate_clock_offset_seconds", "");
    failure.says("`clock` of `/readyz`");
    let apart = "the clocks of the gateway and of MongoDB differ by more than a minute";
    for (clock, ahead_s, result) in [
        ("+1h", 3_600.0, "expired"),
        ("-1h", -3_600.0, "not_yet_valid"),
    ] {
        let watched = serve(clock);
        assert_eq!(watched.until_part("clock", &[apart]).await.0, 503);
        let is_off = |seconds: f64| (seconds - ahead_s).abs() < 30.0;
        watched.until_value(&offset, is_off).await;
        watched.until_logged("set both by NTP").await;
        // Signed by a machine that is on time.
        let now = json!({"nbf": get_current_timestamp() - 60});
        let client = Client {
            token: on_time.server.token("alice", &now, "10m"),
            ..watched.client("alice")
        };
        let answer = client.send("{ viewer { id } }", json!({})).await;
        assert_eq!(super::failure(&answer).0, "UNAUTHENTICATED", "{clock}");
        failure.says(&format!("`{result}`"));
        let series = format!("tidegate_token_verifications_total{{result=\"{result}\"}}");
        watched.until_value(&series, |times| times >= 1.0).await;
    }
    let slightly = serve("+5s");
    slightly.until_logged("set both by NTP").await;
    assert_eq!(
        slightly.ready().await.0,
        200,
        "it warns, and serves all the same"
    );
    assert_eq!(on_time.ready().await.0, 200);
}

#[tokio::test]
async fn a_lag_behind_other_services() {
    let failure = Failure::named("A lag");
    let (deployment, name) = (Deployment::shared().await, fresh_database());
    let url = deployment.url(&name);
    let database = deployment.client().await.database(&name);
    let state = database.collection::<Document>("tidegate.state");
    let first = Watched::serve(configured_on(&url), &[]);
    let position = async || {
        let found = state
            .find_one(doc! {"position.at": {"$exists": true}})
            .await;
        found.unwrap()
    };
    let found = until("a position", position).await;
    first.server.stop();
    // As after three minutes in which nobody led.
    let at = found.get_document("position").unwrap();
    let Timestamp { time, increment } = at.get_timestamp("at").unwrap();
    let earlier = Timestamp {
        time: time - 180,
        increment,
    };
    let id = found.get("_id").unwrap();
    let set = doc! {"$set": {"position.at": earlier}};
    state.update_one(doc! {"_id": id}, set).await.unwrap();

    let idle = Watched::serve(configured_on(&url), &[("TIDEGATE_STORE__FOLLOW", "false")]);
    let said = failure.says("what other services write arrives late");
    let (status, body) = idle.until_part("importer", &[said]).await;
    let degraded = failure.says("degraded");
    assert_eq!((status, &body["status"]), (200, &json!(degraded)), "{body}");
    let lag = failure.series("tidegate_importer_lag_seconds", "");
    idle.until_value(&lag, |seconds| seconds > 120.0).await;
    let leads = "tidegate_importer_leads";
    failure.says("sum(tidegate_importer_leads)");
    assert_eq!(idle.value(leads).await, Some(0.0));

    failure.says("one gateway needs `store.follow`");
    let follows = Watched::serve(configured_on(&url), &[]);
    follows.until_value(leads, |leads| leads == 1.0).await;
    idle.until_value(&lag, |seconds| seconds < 60.0).await;
    idle.until_part("importer", &["ok"]).await;
}
