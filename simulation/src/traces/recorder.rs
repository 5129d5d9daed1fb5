//! Records what happens to a device of a history, as the steps of a trace. Documents of types that traces do not have
//! are left out.

use std::collections::BTreeMap;

use tidegate_core::{
    id::Epoch,
    push::{Push, PushAnswer, PushRefusal},
    value::Timestamp,
};
use tidegate_testkit::client::{Act, Arrival, Draft, Page, Question, Refusal};

use super::{
    form::{DigestForm, EditForm, Fields, Op, PageForm, PolicyName, Step},
    wire::{change_form, fields, has, intent_form, requested_form, result_form},
};
use crate::people;

/// The codes of refusals that a client answers in the same way.
const UNFIT: [&str; 3] = ["PAYLOAD_TOO_LARGE", "BAD_USER_INPUT", "PUSH_TOO_LARGE"];
const NO_EFFECT: [&str; 2] = ["EPOCH_CHANGED", "MUTATION_ID_GAP"];

/// The steps of a device so far.
#[derive(Debug, Default)]
pub(crate) struct Recorder {
    pub(crate) steps: Vec<Step>,
    /// The transaction of the last step, if it is one of edits.
    transaction: Option<u32>,
    /// When each round began.
    rounds: Vec<u32>,
    pushes: Vec<(u32, Push)>,
    questions: Vec<(u32, Question)>,
    /// Short names of checkpoints and epochs.
    tokens: BTreeMap<String, String>,
    epochs: BTreeMap<Epoch, String>,
}

impl Recorder {
    pub(crate) fn edit(&mut self, draft: &Draft, now: Timestamp) {
        if !has(&draft.key.type_name) {
            return;
        }
        let form = edit_form(draft);
        let is_next = draft.transaction.is_some() && draft.transaction == self.transaction;
        if is_next && let Some(Step::Edit { edits, .. }) = self.steps.last_mut() {
            edits.push(form);
            return;
        }
        self.push(Step::Edit {
            edits: vec![form],
            atomic: draft.transaction.is_some(),
            policy: draft.policy.and_then(PolicyName::of),
            changed_at: draft.changed_at.unwrap_or(now).to_string(),
        });
        self.transaction = draft.transaction;
    }

    /// A pull or a subscription begins.
    pub(crate) fn begin(&mut self, tick: u32) {
        self.rounds.push(tick);
        self.push(Step::Begin);
    }

    pub(crate) fn page(&mut self, arrival: &Arrival) {
        let round = arrival.requested.and_then(|tick| {
            let nth = self.rounds.iter().rposition(|begun| *begun == tick)?;
            u32::try_from(nth + 1).ok()
        });
        let page = &arrival.page;
        let changes = page.changes.iter().filter_map(change_form).collect();
        let step = Step::Page {
            from: arrival.from.as_ref().map(|place| self.token(&place.token)),
            round,
            types: requested_form(&arrival.types),
            refresh: arrival.refreshed.iter().map(ToString::to_string).collect(),
            reread: arrival.reread.iter().map(ToString::to_string).collect(),
            page: PageForm {
                changes,
                checkpoint: self.token(&page.place.token),
                has_more: page.has_more,
                reset: page.reset,
                revoked_scopes: page.revoked.iter().map(ToString::to_string).collect(),
                epoch: self.epoch(page.epoch()),
                digests: digests(page),
            },
        };
        self.push(step);
    }

    /// The next push of at most so many changes is asked for, and this one is made.
    pub(crate) fn send(&mut self, limit: Option<usize>, push: Option<&Push>) {
        let request = self.request(limit);
        self.pushes.extend(push.map(|push| (request, push.clone())));
    }

    pub(crate) fn ask(&mut self, question: &Question) {
        let request = self.request(None);
        self.questions.push((request, question.clone()));
    }

    /// An answer to a push arrives. One that this device has not sent says nothing to it.
    pub(crate) fn answer(&mut self, push: &Push, answer: &PushAnswer) {
        let Some(to) = self.number_of(push) else {
            return;
        };
        let step = match answer {
            Ok(answer) => Step::Answer {
                to,
                results: answer.outcomes.iter().filter_map(result_form).collect(),
            },
            Err(PushRefusal::TooLarge { max }) => Step::Refused {
                to,
                code: "PUSH_TOO_LARGE".to_owned(),
                extensions: Fields::from_iter([("max".to_owned(), (*max).into())]),
            },
            Err(refusal) => match Refusal::of(refusal) {
                Some(refusal) => return self.refused(push, refusal),
                None => return,
            },
        };
        self.push(step);
    }

    pub(crate) fn refused(&mut self, push: &Push, refusal: Refusal) {
        let Some(to) = self.number_of(push) else {
            return;
        };
        let code = match refusal {
            Refusal::NoEffect => NO_EFFECT[self.steps.len() % NO_EFFECT.len()],
            Refusal::Reused => "MUTATION_ID_REUSED",
            Refusal::Unfit { .. } => UNFIT[self.steps.len() % UNFIT.len()],
        };
        let max = match refusal {
            Refusal::Unfit { max } => max,
            Refusal::NoEffect | Refusal::Reused => None,
        };
        let extensions = max.map(|max| ("max".to_owned(), max.into()));
        self.push(Step::Refused {
            to,
            code: code.to_owned(),
            extensions: extensions.into_iter().collect(),
        });
    }

    pub(crate) fn last(&mut self, question: u32, last_mutation_id: i32) {
        let mut asked = self.questions.iter();
        let asked = asked.rfind(|(_, it)| it.number == question);
        if let Some((to, _)) = asked {
            let to = *to;
            self.push(Step::Last {
                to,
                last_mutation_id,
            });
        }
    }

    fn push(&mut self, step: Step) {
        self.transaction = None;
        // A history has no restarts, since a client that stores each step does not notice them.
        if self.steps.len() % 12 == 11 {
            self.steps.push(Step::Restart);
        }
        self.steps.push(step);
    }

    fn request(&mut self, limit: Option<usize>) -> u32 {
        let sent = self.steps.iter();
        let sent = sent
            .filter(|step| matches!(step, Step::Send { .. }))
            .count();
        let request = u32::try_from(sent + 1).expect("devices send little");
        self.push(Step::Send { request, limit });
        request
    }

    fn number_of(&self, push: &Push) -> Option<u32> {
        let sent = self.pushes.iter().rfind(|(_, sent)| sent == push)?;
        Some(sent.0)
    }

    fn token(&mut self, token: &str) -> String {
        let next = format!("p{}", self.tokens.len() + 1);
        self.tokens.entry(token.to_owned()).or_insert(next).clone()
    }

    fn epoch(&mut self, epoch: &Epoch) -> String {
        let next = format!("e{}", self.epochs.len() + 1);
        self.epochs.entry(epoch.clone()).or_insert(next).clone()
    }
}

/// The digests of scopes that have nothing but documents of traces.
fn digests(page: &Page) -> Vec<DigestForm> {
    let of_documents = page
        .digests
        .iter()
        .filter(|(scope, _)| !people::has_others(scope));
    let digests = of_documents.map(|(scope, digest)| DigestForm {
        scope: scope.to_string(),
        digest: digest.to_string(),
    });
    digests.collect()
}

fn edit_form(draft: &Draft) -> EditForm {
    let type_name = &draft.key.type_name;
    let (op, document, intents) = match &draft.act {
        Act::Create(document) => (Op::Create, Some(fields(type_name, document)), None),
        Act::Update(intents) => {
            let intents = intents.iter().map(|(name, intent)| {
                let form = intent_form(type_name, name, intent);
                (name.clone(), form)
            });
            (Op::Update, None, Some(intents.collect()))
        }
        Act::Delete => (Op::Delete, None, None),
    };
    EditForm {
        edit: draft.number,
        op,
        type_name: type_name.to_string(),
        id: draft.key.id.to_string(),
        document,
        fields: intents,
    }
}
