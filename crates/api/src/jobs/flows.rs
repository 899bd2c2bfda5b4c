//! POST `/flows`: a tree of jobs, each of which waits for its children.

use actix_web::http::{Method, header};
use actix_web::{HttpRequest, HttpResponse, web};
use bulrush::model::{ChildFailure, NewJob};
use bulrush_catalog::{PayloadProblems, Queue};
use futures_util::future::LocalBoxFuture;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use serde_json::value::RawValue;

use crate::http::Flavor;
use crate::http::auth::Principal;
use crate::http::body::read_json;
use crate::http::problem::Problem;
use crate::http::route::{Route, Who};
use crate::jobs::add::{AddedJob, location};
use crate::jobs::ask::{Ask, Checked, may_add, parse};
use crate::jobs::enqueue::{Enqueued, Idempotency, enqueue, starts_as, traceparent};
use crate::jobs::lookup::find_queue;
use crate::jobs::schema::JobOptions;
use crate::state::{Deps, State};

/// Most jobs of a flow.
const JOBS_MAX: usize = 1_000;

pub fn routes() -> [Route; 1] {
    [Route::new(Method::POST, "/flows", Who::Writer, ("jobs", "addFlow"), || web::post().to(add))
        .says("Adds a tree of jobs: each starts once its children have settled.")
        .takes::<FlowJob>()
        .creates()
        .answers::<FlowAnswer>(202, "The flow was added.")
        .answers::<FlowAnswer>(200, "Its root was there already; nothing was added.")
        .fails(404, "unknown_queue")
        .fails(413, "data_too_large")
        .fails(422, "invalid_queue_name")
        .fails(422, "invalid_job")
        .fails(429, "queue_full")]
}

/// A job with the jobs that it waits for. Up to 16 levels and 1,000 jobs.
#[derive(Debug, JsonSchema)]
#[schemars(rename_all = "camelCase", deny_unknown_fields)]
#[allow(dead_code, reason = "it stands for the body in the document")]
pub struct FlowJob {
    /// Its queue, or an alias of one.
    queue: String,
    name: Option<String>,
    job_name: Option<String>,
    data: Option<serde_json::Map<String, Value>>,
    options: Option<JobOptions>,
    children: Option<Vec<FlowJob>>,
    /// What its failure means to its parent: `fail` (the default) fails it, `ignore` counts as settled, `continue` starts it at once.
    on_failure: Option<OnFailure>,
}

#[derive(Debug, Clone, Copy, Default, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
enum OnFailure {
    #[default]
    Fail,
    Ignore,
    Continue,
}

impl From<OnFailure> for ChildFailure {
    fn from(word: OnFailure) -> Self {
        match word {
            OnFailure::Fail => Self::Fail,
            OnFailure::Ignore => Self::Ignore,
            OnFailure::Continue => Self::Continue,
        }
    }
}

#[derive(Serialize, JsonSchema)]
struct FlowAnswer {
    success: bool,
    data: FlowNode,
}

/// A job of the tree and its children, in the order given.
#[derive(Serialize, JsonSchema)]
struct FlowNode {
    #[serde(flatten)]
    job: AddedJob,
    children: Vec<FlowNode>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
struct Node<'a> {
    queue: String,
    #[serde(default)]
    name: Option<Value>,
    #[serde(default)]
    job_name: Option<Value>,
    #[serde(borrow, default)]
    data: Option<&'a RawValue>,
    #[serde(default)]
    options: Option<Value>,
    #[serde(borrow, default)]
    children: Vec<Node<'a>>,
    #[serde(default)]
    on_failure: OnFailure,
}

impl Node<'_> {
    fn count(&self) -> usize {
        1 + self.children.iter().map(Node::count).sum::<usize>()
    }

    fn depth(&self) -> usize {
        1 + self.children.iter().map(Node::depth).max().unwrap_or(0)
    }
}

/// A node whose job is checked.
struct Tree<'q> {
    checked: Checked<'q>,
    called: String,
    on_failure: ChildFailure,
    children: Vec<Tree<'q>>,
}

/// What a node is called in the answer.
struct Named {
    called: String,
    name: String,
    client_id: Option<String>,
    children: Vec<Named>,
}

async fn add(
    principal: Principal,
    request: HttpRequest,
    payload: web::Payload,
    state: web::Data<State>,
) -> Result<HttpResponse, Problem> {
    let deps = state.deps()?;
    let body = read_json(&request, payload, &state, state.config.bulk_max).await?;
    let node: Node<'_> =
        parse(&body, "{\"queue\": \"…\", \"name\": \"…\", \"data\": {…}, \"children\": [{…}]}")?;
    let count = node.count();
    if count > JOBS_MAX {
        return Err(Problem::field("children", format!("make {count} jobs; a flow has at most {JOBS_MAX}")));
    }
    let depth = node.depth();
    if depth > NewJob::FLOW_DEPTH_MAX {
        return Err(Problem::field(
            "children",
            format!("are {depth} levels deep; a flow has at most {}", NewJob::FLOW_DEPTH_MAX),
        ));
    }
    let idempotency = Idempotency::of(&request, "flow", &body)?;
    let mut problems = PayloadProblems::default();
    let caller = Caller { state: &state, deps, principal: &principal };
    let tree = caller.check(node, String::new(), &mut problems).await?;
    problems.into_result()?;
    let tree = tree.ok_or_else(|| Problem::field("queue", "is not a queue"))?;
    let queue = tree.checked.queue;
    let traceparent = traceparent(&request);
    let (job, named) = build(tree, &principal, idempotency.as_ref(), traceparent.as_deref())?;
    let ids = Ids::of(&job);
    let added = enqueue(deps, queue, job).await?;
    let flavor = Flavor::of(&request);
    let data = if added.is_new {
        answer(&named, &ids, flavor)
    } else {
        // The children of this request were not added, so their ids would lead nowhere.
        let job = AddedJob::new(&added, &named.called, &named.name, named.client_id.as_deref(), flavor);
        FlowNode { job, children: Vec::new() }
    };
    let mut response = if added.is_new { HttpResponse::Accepted() } else { HttpResponse::Ok() };
    response.insert_header((header::LOCATION, location(flavor, queue, &added)));
    Ok(response.json(FlowAnswer { success: true, data }))
}

/// Who asks, and of whom.
struct Caller<'s> {
    state: &'s State,
    deps: &'s Deps,
    principal: &'s Principal,
}

impl<'s> Caller<'s> {
    /// Checks a node and what is below it; `path` is where it stands in the body.
    fn check<'f>(
        &'f self,
        node: Node<'f>,
        path: String,
        problems: &'f mut PayloadProblems,
    ) -> LocalBoxFuture<'f, Result<Option<Tree<'s>>, Problem>> {
        Box::pin(async move {
            let Node { queue: called, name, job_name, data, options, children, on_failure } = node;
            let queue: &'s Queue =
                find_queue(self.state, &called).map_err(|problem| problem.of_item(&path))?;
            may_add(self.principal, queue)?;
            let ask = Ask { name, job_name, data, options };
            let mut own = PayloadProblems::default();
            let checked = ask.check((self.state, self.deps), self.principal, queue, &called, &mut own).await;
            let checked = checked.map_err(|problem| problem.of_item(&path))?;
            for problem in own.0 {
                let dot = if path.is_empty() { "" } else { "." };
                problems.push(format!("{path}{dot}{}", problem.field), problem.message);
            }
            let mut below = Vec::with_capacity(children.len());
            for (n, child) in children.into_iter().enumerate() {
                let dot = if path.is_empty() { "" } else { "." };
                let path = format!("{path}{dot}children[{n}]");
                below.extend(self.check(child, path, problems).await?);
            }
            Ok(checked.map(|checked| Tree {
                checked,
                called,
                on_failure: on_failure.into(),
                children: below,
            }))
        })
    }
}

/// The job of a tree with its children, and what each is called. The key of the request is the root's: a root that is there adds nothing.
fn build(
    tree: Tree<'_>,
    principal: &Principal,
    idempotency: Option<&Idempotency>,
    traceparent: Option<&str>,
) -> Result<(NewJob, Named), Problem> {
    let Tree { checked, called, children, .. } = tree;
    let mut named = Named {
        called,
        name: checked.name.clone(),
        client_id: checked.options.job_id.clone(),
        children: Vec::with_capacity(children.len()),
    };
    let mut job = checked.into_job(principal, idempotency, traceparent)?;
    for child in children {
        let (queue, on_failure) = (child.checked.queue.name().clone(), child.on_failure);
        let (child, name) = build(child, principal, None, traceparent)?;
        named.children.push(name);
        job = job.child(queue, child, on_failure);
    }
    Ok((job, named))
}

/// The ids of a tree's jobs, and how each begins.
struct Ids {
    enqueued: Enqueued,
    children: Vec<Ids>,
}

impl Ids {
    fn of(job: &NewJob) -> Self {
        Self {
            enqueued: Enqueued { id: job.spec.id.clone(), is_new: true, state: Some(starts_as(job)) },
            children: job.children.iter().map(|child| Self::of(&child.job)).collect(),
        }
    }
}

fn answer(named: &Named, ids: &Ids, flavor: Flavor) -> FlowNode {
    let client_id = named.client_id.as_deref();
    let job = AddedJob::new(&ids.enqueued, &named.called, &named.name, client_id, flavor);
    let pairs = named.children.iter().zip(&ids.children);
    FlowNode { job, children: pairs.map(|(named, ids)| answer(named, ids, flavor)).collect() }
}
