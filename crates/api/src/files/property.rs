//! A property by the id it has here, or by the name its owner gave it.

use bulrush_store::{Entity, EntityKind, derived_id};

use crate::http::auth::Principal;
use crate::http::problem::Problem;
use crate::state::Deps;

/// Longest name that is looked for, bytes.
const NAME_MAX: usize = 256;

/// The id of the property that the caller calls `name`.
pub fn id_of_name(principal: &Principal, name: &str) -> String {
    derived_id(&[&principal.owner.tenant, &principal.owner.user, "property", name])
}

/// The entity that the caller means, if they may see it.
pub async fn find(deps: &Deps, principal: &Principal, asked: &str) -> Result<Option<Entity>, Problem> {
    // No name has control characters, and PostgreSQL takes no NUL.
    if asked.is_empty() || asked.len() > NAME_MAX || asked.chars().any(char::is_control) {
        return Ok(None);
    }
    let scope = principal.rows();
    if let Some(found) = deps.store.entities().get(&scope, asked).await? {
        return Ok(Some(found));
    }
    let by_name = deps.store.entities().get(&scope, &id_of_name(principal, asked)).await?;
    Ok(by_name.filter(|found| found.entity.kind == EntityKind::Property))
}

/// The same for a path: what is not there is 404.
pub async fn find_in_path(deps: &Deps, principal: &Principal, asked: &str) -> Result<Entity, Problem> {
    let found = find(deps, principal, asked).await?.filter(|found| found.entity.kind == EntityKind::Property);
    found.ok_or_else(|| Problem::not_found("unknown_property", "There is no such property."))
}
