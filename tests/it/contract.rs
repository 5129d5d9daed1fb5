//! What every store promises, as tests that know no backend.
//!
//! `contract!(Backend)` runs all of them. A promise is added by a test in one of the modules below and its name in the
//! list. What only one backend promises is tested beside that backend. The simulation's store keeps the same promises
//! (`simulation/src/lib.rs`), so its crate includes these files by their paths.

#[path = "contract/clients.rs"]
pub(crate) mod clients;
#[path = "contract/collecting.rs"]
pub(crate) mod collecting;
#[path = "contract/committing.rs"]
pub(crate) mod committing;
#[path = "contract/feeds.rs"]
pub(crate) mod feeds;
#[path = "contract/fixture.rs"]
pub(crate) mod fixture;
#[path = "contract/inbox.rs"]
pub(crate) mod inbox;
#[path = "contract/lists.rs"]
pub(crate) mod lists;
#[path = "contract/loading.rs"]
pub(crate) mod loading;
#[path = "contract/members.rs"]
pub(crate) mod members;
#[path = "contract/models.rs"]
pub(crate) mod models;
#[path = "contract/snapshots.rs"]
pub(crate) mod snapshots;
#[path = "contract/sums.rs"]
pub(crate) mod sums;
#[path = "contract/tails.rs"]
pub(crate) mod tails;
#[path = "contract/uniques.rs"]
pub(crate) mod uniques;

use std::sync::Arc;

use tidegate::store::Store;

/// A place where a backend keeps its data. It outlives the stores that are opened there, and dropping it removes it.
pub(crate) trait Backend: Sized {
    /// An empty place.
    async fn start() -> Self;

    /// Opens the store, for the first time or again.
    async fn open(&self) -> Arc<dyn Store>;
}

/// One test for each promise.
macro_rules! contract {
    ($backend:ty) => {
        crate::contract::promises! { $backend;
            committing::a_commit_is_seen_whole_by_the_next_snapshot
            committing::a_decision_sees_all_that_was_committed_before
            committing::a_decision_that_panics_writes_nothing_and_stops_nobody
            committing::what_cannot_be_stored_is_refused_with_all_that_came_with_it
            committing::seqs_have_no_gap_and_follow_the_order_of_commits
            committing::documents_of_many_types_and_sizes_come_back
            committing::a_tombstone_keeps_no_body
            committing::memberships_follow_their_documents
            committing::an_epoch_change_is_in_force_with_its_commit
            committing::everything_is_there_after_reopening
            clients::client_states_come_back
            clients::clients_are_counted_and_found_when_they_are_idle
            clients::clients_are_counted_by_the_api_of_their_app
            clients::the_clients_of_a_user_are_read_in_the_order_of_their_names
            feeds::a_scan_is_ascending_within_its_bounds
            feeds::a_scan_of_some_types_leaves_out_the_others_only
            feeds::a_scan_without_removals_has_what_is_there_and_nothing_else
            feeds::a_byte_cap_yields_at_least_one_record_and_names_what_it_left_out
            feeds::a_replaced_record_leaves_its_old_place
            feeds::a_document_that_moves_leaves_a_marker_until_it_returns
            feeds::pages_neither_skip_nor_repeat_while_writers_write
            snapshots::a_snapshot_is_of_one_moment_while_writers_write
            snapshots::what_was_never_written_is_absent_and_its_heads_are_zero
            snapshots::each_scope_has_a_number_of_its_own_which_stays
            snapshots::a_confirmed_head_is_that_of_the_last_commit
            collecting::the_expired_are_the_old_collectables_oldest_first
            collecting::what_is_collected_vanishes_and_floors_rise
            collecting::what_was_replaced_since_is_not_collected
            inbox::conflicts_come_back_and_are_replaced_whole
            inbox::an_inbox_is_read_by_scopes_the_oldest_first
            inbox::a_conflict_goes_where_its_document_goes
            inbox::what_waits_of_a_document_is_counted_for_each_user
            inbox::a_conflict_opened_while_its_document_moves_stands_where_the_document_does
            inbox::settled_conflicts_are_forgotten_the_oldest_first_and_open_ones_never
            inbox::all_conflicts_are_walked_in_the_order_of_their_ids
            inbox::a_tail_reports_where_conflicts_open_and_end
            lists::an_index_has_documents_of_all_values_in_their_order
            lists::an_index_follows_its_documents
            lists::an_index_that_is_built_later_has_what_was_there_and_what_came_meanwhile
            lists::a_read_of_an_index_is_bounded_in_bytes
            loading::documents_are_loaded_in_their_order_as_far_as_they_have_room
            loading::conflicts_are_loaded_in_their_order_as_far_as_they_have_room
            loading::clients_are_loaded_in_their_order_as_far_as_they_have_room
            loading::documents_asked_for_by_their_keys_are_read_in_rounds_of_bounded_bytes
            members::of_very_many_memberships_those_of_services_and_the_oldest_are_read
            members::what_a_giver_gives_a_user_is_counted
            members::what_a_user_declines_comes_back_and_each_change_is_stamped
            members::a_tail_reports_users_whose_grants_changed_before_the_writes
            models::a_known_model_keeps_its_number_and_a_new_one_gets_the_next
            models::models_registered_at_once_get_different_numbers
            models::of_two_changes_of_one_term_one_is_in_force
            models::a_lead_is_seen_by_the_next_commit_and_snapshot
            models::a_type_is_moving_until_its_scan_under_the_lead_is_done
            models::a_document_is_explained_as_moving_until_it_is_in_the_scope_of_its_fields
            sums::the_sums_of_a_scope_are_those_of_what_lives_there
            sums::sums_counted_while_writers_write_are_those_of_what_lives_there
            tails::a_tail_begins_with_restart_and_reports_commits_in_their_order
            tails::a_tail_reports_nothing_of_a_commit_that_failed
            tails::a_tail_reports_a_new_epoch
            tails::a_tail_that_lags_reports_a_restart
            uniques::who_has_a_value_is_found_within_a_scope_and_in_all
            uniques::an_index_of_values_that_is_built_later_has_what_was_there
            uniques::values_change_hands_within_one_commit
            uniques::of_commits_that_take_one_value_at_once_one_does
        }
    };
}

macro_rules! promises {
    ($backend:ty; $($room:ident::$promise:ident)*) => {$(
        #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
        async fn $promise() {
            let backend = <$backend as crate::contract::Backend>::start().await;
            crate::contract::$room::$promise(&backend).await;
        }
    )*};
}

pub(crate) use {contract, promises};
