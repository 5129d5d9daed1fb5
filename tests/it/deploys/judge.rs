//! What must hold once the last model is served everywhere and all have stopped writing.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
    time::{Duration, Instant},
};

use futures_util::TryStreamExt;
use mongodb::bson::{Document, doc};
use tokio::time::sleep;

use super::{
    device::{COUNTER, Device, Person},
    foreign::COUNTS,
    kinds::{App, Kind, Model, Shown, fields_of, opened},
    stage::{SLOTS, Stage},
};
use crate::harness::{Documents, Replica, expect_no_gap};

/// How long clients may take to catch up after the last write.
const CATCH_UP: Duration = Duration::from_secs(60);

/// Type and id.
type Key = (String, String);

type Content = BTreeMap<Key, Shown>;

/// The documents of the collections, which nobody changes any more.
struct Collections(Vec<(Kind, String, Document)>);

pub(super) async fn judge(stage: &Arc<Stage>, model: Model, mut devices: Vec<Device>) {
    stage.until_settled(model).await;
    let stored = Collections::read(stage, model).await;
    let mut versions = BTreeMap::new();
    for device in &mut devices {
        for app in [App::Old, App::New] {
            let expected = stored.seen_by(&device.person, model, app);
            for slot in 0..SLOTS {
                let found = fresh(stage, device, app, slot, &expected).await;
                versions.extend(versions_of(found.documents()));
            }
        }
        let expected = without_hints(stored.seen_by(&device.person, model, device.app));
        let slot = usize::from(device.person.subscribes);
        let what = format!("{}'s device", device.person.user);
        catch_up(device, slot, &what, &expected).await;
        assert_eq!(device.replica.resets, 1, "continuity was never broken");
    }
    for device in &devices {
        stored.expect_acknowledged(device);
        for (key, shown) in &device.ledger.versions {
            let last = versions.get(key);
            assert!(
                last.is_none_or(|last| last >= shown),
                "{key:?} went back from {shown} to {last:?}"
            );
        }
    }
    stored.expect_counts(&devices);
    stored.expect_withheld(stage, model).await;
    expect_no_gap(&stage.database, stage.began).await;
}

/// What a new device with this app gets.
async fn fresh(
    stage: &Arc<Stage>,
    of: &Device,
    app: App,
    slot: usize,
    expected: &Content,
) -> Replica {
    let what = format!("a fresh sync of {}, {app:?}, at {slot}", of.person.user);
    let began = Instant::now();
    loop {
        let mut device = Device::new(stage, of.person, app, 0);
        let is_whole = device.pull(slot).await;
        if is_whole && content(device.documents()) == *expected {
            return device.replica;
        }
        if began.elapsed() > CATCH_UP {
            differ(&what, expected, &content(device.documents()));
        }
        sleep(Duration::from_millis(300)).await;
    }
}

async fn catch_up(device: &mut Device, slot: usize, what: &str, expected: &Content) {
    let began = Instant::now();
    loop {
        let is_whole = device.pull(slot).await;
        let held = without_hints(content(device.documents()));
        if is_whole && held == *expected {
            return;
        }
        if began.elapsed() > CATCH_UP {
            differ(what, expected, &held);
        }
        sleep(Duration::from_millis(300)).await;
    }
}

fn differ(what: &str, expected: &Content, found: &Content) -> ! {
    let keys: BTreeSet<&Key> = expected.keys().chain(found.keys()).collect();
    let keys = keys.into_iter();
    let differences: Vec<String> = keys
        .map(|key| (key, expected.get(key), found.get(key)))
        .filter(|(_, should, does)| should != does)
        .map(|(key, should, does)| format!("{key:?}: {does:?}, and not {should:?}"))
        .collect();
    panic!(
        "{what} differs from the collections:\n{}",
        differences.join("\n")
    )
}

fn content(documents: &Documents) -> Content {
    let held = documents.iter().map(|(key, local)| {
        let shown = Shown {
            scope: local.scope.clone(),
            fields: fields_of(&local.document),
        };
        (key.clone(), shown)
    });
    held.collect()
}

/// A device keeps the value of a retired field until the next version of its document.
fn without_hints(mut content: Content) -> Content {
    for shown in content.values_mut() {
        shown.fields.as_object_mut().unwrap().remove("hint");
    }
    content
}

fn versions_of(documents: &Documents) -> impl Iterator<Item = (Key, i64)> {
    let held = documents.iter();
    held.map(|(key, local)| (key.clone(), local.version))
}

impl Collections {
    async fn read(stage: &Stage, model: Model) -> Self {
        let mut all = Vec::new();
        for kind in Kind::of(model) {
            let found = stage.stored(*kind).find(doc! {}).await.unwrap();
            let found: Vec<Document> = found.try_collect().await.unwrap();
            let id = |document: &Document| document.get_str("_id").unwrap().to_owned();
            all.extend(found.into_iter().map(|it| (*kind, id(&it), it)));
        }
        Self(all)
    }

    /// What a person's app shows. A membership opens a scope, also if the person may not see the membership.
    fn seen_by(&self, person: &Person, model: Model, app: App) -> Content {
        let shown = |of: &(Kind, String, Document)| {
            let shown = of.0.shown(model, app, &of.2)?;
            Some(((of.0.name().to_owned(), of.1.clone()), shown))
        };
        let all: Content = self.0.iter().filter_map(shown).collect();
        let given = all.iter().filter_map(|((kind, _), member)| {
            let is_for_person = kind == "Member" && member.fields["person"] == person.user;
            is_for_person.then(|| opened(model, &member.fields))
        });
        let claims = [
            ("team", person.teams),
            ("list", person.lists),
            ("staff", person.staff),
        ];
        let claimed = claims
            .into_iter()
            .flat_map(|(name, values)| values.iter().map(move |value| format!("{name}:{value}")));
        let scopes: BTreeSet<String> = claimed.chain(given).collect();
        let seen = all
            .iter()
            .filter(|(_, shown)| scopes.contains(&shown.scope));
        seen.map(|(key, shown)| (key.clone(), shown.clone()))
            .collect()
    }

    fn find(&self, kind: &str, id: &str) -> Option<&Document> {
        let mut all = self.0.iter();
        let found = all.find(|it| it.0.name() == kind && it.1 == id);
        found.map(|(_, _, document)| document)
    }

    /// What was acknowledged is there.
    fn expect_acknowledged(&self, device: &Device) {
        let (user, ledger) = (device.person.user, &device.ledger);
        for (kind, id) in &ledger.created {
            assert!(self.find(kind, id).is_some(), "{kind}/{id} is lost");
        }
        let own = self.find("Note", &format!("{user}-own"));
        let title = own.map(|own| own.get_str("title").unwrap());
        assert_eq!(
            title,
            ledger.own_title.as_deref(),
            "the last edit of {user}"
        );
    }

    /// Each count is there once, and the other service's own list of them.
    fn expect_counts(&self, devices: &[Device]) {
        let counter = self.find("Note", COUNTER).unwrap();
        let by_others = counter.get_array(COUNTS).unwrap().len();
        let by_devices: i64 = devices.iter().map(|device| device.ledger.counted).sum();
        let count = counter.get("count").unwrap();
        let count = count.as_i64().or_else(|| count.as_i32().map(i64::from));
        assert_eq!(count, Some(by_devices + i64::try_from(by_others).unwrap()));
        assert!(by_devices > 0 && by_others > 0, "both count");
    }

    /// The documents that do not fit are recorded, and no others.
    async fn expect_withheld(&self, stage: &Stage, model: Model) {
        let unfit = self.0.iter();
        let unfit = unfit.filter(|(kind, _, it)| kind.shown(model, App::Old, it).is_none());
        let expected: BTreeSet<Key> = unfit
            .map(|(kind, id, _)| (kind.name().to_owned(), id.clone()))
            .collect();
        let began = Instant::now();
        loop {
            let withheld: BTreeSet<Key> = stage.withheld().await.into_iter().collect();
            if withheld == expected {
                return;
            }
            assert!(
                began.elapsed() < CATCH_UP,
                "not recorded as withheld: {:?}; needlessly recorded: {:?}",
                expected.difference(&withheld),
                withheld.difference(&expected)
            );
            sleep(Duration::from_millis(300)).await;
        }
    }
}
