//! Reading a queue page by page.

use bulrush::model::{ChildFailure, JobFilter, JobState, NewJob, Owner, PageRequest};
use bulrush::port::Error;

use crate::suite::{Rig, complete, fail, id, ids, job, name};

fn of(state: JobState) -> PageRequest {
    PageRequest { state: Some(state), ..PageRequest::default() }
}

/// All ids of a request, read three at a time.
async fn in_threes(rig: &Rig, mut request: PageRequest) -> Vec<String> {
    request.limit = 3;
    let mut seen = Vec::new();
    loop {
        let page = rig.page(request.clone()).await;
        assert!(page.jobs.len() <= 3);
        seen.extend(page.jobs.iter().map(|job| job.id().to_string()));
        match page.next {
            Some(next) => request.cursor = Some(next),
            None => return seen,
        }
    }
}

fn numbers(prefix: &str, newest_first: impl Iterator<Item = usize>) -> Vec<String> {
    newest_first.map(|n| format!("{prefix}{n}")).collect()
}

pub async fn every_state_is_read_page_by_page_newest_first(rig: &Rig) {
    const N: usize = 10;
    for prefix in ["c", "f", "a"] {
        rig.add_all((0..N).map(|n| job(&format!("{prefix}{n}"))).collect()).await;
    }
    let mut hand = rig.hand(1);
    for outcome in [complete(), fail()] {
        for _ in 0..N {
            rig.advance(1);
            hand.run(outcome.clone()).await;
        }
    }
    for _ in 0..N {
        rig.advance(1);
        hand.take_one().await;
    }
    rig.add_all((0..N).map(|n| job(&format!("x{n}"))).collect()).await;
    for n in 0..N {
        rig.cancel(&format!("x{n}")).await;
    }
    rig.add_all((0..N).map(|n| job(&format!("d{n}")).delay_ms(1 + n as u64 / 2)).collect()).await;
    rig.add_all((0..N).map(|n| job(&format!("w{n}"))).collect()).await;
    let parent = |n| job(&format!("p{n}")).child(name("other"), job(&format!("k{n}")), ChildFailure::Fail);
    rig.add_all((0..N).map(parent).collect()).await;
    for (state, prefix) in JobState::ALL.into_iter().zip(["w", "d", "p", "a", "c", "f", "x"]) {
        let seen = in_threes(rig, of(state)).await;
        assert_eq!(seen, numbers(prefix, (0..N).rev()), "{state}");
    }
    let mut all = in_threes(rig, PageRequest::default()).await;
    all.sort();
    all.dedup();
    assert_eq!(all.len(), 7 * N, "each once");
}

pub async fn waiting_jobs_of_many_groups_and_priorities_are_all_read_once(rig: &Rig) {
    let mut jobs: Vec<NewJob> = Vec::new();
    for n in 0..7 {
        for group in ["a", "b.c", "d\u{e9}\0"] {
            jobs.push(job(&format!("{}-{n}", group.len())).group(group));
        }
        for priority in [0, 5, 9] {
            jobs.push(job(&format!("p{priority}-{n}")).priority(priority));
        }
    }
    let expected = jobs.len();
    rig.add_all(jobs).await;
    let mut seen = in_threes(rig, of(JobState::Waiting)).await;
    assert_eq!(seen.len(), expected);
    seen.sort();
    seen.dedup();
    assert_eq!(seen.len(), expected, "each once");
}

pub async fn a_cursor_stays_good_while_the_queue_moves_on(rig: &Rig) {
    rig.add_all((0..9).map(|n| job(&format!("j{n}"))).collect()).await;
    let first = rig.page(PageRequest { limit: 3, ..of(JobState::Waiting) }).await;
    assert_eq!(ids(&first.jobs), ["j8", "j7", "j6"]);
    // The job at which the page ended goes, another comes, and the head is taken.
    rig.remove("j6").await;
    rig.add(job("new")).await;
    rig.hand(1).take(2).await;
    let rest = PageRequest { limit: 100, cursor: first.next, ..of(JobState::Waiting) };
    assert_eq!(ids(&rig.page(rest).await.jobs), ["j5", "j4", "j3", "j2"]);
}

pub async fn an_owner_s_jobs_are_read_newest_first_in_whatever_state(rig: &Rig) {
    for n in 0..8 {
        let user = if n % 2 == 0 { "ada" } else { "bob" };
        let job = job(&format!("j{n}")).owner("acme", user);
        // One by a way that plain jobs do not go.
        rig.add(if n == 2 { job.priority(6) } else { job }).await;
    }
    rig.add(job("foreign").owner("other", "ada")).await;
    let mut hand = rig.hand(1);
    hand.run(complete()).await;
    hand.run(fail()).await;
    rig.remove("j4").await;
    let ada = Owner { tenant: "acme".into(), user: "ada".into() };
    let request = PageRequest { owner: Some(ada), ..PageRequest::default() };
    assert_eq!(in_threes(rig, request.clone()).await, ["j6", "j2", "j0"]);
    let waiting = PageRequest { state: Some(JobState::Waiting), ..request.clone() };
    assert_eq!(in_threes(rig, waiting).await, ["j6", "j2"]);
    let nobody = Owner { tenant: "acme".into(), user: "eve".into() };
    assert_eq!(rig.page(PageRequest { owner: Some(nobody), ..request }).await.jobs, []);
}

pub async fn an_owner_s_index_reaches_the_newest_ten_thousand(rig: &Rig) {
    for part in 0..11 {
        let jobs = (0..1_000).map(|n| job(&format!("j{}", part * 1_000 + n)).owner("acme", "ada"));
        rig.add_all(jobs.collect()).await;
    }
    let ada = Owner { tenant: "acme".into(), user: "ada".into() };
    let request = PageRequest { owner: Some(ada), limit: 1_000, ..PageRequest::default() };
    let reached = rig.all(request).await;
    assert_eq!(reached.len(), 10_000);
    assert_eq!(reached[9_999].id().as_str(), "j1000");
}

pub async fn filters_by_name_tag_text_and_time_show_what_fits(rig: &Rig) {
    rig.add(NewJob::new(id("a"), "mail", r#"{"to":"ada"}"#).tags(["red"])).await;
    rig.advance(10);
    rig.add(NewJob::new(id("b"), "mail", r#"{"to":"bob"}"#).tags(["red", "blue"])).await;
    rig.add(NewJob::new(id("c"), "print", r#"{"to":"ada"}"#)).await;
    let shown = async |filter: JobFilter| {
        let page = rig.page(PageRequest { filter, limit: 10, ..of(JobState::Waiting) }).await;
        assert_eq!(page.scanned, 3);
        ids(&page.jobs).join(" ")
    };
    let filter = JobFilter::default;
    assert_eq!(shown(JobFilter { name: Some("mail".into()), ..filter() }).await, "b a");
    assert_eq!(shown(JobFilter { tag: Some("red".into()), ..filter() }).await, "b a");
    assert_eq!(shown(JobFilter { tag: Some("blue".into()), ..filter() }).await, "b");
    assert_eq!(shown(JobFilter { text: Some("ada".into()), ..filter() }).await, "c a");
    assert_eq!(shown(JobFilter { text: Some("c".into()), ..filter() }).await, "c", "an id counts too");
    assert_eq!(shown(JobFilter { since: Some(rig.now()), ..filter() }).await, "c b");
    let both = JobFilter { name: Some("mail".into()), text: Some("ada".into()), ..filter() };
    assert_eq!(shown(both).await, "a");
}

pub async fn a_filtered_page_looks_at_ten_thousand_records_and_can_be_gone_on_with(rig: &Rig) {
    rig.add(NewJob::new(id("needle"), "rare", "{}")).await;
    for part in 0..12 {
        rig.add_all((0..1_000).map(|n| job(&format!("j{part}-{n}"))).collect()).await;
    }
    let filter = JobFilter { name: Some("rare".into()), ..JobFilter::default() };
    let request = PageRequest { filter, limit: 5, ..of(JobState::Waiting) };
    let page = rig.page(request.clone()).await;
    assert_eq!((page.jobs.len(), page.scanned), (0, 10_000));
    let page = rig.page(PageRequest { cursor: page.next, ..request }).await;
    assert_eq!((ids(&page.jobs), page.scanned, page.next), (vec!["needle"], 2_001, None));
}

pub async fn a_page_holds_at_least_one_and_at_most_a_thousand(rig: &Rig) {
    for part in 0..2 {
        rig.add_all((0..1_000).map(|n| job(&format!("j{part}-{n}"))).collect()).await;
    }
    for (limit, expected) in [(0, 1), (1, 1), (usize::MAX, 1_000)] {
        let page = rig.page(PageRequest { limit, ..of(JobState::Waiting) }).await;
        assert_eq!(page.jobs.len(), expected);
    }
}

pub async fn a_cursor_that_nobody_issued_is_refused(rig: &Rig) {
    rig.add(job("a")).await;
    for bad in
        ["", "x", "1", "1.", "1.2.3", "1.2.zz", "1.2.61.4", "-1.2", "1.2.\u{e9}", "99999999999999999999.1"]
    {
        let request = PageRequest { cursor: Some(bad.into()), ..of(JobState::Waiting) };
        let error = rig.backend.page(&rig.name, request).await.expect_err(bad);
        assert!(matches!(&error, Error::Cursor { cursor } if cursor == bad), "{error}");
    }
}

pub async fn jobs_are_read_by_id_in_the_order_asked(rig: &Rig) {
    rig.add_ids(&["a", "b"]).await;
    let found = rig.backend.get(&rig.name, &[id("b"), id("x"), id("a"), id("b")]).await.expect("can be read");
    let found: Vec<Option<&str>> =
        found.iter().map(|job| job.as_ref().map(|job| job.id().as_str())).collect();
    assert_eq!(found, [Some("b"), None, Some("a"), Some("b")]);
}
