//! What a client says of the digests of a page (rules.md 1.18).

use std::collections::BTreeSet;

use tidegate_core::id::Scope;
use tidegate_testkit::client::{Client, Page};

use super::{Judged, Property, expect};

/// A page, and the client that has taken it.
pub(crate) struct Compared<'c> {
    pub(crate) client: &'c Client,
    pub(crate) page: &'c Page,
    pub(crate) requested: Option<u32>,
}

impl Compared<'_> {
    /// It reports what differs, if no answer has come since the request. Nothing differs but what a disk has harmed.
    pub(crate) fn judge_reports(&self, harmed: &BTreeSet<Scope>) -> Judged {
        let Self { client, page, .. } = self;
        expect(client.differing.is_subset(harmed), Property::Equal, || {
            format!(
                "{:?} differ though no disk has harmed them: {:?}",
                client.differing, client.held
            )
        })?;
        let is_behind = self.requested.is_none_or(|it| it < client.answered);
        let mut named = page.digests.keys();
        let is_right = |scope: &Scope| client.differing.contains(scope) == self.differs(scope);
        expect(is_behind || named.all(is_right), Property::Mended, || {
            format!("{:?} are reported after {page:?}", client.differing)
        })
    }

    /// It says that it equals the server only if that is so in all scopes of which it keeps something.
    pub(crate) fn judge_equality(&self) -> Judged {
        let Self { client, page, .. } = self;
        let mut kept = client.held.values();
        let is_right = !client.equals || kept.all(|held| self.is_equal(&held.scope));
        expect(is_right, Property::Mended, || {
            format!("it is said to equal {page:?}: {:?}", client.held)
        })
    }

    /// Whether the client may ask once more for a scope that it has read again: the scope was equal meanwhile, a reset
    /// began, or the client keeps nothing of a scope that is no longer there.
    pub(crate) fn ends_doubt(&self, scope: &Scope) -> bool {
        let Self { client, page, .. } = self;
        let is_kept = || client.held.values().any(|held| held.scope == *scope);
        let is_there = page.has_more || page.digests.contains_key(scope) || is_kept();
        page.reset || self.is_equal(scope) || !is_there
    }

    fn is_equal(&self, scope: &Scope) -> bool {
        self.page.digests.contains_key(scope) && !self.differs(scope)
    }

    fn differs(&self, scope: &Scope) -> bool {
        let digest = self.page.digests.get(scope);
        digest.is_some_and(|digest| self.client.digest(scope) != *digest)
    }
}
