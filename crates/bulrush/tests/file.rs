//! The conformance suite on the backend in a directory of files.

#[macro_use]
mod suite;

use bulrush::backend::connect_with;
use suite::Rig;

async fn rig() -> Rig {
    let folder = tempfile::tempdir().expect("a folder can be had");
    Rig::durable(move |clock| {
        let url = format!("file:{}", folder.path().display());
        Box::pin(async move { connect_with(&url, clock).await.expect("the store can be opened") })
    })
    .await
}

conformance_suite!(rig);
