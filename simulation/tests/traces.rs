//! The committed traces (conformance/README.md), and the reference client.

use std::{fs, path::Path};

use tidegate_simulation::{
    Story, record,
    traces::{Trace, differs, filled, slips},
};

fn committed() -> Vec<(String, Trace)> {
    let directory = Path::new(env!("CARGO_MANIFEST_DIR")).join("../conformance/traces");
    let files = fs::read_dir(directory).expect("there are traces");
    let traces = files.map(|file| {
        let path = file.expect("a file").path();
        let text = fs::read_to_string(&path).expect("it can be read");
        let name = path.display().to_string();
        let trace = Trace::read(&text).unwrap_or_else(|error| panic!("{name}: {error}"));
        assert!(trace.text() == text, "{name} is written otherwise");
        (name, trace)
    });
    traces.collect()
}

#[test]
fn the_reference_client_passes_all_committed_traces() {
    let traces = committed();
    assert!(traces.len() >= 295, "{} traces", traces.len());
    for (name, trace) in traces {
        let steps = trace.lines.iter().map(|line| line.step.clone()).collect();
        let now = filled(trace.head.clone(), steps);
        let now = now.unwrap_or_else(|error| panic!("{name}: {error}"));
        for (nth, (line, now)) in trace.lines.iter().zip(&now.lines).enumerate() {
            assert_eq!(now, line, "{name}, line {}", nth + 2);
        }
    }
}

#[test]
fn each_broken_rule_of_a_client_fails_a_committed_trace() {
    let traces = committed();
    for (rule, slip) in slips() {
        let shown = traces
            .iter()
            .find(|(_, trace)| differs(trace, slip).is_some());
        assert!(shown.is_some(), "no trace shows {rule}, {slip:?}");
    }
}

#[test]
fn what_a_device_does_in_a_history_can_be_told_as_a_trace() {
    let stories = (0..24).map(Story::of);
    for story in stories.filter(|story| story.ends.is_empty()) {
        for recording in record(&story).expect("the history keeps all promises") {
            let trace = recording.trace(Vec::new()).expect("it has happened");
            assert_eq!(Trace::read(&trace.text()), Ok(trace));
        }
    }
}
