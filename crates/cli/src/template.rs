//! `bulrush template`: the jobs that the catalogue ships ready to be run.

use anyhow::{Context, bail};
use bulrush::model::JobId;
use bulrush::port::AddOutcome;
use bulrush_catalog::templates::{self, Otherwise};
use bulrush_catalog::{Caller, JobTemplate, nearest};
use clap::{Args, Subcommand};
use serde_json::{Map, Value, json};

use crate::engine::{Engine, EngineArguments};
use crate::table::table;

/// Arguments of `template`.
#[derive(Debug, Args)]
pub struct TemplateArguments {
    #[command(flatten)]
    engine: EngineArguments,
    #[command(subcommand)]
    command: TemplateCommand,
}

#[derive(Debug, Subcommand)]
enum TemplateCommand {
    /// List the templates, each with what is to be filled in
    Ls,
    /// Add the job of a template
    Run {
        /// The template's id, such as enrichment.enrich-property
        template: String,
        /// What stands in place of a placeholder: JSON, or a text as it is. The things that it names are looked for by the job
        #[arg(long = "set", value_name = "NAME=VALUE")]
        set: Vec<String>,
        /// For whom the job is: its data are looked for among theirs
        #[arg(long, value_name = "TENANT/USER")]
        owner: String,
        /// Smaller runs first, 0 to 2097152
        #[arg(long)]
        priority: Option<u32>,
        /// An id of your own: adding it twice adds one job
        #[arg(long)]
        id: Option<JobId>,
    },
}

/// Runs a command on templates.
pub async fn run(arguments: TemplateArguments) -> anyhow::Result<()> {
    match &arguments.command {
        // They are the program's own: no engine is asked.
        TemplateCommand::Ls => {
            list(arguments.engine.json);
            Ok(())
        }
        TemplateCommand::Run { template, set, owner, priority, id } => {
            let template = find(template)?;
            let Some((tenant, user)) =
                owner.split_once('/').filter(|(tenant, user)| !tenant.is_empty() && !user.is_empty())
            else {
                bail!("{owner:?} is no owner; give a tenant and a user of it: --owner acme/ada");
            };
            let data = filled(template, set, user)?;
            let engine = Engine::open(&arguments.engine).await?;
            let added = add(&engine, template, data, (tenant, user), (*priority, id.clone())).await;
            engine.close().await?;
            let (id, is_new) = added?;
            if arguments.engine.json {
                println!("{}", json!({"id": id, "new": is_new}));
            } else {
                println!("{id} {}", if is_new { "added" } else { "was there already" });
            }
            Ok(())
        }
    }
}

fn list(as_json: bool) {
    if as_json {
        for template in templates::ALL {
            let placeholders: Vec<Value> = template
                .placeholders
                .iter()
                .map(|one| {
                    let required = one.otherwise == Otherwise::Required;
                    json!({"name": one.name, "required": required, "description": one.about, "example": one.example})
                })
                .collect();
            let (id, name, description) = (template.id(), template.name, template.description);
            println!(
                "{}",
                json!({"id": id, "name": name, "description": description, "placeholders": placeholders})
            );
        }
        return;
    }
    let mut rows = table(["template", "what it does", "to be filled in"], 0..0);
    for template in templates::ALL {
        let names: Vec<String> = template
            .placeholders
            .iter()
            .map(|one| match one.otherwise {
                Otherwise::Required => one.name.to_owned(),
                Otherwise::LeftOut => format!("[{}]", one.name),
                Otherwise::Default(json) => format!("[{}={}]", one.name, json.trim_matches('"')),
            })
            .collect();
        rows.add_row([template.id(), template.description.to_owned(), names.join(" ")]);
    }
    println!("{rows}");
}

fn find(id: &str) -> anyhow::Result<&'static JobTemplate> {
    if let Some(found) = templates::find(id) {
        return Ok(found);
    }
    let ids: Vec<String> = templates::ALL.iter().map(|template| template.id()).collect();
    match nearest(id, ids.iter().map(String::as_str)) {
        Some(near) => bail!("there is no template {id:?}; did you mean {near}?"),
        None => bail!("there is no template {id:?}; templates are {}", ids.join(", ")),
    }
}

/// The job's data, checked as the API checks them, but for the things that they name.
fn filled(template: &JobTemplate, set: &[String], user: &str) -> anyhow::Result<Map<String, Value>> {
    let mut values = Map::new();
    for pair in set {
        let Some((name, value)) = pair.split_once('=') else {
            bail!("{pair:?} sets nothing; write --set NAME=VALUE");
        };
        let value = serde_json::from_str(value).unwrap_or_else(|_| Value::from(value));
        if values.insert(name.to_owned(), value).is_some() {
            bail!("{name} is set twice");
        }
    }
    let data = template.fill(&values).with_context(|| format!("{} cannot be run", template.id()))?;
    let catalog = bulrush_catalog::Catalog::default();
    let (_, kind) = catalog.find(template.queue)?.job(Some(template.job), template.queue)?;
    let caller = Caller { user, may_name_others: true };
    let prepared =
        kind.check(&data, &caller, None).with_context(|| format!("{} cannot be run", template.id()))?;
    Ok(prepared.map_or(data, |prepared| prepared.data))
}

async fn add(
    engine: &Engine,
    template: &JobTemplate,
    data: Map<String, Value>,
    (tenant, user): (&str, &str),
    (priority, id): (Option<u32>, Option<JobId>),
) -> anyhow::Result<(JobId, bool)> {
    let queue = engine.queue(template.queue).await?;
    let id = id.unwrap_or_else(|| queue.new_id());
    let mut job = queue.job_with_id(id, template.job, Value::Object(data).to_string()).owner(tenant, user);
    if let Some(priority) = priority {
        job = job.priority(priority);
    }
    let added = queue.add(job).await?;
    if let AddOutcome::Full { depth_max } = added.outcome {
        bail!("{} is at its depth limit of {depth_max}; nothing was added", queue.name());
    }
    Ok((added.id.clone(), added.is_new()))
}
