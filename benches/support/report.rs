//! Numbers, goals and the line of JSON at the end.

/// The middle one; 0 of none.
pub fn median(values: &[f64]) -> f64 {
    share(values, 0.5)
}

/// The value below which so great a share of them lies; 0 of none.
pub fn share(values: &[f64], part: f64) -> f64 {
    let mut sorted = values.to_vec();
    sorted.sort_by(f64::total_cmp);
    let at = (part * sorted.len() as f64) as usize;
    sorted.get(at.min(sorted.len().saturating_sub(1))).copied().unwrap_or(0.0)
}

/// What a bench found, told as it goes and once more as JSON.
#[derive(Debug)]
pub struct Report {
    members: Vec<String>,
}

impl Report {
    /// Of that bench.
    pub fn new(bench: &str) -> Self {
        Self { members: vec![format!("\"bench\":\"{bench}\"")] }
    }

    /// A number that has no goal.
    pub fn number(&mut self, name: &str, value: f64, unit: &str) {
        println!("{name:<28}{value:>12.3} {unit}");
        self.members.push(format!("\"{name}\":{value:.3}"));
    }

    /// A number that is to be at most so much.
    pub fn at_most(&mut self, name: &str, value: f64, unit: &str, goal: f64) {
        self.judged(name, value, unit, value <= goal, &format!("at most {goal}"));
    }

    /// A number that is to be at least so much.
    pub fn at_least(&mut self, name: &str, value: f64, unit: &str, goal: f64) {
        self.judged(name, value, unit, value >= goal, &format!("at least {goal}"));
    }

    fn judged(&mut self, name: &str, value: f64, unit: &str, met: bool, goal: &str) {
        let verdict = if met { "reached" } else { "MISSED" };
        println!("{name:<28}{value:>12.3} {unit:<6} goal: {goal} {unit}: {verdict}");
        self.members.push(format!("\"{name}\":{value:.3},\"{name}_met\":{met}"));
    }

    /// The line for programs.
    pub fn finish(self) {
        println!("{{{}}}", self.members.join(","));
    }
}
