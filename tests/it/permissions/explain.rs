//! `tidegate explain`: why a user sees a document or does not, on both stores, and beside a running gateway on MongoDB.

use std::fs;

use mongodb::{Database, bson::doc};
use serde_json::{Value, json};
use tempfile::TempDir;

use crate::harness::{
    CONFIG, Server, configured,
    mongod::{Deployment, fresh_database},
    with_secret,
};

const MODEL: &str = r#"
extend schema
  @grant(scope: "user:{sub}", access: WRITE)
  @grant(scope: "team:{teams}", access: MEMBER)
  @allow(role: WRITE, do: [CREATE UPDATE DELETE]) @allow(role: MEMBER, do: [CREATE UPDATE])

type Task @collection(name: "tasks") @scope(by: "team:{team}") @owner(by: "owner") @allow(role: MEMBER, do: [CREATE UPDATE]) @allow(role: OWNER, do: [DELETE]) {
  id: ID!
  team: String!
  owner: ID! @default(value: "{sub}")
  title: String!
  approved: Boolean @access(write: [BOSS])
}

type Seat @collection(name: "seats") @scope(by: "user:{giver}") @grants(scope: "team:{team}", to: "{person}", access: "{role}") {
  id: ID!
  giver: String! @default(value: "{sub}")
  team: String!
  person: String!
  role: String!
}
"#;

struct Place {
    directory: TempDir,
    server: Option<Server>,
    database: Option<Database>,
}

impl Place {
    fn on(url: &str, database: Option<Database>) -> Self {
        let directory = configured(&CONFIG.replace("embedded:data", url));
        fs::write(directory.path().join("model.graphql"), MODEL).unwrap();
        let server = Some(Server::serve(&directory));
        Self {
            directory,
            server,
            database,
        }
    }

    fn asked(&self, token: &str, document: &str, json: bool) -> Result<String, String> {
        let mut arguments = vec!["explain", "--config", "tidegate.toml", "--token", token];
        arguments.push(document);
        arguments.extend(json.then_some("--json"));
        let output = with_secret(self.directory.path(), &arguments)
            .output()
            .unwrap();
        match output.status.success() {
            true => Ok(String::from_utf8(output.stdout).unwrap()),
            false => Err(String::from_utf8(output.stderr).unwrap()),
        }
    }

    fn explained(&self, token: &str, document: &str) -> Value {
        let printed = self.asked(token, document, true).unwrap();
        serde_json::from_str(&printed).unwrap()
    }

    async fn tell(mut self) {
        let server = self.server.as_ref().unwrap();
        let ann = server.client_with("ann", &json!({"teams": ["1"]}));
        let task =
            json!({"task": {"create": {"id": "a", "document": {"team": "1", "title": "x"}}}});
        let gone =
            json!({"task": {"create": {"id": "gone", "document": {"team": "1", "title": "x"}}}});
        let delete = json!({"task": {"delete": {"id": "gone", "baseVersion": 1}}});
        let seat = json!({"seat": {"create": {"id": "s", "document": {"team": "1", "person": "bea", "role": "BOSS"}}}});
        let results = super::push(&ann, vec![task, gone, delete, seat]).await;
        assert!(results.iter().all(|it| it == "APPLIED"), "{results:?}");
        let tokens = [
            ("ann", json!({"teams": ["1"]})),
            ("bea", json!({})),
            ("cat", json!({"teams": ["2"]})),
        ];
        let [ann, bea, cat] = tokens.map(|(user, claims)| server.token(user, &claims, "1h"));
        let late = server.token("ann", &json!({}), "0s");
        match &self.database {
            // The gateway goes on.
            Some(database) => {
                let unfit = doc! {"_id": "unfit", "team": "1", "owner": "ann", "title": 7};
                let tasks = database.collection("tasks");
                tasks.insert_one(unfit).await.unwrap();
                let it = self.explained(&ann, "Task/unfit");
                assert_eq!(it["state"]["is"], "withheld", "{it}");
                assert!(it["reason"].as_str().unwrap().contains("title"), "{it}");
                assert_eq!(it["sees"], false);
            }
            None => self.server.take().unwrap().stop(),
        }
        let it = self.explained(&ann, "Task/a");
        assert_eq!(
            (&it["sees"], &it["version"]),
            (&json!(true), &json!(1)),
            "{it}"
        );
        assert_eq!(
            (&it["user"], &it["scope"]),
            (&json!("ann"), &json!("team:1"))
        );
        assert_eq!(it["state"], json!({"is": "living"}));
        assert_eq!(
            it["grants"],
            json!([{"by": "@grant(scope: \"team:{teams}\")", "role": "MEMBER", "reads": true}])
        );
        assert_eq!(it["roles"], json!(["MEMBER", "OWNER"]));
        assert_eq!(
            it["may"],
            json!(["update", "delete", "create others in its scope"])
        );
        assert_eq!(it["fixedFields"], json!(["owner", "approved"]));
        assert_eq!(it["claims"]["teams"], json!(["1"]));
        let it = self.explained(&bea, "Task/a");
        assert_eq!(it["sees"], true, "{it}");
        assert_eq!(
            it["grants"],
            json!([{"by": "Seat/s, given by ann", "role": "BOSS", "reads": true}])
        );
        assert_eq!(it["may"], json!([]), "a boss only approves");
        let it = self.explained(&cat, "Task/a");
        assert_eq!(
            (&it["sees"], &it["grants"]),
            (&json!(false), &json!([])),
            "{it}"
        );
        assert_eq!(it["misses"][0]["by"], "@grant(scope: \"team:{teams}\")");
        assert!(it["reason"].as_str().unwrap().contains("team:1"), "{it}");
        for (document, state) in [("Task/gone", "deleted"), ("Task/none", "absent")] {
            let it = self.explained(&ann, document);
            assert_eq!(
                (&it["state"]["is"], &it["sees"]),
                (&json!(state), &json!(false)),
                "{it}"
            );
        }
        let words = self.asked(&ann, "Task/a", false).unwrap();
        assert!(
            words.starts_with("ann sees Task/a: the user sees the scope team:1.\n"),
            "{words}"
        );
        let refused = self.asked(&late, "Task/a", false).unwrap_err();
        assert!(refused.contains("the token has expired"), "{refused}");
        let unknown = self.asked(&ann, "Tusk/a", false).unwrap_err();
        assert!(unknown.contains("no type \"Tusk\""), "{unknown}");
        if let (Some(database), Some(server)) = (&self.database, self.server.take()) {
            server.stop();
            let late = doc! {"_id": "late", "team": "1", "owner": "ann", "title": "x"};
            let tasks = database.collection("tasks");
            tasks.insert_one(late).await.unwrap();
            let it = self.explained(&ann, "Task/late");
            assert_eq!(it["state"]["is"], "notImported", "{it}");
            assert_eq!(it["sees"], false);
        }
    }
}

#[tokio::test]
async fn it_says_why_a_user_sees_a_document_on_the_embedded_store() {
    Place::on("embedded:data", None).tell().await;
}

#[tokio::test]
async fn it_says_why_a_user_sees_a_document_beside_a_gateway_on_mongodb() {
    let deployment = Deployment::shared().await;
    let name = fresh_database();
    let database = deployment.client().await.database(&name);
    Place::on(&deployment.url(&name), Some(database))
        .tell()
        .await;
}
