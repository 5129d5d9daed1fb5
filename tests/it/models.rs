//! The matrix of model changes: each change of docs/model.md, on both stores, deployed in each way, for each client.
//!
//! `rows` has the changes and what becomes of documents and clients, `place` the stores and gateways, and `device` the
//! clients. One driver runs a cell.

mod device;
mod place;
mod rows;

use std::{collections::BTreeSet, fs, panic::AssertUnwindSafe, time::Instant};

use futures_util::{FutureExt, StreamExt, stream};
use serde_json::json;

use self::{
    device::{Device, LEAD_PATIENCE},
    place::{Place, StoreKind},
    rows::{APPLIED, After, Becomes, RolledBack, Row, Seen, rows},
};
use crate::harness::Server;

/// How the change reaches the gateways.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Deployment {
    /// One gateway stops, and starts with the new model.
    One,
    /// A gateway with the new model starts beside one with the old model, and then that one stops.
    Rolling,
    /// A gateway with the new model serves for a while, then one with the old model, and then one with the new again.
    Rollback,
}

/// Who edits at the new gateway.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Client {
    /// An app made for the old model, which has synced before.
    Old,
    /// The same device after an update to an app made for the new model.
    New,
    /// An app made for the new model, on a new device.
    Fresh,
}

/// One cell of a row.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
struct Cell {
    store: StoreKind,
    deployment: Deployment,
    client: Client,
}

/// All cells of a row. Two processes cannot open an embedded store at a time.
fn cells() -> Vec<Cell> {
    let deployments = [
        (StoreKind::Mongodb, Deployment::Rolling),
        (StoreKind::Embedded, Deployment::One),
        (StoreKind::Mongodb, Deployment::Rollback),
        (StoreKind::Embedded, Deployment::Rollback),
        (StoreKind::Mongodb, Deployment::One),
    ];
    let clients = [Client::Old, Client::New, Client::Fresh];
    // Neighbours differ in everything, so a few rows have all pairs.
    let all = (0..deployments.len() * clients.len()).map(|number| {
        let (store, deployment) = deployments[number % deployments.len()];
        let client = clients[number % clients.len()];
        Cell {
            store,
            deployment,
            client,
        }
    });
    all.collect()
}

/// The cells of a row that differ. Where no gateway serves the new model, there is no way back and no new client.
fn cells_of(row: &Row) -> Vec<Cell> {
    let is_refused = |cell: &Cell| row.refusal(cell.store).is_some();
    let differs = |cell: &Cell| {
        !is_refused(cell) || (cell.client == Client::Old && cell.deployment != Deployment::Rollback)
    };
    cells().into_iter().filter(differs).collect()
}

/// One cell of each row. Rows with as many cells take turns, so each cell is one of some row.
fn chosen(rows: &[Row]) -> Vec<(&Row, Cell)> {
    let mut turns = std::collections::BTreeMap::<usize, usize>::new();
    let chosen = rows.iter().map(|row| {
        let cells = cells_of(row);
        let turn = turns.entry(cells.len()).or_default();
        *turn += 1;
        (row, cells[(*turn - 1) % cells.len()])
    });
    chosen.collect()
}

/// The cells that `TIDEGATE_MODELS_MATRIX` asks for: all of them, those of the rows whose names contain a text, or one of
/// each row.
fn asked(rows: &[Row]) -> Vec<(&Row, Cell)> {
    let all = |row| cells_of(row).into_iter().map(move |cell| (row, cell));
    match std::env::var("TIDEGATE_MODELS_MATRIX").as_deref() {
        Ok("all") => rows.iter().flat_map(all).collect(),
        Ok(text) => {
            let named = rows.iter().filter(|row| row.name.contains(text));
            named.flat_map(all).collect()
        }
        Err(_) => chosen(rows),
    }
}

/// `make test` runs one cell of each row. `make nightly` runs all cells of all rows.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_model_change_does_to_documents_and_clients_what_its_row_says() {
    let rows = rows();
    let asked = asked(&rows);
    let began = Instant::now();
    let run = asked.iter().map(async |(row, cell)| {
        let began = Instant::now();
        let ended = AssertUnwindSafe(run(row, *cell)).catch_unwind().await;
        println!("{}: {cell:?}: {:?}", row.name, began.elapsed());
        let why = ended.err()?;
        let why = why.downcast_ref::<String>().map_or("", String::as_str);
        Some(format!("{}: {cell:?}: {why}", row.name))
    });
    // The waits of one cell are the work of another.
    let failed: Vec<_> = stream::iter(run).buffer_unordered(3).collect().await;
    let failed: Vec<String> = failed.into_iter().flatten().collect();
    println!("{} cells in {:?}", asked.len(), began.elapsed());
    assert!(failed.is_empty(), "{failed:#?}");
}

#[test]
fn one_cell_of_each_row_is_every_cell_of_some_row() {
    let rows = rows();
    let served = chosen(&rows).into_iter();
    let served = served.filter(|(row, cell)| row.refusal(cell.store).is_none());
    let run: BTreeSet<Cell> = served.map(|(_, cell)| cell).collect();
    assert_eq!(run, cells().into_iter().collect());
}

#[test]
fn the_page_on_models_lists_every_row_of_the_matrix_and_no_other() {
    let page = fs::read_to_string("docs/model.md").unwrap();
    let section = page.split("\n## Changing a model\n").nth(1).unwrap();
    let section = section.split("\n## ").next().unwrap();
    let lines = section.lines().filter_map(|line| line.strip_prefix("| "));
    let named = lines.filter_map(|line| line.split(" | ").next());
    let named: Vec<&str> = named
        .filter(|name| *name != "change" && *name != "---")
        .collect();
    let rows = rows();
    let expected: Vec<&str> = rows.iter().map(|row| row.name).collect();
    assert_eq!(named, expected);
}

async fn run(row: &Row, cell: Cell) {
    let place = Place::new(cell.store).await;
    let before = place.start(row.old, &[]);
    let (mut old, editor) = seeded(row, cell, &place, &before).await;
    let after = match &row.becomes {
        Becomes::Served(after) => after,
        Becomes::RefusedOnMongodb(_, after) if cell.store == StoreKind::Embedded => after,
        Becomes::Refused(words) | Becomes::RefusedOnMongodb(words, _) => {
            return refuse(row, cell, &place, before, &mut old, words).await;
        }
    };
    let after = &after[usize::from(cell.client != Client::Old)];
    let mut cast = Cast {
        row,
        cell,
        after,
        old,
        editor,
        met: None,
    };
    let running = match cell.deployment {
        Deployment::Rolling => {
            place.rename_for(row).await;
            let beside = place.start(row.new, row.arguments);
            cast.edit(&beside).await;
            cast.compare(&beside).await;
            cast.meet_older(&before).await;
            before.stop();
            beside
        }
        Deployment::One | Deployment::Rollback => {
            before.stop();
            place.rename_for(row).await;
            let next = place.start(row.new, row.arguments);
            cast.edit(&next).await;
            next
        }
    };
    cast.compare(&running).await;
    if let Some(stored) = place.stored(row).await {
        assert_eq!(stored, after.stored);
    }
    if cell.deployment == Deployment::Rollback {
        running.stop();
        cast.roll_back(&place).await;
        place.rename_for(row).await;
        let forward = place.start(row.new, row.arguments);
        cast.compare(&forward).await;
    } else if let Some(mended) = &after.mended {
        cast.mend(&place, &running, mended).await;
    }
}

/// A store with the documents of a row, a device with the old app, and the device that edits.
async fn seeded(row: &Row, cell: Cell, place: &Place, gateway: &Server) -> (Device, Device) {
    let admin = Device::new(&row.old_app, &place.admin(gateway));
    let document = json!({row.old_app.key: {"create": {"id": device::ID, "document": row.seed}}});
    for change in row.others.iter().chain([&document]) {
        assert_eq!(admin.push(gateway, json!([change])).await, APPLIED);
    }
    let mut old = Device::new(&row.old_app, &place.user(gateway));
    old.expect(gateway, &row.seeded).await;
    let editor = match cell.client {
        Client::Old => old.clone(),
        Client::New => old.updated(&row.new_app),
        Client::Fresh => old.updated(&row.new_app).fresh(),
    };
    (old, editor)
}

/// A gateway does not start with the new model, and says why. The old model serves as before.
async fn refuse(
    row: &Row,
    cell: Cell,
    place: &Place,
    before: Server,
    old: &mut Device,
    words: &[&str],
) {
    let serving = match cell.deployment {
        Deployment::Rolling => {
            place.says(row.new, words);
            before
        }
        Deployment::One | Deployment::Rollback => {
            before.stop();
            place.says(row.new, words);
            place.start(row.old, &[])
        }
    };
    old.expect(&serving, &row.seeded).await;
    assert_eq!(old.touch(&serving, &row.seeded).await, APPLIED);
    old.fresh().expect(&serving, &row.seeded).await;
}

impl Place {
    /// A gateway does not start with this model, and says why.
    fn says(&self, model: &str, words: &[&str]) {
        let complaint = self.refused(model);
        for word in words {
            assert!(complaint.contains(word), "{complaint}");
        }
    }

    async fn rename_for(&self, row: &Row) {
        if let Some([from, to]) = row.renamed {
            self.rename(from, to).await;
        }
    }
}

/// The devices of a cell, and what its row says of them.
struct Cast<'r> {
    row: &'r Row,
    cell: Cell,
    after: &'r After,
    /// A device with the old app.
    old: Device,
    /// The device that edits at the new gateway.
    editor: Device,
    /// A device that began at a gateway with the old model while the new one served.
    met: Option<Device>,
}

impl Cast<'_> {
    /// What the app of the editing device shows.
    fn edited(&self) -> Seen {
        match self.cell.client {
            Client::Old => self.after.old.clone(),
            Client::New | Client::Fresh => self.after.new.clone().into(),
        }
    }

    async fn edit(&mut self, gateway: &Server) {
        let app = match self.cell.client {
            Client::Old => &self.row.old_app,
            Client::New | Client::Fresh => &self.row.new_app,
        };
        if app.outcome.is_empty() {
            return;
        }
        if !self.edited().held.is_null() {
            self.editor.wait_for_document(gateway).await;
        }
        expect_one_of(app.outcome, &self.editor.edit(gateway).await);
    }

    /// The devices, and new ones with the same apps, show what the row says.
    async fn compare(&mut self, gateway: &Server) {
        // A write at the older gateway gave the document a version, which all devices get.
        let is_renewed = self.met.is_some() && self.after.beside.touch == APPLIED;
        let known = |seen: &Seen| match is_renewed {
            true => seen.fresh.clone(),
            false => seen.held.clone(),
        };
        let (edited, old) = (self.edited(), &self.after.old);
        self.editor.expect(gateway, &known(&edited)).await;
        self.editor.fresh().expect(gateway, &edited.fresh).await;
        self.old.expect(gateway, &known(old)).await;
        self.old.fresh().expect(gateway, &old.fresh).await;
        if let Some(met) = &mut self.met {
            met.expect(gateway, &old.fresh).await;
        }
    }

    /// The old app at the gateway with the old model, while the new one serves.
    async fn meet_older(&mut self, older: &Server) {
        let beside = &self.after.beside;
        let shown = beside.shows.as_ref().unwrap_or(&self.after.old);
        self.old.expect(older, &shown.held).await;
        let mut met = self.old.fresh();
        met.expect(older, &shown.fresh).await;
        if !beside.touch.is_empty() {
            expect_one_of(beside.touch, &met.touch(older, &self.row.seeded).await);
        }
        self.met = Some(met);
    }

    /// The old model serves again.
    async fn roll_back(&mut self, place: &Place) {
        if let Some([from, to]) = self.row.renamed {
            place.rename(to, from).await;
        }
        let (arguments, shown): (&[&str], Seen) = match &self.after.rolled_back {
            RolledBack::Same => (&[], self.after.old.clone()),
            RolledBack::Shows(shown) => (&[], shown.clone()),
            // A later model keeps the lead for a minute after its last gateway.
            RolledBack::Misfits(_, shown) | RolledBack::Refused(_, shown)
                if place.kind == StoreKind::Mongodb =>
            {
                (&[], shown.clone())
            }
            // What is withheld has a version of its own, which all devices get.
            RolledBack::Misfits(words, shown) => {
                place.says(self.row.old, words);
                (&["--withhold"], shown.fresh.clone().into())
            }
            RolledBack::Refused(words, _) => return place.says(self.row.old, words),
        };
        let again = place.start(self.row.old, arguments);
        let patience = LEAD_PATIENCE;
        self.old.expect_within(&again, &shown.held, patience).await;
        self.old.fresh().expect(&again, &shown.fresh).await;
        again.stop();
    }

    /// What was withheld comes back when it fits.
    async fn mend(&mut self, place: &Place, gateway: &Server, mended: &rows::Mended) {
        if !place.set(self.row, &mended.set).await {
            let key = self.row.new_app.key;
            assert_eq!(self.old.set(gateway, key, &mended.set).await, APPLIED);
        }
        let mut new = self.old.updated(&self.row.new_app);
        new.expect(gateway, &mended.shows).await;
        new.fresh().expect(gateway, &mended.shows).await;
    }
}

/// An outcome is one of those between `|`.
fn expect_one_of(expected: &str, outcome: &str) {
    let mut expected_ones = expected.split('|');
    assert!(
        expected_ones.any(|it| it == outcome),
        "{outcome} and not {expected}"
    );
}
