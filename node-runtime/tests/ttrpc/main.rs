//! The server and the client of ttrpc on the host in memory and on the one of this system: what they promise, and what
//! clients that break the rules cannot do.
#![expect(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test that fails by a panic is the normal way a test fails"
)]

mod attacks;
mod bench;
mod laws;
mod rules;

/// Runs each case on both hosts.
macro_rules! suite {
    ($($module:ident { $($case:ident)* })*) => {
        mod fake {
            $($(
                #[test]
                fn $case() {
                    crate::$module::$case(crate::bench::Bench::fake());
                }
            )*)*
        }
        mod native {
            $($(
                #[test]
                fn $case() {
                    crate::$module::$case(crate::bench::Bench::native());
                }
            )*)*
        }
    };
}

suite! {
    rules {
        answers_come_as_they_are_ready
        every_failure_arrives_with_its_code_and_words
        a_mistake_of_the_service_is_the_failure_of_one_call
        a_call_that_is_given_up_leaves_the_connection_usable
        an_answer_that_is_too_long_is_a_failure
        whoever_waits_for_a_server_that_dies_is_told
        a_call_that_ends_the_server_is_answered
    }
    attacks {
        a_frame_may_be_empty_or_of_four_mebibytes_and_no_longer
        streams_have_odd_numbers_that_grow
        frames_that_are_no_request_are_passed_over
        whoever_stalls_in_a_frame_or_takes_no_answer_is_hung_up_on
        ten_thousand_calls_at_once_are_bounded
        calls_that_wait_and_were_given_up_leave_room_for_others
        memory_for_requests_is_bounded
        one_client_too_many_is_hung_up_on_and_leaves_room_for_none
    }
}
