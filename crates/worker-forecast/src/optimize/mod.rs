//! `optimization/optimize`: how much of a product to order, at which stock, and where to put it.
//!
//! Demand is read from the product's history; costs and lead times come with the job or stand at the product. The mathematics is in
//! [`inventory`] and [`allocation`].

mod allocation;
mod inventory;

use bulrush::{Context, JobResult};
use bulrush_catalog::jobs::{Allocated, Optimize, OptimizeResult};
use bulrush_store::Scope;
use serde_json::{Value, json};

use crate::Dependencies;
use crate::failure::Trouble;
use crate::series::Thing;
use allocation::{Allocation, Need};
use inventory::{Demand, Policy, Terms};

/// How the result documents of these jobs are marked in the store.
pub const RESULT_KIND: &str = "optimization/optimize";

/// Days without a value after which a reader is told that the demand is not of today.
const OLD_DAYS: i32 = 7;

/// Optimizes.
pub(crate) async fn run(deps: Dependencies, payload: Optimize, ctx: Context) -> JobResult<OptimizeResult> {
    let outcome = tokio::select! {
        biased;
        _ = ctx.stopped() => Err(Trouble::Stopped),
        outcome = optimize(&deps, &payload, &ctx) => outcome,
    };
    outcome.map_err(|trouble| {
        if !matches!(trouble, Trouble::Stopped) {
            tracing::warn!(job = %ctx.id(), attempt = ctx.attempt(), error = %trouble, "nothing was optimized");
            ctx.log(format!("not optimized: {trouble}"));
        }
        trouble.into_failure()
    })
}

async fn optimize(deps: &Dependencies, payload: &Optimize, ctx: &Context) -> Result<OptimizeResult, Trouble> {
    ctx.progress(10, "reading the demand");
    let thing = Thing::find(&deps.store, ctx, &payload.product_id).await?;
    let terms = terms(&thing, payload)?;
    let metric = Some(payload.metric.as_deref().unwrap_or("demand"));
    let series = thing.series(&deps.store, metric, (deps.now(), payload.window_days)).await?;
    let demand = Demand::of(&series)?;

    ctx.progress(40, "computing order quantity, safety stock and reorder point");
    let policy = Policy::of(&demand, &terms).map_err(|what| too_large(what, &series.metric))?;
    ctx.progress(60, "allocating the order to warehouses");
    let needs: Vec<Need> = payload.warehouses.iter().map(Need::from).collect();
    let unit = terms.order_multiple.unwrap_or(1.0);
    let allocation = (!needs.is_empty())
        .then(|| Allocation::of(policy.order_quantity, unit, demand.mean, &needs))
        .transpose()
        .map_err(|what| too_large(what, &series.metric))?;
    let places = allocation.as_ref().map_or_else(Vec::new, |allocation| {
        allocation.places.iter().map(|place| allocated(place, &demand, &terms)).collect()
    });
    let mut notes = demand.notes.clone();
    let today = thing.zone.to_datetime(deps.now()).date();
    let old = demand.to.until(today).map_or(0, |span| span.get_days());
    if old > OLD_DAYS {
        notes.push(format!(
            "the last value of {} is of {}, {old} days ago; the demand is that of then",
            series.metric, demand.to
        ));
    }
    notes.extend(policy.notes.iter().cloned());
    if let Some(left) = allocation.as_ref().map(|allocation| allocation.left).filter(|left| *left > 0.0) {
        notes.push(format!(
            "{left} of the {} units ordered find no room in the warehouses; their capacities are too small",
            policy.order_quantity
        ));
    }
    let result = OptimizeResult {
        success: true,
        result_id: ctx.id().to_string(),
        product_id: payload.product_id.clone(),
        eoq: round(policy.eoq),
        safety_stock: round(policy.safety_stock),
        reorder_point: round(policy.reorder_point),
        order_quantity: policy.order_quantity,
        allocation: places,
        notes,
    };
    ctx.progress(90, "saving the result");
    save(deps, ctx, &thing, &result, &document(&result, &demand, &terms, &policy, &series.metric)?).await?;
    ctx.progress(100, "optimized");
    tracing::info!(job = %ctx.id(), eoq = result.eoq, reorder_point = result.reorder_point, "stock optimized");
    Ok(result)
}

fn too_large(what: &'static str, metric: &str) -> Trouble {
    Trouble::TooLarge { what, metric: metric.to_owned() }
}

/// What the job says, and where it says nothing, what the product says.
fn terms(thing: &Thing, payload: &Optimize) -> Result<Terms, Trouble> {
    let given = &payload.constraints;
    let missing = |field| Trouble::Missing { id: thing.id().to_owned(), field };
    let unit_cost = match given.unit_cost {
        Some(cost) => cost,
        None => attribute(thing, "unitCost", true)?.ok_or_else(|| missing("unitCost"))?,
    };
    let lead_time_days = match given.lead_time_days {
        Some(days) => days,
        None => attribute(thing, "leadTimeDays", false)?.ok_or_else(|| missing("leadTimeDays"))?,
    };
    let lead_time_sd_days = match given.lead_time_sd_days {
        Some(days) => Some(days),
        None => attribute(thing, "leadTimeSdDays", false)?,
    };
    Ok(Terms {
        ordering_cost: given.ordering_cost,
        holding_cost_rate: given.holding_cost_rate,
        service_level_z: given.service_level_z,
        unit_cost,
        lead_time_days,
        lead_time_sd_days,
        order_min: given.order_min,
        order_multiple: given.order_multiple,
    })
}

/// A number that stands at the product.
fn attribute(thing: &Thing, field: &'static str, above_zero: bool) -> Result<Option<f64>, Trouble> {
    let Some(value) = thing.entity.entity.attributes.get(field).filter(|value| !value.is_null()) else {
        return Ok(None);
    };
    let number = value.as_f64().filter(|number| {
        (0.0..=bulrush_catalog::jobs::optimize::AMOUNT_MAX).contains(number) && (!above_zero || *number > 0.0)
    });
    if number.is_none() {
        let wanted = if above_zero { "above 0" } else { "of 0 or more" };
        let seen = value.to_string().chars().take(80).collect();
        return Err(Trouble::Attribute { id: thing.id().to_owned(), field, seen, wanted });
    }
    Ok(number)
}

/// A warehouse's part, with what it would keep if it ordered for itself: its share of the mean, and of the variance, as demands of
/// different places are taken for independent (Eppen 1979).
fn allocated(place: &allocation::Place, demand: &Demand, terms: &Terms) -> Allocated {
    let own =
        Demand { mean: demand.mean * place.share, sd: demand.sd * place.share.sqrt(), ..demand.clone() };
    let safety_stock = inventory::safety_stock(&own, terms);
    Allocated {
        id: place.id.clone(),
        quantity: place.quantity,
        stock: place.on_hand + place.quantity,
        days_of_supply: (own.mean > 0.0).then(|| round((place.on_hand + place.quantity) / own.mean)),
        safety_stock: round(safety_stock),
        reorder_point: round(own.mean * terms.lead_time_days + safety_stock),
    }
}

/// Everything that was computed and from what, for whoever wants to check it.
fn document(
    result: &OptimizeResult,
    demand: &Demand,
    terms: &Terms,
    policy: &Policy,
    metric: &str,
) -> Result<Value, Trouble> {
    let mut document = serde_json::to_value(result)?;
    document["demand"] = json!({
        "metric": metric, "meanPerDay": demand.mean, "sdPerDay": demand.sd, "perYear": demand.mean * inventory::DAYS_A_YEAR,
        "from": demand.from.to_string(), "to": demand.to.to_string(), "days": demand.days,
    });
    document["terms"] = json!({
        "orderingCost": terms.ordering_cost, "holdingCostRate": terms.holding_cost_rate, "unitCost": terms.unit_cost,
        "serviceLevelZ": terms.service_level_z, "serviceLevel": inventory::service_level(terms.service_level_z),
        "leadTimeDays": terms.lead_time_days, "leadTimeSdDays": terms.lead_time_sd_days,
        "orderMin": terms.order_min, "orderMultiple": terms.order_multiple,
    });
    document["costs"] = json!({
        "orderingPerYear": policy.ordering_per_year, "holdingPerYear": policy.holding_per_year,
        "totalPerYear": policy.ordering_per_year + policy.holding_per_year, "ordersPerYear": policy.orders_per_year,
        "daysBetweenOrders": inventory::DAYS_A_YEAR / policy.orders_per_year,
    });
    Ok(document)
}

/// Writes the result, unless another run of the job has written since.
async fn save(
    deps: &Dependencies,
    ctx: &Context,
    thing: &Thing,
    result: &OptimizeResult,
    document: &Value,
) -> Result<(), Trouble> {
    let (store, token) = (&deps.store, ctx.token());
    let mut tx = store.begin_fenced(ctx.id().as_str(), i64::from(token.run), &token.nonce()).await?;
    if store.entities().get(&Scope::from(thing.owner.clone()), thing.id()).await?.is_none() {
        return Err(Trouble::DeletedMeanwhile { id: result.product_id.clone() });
    }
    store.results().put(&mut tx, &thing.owner, RESULT_KIND, document).await?;
    tx.commit().await?;
    Ok(())
}

/// To hundredths: of units and days nobody counts finer.
fn round(value: f64) -> f64 {
    let rounded = (value * 100.0).round() / 100.0;
    if rounded.is_finite() { rounded } else { value }
}
