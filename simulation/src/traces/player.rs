//! The reference client on the steps of a trace: what it sends and what it is after each. A step that cannot have
//! happened to a client stops it.

use std::collections::BTreeMap;

use serde_json::{Value as Json, json};
use tidegate_core::{id::MutationId, model::Policy, push::Push, value::Timestamp};
use tidegate_testkit::client::{Act, Arrival, Client, Draft, Question, Refusal, Slip};

use super::{
    form::{EditForm, FORM_OF_COMPARISONS, Fields, Follows, Head, Op, PageForm, Step},
    state::{merge_patch, state},
    wire::{self, Impossible, MODEL},
};

/// The faults of 1.17: the same request may succeed later. The last one asks for another token too.
const FAULTS: [&str; 6] = [
    "SERVICE_UNAVAILABLE",
    "OVERLOADED",
    "RATE_LIMITED",
    "DEADLINE_EXCEEDED",
    "INTERNAL_SERVER_ERROR",
    "UNAUTHENTICATED",
];

/// A client, and what a trace knows of it beside.
pub(super) struct Player {
    pub(super) client: Client,
    pub(super) round: u32,
    requests: BTreeMap<u32, Request>,
    state: Json,
    /// Whether the trace has what the client says of comparisons.
    compares: bool,
}

/// What the client has sent.
enum Request {
    Push(Push),
    Question(Question),
}

impl Player {
    /// A client before its first step, which makes the slip, if one is given.
    pub(super) fn new(head: &Head, slip: Option<Slip>) -> Self {
        let types = tidegate_core::checkpoint::RequestedTypes::All;
        let mut client = Client::new("c", &MODEL, types, slip);
        client.folds = head.folds;
        let mut player = Self {
            client,
            round: 0,
            requests: BTreeMap::new(),
            state: Json::Null,
            compares: head.trace >= FORM_OF_COMPARISONS,
        };
        player.state = state(&player);
        player
    }

    /// Makes a step. Returns what follows from it.
    ///
    /// # Errors
    /// [`Impossible`].
    pub(super) fn step(&mut self, step: &Step) -> Result<Follows, Impossible> {
        let mut follows = self.make(step)?;
        let now = state(self);
        follows.is = merge_patch(&self.state, &now);
        self.state = now;
        Ok(follows)
    }

    /// The same without what changes in the state, which takes much longer to say than the step takes.
    ///
    /// # Errors
    /// [`Impossible`].
    pub(super) fn make(&mut self, step: &Step) -> Result<Follows, Impossible> {
        let mut follows = Follows::default();
        match step {
            Step::Edit { .. } => follows.refused = self.edit(step)?,
            Step::Refresh { types } => self.client.refresh.extend(wire::names(types)?),
            Step::Begin => {
                self.round += 1;
                self.client.refreshes();
                self.client.rereads();
            }
            Step::Page {
                from,
                round,
                types,
                refresh,
                reread,
                page,
            } => {
                self.check(from.as_deref(), *round, page)?;
                let from = from.as_deref().map(|token| wire::place(token, &page.epoch));
                let taken = self.client.apply(Arrival {
                    page: wire::page(page)?,
                    from: from.transpose()?,
                    types: wire::requested(types.as_deref())?,
                    requested: *round,
                    refreshed: wire::names(refresh)?,
                    reread: wire::scopes(reread)?,
                });
                let ends = taken && round.is_some() && !page.has_more;
                let must_compare = self.client.must_compare;
                let reported = self.client.differing.iter().map(ToString::to_string);
                let named = reported.filter(|scope| page.names(scope));
                follows.reports = named.filter(|_| ends && !must_compare).collect();
                follows.equals = taken && self.compares && self.client.equals;
                follows.later = ends && self.compares && must_compare;
            }
            Step::Unread { code } if code == "BAD_CHECKPOINT" => self.client.place = None,
            Step::Unread { code } => follows.halts = !FAULTS.contains(&code.as_str()),
            Step::Send { request, limit } => {
                follows.sends = Some(self.send(*request, limit.unwrap_or(usize::MAX)));
            }
            Step::Answer { to, results } => {
                if let Request::Push(push) = self.sent(*to)? {
                    let outcomes = wire::outcomes(push, results)?;
                    let heard = self.heard();
                    self.client.hear(&push.clone(), &Ok(outcomes), heard);
                }
            }
            Step::Refused {
                to,
                code,
                extensions,
            } => follows.halts = self.refused(*to, code, extensions)?,
            Step::Last {
                to,
                last_mutation_id,
            } => {
                let Request::Question(question) = self.sent(*to)? else {
                    return Err(format!("{to} is no question"));
                };
                let (number, last) = (question.number, MutationId(*last_mutation_id));
                self.client.learn(number, last, self.heard());
            }
            Step::Restart => {}
            Step::Start => self.client.start(),
        }
        Ok(follows)
    }

    /// The time of an answer, on the clock of rounds: the pulls that begin from now on may confirm what it brings.
    fn heard(&self) -> u32 {
        self.round + 1
    }

    fn sent(&self, request: u32) -> Result<&Request, Impossible> {
        let sent = self.requests.get(&request);
        sent.ok_or(format!("nothing was sent as {request}"))
    }

    /// Makes edits, all or none. Returns why none is made.
    fn edit(&mut self, step: &Step) -> Result<Option<String>, Impossible> {
        let Step::Edit {
            edits,
            atomic,
            policy,
            changed_at,
        } = step
        else {
            return Ok(None);
        };
        let at: Timestamp = changed_at.parse().map_err(|_| "changedAt".to_owned())?;
        let first = edits.first().ok_or("no edits")?.edit;
        if edits.len() > 1 && !atomic {
            return Err("several edits in no transaction".to_owned());
        }
        let before = self.client.clone();
        for form in edits {
            let draft = Draft {
                number: form.edit,
                key: wire::key(&form.type_name, &form.id)?,
                act: act(form)?,
                changed_at: Some(at),
                policy: policy.map(Policy::from),
                transaction: atomic.then_some(first),
                with_base: true,
            };
            if let Err(reason) = self.client.edit(draft) {
                self.client = before;
                return Ok(Some(format!("{reason:?}").to_uppercase()));
            }
        }
        Ok(None)
    }

    /// Whether a gateway may have answered so.
    fn check(
        &self,
        from: Option<&str>,
        round: Option<u32>,
        page: &PageForm,
    ) -> Result<(), Impossible> {
        if round.is_some_and(|round| round == 0 || round > self.round) {
            return Err("the page of a round that has not begun".to_owned());
        }
        if from.is_none() && !page.reset {
            return Err("a page without a checkpoint is no reset".to_owned());
        }
        let is_next = from == self.client.place.as_ref().map(|place| place.token.as_str());
        let known = self.client.page_epoch.as_ref();
        if is_next && !page.reset && known.is_some_and(|epoch| epoch.as_str() != page.epoch) {
            return Err("a page of another epoch is no reset".to_owned());
        }
        Ok(())
    }

    /// What is sent next, or again.
    fn send(&mut self, number: u32, limit: usize) -> Json {
        if let Some(question) = self.client.asks() {
            let sends = json!({"viewer": question.client.as_str()});
            self.requests.insert(number, Request::Question(question));
            return sends;
        }
        if self.client.flight.is_some() {
            self.client.retry();
        } else {
            self.client.send(limit);
        }
        let Some(flight) = &self.client.flight else {
            return json!({});
        };
        let push = flight.push.clone();
        let sends = json!({"pushChanges": wire::input(&push)});
        self.requests.insert(number, Request::Push(push));
        sends
    }

    /// Returns whether the client stops.
    fn refused(&mut self, to: u32, code: &str, extensions: &Fields) -> Result<bool, Impossible> {
        let refusal = match code {
            "EPOCH_CHANGED" | "MUTATION_ID_GAP" => Refusal::NoEffect,
            "MUTATION_ID_REUSED" => Refusal::Reused,
            "PUSH_TOO_LARGE" | "PAYLOAD_TOO_LARGE" | "BAD_USER_INPUT" => Refusal::Unfit {
                max: fitting(extensions),
            },
            "CLIENT_TOO_OLD" if misfit(extensions).is_some() => Refusal::Unfit {
                max: fitting(extensions),
            },
            fault => {
                let is_under_way = match self.sent(to)? {
                    Request::Push(push) => {
                        let flight = self.client.flight.as_ref();
                        flight.is_some_and(|flight| flight.push == *push)
                    }
                    Request::Question(_) => true,
                };
                return Ok(is_under_way && !FAULTS.contains(&fault));
            }
        };
        let Request::Push(push) = self.sent(to)? else {
            return Err(format!("{to} is no push"));
        };
        let push = push.clone();
        self.client.refuse(&push, refusal, self.heard());
        Ok(false)
    }
}

/// How many changes fit, if the gateway says so.
fn fitting(extensions: &Fields) -> Option<usize> {
    let max = extensions.get("max").and_then(Json::as_u64);
    let max = max.and_then(|max| usize::try_from(max).ok());
    max.or(misfit(extensions).map(|nth| nth.max(1)))
}

/// The change that does not fit, of `$input.changes[3].task`.
fn misfit(extensions: &Fields) -> Option<usize> {
    let path = extensions.get("inputPath")?.as_str()?;
    let (_, rest) = path.split_once(".changes[")?;
    rest.split_once(']')?.0.parse().ok()
}

fn act(form: &EditForm) -> Result<Act, Impossible> {
    Ok(match (form.op, &form.document, &form.fields) {
        (Op::Create, Some(fields), None) => Act::Create(wire::document(&form.type_name, fields)?),
        (Op::Update, None, Some(fields)) => {
            let intents = fields.iter().map(|(name, intent)| {
                Ok((name.clone(), wire::intent(&form.type_name, name, intent)?))
            });
            Act::Update(intents.collect::<Result<_, Impossible>>()?)
        }
        (Op::Delete, None, None) => Act::Delete,
        (op, ..) => return Err(format!("what a {op:?} has")),
    })
}
