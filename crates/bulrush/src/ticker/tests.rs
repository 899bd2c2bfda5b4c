//! What is called instead of a call that was refused.

use super::*;
use crate::model::{CheckError, JobId, NewJob, ScheduleSpec};

fn chain(id: &str, n: u64) -> Vec<Fire> {
    let job = NewJob::new(JobId::new("sch-0").unwrap(), "work", "{}");
    let spec = Arc::new(ScheduleSpec::every(ScheduleId::new(id).unwrap(), 1_000, &job).unwrap());
    let fire = |slot| Fire {
        spec: spec.clone(),
        revision: 1,
        slot,
        fires: Some(slot),
        missed: 0,
        next: Some(slot + 1),
    };
    (1..=n).map(fire).collect()
}

/// Carries out calls as a ticker does, of which those with one of `unable`, or with more than `most` slots, are refused. Returns how many calls
/// it took, the slots fired, and the schedules that were given up.
fn carry_out(fires: Vec<Fire>, unable: &[&str], most: usize) -> (usize, Vec<(String, u64)>, Vec<String>) {
    let (mut landed, mut fired, mut made) = (Landed::default(), Vec::new(), 0);
    let mut calls = vec![Call { fires, good: false }];
    while let Some(Call { mut fires, good }) = calls.pop() {
        fires.retain(|fire| landed.refused.iter().all(|(refused, _)| refused.spec.id != fire.spec.id));
        if fires.is_empty() {
            continue;
        }
        made += 1;
        if fires.len() > most || fires.iter().any(|fire| unable.contains(&fire.spec.id.as_str())) {
            calls.extend(split(fires, good, Error::Unsettled, &mut landed));
        } else {
            fired.extend(fires.iter().map(|fire| (fire.spec.id.to_string(), fire.slot)));
        }
    }
    let given_up = landed.refused.iter().map(|(fire, _)| fire.spec.id.to_string()).collect();
    (made, fired, given_up)
}

#[test]
fn a_schedule_that_catches_up_and_is_refused_is_refused_as_one() {
    let (calls, fired, given_up) = carry_out(chain("a", 100), &["a"], 1_000);
    assert_eq!((calls, fired, given_up), (2, Vec::new(), vec!["a".to_owned()]));
}

#[test]
fn neighbours_of_a_refused_schedule_fire_in_order_and_few_calls() {
    let ids: Vec<String> = (0..100).map(|n| format!("s{n:02}")).collect();
    let fires = ids.iter().flat_map(|id| chain(id, 3)).collect();
    let (calls, fired, given_up) = carry_out(fires, &["s13", "s77"], 1_000);
    assert_eq!(given_up, ["s13", "s77"]);
    let others = ids.iter().filter(|id| !["s13", "s77"].contains(&id.as_str()));
    let expected: Vec<_> = others.flat_map(|id| (1..=3).map(|slot| (id.clone(), slot))).collect();
    assert_eq!(fired, expected);
    assert!(calls <= 40, "{calls} calls");
}

#[test]
fn a_queue_that_takes_little_in_a_call_gets_little_in_a_call() {
    let fires = chain("a", 100).into_iter().chain(chain("b", 2)).collect();
    let (calls, fired, given_up) = carry_out(fires, &[], 10);
    assert_eq!((fired.len(), given_up.len()), (102, 0));
    assert!(fired.is_sorted() && calls <= 50, "{calls} calls");
    let (calls, fired, given_up) = carry_out(chain("a", 9), &[], 1);
    assert_eq!((fired.len(), given_up.len()), (9, 0));
    assert!(calls <= 18, "{calls} calls");
}

#[test]
fn what_is_refused_is_told_from_what_failed() {
    assert!(is_refused(&Error::Check(CheckError::NoAttempts { item: 0 })) && !is_refused(&Error::Closed));
}
