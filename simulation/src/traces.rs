//! Traces (conformance/README.md): what happens to one client, and what it must be and send after each step.
//!
//! The reference client says what must follow. Histories are recorded here; a test reads the committed traces.

mod choosing;
mod form;
mod player;
mod recorder;
mod recording;
mod state;
mod turns;
mod wire;

pub(crate) use self::recorder::Recorder;
pub use self::{
    choosing::{Choice, Findings},
    form::{Head, Line, Step, Trace},
    recording::{Recording, differs, filled, slips},
};
