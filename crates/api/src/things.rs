//! A thing of the store by the id it has here, or by the name its owner gave it. The same name may be given to things of several kinds.

use bulrush_store::{Entity, EntityKind, derived_id};

use crate::http::auth::Principal;
use crate::http::problem::Problem;
use crate::state::Deps;

/// Longest name that is looked for, bytes.
const NAME_MAX: usize = 256;

/// The id of the thing that the caller calls `name`.
pub fn id_of_name(principal: &Principal, kind: EntityKind, name: &str) -> String {
    derived_id(&[&principal.owner.tenant, &principal.owner.user, kind.as_str(), name])
}

/// The thing that the caller means, if they may see it: any by its id, one of this kind by its name.
pub async fn find(
    deps: &Deps,
    principal: &Principal,
    kind: EntityKind,
    asked: &str,
) -> Result<Option<Entity>, Problem> {
    // No name has control characters, and PostgreSQL takes no NUL.
    if asked.is_empty() || asked.len() > NAME_MAX || asked.chars().any(char::is_control) {
        return Ok(None);
    }
    let scope = principal.rows();
    if let Some(found) = deps.store.entities().get(&scope, asked).await? {
        return Ok(Some(found));
    }
    let by_name = deps.store.entities().get(&scope, &id_of_name(principal, kind, asked)).await?;
    Ok(by_name.filter(|found| found.entity.kind == kind))
}

/// The same, of this kind alone.
pub async fn find_of_kind(
    deps: &Deps,
    principal: &Principal,
    kind: EntityKind,
    asked: &str,
) -> Result<Option<Entity>, Problem> {
    Ok(find(deps, principal, kind, asked).await?.filter(|found| found.entity.kind == kind))
}

/// The same, of any of these kinds; of two that have the same name the one whose kind is named first.
pub async fn find_of_kinds(
    deps: &Deps,
    principal: &Principal,
    kinds: &[EntityKind],
    asked: &str,
) -> Result<Option<Entity>, Problem> {
    for kind in kinds {
        if let Some(found) = find_of_kind(deps, principal, *kind, asked).await? {
            return Ok(Some(found));
        }
    }
    Ok(None)
}
