//! The cost of one membership for a user with thousands of scopes and several open subscriptions.

use super::*;

const SCOPES: usize = 5_000;
const SUBSCRIPTIONS: usize = 4;

impl Counts {
    /// The numbers of reads of memberships, of read scope states, and of scans, since the last call.
    fn take(&self) -> [usize; 3] {
        let counts = [&self.memberships, &self.scopes, &self.scans];
        counts.map(|count| count.swap(0, Ordering::SeqCst))
    }
}

#[tokio::test]
async fn a_membership_costs_its_user_the_scope_it_names_and_not_the_others() {
    let mut crowd = Crowd::empty();
    for _ in 0..SUBSCRIPTIONS {
        let mut teams: Vec<String> = (0..SCOPES).map(|scope| scope.to_string()).collect();
        teams.push("all".to_owned());
        crowd.follow("named", teams);
    }
    crowd.settle_first().await;
    let inside = Action::Create {
        document: texts(&[("team", "given")]),
        base: None,
    };
    crowd
        .push("other", "given", vec![("Task", "inside", inside)])
        .await;
    let counts = Arc::clone(&crowd.store.layer);
    let [memberships, scopes, _] = counts.take();
    assert_eq!(memberships, 1);
    assert_eq!(scopes, 2 * SUBSCRIPTIONS * (SCOPES + 1));

    // How each step changes the membership, and whether the scope comes or goes by it.
    let steps: [(Action, bool, bool); 4] = [
        (give("named"), true, false),
        (change(1, &[("access", "WRITE")]), false, false),
        (change(2, &[("person", "absent")]), false, true),
        (change(3, &[("person", "named")]), true, false),
    ];
    for (step, (action, comes, goes)) in steps.into_iter().enumerate() {
        crowd
            .push("giver", "giver", vec![("Member", "m", action)])
            .await;
        for of in 0..SUBSCRIPTIONS {
            if !comes && !goes {
                continue;
            }
            let page = crowd.page(of).await;
            let items = page.decoded().unwrap();
            let ids = items.iter().map(|item| item.record.key().id.as_str());
            assert_eq!(ids.collect::<Vec<_>>().contains(&"inside"), comes);
            assert_eq!(page.revoked.len(), usize::from(goes));
            assert!(!page.reset && !page.has_more);
        }
        // The scopes from before continue in their rings.
        let before = crowd.reads();
        crowd.reads_until_all_hear(before, &step.to_string()).await;
        let added = if comes { SUBSCRIPTIONS } else { 0 };
        assert_eq!(counts.take(), [1, added, added], "step {step}");
    }
}
