//! The suite that every engine runs: the contracts, promise by promise.
//!
//! An engine writes one [`Subject`] and hands an expression that makes it to [`conformance_tests!`](crate::conformance_tests),
//! which expands to one test a promise. [`run_all`] runs the same cases one after the other.
//!
//! ```text
//! use std::sync::Arc;
//! use ossia_store::{MemoryStore, Store, conformance_tests};
//!
//! conformance_tests!(|| Arc::new(MemoryStore::new(Default::default())) as Arc<dyn Store>);
//! ```
//!
//! Owns: what each promise means in observable terms. Must not know any engine.
//!
//! The suite asks for nothing that the contracts do not promise. It takes [`Rejection::Busy`](crate::Rejection::Busy) and
//! outcomes that are unknown at first as they come, pages that end early, and blobs that cannot be moved for a moment. It does
//! not ask that a reference to a payload that has been let go is refused, only that it never yields other bytes.
//!
//! Random cases print their seed when they fail; the environment variable `OSSIA_SEED` sets it.

pub mod blobs;
pub mod durability;
pub mod life;
pub mod model;
pub mod outcomes;
pub mod payloads;
pub mod reads;
pub mod scans;
mod tools;
pub mod transactions;

use std::{sync::Arc, time::Duration};

use crate::{BoxFuture, Store};

/// One store under test, with its data.
pub trait Subject: Send + Sync {
    /// Opens the store. The first call makes it, empty. Later calls come after [`Store::shutdown`] and after the store that the
    /// call before returned was dropped; where the subject is durable they find everything again.
    fn open(&self) -> BoxFuture<'_, Arc<dyn Store>>;

    /// Whether the data outlives a shutdown. Where it does not, the cases of [`durability`] are told as skipped.
    fn is_durable(&self) -> bool;
}

/// A store that is gone with its last handle.
impl<F> Subject for F
where
    F: Fn() -> Arc<dyn Store> + Send + Sync,
{
    fn open(&self) -> BoxFuture<'_, Arc<dyn Store>> {
        Box::pin(async move { self() })
    }

    fn is_durable(&self) -> bool {
        false
    }
}

/// What [`run_all`] did.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Report {
    /// The cases that ran; each kept its promise.
    pub ran: Vec<&'static str>,
    /// The cases that ask for more than this subject is.
    pub skipped: Vec<&'static str>,
}

/// Ends a case that does not end by itself: calls end in bounded time (I7). The bound leaves room for a slow, busy machine.
#[doc(hidden)]
pub async fn within_bounds(case: &str, run: impl Future<Output = ()>) {
    const BOUND: Duration = Duration::from_secs(120);
    assert!(tokio::time::timeout(BOUND, run).await.is_ok(), "{case} does not end");
}

/// Hands the list of all cases to a macro: those that need a store, and those that open it again.
#[doc(hidden)]
#[macro_export]
macro_rules! conformance_cases {
    ($($callback:ident)::+ ! ($($input:tt)*)) => {
        $($callback)::+! {
            ($($input)*)
            open {
                transactions::increments_of_one_key_are_told_once_each,
                transactions::transfers_keep_the_sum_of_each_partition,
                transactions::write_skew_is_prevented,
                transactions::one_of_ten_racing_creators_wins,
                transactions::a_transaction_takes_effect_whole,
                transactions::a_run_on_a_state_that_never_stood_does_not_count,
                transactions::what_is_told_is_visible,
                transactions::a_refusal_writes_nothing,
                transactions::a_body_gets_keys_that_no_hint_named,
                transactions::hints_are_only_hints,
                transactions::the_last_change_of_a_key_counts,
                transactions::a_panicking_body_is_refused_alone,
                transactions::no_body_runs_after_its_answer,
                transactions::writes_at_each_limit_are_taken,
                transactions::writes_past_each_limit_are_refused,
                transactions::keys_read_and_written_count_together,
                payloads::a_payload_is_read_back,
                payloads::an_empty_payload_is_none,
                payloads::a_payload_is_kept_under_a_changed_record,
                payloads::payloads_move_between_keys,
                payloads::payloads_are_shared,
                payloads::a_named_payload_is_that_of_the_state_before,
                payloads::a_stale_reference_never_yields_other_bytes,
                payloads::payloads_come_in_the_order_asked,
                payloads::readers_follow_payloads_under_writers,
                reads::what_was_answered_is_read,
                reads::partitions_are_apart,
                reads::many_partitions_have_a_key_each,
                reads::what_never_was_is_absent,
                reads::reads_never_go_back,
                scans::a_range_is_told_in_byte_order,
                scans::bounds_need_not_be_keys,
                scans::a_page_may_end_with_the_range,
                scans::a_fold_tells_each_group_once,
                scans::a_fold_starts_at_its_byte,
                scans::a_delimiter_may_have_several_bytes,
                scans::a_range_may_cut_a_group,
                scans::groups_of_the_last_byte_end,
                scans::a_page_resumes_past_its_last_group,
                scans::what_is_deleted_is_told_no_more,
                scans::a_page_is_one_state,
                scans::pages_asked_for_together_are_of_one_state,
                scans::paging_under_writers_misses_nothing_that_stands,
                scans::random_scans_agree_with_an_ordered_map,
                blobs::a_blob_is_read_back,
                blobs::a_blob_is_written_in_pieces_of_any_size,
                blobs::a_range_past_the_end_is_refused,
                blobs::an_unfinished_blob_is_nowhere,
                blobs::staging_tells_owners_until_blobs_are_adopted,
                blobs::an_owner_that_is_too_long_is_refused,
                blobs::a_blob_is_adopted_once_and_for_all,
                blobs::a_deleted_blob_is_gone,
                blobs::an_open_reader_outlives_the_deletion,
                blobs::a_duplicate_stands_alone,
                blobs::an_empty_blob_lives_as_any_other,
                blobs::blobs_written_side_by_side_do_not_mix,
                outcomes::a_settled_outcome_is_true_and_stays,
                life::a_new_store_is_open_and_empty,
                life::a_store_that_was_shut_down_is_closed,
                life::a_shutdown_under_load_answers_everyone,
                model::random_operations_agree_with_a_model,
            }
            durable {
                durability::answered_writes_outlive_a_shutdown,
                durability::named_payloads_outlive_a_shutdown,
                durability::a_store_goes_on_where_it_was,
                durability::blobs_outlive_a_shutdown,
                durability::answers_given_during_a_shutdown_hold,
                durability::decisions_rest_on_what_outlived_the_shutdown,
                model::random_operations_agree_with_a_model_across_shutdowns,
            }
        }
    };
}

/// Expands to one test a promise, named after it.
///
/// The expression is evaluated once a test and makes a [`Subject`](crate::conformance::Subject). The tests need the caller's
/// `tokio` with the features `macros` and `rt-multi-thread`.
#[macro_export]
macro_rules! conformance_tests {
    ($subject:expr) => {
        $crate::conformance_cases! { $crate::conformance_test_functions!($subject) }
    };
}

#[doc(hidden)]
#[macro_export]
macro_rules! conformance_test_functions {
    (
        ($subject:expr)
        open { $($module:ident :: $case:ident,)* }
        durable { $($durable_module:ident :: $durable_case:ident,)* }
    ) => {
        $(
            #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
            async fn $case() {
                let subject = $subject;
                let store = $crate::conformance::Subject::open(&subject).await;
                let case = $crate::conformance::$module::$case(store);
                $crate::conformance::within_bounds(stringify!($case), case).await;
            }
        )*
        $(
            #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
            async fn $durable_case() {
                let subject = $subject;
                if $crate::conformance::Subject::is_durable(&subject) {
                    let case = $crate::conformance::$durable_module::$durable_case(&subject);
                    $crate::conformance::within_bounds(stringify!($durable_case), case).await;
                } else {
                    eprintln!("skipped: {}: nothing outlives this store", stringify!($durable_case));
                }
            }
        )*
    };
}

macro_rules! run_cases {
    (
        ($report:ident, $make:ident)
        open { $($module:ident :: $case:ident,)* }
        durable { $($durable_module:ident :: $durable_case:ident,)* }
    ) => {
        $(
            let subject = $make();
            within_bounds(stringify!($case), $module::$case(subject.open().await)).await;
            $report.ran.push(stringify!($case));
        )*
        $(
            let subject = $make();
            if subject.is_durable() {
                let case = $durable_module::$durable_case(&subject);
                within_bounds(stringify!($durable_case), case).await;
                $report.ran.push(stringify!($durable_case));
            } else {
                $report.skipped.push(stringify!($durable_case));
            }
        )*
    };
}

/// Runs every case on a subject of its own. The first promise that is not kept panics.
pub async fn run_all<S: Subject>(make: impl Fn() -> S) -> Report {
    let mut report = Report::default();
    conformance_cases! { run_cases!(report, make) }
    report
}
