//! `analytics-heavy/analyze`: what a property's figures look like, what moves them, and how they go on.
//!
//! The rows are read ([`stored`]) or were sent ([`rows`]); either way they become a [`table`], which is where bad data end with the row, the
//! column and what to do. What is computed from it runs on a thread that may block, and looks often whether it is still wanted ([`halt`]).
//! The document is written in one transaction behind the job's fence, under the job's identifier: twice is once.

mod error;
mod forecast;
mod halt;
mod importance;
mod roles;
mod rows;
mod stored;
mod summary;
mod table;
mod weather;
mod words;

use std::collections::BTreeMap;

use bulrush::{Context, JobResult};
use bulrush_catalog::jobs::{AnalysisType, Analyze, AnalyzeResult};
use bulrush_store::{Owner, Scope};
use serde_json::{Value, json};

use crate::Dependencies;
use error::AnalyzeError;
use halt::Halt;
use table::Table;

/// How the result documents of these jobs are marked in the store.
pub const RESULT_KIND: &str = "analytics-heavy/analyze";

/// What an analysis found.
struct Finding {
    /// The whole of it.
    document: Value,
    /// In sentences.
    summary: Vec<String>,
    /// The figures that matter most.
    figures: BTreeMap<String, f64>,
    /// What is to be known of it.
    notes: Vec<String>,
}

/// Analyses the property.
pub(crate) async fn run(deps: Dependencies, payload: Analyze, ctx: Context) -> JobResult<AnalyzeResult> {
    match analyze(&deps, payload, &ctx).await {
        Ok(result) => Ok(result),
        Err(error) => {
            if !matches!(error, AnalyzeError::Stopped) {
                tracing::warn!(job = %ctx.id(), attempt = ctx.attempt(), %error, "nothing was analysed");
                ctx.log(format!("not analysed: {error}"));
            }
            Err(error.into_failure())
        }
    }
}

async fn analyze(
    deps: &Dependencies,
    payload: Analyze,
    ctx: &Context,
) -> Result<AnalyzeResult, AnalyzeError> {
    let owner = ctx.spec().owner.as_deref().ok_or(AnalyzeError::NoOwner)?;
    let owner = Owner::new(&owner.tenant, &owner.user);
    let Analyze { property_id, user_id, analysis_type, data, params } = payload;
    ctx.progress(5, "reading");
    let is_sent = !data.is_empty();
    let stored = if is_sent {
        None
    } else {
        // Whoever may name another user has named whose property it is; the result is the job's owner's.
        let scope = Scope::owner(&owner.tenant, &user_id);
        let read = tokio::select! {
            biased;
            _ = ctx.stopped() => return Err(AnalyzeError::Stopped),
            read = stored::read(&deps.store, &scope, &property_id) => read?,
        };
        Some(read)
    };
    let halt = Halt::new(ctx.clone());
    let told = params.clone();
    let (table, finding) = halt
        .run_blocking(move |halt| {
            let table = match stored {
                Some(table) => table,
                None => rows::table(data, told.date_column.as_deref(), halt)?,
            };
            let table = table.within(told.start_date, told.end_date)?;
            halt.said(20, "computing");
            let finding = match analysis_type {
                AnalysisType::Summary => summary::find(&table, &told, halt)?,
                AnalysisType::WeatherImpact => weather::find(&table, &told, halt)?,
                AnalysisType::DemandForecast => forecast::find(&table, &told, halt)?,
                AnalysisType::FeatureImportance => importance::find(&table, &told, halt)?,
            };
            Ok((table, finding))
        })
        .await?;
    ctx.progress(90, "keeping the result");
    let result = told_in_short(ctx, &property_id, analysis_type, &table, &finding);
    let document = json!({
        "jobId": ctx.id(),
        "propertyId": property_id,
        "userId": user_id,
        "analysisType": analysis_type,
        "source": if is_sent { "data" } else { "store" },
        "params": params,
        "days": result.days,
        "firstDay": result.first_day,
        "lastDay": result.last_day,
        "summary": result.summary,
        "figures": result.figures,
        "notes": result.notes,
        "analysis": finding.document,
    });
    let (store, token) = (&deps.store, ctx.token());
    store
        .fenced(ctx.id().as_str(), i64::from(token.run), &token.nonce(), async |tx| {
            store.results().put(tx, &owner, RESULT_KIND, &document).await?;
            Ok::<_, AnalyzeError>(())
        })
        .await?;
    ctx.progress(100, "done");
    tracing::info!(job = %ctx.id(), analysis = analysis_type.as_str(), days = result.days, "analysed");
    Ok(result)
}

fn told_in_short(
    ctx: &Context,
    property_id: &str,
    analysis_type: AnalysisType,
    table: &Table,
    finding: &Finding,
) -> AnalyzeResult {
    AnalyzeResult {
        success: true,
        result_id: ctx.id().to_string(),
        property_id: property_id.to_owned(),
        analysis_type,
        days: table.days().len() as u64,
        first_day: table.first(),
        last_day: table.last(),
        summary: finding.summary.clone(),
        figures: finding.figures.iter().map(|(name, value)| (name.clone(), *value)).collect(),
        notes: table.notes().iter().chain(&finding.notes).cloned().collect(),
    }
}
