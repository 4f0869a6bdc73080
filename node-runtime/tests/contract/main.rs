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

suite! {
    jobs {
        a_process_is_in_its_job_from_the_start
        whatever_a_process_starts_is_in_its_job
        what_left_its_parents_and_tried_to_break_away_is_still_in_the_job
        a_job_that_is_open_twice_ends_with_the_last_handle
        a_second_job_of_the_same_name_is_refused_while_one_lives
        a_job_that_does_not_live_cannot_be_opened
        a_process_of_an_inner_job_is_in_both
        closing_an_inner_job_leaves_the_outer_one_alone
        ending_the_outer_job_ends_the_inner_one_with_the_same_code
        closing_the_outer_job_ends_the_inner_one
        the_list_of_processes_is_in_order_and_names_parents
        what_ended_processes_used_is_counted
        what_a_host_says_of_itself_does_not_change
    }
    ending {
        exit_codes_of_eight_bits_arrive
        exit_codes_of_32_bits_arrive
        a_job_is_ended_with_a_code_and_all_its_descendants
        a_job_can_be_used_again_after_it_was_ended
        closing_the_last_handle_ends_every_descendant
        every_descendant_ends_when_the_holder_of_the_job_is_killed
        one_process_is_ended_alone
        ending_what_has_ended_is_no_error
        being_asked_to_end_reaches_every_process
        one_process_is_asked_to_end_alone
        whoever_ignores_being_asked_goes_on
        a_tree_of_programs_that_know_nothing_ends_when_asked
    }
    processes {
        all_waiters_get_the_exit_code_however_often
        a_wait_ends_with_its_time
        an_empty_job_is_waited_for
        arguments_arrive_as_they_are
        the_environment_is_the_given_one_alone
        the_folder_is_the_given_one
        a_process_is_found_by_its_identity
        a_process_that_ended_is_not_found
        a_number_that_was_given_to_another_finds_nothing
        a_process_without_a_console_has_no_size
        a_detached_program_runs_with_its_output
    }
    suspension {
        a_suspended_program_does_nothing_until_it_is_resumed
        a_suspended_job_does_nothing_until_it_is_resumed
        what_is_started_in_a_suspended_job_waits_too
        a_suspended_program_can_be_ended
    }
    streams {
        each_stream_is_its_own
        what_is_written_is_read_and_its_end_too
        streams_that_are_none_lead_nowhere
        a_child_has_no_handle_but_its_streams
        programs_started_at_once_do_not_hold_the_streams_of_each_other
        a_grandchild_holds_the_stream
        reading_can_be_cancelled
        writing_can_be_cancelled
        a_cancelled_end_stays_cancelled
    }
    notices {
        a_process_is_noticed_from_start_to_end
        nothing_is_noticed_when_nothing_happens
        a_notice_of_a_limit_is_never_lost
        memory_that_is_refused_is_noticed
    }
    limits {
        limits_that_the_host_has_are_accepted_and_lifted
        a_limit_that_the_host_lacks_is_named_and_changes_nothing
        a_full_job_refuses_another_process
    }
    errors {
        a_program_that_does_not_exist_is_not_found
        a_folder_may_not_be_run
        a_file_that_is_no_program_is_refused
        nothing_is_left_of_a_program_that_could_not_be_started
        nobody_hears_of_a_program_that_could_not_be_started
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
        many_clients_are_served_one_after_the_other
        both_directions_are_used_at_once
        a_read_that_waits_holds_no_write_up_and_has_a_time_of_its_own
        each_direction_is_cut_from_another_thread
        accepting_is_cut_from_another_thread
        an_accepted_client_outlives_its_listener
        sockets_are_named_as_containerd_names_them
    }
    identity {
        whoever_runs_the_runtime_can_be_inherited
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
