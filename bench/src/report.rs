//! How rows are shown: as a table while they are measured, then as JSON, and after a whole run as plots and in the
//! documents. `rows/` measures them.

mod documents;
mod machine;
mod plots;
mod words;

use std::{fs, path::PathBuf};

use serde::Serialize;

use self::machine::Machine;
use crate::{
    figure::{Bar, Row},
    workspace,
};

/// What the gateway is compared with.
pub(crate) const FLOOR: &str = "floor";
pub(crate) const PEER: &str = "peer";

/// The whole result of a run.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Report {
    #[serde(flatten)]
    machine: Machine,
    rounds: usize,
    rows: Vec<Row>,
}

impl Report {
    pub(crate) fn begin(mongodb: String, rounds: usize) -> Self {
        let machine = Machine::here(mongodb);
        println!(
            "\n{}; medians of {rounds} rounds (least–most)",
            machine.reported()
        );
        Self {
            machine,
            rounds,
            rows: Vec::new(),
        }
    }

    pub(crate) fn heading(&self, about: &str, beside: &str) {
        let [gateway, ratio] = ["gateway", "ratio"];
        println!("\n{about:<46} {beside:>32} {gateway:>32} {ratio:>6}  bar");
    }

    pub(crate) fn add(&mut self, rows: Vec<Row>) {
        for row in &rows {
            let [name, floor, gateway, ratio, bar] = words::cells(row);
            println!("{name:<46} {floor:>32} {gateway:>32} {ratio:>6}  {bar}");
        }
        self.rows.extend(rows);
    }

    fn about(&self) -> String {
        let (machine, rounds) = (self.machine.reported(), self.rounds);
        format!("{machine}; medians of {rounds} rounds (least–most).")
    }

    /// How many rows miss their bar.
    pub(crate) fn missed(&self) -> usize {
        let rows = self.rows.iter();
        rows.filter(|row| row.holds() == Some(false)).count()
    }

    /// Writes the rows as JSON.
    pub(crate) fn write(&self, name: &str) {
        let directory = workspace::root().join("target/bench");
        fs::create_dir_all(&directory).unwrap();
        let path = directory.join(name);
        fs::write(&path, serde_json::to_string_pretty(self).unwrap()).unwrap();
        let (missed, rows) = (self.missed(), self.rows.len());
        println!(
            "\n{missed} of {rows} rows miss their bar; all figures are in {}",
            path.display()
        );
    }

    /// Writes what was measured beside other servers: all of it to docs/performance.md, the headlines to the README.
    pub(crate) fn publish_peers(&self) {
        let title = "Throughput as a multiple of what people use today";
        let path = docs().join("performance/peers.svg");
        plots::chart(&path, title, &rates(&self.rows));
        let table = format!(
            "{}\n\n{}\n![{title}](performance/peers.svg)\n",
            self.about(),
            words::table(&self.rows, PEER)
        );
        documents::replace(&docs().join("performance.md"), "peers", &table);
        let headlines = words::headlines_beside_servers(&self.rows);
        documents::replace(&docs().join("../README.md"), "peers", &headlines);
    }

    /// Writes all rows to docs/performance.md, and the headlines to the README.
    pub(crate) fn publish(&self) {
        const SHARES: &str = "Throughput as a share of the floor's";
        const TIMES: &str = "Latency and cost as multiples";
        plots::draw(&self.rows, &docs().join("performance"));
        let table = format!(
            "{}\n\n{}\n![{SHARES}](performance/throughput.svg)\n![{TIMES}](performance/latency.svg)\n",
            self.about(),
            words::table(&self.rows, FLOOR)
        );
        documents::replace(&docs().join("performance.md"), "bench", &table);
        let headlines = words::headlines(&self.rows);
        documents::replace(&docs().join("../README.md"), "bench", &headlines);
    }
}

/// Rows for which more is better.
fn rates(rows: &[Row]) -> Vec<Row> {
    let rows = rows.iter();
    rows.filter(|row| matches!(row.bar, Some(Bar::AtLeast(_))))
        .cloned()
        .collect()
}

fn docs() -> PathBuf {
    workspace::root().join("docs")
}
