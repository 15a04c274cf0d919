//! Sources the loop waits on, each of which may not be there: then it waits
//! for ever, and the others go on. All may be dropped at any time.

use std::future::pending;
use std::time::Duration;

use tokio::net::unix::pipe::Receiver;
use tokio::time::Interval;

use super::control::{Control, Event};
use super::metrics::MetricsFile;
use super::stdin_queue::StdinQueue;
use crate::feed::Feed;
use crate::output::TextPipe;
use crate::sensors::Sensors;
use crate::supervisor::io::{Sample, SourceBatch};

/// The next request of an operator.
pub async fn operator(control: Option<&mut Control>) -> Event {
    match control {
        Some(control) => control.next().await,
        None => pending().await,
    }
}

/// The next lines of `--events`.
pub async fn lines(feed: Option<&mut Feed>) -> SourceBatch {
    if let Some(feed) = feed
        && let Some(batch) = feed.next().await
    {
        return batch;
    }
    // There is no source, or it has ended.
    pending().await
}

/// The next look at the sensors.
pub async fn sample(sensors: Option<&Sensors>) -> Sample {
    match sensors {
        Some(sensors) => sensors.next().await,
        None => pending().await,
    }
}

/// The wire has something, or its end.
pub async fn readable(wire: Option<&Receiver>) {
    match wire {
        // An error shows at the read that follows.
        Some(wire) => drop(wire.readable().await),
        None => pending().await,
    }
}

/// The agent's stdin takes something.
pub async fn writable(stdin: Option<&StdinQueue>) {
    match stdin {
        // An error shows at the write that follows.
        Some(stdin) => drop(stdin.writable().await),
        None => pending().await,
    }
}

/// Text was read and passed on; false when there will be no more.
pub async fn text(pipe: Option<&mut TextPipe>) -> bool {
    match pipe {
        Some(pipe) => matches!(pipe.read_some().await, Ok(1..)),
        None => pending().await,
    }
}

/// A span has passed.
pub async fn after(span: Option<Duration>) {
    match span {
        Some(span) => tokio::time::sleep(span).await,
        None => pending().await,
    }
}

/// The metrics are to be written anew.
pub async fn metrics(file: Option<&mut MetricsFile>) {
    match file {
        Some(file) => file.due().await,
        None => pending().await,
    }
}

/// The watchdog wants to be pinged.
pub async fn tick(interval: Option<&mut Interval>) {
    match interval {
        Some(interval) => {
            interval.tick().await;
        }
        None => pending().await,
    }
}
