//! The cases of jobs and processes, which a host passes however it starts its programs.

/// Gives a suite these cases, and the others.
macro_rules! cases_of_programs {
    ($suite:ident { $($others:tt)* }) => {
        $suite! {
            jobs {
                a_process_is_in_its_job_from_the_start
                whatever_a_process_starts_is_in_its_job
                what_left_its_parents_and_tried_to_break_away_is_still_in_the_job
                a_job_that_is_open_twice_ends_with_the_last_handle
                a_process_of_an_inner_job_is_in_both
                closing_an_inner_job_leaves_the_outer_one_alone
                ending_the_outer_job_ends_the_inner_one_with_the_same_code
                closing_the_outer_job_ends_the_inner_one
                the_list_of_processes_is_in_order_and_names_parents
                memory_that_a_process_keeps_is_counted
                what_ended_processes_used_is_counted
            }
            ending {
                exit_codes_of_eight_bits_arrive
                exit_codes_of_32_bits_arrive
                a_job_is_ended_with_a_code_and_all_its_descendants
                a_job_can_be_used_again_after_it_was_ended
                closing_the_last_handle_ends_every_descendant
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
                a_process_without_a_console_has_no_size
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
            }
            notices {
                a_process_is_noticed_from_start_to_end
                nothing_is_noticed_when_nothing_happens
                a_notice_of_a_limit_is_never_lost
            }
            limits {
                limits_that_the_host_has_are_accepted_and_lifted
                a_full_job_refuses_another_process
            }
            errors {
                a_program_that_does_not_exist_is_not_found
                a_folder_may_not_be_run
                a_file_that_is_no_program_is_refused
                nothing_is_left_of_a_program_that_could_not_be_started
                nobody_hears_of_a_program_that_could_not_be_started
            }
            identity {
                whoever_runs_the_runtime_can_be_inherited
            }
            $($others)*
        }
    };
}
