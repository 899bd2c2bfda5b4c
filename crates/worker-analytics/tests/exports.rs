//! Exports: what is in them, whose they are, and what is left when they fail, are cancelled, or are made twice.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

#[path = "../../worker-enrichment/tests/common/mute.rs"]
#[allow(dead_code, unreachable_pub, reason = "it is shared with others, which use all of it")]
mod mute;

use std::io::Cursor;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use bulrush::clock::ManualClock;
use bulrush::model::{Backoff, JobId, JobState, JobView, QueueConfig};
use bulrush::{Client, Queue};
use bulrush_catalog::Catalog;
use bulrush_catalog::jobs::{Export, ExportEntity, ExportFormat, ExportResult};
use bulrush_service::{WorkerSettings, Workers};
use bulrush_store::{
    EntityKind, FileRow, FileState, NewEntity, Objects, Observation, Owner, Saved, Scope, Store, StoreError,
};
use bulrush_worker_analytics::{Dependencies, start};
use calamine::{Data, Reader as _};
use futures_util::TryStreamExt as _;
use serde_json::{Map, Value, json};
use tempfile::TempDir;

const DEADLINE: Duration = Duration::from_mins(1);
/// Noon of 2026-03-20, UTC.
const NOW_MS: u64 = 1_774_008_000_000;
const DAY_MS: i64 = 86_400_000;

struct World {
    store: Store,
    objects: Objects,
    client: Client,
    catalog: Catalog,
    folder: TempDir,
    deps: Dependencies,
}

impl World {
    async fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let store =
            Store::open(&format!("sqlite:{}", folder.path().join("store.db").display())).await.unwrap();
        store.migrate().await.unwrap();
        let objects = Objects::open(folder.path().join("files")).await.unwrap();
        let client = Client::connect("memory:").await.unwrap();
        let deps =
            Dependencies::new(store.clone(), objects.clone()).with_clock(Arc::new(ManualClock::at(NOW_MS)));
        let world = Self { store, objects, client, catalog: Catalog::default(), folder, deps };
        world.queue().configure(QueueConfig { lease_ms: 400, ..QueueConfig::default() }).await.unwrap();
        world
    }

    fn start(&self) -> Workers {
        start(&self.client, &self.deps, &WorkerSettings::named("test"))
    }

    fn queue(&self) -> Queue {
        let queue = self.catalog.find("export").unwrap();
        self.client.queue_with(queue.name().clone(), queue.options())
    }

    async fn thing(&self, id: &str, owner: &Owner, kind: EntityKind, attributes: Value) {
        let Value::Object(attributes) = attributes else { unreachable!("the tests give objects") };
        let entity = NewEntity {
            id: id.into(),
            owner: owner.clone(),
            kind,
            name: format!("={id}"),
            location: None,
            country: Some("US".into()),
            time_zone: Some("America/Los_Angeles".into()),
            attributes,
        };
        let saved: Result<Saved, StoreError> =
            self.store.write(async |tx| self.store.entities().save(tx, &entity).await).await;
        assert_eq!(saved.unwrap(), Saved::Yes);
    }

    /// Values of a metric from 2024-01-01T20:00Z on, one a day.
    async fn observe(&self, id: &str, metric: &str, count: i64) {
        let rows: Vec<Observation> = (0..count)
            .map(|n| Observation {
                metric: metric.into(),
                ts_ms: 1_704_139_200_000 + n * DAY_MS,
                value: 100.5 + n as f64,
            })
            .collect();
        let kept: Result<(), StoreError> =
            self.store.write(async |tx| self.store.observations().upsert(tx, id, &rows).await).await;
        kept.unwrap();
    }

    async fn add(&self, owner: &Owner, payload: &Export) -> JobId {
        let job = self.queue().typed(payload).unwrap();
        let job = job.owner(owner.tenant.clone(), owner.user.clone()).backoff(Backoff::fixed(1));
        self.queue().add(job).await.unwrap().id
    }

    async fn ended(&self, job: &JobId) -> JobView {
        let view = self.queue().wait_finished(job, DEADLINE).await.unwrap().unwrap();
        assert!(view.state().is_terminal(), "{job} did not end: {view:?}");
        view
    }

    async fn exported(&self, payload: &Export) -> (ExportResult, FileRow, Vec<u8>) {
        let job = self.add(&ada(), payload).await;
        let view = self.ended(&job).await;
        assert_eq!(view.state(), JobState::Completed, "{:?}", view.failed_reason());
        let result: ExportResult = view.output().unwrap().unwrap();
        let (row, bytes) = self.file(&job).await;
        assert_eq!((result.size, &result.sha256), (row.size, &row.sha256));
        assert_eq!(result.export_id, job.to_string());
        let document = self.store.results().get(&ada().into(), job.as_str()).await.unwrap().unwrap();
        assert_eq!(document.document, serde_json::to_value(&result).unwrap());
        (result, row, bytes)
    }

    async fn file(&self, job: &JobId) -> (FileRow, Vec<u8>) {
        let row = self.store.files().get(&ada().into(), job.as_str()).await.unwrap().unwrap();
        assert_eq!(row.state, FileState::Completed);
        let (size, bytes) = self.objects.get(&row.object_key).await.unwrap();
        let bytes: Vec<bytes::Bytes> = bytes.try_collect().await.unwrap();
        let bytes = bytes.concat();
        assert_eq!((size, row.size), (bytes.len() as u64, bytes.len() as u64));
        (row, bytes)
    }

    async fn text(&self, payload: &Export) -> String {
        String::from_utf8(self.exported(payload).await.2).unwrap()
    }

    /// Every file that the object store keeps.
    fn kept(&self) -> Vec<PathBuf> {
        files(&self.folder.path().join("files"))
    }
}

fn files(folder: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() { found.extend(files(&path)) } else { found.push(path) }
    }
    found
}

fn ada() -> Owner {
    Owner::new("acme", "ada")
}

fn export(entity: ExportEntity, format: ExportFormat) -> Export {
    Export {
        entity,
        format,
        property_id: None,
        publisher_id: None,
        product_id: None,
        start_date: None,
        end_date: None,
        filters: Map::new(),
        job_id: None,
        user_id: "ada".into(),
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_user_gets_what_is_theirs_and_nothing_else() {
    let world = World::new().await;
    let workers = world.start();
    world.thing("inn", &ada(), EntityKind::Property, json!({"stars": 4})).await;
    world.observe("inn", "price", 3).await;
    let bob = Owner::new("acme", "bob");
    world.thing("lodge", &bob, EntityKind::Property, json!({})).await;
    world.observe("lodge", "price", 3).await;

    let text = world.text(&export(ExportEntity::Observations, ExportFormat::Csv)).await;
    assert_eq!(
        text,
        "entityId,entityName,metric,time,day,value\r\n\
         inn,'=inn,price,2024-01-01T20:00:00Z,2024-01-01,100.5\r\n\
         inn,'=inn,price,2024-01-02T20:00:00Z,2024-01-02,101.5\r\n\
         inn,'=inn,price,2024-01-03T20:00:00Z,2024-01-03,102.5\r\n"
    );
    let text = world.text(&export(ExportEntity::Properties, ExportFormat::Ndjson)).await;
    let row: Value = serde_json::from_str(&text).unwrap();
    assert_eq!(
        (&row["id"], &row["name"], &row["attributes"]["stars"]),
        (&json!("inn"), &json!("=inn"), &json!(4))
    );
    // A file is its owner's, also for a neighbour of the same tenant.
    let (result, row, _) = world.exported(&export(ExportEntity::Properties, ExportFormat::Json)).await;
    assert!(world.store.files().get(&bob.into(), &result.export_id).await.unwrap().is_none());
    assert_eq!(row.name, "properties-2026-03-20.json");
    assert_eq!(result.file_path, format!("/api/v1/exports/{}/download", result.export_id));
    workers.shutdown().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn days_metrics_and_attributes_choose_rows() {
    let world = World::new().await;
    let workers = world.start();
    for (id, category) in [("tea", "beverages"), ("nut", "snacks")] {
        world.thing(id, &ada(), EntityKind::Product, json!({"category": category, "weight": 5.0})).await;
        world.observe(id, "demand", 40).await;
        world.observe(id, "stock", 2).await;
    }
    let mut payload = export(ExportEntity::Observations, ExportFormat::Csv);
    payload.product_id = Some("tea".into());
    payload.start_date = "2024-01-05".parse().ok();
    payload.end_date = "2024-01-06".parse().ok();
    payload.filters.insert("metric".into(), json!("demand"));
    let text = world.text(&payload).await;
    let days: Vec<&str> = text.lines().skip(1).map(|line| line.split(',').nth(4).unwrap()).collect();
    assert_eq!(days, ["2024-01-05", "2024-01-06"]);

    let mut payload = export(ExportEntity::Products, ExportFormat::Csv);
    payload.filters.insert("category".into(), json!("beverages"));
    payload.filters.insert("weight".into(), json!(5));
    let text = world.text(&payload).await;
    assert_eq!(text.lines().count(), 2, "{text}");
    assert!(text.contains("\r\ntea,product,'=tea,"), "{text}");
    workers.shutdown().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn more_rows_than_a_batch_holds_are_all_there_in_every_format() {
    let world = World::new().await;
    let workers = world.start();
    world.thing("inn", &ada(), EntityKind::Property, json!({})).await;
    world.observe("inn", "price", 12_001).await;
    let wanted = |format| export(ExportEntity::Observations, format);
    let (result, _, bytes) = world.exported(&wanted(ExportFormat::Csv)).await;
    let lines = String::from_utf8(bytes).unwrap();
    assert_eq!((result.rows, lines.lines().count()), (12_001, 12_002));
    let (_, _, bytes) = world.exported(&wanted(ExportFormat::Json)).await;
    let rows: Vec<Value> = serde_json::from_slice(&bytes).unwrap();
    assert_eq!((rows.len(), &rows[12_000]["value"]), (12_001, &json!(12_100.5)));

    let (result, row, bytes) = world.exported(&wanted(ExportFormat::Xlsx)).await;
    assert_eq!((result.rows, row.name.as_str()), (12_001, "observations-2026-03-20.xlsx"));
    let mut book: calamine::Xlsx<_> = calamine::open_workbook_from_rs(Cursor::new(bytes)).unwrap();
    let sheet = book.worksheet_range("Data 1").unwrap();
    assert_eq!(sheet.height(), 12_002);
    // Text stays text, whatever it begins with.
    assert_eq!(sheet.get((1, 1)), Some(&Data::String("=inn".into())));
    assert_eq!(sheet.get((12_001, 5)), Some(&Data::Float(12_100.5)));
    workers.shutdown().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nothing_to_export_is_a_file_without_rows() {
    let world = World::new().await;
    let workers = world.start();
    for format in [ExportFormat::Csv, ExportFormat::Json, ExportFormat::Ndjson, ExportFormat::Xlsx] {
        let (result, _, bytes) = world.exported(&export(ExportEntity::Features, format)).await;
        assert_eq!((result.rows, bytes.is_empty()), (0, format == ExportFormat::Ndjson), "{format:?}");
    }
    workers.shutdown().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_not_the_user_s_fails_at_once_and_the_row_says_why() {
    let world = World::new().await;
    let workers = world.start();
    world.thing("lodge", &Owner::new("globex", "ada"), EntityKind::Property, json!({})).await;
    let mut payload = export(ExportEntity::Observations, ExportFormat::Csv);
    payload.property_id = Some("lodge".into());
    let job = world.add(&ada(), &payload).await;
    let view = world.ended(&job).await;
    assert_eq!((view.state(), view.status.attempts_made), (JobState::Failed, 1));
    assert!(view.failed_reason().unwrap().contains("no property \"lodge\""), "{:?}", view.failed_reason());
    assert_eq!(world.kept(), Vec::<PathBuf>::new());
    workers.shutdown().await;
}

/// The store's one writer is the test, so that the job stands before its last write.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_cancelled_export_and_one_whose_row_was_removed_leave_no_file() {
    let world = World::new().await;
    world.thing("inn", &ada(), EntityKind::Property, json!({})).await;
    world.observe("inn", "price", 100).await;
    let payload = export(ExportEntity::Observations, ExportFormat::Csv);
    let job = world.add(&ada(), &payload).await;
    let writer = world.store.begin().await.unwrap();
    let workers = world.start();
    until_active(&world, &job).await;
    world.queue().cancel(&job).await.unwrap();
    assert_eq!(world.ended(&job).await.state(), JobState::Cancelled);
    drop(writer);
    assert_eq!(world.kept(), Vec::<PathBuf>::new());
    workers.shutdown().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_export_that_is_made_again_replaces_its_file() {
    let world = World::new().await;
    world.thing("inn", &ada(), EntityKind::Property, json!({})).await;
    world.observe("inn", "price", 1).await;
    let payload = export(ExportEntity::Observations, ExportFormat::Csv);
    let job = world.add(&ada(), &payload).await;
    // A worker that made the file and died before it could say so.
    let dying = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
    let mute = Client::new(mute::Mute::new(world.client.backend().clone()));
    let doomed = {
        let _entered = dying.enter();
        start(&mute, &world.deps, &WorkerSettings::named("doomed"))
    };
    let deadline = tokio::time::Instant::now() + DEADLINE;
    let first = loop {
        let row = world.store.files().get(&ada().into(), job.as_str()).await.unwrap();
        match row {
            Some(row) if row.state == FileState::Completed => break row,
            seen => {
                assert!(tokio::time::Instant::now() < deadline, "the file is not made; last seen: {seen:?}");
            }
        }
        tokio::time::sleep(Duration::from_millis(5)).await;
    };
    dying.shutdown_background();
    world.observe("inn", "price", 2).await;
    let workers = world.start();
    let view = world.ended(&job).await;
    assert_eq!((view.state(), view.status.stalls), (JobState::Completed, 1), "{view:?}");
    let (row, bytes) = world.file(&job).await;
    assert_eq!(String::from_utf8(bytes).unwrap().lines().count(), 3, "the second run's rows");
    assert_ne!(row.object_key, first.object_key);
    assert_eq!(world.kept().len(), 1, "the first file is gone");
    workers.shutdown().await;
    drop(doomed);
}

async fn until_active(world: &World, job: &JobId) {
    let deadline = tokio::time::Instant::now() + DEADLINE;
    loop {
        let view = world.queue().get(job).await.unwrap().unwrap();
        if view.state() == JobState::Active {
            return;
        }
        assert!(tokio::time::Instant::now() < deadline, "{job} is not taken; last seen: {view:?}");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

#[tokio::test]
async fn the_owner_of_all_is_nobody() {
    // A job that was added past the API has no owner, and sees nothing.
    let world = World::new().await;
    let workers = world.start();
    let job = world.queue().typed(&export(ExportEntity::Properties, ExportFormat::Csv)).unwrap();
    let id = world.queue().add(job).await.unwrap().id;
    let view = world.ended(&id).await;
    assert_eq!(view.state(), JobState::Failed);
    assert!(view.failed_reason().unwrap().contains("no owner"), "{:?}", view.failed_reason());
    assert!(world.store.files().get(&Scope::All, id.as_str()).await.unwrap().is_none());
    workers.shutdown().await;
}
