//! Uploads, enrichment and features over real HTTP.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use crate::common::{Answer, DEADLINE, Fixture, Who, enrichment, form, start, start_at, start_with};
use bulrush::model::QueueName;
use bulrush_api::ApiConfig;
use bulrush_catalog::Catalog;
use bulrush_catalog::jobs::EnrichProperty;
use bulrush_sandbox::{Bucket, BucketFault, BucketOperation, BucketPlan};
use bulrush_store::{
    BucketKeys, BucketSettings, DailyWeather, DayFeatures, EntityKind, Place, Scope, Season, StoreError,
};
use futures_util::stream;
use jiff::civil::{Date, date};
use reqwest::Method;
use serde_json::{Value, json};

const PRICES: &[u8] =
    b"date,price,occupancy,note\n2024-01-01,120.5,80,a\n2024-01-02,99,65,b\n2024-01-03,140,90,c\n";
const SEATTLE: [(&str, &str); 5] = [
    ("name", "Pike Street Inn"),
    ("latitude", "47.61"),
    ("longitude", "-122.34"),
    ("countryCode", "us"),
    ("timeZone", "America/Los_Angeles"),
];

async fn uploaded(api: &Fixture, who: Who) -> (String, String) {
    let body = api.upload(who, &SEATTLE, "prices 2024.csv", PRICES).await.expect(201);
    (body["fileId"].as_str().unwrap().to_owned(), body["propertyId"].as_str().unwrap().to_owned())
}

async fn payload_of(api: &Fixture, id: &str) -> String {
    let queue = QueueName::new("enrichment").unwrap();
    let job = api.backend.get(&queue, &[Fixture::job_id(id)]).await.unwrap().pop().flatten().unwrap();
    String::from_utf8(job.spec.data.to_vec()).unwrap()
}

#[tokio::test]
async fn a_price_history_becomes_a_property_with_prices_and_a_file() {
    let api = start().await;
    let answer = api.upload(Who::Ada, &SEATTLE, "../../prices 2024.csv", PRICES).await;
    let body = answer.expect(201);
    let (file, property) = (body["fileId"].as_str().unwrap(), body["propertyId"].as_str().unwrap());
    assert_eq!(answer.header("location"), format!("/api/v1/files/{file}"));
    assert_eq!(
        body["priceHistory"],
        json!({
            "rows": 3, "firstDay": "2024-01-01", "lastDay": "2024-01-03", "metrics": ["price", "occupancy"],
            "ignoredColumns": ["note"],
        })
    );
    let read = api.get(Who::Ada, &format!("/api/files/{file}")).await.expect(200);
    assert_eq!(
        (&read["file"]["name"], &read["file"]["status"]),
        (&json!("prices 2024.csv"), &json!("completed"))
    );
    assert_eq!(
        (&read["file"]["size"], &read["file"]["propertyId"]),
        (&json!(PRICES.len()), &json!(property))
    );
    assert!(read["file"].get("objectKey").is_none() && !read.to_string().contains("uploads/"));
    let scope = Scope::owner("acme", "ada");
    let entity = api.store.entities().get(&scope, property).await.unwrap().unwrap().entity;
    assert_eq!((entity.name.as_str(), entity.country.as_deref()), ("Pike Street Inn", Some("US")));
    let zone = jiff::tz::TimeZone::get("America/Los_Angeles").unwrap();
    let days = api.store.observations().days(&scope, property, &zone).await.unwrap();
    assert_eq!(days, [date(2024, 1, 1), date(2024, 1, 2), date(2024, 1, 3)], "each on its own day, there");
    let occupancy =
        api.store.observations().range(&scope, property, "occupancy", (0, i64::MAX), 10).await.unwrap();
    assert!((occupancy[0].value - 0.8).abs() < 1e-9);
}

#[tokio::test]
async fn a_malformed_csv_is_told_row_by_row_and_nothing_is_stored() {
    let api = start().await;
    let bad = b"date,price\n2024-01-01,120\n2024-01-02,a lot\n2024-13-01,3\n";
    let answer = api.upload(Who::Ada, &[("propertyId", "mine")], "prices.csv", bad).await;
    assert_eq!(answer.problem(422), "malformed_csv");
    let body = answer.json();
    assert!(
        body["detail"].as_str().unwrap().contains("row 3")
            && body["detail"].as_str().unwrap().contains("a lot"),
        "{body}"
    );
    let rows: Vec<(u64, &str)> = body["errors"]
        .as_array()
        .unwrap()
        .iter()
        .map(|error| (error["row"].as_u64().unwrap(), error["column"].as_str().unwrap()))
        .collect();
    assert_eq!(rows, [(3, "price"), (4, "date")]);
    assert_eq!(api.stored_objects(), 0);
    let owner = Scope::owner("acme", "ada");
    assert!(api.store.files().list(&owner, None, 10).await.unwrap().is_empty());
    assert_eq!(api.get(Who::Ada, "/api/v1/properties/mine/features").await.problem(404), "unknown_property");
    for (content, status, code) in [
        (&b""[..], 422, "malformed_csv"),
        (b"a,b\n1,2\n", 422, "malformed_csv"),
        (b"\x7fELF\x02\x01\x01\0", 415, "not_csv"),
        (b"PK\x03\x04\x14\0", 415, "not_csv"),
        (b"%PDF-1.7\n", 415, "not_csv"),
        (b"\xff\xfed\0a\0t\0e\0", 422, "malformed_csv"),
    ] {
        assert_eq!(
            api.upload(Who::Ada, &[], "prices.csv", content).await.problem(status),
            code,
            "{content:?}"
        );
    }
    assert_eq!(api.stored_objects(), 0);
}

#[tokio::test]
async fn a_form_that_is_not_the_form_is_refused() {
    let api = start().await;
    for (fields, field) in [
        (&[("latitude", "91"), ("longitude", "0")][..], "latitude"),
        (&[("latitude", "0x5A"), ("longitude", "0")], "latitude"),
        (&[("latitude", "1")], "latitude"),
        (&[("countryCode", "USA")], "countryCode"),
        (&[("timeZone", "Mars/Base")], "timeZone"),
        (&[("timeZone", "../../etc/passwd")], "timeZone"),
        (&[("colour", "red")], "colour"),
        (&[("name", "a"), ("name", "b")], "name"),
    ] {
        assert_eq!(api.upload(Who::Ada, fields, "p.csv", PRICES).await.fields(), [field], "{fields:?}");
    }
    let long = "x".repeat(2_000);
    assert_eq!(api.upload(Who::Ada, &[("name", &long)], "p.csv", PRICES).await.fields(), ["name"]);
    let send = async |content_type: &str, body: Vec<u8>| {
        let request =
            api.as_who(Who::Ada, Method::POST, "/api/v1/files").header("content-type", content_type);
        Answer::of(request.body(body).send().await.unwrap()).await
    };
    assert_eq!(send("text/csv", PRICES.to_vec()).await.problem(415), "unsupported_media_type");
    assert_eq!(send("multipart/form-data", PRICES.to_vec()).await.problem(400), "invalid_form");
    let (content_type, body) = form(&[], "p.csv", PRICES);
    assert_eq!(send(&content_type, body[..body.len() / 2].to_vec()).await.status, 400);
    let empty = b"--bulrush-test-boundary--\r\n".to_vec();
    assert_eq!(send(&content_type, empty).await.fields(), ["file"]);
    assert_eq!(api.upload(Who::Viewer, &[], "p.csv", PRICES).await.problem(403), "forbidden");
    assert_eq!(api.stored_objects(), 0);
}

#[tokio::test]
async fn an_upload_beyond_the_bound_is_refused_by_length_and_by_count() {
    let config = ApiConfig { upload_max: 10_000, ..ApiConfig::default() };
    let api = start_with(config, Catalog::default()).await;
    let big = vec![b'a'; 200_000];
    let announced = api.upload(Who::Ada, &[], "p.csv", &big).await;
    assert_eq!(announced.problem(413), "body_too_large");
    let just_more = [PRICES, &vec![b'\n'; 10_000]].concat();
    let counted = api.upload(Who::Ada, &[], "p.csv", &just_more).await;
    assert_eq!(counted.problem(413), "file_too_large");
    assert_eq!(api.stored_objects(), 0);
    assert_eq!(api.upload(Who::Ada, &[], "p.csv", PRICES).await.status, 201);
}

#[tokio::test]
async fn a_second_upload_of_a_property_adds_to_it_and_only_its_owner_can() {
    let api = start().await;
    let mine = [("propertyId", "hotel-1")];
    let first = api.upload(Who::Ada, &mine, "a.csv", PRICES).await.expect(201);
    let second = api
        .upload(Who::Ada, &mine, "b.csv", b"date,price\n2024-01-03,150\n2024-01-04,10\n")
        .await
        .expect(201);
    assert_eq!(first["propertyId"], second["propertyId"]);
    let property = first["propertyId"].as_str().unwrap();
    let scope = Scope::owner("acme", "ada");
    let prices = api.store.observations().range(&scope, property, "price", (0, i64::MAX), 10).await.unwrap();
    assert_eq!(prices.iter().map(|point| point.value).collect::<Vec<_>>(), [120.5, 99.0, 150.0, 10.0]);
    // Somebody else's name for it, and even its id, is somebody else's property.
    for name in ["hotel-1", property] {
        let other = api.upload(Who::OtherAda, &[("propertyId", name)], "c.csv", PRICES).await.expect(201);
        assert_ne!(other["propertyId"], property);
    }
    let prices = api.store.observations().range(&scope, property, "price", (0, i64::MAX), 10).await.unwrap();
    assert_eq!(prices.len(), 4);
    let moved = [("propertyId", "hotel-1"), ("timeZone", "Europe/Berlin")];
    assert_eq!(api.upload(Who::Ada, &moved, "d.csv", PRICES).await.fields(), ["timeZone"]);
}

#[tokio::test]
async fn an_upload_is_enriched_as_seed_003_asks_for_it() {
    let api = start().await;
    let (file, property) = uploaded(&api, Who::Ada).await;
    let answer = Answer::of(
        api.as_who(Who::Ada, Method::POST, &format!("/api/files/{file}/enrich")).send().await.unwrap(),
    )
    .await;
    let body = answer.expect(202);
    let id = body["jobId"].as_str().unwrap();
    assert_eq!(body, json!({"success": true, "jobId": id, "status": "queued"}));
    assert!(id.starts_with("enr-"));
    assert_eq!(answer.header("location"), format!("/api/jobs/{id}"));
    let payload: EnrichProperty = serde_json::from_str(&payload_of(&api, id).await).unwrap();
    assert_eq!((payload.property_id.as_str(), payload.user_id.as_str()), (property.as_str(), "ada"));
    assert_eq!(payload.country_code.as_deref(), Some("US"));
    assert!((payload.location.latitude - 47.61).abs() < 1e-9);
    let polled = api.get(Who::Ada, &format!("/api/jobs/{id}")).await.expect(200);
    assert_eq!((&polled["job"]["status"], &polled["job"]["progress"]), (&json!("waiting"), &json!(0)));

    let asked =
        json!({"location": {"latitude": 1, "longitude": 2}, "countryCode": "de", "propertyId": property});
    let body = api.post(Who::Ada, &format!("/api/v1/files/{file}/enrich"), &asked).await.expect(202);
    let payload: EnrichProperty =
        serde_json::from_str(&payload_of(&api, body["jobId"].as_str().unwrap()).await).unwrap();
    assert_eq!((payload.location.longitude, payload.country_code.as_deref()), (2.0, Some("DE")));
}

#[tokio::test]
async fn a_bad_wish_for_enrichment_is_told_and_a_foreign_one_is_unknown() {
    let api = start().await;
    let (file, property) = uploaded(&api, Who::Ada).await;
    let path = format!("/api/v1/files/{file}/enrich");
    for (body, field) in [
        (json!({"location": {"latitude": 91, "longitude": 0}}), "data.location.latitude"),
        (json!({"location": "Seattle"}), "data.location"),
        (json!({"countryCode": "USA"}), "data.countryCode"),
        (json!({"propertyId": "nobody's"}), "propertyId"),
        (json!({"propertyId": 7}), "propertyId"),
        (json!({"place": 1}), "place"),
    ] {
        assert_eq!(api.post(Who::Ada, &path, &body).await.fields(), [field], "{body}");
    }
    assert_eq!(api.post(Who::Ada, &path, &json!([1])).await.problem(400), "invalid_json");
    let foreign = api.post(Who::Bob, &path, &json!({})).await;
    let absent =
        api.post(Who::Bob, "/api/v1/files/00000000-0000-0000-0000-000000000000/enrich", &json!({})).await;
    assert_eq!((foreign.problem(404), &foreign.text), ("unknown_file".to_owned(), &absent.text));
    let nowhere = api.upload(Who::Ada, &[], "p.csv", PRICES).await.expect(201);
    let nowhere = format!("/api/v1/files/{}/enrich", nowhere["fileId"].as_str().unwrap());
    assert_eq!(api.post(Who::Ada, &nowhere, &json!({})).await.fields(), ["data.location"]);
    // Bob's own file, Ada's property.
    let (bobs, _) = uploaded(&api, Who::Bob).await;
    let stolen =
        api.post(Who::Bob, &format!("/api/v1/files/{bobs}/enrich"), &json!({"propertyId": property})).await;
    assert_eq!(stolen.fields(), ["propertyId"]);
    assert_eq!(api.depth("enrichment").await, 0);
}

#[tokio::test]
async fn an_enrichment_added_directly_is_about_a_property_of_the_caller() {
    let api = start().await;
    let (_, property) = uploaded(&api, Who::Ada).await;
    api.add(Who::Ada, "enrichment", &enrichment(&property)).await;
    let path = "/api/v1/queues/enrichment/jobs";
    for who in [Who::Bob, Who::OtherAda] {
        let foreign = api.post(who, path, &enrichment(&property)).await;
        let unknown = api.post(who, path, &enrichment("no-such-property")).await;
        assert_eq!((foreign.fields(), &foreign.text), (vec!["data.propertyId".to_owned()], &unknown.text));
    }
    let body = json!({"data": {"propertyId": "", "location": {"latitude": -91, "longitude": 181}, "countryCode": "🇺🇸"}});
    let fields = api.post(Who::Ada, path, &body).await.fields();
    assert_eq!(
        fields,
        ["data.propertyId", "data.location.latitude", "data.location.longitude", "data.countryCode"]
    );
    assert_eq!(api.depth("enrichment").await, 1);
    // The client's own name for a property is as good as its id.
    let named = api.upload(Who::Ada, &[("propertyId", "hotel-1")], "p.csv", PRICES).await.expect(201);
    let id = api.add(Who::Ada, "enrichment", &enrichment("hotel-1")).await;
    let payload: EnrichProperty = serde_json::from_str(&payload_of(&api, &id).await).unwrap();
    assert_eq!(payload.property_id, named["propertyId"].as_str().unwrap());
}

#[tokio::test]
async fn a_secret_in_a_payload_is_neither_stored_nor_shown() {
    let api = start().await;
    let (file, property) = uploaded(&api, Who::Ada).await;
    let secret = "canary-d41d8cd98f00b204";
    let mut body = enrichment(&property);
    body["data"]["calendarificApiKey"] = json!(secret);
    let direct = api.add(Who::Ada, "enrichment", &body).await;
    let by_file = json!({"calendarificApiKey": secret});
    let by_file = api.post(Who::Ada, &format!("/api/files/{file}/enrich"), &by_file).await.expect(202);
    for id in [direct.as_str(), by_file["jobId"].as_str().unwrap()] {
        let stored = payload_of(&api, id).await;
        assert!(stored.contains("sealed:v1:") && !stored.contains(secret), "{stored}");
        for who in [Who::Ada, Who::Viewer, Who::Admin] {
            let shown = api.get(who, &format!("/api/v1/jobs/{id}")).await;
            assert_eq!(shown.expect(200)["job"]["data"]["calendarificApiKey"], "***");
            assert!(!shown.text.contains("sealed"));
        }
    }
    let refused = json!({"data": {"calendarificApiKey": format!("{secret} \n")}});
    let refused = api.post(Who::Ada, "/api/v1/queues/enrichment/jobs", &refused).await;
    assert!(refused.status == 422 && !refused.text.contains(secret), "{}", refused.text);
}

fn features_of(day: Date) -> DayFeatures {
    DayFeatures {
        day,
        weather: DailyWeather { temperature_max_c: Some(9.5), ..DailyWeather::default() },
        public_holiday: (day.day() == 1).then(|| "New Year's Day".to_owned()),
        school_holiday: None,
        days_to_holiday: Some(0),
        days_since_holiday: None,
        long_weekend: false,
        weekday: 1,
        weekend: false,
        month: 1,
        season: Season::Winter,
        iso_week: 1,
    }
}

#[tokio::test]
async fn what_enrichment_made_is_read_by_the_owner_with_what_was_observed() {
    let api = start().await;
    let (_, property) = uploaded(&api, Who::Ada).await;
    let path = format!("/api/v1/properties/{property}/features");
    let before = api.get(Who::Ada, &path).await.expect(200);
    assert_eq!((&before["total"], &before["features"]), (&json!(0), &json!([])));
    let days = [date(2024, 1, 1), date(2024, 1, 2), date(2024, 1, 3)].map(features_of);
    let written: Result<(), StoreError> =
        api.store.write(async |tx| api.store.features().upsert(tx, &property, &days).await).await;
    written.unwrap();
    let body = api.get(Who::Ada, &path).await.expect(200);
    assert_eq!((&body["total"], body["features"].as_array().unwrap().len()), (&json!(3), 3));
    let first = &body["features"][0];
    assert_eq!((&first["day"], &first["publicHoliday"]), (&json!("2024-01-01"), &json!("New Year's Day")));
    assert_eq!(first["weather"]["temperatureMaxC"], 9.5);
    assert_eq!(first["observed"], json!({"price": 120.5, "occupancy": 0.8}));
    let page = api.get(Who::Ada, &format!("{path}?limit=2")).await.expect(200);
    assert_eq!((page["features"].as_array().unwrap().len(), &page["next"]), (2, &json!("2024-01-03")));
    let rest = api.get(Who::Ada, &format!("{path}?from=2024-01-03&to=2030-01-01")).await.expect(200);
    assert_eq!((rest["features"].as_array().unwrap().len(), &rest["next"]), (1, &Value::Null));
    let none = api.get(Who::Ada, &format!("{path}?from=2025-01-01")).await.expect(200);
    assert_eq!(none["features"], json!([]));
    for (query, field) in
        [("from=yesterday", "from"), ("to=2024-02-30", "to"), ("limit=0", "limit"), ("limit=1001", "limit")]
    {
        assert_eq!(api.get(Who::Ada, &format!("{path}?{query}")).await.fields(), [field]);
    }
    api.get(Who::Viewer, &path).await.expect(200);
    for who in [Who::Bob, Who::OtherAda] {
        let foreign = api.get(who, &path).await;
        let absent = api.get(who, "/api/v1/properties/no-such-property/features").await;
        assert_eq!((foreign.problem(404), &foreign.text), ("unknown_property".to_owned(), &absent.text));
    }
}

#[tokio::test]
async fn files_of_others_and_odd_ids_are_unknown() {
    let api = start().await;
    let (file, _) = uploaded(&api, Who::Ada).await;
    let absent = api.get(Who::Bob, "/api/v1/files/00000000-0000-0000-0000-000000000000").await;
    for (who, id) in [
        (Who::Bob, file.as_str()),
        (Who::OtherAda, &file),
        (Who::Ada, "..%2f..%2fetc"),
        (Who::Ada, &"x".repeat(500)),
    ] {
        let answer = api.get(who, &format!("/api/v1/files/{id}")).await;
        assert_eq!((answer.problem(404), &answer.text), ("unknown_file".to_owned(), &absent.text));
    }
    api.get(Who::Viewer, &format!("/api/v1/files/{file}")).await.expect(200);
}

#[tokio::test]
async fn a_file_is_downloaded_as_it_came_by_whoever_may_see_it() {
    let api = start().await;
    let body = api.upload(Who::Ada, &SEATTLE, "../=cmd\u{202e}.csv", PRICES).await.expect(201);
    let path = format!("/api/v1/files/{}/download", body["fileId"].as_str().unwrap());
    for who in [Who::Ada, Who::Viewer, Who::Admin] {
        let answer = api.get(who, &path).await;
        assert_eq!((answer.status, answer.text.as_bytes()), (200, PRICES));
        let name = answer.header("content-disposition").strip_prefix("attachment; filename=\"").unwrap();
        assert!(
            name.trim_end_matches('"').bytes().all(|b| b.is_ascii_alphanumeric() || b"._-".contains(&b)),
            "{name}"
        );
        assert_eq!(answer.header("content-length"), PRICES.len().to_string());
        assert_eq!(answer.header("x-content-type-options"), "nosniff");
        assert!(answer.header("cache-control").contains("no-store"));
    }
    for who in [Who::Bob, Who::OtherAda] {
        assert_eq!(api.get(who, &path).await.problem(404), "unknown_file");
    }
    for range in ["bytes=0-", "bytes=0-,0-", &format!("bytes={}", "0-,".repeat(1_000))] {
        let request = api.as_who(Who::Ada, Method::GET, &path).header("range", range).send().await.unwrap();
        assert_eq!(Answer::of(request).await.status, 200, "ranges are not served: the whole file is");
    }
}

#[tokio::test]
async fn reads_are_answered_from_the_cache_within_a_scope_and_no_longer_than_it_is_good() {
    let config = ApiConfig { read_cache: std::time::Duration::from_hours(1), ..ApiConfig::default() };
    let api = start_with(config, Catalog::default()).await;
    let (_, property) = uploaded(&api, Who::Ada).await;
    let path = format!("/api/v1/properties/{property}/features");
    let before = api.get(Who::Ada, &path).await;
    assert_eq!(before.expect(200)["total"], 0);
    let scope = Scope::owner("acme", "ada");
    for who in [Who::Bob, Who::OtherAda] {
        assert_eq!(api.get(who, &path).await.problem(404), "unknown_property", "nobody else's answer is his");
    }
    let known = api.as_who(Who::Ada, Method::GET, &path).header("if-none-match", before.header("etag"));
    assert_eq!(known.send().await.unwrap().status(), 304);
    // Something changes that the answer does not show yet; another question is answered anew.
    let entities = api.store.entities();
    let gone = api.store.write::<_, StoreError, _>(async |tx| entities.delete(tx, &scope, &property).await);
    assert!(gone.await.unwrap());
    assert_eq!(api.get(Who::Ada, &path).await.text, before.text);
    assert_eq!(api.get(Who::Ada, &format!("{path}?limit=5")).await.problem(404), "unknown_property");
}

/// A server whose files are in a bucket of the sandbox.
async fn start_with_bucket() -> (Fixture, Bucket) {
    let bucket = Bucket::start("files", "test-key").await.unwrap();
    let keys = BucketKeys { access_key: "test-key".into(), secret_key: "secret".into(), session_token: None };
    let place = Place::Bucket(BucketSettings {
        bucket: "files".into(),
        prefix: "api".into(),
        endpoint: Some(bucket.endpoint()),
        region: None,
        keys: Some(keys),
        path_style: true,
    });
    (start_at(&place).await, bucket)
}

/// A price history of at least `bytes` bytes.
fn long_history(bytes: usize) -> Vec<u8> {
    let mut text = b"date,price,note\n".to_vec();
    let mut day = date(1970, 1, 1);
    while text.len() < bytes {
        text.extend(format!("{day},120.5,{}\n", "x".repeat(1_000)).into_bytes());
        day = day.tomorrow().unwrap();
    }
    text
}

#[tokio::test]
async fn files_come_and_go_by_a_bucket_as_by_a_folder() {
    let (api, bucket) = start_with_bucket().await;
    let large = long_history(9 << 20);
    for (content, parts) in [(PRICES, 0), (&large[..], 2)] {
        let file = api.upload(Who::Ada, &[], "p.csv", content).await.expect(201);
        let id = file["fileId"].as_str().unwrap();
        let path = format!("/api/v1/files/{id}/download");
        let back = api.as_who(Who::Ada, Method::GET, &path).send().await.unwrap();
        assert_eq!(back.status(), 200);
        assert!(back.bytes().await.unwrap() == content);
        assert_eq!(bucket.counts().parts.len(), parts);
    }
    assert_eq!(bucket.keys().len(), 2);
    assert_eq!(api.upload(Who::Ada, &[], "p.csv", b"PK\x03\x04").await.problem(415), "not_csv");
    assert_eq!((bucket.keys().len(), bucket.open_uploads()), (2, 0), "nothing is left of what was refused");
}

#[tokio::test]
async fn a_client_that_goes_away_half_way_leaves_nothing_in_the_bucket() {
    let (api, bucket) = start_with_bucket().await;
    let (content_type, body) = form(&[], "p.csv", &long_history(20 << 20));
    let half = body[..10 << 20].to_vec();
    let pieces = stream::iter([Ok(half), Err(std::io::Error::other("gone"))]);
    let request = api.as_who(Who::Ada, Method::POST, "/api/v1/files").header("content-type", content_type);
    let sent = request.body(reqwest::Body::wrap_stream(pieces)).send().await;
    assert!(sent.is_err() || sent.unwrap().status() == 400);
    let left = async {
        while bucket.open_uploads() > 0 || !bucket.keys().is_empty() {
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(DEADLINE, left).await.expect("nothing is left behind");
}

#[tokio::test]
async fn a_bucket_that_is_away_is_told_by_readiness_and_by_uploads_and_by_nothing_else() {
    let (api, bucket) = start_with_bucket().await;
    let file = api.upload(Who::Ada, &[], "p.csv", PRICES).await.expect(201);
    for operation in [BucketOperation::List, BucketOperation::Put, BucketOperation::Get] {
        let fault = BucketFault::Refuse { status: 503, code: "SlowDown" };
        bucket.fail(BucketPlan { operation, after: 0, count: 1_000, fault });
    }
    let refused = api.upload(Who::Ada, &[], "p.csv", PRICES).await;
    assert_eq!(refused.problem(503), "unavailable");
    assert!(
        !refused.header("retry-after").is_empty() && !refused.text.contains("127.0.0.1"),
        "{}",
        refused.text
    );
    let path = format!("/api/v1/files/{}", file["fileId"].as_str().unwrap());
    assert_eq!(api.get(Who::Ada, &format!("{path}/download")).await.status, 503);
    assert_eq!(api.get(Who::Ada, &path).await.status, 200, "its row is in the database");
    let ready = api.request(Method::GET, "/health/ready").send().await.unwrap();
    let ready = Answer::of(ready).await.expect(503);
    assert_eq!(ready["reasons"][0]["check"], "files", "{ready}");
    bucket.heal();
    let deadline = tokio::time::Instant::now() + DEADLINE;
    loop {
        let ready = api.request(Method::GET, "/health/ready").send().await.unwrap();
        if ready.status() == 200 {
            break;
        }
        assert!(tokio::time::Instant::now() < deadline, "it recovers by itself");
    }
    api.upload(Who::Ada, &[], "p.csv", PRICES).await.expect(201);
}

#[tokio::test]
async fn an_upload_that_is_to_be_enriched_is_kept_with_its_job_or_not_at_all() {
    let api = start().await;
    let csv = b"date,price\n2024-01-01,100\n2024-01-02,101\n";
    let place = [("latitude", "47.3"), ("longitude", "11.4"), ("countryCode", "AT")];
    let with = |enrich: &'static str, place: &[(&'static str, &'static str)]| {
        let mut fields = vec![("propertyId", "inn"), ("enrich", enrich)];
        fields.extend(place);
        fields
    };
    assert_eq!(api.upload(Who::Ada, &with("yes", &place), "p.csv", csv).await.fields(), ["enrich"]);
    assert_eq!(api.upload(Who::Ada, &with("true", &[]), "p.csv", csv).await.fields(), ["latitude"]);
    assert_eq!((api.depth("enrichment").await, api.stored_objects()), (0, 0), "nothing is left of either");
    let plain = api.upload(Who::Ada, &with("false", &place), "p.csv", csv).await.expect(201);
    assert_eq!((&plain["enrichment"], api.depth("enrichment").await), (&Value::Null, 0));

    let uploaded = api.upload(Who::Ada, &with("true", &place), "p.csv", csv).await.expect(201);
    assert_eq!(uploaded["enrichment"]["status"], "queued");
    let job = uploaded["enrichment"]["jobId"].as_str().unwrap();
    let job = api.get(Who::Ada, &format!("/api/v1/jobs/{job}")).await.expect(200)["job"].clone();
    let expected = json!({
        "propertyId": uploaded["propertyId"], "userId": "ada", "countryCode": "AT",
        "location": {"latitude": 47.3, "longitude": 11.4},
    });
    assert_eq!((&job["data"], &job["status"]), (&expected, &json!("waiting")));
    assert_eq!(api.store.outbox().lag().await.unwrap().unsent, 0, "it was handed over");
}

#[tokio::test]
async fn a_job_that_the_engine_cannot_take_now_stays_in_the_outbox() {
    let api = start().await;
    api.backend.close().await.unwrap();
    let fields = [("propertyId", "inn"), ("enrich", "true"), ("latitude", "47.3"), ("longitude", "11.4")];
    let csv = b"date,price\n2024-01-01,100\n";
    let uploaded = api.upload(Who::Ada, &fields, "p.csv", csv).await.expect(201);
    let rows = api.store.outbox().pending(None, 10).await.unwrap();
    assert_eq!(rows.len(), 1);
    let queue = api.catalog.find(&rows[0].queue).unwrap();
    let id = bulrush_catalog::OutboxJob::id(queue, &rows[0].id);
    assert_eq!(uploaded["enrichment"]["jobId"], id.as_str());
}

#[tokio::test]
async fn a_product_s_demand_comes_in_with_what_is_known_of_the_product() {
    let api = start().await;
    let fields = [
        ("kind", "product"),
        ("productId", "tea"),
        ("timeZone", "Europe/Berlin"),
        ("unitCost", "2.5"),
        ("leadTimeDays", "14"),
        ("onHand", "120"),
    ];
    let csv = b"date,Units,Price,note\n2024-01-02,7,3.5,a\n2024-01-01,5,,b\n";
    let body = api.upload(Who::Ada, &fields, "tea.csv", csv).await.expect(201);
    let product = body["productId"].as_str().unwrap();
    assert!(body.get("propertyId").is_none() && body.get("priceHistory").is_none());
    assert_eq!(
        body["series"],
        json!({"rows": 2, "firstDay": "2024-01-01", "lastDay": "2024-01-02", "metrics": ["demand", "price"],
               "ignoredColumns": ["note"]})
    );
    let path = format!("/api/v1/files/{}", body["fileId"].as_str().unwrap());
    for file in [&body["file"], &api.get(Who::Ada, &path).await.expect(200)["file"]] {
        assert_eq!((&file["productId"], &file["propertyId"]), (&json!(product), &Value::Null));
    }
    let scope = Scope::owner("acme", "ada");
    let entity = api.store.entities().get(&scope, product).await.unwrap().unwrap().entity;
    assert_eq!((entity.kind, entity.name.as_str()), (EntityKind::Product, "tea"));
    assert_eq!(
        Value::Object(entity.attributes),
        json!({"unitCost": 2.5, "leadTimeDays": 14.0, "onHand": 120.0})
    );
    let demand = api.store.observations().range(&scope, product, "demand", (0, i64::MAX), 10).await.unwrap();
    let midnight = "2023-12-31T23:00:00Z".parse::<jiff::Timestamp>().unwrap().as_millisecond();
    assert_eq!((demand[0].ts_ms, demand[0].value, demand[1].value), (midnight, 5.0, 7.0));

    // What is said again is replaced, and what is not stays.
    let again = [("kind", "product"), ("entityId", "tea"), ("onHand", "80"), ("leadTimeSdDays", "2")];
    let more = api.upload(Who::Ada, &again, "tea.csv", b"date,demand\n2024-01-02,9\n").await.expect(201);
    assert_eq!(more["productId"], product);
    let entity = api.store.entities().get(&scope, product).await.unwrap().unwrap().entity;
    assert_eq!(
        Value::Object(entity.attributes),
        json!({"unitCost": 2.5, "leadTimeDays": 14.0, "leadTimeSdDays": 2.0, "onHand": 80.0})
    );
    // A property of the same name is another thing, and somebody else's name for a product another product.
    let inn = api.upload(Who::Ada, &[("propertyId", "tea")], "p.csv", PRICES).await.expect(201);
    let theirs =
        api.upload(Who::OtherAda, &again, "tea.csv", b"date,demand\n2024-01-02,1\n").await.expect(201);
    assert_ne!(inn["propertyId"], product);
    assert_ne!(theirs["productId"], product);
    // Weather is for properties.
    let enrich = api.post(Who::Ada, &format!("{path}/enrich"), &json!({})).await;
    assert_eq!(enrich.fields(), ["propertyId"]);
}

#[tokio::test]
async fn a_publisher_s_traffic_comes_in_by_its_own_clock() {
    let api = start().await;
    let fields = [("kind", "publisher"), ("publisherId", "pub-1"), ("timeZone", "Europe/Berlin")];
    let csv = b"date,hour,impressions,clicks,revenue,requests\n2024-10-27,2,100,1,0.5,200\n2024-10-27,2,50,2,0.25,\n";
    let body = api.upload(Who::Ada, &fields, "traffic.csv", csv).await.expect(201);
    let publisher = body["publisherId"].as_str().unwrap();
    assert_eq!(
        body["series"],
        json!({"rows": 2, "firstDay": "2024-10-27", "lastDay": "2024-10-27",
               "metrics": ["impressions", "clicks", "revenue", "requests"], "ignoredColumns": []})
    );
    let scope = Scope::owner("acme", "ada");
    let of = async |metric: &str| {
        let points =
            api.store.observations().range(&scope, publisher, metric, (0, i64::MAX), 10).await.unwrap();
        points.iter().map(|point| (point.ts_ms / 3_600_000, point.value)).collect::<Vec<_>>()
    };
    let hour = "2024-10-27T00:00:00Z".parse::<jiff::Timestamp>().unwrap().as_second() / 3_600;
    assert_eq!(of("impressions").await, [(hour, 100.0), (hour + 1, 50.0)]);
    assert_eq!(of("requests").await, [(hour, 200.0)]);
    let read = api.get(Who::Ada, "/api/v1/publishers/pub-1/rollups").await.expect(200);
    assert_eq!((&read["publisherId"], &read["timeZone"]), (&json!(publisher), &json!("Europe/Berlin")));

    // The clock of a publisher that is known is that of its rows.
    let spring = b"timestamp,clicks\n2024-03-31T02:30,1\n";
    let answer = api.upload(Who::Ada, &[("kind", "publisher"), ("entityId", "pub-1")], "t.csv", spring).await;
    assert_eq!(answer.problem(422), "malformed_csv");
    let body = answer.json();
    assert!(
        body["detail"].as_str().unwrap().starts_with("The file is not a publisher's traffic: row 2"),
        "{body}"
    );
    assert_eq!((&body["errors"][0]["row"], &body["errors"][0]["column"]), (&json!(2), &json!("timestamp")));
}

#[tokio::test]
async fn a_form_that_mixes_kinds_is_refused() {
    let api = start().await;
    let inn = api.upload(Who::Ada, &[("propertyId", "inn")], "p.csv", PRICES).await.expect(201);
    let inn = inn["propertyId"].as_str().unwrap();
    let (product, publisher) = (("kind", "product"), ("kind", "publisher"));
    for (fields, field) in [
        (&[("kind", "hotel")][..], "kind"),
        (&[("productId", "tea")], "productId"),
        (&[product, ("propertyId", "tea")], "propertyId"),
        (&[product, ("productId", "tea"), ("entityId", "tea")], "productId"),
        (&[product, ("productId", inn)], "productId"),
        (&[("entityId", inn), publisher], "entityId"),
        (&[product, ("enrich", "true")], "enrich"),
        (&[publisher, ("onHand", "1")], "onHand"),
        (&[("unitCost", "1")], "unitCost"),
        (&[product, ("unitCost", "-1")], "unitCost"),
        (&[product, ("unitCost", "NaN")], "unitCost"),
        (&[product, ("leadTimeDays", "inf")], "leadTimeDays"),
        (&[product, ("leadTimeSdDays", "two")], "leadTimeSdDays"),
        (&[product, ("onHand", "1e300")], "onHand"),
    ] {
        let csv = b"date,demand,clicks,price\n2024-01-01,1,1,1\n";
        assert_eq!(api.upload(Who::Ada, fields, "p.csv", csv).await.fields(), [field], "{fields:?}");
    }
    let prices = api.upload(Who::Ada, &[product], "p.csv", PRICES).await;
    assert!(prices.expect(422)["detail"].as_str().unwrap().contains("no column for demand"));
    assert_eq!(api.stored_objects(), 1);
}
