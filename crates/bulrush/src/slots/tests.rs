//! Slots against an oracle that walks every minute of years and knows only what a clock on the wall shows, and single rules.

use super::*;
use crate::model::{JobId, ScheduleId};

const MINUTE: Millis = 60_000;
const HOUR: Millis = 60 * MINUTE;
const DAY: Millis = 24 * HOUR;

fn spec(recurrence: Recurrence) -> ScheduleSpec {
    let job = NewJob::new(JobId::new("a-1").unwrap(), "work", "{}");
    ScheduleSpec::new(ScheduleId::new("s").unwrap(), recurrence, &job).unwrap()
}

fn cron(expression: &str, zone: &str) -> ScheduleSpec {
    spec(Recurrence::Cron { expression: expression.into(), zone: zone.into() })
}

fn at(text: &str) -> Millis {
    text.parse::<Timestamp>().unwrap().as_millisecond() as Millis
}

fn shown(moments: &[Millis]) -> Vec<String> {
    moments.iter().map(|at| Timestamp::from_millisecond(*at as i64).unwrap().to_string()).collect()
}

/// What a field of a cron expression asks for, read as simply as can be: `*`, `a`, `a-b`, each with `/n`, in lists.
fn field(text: &str, min: i64, max: i64) -> Vec<i64> {
    let mut values = Vec::new();
    for part in text.split(',') {
        let (range, step) =
            part.split_once('/').map_or((part, 1), |(range, step)| (range, step.parse().unwrap()));
        let (from, to) = match range.split_once('-') {
            _ if range == "*" => (min, max),
            Some((from, to)) => (from.parse().unwrap(), to.parse().unwrap()),
            None => (range.parse().unwrap(), range.parse().unwrap()),
        };
        values.extend((from..=to).step_by(step));
    }
    values
}

/// A clock on a wall, looked at every minute.
struct Walk {
    /// What it shows.
    shows: Vec<(Millis, DateTime)>,
    /// What it shows for the first time, and what it has jumped over since the last look.
    passes: Vec<(Millis, DateTime)>,
}

impl Walk {
    fn new(zone: &str, from: Millis, to: Millis) -> Self {
        let zone = ZONES.get(zone).unwrap();
        let civil_at = |moment: Millis| zone.to_datetime(Timestamp::from_millisecond(moment as i64).unwrap());
        let (mut shows, mut passes) = (Vec::new(), Vec::new());
        // Begun two days early, so that an hour that comes twice across `from` is known to be the second.
        let begin = from / MINUTE * MINUTE - 2 * DAY;
        let mut latest = civil_at(begin - MINUTE);
        for moment in (begin..=to).step_by(MINUTE as usize) {
            let civil = civil_at(moment);
            shows.push((moment, civil));
            while latest < civil {
                latest = latest.checked_add(1.minute()).unwrap();
                passes.push((moment, latest));
            }
        }
        shows.retain(|(moment, _)| *moment > from);
        passes.retain(|(moment, _)| *moment > from);
        Self { shows, passes }
    }

    /// The slots of five fields.
    fn slots(&self, expression: &str) -> Vec<Millis> {
        let fields: Vec<&str> = expression.split(' ').collect();
        let asked = [(0, 59), (0, 23), (1, 31), (1, 12), (0, 6)];
        let asked: Vec<Vec<i64>> =
            fields.iter().zip(asked).map(|(text, (min, max))| field(text, min, max)).collect();
        let either = fields[2] != "*" && fields[4] != "*";
        let matches = |civil: &DateTime| {
            let weekday = || i64::from(civil.weekday().to_sunday_zero_offset());
            let (day, of_week) =
                (asked[2].contains(&i64::from(civil.day())), || asked[4].contains(&weekday()));
            asked[0].contains(&i64::from(civil.minute()))
                && asked[1].contains(&i64::from(civil.hour()))
                && asked[3].contains(&i64::from(civil.month()))
                && if either { day || of_week() } else { day && of_week() }
        };
        let fixed = !fields[0].contains(['*', '/']) && !fields[1].contains(['*', '/']);
        let looked_at = if fixed { &self.passes } else { &self.shows };
        let mut slots: Vec<Millis> =
            looked_at.iter().filter(|(_, civil)| matches(civil)).map(|(moment, _)| *moment).collect();
        slots.dedup();
        slots
    }
}

const ZONES_TRIED: [&str; 7] = [
    "UTC",
    "Europe/Berlin",
    "America/New_York",
    "Australia/Lord_Howe",
    "America/Sao_Paulo",
    "Asia/Kolkata",
    "Pacific/Apia",
];

#[test]
fn every_slot_of_a_year_is_the_oracle_s_in_seven_zones_with_all_their_transitions() {
    let expressions = [
        "30 2 * * *",
        "0 2,14 * * *",
        "15,45 1-3 * * *",
        "0 0 * * *",
        "59 23 * * *",
        "*/15 * * * *",
        "30 * * * *",
        "0 */2 * * *",
        "* 2 * * *",
        "0 3 1 * *",
        "0 0 31 * 0",
        "20 0-2/2 * 3,10,11 *",
        "5 1 29 2 *",
    ];
    // Sao Paulo had daylight saving time until 2019, with a change at midnight; Apia left out a whole day at the end of 2011.
    for (from, to) in [
        ("2017-09-01T00:00:00Z", "2018-09-01T00:00:00Z"),
        ("2024-01-01T00:00:00Z", "2025-01-02T00:00:00Z"),
        ("2011-12-01T00:00:00Z", "2012-01-15T00:00:00Z"),
    ] {
        let (from, to) = (at(from), at(to));
        for zone in ZONES_TRIED {
            let walk = Walk::new(zone, from, to);
            for expression in expressions {
                let plan = Plan::of(&cron(expression, zone), 0).unwrap();
                let slots: Vec<Millis> = successors(plan.after(from), |slot| plan.after(*slot))
                    .take_while(|slot| *slot <= to)
                    .collect();
                let expected = walk.slots(expression);
                if slots != expected {
                    let place = slots.iter().zip(&expected).position(|(a, b)| a != b);
                    let place = place.unwrap_or(slots.len().min(expected.len()));
                    let near = |slots: &[Millis]| {
                        shown(&slots[place.saturating_sub(1)..(place + 3).min(slots.len())])
                    };
                    panic!("{expression:?} in {zone}: {:?}, expected {:?}", near(&slots), near(&expected));
                }
            }
        }
    }
}

#[test]
fn the_slot_after_any_moment_is_the_first_of_those_after_it() {
    let (from, to) = (at("2024-03-30T22:00:00Z"), at("2024-03-31T06:00:00Z"));
    for (from, to) in [(from, to), (at("2024-10-26T22:00:00Z"), at("2024-10-27T06:00:00Z"))] {
        let walk = Walk::new("Europe/Berlin", from, to + DAY);
        for expression in ["30 2 * * *", "0,30 2 * * *", "*/20 * * * *", "10 2,3 * * *"] {
            let plan = Plan::of(&cron(expression, "Europe/Berlin"), 0).unwrap();
            let slots = walk.slots(expression);
            for moment in (from..to).step_by(97_001) {
                assert_eq!(
                    plan.after(moment),
                    slots.iter().find(|slot| **slot > moment).copied(),
                    "{expression} after {moment}"
                );
            }
        }
    }
}

#[test]
fn a_fixed_time_in_a_gap_fires_right_after_it_and_in_an_overlap_once() {
    let plan = Plan::of(&cron("30 2 * * *", "Europe/Berlin"), 0).unwrap();
    let slots: Vec<Millis> =
        successors(plan.after(at("2026-03-28T12:00:00Z")), |slot| plan.after(*slot)).take(2).collect();
    assert_eq!(shown(&slots), ["2026-03-29T01:00:00Z", "2026-03-30T00:30:00Z"]);
    let slots: Vec<Millis> =
        successors(plan.after(at("2026-10-24T12:00:00Z")), |slot| plan.after(*slot)).take(2).collect();
    assert_eq!(shown(&slots), ["2026-10-25T00:30:00Z", "2026-10-26T01:30:00Z"]);
}

#[test]
fn seconds_weekdays_and_nearest_days_are_understood() {
    let first =
        |expression: &str| shown(&cron(expression, "UTC").preview(at("2026-01-01T00:00:00Z"), 1).unwrap());
    assert_eq!(first("*/20 * * * * *"), ["2026-01-01T00:00:20Z"]);
    assert_eq!(first("0 9 * * MON#2"), ["2026-01-12T09:00:00Z"]);
    assert_eq!(first("0 9 L * *"), ["2026-01-31T09:00:00Z"]);
    assert_eq!(first("0 9 31W * *"), ["2026-01-30T09:00:00Z"]);
    assert_eq!(first("0 9 * * 5L"), ["2026-01-30T09:00:00Z"]);
    assert_eq!(first("@daily"), ["2026-01-02T00:00:00Z"]);
    assert_eq!(first("@HOURLY"), ["2026-01-01T01:00:00Z"]);
    assert_eq!(first("0 12 13 * 5"), ["2026-01-02T12:00:00Z"], "either of both days");
    assert_eq!(first("0 0 29 2 *"), ["2028-02-29T00:00:00Z"]);
}

#[test]
fn what_is_no_cron_expression_is_refused_with_the_reason() {
    for bad in [
        "",
        " ",
        "* * * *",
        "60 * * * *",
        "*/0 * * * *",
        "@reboot",
        "@every 5m",
        "* * * * * * 2027",
        "a b c d e",
        "0 24 * * *",
        "1-0 * * * *",
        "* * 0 * *",
        "* * * 13 *",
        "🦀 * * * *",
        "0 0 * * 8",
        &"1,".repeat(5_000),
    ] {
        let refused = check(&Recurrence::Cron { expression: bad.into(), zone: "UTC".into() }, 0);
        let error = refused.expect_err(bad);
        assert!(matches!(error, ScheduleError::Cron { .. }), "{bad:?}: {error}");
        assert!(error.to_string().len() < 500, "{error}");
    }
}

#[test]
fn zones_are_those_of_the_iana_list_alone() {
    for good in ["UTC", "Etc/UTC", "Europe/Berlin", "America/Argentina/Buenos_Aires", "Australia/Lord_Howe"] {
        zone(good).unwrap();
    }
    for bad in [
        "Mars/Base",
        "EST5EDT",
        "",
        "../../etc/passwd",
        "/etc/localtime",
        "europe/berlin",
        "CET",
        "Local",
        "+02:00",
        &"a/".repeat(500),
    ] {
        let error = zone(bad).expect_err(bad);
        assert!(matches!(&error, ScheduleError::Zone { zone } if zone.len() <= 80), "{error}");
    }
}

#[test]
fn what_never_fires_has_no_slot_and_is_found_out_at_once() {
    for never in ["* * 31 2 *", "0 0 30 2 *", "0 0 31 4,6,9,11 *"] {
        for zone in ["UTC", "Europe/Berlin"] {
            assert_eq!(cron(never, zone).first_slot(at("2026-01-01T00:00:00Z")).unwrap(), None, "{never}");
        }
    }
    let over = cron("@daily", "UTC").end(at("2026-01-01T12:00:00Z"));
    assert_eq!(over.first_slot(at("2026-01-01T00:00:00Z")).unwrap(), None);
    let every = spec(Recurrence::Every { ms: 1_000, anchor: None });
    assert_eq!(every.first_slot(ScheduleSpec::MOMENT_MAX).unwrap(), None);
}

#[test]
fn slots_too_close_are_refused_by_the_minimum_that_is_asked_for() {
    let closest = |expression: &str, min| {
        check(&Recurrence::Cron { expression: expression.into(), zone: "UTC".into() }, min)
    };
    for (expression, ms) in [
        ("* * * * * *", 1_000),
        ("0,59 * * * * *", 1_000),
        ("*/5 * * * *", 300_000),
        ("0,50 * * * *", 600_000),
        ("0 0,23 * * *", HOUR),
        ("@daily", DAY),
    ] {
        closest(expression, ms).unwrap();
        let error = closest(expression, ms + 1).expect_err(expression);
        assert!(
            matches!(error, ScheduleError::Interval { ms: seen, .. } if seen == ms),
            "{expression}: {error}"
        );
    }
    let every = |ms| check(&Recurrence::Every { ms, anchor: None }, 1_000);
    for bad in [0, 1, 999, 1_000_000_000_000_000_000, u64::MAX] {
        every(bad).expect_err("out of range");
    }
    every(1_000).unwrap();
    check(&Recurrence::Every { ms: 0, anchor: None }, 0).expect_err("it would stand still");
}

#[test]
fn periods_are_whole_from_their_anchor_in_both_directions_and_start_after_now() {
    let every = |ms, anchor| spec(Recurrence::Every { ms, anchor });
    let three = |spec: &ScheduleSpec, now| spec.preview(now, 3).unwrap();
    assert_eq!(three(&every(10, None), 1_000), [1_010, 1_020, 1_030]);
    assert_eq!(three(&every(10, Some(3)), 1_000), [1_003, 1_013, 1_023]);
    assert_eq!(three(&every(10, Some(3)), 1_003), [1_013, 1_023, 1_033]);
    assert_eq!(three(&every(10, Some(5_003)), 1_000), [1_003, 1_013, 1_023]);
    assert_eq!(three(&every(10, None).start(2_000), 1_000), [2_000, 2_010, 2_020]);
    assert_eq!(three(&every(10, Some(3)).start(2_000), 1_000), [2_003, 2_013, 2_023]);
    assert_eq!(three(&every(10, None).end(1_025), 1_000), [1_010, 1_020]);
    assert_eq!(three(&every(10, None).limit(1), 1_000), [1_010]);
    // Periods follow elapsed time, whatever the clock on the wall does: nobody asks it.
}

#[test]
fn a_backlog_holds_the_newest_and_counts_the_rest_however_long_it_has_grown() {
    let every = Plan::of(&spec(Recurrence::Every { ms: 1_000, anchor: Some(0) }), 0).unwrap();
    let backlog = every.backlog(1_000, 5_500, 2);
    assert_eq!((backlog.newest, backlog.older), (VecDeque::from([4_000, 5_000]), 3));
    let backlog = every.backlog(1_000, 1_000_000_000_500, 3);
    assert_eq!(backlog.newest, [999_999_998_000, 999_999_999_000, 1_000_000_000_000]);
    assert_eq!(backlog.older, 999_999_997);

    let from = at("2024-01-01T00:00:00Z");
    let minutes = Plan::of(&cron("* * * * *", "Europe/Berlin"), 0).unwrap();
    let backlog = minutes.backlog(from, from + 90 * MINUTE + 1, 1_000);
    assert_eq!((backlog.newest.len(), backlog.older), (91, 0));
    // Longer than is counted: the newest are right all the same, and the count is a lower bound.
    let now = from + 30 * DAY;
    for max in [1, 7, 1_000] {
        let backlog = minutes.backlog(from, now, max);
        let expected: Vec<Millis> = (0..max as u64).rev().map(|n| now - n * MINUTE).collect();
        assert_eq!(backlog.newest, expected);
        assert!((COUNT_MAX - 1_000..=30 * 24 * 60).contains(&backlog.older), "{}", backlog.older);
    }
    // Bursts with a year between them.
    let bursts = Plan::of(&cron("* * 1 1 *", "UTC"), 0).unwrap();
    let backlog = bursts.backlog(from, at("2040-06-01T00:00:00Z"), 3);
    assert_eq!(
        shown(&backlog.newest.into_iter().collect::<Vec<_>>()),
        ["2040-01-01T23:57:00Z", "2040-01-01T23:58:00Z", "2040-01-01T23:59:00Z"]
    );
    let ended = Plan::of(&cron("@daily", "UTC").end(from + 2 * DAY), 0).unwrap();
    let backlog = ended.backlog(from, from + 9 * DAY, 2);
    assert_eq!((backlog.newest, backlog.older), (VecDeque::from([from + DAY, from + 2 * DAY]), 1));
}
