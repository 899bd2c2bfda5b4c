//! The demo as a client of the API.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use anyhow::{Context as _, bail};
use jiff::Timestamp;
use jiff::civil::Date;
use reqwest::{Method, Response};
use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::{Value, json};

use super::history::{COUNTRY, LATITUDE, LONGITUDE};

/// Talks to the API with a token.
pub struct Client {
    http: reqwest::Client,
    base: String,
    token: String,
}

/// What an upload is answered with.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Uploaded {
    pub file_id: String,
    pub property_id: String,
}

/// A job's status.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Job {
    pub status: String,
    pub progress: u8,
    pub message: Option<String>,
    pub failed_reason: Option<String>,
}

/// An enriched day.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Day {
    #[serde(rename = "day")]
    pub date: Date,
    pub weather: Weather,
    pub public_holiday: Option<String>,
    pub school_holiday: Option<String>,
    pub days_to_holiday: Option<i64>,
    pub long_weekend: bool,
    pub season: String,
    pub observed: BTreeMap<String, f64>,
}

/// A day's weather.
#[derive(Debug, Deserialize)]
pub struct Weather {
    #[serde(rename = "temperatureMaxC", alias = "temperature_max_c")]
    pub temperature_max_c: Option<f64>,
    #[serde(rename = "temperatureMinC", alias = "temperature_min_c")]
    pub temperature_min_c: Option<f64>,
    #[serde(rename = "precipitationMm", alias = "precipitation_mm")]
    pub precipitation_mm: Option<f64>,
}

/// What competitors ask for a stay.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Comparison {
    pub currency: Option<String>,
    pub priced: usize,
    pub min: Option<f64>,
    pub median: Option<f64>,
    pub max: Option<f64>,
    pub our_price: Option<f64>,
    pub our_rank: Option<u64>,
    pub competitors: Vec<CompetitorPrice>,
}

/// The latest price of a competitor.
#[derive(Debug, Deserialize)]
pub struct CompetitorPrice {
    pub name: String,
    pub status: String,
    /// In the property's currency.
    pub price: Option<f64>,
    pub shown: Option<Shown>,
}

/// A price as it stands on a page.
#[derive(Debug, Deserialize)]
pub struct Shown {
    pub amount: f64,
    pub currency: String,
}

/// What an analysis found.
#[derive(Debug, Deserialize)]
pub struct Analysis {
    /// In sentences.
    pub summary: Vec<String>,
}

/// A forecast with its points.
#[derive(Debug, Deserialize)]
pub struct Forecast {
    pub forecast: Forecasted,
    pub points: Vec<ForecastPoint>,
}

/// How a forecast was made, and how well the same did on the past.
#[derive(Debug, Deserialize)]
pub struct Forecasted {
    pub season: Option<u32>,
    pub accuracy: Accuracy,
    pub details: Details,
}

/// Errors on the past.
#[derive(Debug, Deserialize)]
pub struct Accuracy {
    pub mape: Option<f64>,
    pub mase: f64,
    pub coverage80: f64,
    pub coverage95: f64,
}

/// What took part in a forecast.
#[derive(Debug, Deserialize)]
pub struct Details {
    pub models: Vec<Model>,
}

/// A model with its part.
#[derive(Debug, Deserialize)]
pub struct Model {
    pub model: String,
    pub weight: f64,
}

/// What is expected of a day.
#[derive(Debug, Clone, Copy, Deserialize)]
pub struct ForecastPoint {
    pub day: Date,
    pub mean: f64,
    pub low80: f64,
    pub high80: f64,
    pub low95: f64,
    pub high95: f64,
}

/// How a schedule stands.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Standing {
    pub fired: u64,
    pub over: bool,
    pub last_slot: Option<Timestamp>,
    pub last_job: Option<String>,
}

impl Client {
    /// A client of the API at `base`.
    pub fn new(base: &str, token: &str) -> anyhow::Result<Self> {
        // Installed already when an upstream's client was made; a second time changes nothing.
        let _ = rustls::crypto::ring::default_provider().install_default();
        let http = reqwest::Client::builder().no_proxy().build()?;
        Ok(Self { http, base: format!("{base}/api/v1"), token: token.to_owned() })
    }

    /// Uploads a price history with where it is from.
    pub async fn upload(&self, name: &str, csv: &str) -> anyhow::Result<Uploaded> {
        const BOUNDARY: &str = "bulrush-demo-7d93b1f0";
        let mut body = String::new();
        let place = [
            ("name", "Hotel by the airport".to_owned()),
            ("latitude", LATITUDE.to_string()),
            ("longitude", LONGITUDE.to_string()),
            ("countryCode", COUNTRY.to_owned()),
            ("timeZone", "America/Los_Angeles".to_owned()),
        ];
        for (field, value) in place {
            // Writing to a string cannot fail.
            let _ = write!(
                body,
                "--{BOUNDARY}\r\nContent-Disposition: form-data; name=\"{field}\"\r\n\r\n{value}\r\n"
            );
        }
        let _ = write!(
            body,
            "--{BOUNDARY}\r\nContent-Disposition: form-data; name=\"file\"; filename=\"{name}\"\r\n\
             Content-Type: text/csv\r\n\r\n{csv}\r\n--{BOUNDARY}--\r\n"
        );
        let request = self.http.post(format!("{}/files", self.base)).bearer_auth(&self.token);
        let request = request.header("content-type", format!("multipart/form-data; boundary={BOUNDARY}"));
        answer(request.body(body).send().await?).await
    }

    /// Asks for an upload's enrichment; returns the job's id.
    pub async fn enrich(&self, file: &str) -> anyhow::Result<String> {
        #[derive(Deserialize)]
        #[serde(rename_all = "camelCase")]
        struct Queued {
            job_id: String,
        }
        let request = self.http.post(format!("{}/files/{file}/enrich", self.base)).bearer_auth(&self.token);
        Ok(answer::<Queued>(request.send().await?).await?.job_id)
    }

    async fn send(&self, method: Method, target: &str, body: Option<&Value>) -> anyhow::Result<Response> {
        let request = self.http.request(method, format!("{}{target}", self.base)).bearer_auth(&self.token);
        Ok(match body {
            Some(body) => request.json(body),
            None => request,
        }
        .send()
        .await?)
    }

    /// Declares a competitor of a property, as the sandbox lists them: `{id, name, page}`.
    pub async fn declare(&self, property: &str, competitor: &Value) -> anyhow::Result<()> {
        let id = competitor["id"].as_str().context("the sandbox names its hotels")?;
        let body = json!({"name": competitor["name"], "page": competitor["page"]});
        let target = format!("/properties/{property}/competitors/{id}");
        answer::<Value>(self.send(Method::PUT, &target, Some(&body)).await?).await?;
        Ok(())
    }

    /// Adds a job; returns its id.
    pub async fn add(&self, queue: &str, name: &str, data: &Value) -> anyhow::Result<String> {
        #[derive(Deserialize)]
        struct Added {
            data: Id,
        }
        #[derive(Deserialize)]
        #[serde(rename_all = "camelCase")]
        struct Id {
            job_id: String,
        }
        let body = json!({"name": name, "data": data});
        let response = self.send(Method::POST, &format!("/queues/{queue}/jobs"), Some(&body)).await?;
        Ok(answer::<Added>(response).await?.data.job_id)
    }

    /// What the competitors of a property ask for the stay that was asked about last.
    pub async fn comparison(&self, property: &str) -> anyhow::Result<Comparison> {
        answer(self.send(Method::GET, &format!("/competitors/{property}"), None).await?).await
    }

    /// What the analysis of a job found.
    pub async fn analysis(&self, job: &str) -> anyhow::Result<Analysis> {
        #[derive(Deserialize)]
        struct Found {
            result: Analysis,
        }
        let response = self.send(Method::GET, &format!("/analytics/{job}"), None).await?;
        Ok(answer::<Found>(response).await?.result)
    }

    /// The forecast of a job.
    pub async fn forecast(&self, job: &str) -> anyhow::Result<Forecast> {
        answer(self.send(Method::GET, &format!("/forecasts/{job}"), None).await?).await
    }

    /// Asks for a file; returns the export's id, which is its job's.
    pub async fn export(&self, wanted: &Value) -> anyhow::Result<String> {
        #[derive(Deserialize)]
        #[serde(rename_all = "camelCase")]
        struct Added {
            export_id: String,
        }
        Ok(answer::<Added>(self.send(Method::POST, "/exports", Some(wanted)).await?).await?.export_id)
    }

    /// The bytes of an export.
    pub async fn download(&self, export: &str) -> anyhow::Result<Vec<u8>> {
        let response = self.send(Method::GET, &format!("/exports/{export}/download"), None).await?;
        if !response.status().is_success() {
            let status = response.status();
            bail!("the file was refused with {status}: {}", response.text().await.unwrap_or_default());
        }
        Ok(response.bytes().await?.to_vec())
    }

    /// Makes a schedule that asks for the competitors' prices every so many seconds, so many times; returns its id.
    pub async fn schedule(&self, stay: &Value, seconds: u64, times: u64) -> anyhow::Result<String> {
        #[derive(Deserialize)]
        struct Made {
            schedule: Id,
        }
        #[derive(Deserialize)]
        struct Id {
            id: String,
        }
        let body = json!({
            "queue": "competitor", "jobName": "scrape-prices", "data": stay,
            "every": format!("{seconds}s"), "limit": times,
        });
        Ok(answer::<Made>(self.send(Method::POST, "/schedules", Some(&body)).await?).await?.schedule.id)
    }

    /// How a schedule stands.
    pub async fn standing(&self, schedule: &str) -> anyhow::Result<Standing> {
        #[derive(Deserialize)]
        struct Found {
            schedule: Kept,
        }
        #[derive(Deserialize)]
        struct Kept {
            state: Standing,
        }
        let response = self.send(Method::GET, &format!("/schedules/{schedule}"), None).await?;
        Ok(answer::<Found>(response).await?.schedule.state)
    }

    /// A job's status.
    pub async fn job(&self, id: &str) -> anyhow::Result<Job> {
        #[derive(Deserialize)]
        struct Found {
            job: Job,
        }
        let request = self.http.get(format!("{}/jobs/{id}", self.base)).bearer_auth(&self.token);
        Ok(answer::<Found>(request.send().await?).await?.job)
    }

    /// The enriched days of a property.
    pub async fn features(&self, property: &str) -> anyhow::Result<Vec<Day>> {
        #[derive(Deserialize)]
        struct Page {
            features: Vec<Day>,
        }
        let request = self
            .http
            .get(format!("{}/properties/{property}/features?limit=1000", self.base))
            .bearer_auth(&self.token);
        Ok(answer::<Page>(request.send().await?).await?.features)
    }
}

/// The body of a good answer; of another, what the server says.
async fn answer<T: DeserializeOwned>(response: Response) -> anyhow::Result<T> {
    let (status, url) = (response.status(), response.url().path().to_owned());
    let body = response.bytes().await?;
    if !status.is_success() {
        bail!("{url} answered {status}: {}", String::from_utf8_lossy(&body));
    }
    serde_json::from_slice(&body).with_context(|| format!("{url} answered something else than expected"))
}
