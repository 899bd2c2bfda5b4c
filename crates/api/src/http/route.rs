//! A route: where it is, who may call it, what the API's document says of it, and who answers.
//!
//! The server is built from these descriptions and from nothing else, so a route without a rule of access, or one that the document
//! does not tell of, cannot exist.

use actix_web::body::{BoxBody, MessageBody};
use actix_web::dev::{ServiceRequest, ServiceResponse};
use actix_web::http::{Method, StatusCode};
use actix_web::middleware::{Next, from_fn};
use actix_web::web::ServiceConfig;
use actix_web::{FromRequest as _, HttpMessage as _, ResponseError as _, web};
use schemars::{JsonSchema, Schema, SchemaGenerator};
use serde_json::Value;

use crate::http::auth::{Principal, identify};
use crate::http::middleware::Tenant;
use crate::http::problem::Problem;
use crate::state::State;

/// Who may call a route. What they get there is theirs, whatever the route.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Who {
    /// Everybody, without a token.
    Anybody,
    /// Everybody with a token.
    Reader,
    /// Users, for what is theirs, and administrators; viewers only read.
    Writer,
    /// Administrators.
    Admin,
    /// As the configuration says: the route decides.
    Configured,
}

/// The schema of a type, for the document.
pub type SchemaOf = fn(&mut SchemaGenerator) -> Schema;

/// A query parameter.
pub struct Param {
    pub name: &'static str,
    pub required: bool,
    pub text: &'static str,
    pub schema: Value,
}

/// A body that a route takes.
pub struct Body {
    pub content: &'static str,
    pub required: bool,
    pub schema: SchemaOf,
}

/// An answer that is no problem.
pub struct Success {
    pub status: u16,
    pub text: &'static str,
    /// Content type and schema; none for an answer without a body.
    pub content: Option<(&'static str, SchemaOf)>,
}

/// One route.
pub struct Route {
    pub method: Method,
    /// Below the prefix, with its parameters in braces.
    pub path: &'static str,
    pub who: Who,
    /// Whether it stands at the root, too.
    pub at_root: bool,
    /// Its name in the document and in generated clients.
    pub id: &'static str,
    pub tag: &'static str,
    pub summary: &'static str,
    pub params: Vec<Param>,
    pub body: Option<Body>,
    pub successes: Vec<Success>,
    /// Statuses and codes of problems, beside those that every route has.
    pub problems: Vec<(u16, &'static str)>,
    /// Whether an `Idempotency-Key` is understood.
    pub creates: bool,
    handler: fn() -> actix_web::Route,
}

fn schema_of<T: JsonSchema>(generator: &mut SchemaGenerator) -> Schema {
    generator.subschema_for::<T>()
}

impl Route {
    /// A route; `handler` gives the actix route, its method included.
    pub fn new(
        method: Method,
        path: &'static str,
        who: Who,
        (tag, id): (&'static str, &'static str),
        handler: fn() -> actix_web::Route,
    ) -> Self {
        Self {
            method,
            path,
            who,
            at_root: false,
            id,
            tag,
            summary: "",
            params: Vec::new(),
            body: None,
            successes: Vec::new(),
            problems: Vec::new(),
            creates: false,
            handler,
        }
    }

    /// What it does, in a sentence.
    pub fn says(mut self, summary: &'static str) -> Self {
        self.summary = summary;
        self
    }

    /// It stands at the root, too.
    pub fn at_root(mut self) -> Self {
        self.at_root = true;
        self
    }

    /// A query parameter that may be left out.
    pub fn param(mut self, name: &'static str, schema: Value, text: &'static str) -> Self {
        self.params.push(Param { name, required: false, text, schema });
        self
    }

    /// A query parameter that must be there.
    pub fn required_param(mut self, name: &'static str, schema: Value, text: &'static str) -> Self {
        self.params.push(Param { name, required: true, text, schema });
        self
    }

    /// A JSON body that must be there.
    pub fn takes<T: JsonSchema>(self) -> Self {
        self.takes_as::<T>("application/json", true)
    }

    /// A JSON body that may be left out.
    pub fn may_take<T: JsonSchema>(self) -> Self {
        self.takes_as::<T>("application/json", false)
    }

    /// A body of another type.
    pub fn takes_as<T: JsonSchema>(mut self, content: &'static str, required: bool) -> Self {
        self.body = Some(Body { content, required, schema: schema_of::<T> });
        for problem in [
            (400, "invalid_json"),
            (408, "body_too_slow"),
            (413, "body_too_large"),
            (415, "unsupported_media_type"),
            (422, "invalid_fields"),
        ] {
            self = self.fails(problem.0, problem.1);
        }
        self
    }

    /// It creates something, once for each `Idempotency-Key`.
    pub fn creates(mut self) -> Self {
        self.creates = true;
        self.fails(400, "invalid_idempotency_key").fails(409, "idempotency_conflict")
    }

    /// An answer in JSON.
    pub fn answers<T: JsonSchema>(self, status: u16, text: &'static str) -> Self {
        self.answers_as::<T>(status, "application/json", text)
    }

    /// An answer in another type.
    pub fn answers_as<T: JsonSchema>(
        mut self,
        status: u16,
        content: &'static str,
        text: &'static str,
    ) -> Self {
        self.successes.push(Success { status, text, content: Some((content, schema_of::<T>)) });
        self
    }

    /// An answer without a body.
    pub fn answers_nothing(mut self, status: u16, text: &'static str) -> Self {
        self.successes.push(Success { status, text, content: None });
        self
    }

    /// A problem that it may answer with.
    pub fn fails(mut self, status: u16, code: &'static str) -> Self {
        if !self.problems.contains(&(status, code)) {
            self.problems.push((status, code));
        }
        self
    }

    /// The names of its path's parameters.
    pub fn path_params(&self) -> impl Iterator<Item = &'static str> {
        self.path.split('{').skip(1).filter_map(|part| part.split('}').next())
    }
}

/// Adds routes, resource by resource in the order of their first route; other methods of a resource are told which there are.
pub fn mount(config: &mut ServiceConfig, routes: &[Route], only_root: bool) {
    let wanted = || routes.iter().filter(|route| !only_root || route.at_root);
    let mut paths: Vec<&'static str> = Vec::new();
    for route in wanted() {
        if !paths.contains(&route.path) {
            paths.push(route.path);
        }
    }
    for path in paths {
        let mut resource = web::resource(path);
        let mut methods = Vec::new();
        for route in wanted().filter(|route| route.path == path) {
            let who = route.who;
            methods.push(route.method.as_str());
            resource = resource.route(
                (route.handler)()
                    .method(route.method.clone())
                    .wrap(from_fn(move |request, next| admit(who, request, next))),
            );
        }
        let allow = methods.join(", ");
        config.service(resource.default_service(web::to(move || {
            let allow = allow.clone();
            async move { not_allowed(&allow) }
        })));
    }
}

fn not_allowed(methods: &str) -> actix_web::HttpResponse {
    Problem::new(
        StatusCode::METHOD_NOT_ALLOWED,
        "method_not_allowed",
        format!("This address is for {methods} only."),
    )
    .allow(methods)
    .error_response()
}

/// Finds out who calls, and whether they may: before anything of the request is looked at.
async fn admit(
    who: Who,
    mut request: ServiceRequest,
    next: Next<impl MessageBody + 'static>,
) -> Result<ServiceResponse<BoxBody>, actix_web::Error> {
    if !matches!(who, Who::Anybody | Who::Configured)
        && let Err(problem) = enter(who, &mut request).await
    {
        return Ok(request.into_response(problem.error_response()));
    }
    next.call(request).await.map(ServiceResponse::map_into_boxed_body)
}

async fn enter(who: Who, request: &mut ServiceRequest) -> Result<(), Problem> {
    let state = web::Data::<State>::extract(request.request()).await.map_err(|_| {
        Problem::internal(&std::io::Error::other("a route was mounted without the server's state"))
    })?;
    let principal = identify(request.request(), &state).await?;
    request.extensions_mut().insert(Tenant(principal.owner.tenant.clone()));
    state.limits.admit(&principal)?;
    match who {
        Who::Writer => principal.may_write()?,
        Who::Admin if !principal.is_admin() => {
            return Err(Problem::forbidden("This is for administrators only."));
        }
        _ => {}
    }
    request.extensions_mut().insert::<Principal>(principal);
    Ok(())
}
