//! What was measured: figures with their spread, the rows that they form, and the bar of a row.
//!
//! `rows/` says how a row is measured, and `report` how it is shown.

use serde::Serialize;

/// The rounds of one measurement: the median is the result, the least and the most show how far to trust it.
#[derive(Clone, Serialize)]
pub(crate) struct Figure {
    pub(crate) median: f64,
    pub(crate) least: f64,
    pub(crate) most: f64,
    pub(crate) rounds: Vec<f64>,
}

impl Figure {
    pub(crate) fn of(rounds: impl IntoIterator<Item = f64>) -> Self {
        let rounds: Vec<f64> = rounds.into_iter().collect();
        let mut sorted = rounds.clone();
        sorted.sort_by(f64::total_cmp);
        Self {
            median: percentile(&sorted, 50.0),
            least: sorted[0],
            most: sorted[sorted.len() - 1],
            rounds,
        }
    }
}

/// Of ascending values, the one that `percent` percent of them do not exceed.
pub(crate) fn percentile(sorted: &[f64], percent: f64) -> f64 {
    assert!(!sorted.is_empty(), "nothing was measured");
    let rank = (percent / 100.0 * sorted.len() as f64).ceil() as usize;
    sorted[rank.clamp(1, sorted.len()) - 1]
}

/// What a row has to reach, by its ratio to the floor, or by its figure if there is no floor.
#[derive(Clone, Copy, Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) enum Bar {
    AtLeast(f64),
    AtMost(f64),
}

impl Bar {
    fn holds(self, value: f64) -> bool {
        match self {
            Self::AtLeast(least) => value >= least,
            Self::AtMost(most) => value <= most,
        }
    }
}

/// One line of the table.
#[derive(Clone, Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Row {
    /// The argument of `make bench` that measures it, alone or with others.
    pub(crate) group: &'static str,
    /// The other server with which the gateway is compared, if it is one.
    pub(crate) server: Option<&'static str>,
    pub(crate) name: String,
    pub(crate) unit: &'static str,
    /// What the gateway is compared with.
    pub(crate) floor: Option<Figure>,
    pub(crate) gateway: Figure,
    /// The gateway's share of the floor, round by round.
    pub(crate) ratio: Option<Figure>,
    /// Rows without one are shown for what they explain.
    pub(crate) bar: Option<Bar>,
    /// Whether it is one of the few that the README shows.
    pub(crate) headline: bool,
}

impl Row {
    /// The gateway beside its floor. In each round the floor's figure comes first.
    pub(crate) fn compared(
        name: impl Into<String>,
        unit: &'static str,
        rounds: &[(f64, f64)],
    ) -> Self {
        Self {
            group: "",
            server: None,
            name: name.into(),
            unit,
            floor: Some(Figure::of(rounds.iter().map(|(floor, _)| *floor))),
            gateway: Figure::of(rounds.iter().map(|(_, gateway)| *gateway)),
            ratio: Some(Figure::of(
                rounds.iter().map(|(floor, gateway)| gateway / floor),
            )),
            bar: None,
            headline: false,
        }
    }

    /// The gateway alone.
    pub(crate) fn alone(
        name: impl Into<String>,
        unit: &'static str,
        rounds: impl IntoIterator<Item = f64>,
    ) -> Self {
        Self {
            group: "",
            server: None,
            name: name.into(),
            unit,
            floor: None,
            gateway: Figure::of(rounds),
            ratio: None,
            bar: None,
            headline: false,
        }
    }

    /// With a bar to reach.
    pub(crate) fn bar(self, bar: Bar) -> Self {
        Self {
            bar: Some(bar),
            ..self
        }
    }

    /// One of the few that the README shows.
    pub(crate) fn headline(self) -> Self {
        Self {
            headline: true,
            ..self
        }
    }

    /// Its name, with the other server's before it.
    pub(crate) fn title(&self) -> String {
        let server = self.server.map(|server| format!("{server}, "));
        server.unwrap_or_default() + &self.name
    }

    /// Whether it reaches its bar, if it has one.
    pub(crate) fn holds(&self) -> Option<bool> {
        let measured = self.ratio.as_ref().unwrap_or(&self.gateway);
        self.bar.map(|bar| bar.holds(measured.median))
    }
}
