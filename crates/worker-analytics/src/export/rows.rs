//! The rows of an export, read from the store batch by batch.

use bulrush_catalog::jobs::{Export, ExportEntity};
use bulrush_store::{DayFeatures, DayRange, Entity, EntityKind, NewEntity, Scope, Store};
use jiff::civil::Date;
use jiff::tz::TimeZone;
use jiff::{Timestamp, ToSpan as _};
use serde_json::Value;
use tokio::sync::mpsc::Sender;

use super::ExportError;
use super::table::{Batch, Cell, Columns, Row};

const THINGS: Columns = &[
    "id",
    "kind",
    "name",
    "latitude",
    "longitude",
    "country",
    "timeZone",
    "attributes",
    "createdAt",
    "updatedAt",
];
const OBSERVATIONS: Columns = &["entityId", "entityName", "metric", "time", "day", "value"];
const FEATURES: Columns = &[
    "entityId",
    "entityName",
    "day",
    "weekday",
    "weekend",
    "month",
    "season",
    "isoWeek",
    "publicHoliday",
    "schoolHoliday",
    "daysToHoliday",
    "daysSinceHoliday",
    "longWeekend",
    "temperatureMaxC",
    "temperatureMinC",
    "temperatureMeanC",
    "precipitationMm",
    "windSpeedMaxKmh",
    "sunshineS",
    "weatherCode",
];

/// Things of one look into the store.
const THINGS_PAGE: u32 = 500;
/// Observations of one look.
const POINTS_PAGE: u32 = 5_000;
/// Days of one look: a day has one row.
const DAYS_PAGE: i64 = 1_000;

/// Where the rows come from.
pub(super) struct Source {
    store: Store,
    scope: Scope,
    export: Export,
    /// The one thing that is wanted.
    about: Option<NewEntity>,
}

impl Source {
    /// Looks up what the export is about.
    pub async fn open(store: &Store, scope: Scope, export: &Export) -> Result<Self, ExportError> {
        let wanted = [
            (&export.property_id, EntityKind::Property, "property"),
            (&export.publisher_id, EntityKind::Publisher, "publisher"),
            (&export.product_id, EntityKind::Product, "product"),
        ];
        let mut about = None;
        for (id, kind, what) in wanted {
            if let Some(id) = id {
                let found = store.entities().get(&scope, id).await?;
                let found = found.filter(|found| found.entity.kind == kind);
                let found = found.ok_or_else(|| ExportError::NotFound { what, id: id.clone() })?;
                about = Some(found.entity);
            }
        }
        Ok(Self { store: store.clone(), scope, export: export.clone(), about })
    }

    /// The columns of every row.
    pub fn columns(&self) -> Columns {
        match self.export.entity {
            ExportEntity::Observations => OBSERVATIONS,
            ExportEntity::Features => FEATURES,
            _ => THINGS,
        }
    }

    /// Reads all rows; `progress` is told how many parts of how many are read.
    pub async fn read(self, rows: Sender<Batch>, progress: impl Fn(u64, u64)) -> Result<(), ExportError> {
        let kinds: &[EntityKind] = match self.export.entity {
            ExportEntity::Observations | ExportEntity::Features => &KINDS,
            ExportEntity::Properties => &[EntityKind::Property],
            ExportEntity::Products => &[EntityKind::Product],
            ExportEntity::Publishers => &[EntityKind::Publisher],
            ExportEntity::Parks => &[EntityKind::Park],
            ExportEntity::Attractions => &[EntityKind::Attraction],
            ExportEntity::SellerAccounts => &[EntityKind::SellerAccount],
            ExportEntity::Warehouses => &[EntityKind::Warehouse],
            ExportEntity::Competitors => &[EntityKind::Competitor],
        };
        if let Some(entity) = &self.about {
            self.of_thing(entity, &rows).await?;
        } else {
            for (done, kind) in kinds.iter().enumerate() {
                self.of_kind(*kind, &rows).await?;
                progress(done as u64 + 1, kinds.len() as u64);
            }
        }
        send(&rows, Batch::End).await
    }

    async fn of_kind(&self, kind: EntityKind, rows: &Sender<Batch>) -> Result<(), ExportError> {
        let mut after: Option<String> = None;
        loop {
            let page = self.store.entities().list(&self.scope, kind, after.as_deref(), THINGS_PAGE).await?;
            let Some(last) = page.last() else { return Ok(()) };
            after = Some(last.entity.id.clone());
            if self.export.entity.has_days() {
                for found in &page {
                    self.of_thing(&found.entity, rows).await?;
                }
            } else {
                let things: Vec<Row> =
                    page.into_iter().filter(|found| self.is_wanted(&found.entity)).map(thing).collect();
                send(rows, Batch::Rows(things)).await?;
            }
        }
    }

    /// Whether a thing meets every condition.
    fn is_wanted(&self, entity: &NewEntity) -> bool {
        self.export.filters.iter().all(|(name, wanted)| match name.as_str() {
            "name" => wanted.as_str() == Some(&entity.name),
            "country" => wanted.as_str().is_some_and(|code| {
                entity.country.as_deref().is_some_and(|country| country.eq_ignore_ascii_case(code))
            }),
            _ => match (entity.attributes.get(name), wanted) {
                // 5 and 5.0 are the same number, and different texts.
                (Some(Value::Number(there)), Value::Number(wanted)) => there.as_f64() == wanted.as_f64(),
                (there, wanted) => there == Some(wanted),
            },
        })
    }

    async fn of_thing(&self, entity: &NewEntity, rows: &Sender<Batch>) -> Result<(), ExportError> {
        if self.export.entity == ExportEntity::Features {
            self.features(entity, rows).await
        } else {
            self.observations(entity, rows).await
        }
    }

    async fn features(&self, entity: &NewEntity, rows: &Sender<Batch>) -> Result<(), ExportError> {
        let Some((all, _)) = self.store.features().extent(&self.scope, &entity.id).await? else {
            return Ok(());
        };
        let mut first = self.export.start_date.map_or(all.first, |day| day.max(all.first));
        let last = self.export.end_date.map_or(all.last, |day| day.min(all.last));
        while first <= last {
            let end = first.checked_add((DAYS_PAGE - 1).days()).unwrap_or(Date::MAX).min(last);
            let days =
                self.store.features().range(&self.scope, &entity.id, DayRange::new(first, end)).await?;
            let days = days.into_iter().map(|day| features(entity, day)).collect();
            send(rows, Batch::Rows(days)).await?;
            let Ok(next) = end.tomorrow() else { break };
            first = next;
        }
        Ok(())
    }

    async fn observations(&self, entity: &NewEntity, rows: &Sender<Batch>) -> Result<(), ExportError> {
        let zone = time_zone(entity)?;
        let begin = |day: Option<Date>, otherwise: i64| {
            day.and_then(|day| day.to_zoned(zone.clone()).ok())
                .map_or(otherwise, |at| at.timestamp().as_millisecond())
        };
        let from_ms = begin(self.export.start_date, i64::MIN);
        let to_ms = begin(self.export.end_date.and_then(|day| day.tomorrow().ok()), i64::MAX);
        let wanted = self.export.filters.get("metric").and_then(Value::as_str);
        for (metric, _) in self.store.observations().metrics(&self.scope, &entity.id).await? {
            if wanted.is_some_and(|wanted| wanted != metric) {
                continue;
            }
            let mut from_ms = from_ms;
            loop {
                let points = self
                    .store
                    .observations()
                    .range(&self.scope, &entity.id, &metric, (from_ms, to_ms), POINTS_PAGE)
                    .await?;
                let Some(last) = points.last() else { break };
                from_ms = last.ts_ms.saturating_add(1);
                let is_last = points.len() < POINTS_PAGE as usize;
                let batch = points
                    .iter()
                    .map(|point| {
                        let at = Timestamp::from_millisecond(point.ts_ms).ok();
                        vec![
                            Cell::text(&entity.id),
                            Cell::text(&entity.name),
                            Cell::text(&metric),
                            Cell::text_opt(at.map(|at| at.to_string())),
                            Cell::text_opt(at.map(|at| zone.to_datetime(at).date().to_string())),
                            Cell::Number(point.value),
                        ]
                    })
                    .collect();
                send(rows, Batch::Rows(batch)).await?;
                if is_last {
                    break;
                }
            }
        }
        Ok(())
    }
}

/// Every kind that may have days.
const KINDS: [EntityKind; 8] = [
    EntityKind::Property,
    EntityKind::Product,
    EntityKind::Park,
    EntityKind::Attraction,
    EntityKind::Publisher,
    EntityKind::SellerAccount,
    EntityKind::Warehouse,
    EntityKind::Competitor,
];

async fn send(rows: &Sender<Batch>, batch: Batch) -> Result<(), ExportError> {
    rows.send(batch).await.map_err(|_| ExportError::CutOff)
}

/// Without a zone of its own a thing's days are those of UTC, as its upload's dates are.
fn time_zone(entity: &NewEntity) -> Result<TimeZone, ExportError> {
    let Some(name) = entity.time_zone.as_deref() else { return Ok(TimeZone::UTC) };
    TimeZone::get(name)
        .map_err(|_| ExportError::TimeZone { id: entity.id.clone(), seen: name.chars().take(64).collect() })
}

fn thing(found: Entity) -> Row {
    let Entity { entity, created_at_ms, updated_at_ms } = found;
    let moment = |ms| Cell::text_opt(Timestamp::from_millisecond(ms).ok().map(|at| at.to_string()));
    vec![
        Cell::Text(entity.id),
        Cell::text(entity.kind.as_str()),
        Cell::Text(entity.name),
        Cell::number(entity.location.map(|place| place.latitude)),
        Cell::number(entity.location.map(|place| place.longitude)),
        Cell::text_opt(entity.country),
        Cell::text_opt(entity.time_zone),
        Cell::Object(entity.attributes),
        moment(created_at_ms),
        moment(updated_at_ms),
    ]
}

fn features(entity: &NewEntity, day: DayFeatures) -> Row {
    vec![
        Cell::text(&entity.id),
        Cell::text(&entity.name),
        Cell::text(day.day.to_string()),
        Cell::Whole(day.weekday.into()),
        Cell::Flag(day.weekend),
        Cell::Whole(day.month.into()),
        Cell::text(day.season.as_str()),
        Cell::Whole(day.iso_week.into()),
        Cell::text_opt(day.public_holiday),
        Cell::text_opt(day.school_holiday),
        Cell::whole(day.days_to_holiday),
        Cell::whole(day.days_since_holiday),
        Cell::Flag(day.long_weekend),
        Cell::number(day.weather.temperature_max_c),
        Cell::number(day.weather.temperature_min_c),
        Cell::number(day.weather.temperature_mean_c),
        Cell::number(day.weather.precipitation_mm),
        Cell::number(day.weather.wind_speed_max_kmh),
        Cell::number(day.weather.sunshine_s),
        Cell::whole(day.weather.weather_code),
    ]
}
