//! Stock: what to order, and what nothing can be computed from.

use bulrush_catalog::jobs::{Constraints, Optimize, OptimizeResult, WarehouseNeed};
use bulrush_store::EntityKind;
use bulrush_worker_forecast::OPTIMIZATION_RESULT_KIND;
use serde_json::{Value, json};

use crate::world::{World, YESTERDAY, ada};

pub fn stock_of(id: &str) -> Optimize {
    Optimize {
        product_id: id.into(),
        user_id: "ada".into(),
        constraints: Constraints {
            ordering_cost: 50.0,
            holding_cost_rate: 0.25,
            service_level_z: 1.65,
            unit_cost: None,
            lead_time_days: None,
            lead_time_sd_days: None,
            order_min: None,
            order_multiple: None,
        },
        warehouses: Vec::new(),
        window_days: 365,
        metric: None,
    }
}

/// A mean of 10 a day and a standard deviation of nearly 2.
fn steady() -> Vec<Option<f64>> {
    [8.0, 12.0].repeat(50).into_iter().map(Some).collect()
}

async fn product(world: &World, id: &str, attributes: Value, values: &[Option<f64>]) {
    world.thing(id, &ada(), EntityKind::Product, attributes).await;
    world.observe(id, "demand", YESTERDAY, values).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_to_order_when_and_where_to_put_it() {
    let world = World::new().await;
    let known = json!({"unitCost": 12, "leadTimeDays": 7, "leadTimeSdDays": 2});
    product(&world, "tea", known, &steady()).await;
    let workers = world.start();
    let mut asked = stock_of("tea");
    let place =
        |id: &str, share, on_hand, capacity| WarehouseNeed { id: id.into(), share, on_hand, capacity };
    asked.warehouses =
        vec![place("north", Some(2.0), 20.0, None), place("south", Some(1.0), 0.0, Some(60.0))];
    let job = world.add("optimization", &asked).await;
    let result: OptimizeResult = world.completed("optimization", &job).await;
    // sqrt(2·3,650·50 / 3); 1.65·sqrt(7·400/99 + 400); 70 and that.
    assert!((result.eoq - 348.81).abs() < 1e-9, "{result:?}");
    let safety = 1.65 * (7.0 * 400.0 / 99.0 + 400.0_f64).sqrt();
    assert!((result.safety_stock - safety).abs() < 0.01, "{result:?}");
    assert!((result.reorder_point - 70.0 - safety).abs() < 0.01, "{result:?}");
    assert!((result.order_quantity - 349.0).abs() < 1e-9);
    let quantities: Vec<f64> = result.allocation.iter().map(|place| place.quantity).collect();
    assert_eq!(quantities, [289.0, 60.0], "the south has room for 60");
    assert_eq!(result.result_id, job.to_string());

    let document = world.document(&job).await.unwrap();
    assert_eq!(document.kind, OPTIMIZATION_RESULT_KIND);
    let of = |pointer: &str| document.document.pointer(pointer).and_then(Value::as_f64).unwrap();
    assert!((of("/demand/meanPerDay") - 10.0).abs() < 1e-9);
    assert!((of("/terms/serviceLevel") - 0.950_528_531_966_351_9).abs() < 1e-9);
    assert!(
        (of("/costs/totalPerYear") - of("/costs/orderingPerYear") - of("/costs/holdingPerYear")).abs() < 1e-9
    );
    workers.shutdown().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_missing_or_cannot_be_is_told_and_never_computed_with() {
    let world = World::new().await;
    let known = || json!({"unitCost": 12, "leadTimeDays": 7});
    product(&world, "costless", json!({"leadTimeDays": 7}), &steady()).await;
    product(&world, "timeless", json!({"unitCost": 12}), &steady()).await;
    product(&world, "free", json!({"unitCost": 0, "leadTimeDays": 7}), &steady()).await;
    product(&world, "words", json!({"unitCost": "twelve", "leadTimeDays": 7}), &steady()).await;
    product(&world, "unsold", known(), &[Some(0.0); 60]).await;
    product(&world, "returned", known(), &[Some(-2.0), Some(1.0)]).await;
    product(&world, "new", known(), &[Some(4.0)]).await;
    product(&world, "unknown", known(), &[]).await;
    product(&world, "huge", known(), &[Some(1e300), Some(1.0)]).await;
    let workers = world.start();
    for (id, words) in [
        ("costless", "has no unitCost; give constraints.unitCost"),
        ("timeless", "has no leadTimeDays; give constraints.leadTimeDays"),
        ("free", "unitCost of the product \"free\" is 0, and must be a number above 0"),
        ("words", "is \"twelve\", and must be a number above 0"),
        ("unsold", "with no demand there is nothing to order"),
        ("returned", "is -0.5 a day"),
        ("new", "only 1 of the days"),
        ("unknown", "has no values of \"demand\""),
        ("huge", "beyond the range of numbers"),
        ("nowhere", "no product or property \"nowhere\""),
    ] {
        let job = world.add("optimization", &stock_of(id)).await;
        let reason = world.refused("optimization", &job).await;
        assert!(reason.contains(words), "{id}: {reason}");
        assert!(world.document(&job).await.is_none());
    }
    workers.shutdown().await;
}
