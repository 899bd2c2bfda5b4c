//! Whose jobs a call may see or change.

use bulrush::model::{JobFilter, JobId, JobView, Owner, PageRequest, Scope, When};
use bulrush::port::{AdminCommand, AdminReply, AdminResult, Error};

use crate::suite::{Rig, START, fail, id, job};

fn owner(tenant: &str, user: &str) -> Owner {
    Owner { tenant: tenant.into(), user: user.into() }
}

/// Scopes that end just where another's begins, and what each may see of the jobs that [`added`] adds.
fn scopes() -> [(Scope, &'static [&'static str]); 7] {
    [
        (Scope::All, &["a-b", "a-c", "ab-", "nobody"]),
        (Scope::Tenant("a".into()), &["a-b", "a-c"]),
        (Scope::Tenant("ab".into()), &["ab-"]),
        (Scope::Tenant(String::new()), &[]),
        (Scope::Owner(owner("a", "b")), &["a-b"]),
        (Scope::Owner(owner("ab", "")), &["ab-"]),
        (Scope::Owner(owner("b", "a")), &[]),
    ]
}

async fn added(rig: &Rig) {
    rig.add(job("a-b").owner("a", "b")).await;
    rig.add(job("a-c").owner("a", "c")).await;
    rig.add(job("ab-").owner("ab", "")).await;
    rig.add(job("nobody")).await;
}

async fn within(rig: &Rig, scope: &Scope, command: AdminCommand) -> Result<AdminReply, Error> {
    rig.backend.admin_within(&rig.name, scope, command).await
}

pub async fn a_scope_admits_its_owner_s_jobs_and_nobody_else_s(rig: &Rig) {
    added(rig).await;
    let all = ["a-b", "a-c", "ab-", "nobody"].map(id);
    for (scope, visible) in scopes() {
        let found = rig.backend.get_within(&rig.name, &scope, &all).await.expect("jobs can be read");
        assert_eq!(found.len(), all.len());
        let seen: Vec<&str> = found.iter().flatten().map(|job: &JobView| job.id().as_str()).collect();
        assert_eq!(seen, visible, "{scope:?}");
    }
}

pub async fn what_is_outside_a_scope_is_as_unknown_and_stays_as_it_was(rig: &Rig) {
    added(rig).await;
    rig.add(job("grouped").owner("a", "c").group("g")).await;
    rig.add(job("later").owner("a", "c").delay_ms(1_000)).await;
    rig.add(job("dead").owner("a", "c").priority(0).attempts(1)).await;
    rig.hand(1).run(fail()).await;
    let foreign = ["a-c", "ab-", "nobody", "grouped", "later", "dead"];
    let look = || async {
        let mut views = Vec::new();
        for text in foreign {
            views.push(rig.job(text).await);
        }
        (views, rig.info().await.last_event)
    };
    let before = look().await;
    for scope in
        [Scope::Owner(owner("a", "b")), Scope::Tenant("b".into()), Scope::Owner(owner("a", "nobody"))]
    {
        for text in foreign {
            let one = || id(text);
            for command in [
                AdminCommand::Cancel(vec![one()]),
                AdminCommand::Remove(vec![one()]),
                AdminCommand::Retry { ids: vec![one()], data: Some("[1]".into()) },
                AdminCommand::Promote(vec![one()]),
                AdminCommand::Reschedule { id: one(), when: When::After(5) },
                AdminCommand::SetPriority { id: one(), priority: 3 },
                AdminCommand::SetData { id: one(), data: "[2]".into() },
            ] {
                let reply = within(rig, &scope, command.clone()).await.expect("it is answered");
                assert_eq!(reply.results, [AdminResult::Unknown], "{scope:?} {command:?}");
                assert_eq!((reply.changed, reply.outbox.len()), (0, 0));
            }
        }
    }
    assert_eq!(look().await, before);
}

pub async fn what_is_inside_a_scope_is_changed_as_by_an_administrator(rig: &Rig) {
    added(rig).await;
    let all: Vec<JobId> = ["a-b", "a-c", "ab-", "nobody", "unknown"].map(id).into();
    let reply = within(rig, &Scope::Owner(owner("a", "b")), AdminCommand::Cancel(all.clone()))
        .await
        .expect("it is answered");
    let (done, unknown) = (AdminResult::Done, AdminResult::Unknown);
    assert_eq!(reply.results, [done, unknown, unknown, unknown, unknown]);
    assert_eq!(reply.changed, 1);
    let reply =
        within(rig, &Scope::Tenant("a".into()), AdminCommand::Remove(all)).await.expect("it is answered");
    assert_eq!(reply.results, [done, done, unknown, unknown, unknown]);
    assert!(rig.find("a-c").await.is_none() && rig.find("ab-").await.is_some());
    // A job of a group has no priority, and that is told to its owner alone.
    rig.add(job("grouped").owner("a", "b").group("g")).await;
    let command = AdminCommand::SetPriority { id: id("grouped"), priority: 1 };
    assert!(matches!(
        within(rig, &Scope::Owner(owner("a", "b")), command).await,
        Err(Error::Check(bulrush::model::CheckError::PriorityInGroup { .. }))
    ));
}

pub async fn a_command_for_the_whole_queue_takes_no_scope(rig: &Rig) {
    added(rig).await;
    let state = bulrush::model::JobState::Waiting;
    for command in [
        AdminCommand::Pause,
        AdminCommand::Unpause,
        AdminCommand::RetryFailed { limit: 1 },
        AdminCommand::Clean { state, older_ms: 0, limit: 1 },
        AdminCommand::Drain { delayed: true, limit: 1 },
        AdminCommand::Obliterate { force: true, limit: 1 },
    ] {
        let refused = within(rig, &Scope::Tenant("a".into()), command.clone()).await;
        assert!(matches!(refused, Err(Error::Unscoped { .. })), "{command:?}: {refused:?}");
        assert!(refused.expect_err("it is refused").to_string().contains("whole queue"));
    }
    let info = rig.info().await;
    assert_eq!((info.counts.waiting, info.paused), (4, false));
}

pub async fn a_tenant_s_pages_hold_the_jobs_of_its_users(rig: &Rig) {
    for n in 0..7 {
        rig.advance(1);
        rig.add(job(&format!("a{n}")).owner("a", format!("u{}", n % 2))).await;
        rig.add(job(&format!("b{n}")).owner("b", "u0")).await;
    }
    let filter = JobFilter { tenant: Some("a".into()), ..JobFilter::default() };
    let request = PageRequest { filter, limit: 3, ..PageRequest::default() };
    let mut seen = Vec::new();
    let mut cursor = None;
    loop {
        let page = rig.page(PageRequest { cursor: cursor.clone(), ..request.clone() }).await;
        seen.extend(page.jobs.iter().map(|job| job.id().to_string()));
        assert!(seen.len() <= 7, "the pages of one tenant end");
        match page.next {
            Some(next) => cursor = Some(next),
            None => break,
        }
    }
    seen.sort();
    assert_eq!(seen, ["a0", "a1", "a2", "a3", "a4", "a5", "a6"]);
    assert!(rig.now() > START);
}
