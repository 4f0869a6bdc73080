//! The contract of `sys`: one suite that every backend passes, the host in memory and the one of this system.
//!
//! What a host cannot do, by its own features, is not run there and is said so: `not run: WHAT (WHY)`.

#![expect(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test that fails by a panic is the normal way a test fails"
)]

mod bench;
mod binding;
#[macro_use]
mod cases;
mod connections;
mod ending;
mod errors;
mod identity;
mod jobs;
mod limits;
mod notices;
mod processes;
mod storage;
mod streams;
mod suspension;

/// Runs each case on each backend.
macro_rules! suite {
    ($($module:ident { $($case:ident)* })*) => {
        mod fake {
            $($(
                #[test]
                fn $case() {
                    crate::$module::$case(&crate::bench::Bench::fake());
                }
            )*)*
        }
        mod native {
            $($(
                #[test]
                fn $case() {
                    crate::$module::$case(&crate::bench::Bench::native());
                }
            )*)*
        }
    };
}

cases_of_programs! {
    suite {
        jobs {
            a_second_job_of_the_same_name_is_refused_while_one_lives
            a_job_that_does_not_live_cannot_be_opened
            what_a_host_says_of_itself_does_not_change
        }
        ending {
            every_descendant_ends_when_the_holder_of_the_job_is_killed
        }
        processes {
            a_number_that_was_given_to_another_finds_nothing
            a_detached_program_runs_with_its_output
        }
        streams {
            a_cancelled_end_stays_cancelled
        }
        notices {
            memory_that_is_refused_is_noticed
        }
        limits {
            a_limit_that_the_host_lacks_is_named_and_changes_nothing
        }
        connections {
            what_is_sent_arrives_both_ways
            a_connection_ends_when_the_other_side_closes_it
            a_read_ends_with_its_time
            a_write_can_be_cut_from_another_thread
            a_second_server_is_refused
            nobody_serves_what_was_never_served_or_is_closed
            waiting_for_a_client_ends_with_its_time
            a_client_does_not_wait_longer_than_it_wants_to
            what_a_client_sent_is_read_although_it_was_gone_before_it_was_accepted
            many_clients_are_served_one_after_the_other
            both_directions_are_used_at_once
            a_read_that_waits_holds_no_write_up_and_has_a_time_of_its_own
            each_direction_is_cut_from_another_thread
            accepting_is_cut_from_another_thread
            an_accepted_client_outlives_its_listener
            sockets_are_named_as_containerd_names_them
        }
        identity {
            a_group_that_does_not_exist_is_refused
            a_temporary_account_is_gone_with_its_last_reference
            an_account_that_a_crash_left_is_swept
        }
        binding {
            what_is_bound_for_a_job_is_seen_by_its_programs_alone
            what_is_bound_read_only_is_read_and_not_written
            what_is_bound_goes_with_its_job
            a_program_that_is_not_in_what_is_bound_is_not_found
        }
        storage {
            a_folder_appears_elsewhere_and_is_gone_again
            what_stands_at_the_target_is_not_replaced
            detaching_twice_is_no_error
            detaching_never_reaches_what_the_link_leads_to
            a_folder_that_is_no_link_is_not_detached
            read_only_is_refused_where_it_cannot_be_done
            entries_are_told_apart_without_following_them
            a_protected_folder_is_still_ours
        }
    }
}
