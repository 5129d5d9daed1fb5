//! The figures of the process, under the names that Prometheus' own clients give them, so that dashboards for any
//! service show them. Linux alone has them; elsewhere they are 0.

use std::{
    fs,
    sync::atomic::{AtomicU64, Ordering},
};

use prometheus_client::{metrics::counter::Counter, registry::Registry};

use super::Gauge;
#[cfg(test)]
use super::instrument::Kind;

/// The unit of processor times in `/proc`. Linux has shown all programs this one since 2.6.
const TICKS_PER_S: f64 = 100.0;

const CPU: (&str, &str) = (
    "process_cpu_seconds",
    "Processor time that the process has taken",
);
const MEMORY: (&str, &str) = ("process_resident_memory_bytes", "Memory of the process");
const OPEN_FILES: (&str, &str) = (
    "process_open_fds",
    "Open file descriptors; each connection is one",
);
const MAX_FILES: (&str, &str) = (
    "process_max_fds",
    "The most file descriptors that the process may open",
);
const THREADS: (&str, &str) = ("process_threads", "Threads of the process");

#[cfg(test)]
pub(super) const OWN: &[(&str, Kind, &[&str], &str)] = &[
    (CPU.0, Kind::Counter, &[], CPU.1),
    (MEMORY.0, Kind::Gauge, &[], MEMORY.1),
    (OPEN_FILES.0, Kind::Gauge, &[], OPEN_FILES.1),
    (MAX_FILES.0, Kind::Gauge, &[], MAX_FILES.1),
    (THREADS.0, Kind::Gauge, &[], THREADS.1),
];

pub(super) struct ProcessFigures {
    cpu: Counter<f64, AtomicU64>,
    memory: Gauge,
    open_files: Gauge,
    max_files: Gauge,
    threads: Gauge,
}

impl ProcessFigures {
    pub(super) fn new(registry: &mut Registry) -> Self {
        let figures = Self {
            cpu: Counter::default(),
            memory: Gauge::default(),
            open_files: Gauge::default(),
            max_files: Gauge::default(),
            threads: Gauge::default(),
        };
        registry.register(CPU.0, CPU.1, figures.cpu.clone());
        for (row, gauge) in [
            (MEMORY, &figures.memory),
            (OPEN_FILES, &figures.open_files),
            (MAX_FILES, &figures.max_files),
            (THREADS, &figures.threads),
        ] {
            registry.register(row.0, row.1, gauge.clone());
        }
        figures
    }

    /// Reads them. What cannot be read stays as it was.
    pub(super) fn read(&self) {
        if let Some(cpu) = cpu_s() {
            self.cpu.inner().store(cpu.to_bits(), Ordering::Relaxed);
        }
        let status = fs::read_to_string("/proc/self/status").unwrap_or_default();
        if let Some(kib) = field(&status, "VmRSS:") {
            self.memory.set(kib * 1024.0);
        }
        if let Some(threads) = field(&status, "Threads:") {
            self.threads.set(threads);
        }
        if let Ok(files) = fs::read_dir("/proc/self/fd") {
            // The directory itself is open while it is read.
            self.open_files.set(files.count().saturating_sub(1) as f64);
        }
        #[cfg(unix)]
        if let Ok((soft, _)) = rlimit::Resource::NOFILE.get() {
            self.max_files.set(soft as f64);
        }
    }
}

/// The number in the line of `/proc/self/status` that begins with `name`.
fn field(status: &str, name: &str) -> Option<f64> {
    let mut lines = status.lines();
    let line = lines.find_map(|line| line.strip_prefix(name))?;
    line.split_whitespace().next()?.parse().ok()
}

/// User and system time. The name of the program, which may contain anything, ends with the last `)`.
fn cpu_s() -> Option<f64> {
    let stat = fs::read_to_string("/proc/self/stat").ok()?;
    let mut after_name = stat.rsplit_once(')')?.1.split_whitespace().skip(11);
    let mut next = || after_name.next()?.parse::<f64>().ok();
    Some((next()? + next()?) / TICKS_PER_S)
}
