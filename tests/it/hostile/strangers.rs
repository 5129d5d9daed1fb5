//! Peers without a token: what they can make a gateway hold is bounded before they have said who they are.
