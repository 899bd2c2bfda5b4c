//! All routes. Each is described where its handler is; this page says in which order they stand, and where.

use actix_web::web::{self, PathConfig, ServiceConfig};
use actix_web::{HttpResponse, ResponseError as _};

use crate::http::Flavor;
use crate::http::problem::Problem;
use crate::http::route::{Route, mount};
use crate::{
    competitors, exports, files, health, jobs, live, metrics, openapi, outcomes, queues, rollups, schedules,
    webhooks, workers,
};

/// Every route, in the order in which addresses are compared: a fixed part before a parameter in its place.
pub fn all() -> Vec<Route> {
    let mut routes: Vec<Route> = Vec::new();
    routes.extend(jobs::dead::routes());
    routes.extend(jobs::add::routes());
    routes.extend(jobs::flows::routes());
    routes.extend(jobs::list::routes());
    routes.extend(jobs::manage::routes());
    routes.extend(jobs::trail::routes());
    routes.extend(jobs::read::routes());
    routes.extend(jobs::templates::routes());
    routes.extend(schedules::routes());
    routes.extend(queues::numbers::routes());
    routes.extend(queues::control::routes());
    routes.extend(files::routes());
    routes.extend(competitors::routes());
    routes.extend(rollups::routes());
    routes.extend(outcomes::routes());
    routes.extend(exports::routes());
    routes.extend(webhooks::routes());
    routes.extend(live::sse::routes());
    routes.extend(workers::routes());
    routes.extend(health::routes());
    routes.extend(metrics::routes());
    routes.extend(openapi::routes());
    routes
}

/// Adds all routes; `State` is in the application's data. They stand under `/api/v1` and under the seeds' `/api`; health and metrics at
/// the root, too.
pub fn configure(config: &mut ServiceConfig) {
    config.app_data(
        // A path that cannot be decoded names nothing.
        PathConfig::default()
            .error_handler(|_, _| Problem::bad_request("invalid_path", "The path cannot be decoded.").into()),
    );
    let routes = all();
    // The longer prefix first: the shorter one would take its requests.
    for flavor in [Flavor::Versioned, Flavor::Seed] {
        config.service(
            web::scope(flavor.prefix())
                .app_data(flavor)
                .configure(|config| mount(config, &routes, false))
                .default_service(web::to(unknown)),
        );
    }
    mount(config, &routes, true);
    config.default_service(web::to(unknown));
}

/// What stands on the port of its own: metrics and health.
pub fn configure_own_port(config: &mut ServiceConfig) {
    config.app_data(metrics::OwnPort);
    let routes: Vec<Route> = metrics::routes().into_iter().chain(health::routes()).collect();
    mount(config, &routes, true);
    config.default_service(web::to(unknown));
}

async fn unknown() -> HttpResponse {
    Problem::not_found("unknown_route", "There is nothing here.").error_response()
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;

    #[test]
    fn no_route_stands_behind_one_that_takes_its_requests() {
        let routes = all();
        for (n, route) in routes.iter().enumerate() {
            for earlier in &routes[..n] {
                assert!(
                    earlier.path == route.path || !takes(earlier.path, route.path),
                    "{} stands behind {}",
                    route.path,
                    earlier.path
                );
            }
        }
    }

    /// Whether every address of the second pattern is one of the first.
    fn takes(pattern: &str, other: &str) -> bool {
        let (a, b): (Vec<&str>, Vec<&str>) = (pattern.split('/').collect(), other.split('/').collect());
        a.len() == b.len() && a.iter().zip(&b).all(|(a, b)| a.starts_with('{') || a == b)
    }

    #[test]
    fn every_route_says_what_it_does_and_has_a_name_of_its_own() {
        let mut ids = HashSet::new();
        for route in all() {
            assert!(ids.insert(route.id), "{} stands twice", route.id);
            assert!(route.summary.ends_with('.'), "{} does not say what it does", route.id);
            assert!(!route.successes.is_empty(), "{} never succeeds", route.id);
        }
    }
}
