//! The side of graphql-js: a process of Node that answers each line with a line. The scripts of `tests/graphql-js/` say what
//! it does with a request.

use std::{
    io::{BufRead, BufReader, Write as _},
    process::{Child, ChildStdin, ChildStdout, Command, Stdio},
};

use serde_json::{Value as Json, json};

use super::{PeerReply, RawRequest};

const ROOT: &str = env!("CARGO_MANIFEST_DIR");

/// graphql-js in a process of its own, which ends with this.
pub(in crate::graphql) struct GraphqlJs {
    process: Child,
    questions: ChildStdin,
    answers: BufReader<ChildStdout>,
}

impl GraphqlJs {
    /// Runs a script of `tests/graphql-js/`.
    pub(in crate::graphql) fn start(script: &str) -> Self {
        let installed = Command::new(format!("{ROOT}/scripts/graphql-js"))
            .status()
            .unwrap();
        assert!(
            installed.success(),
            "scripts/graphql-js could not install graphql-js; it says why above"
        );
        let mut process = Command::new("node")
            .arg(format!("{ROOT}/tests/graphql-js/{script}"))
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let questions = process.stdin.take().expect("stdin is piped");
        let answers = BufReader::new(process.stdout.take().expect("stdout is piped"));
        Self {
            process,
            questions,
            answers,
        }
    }

    pub(super) fn set_schema(&mut self, sdl: &str) {
        self.ask(&json!({"sdl": sdl}));
    }

    pub(super) fn run(&mut self, request: &RawRequest) -> PeerReply {
        let reported = self.ask(&json!({
            "query": request.query,
            "variables": request.variables,
            "operationName": request.operation_name,
        }));
        match serde_json::from_value(reported).unwrap() {
            PeerReply::Ran { resolved, data } => PeerReply::ran(resolved, data),
            refused => refused,
        }
    }

    pub(in crate::graphql) fn ask(&mut self, question: &Json) -> Json {
        writeln!(self.questions, "{question}").unwrap();
        let mut answer = String::new();
        self.answers.read_line(&mut answer).unwrap();
        assert!(
            !answer.is_empty(),
            "graphql-js ended at {question}; it says why above"
        );
        serde_json::from_str(&answer).unwrap()
    }
}

impl Drop for GraphqlJs {
    fn drop(&mut self) {
        // It may have ended by itself; `ask` has reported that.
        self.process.kill().ok();
        self.process.wait().ok();
    }
}
