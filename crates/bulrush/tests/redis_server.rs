//! What a Redis server and the way to it may do to the backend, on the server's own clock.
#![cfg(feature = "redis")]

use std::collections::hash_map::RandomState;
use std::hash::{BuildHasher, Hasher};
use std::sync::Arc;
use std::time::Duration;

use bulrush::backend::{RedisOptions, connect, connect_redis_with};
use bulrush::model::{Finished, JobId, JobState, NewJob, Outcome, QueueName, WorkerId};
use bulrush::port::{Backend, Error, Renew, Resume, ServerFault, Settled, Step, WorkerInfo};
use deadpool_redis::redis::{Client, Value, cmd};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;

/// Longer than anything here takes.
const DEADLINE: Duration = Duration::from_secs(20);

fn address() -> String {
    let address = std::env::var("BULRUSH_TEST_REDIS").expect(
        "BULRUSH_TEST_REDIS names no server: run scripts/test, which starts one of its own, or set it to redis://HOST:PORT or \
         unix:///PATH of a server that may be filled with anything",
    );
    if address.starts_with('/') { format!("unix://{address}") } else { address }
}

fn namespace() -> String {
    format!("s{:016x}", RandomState::new().build_hasher().finish())
}

async fn open(namespace: &str) -> Arc<dyn Backend> {
    let options = RedisOptions { namespace: namespace.to_owned(), ..RedisOptions::default() };
    connect_redis_with(&address(), options).await.expect("the server can be reached")
}

fn main_queue() -> QueueName {
    QueueName::new("main").expect("a good name")
}

fn job(id: &str) -> NewJob {
    NewJob::new(JobId::new(id).expect("a good id"), "work", "{}")
}

fn info(worker: u64) -> WorkerInfo {
    WorkerInfo { id: WorkerId(worker), name: "w".into(), slots: 1, version: "1".into(), started: 0 }
}

async fn hello(backend: &Arc<dyn Backend>, worker: u64) {
    let resume = Resume { info: info(worker), call: 0, running: Vec::new() };
    backend.resume(&main_queue(), resume).await.expect("a worker can say hello");
}

/// Says something to the server beside the backend.
async fn tell(words: &[&str]) -> Value {
    let client = Client::open(address()).expect("a good address");
    let mut connection = client.get_multiplexed_async_connection().await.expect("the server can be reached");
    let mut call = cmd(words[0]);
    for word in &words[1..] {
        call.arg(*word);
    }
    call.query_async(&mut connection).await.expect("the server does it")
}

#[tokio::test]
async fn a_job_is_added_run_and_found_on_the_server_s_clock() {
    let backend = open(&namespace()).await;
    let queue = main_queue();
    let before = backend.now().await.expect("it has a clock");
    backend.add(&queue, vec![job("a"), job("b").delay_ms(50)]).await.expect("jobs can be added");
    hello(&backend, 1).await;
    let first = backend.step(&queue, Step::take(WorkerId(1), 1, 1)).await.expect("it can step");
    assert_eq!(first.taken.len(), 1);
    let outcome = Outcome::Complete { result: Some("[1]".into()), follow_ups: Vec::new() };
    let finished = vec![Finished { job: first.taken[0].clone(), outcome }];
    let second = backend.step(&queue, Step::settle(WorkerId(1), 2, finished)).await.expect("it can step");
    assert_eq!(second.settled, [Settled::Ok]);
    let renewed = backend.renew(&queue, Renew { info: info(1), rollup_seq: 0, rollups: Vec::new() });
    assert!(renewed.expect("it can renew").known);
    // The wait ends by itself when the delayed job is due.
    let mut call = 2;
    tokio::time::timeout(DEADLINE, async {
        loop {
            call += 1;
            let reply = backend.step(&queue, Step::take(WorkerId(1), call, 1)).await.expect("it can step");
            if !reply.taken.is_empty() {
                assert!(reply.now >= before + 50);
                return;
            }
            let until = reply.next_due.expect("a job is delayed");
            backend.wait(&queue, until).await.expect("it can wait");
        }
    })
    .await
    .expect("the delayed job starts");
    assert!(call < 20, "a wait by the server's clock ends when it should: {call} calls");
    let found = backend.get(&queue, &[JobId::new("a").expect("a good id")]).await.expect("it can be read");
    let found = found[0].as_ref().expect("it is there");
    assert_eq!((found.state(), found.status.result.as_deref()), (JobState::Completed, Some(&b"[1]"[..])));
    assert!(found.status.created_at >= before);
}

#[tokio::test]
async fn another_process_finds_what_one_has_left() {
    let space = namespace();
    let one = open(&space).await;
    one.add(&main_queue(), vec![job("a")]).await.expect("jobs can be added");
    one.close().await.expect("it can be closed");
    let two = open(&space).await;
    assert_eq!(two.queues().await.expect("queues can be listed"), [main_queue()]);
    assert_eq!(two.info(&main_queue()).await.expect("it can be read").counts.waiting, 1);
    let other = open(&namespace()).await;
    assert_eq!(
        other.queues().await.expect("queues can be listed"),
        [],
        "another namespace knows nothing of it"
    );
}

#[tokio::test]
async fn scripts_that_the_server_has_lost_are_given_again() {
    let backend = open(&namespace()).await;
    backend.add(&main_queue(), vec![job("a")]).await.expect("jobs can be added");
    hello(&backend, 1).await;
    let renew = || Renew { info: info(1), rollup_seq: 0, rollups: Vec::new() };
    backend.renew(&main_queue(), renew()).expect("it can renew");
    tell(&["SCRIPT", "FLUSH"]).await;
    backend.add(&main_queue(), vec![job("b")]).await.expect("jobs can be added");
    backend.renew(&main_queue(), renew()).expect("it can renew");
    assert_eq!(backend.info(&main_queue()).await.expect("it can be read").counts.waiting, 2);
}

#[tokio::test]
async fn settings_that_another_process_has_changed_are_learned_with_the_next_call() {
    let space = namespace();
    let (one, two) = (open(&space).await, open(&space).await);
    let queue = main_queue();
    one.add(&queue, vec![job("a")]).await.expect("jobs can be added");
    let mut config = two.info(&queue).await.expect("it can be read").config;
    config.default_priority = 9;
    config.bounds.data_bytes = 4;
    two.configure(&queue, config.clone()).await.expect("it can be set");
    one.add(&queue, vec![job("b")]).await.expect("jobs can be added");
    let large = NewJob { spec: bulrush::model::Spec { data: "[1,2,3]".into(), ..job("c").spec }, ..job("c") };
    let refused = one.add(&queue, vec![large.clone()]).await.expect_err("more than the queue takes");
    assert!(matches!(refused, Error::Check(_)), "{refused}");
    config.bounds.data_bytes = 100;
    two.configure(&queue, config).await.expect("it can be set");
    // What is refused by what was known here is looked at again.
    one.add(&queue, vec![large]).await.expect("the queue takes more by now");
    let found = one.get(&queue, &[JobId::new("b").expect("a good id")]).await.expect("it can be read");
    assert_eq!(found[0].as_ref().map(|job| job.spec.priority), Some(9));
    // A result too is checked by the bounds that hold, not by those that are known here.
    hello(&one, 1).await;
    let taken = one.step(&queue, Step::take(WorkerId(1), 1, 1)).await.expect("it can step").taken;
    let mut config = two.info(&queue).await.expect("it can be read").config;
    config.bounds.result_bytes = 4;
    two.configure(&queue, config).await.expect("it can be set");
    let outcome = Outcome::Complete { result: Some("[1,2,3]".into()), follow_ups: Vec::new() };
    let finished = vec![Finished { job: taken[0].clone(), outcome }];
    let refused = one.step(&queue, Step::settle(WorkerId(1), 2, finished)).await;
    assert!(matches!(refused, Err(Error::Bound(_))), "{refused:?}");
}

#[tokio::test]
async fn a_closed_connection_is_replaced_within_the_call() {
    // In a database of its own, by which its connections can be told from those of the tests beside it.
    let options = RedisOptions { namespace: namespace(), ..RedisOptions::default() };
    let backend = connect_redis_with(&in_database(7), options).await.expect("the server can be reached");
    let queue = main_queue();
    backend.add(&queue, vec![job("a")]).await.expect("jobs can be added");
    hello(&backend, 1).await;
    let renew = || Renew { info: info(1), rollup_seq: 0, rollups: Vec::new() };
    backend.renew(&queue, renew()).expect("it can renew");
    backend.info(&queue).await.expect("it can be read");
    let connections = connections_in(7).await;
    assert!(connections.len() >= 4, "two lines, a blocking one and the pool's: {connections:?}");
    for connection in connections {
        tell(&["CLIENT", "KILL", "ID", &connection]).await;
    }
    backend.add(&queue, vec![job("b")]).await.expect("jobs can be added");
    backend.step(&queue, Step::take(WorkerId(1), 1, 1)).await.expect("it can step");
    backend.renew(&queue, renew()).expect("it can renew");
    backend.info(&queue).await.expect("it can be read");
}

fn in_database(number: u8) -> String {
    let address = address();
    if address.starts_with("redis://") {
        format!("{address}/{number}")
    } else {
        format!("{address}?db={number}")
    }
}

/// Who is connected to a database.
async fn connections_in(number: u8) -> Vec<String> {
    let list = match tell(&["CLIENT", "LIST"]).await {
        Value::BulkString(list) => String::from_utf8_lossy(&list).into_owned(),
        Value::VerbatimString { text, .. } => text,
        other => panic!("{other:?} is no list"),
    };
    let here = format!(" db={number} ");
    let clients = list.lines().filter(|line| line.contains(&here));
    clients.filter_map(|line| line.strip_prefix("id=")?.split(' ').next().map(str::to_owned)).collect()
}

#[tokio::test]
async fn a_wake_up_that_its_worker_does_not_hear_goes_to_another() {
    let backend = open(&namespace()).await;
    let queue = main_queue();
    let until = backend.now().await.expect("it has a clock") + 60_000;
    for round in 0..30 {
        // A worker that gives up at about the moment at which the job comes.
        let waiting = tokio::spawn({
            let (backend, queue) = (backend.clone(), queue.clone());
            async move { backend.wait(&queue, until).await }
        });
        for _ in 0..round {
            tokio::task::yield_now().await;
        }
        let id = format!("j{round}");
        let (added, ()) = tokio::join!(backend.add(&queue, vec![job(&id)]), async {
            tokio::task::yield_now().await;
            waiting.abort();
        });
        added.expect("jobs can be added");
        let heard = waiting.await.is_ok();
        if !heard {
            let next = tokio::time::timeout(DEADLINE, backend.wait(&queue, until)).await;
            next.unwrap_or_else(|_| panic!("round {round}: the wake-up got lost")).expect("it can wait");
        }
        // The queue is empty again, so that the next add rings.
        let drain = bulrush::port::AdminCommand::Drain { delayed: false, limit: 10 };
        backend.admin(&queue, drain).await.expect("it can be emptied");
        tell_all_is_quiet(&backend, &queue).await;
    }
}

/// Takes the wake-ups that are left.
async fn tell_all_is_quiet(backend: &Arc<dyn Backend>, queue: &QueueName) {
    for _ in 0..3 {
        backend.wait(queue, 0).await.expect("a time that has come is no wait");
    }
}

#[tokio::test]
async fn waits_that_are_given_up_leave_no_connection_waiting() {
    let space = namespace();
    let backend = open(&space).await;
    let queue = main_queue();
    let until = backend.now().await.expect("it has a clock") + 60_000;
    for _ in 0..50 {
        let gave_up = tokio::time::timeout(Duration::from_millis(2), backend.wait(&queue, until)).await;
        assert!(gave_up.is_err(), "nothing wakes it");
    }
    backend.close().await.expect("it can be closed");
    let key = format!("{space}:{{main}}:wake");
    let ended = tokio::time::timeout(DEADLINE, async {
        // Whoever still waited would take this.
        loop {
            tell(&["LPUSH", &key, "1"]).await;
            if tell(&["LLEN", &key]).await == Value::Int(1) {
                return;
            }
        }
    });
    ended.await.expect("nobody waits any more");
}

#[tokio::test]
async fn what_answers_and_is_no_redis_says_so() {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port can be had");
    let address = format!("redis://{}", listener.local_addr().expect("it has an address"));
    tokio::spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            let mut request = [0; 256];
            let _ = stream.read(&mut request).await;
            let _ = stream.write_all(b"HTTP/1.1 400 Bad Request\r\nContent-Length: 0\r\n\r\n").await;
        }
    });
    let error = connect(&address).await.map(drop).expect_err("it is no Redis server");
    assert!(matches!(error, Error::Server { fault: ServerFault::NotRedis, .. }), "{error:?}");
}

#[tokio::test]
async fn a_server_that_is_too_old_is_refused_with_its_version_and_the_one_to_use() {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port can be had");
    let address = format!("redis://{}", listener.local_addr().expect("it has an address"));
    tokio::spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            tokio::spawn(async move {
                let mut request = [0; 4_096];
                while let Ok(n @ 1..) = stream.read(&mut request).await {
                    // Whole commands come at once; the name is the second line after the star's.
                    let text = String::from_utf8_lossy(&request[..n]).into_owned();
                    for command in text.split('*').skip(1) {
                        let reply: &[u8] = match command.lines().nth(2) {
                            Some("INFO") => b"$20\r\nredis_version:6.2.14\r\n",
                            Some("CONFIG") => b"-ERR unknown command 'CONFIG'\r\n",
                            Some("PING") => b"+PONG\r\n",
                            _ => b"+OK\r\n",
                        };
                        let _ = stream.write_all(reply).await;
                    }
                }
            });
        }
    });
    let error = connect(&address).await.map(drop).expect_err("it is too old");
    assert!(matches!(error, Error::Server { fault: ServerFault::Version, .. }), "{error:?}");
    let told = error.to_string();
    assert!(told.contains("6.2.14") && told.contains("7.0"), "{told}");
}

#[tokio::test]
async fn an_answer_that_is_cut_off_is_no_word_of_the_server() {
    // Each cut closes the connection in the middle of an answer, after what the one before has let through.
    let whole = b"+OK\r\n+OK\r\n$20\r\nredis_version:7.0.15\r\n";
    for end in 1..whole.len() {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port can be had");
        let address = format!("redis://{}", listener.local_addr().expect("it has an address"));
        let server = tokio::spawn(async move {
            while let Ok((mut stream, _)) = listener.accept().await {
                let mut request = [0; 1024];
                let _ = stream.read(&mut request).await;
                let _ = stream.write_all(&whole[..end]).await;
            }
        });
        let error = connect(&address).await.map(drop).expect_err("no answer is whole");
        assert!(error.is_transient(), "cut after {end} bytes: {error:?}");
        server.abort();
    }
}

#[tokio::test]
async fn a_server_that_does_not_answer_is_given_up_and_one_that_is_not_there_is_unreachable() {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port can be had");
    let there = listener.local_addr().expect("it has an address");
    let mute = tokio::spawn(async move {
        let mut held = Vec::new();
        while let Ok((stream, _)) = listener.accept().await {
            held.push(stream);
        }
    });
    let soon = Duration::from_millis(50);
    let options = RedisOptions { connect_within: soon, answer_within: soon, ..RedisOptions::default() };
    let url = format!("redis://:s3cret@{there}");
    let silent = connect_redis_with(&url, options.clone()).await.map(drop).expect_err("nobody answers");
    assert!(silent.is_transient() && !silent.to_string().contains("s3cret"), "{silent:?}");
    mute.abort();
    let _ = mute.await;
    let gone = connect_redis_with(&url, options).await.map(drop).expect_err("nobody is there");
    assert!(gone.is_transient(), "{gone:?}");
    let bad = RedisOptions { namespace: "a:{b}".into(), ..RedisOptions::default() };
    let refused =
        connect_redis_with(&url, bad).await.map(drop).expect_err("a key could not be told from its slot");
    assert!(matches!(&refused, Error::Url { .. }) && !refused.to_string().contains("s3cret"), "{refused}");
}

#[tokio::test]
async fn a_wrong_password_names_the_cure_and_not_the_password() {
    let address = address();
    let url = match address.split_once("://") {
        Some(("redis", host)) => format!("redis://ada:s3cret@{host}"),
        Some((scheme, path)) => format!("{scheme}://{path}?user=ada&pass=s3cret"),
        None => panic!("{address} is no address"),
    };
    let error = connect(&url).await.map(drop).expect_err("nobody has this password");
    assert!(matches!(error, Error::Server { fault: ServerFault::Password, .. }), "{error:?}");
    assert!(!error.to_string().contains("s3cret"), "{error}");
}
