//! Objects appear whole or not at all, under names of our own, wherever they are kept.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod bucket;
mod case;
mod folder;
mod rig;

/// Each case as a test of its own, in a folder and in a bucket, so that neither can skip one.
macro_rules! on_both {
    ($($case:ident),+ $(,)?) => {
        mod in_a_folder {
            $(#[tokio::test] async fn $case() { crate::case::$case(crate::rig::Rig::folder().await).await; })+
        }
        mod in_a_bucket {
            $(#[tokio::test] async fn $case() { crate::case::$case(crate::rig::Rig::bucket().await).await; })+
        }
    };
}

on_both! {
    what_is_put_is_read_back_with_its_size_and_checksum,
    an_object_of_many_parts_keeps_their_order,
    a_range_is_read_alone,
    the_same_bytes_twice_are_two_objects_with_names_of_our_own,
    one_byte_over_the_limit_is_refused_and_leaves_nothing,
    a_client_that_goes_away_leaves_nothing,
    a_put_that_is_dropped_half_way_leaves_nothing,
    keys_that_put_did_not_make_are_refused,
    a_place_that_answers_is_well,
}
