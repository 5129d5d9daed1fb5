use super::*;

/// A step of a conversation: an event, and the expected action.
type Step = (When, &'static str);

enum When {
    Says(&'static str),
    Happens(ProtocolEvent),
}
use When::{Happens, Says};

const INIT: &str = r#"{"type":"connection_init","payload":{"token":"t"}}"#;
const ACK: &str = r#"send {"type":"connection_ack"}"#;
const PING: &str = r#"send {"type":"ping"}"#;

fn subscribe(id: &str) -> ProtocolEvent {
    let text =
        format!(r#"{{"type":"subscribe","id":"{id}","payload":{{"query":"{{viewer{{id}}}}"}}}}"#);
    ProtocolEvent::Message(ClientMessage::parse(&text))
}

fn id(text: &str) -> OperationId {
    let text = format!(r#"{{"type":"complete","id":"{text}"}}"#);
    match ClientMessage::parse(&text) {
        Ok(ClientMessage::Complete { id }) => id,
        other => panic!("{other:?}"),
    }
}

fn answered(operation: &str) -> ProtocolEvent {
    ProtocolEvent::Answered(id(operation), Answer::Written(br#"{"data":1}"#.to_vec()))
}

fn refused(operation: &str) -> ProtocolEvent {
    let failure = ClientError::new(Code::ValidationFailed, "no such field");
    ProtocolEvent::Answered(id(operation), Answer::Refused(vec![failure]))
}

fn show(action: Option<ProtocolAction>) -> String {
    match action {
        None => "nothing".to_owned(),
        Some(ProtocolAction::Authenticate(params)) => {
            format!("authenticate {:?}", params.token)
        }
        Some(ProtocolAction::Start(id, raw)) => format!("start {id} {}", raw.query),
        Some(ProtocolAction::Stop(id)) => format!("stop {id}"),
        Some(ProtocolAction::Send(text)) => format!("send {}", String::from_utf8_lossy(&text)),
        Some(ProtocolAction::Close(CloseReason { code, reason })) => {
            format!("close {code} {reason}")
        }
    }
}

fn play(protocol: &mut Protocol, steps: impl IntoIterator<Item = Step>) {
    for (number, (when, expected)) in steps.into_iter().enumerate() {
        let event = match when {
            Says(text) => ProtocolEvent::Message(ClientMessage::parse(text)),
            Happens(event) => event,
        };
        let token_use = format!("step {number}: {event:?}");
        assert_eq!(show(protocol.on(event)), expected, "{token_use}");
    }
}

fn check(steps: impl IntoIterator<Item = Step>) {
    play(&mut Protocol::default(), steps);
}

fn ready() -> Protocol {
    let mut protocol = Protocol::default();
    let steps = [
        (Says(INIT), r#"authenticate Some("t")"#),
        (Happens(ProtocolEvent::Authenticated(Ok(()))), ACK),
    ];
    play(&mut protocol, steps);
    protocol
}

fn check_ready(steps: impl IntoIterator<Item = Step>) {
    play(&mut ready(), steps);
}

#[test]
fn the_first_message_has_to_come_in_time() {
    check([(
        Happens(ProtocolEvent::Deadline),
        "close 4408 Connection initialisation timeout",
    )]);
    check([
        (Says(r#"{"type":"ping"}"#), r#"send {"type":"pong"}"#),
        (
            Happens(ProtocolEvent::Deadline),
            "close 4408 Connection initialisation timeout",
        ),
    ]);
}

#[test]
fn one_init_is_enough() {
    let too_many = "close 4429 Too many initialisation requests";
    check([
        (Says(INIT), r#"authenticate Some("t")"#),
        (Says(INIT), too_many),
    ]);
    check_ready([(Says(INIT), too_many)]);
}

#[test]
fn nothing_begins_before_the_acknowledgement() {
    check([(Happens(subscribe("1")), "close 4401 Unauthorized")]);
    check([
        (Says(r#"{"type":"connection_init"}"#), "authenticate None"),
        (Happens(subscribe("1")), "close 4401 Unauthorized"),
    ]);
}

#[test]
fn a_token_that_is_refused_or_has_ended_closes_with_a_code_clients_return_after() {
    let init = || (Says(INIT), r#"authenticate Some("t")"#);
    let refusal = |code| Happens(ProtocolEvent::Authenticated(Err(code)));
    check([
        init(),
        (refusal(Code::Unauthenticated), "close 4403 Forbidden"),
    ]);
    check([init(), (refusal(Code::Forbidden), "close 4403 Forbidden")]);
    check([
        init(),
        (
            refusal(Code::Unavailable),
            "close 1013 The token cannot be checked now",
        ),
    ]);
    check([
        init(),
        (
            refusal(Code::TooManyConnections),
            "close 1013 The user holds too many connections",
        ),
    ]);
    check([
        init(),
        (
            Happens(ProtocolEvent::Deadline),
            "close 1013 The token cannot be checked now",
        ),
    ]);
    check_ready([(Happens(ProtocolEvent::Deadline), "close 4403 Forbidden")]);
}

#[test]
fn what_is_no_message_closes_the_socket() {
    check([(Says("hello"), "close 4400 A message must be a JSON object.")]);
    check_ready([(
        Says(r#"{"type":"subscribe","id":"1","payload":{"query":1}}"#),
        "close 4400 `query` must be a string: the GraphQL document.",
    )]);
    let binary = ProtocolEvent::Message(Err(InvalidMessage::binary()));
    check_ready([(
        Happens(binary),
        "close 4400 A message must be text, and this one is binary.",
    )]);
    check_ready([(
        Happens(ProtocolEvent::TooLarge),
        "close 1009 The message is too large",
    )]);
    check_ready([(
        Happens(ProtocolEvent::Broken),
        "close 1002 This is no WebSocket message",
    )]);
}

#[test]
fn an_operation_runs_from_subscribe_to_complete() {
    check_ready([
        (Happens(subscribe("1")), "start 1 {viewer{id}}"),
        (
            Happens(answered("1")),
            r#"send {"type":"next","id":"1","payload":{"data":1}}"#,
        ),
        (
            Happens(ProtocolEvent::Finished(id("1"))),
            r#"send {"type":"complete","id":"1"}"#,
        ),
        (Happens(subscribe("1")), "start 1 {viewer{id}}"),
    ]);
}

#[test]
fn operations_are_interleaved() {
    check_ready([
        (Happens(subscribe("a")), "start a {viewer{id}}"),
        (Happens(subscribe("b")), "start b {viewer{id}}"),
        (
            Happens(answered("b")),
            r#"send {"type":"next","id":"b","payload":{"data":1}}"#,
        ),
        (
            Happens(answered("a")),
            r#"send {"type":"next","id":"a","payload":{"data":1}}"#,
        ),
        (
            Happens(subscribe("b")),
            "close 4409 Subscriber for b already exists",
        ),
    ]);
}

#[test]
fn a_refused_operation_ends_with_its_errors() {
    check_ready([
        (Happens(subscribe("1")), "start 1 {viewer{id}}"),
        (
            Happens(refused("1")),
            r#"send {"type":"error","id":"1","payload":[{"message":"no such field","extensions":{"code":"GRAPHQL_VALIDATION_FAILED"}}]}"#,
        ),
        (Happens(ProtocolEvent::Finished(id("1"))), "nothing"),
        (Happens(subscribe("1")), "start 1 {viewer{id}}"),
    ]);
}

#[test]
fn a_client_ends_an_operation_whenever_it_likes() {
    const COMPLETE: &str = r#"{"type":"complete","id":"1"}"#;
    check_ready([
        (Says(COMPLETE), "nothing"),
        (Happens(subscribe("1")), "start 1 {viewer{id}}"),
        (Says(COMPLETE), "stop 1"),
        (Happens(answered("1")), "nothing"),
        (Happens(refused("1")), "nothing"),
        (Happens(ProtocolEvent::Finished(id("1"))), "nothing"),
        (Says(COMPLETE), "nothing"),
    ]);
}

#[test]
fn one_operation_too_many_is_refused_and_the_others_stay() {
    let mut protocol = ready();
    for number in 0..OPERATIONS_MAX {
        let started = protocol.on(subscribe(&number.to_string()));
        assert!(
            matches!(started, Some(ProtocolAction::Start(..))),
            "{number}"
        );
    }
    let refusal = show(protocol.on(subscribe("more")));
    assert!(
        refusal.starts_with(r#"send {"type":"error","id":"more""#),
        "{refusal}"
    );
    assert!(refusal.contains("TOO_MANY_OPERATIONS"), "{refusal}");
    play(
        &mut protocol,
        [
            (Says(r#"{"type":"complete","id":"7"}"#), "stop 7"),
            (Happens(subscribe("more")), "start more {viewer{id}}"),
        ],
    );
}

#[test]
fn a_ping_is_answered_with_its_payload() {
    check_ready([
        (
            Says(r#"{"type":"ping","payload":{"at":1}}"#),
            r#"send {"type":"pong","payload":{"at":1}}"#,
        ),
        (Says(r#"{"type":"pong"}"#), "nothing"),
    ]);
}

#[test]
fn a_peer_that_leaves_two_pings_unanswered_is_dead() {
    check_ready([
        (Happens(ProtocolEvent::Tick), PING),
        (Happens(ProtocolEvent::Tick), PING),
        (Happens(ProtocolEvent::Tick), "close 1001 No sign of life"),
    ]);
}

#[test]
fn any_sign_of_life_counts() {
    check_ready([
        (Happens(ProtocolEvent::Tick), PING),
        (Happens(ProtocolEvent::Tick), PING),
        (Says(r#"{"type":"pong"}"#), "nothing"),
        (Happens(ProtocolEvent::Tick), PING),
        (Happens(ProtocolEvent::Tick), PING),
        (Happens(ProtocolEvent::Heard), "nothing"),
        (Happens(ProtocolEvent::Tick), PING),
        (Happens(subscribe("1")), "start 1 {viewer{id}}"),
        (Happens(ProtocolEvent::Tick), PING),
        (Happens(ProtocolEvent::Tick), PING),
        (Happens(ProtocolEvent::Tick), "close 1001 No sign of life"),
    ]);
}

#[test]
fn a_shutdown_sends_clients_to_the_next_gateway() {
    check([(
        Happens(ProtocolEvent::GoingAway),
        "close 1001 The gateway is shutting down",
    )]);
    check_ready([(
        Happens(ProtocolEvent::GoingAway),
        "close 1001 The gateway is shutting down",
    )]);
}

#[test]
fn a_reason_fits_its_frame() {
    let long = "é".repeat(100);
    check_ready([(Happens(subscribe("1")), "start 1 {viewer{id}}")]);
    let mut protocol = ready();
    protocol.on(subscribe(&long));
    let Some(ProtocolAction::Close(reason)) = protocol.on(subscribe(&long)) else {
        panic!("a duplicate closes the socket");
    };
    assert_eq!(reason.reason, format!("Subscriber for {}", "é".repeat(54)));
}
