//! `adrt metrics`: what is measured of agents, for Prometheus and its like.

use super::failure::{Failure, Kind};
use super::output::note;
use super::status::{self, Status};
use super::{Context, DONE, agent, client};
use crate::metrics::{self, Figures, Format};
use crate::runtime::metrics::complete;
use crate::store::home::Home;

/// Print metrics of one agent or all, for Prometheus
///
/// OpenMetrics text. Of a running agent its adrt is asked; of any other the
/// database tells, which knows less: what is not known is left out. Counters
/// of events, crashes, commits and bytes begin at 0 with each adrt run,
/// adrt_incarnations_total with the agent's life, processor time with each
/// process.
///
/// For node_exporter's textfile collector adrt run --metrics FILE is the better
/// way: it keeps a file fresh. This is for a collector that runs a command.
#[derive(Debug, Clone, clap::Args)]
#[command(after_help = "Examples:
  adrt metrics
  adrt metrics night-watch | grep adrt_inbox
  adrt run --metrics /var/lib/prometheus/node-exporter/night-watch.prom -- python3 agent.py")]
pub struct MetricsArgs {
    /// Which agent; all of them without it
    pub agent: Option<String>,
}

/// Runs the command.
///
/// # Errors
/// There is no such agent, or it can't be read. Of all of them, those that
/// can't be are left out, and that is said.
pub fn main(args: &MetricsArgs, context: &Context) -> Result<u8, Failure> {
    let found = match &args.agent {
        Some(name) => vec![figures(&agent::choose(context, Some(name))?)?],
        None => all(context)?,
    };
    context.out.print(&metrics::page(&found, context.moment.now, Format::OpenMetrics))?;
    Ok(DONE)
}

fn all(context: &Context) -> Result<Vec<Figures>, Failure> {
    let state_dir = context.state_dir()?;
    let mut found = Vec::new();
    for name in agent::all(context)? {
        let home = Home::new(&state_dir, &name)
            .map_err(|error| agent::of_home("the agents can't be told of", &error))?;
        match figures(&home) {
            Ok(figures) => found.push(figures),
            Err(failure) => note(&format!("{name}: {failure}")),
        }
    }
    Ok(found)
}

/// What is known of that agent.
fn figures(home: &Home) -> Result<Figures, Failure> {
    let said = client::running(home).and_then(|holder| client::status(home, &holder).ok());
    let status = match said {
        Some(said) => said,
        None => document(&status::of_agent(home)?)?,
    };
    let figures = Figures::parse(&status).map_err(|error| {
        Failure::new(Kind::Failed, format!("what {} says makes no sense", home.agent()))
            .why(error)
            .hint("its adrt may be of another version: compare adrt --version")
    })?;
    Ok(complete(figures, home))
}

fn document(status: &Status) -> Result<String, Failure> {
    serde_json::to_string(status)
        .map_err(|error| Failure::new(Kind::Failed, "the status is no JSON").why(error))
}
