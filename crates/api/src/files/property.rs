//! A property by the id it has here, or by the name its owner gave it.

use bulrush_store::{Entity, EntityKind};

use crate::http::auth::Principal;
use crate::http::problem::Problem;
use crate::state::Deps;
use crate::things;

/// The entity that the caller means, if they may see it: any by its id, a property by its name.
pub async fn find(deps: &Deps, principal: &Principal, asked: &str) -> Result<Option<Entity>, Problem> {
    things::find(deps, principal, EntityKind::Property, asked).await
}

/// The same for a path: what is not there is 404.
pub async fn find_in_path(deps: &Deps, principal: &Principal, asked: &str) -> Result<Entity, Problem> {
    let found = things::find_of_kind(deps, principal, EntityKind::Property, asked).await?;
    found.ok_or_else(|| Problem::not_found("unknown_property", "There is no such property."))
}
