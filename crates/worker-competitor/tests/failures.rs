//! What a job makes of sites that fail, forbid, change and ask for patience.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod common;

use std::sync::Arc;
use std::time::Duration;

use bulrush::clock::ManualClock;
use bulrush::model::{ErrorKind, JobId, JobState};
use bulrush_catalog::jobs::CompetitorStatus;
use bulrush_sandbox::Fault;
use bulrush_store::Turn;
use bulrush_worker_competitor::Manners;
use common::{World, eventually, manners, payload, selected, status};
use serde_json::json;

const HOTEL: &str = "/hotels/alpenblick";

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_page_that_changed_its_shape_fails_at_once_and_says_which_selector_found_nothing_where() {
    let world = World::new().await;
    world.compete("renovated", selected()).await;
    let workers = world.start();
    let job = world.add().await;
    let reason = world.failed(&job, 1).await;
    let page = format!("{}/hotels/renovated", world.sandbox.base_url());
    let words = format!("renovated: {page} has changed its shape: the selector \".room\" found nothing");
    assert!(reason.contains(&words), "{reason}");
    assert_eq!(world.ended(&job).await.status.errors[0].error.kind, ErrorKind::Unrecoverable);
    assert_eq!(world.prices().await, []);

    world.compete("renovated", json!({})).await;
    let job = world.add().await;
    let reason = world.failed(&job, 1).await;
    assert!(reason.contains("no offer with a price as JSON-LD"), "{reason}");
    workers.shutdown().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn one_bad_competitor_does_not_spoil_the_others() {
    let world = World::new().await;
    world.all_compete().await;
    world.compete("renovated", selected()).await;
    world.compete("nowhere", json!({})).await;
    world.compete("private/club", selected()).await;
    world.declare("typo", json!({"url": "https://hotel.example/", "selector": "p"})).await;
    world.declare("within", json!({"url": "http://127.0.0.1/"})).await;
    world.declare("undeclared", json!(null)).await;
    let workers = world.start();
    let job = world.add().await;
    let result = world.completed(&job).await;
    assert_eq!((result.priced, result.competitors.len()), (7, 13));
    for (name, expected, words) in [
        ("renovated", CompetitorStatus::Changed, "the selector \".room\" found nothing"),
        ("nowhere", CompetitorStatus::Refused, "answered with status 404"),
        ("private/club", CompetitorStatus::Blocked, "robots.txt"),
        ("typo", CompetitorStatus::Misdeclared, "page.selector: is not known"),
        ("within", CompetitorStatus::Blocked, "127.0.0.1 may not be called: it is a loopback address"),
        ("undeclared", CompetitorStatus::Misdeclared, "page: must be an object"),
    ] {
        let (seen, reason) = status(&result, name);
        assert_eq!(seen, expected, "{name}: {reason}");
        assert!(reason.contains(words), "{words:?} is not in {reason:?}");
    }
    assert!(result.notes.iter().any(|note| note.contains("6 of 13")), "{:?}", result.notes);
    assert_eq!(world.ended(&job).await.status.attempts_made, 1, "no retry makes any of them better");
    assert_eq!(world.asked("private/club"), 0, "what robots.txt forbids is never asked for");
    workers.shutdown().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_page_that_is_down_is_tried_again_and_the_others_are_not_asked_twice() {
    for fault in [Fault::ServerError { status: 500 }, Fault::ServerError { status: 503 }, Fault::Truncated] {
        let world = World::new().await;
        world.compete("alpenblick", json!({})).await;
        world.compete("stadtgarten", json!({})).await;
        world.fail(HOTEL, 1, fault.clone());
        let workers = world.start();
        let job = world.add().await;
        assert_eq!(world.completed(&job).await.priced, 2);
        let run = world.ended(&job).await.status;
        assert_eq!(run.attempts_made, 2, "{fault:?}");
        assert_eq!(run.errors[0].error.kind, ErrorKind::Retryable);
        assert_eq!((world.asked("alpenblick"), world.asked("stadtgarten")), (2, 1), "{fault:?}");
        workers.shutdown().await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_page_that_stays_down_is_left_out_at_the_last_attempt_unless_it_is_all_there_is() {
    let world = World::new().await;
    world.compete("alpenblick", json!({})).await;
    world.fail(HOTEL, 100, Fault::ServerError { status: 502 });
    let workers = world.start();
    let job = world.add().await;
    let reason = world.failed(&job, 3).await;
    assert!(reason.contains("failed with status 502"), "{reason}");

    world.compete("stadtgarten", json!({})).await;
    let job = world.add().await;
    let result = world.completed(&job).await;
    assert_eq!((result.priced, world.ended(&job).await.status.attempts_made), (1, 3));
    assert_eq!(status(&result, "alpenblick").0, CompetitorStatus::Unreachable);
    workers.shutdown().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_site_that_asks_for_patience_gets_it_and_no_attempt_is_used() {
    let world = World::new().await;
    world.compete("alpenblick", json!({})).await;
    world.fail(HOTEL, 1, Fault::RateLimited { retry_after: Some("1".to_owned()) });
    let workers = world.start();
    let job = world.add().await;
    assert_eq!(world.completed(&job).await.priced, 1);
    let run = world.ended(&job).await.status;
    assert_eq!((run.attempts_made, run.run), (1, 2));
    assert_eq!(run.errors, []);
    let log = world.logs(&job).await;
    assert!(
        log.contains("is to be left alone for 1 s") && log.contains("the job comes again in 1 s"),
        "{log}"
    );
    workers.shutdown().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_site_that_another_process_holds_is_left_alone_and_the_slot_is_given_back() {
    let world = World::with(Manners { patience: Duration::from_millis(1), ..manners() }).await;
    world.compete("alpenblick", json!({})).await;
    let site = world.sandbox.base_url();
    let now = bulrush_store::now_ms();
    world.store.site_turns().hold(&site, now, now + 3_600_000).await.unwrap();
    let workers = world.start();
    let job = world.add().await;
    eventually("the job waits for its turn", async || {
        let view = world.queue().get(&job).await.unwrap().unwrap();
        if view.state() == JobState::Delayed { Ok(()) } else { Err(format!("{:?}", view.state())) }
    })
    .await;
    assert_eq!(world.asked("alpenblick"), 0);
    let view = world.queue().get(&job).await.unwrap().unwrap();
    assert_eq!(view.status.attempts_made, 0);
    workers.shutdown().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_site_whose_pause_is_longer_than_a_job_waits_is_read_page_by_page_in_several_runs() {
    let world = World::with(Manners { patience: Duration::from_millis(1), ..manners() }).await;
    world.sandbox.reset();
    world.robots("User-agent: *\nCrawl-delay: 0.3\n");
    for hotel in ["alpenblick", "seeufer", "stadtgarten"] {
        world.compete(hotel, json!({})).await;
    }
    let workers = world.start();
    let job = world.add().await;
    assert_eq!(world.completed(&job).await.priced, 3);
    let run = world.ended(&job).await.status;
    assert_eq!((run.attempts_made, run.run), (1, 3));
    assert_eq!(["alpenblick", "seeufer", "stadtgarten"].map(|hotel| world.asked(hotel)), [1, 1, 1]);
    workers.shutdown().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_a_site_holds_back_for_long_is_left_out_where_there_is_something_else() {
    let world = World::new().await;
    world.compete("alpenblick", json!({})).await;
    world.compete_elsewhere("stadtgarten").await;
    world.fail("/hotels/stadtgarten", 100, Fault::RateLimited { retry_after: Some("3600".to_owned()) });
    let workers = world.start();
    let job = world.add().await;
    let result = world.completed(&job).await;
    assert_eq!((result.priced, world.ended(&job).await.status.run), (1, 1));
    let (seen, reason) = status(&result, "stadtgarten");
    assert_eq!(seen, CompetitorStatus::Unreachable);
    assert!(reason.contains("is to be left alone for 3600 s"), "{reason}");
    // The next job does not even ask.
    world.compare().await;
    assert_eq!(world.asked("stadtgarten"), 1);
    workers.shutdown().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn each_request_to_a_site_takes_a_turn_of_its_own_a_pause_after_the_one_before() {
    const NOW: i64 = 1_780_000_000_000;
    let world = World::with(Manners { pause: Duration::from_millis(20), ..manners() }).await;
    world.all_compete().await;
    // The clock stands still, so the turns that were taken can be counted.
    let deps = world.deps.clone().with_clock(Arc::new(ManualClock::at(NOW.unsigned_abs())));
    let world = World { deps, ..world };
    let workers = world.start();
    assert_eq!(world.compare().await.priced, 7);
    let next = world.store.site_turns().take(&world.sandbox.base_url(), NOW, 0, i64::from(u16::MAX)).await;
    assert_eq!(next.unwrap(), Turn::At(NOW + 7 * 20));
    workers.shutdown().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_robots_txt_that_cannot_be_read_forbids_and_one_that_is_not_there_allows() {
    let world = World::new().await;
    world.compete("alpenblick", json!({})).await;
    world.sandbox.reset();
    world.fail("/robots.txt", 1, Fault::ServerError { status: 500 });
    world.fail("/robots.txt", 1, Fault::Refused { status: 404 });
    let workers = world.start();
    let job = world.add().await;
    assert_eq!(world.completed(&job).await.priced, 1);
    let run = world.ended(&job).await.status;
    assert_eq!(run.attempts_made, 2);
    let words = "could not be read, so nothing there may be: it was answered with status 500";
    assert!(run.errors[0].error.message.contains(words), "{:?}", run.errors);
    assert_eq!(world.asked("alpenblick"), 1);
    // It is believed for hours.
    world.compete("stadtgarten", json!({})).await;
    world.compare().await;
    assert_eq!(world.sandbox.requests().of("/robots.txt"), 2);
    workers.shutdown().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_site_that_is_down_is_asked_for_one_page_a_run_and_the_other_sites_for_all() {
    const DOWN: [&str; 3] = ["alpenblick", "lumiere", "seeufer"];
    let world = World::new().await;
    for hotel in DOWN {
        world.compete(hotel, json!({})).await;
        world.fail(&format!("/hotels/{hotel}"), 100, Fault::ServerError { status: 503 });
    }
    world.compete_elsewhere("stadtgarten").await;
    let workers = world.start();
    let job = world.add().await;
    let result = world.completed(&job).await;
    assert_eq!((result.priced, world.ended(&job).await.status.attempts_made), (1, 3), "{result:?}");
    // Each run began with another page, and asked for no more.
    assert_eq!(DOWN.map(|hotel| world.asked(hotel)), [1, 1, 1]);
    assert_eq!(world.asked("stadtgarten"), 1);
    let said = DOWN.map(|hotel| status(&result, hotel));
    assert!(said.iter().all(|(seen, _)| *seen == CompetitorStatus::Unreachable), "{said:?}");
    let words = format!("{} is down, so this page was not asked for", world.sandbox.base_url());
    assert_eq!(said.iter().filter(|(_, reason)| *reason == words).count(), 2, "{said:?}");
    assert!(said[2].1.contains("failed with status 503"), "{said:?}");
    workers.shutdown().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_page_that_always_fails_does_not_hide_the_others_of_its_site() {
    let world = World::new().await;
    for hotel in ["alpenblick", "seeufer", "stadtgarten"] {
        world.compete(hotel, json!({})).await;
    }
    world.fail(HOTEL, 100, Fault::ServerError { status: 500 });
    let workers = world.start();
    let job = world.add().await;
    assert_eq!(world.completed(&job).await.priced, 2);
    assert_eq!((world.asked("seeufer"), world.asked("stadtgarten")), (1, 1));
    workers.shutdown().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_robots_txt_that_cannot_be_read_is_asked_for_once_in_a_while() {
    const NOW: u64 = 1_780_000_000_000;
    let world = World::with(Manners { unread: Duration::from_secs(30), ..manners() }).await;
    let clock = Arc::new(ManualClock::at(NOW));
    let deps = world.deps.clone().with_clock(clock.clone());
    let world = World { deps, ..world };
    for hotel in ["alpenblick", "seeufer", "stadtgarten"] {
        world.compete(hotel, json!({})).await;
    }
    world.sandbox.reset();
    world.fail("/robots.txt", 1, Fault::ServerError { status: 500 });
    world.fail("/robots.txt", 10, Fault::Refused { status: 404 });
    let workers = world.start();
    let waits = async |job: &JobId| {
        eventually("the job is tried again later", async || {
            let view = world.queue().get(job).await.unwrap().unwrap();
            if view.state() == JobState::Delayed { Ok(view) } else { Err(format!("{view:?}")) }
        })
        .await
    };
    let job = world.add().await;
    let view = waits(&job).await;
    assert_eq!(view.status.attempts_made, 1);
    let in_vain_until = view.status.errors[0].ended + 29_000;
    assert!(view.status.run_at > in_vain_until, "it comes when asking makes sense: {view:?}");
    let other = world.add().await;
    waits(&other).await;
    assert_eq!(world.sandbox.requests().of("/robots.txt"), 1);
    clock.advance(Duration::from_millis(30_001));
    assert_eq!(world.compare().await.priced, 3);
    assert_eq!(world.sandbox.requests().of("/robots.txt"), 2);
    workers.shutdown().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_robots_txt_that_asks_for_patience_or_leads_astray_keeps_everybody_out() {
    let world = World::new().await;
    world.compete("alpenblick", json!({})).await;
    world.sandbox.reset();
    world.fail("/robots.txt", 1, Fault::RateLimited { retry_after: Some("1".to_owned()) });
    world.fail("/robots.txt", 1, Fault::Redirect { location: "http://127.0.0.1:1/".to_owned() });
    let workers = world.start();
    let job = world.add().await;
    let reason = world.failed(&job, 1).await;
    assert!(reason.contains("loopback address"), "{reason}");
    assert_eq!(world.ended(&job).await.status.run, 2, "the first run waited");
    assert_eq!(world.asked("alpenblick"), 0);
    workers.shutdown().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn answers_that_are_no_page_fail_at_once() {
    for (fault, words) in [
        (Fault::Html, "no offer with a price"),
        (Fault::Huge { bytes: 1 << 30 }, "is no page of HTML but \"application/json\""),
        (Fault::Body { body: "{}".to_owned() }, "is no page of HTML"),
        (Fault::Refused { status: 403 }, "answered with status 403"),
        (Fault::Redirect { location: "file:///etc/passwd".to_owned() }, "only http and https are accepted"),
        (Fault::Redirect { location: "http://[::1]/".to_owned() }, "loopback address"),
    ] {
        let world = World::new().await;
        world.compete("alpenblick", json!({})).await;
        world.fail(HOTEL, 100, fault.clone());
        let workers = world.start();
        let job = world.add().await;
        let reason = world.failed(&job, 1).await;
        assert!(reason.contains(words), "{fault:?}: {reason}");
        workers.shutdown().await;
    }
    let world = World::new().await;
    world.compete("alpenblick", json!({})).await;
    world.fail(HOTEL, 100, Fault::Redirect { location: HOTEL.to_owned() });
    let workers = world.start();
    let job = world.add().await;
    let reason = world.failed(&job, 1).await;
    assert!(reason.contains("redirects more than 3 times"), "{reason}");
    assert_eq!(world.asked("alpenblick"), 4);
    workers.shutdown().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_page_longer_than_its_bound_is_not_read_to_its_end() {
    let world = World::with(Manners { body_max: 100, ..manners() }).await;
    world.compete("alpenblick", json!({})).await;
    let workers = world.start();
    let job = world.add().await;
    let reason = world.failed(&job, 1).await;
    assert!(reason.contains("is longer than 100 bytes"), "{reason}");
    workers.shutdown().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn jobs_about_what_is_not_there_fail_at_once_and_say_what_to_do() {
    let world = World::new().await;
    let workers = world.start();
    let job = world.add().await;
    let reason = world.failed(&job, 1).await;
    assert!(reason.contains("has no competitors; declare some"), "{reason}");
    let mut absent = payload();
    absent.property_id = "castle".into();
    let job = world.queue().add(world.job(&absent)).await.unwrap().id;
    assert!(world.failed(&job, 1).await.contains("there is no property \"castle\""));
    let job = world.queue().typed(&payload()).unwrap();
    let job = world.queue().add(job).await.unwrap().id;
    assert!(world.failed(&job, 1).await.contains("has no owner"));
    let job = world.queue().job("any-name", "{\"propertyId\": 1}").owner("acme", "ada");
    let job = world.queue().add(job).await.unwrap().id;
    assert!(world.failed(&job, 1).await.contains("does not fit"));
    let mut odd = common::property("inn", Some("EURO"));
    world.save(&odd).await;
    let job = world.add().await;
    assert!(world.failed(&job, 1).await.contains("attribute currency"));
    odd.attributes.clear();
    odd.time_zone = Some("Mars/Base".into());
    world.save(&odd).await;
    let job = world.add().await;
    assert!(world.failed(&job, 1).await.contains("is no time zone"));
    workers.shutdown().await;
}
