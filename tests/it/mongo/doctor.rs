//! What `doctor` finds of a server that no test can plant in one: clocks that differ.

use std::time::{SystemTime, UNIX_EPOCH};

use tidegate::store::{
    finding::{Level, Topic},
    mongo::MongoStore,
};
use tidegate_core::{model::Model, value::Timestamp};

use super::{CONTRACT, Mongo};
use crate::contract::Backend;

#[tokio::test]
async fn a_clock_that_differs_from_mongodbs_is_found_with_its_side() {
    let mongo = Mongo::start().await;
    let options = mongo.options().await;
    let model = Model::parse("model.graphql", CONTRACT).unwrap();
    for (apart_ms, level, side) in [
        (0, Level::Good, "agree"),
        (30_000, Level::Warning, "ahead of MongoDB's"),
        (-300_000, Level::Problem, "behind MongoDB's"),
    ] {
        let now = || now().plus_ms(apart_ms);
        let (_, findings) = MongoStore::examine_all(&options, &model, now)
            .await
            .unwrap();
        let clock = findings.iter().find(|found| found.topic == Topic::Clock);
        let clock = clock.unwrap();
        assert_eq!(clock.level, level, "{}", clock.message);
        assert!(clock.message.contains(side), "{}", clock.message);
    }
}

#[expect(
    clippy::disallowed_methods,
    reason = "it stands for the gateway's clock"
)]
fn now() -> Timestamp {
    let since_1970 = SystemTime::now().duration_since(UNIX_EPOCH).unwrap();
    Timestamp::EPOCH.plus_ms(i64::try_from(since_1970.as_millis()).unwrap())
}
