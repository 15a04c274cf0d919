//! Does the confidence mean anything? In worlds where the truth is known
//! ([`worlds`]) it has to come close to one who knows it, and closer than what
//! it is held against.
//!
//! `cargo bench --bench calibration` measures the same over more worlds.

use adrt::engines::confidence::SURE;
use adrt::engines::context::Risk;

use super::worlds::{Events, Moment, Plan, Tally, Told, Who, live};

/// Worlds for each risk, unless `ADRT_SIM_SEEDS` says otherwise.
const SEEDS: u64 = 60;
/// The Brier score over the best possible, on average over the risks.
const BRIER_GOAL: f64 = 1.06;
/// The cost over the best possible.
const COST_GOAL: f64 = 1.05;

fn from_environment(name: &str) -> Option<u64> {
    std::env::var(name).ok().map(|text| text.parse().unwrap())
}

fn seeds(usual: u64) -> std::ops::Range<u64> {
    match from_environment("ADRT_SEED") {
        Some(seed) => seed..seed + 1,
        None => 0..from_environment("ADRT_SIM_SEEDS").unwrap_or(usual),
    }
}

/// The averages over the risks, and what the worst worlds were.
struct Figures {
    brier: f64,
    cost: f64,
    worst: String,
}

fn measure(seeds: std::ops::Range<u64>, plan: &Plan, who: Who) -> Figures {
    let (mut brier, mut cost, mut worst) = (0.0, 0.0, String::new());
    for risk in Risk::ALL {
        let lives: Vec<(u64, Tally)> = seeds
            .clone()
            .map(|seed| (seed, live(seed, risk, plan, who, |moment| sane(seed, risk, moment))))
            .collect();
        let mut all = Tally::default();
        lives.iter().for_each(|(_, tally)| all.add(tally));
        brier += all.brier() / 4.0;
        cost += all.cost() / 4.0;
        let most = lives.iter().max_by(|one, other| one.1.brier().total_cmp(&other.1.brier()));
        let (seed, tally) = most.unwrap();
        worst += &format!(
            "\n{}: Brier {:.3}, cost {:.3}; at worst {:.3} with ADRT_SEED={seed}",
            risk.as_str(),
            all.brier(),
            all.cost(),
            tally.brier(),
        );
    }
    Figures { brier, cost, worst }
}

fn sane(seed: u64, risk: Risk, moment: &Moment<'_>) {
    let Moment { confidence, p, .. } = moment;
    let (least, most) = SURE;
    assert!((least..=most).contains(confidence), "{confidence} at {risk:?} in ADRT_SEED={seed}");
    assert!(*p > 0.0 && *p < 1.0, "no world is certain: {p} in ADRT_SEED={seed}");
}

/// The goals are about many worlds; one alone is only looked at.
fn reaches_its_goals(seeds: std::ops::Range<u64>, ours: &Figures) {
    let Figures { brier, cost, worst } = ours;
    if seeds.clone().count() == 1 {
        println!("Brier {brier:.3}, cost {cost:.3} over the best possible{worst}");
        return;
    }
    assert!(*brier <= BRIER_GOAL, "Brier {brier:.4} of worlds {seeds:?}{worst}");
    assert!(*cost <= COST_GOAL, "cost {cost:.4} of worlds {seeds:?}{worst}");
}

#[test]
fn confidence_comes_close_to_the_truth() {
    let seeds = seeds(SEEDS);
    let plan = Plan::default();
    let ours = measure(seeds.clone(), &plan, Who::Ours);
    reaches_its_goals(seeds.clone(), &ours);
    let rivals = [Who::Raw, Who::Published, Who::Weighted];
    for rival in rivals.into_iter().filter(|_| seeds.clone().count() > 1) {
        let Figures { brier, cost, .. } = measure(seeds.clone(), &plan, rival);
        assert!(ours.brier < brier, "{rival:?} has {brier:.4}, we {:.4}{}", ours.brier, ours.worst);
        assert!(ours.cost < cost, "{rival:?} has {cost:.4}, we {:.4}{}", ours.cost, ours.worst);
    }
}

#[test]
fn a_context_learns_from_its_own_outcomes() {
    let seeds = seeds(SEEDS / 4);
    let plan = Plan { contexts: 4, ..Plan::default() };
    let ours = measure(seeds.clone(), &plan, Who::Ours);
    reaches_its_goals(seeds.clone(), &ours);
    let without = measure(seeds.clone(), &plan, Who::OursWithoutContext);
    if seeds.count() > 1 {
        assert!(ours.brier < without.brier && ours.cost < without.cost, "{}", without.worst);
    }
}

#[test]
fn it_learns_even_where_little_is_told() {
    // Of what waited for a person nothing is ever told, and the caller names
    // the risk of whatever comes.
    let plan = Plan { told: Told::Approved(0.0), events: Events::Any, ..Plan::default() };
    let (ours, raw) = (measure(0..15, &plan, Who::Ours), measure(0..15, &plan, Who::Raw));
    assert!(ours.brier < raw.brier && ours.cost < raw.cost, "{}", ours.worst);
}

#[test]
fn a_world_is_the_same_for_everyone_who_is_tried() {
    let plan = Plan { contexts: 2, ..Plan::default() };
    let truths = |who| {
        let mut truths = Vec::new();
        live(3, Risk::High, &plan, who, |moment| truths.push((moment.case.now, moment.p)));
        truths
    };
    let first = truths(Who::Ours);
    assert_eq!(first.len(), plan.outcomes * plan.contexts);
    assert!(Who::ALL.into_iter().all(|who| truths(who) == first));
    assert!(first.is_sorted_by_key(|(now, _)| *now));
}

#[test]
fn one_who_knows_the_truth_has_the_best_score() {
    let mut tally = Tally::default();
    for p in [0.05, 0.3, 0.6, 0.9] {
        for wrong in [0.0, 0.1, -0.25] {
            let mut one = Tally::default();
            one.count(p + wrong, p, 0.5);
            assert!(one.brier() >= 1.0 && one.cost() >= 1.0);
        }
        tally.count(p, p, 0.5);
    }
    assert_eq!((tally.brier(), tally.cost()), (1.0, 1.0));
}
