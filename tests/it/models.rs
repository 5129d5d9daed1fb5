//! The matrix of model changes: each change of docs/model.md, on both stores, deployed in each way, for each client.
//!
//! `rows` has the changes and what becomes of documents and clients, `place` the stores and gateways, and `device` the
//! clients. One driver runs a cell.

mod device;
mod place;
mod rows;

use std::{fs, panic::AssertUnwindSafe};

use futures_util::FutureExt;

use self::{
    device::Device,
    place::{Place, StoreKind},
    rows::{After, App, Becomes, RolledBack, Row, rows},
};
use crate::harness::Server;

/// How the change reaches the gateways.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Deployment {
    /// One gateway stops, and starts with the new model.
    One,
    /// A gateway with the new model starts beside one with the old model, and then that one stops.
    Rolling,
    /// A gateway with the new model serves for a while, and then one with the old model again.
    Rollback,
}

/// Who edits at the new gateway, and whose documents are compared.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Client {
    /// An app made for the old model, which has synced before.
    Old,
    /// The same, updated to an app made for the new model.
    New,
    /// An app made for the new model, on a new device.
    Fresh,
}

/// One cell of a row.
#[derive(Debug, Clone, Copy)]
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

/// `make test` runs one cell of each row, and each cell is one of some row. `make nightly` runs all cells of all rows.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_model_change_does_to_documents_and_clients_what_its_row_says() {
    let cells = cells();
    let runs_all = std::env::var("TIDEGATE_MODELS_MATRIX").is_ok_and(|asked| asked == "all");
    let mut failed = Vec::new();
    for (number, row) in rows().iter().enumerate() {
        let chosen = match runs_all {
            true => &cells[..],
            false => &cells[number % cells.len()..][..1],
        };
        for cell in chosen {
            let ended = AssertUnwindSafe(run(row, *cell)).catch_unwind().await;
            failed.extend(ended.is_err().then(|| format!("{}: {cell:?}", row.name)));
        }
    }
    assert!(failed.is_empty(), "{failed:#?}");
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
    let before = place.start(row.old);
    let mut device = Device::new(&row.old_app);
    device.create(&before, &row.seed).await;
    device.expect(&before, &row.seeded, row.name, cell).await;
    let after = match &row.becomes {
        Becomes::Served(after) => &after[usize::from(cell.client != Client::Old)],
        Becomes::Refused(words) => {
            before.stop();
            refused(row.name, &place, row.new, words);
            // The old model serves as before.
            drop(place.start(row.old));
            return;
        }
    };
    let running = match cell.deployment {
        Deployment::Rolling => {
            let beside = place.start_beside(row.new);
            edit(row, cell, &mut device, &beside).await;
            compare(row, cell, &mut device, &beside, after).await;
            before.stop();
            beside
        }
        Deployment::One | Deployment::Rollback => {
            before.stop();
            let next = place.start(row.new);
            edit(row, cell, &mut device, &next).await;
            next
        }
    };
    compare(row, cell, &mut device, &running, after).await;
    if let Some(stored) = place.stored(row).await {
        assert_eq!(stored, after.stored, "{}: {cell:?}", row.name);
    }
    if cell.deployment == Deployment::Rollback {
        running.stop();
        let expected = match &after.rolled_back {
            RolledBack::Same => &after.old,
            RolledBack::Shows(expected) => expected,
            RolledBack::Refused(words) => return refused(row.name, &place, row.old, words),
        };
        let again = place.start(row.old);
        // An app of the new model waits for its gateway.
        let mut old = match cell.client {
            Client::Old => device,
            Client::New | Client::Fresh => Device::new(&row.old_app),
        };
        old.expect(&again, expected, row.name, cell).await;
    }
}

/// A gateway does not start with this model, and says why.
fn refused(row: &str, place: &Place, model: &str, words: &[&str]) {
    let complaint = place.refused(model);
    for word in words {
        assert!(complaint.contains(word), "{row}: {complaint}");
    }
}

/// An app edits at the new gateway.
async fn edit(row: &Row, cell: Cell, device: &mut Device, gateway: &Server) {
    let app: &App = match cell.client {
        Client::Old => &row.old_app,
        Client::New | Client::Fresh => &row.new_app,
    };
    match cell.client {
        Client::Old => {}
        Client::New => device.update(&row.new_app),
        Client::Fresh => *device = Device::new(&row.new_app),
    }
    let found = device.edit(gateway, &app.edit).await;
    assert_eq!(found, app.outcome, "{}: {cell:?}", row.name);
}

/// The device and a new device with the same app hold what the row says.
async fn compare(row: &Row, cell: Cell, device: &mut Device, gateway: &Server, after: &After) {
    let (app, expected) = match cell.client {
        Client::Old => (&row.old_app, &after.old),
        Client::New | Client::Fresh => (&row.new_app, &after.new),
    };
    device.expect(gateway, expected, row.name, cell).await;
    let mut fresh = Device::new(app);
    fresh.expect(gateway, expected, row.name, cell).await;
}
