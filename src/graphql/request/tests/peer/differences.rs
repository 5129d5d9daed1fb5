//! Intended differences between validation and graphql-js: one table, each row with its reason and a proof of the
//! difference. The modules beside this one generate none of them.

use tidegate_core::value::unrepresentable::Unrepresentable;

use super::*;

struct KnownDifference {
    reason: &'static str,
    query: &'static str,
    variables: Json,
    validator: Expectation,
    graphql_js: Expectation,
}

/// A stage that refuses, or the arguments of the innermost resolver.
#[derive(Debug)]
enum Expectation {
    Refuses(&'static str),
    Gives(Json),
}

use Expectation::{Gives, Refuses};

const SDL: &str = "
    directive @oneOf on INPUT_OBJECT
    scalar Any
    interface Node { list(first: Int = 1): String  near: Node }
    type Task implements Node { list(first: Int = 2): String  near: Node }
    input Sizes { ratio: Float  whole: Int }
    type Query { echo(id: ID, float: Float, any: Any!, flag: Boolean! = true, text: String, sizes: Sizes): String  node: Node }
    type Mutation { echo: String }
    type Subscription { changes(limit: Int): Task }
";

fn differences() -> Vec<KnownDifference> {
    vec![
        KnownDifference {
            reason: "an integer keeps its digits as an ID of a variable, where JSON.parse has rounded it",
            query: "query ($id: ID) { echo(any: 0, id: $id) }",
            variables: json!({"id": 9_007_199_254_740_993_i64}),
            validator: Gives(json!({"any": 0, "flag": true, "id": "9007199254740993"})),
            graphql_js: Gives(json!({"any": 0, "flag": true, "id": "9007199254740992"})),
        },
        KnownDifference {
            reason: "the same integer written as a float is refused: its digits are not known",
            query: "query ($id: ID) { echo(any: 0, id: $id) }",
            variables: json!({"id": 1e21}),
            validator: Refuses("variables"),
            graphql_js: Gives(json!({"any": 0, "flag": true, "id": "1e+21"})),
        },
        KnownDifference {
            reason: "a float literal beyond all floats is refused, where JavaScript makes it infinite and JSON null",
            query: "{ echo(any: 0, float: 1e400) }",
            variables: json!({}),
            validator: Refuses("validate"),
            graphql_js: Gives(json!({"any": 0, "flag": true, "float": null})),
        },
        KnownDifference {
            reason: "a number beyond all floats, which is read as a mark, is left to the change that brings it, where \
                graphql-js refuses the variable",
            query: "query ($sizes: Sizes) { echo(any: 0, sizes: $sizes) }",
            variables: json!({"sizes": {"ratio": Unrepresentable::Number.mark(), "whole": Unrepresentable::Number.mark()}}),
            validator: Gives(
                json!({"any": 0, "flag": true, "sizes": {"ratio": Unrepresentable::Number.mark(), "whole": Unrepresentable::Number.mark()}}),
            ),
            graphql_js: Refuses("variables"),
        },
        KnownDifference {
            reason: "null in a list for a required custom scalar: apollo-compiler 1.33 takes the items for the scalar; a \
                variable may hold it",
            query: "{ echo(any: [null]) }",
            variables: json!({}),
            validator: Refuses("validate"),
            graphql_js: Gives(json!({"any": [null], "flag": true})),
        },
        KnownDifference {
            reason: "a comma behind dots: apollo-parser 0.8 skips none where it looks ahead; nobody writes it",
            query: "{ ..., { echo(any: 0) } }",
            variables: json!({}),
            validator: Refuses("parse"),
            graphql_js: Gives(json!({"any": 0, "flag": true})),
        },
        KnownDifference {
            reason: "a comma before a colon, likewise",
            query: "{ a,: echo(any: 0) }",
            variables: json!({}),
            validator: Refuses("parse"),
            graphql_js: Gives(json!({"any": 0, "flag": true})),
        },
        KnownDifference {
            reason: "one root key twice in a subscription: apollo-compiler 1.33 counts fields, not keys; write it once",
            query: "subscription { changes { near { __typename } } changes { __typename } }",
            variables: json!({}),
            validator: Refuses("validate"),
            graphql_js: Gives(json!({})),
        },
        KnownDifference {
            reason: "a condition at a subscription's root: refused since the specification of September 2025 (5.2.4.1)",
            query: "subscription { changes @include(if: true) { __typename } }",
            variables: json!({}),
            validator: Refuses("validate"),
            graphql_js: Gives(json!({})),
        },
        KnownDifference {
            reason: "an argument that its variable makes wrong refuses the request, not one field of it: nothing runs by \
                halves",
            query: "query ($flag: Boolean) { echo(any: 0, flag: $flag) }",
            variables: json!({"flag": null}),
            validator: Refuses("variables"),
            graphql_js: Refuses("argument"),
        },
        KnownDifference {
            reason: "arguments are made exact before it is known whose field they are for: an interface's defaults hold \
                for its objects, and no generated interface has arguments",
            query: "{ node { list } }",
            variables: json!({}),
            validator: Gives(json!({"first": 1})),
            graphql_js: Gives(json!({"first": 2})),
        },
    ]
}

#[test]
fn the_differences_from_graphql_js_are_these() {
    let mut graphql_js = GraphqlJs::start("peer.mjs");
    let behind = Behind::new(SDL);
    graphql_js.set_schema(SDL);
    for difference in differences() {
        let request = raw(difference.query, difference.variables);
        let (ours, theirs) = (behind.run(&request), graphql_js.run(&request));
        is(&difference.validator, &ours, difference.reason);
        is(&difference.graphql_js, &theirs, difference.reason);
    }
}

#[track_caller]
fn is(expected: &Expectation, reported: &PeerReply, reason: &str) {
    let is_so = match (expected, reported) {
        (Refuses(stage), PeerReply::Refused { refused, .. }) => stage == refused,
        (Gives(expected), PeerReply::Ran { resolved, .. }) => {
            let mut expected = expected.clone();
            make_numbers_plain(&mut expected);
            resolved
                .last()
                .is_some_and(|(_, _, arguments)| *arguments == expected)
        }
        _ => false,
    };
    assert!(
        is_so,
        "{reason}: expected {expected:?}, found {reported:#?}"
    );
}
