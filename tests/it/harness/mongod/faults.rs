//! Faults of servers: killed, hung, stepped down, or failing by command. A test that harms a deployment has one of its
//! own, not the shared one.

use std::fs;

use futures_util::{TryStreamExt, future::join_all};
use mongodb::{
    bson::{Bson, Document, doc},
    options::{ReadPreference, SelectionCriteria},
};

use super::{Deployment, PAUSE};

/// How often a command is to fail.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Times {
    /// This many times from now on.
    Next(i32),
    /// Until it is healed.
    Always,
}

impl Deployment {
    /// Kills a node with -9, as a power cut would; its data stays.
    pub(crate) fn kill(&self, node: usize) {
        let process = self.nodes[node].process.lock().unwrap().take();
        process.expect("the node runs").kill();
    }

    /// Starts a killed node again, on its port and its data, and waits until it answers.
    pub(crate) async fn restart(&self, node: usize) {
        let is_up = self.nodes[node].run().await;
        assert!(is_up, "its log: {:?}", self.nodes[node].directory);
    }

    /// What a node has logged.
    pub(crate) fn logged(&self, node: usize) -> String {
        fs::read_to_string(self.nodes[node].log()).unwrap()
    }

    /// Hangs a node: its sockets stay open and nothing answers.
    pub(crate) fn pause(&self, node: usize) {
        self.signal(node, "STOP");
        let process = self.nodes[node].process.lock().unwrap();
        while !process.as_ref().expect("the node runs").is_stopped() {
            std::thread::sleep(PAUSE);
        }
    }

    /// Lets a hung node go on.
    pub(crate) fn resume(&self, node: usize) {
        self.signal(node, "CONT");
    }

    fn signal(&self, node: usize, name: &str) {
        let mut process = self.nodes[node].process.lock().unwrap();
        process.as_mut().expect("the node runs").signal(name);
    }

    /// Makes the primary step down; it may stand for election again after ten seconds, or, alone, at once.
    pub(crate) async fn step_down(&self) {
        let alone = self.nodes.len() == 1;
        let seconds = if alone { 1 } else { 10 };
        let command = doc! {"replSetStepDown": seconds, "secondaryCatchUpPeriodSecs": seconds - i32::from(alone), "force": alone};
        self.tell_primary(command).await;
    }

    /// Makes commands fail on the primary. `how` is the data of `failCommand`: `failCommands`, and `errorCode`,
    /// `closeConnection`, `writeConcernError`, `blockConnection` with `blockTimeMS`, `errorLabels`. With `appName` only
    /// the client with that name is affected.
    pub(crate) async fn fail_commands(&self, times: Times, how: Document) {
        let mode = match times {
            Times::Next(times) => Bson::from(doc! {"times": times}),
            Times::Always => Bson::from("alwaysOn"),
        };
        let command = doc! {"configureFailPoint": "failCommand", "mode": mode, "data": how};
        self.tell_primary(command).await;
    }

    /// The same for commands of gateways. Returns when this many have failed.
    pub(crate) async fn fail_gateways(&self, times: i32, mut how: Document) {
        how.insert("appName", "tidegate");
        let command =
            doc! {"configureFailPoint": "failCommand", "mode": {"times": times}, "data": how};
        let reported = self.tell_primary(command).await;
        let before = reported.get("count").and_then(Bson::as_i32).unwrap();
        let all = before + times;
        let wait =
            doc! {"waitForFailPoint": "failCommand", "timesEntered": all, "maxTimeMS": 60_000};
        self.tell_primary(wait).await;
    }

    /// Hides from the followers of a primary what a majority has, from the next write on.
    pub(crate) async fn withhold_commit_point(&self, primary: usize) {
        let how = doc! {
            "failCommands": ["getMore"], "appName": "OplogFetcher", "failInternalCommands": true,
            "blockConnection": true, "blockTimeMS": 60_000,
        };
        let command = doc! {"configureFailPoint": "failCommand", "mode": "alwaysOn", "data": how};
        self.tell(primary, command).await;
    }

    /// All nodes but one accept no more writes from others.
    pub(crate) async fn stop_replication(&self, but: usize) {
        self.replication("alwaysOn", but).await;
    }

    pub(crate) async fn resume_replication(&self, but: usize) {
        self.replication("off", but).await;
    }

    async fn replication(&self, stopped: &str, but: usize) {
        let command = doc! {"configureFailPoint": "stopReplProducer", "mode": stopped};
        let others = (0..self.nodes.len()).filter(|node| *node != but);
        join_all(others.map(|node| self.tell(node, command.clone()))).await;
    }

    async fn tell(&self, node: usize, command: Document) {
        let admin = self.nodes[node].client().await.database("admin");
        admin.run_command(command).await.unwrap();
    }

    /// Kills the cursors of all change streams on a database.
    pub(crate) async fn kill_streams(&self, database: &str) {
        let client = self.client().await;
        let database = client.database(database);
        let all = doc! {"$currentOp": {"idleCursors": true}};
        // An idle cursor has another name than one that waits for news.
        let names = ["$cmd", "$cmd.aggregate"].map(|name| format!("{}.{name}", database.name()));
        let streams = doc! {"$match": {"ns": {"$in": &names}, "cursor.tailable": true}};
        let admin = client.database("admin");
        let found = admin.aggregate([all, streams]).await.unwrap();
        let found: Vec<Document> = found.try_collect().await.unwrap();
        let ids = found
            .iter()
            .filter_map(|stream| stream.get_document("cursor").ok()?.get("cursorId"));
        let ids: Vec<&Bson> = ids.collect();
        assert!(!ids.is_empty(), "nobody follows {}", database.name());
        let kill = doc! {"killCursors": "$cmd.aggregate", "cursors": ids};
        database.run_command(kill).await.unwrap();
    }

    /// Lets commands on the primary succeed again.
    pub(crate) async fn heal_commands(&self) {
        let command = doc! {"configureFailPoint": "failCommand", "mode": "off"};
        self.tell_primary(command).await;
    }

    async fn tell_primary(&self, command: Document) -> Document {
        let client = self.client().await;
        let admin = client.database("admin");
        let primary = SelectionCriteria::ReadPreference(ReadPreference::Primary);
        let reported = admin.run_command(command).selection_criteria(primary);
        reported.await.unwrap()
    }
}
