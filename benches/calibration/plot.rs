//! One life as a picture: how likely success is for one and the same event,
//! and how likely each of those who are tried thinks it is, outcome by outcome.

use std::fmt::Write;
use std::fs;
use std::io;
use std::path::Path;

use adrt::engines::confidence::evidence;
use adrt::engines::context::{Risk, Signals, Weights};

use crate::worlds::{Case, Plan, Who, live};

const RISK: Risk = Risk::High;
/// One point for so many outcomes.
const EVERY: usize = 4;

const WIDTH: f64 = 720.0;
const HEIGHT: f64 = 330.0;
/// Of the field in which lines are drawn.
const LEFT: f64 = 44.0;
const RIGHT: f64 = 560.0;
const TOP: f64 = 34.0;
const BOTTOM: f64 = 286.0;

/// Draws the middle world of so many; returns its seed.
pub fn draw(plan: &Plan, worlds: u64) -> io::Result<u64> {
    let seed = middle(plan, worlds);
    let probe = probe(seed, plan);
    let lines = [
        ("truth", "true probability", truth(seed, plan, &probe)),
        ("ours", "adrt's confidence", believed(seed, plan, &probe, Who::Ours)),
        ("raw", "evidence alone", believed(seed, plan, &probe, Who::Raw)),
        ("published", "weighed by history", believed(seed, plan, &probe, Who::Published)),
    ];
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/calibration.svg");
    fs::create_dir_all(path.parent().unwrap_or(&path))?;
    fs::write(path, picture(plan, &lines))?;
    Ok(seed)
}

/// The world with as many better as worse ones, so that the picture is neither
/// the prettiest nor the worst.
fn middle(plan: &Plan, worlds: u64) -> u64 {
    let brier = |seed| live(seed, RISK, plan, Who::Ours, |_| ()).brier();
    let mut all: Vec<(f64, u64)> = (0..worlds).map(|seed| (brier(seed), seed)).collect();
    all.sort_by(|one, other| one.0.total_cmp(&other.0));
    all.get(all.len() / 2).map_or(0, |(_, seed)| *seed)
}

/// The event that is asked about all the time: the middle one by evidence.
fn probe(seed: u64, plan: &Plan) -> Signals {
    let mut all = Vec::new();
    live(seed, RISK, plan, Who::Raw, |moment| all.push(moment.case.signals));
    let of = |signals: &Signals| evidence(&Weights::default(), signals);
    all.sort_by(|one, other| of(one).total_cmp(&of(other)));
    all.get(all.len() / 2).copied().unwrap_or_default()
}

fn truth(seed: u64, plan: &Plan, probe: &Signals) -> Vec<f64> {
    let mut all = Vec::new();
    let x = evidence(&Weights::default(), probe);
    live(seed, RISK, plan, Who::Raw, |moment| all.push(moment.curve.at(x)));
    all
}

fn believed(seed: u64, plan: &Plan, probe: &Signals, who: Who) -> Vec<f64> {
    let mut all = Vec::new();
    live(seed, RISK, plan, who, |moment| {
        all.push(moment.judge.confidence(&Case { signals: *probe, ..moment.case }));
    });
    all
}

fn x(place: usize, plan: &Plan) -> f64 {
    LEFT + (RIGHT - LEFT) * place as f64 / plan.outcomes as f64
}

fn y(probability: f64) -> f64 {
    BOTTOM - (BOTTOM - TOP) * probability
}

/// Colours that can be read on white and, lighter, on black. The names are
/// long since the picture also stands inside pages that have styles of their
/// own.
const STYLE: &str = "\
.adrt-plot text{font:12px sans-serif;fill:#57606a}
.adrt-plot path{stroke:#8c959f;stroke-width:1;opacity:.4}
.adrt-plot path.drift{stroke-dasharray:2 4;opacity:1}
.adrt-plot polyline{fill:none;stroke-width:1.5;stroke-linejoin:round}
.adrt-plot polyline.truth{stroke:#57606a;stroke-dasharray:7 4}
.adrt-plot polyline.ours{stroke:#0969da;stroke-width:2.5}
.adrt-plot polyline.raw{stroke:#9a6700}
.adrt-plot polyline.published{stroke:#cf222e;stroke-width:1}
.adrt-plot text.ours{fill:#0969da}
.adrt-plot text.raw{fill:#9a6700}
.adrt-plot text.published{fill:#cf222e}
@media(prefers-color-scheme:dark){
.adrt-plot text{fill:#9198a1}
.adrt-plot polyline.truth{stroke:#9198a1}
.adrt-plot polyline.ours{stroke:#58a6ff}
.adrt-plot polyline.raw{stroke:#d29922}
.adrt-plot polyline.published{stroke:#ff7b72}
.adrt-plot text.ours{fill:#58a6ff}
.adrt-plot text.raw{fill:#d29922}
.adrt-plot text.published{fill:#ff7b72}
}";

/// A line's class, its name, and its values.
type Line<'a> = (&'a str, &'a str, Vec<f64>);

fn picture(plan: &Plan, lines: &[Line<'_>]) -> String {
    let mut svg = format!(
        "<svg class=\"adrt-plot\" xmlns=\"http://www.w3.org/2000/svg\" \
         viewBox=\"0 0 {WIDTH} {HEIGHT}\" role=\"img\">\n\
         <title>How likely success is, and how likely it is thought to be</title>\n\
         <style>{STYLE}</style>\n"
    );
    scales(&mut svg, plan);
    for (class, _, values) in lines {
        polyline(&mut svg, plan, class, values);
    }
    names(&mut svg, lines);
    svg.push_str("</svg>\n");
    svg
}

fn put(svg: &mut String, line: std::fmt::Arguments<'_>) {
    // Into memory: it can't fail.
    let _ = svg.write_fmt(line);
    svg.push('\n');
}

fn scales(svg: &mut String, plan: &Plan) {
    for tenths in [0, 2, 4, 6, 8, 10] {
        let (at, label) = (y(f64::from(tenths) / 10.0), f64::from(tenths) / 10.0);
        put(
            svg,
            format_args!(
                "<path d=\"M{LEFT} {at:.1}H{RIGHT}\"/>\
             <text x=\"{:.1}\" y=\"{:.1}\" text-anchor=\"end\">{label:.1}</text>",
                LEFT - 8.0,
                at + 4.0,
            ),
        );
    }
    for quarter in 0..=4 {
        let outcomes = plan.outcomes * quarter / 4;
        put(
            svg,
            format_args!(
                "<text x=\"{:.1}\" y=\"{:.1}\" text-anchor=\"middle\">{outcomes}</text>",
                x(outcomes, plan),
                BOTTOM + 18.0,
            ),
        );
    }
    let (drift, middle) = (x(plan.outcomes / 2, plan), (LEFT + RIGHT) / 2.0);
    put(
        svg,
        format_args!(
            "<path class=\"drift\" d=\"M{drift:.1} {TOP}V{BOTTOM}\"/>\
         <text x=\"{drift:.1}\" y=\"{:.1}\" text-anchor=\"middle\">the world changes</text>",
            TOP - 8.0,
        ),
    );
    put(
        svg,
        format_args!(
            "<text x=\"{middle}\" y=\"{:.1}\" text-anchor=\"middle\">outcomes told</text>",
            BOTTOM + 36.0,
        ),
    );
    put(svg, format_args!("<text x=\"8\" y=\"{:.1}\">probability of success</text>", TOP - 20.0));
}

fn polyline(svg: &mut String, plan: &Plan, class: &str, values: &[f64]) {
    let mut points = Vec::new();
    let mut last: Option<f64> = None;
    for (place, value) in values.iter().enumerate() {
        // A step is drawn as one, not as a slope from one point to the next.
        let step = last.filter(|last| class == "truth" && last != value);
        points.extend(step.map(|last| (x(place, plan), y(last))));
        if place.is_multiple_of(EVERY) || place + 1 == values.len() || step.is_some() {
            points.push((x(place, plan), y(*value)));
        }
        last = Some(*value);
    }
    // What lies on a level line between its ends is left out.
    let level = |place: usize| {
        let around = place.checked_sub(1).and_then(|before| points.get(before..place + 2));
        around.is_some_and(|around| around.iter().all(|(_, y)| *y == around[0].1))
    };
    let kept = points.iter().enumerate().filter(|(place, _)| !level(*place));
    let text: Vec<String> = kept.map(|(_, (x, y))| format!("{x:.1},{y:.1}")).collect();
    put(svg, format_args!("<polyline class=\"{class}\" points=\"{}\"/>", text.join(" ")));
}

/// The name of each line at its end, moved apart where they would touch.
fn names(svg: &mut String, lines: &[Line<'_>]) {
    const APART: f64 = 16.0;
    let end = |values: &[f64]| values.last().map_or(BOTTOM, |value| y(*value));
    let mut ends: Vec<(f64, &str, &str)> =
        lines.iter().map(|(class, name, values)| (end(values), *class, *name)).collect();
    ends.sort_by(|one, other| one.0.total_cmp(&other.0));
    let mut least = TOP;
    for (at, class, name) in ends {
        let at = at.max(least);
        least = at + APART;
        put(
            svg,
            format_args!(
                "<text class=\"{class}\" x=\"{:.1}\" y=\"{:.1}\">{name}</text>",
                RIGHT + 8.0,
                at + 4.0,
            ),
        );
    }
}
