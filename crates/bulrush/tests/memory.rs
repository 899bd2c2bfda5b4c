//! The conformance suite on the backend in memory.

#[macro_use]
mod suite;

use std::sync::Arc;

use bulrush::backend::connect_with;
use suite::Rig;

async fn rig() -> Rig {
    Rig::open(|clock| {
        Box::pin(async { connect_with("memory:", clock).await.expect("memory can always be had") })
    })
    .await
}

conformance_suite!(rig);

/// Nothing that the suite holds other backends to may be taken for granted here: the queue it gets is empty and alone.
#[tokio::test]
async fn two_rigs_share_nothing() {
    let (one, two) = (rig().await, rig().await);
    one.add(suite::job("a")).await;
    assert!(Arc::strong_count(&one.backend) >= 1);
    assert_eq!(two.info().await.counts.total(), 0);
}
