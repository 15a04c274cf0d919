//! `adrt notify …`: what an agent that is a script says of itself.
//!
//! Prints nothing: the output of a script is its log.

use std::time::Duration;

use clap::Subcommand;

use super::failure::Failure;
use super::json::Object;
use super::{Context, DONE, agent, client};

/// Say from within an agent how it is
#[derive(Debug, Clone, Subcommand)]
#[expect(missing_docs, reason = "a command's help stands at its arguments")]
pub enum NotifyCommand {
    Ready(ReadyArgs),
    Status(StatusArgs),
    Heartbeat(HeartbeatArgs),
}

/// Say that the agent is ready to work
///
/// The service manager is told, and whoever waits for it.
#[derive(Debug, Clone, clap::Args)]
#[command(after_help = "Examples:
  adrt notify ready
  adrt notify ready --status 'watching 12 feeds'")]
pub struct ReadyArgs {
    /// Which agent
    pub agent: Option<String>,
    /// A line for people
    #[arg(long, value_name = "TEXT")]
    pub status: Option<String>,
}

/// Say what the agent is doing
///
/// A line for people: it stands in adrt status, and in that of the service
/// manager.
#[derive(Debug, Clone, clap::Args)]
#[command(
    allow_missing_positional = true,
    after_help = "Examples:
  adrt notify status 'page 7 of 12'"
)]
pub struct StatusArgs {
    /// Which agent
    pub agent: Option<String>,
    /// The line
    #[arg(required = true)]
    pub text: String,
}

/// Say that the agent is alive
///
/// With a line for people, as notify status.
#[derive(Debug, Clone, clap::Args)]
#[command(after_help = "Examples:
  adrt notify heartbeat
  adrt notify heartbeat --progress 7/12")]
pub struct HeartbeatArgs {
    /// Which agent
    pub agent: Option<String>,
    /// A line for people
    #[arg(long, value_name = "TEXT")]
    pub status: Option<String>,
    /// How far it is: so much done, of so much
    #[arg(long, value_name = "DONE[/TOTAL]", value_parser = progress)]
    pub progress: Option<Progress>,
}

/// How far something is, as JSON numbers.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Progress {
    done: String,
    total: Option<String>,
}

fn progress(text: &str) -> Result<Progress, String> {
    let (done, total) = match text.split_once('/') {
        Some((done, total)) => (done, Some(total)),
        None => (text, None),
    };
    let number = |text: &str| match text.trim().parse::<f64>() {
        Ok(number) if number.is_finite() => Ok(serde_json::Value::from(number).to_string()),
        _ => Err("is no progress; write it like 7 or 7/12".to_owned()),
    };
    Ok(Progress { done: number(done)?, total: total.map(number).transpose()? })
}

/// Runs one of them.
///
/// # Errors
/// The agent does not run, or can't be asked.
pub fn main(command: NotifyCommand, context: &Context) -> Result<u8, Failure> {
    let (agent, method, params) = match command {
        NotifyCommand::Ready(args) => (args.agent, "ready", said(args.status.as_deref())),
        NotifyCommand::Status(args) => (args.agent, "heartbeat", said(Some(&args.text))),
        NotifyCommand::Heartbeat(args) => {
            let mut params = said(args.status.as_deref());
            if let Some(progress) = &args.progress {
                params = params.raw("progress", &as_object(progress));
            }
            (args.agent, "heartbeat", params)
        }
    };
    let home = agent::choose(context, agent.as_deref())?;
    client::call_running(context, &home, method, &params.finish(), Duration::ZERO)?;
    Ok(DONE)
}

fn said(status: Option<&str>) -> Object {
    status.map_or_else(Object::new, |text| Object::new().text("status", text))
}

fn as_object(progress: &Progress) -> String {
    let object = Object::new().raw("done", &progress.done);
    match &progress.total {
        Some(total) => object.raw("total", total).finish(),
        None => object.finish(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn how_far() {
        let shown = |text| progress(text).map(|progress| as_object(&progress));
        assert_eq!(shown("7").as_deref(), Ok("{\"done\":7.0}"));
        assert_eq!(shown("7/12").as_deref(), Ok("{\"done\":7.0,\"total\":12.0}"));
        for text in ["", "x", "7/", "7/x", "inf", "1/2/3"] {
            assert!(progress(text).is_err(), "{text}");
        }
    }
}
