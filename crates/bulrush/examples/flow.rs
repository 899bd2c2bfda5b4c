//! A flow that fans out and in again: the words of some texts are counted, each by a job of its own, and a parent adds the counts up.
//!
//! `cargo run -p bulrush --example flow`

use std::time::Duration;

use bulrush::model::{ChildFailure, ChildState};
use bulrush::{Client, Handlers, Job, Worker, WorkerOptions};
use serde::{Deserialize, Serialize};

#[derive(Serialize, Deserialize)]
struct Count {
    words: String,
}

impl Job for Count {
    const NAME: &'static str = "count";
    type Output = u64;
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let client = Client::connect("memory:").await?;
    let (counts, sums) = (client.queue("counts")?, client.queue("sums")?);
    let counting = Handlers::new().on(|job: Count, _| async move { Ok(job.words.split(' ').count() as u64) });
    // The parent reads what its children returned.
    let summing = Handlers::new().on_raw("sum", |ctx| async move {
        let mut sum = 0_u64;
        for child in ctx.children().await? {
            if let ChildState::Completed { result: Some(count) } = &child.state {
                sum += serde_json::from_slice::<u64>(count).unwrap_or_default();
            }
        }
        Ok(Some(sum.to_string().into()))
    });
    let workers = [
        Worker::start(&counts, counting, WorkerOptions::default()),
        Worker::start(&sums, summing, WorkerOptions::default()),
    ];

    let mut sum = sums.job("sum", "{}");
    for words in ["one two", "three", "four five six"] {
        let child = counts.typed(&Count { words: words.to_owned() })?;
        sum = sum.child(counts.name().clone(), child, ChildFailure::Fail);
    }
    let id = sums.add(sum).await?.id;
    let job = sums.wait_finished(&id, Duration::from_secs(10)).await?.ok_or("the job is gone")?;
    println!("{:?} words", job.output::<u64>()?);
    for worker in workers {
        worker.shutdown().await;
    }
    Ok(())
}
