//! Families of samples, as text.
//!
//! Two formats. OpenMetrics 1.0 is what is asked for over the network. The
//! classic text format 0.0.4 is what node_exporter reads from files: there the
//! type is that of the sample's whole name, units and the end are not told, and
//! there is no type for information.

use std::fmt::Write as _;

use super::Figures;
use crate::clock::Wall;

/// How it is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Format {
    /// OpenMetrics 1.0.
    OpenMetrics,
    /// The text format 0.0.4.
    Classic,
}

/// What a family's samples are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    /// May rise and fall.
    Gauge,
    /// Only rises, until it begins anew.
    Counter,
    /// Always 1: its labels are what it tells.
    Info,
    /// How many there were, and how much they had together.
    Summary,
}

/// Samples of one name.
pub(super) struct Family {
    /// Without what a kind puts at its end.
    pub name: &'static str,
    /// At the end of the name.
    pub unit: Option<&'static str>,
    pub kind: Kind,
    /// One sentence.
    pub help: &'static str,
    pub samples: fn(&Figures, Wall, &mut Samples),
}

/// A family's samples of one agent.
#[derive(Default)]
pub(super) struct Samples(Vec<Sample>);

struct Sample {
    suffix: &'static str,
    labels: Vec<(&'static str, String)>,
    value: f64,
}

impl Samples {
    /// One that is known, or not.
    pub fn put(&mut self, value: Option<f64>) {
        self.labelled(&[], value);
    }

    /// A count.
    pub fn count(&mut self, value: Option<u64>) {
        self.put(value.map(number));
    }

    /// Yes or no.
    pub fn truth(&mut self, value: Option<bool>) {
        self.put(value.map(|truth| f64::from(u8::from(truth))));
    }

    /// One of several.
    pub fn labelled(&mut self, labels: &[(&'static str, &str)], value: Option<f64>) {
        let Some(value) = value.filter(|value| value.is_finite()) else { return };
        let labels = labels.iter().map(|(name, text)| (*name, (*text).to_owned())).collect();
        self.0.push(Sample { suffix: "", labels, value });
    }

    /// Both of a summary.
    pub fn summary(&mut self, count: u64, sum: f64) {
        for (suffix, value) in [("_count", number(count)), ("_sum", sum)] {
            self.0.push(Sample { suffix, labels: Vec::new(), value });
        }
    }
}

/// Samples are floats; a count beyond 2^53 would be off by one.
pub(super) fn number(count: u64) -> f64 {
    count as f64
}

/// See [`super::page`].
pub(super) fn page(families: &[Family], agents: &[Figures], now: Wall, format: Format) -> String {
    let mut text = String::new();
    for family in families {
        let samples = agents.iter().flat_map(|agent| {
            let mut samples = Samples::default();
            (family.samples)(agent, now, &mut samples);
            samples.0.into_iter().map(|sample| (&*agent.agent, sample))
        });
        let samples: Vec<_> = samples.collect();
        if !samples.is_empty() {
            head(&mut text, family, format);
        }
        for (agent, sample) in samples {
            line(&mut text, family, agent, &sample);
        }
    }
    match format {
        Format::OpenMetrics => text + "# EOF\n",
        Format::Classic => text,
    }
}

fn head(text: &mut String, family: &Family, format: Format) {
    let (name, kind) = match (format, family.kind) {
        (_, Kind::Gauge) => (family.name.to_owned(), "gauge"),
        (_, Kind::Summary) => (family.name.to_owned(), "summary"),
        (Format::OpenMetrics, Kind::Counter) => (family.name.to_owned(), "counter"),
        (Format::OpenMetrics, Kind::Info) => (family.name.to_owned(), "info"),
        (Format::Classic, Kind::Counter) => (format!("{}_total", family.name), "counter"),
        (Format::Classic, Kind::Info) => (format!("{}_info", family.name), "gauge"),
    };
    let unit = family.unit.filter(|_| format == Format::OpenMetrics);
    let _in_memory = writeln!(text, "# TYPE {name} {kind}");
    if let Some(unit) = unit {
        let _in_memory = writeln!(text, "# UNIT {name} {unit}");
    }
    let _in_memory = writeln!(text, "# HELP {name} {}", family.help);
}

fn line(text: &mut String, family: &Family, agent: &str, sample: &Sample) {
    let suffix = match family.kind {
        Kind::Gauge => "",
        Kind::Counter => "_total",
        Kind::Info => "_info",
        Kind::Summary => sample.suffix,
    };
    let _in_memory = write!(text, "{}{suffix}{{agent=\"{}\"", family.name, escaped(agent));
    for (name, value) in &sample.labels {
        let _in_memory = write!(text, ",{name}=\"{}\"", escaped(value));
    }
    let _in_memory = writeln!(text, "}} {}", sample.value);
}

/// A label's value, as both formats want it.
fn escaped(text: &str) -> String {
    text.replace('\\', "\\\\").replace('"', "\\\"").replace('\n', "\\n")
}
