//! The machine on which the figures were measured.

use std::{fs, thread::available_parallelism};

use serde::Serialize;

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Machine {
    cores: usize,
    processor: String,
    memory_gib: f64,
    mongodb: String,
}

impl Machine {
    pub(super) fn here(mongodb: String) -> Self {
        let kib = reported("/proc/meminfo", "MemTotal");
        let kib = kib
            .split_whitespace()
            .next()
            .and_then(|kib| kib.parse().ok());
        let gib = kib.unwrap_or(0.0) / f64::from(1 << 20);
        Self {
            cores: available_parallelism().unwrap().get(),
            processor: reported("/proc/cpuinfo", "model name"),
            memory_gib: gib.round(),
            mongodb,
        }
    }

    pub(super) fn reported(&self) -> String {
        let Self {
            cores,
            processor,
            memory_gib,
            mongodb,
        } = self;
        format!("{cores} cores ({processor}), {memory_gib} GiB, MongoDB {mongodb}, one node")
    }
}

/// The value of a name in a file of the system.
fn reported(path: &str, name: &str) -> String {
    let text = fs::read_to_string(path).unwrap_or_default();
    let line = text.lines().find(|line| line.starts_with(name));
    let value = line.and_then(|line| line.split_once(':'));
    value
        .map_or("unknown", |(_, value)| value.trim())
        .to_owned()
}
