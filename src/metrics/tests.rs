use std::collections::{BTreeMap, BTreeSet};

use super::*;

const STATUS: &str = r#"{"agent":"night-watch","phase":"running","pid":77,"incarnation":12,
    "uptime_ms":61500,"restarts":2,"crashes_in_row":1,"crash_loop":false,"unstable":false,
    "next_retry_ms":null,"version":345,"state_bytes":1234,"unknown":[1],
    "checkpoint":{"id":3,"version":340,"created":"1970-01-01T00:16:40.000Z"},
    "file_bytes":65536,"written_bytes":1048576,"written_day_bytes":3145728,"store":"ok","writes_waiting":0,
    "environment":{"level":"high","score":0.625},
    "inbox":{"pending":4,"held":1,"parked":0,"dead":2,"full":false,
        "oldest":"1970-01-01T00:16:30.500Z"},
    "reviews":1,"timers":3,"posts":0,
    "counters":{"release":"1.4 \"final\"\\","max_db":268435456,"crashes":{"failed":2,"signal":1},
        "events":{"arrived":10,"delivered":9,"acked":3,"dead":2},
        "commits":40,"commit_seconds":0.125}}"#;

fn agents() -> Vec<Figures> {
    let mut running = Figures::parse(STATUS).unwrap();
    running.usage = Some(Usage { resident_bytes: 20_000_000, cpu_seconds: 1.5 });
    let stopped = Figures {
        agent: "b".into(),
        phase: "stopped".into(),
        version: Some(1),
        file_bytes: Some(4096),
        store: Some("moved away, to /x".into()),
        ..Figures::default()
    };
    vec![running, stopped]
}

fn now() -> Wall {
    Wall::from_millis(1_060_000)
}

/// The values of a page that keeps every rule which both formats have in
/// common, by name and labels.
fn read(page: &str, format: Format) -> BTreeMap<String, f64> {
    let mut values = BTreeMap::new();
    let mut families = BTreeSet::new();
    let (mut family, mut kind) = (String::new(), String::new());
    let open = format == Format::OpenMetrics;
    let body = if open { page.strip_suffix("# EOF\n").expect("an end") } else { page };
    assert!(body.ends_with('\n'));
    for line in body.lines() {
        if let Some(comment) = line.strip_prefix("# ") {
            let mut words = comment.splitn(3, ' ');
            let (what, name, rest) = (words.next(), words.next().unwrap(), words.next().unwrap());
            match what {
                Some("TYPE") => {
                    assert!(families.insert(name.to_owned()), "{name} twice");
                    (family, kind) = (name.to_owned(), rest.to_owned());
                }
                Some("UNIT") => {
                    assert!(open && name == family);
                    assert!(name.ends_with(&format!("_{rest}")), "{name} is not in {rest}");
                }
                Some("HELP") => assert!(name == family && rest.ends_with('.'), "{line}"),
                _ => panic!("{line}"),
            }
            continue;
        }
        let (series, value) = line.rsplit_once(' ').unwrap();
        let (name, labels) = series.split_once('{').unwrap();
        assert!(labels.starts_with("agent=\"") && labels.ends_with("\"}"), "{line}");
        let rest = name.strip_prefix(&family).unwrap_or_else(|| panic!("{line} in {family}"));
        match (format, &*kind, rest) {
            (_, "gauge", "")
            | (Format::OpenMetrics, "counter", "_total")
            | (Format::OpenMetrics, "info", "_info")
            | (_, "summary", "_count" | "_sum") => {}
            (Format::Classic, "counter", "") => assert!(name.ends_with("_total"), "{line}"),
            _ => panic!("{line} is no sample of a {kind}"),
        }
        let value: f64 = value.parse().unwrap();
        assert!(value.is_finite() && value >= 0.0, "{line}");
        assert!(values.insert(series.to_owned(), value).is_none(), "{line} twice");
    }
    values
}

#[test]
fn both_formats_say_the_same() {
    let page = |format| read(&super::page(&agents(), now(), format), format);
    let open = page(Format::OpenMetrics);
    assert_eq!(open, page(Format::Classic));
    for (series, value) in [
        ("adrt_agent_up{agent=\"night-watch\"}", 1.0),
        ("adrt_agent_up{agent=\"b\"}", 0.0),
        ("adrt_agent_phase{agent=\"night-watch\",phase=\"running\"}", 1.0),
        ("adrt_agent_phase{agent=\"night-watch\",phase=\"backoff\"}", 0.0),
        ("adrt_agent_uptime_seconds{agent=\"night-watch\"}", 61.5),
        ("adrt_incarnations_total{agent=\"night-watch\"}", 12.0),
        ("adrt_crashes_total{agent=\"night-watch\",class=\"failed\"}", 2.0),
        ("adrt_crashes_total{agent=\"night-watch\",class=\"hang\"}", 0.0),
        ("adrt_checkpoint_age_seconds{agent=\"night-watch\"}", 60.0),
        ("adrt_inbox_oldest_seconds{agent=\"night-watch\"}", 69.5),
        ("adrt_inbox_events{agent=\"night-watch\",state=\"pending\"}", 4.0),
        ("adrt_dead_letters{agent=\"night-watch\"}", 2.0),
        ("adrt_events_acked_total{agent=\"night-watch\"}", 3.0),
        ("adrt_environment_level{agent=\"night-watch\"}", 2.0),
        ("adrt_store_failing{agent=\"night-watch\"}", 0.0),
        ("adrt_store_written_bytes_total{agent=\"night-watch\"}", 1_048_576.0),
        ("adrt_store_written_day_bytes{agent=\"night-watch\"}", 3_145_728.0),
        ("adrt_commit_seconds_sum{agent=\"night-watch\"}", 0.125),
        ("adrt_agent_cpu_seconds_total{agent=\"night-watch\"}", 1.5),
        ("adrt_db_bytes{agent=\"b\"}", 4096.0),
    ] {
        assert_eq!(open.get(series), Some(&value), "{series}");
    }
    // What is not known is not told.
    for name in [
        "adrt_restart_delay_seconds",
        "adrt_store_failing{agent=\"b\"",
        "adrt_crash_loop{agent=\"b\"",
    ] {
        assert!(!open.keys().any(|series| series.starts_with(name)), "{name}");
    }
}

#[test]
fn the_page_as_it_is() {
    let page = super::page(&agents(), now(), Format::OpenMetrics);
    let expected = include_str!("../../tests/golden/metrics.txt");
    let version = env!("CARGO_PKG_VERSION");
    let page = page.replace(&format!("version=\"{version}\""), "version=\"VERSION\"");
    if std::env::var_os("ADRT_BLESS").is_some() {
        let path = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/golden/metrics.txt");
        std::fs::write(path, &page).unwrap();
        return;
    }
    assert_eq!(page, expected, "ADRT_BLESS=1 writes tests/golden/metrics.txt anew");
}

#[test]
fn a_release_may_be_called_anything() {
    let page = super::page(&agents(), now(), Format::Classic);
    assert!(page.contains(r#"release="1.4 \"final\"\\","#), "{page}");
}

#[test]
fn an_end_takes_the_process_away_and_leaves_the_counts() {
    let ended = agents().remove(0).stopped();
    let values = read(&super::page(&[ended], now(), Format::Classic), Format::Classic);
    assert_eq!(values["adrt_agent_up{agent=\"night-watch\"}"], 0.0);
    assert_eq!(values["adrt_agent_phase{agent=\"night-watch\",phase=\"stopped\"}"], 1.0);
    assert_eq!(values["adrt_events_acked_total{agent=\"night-watch\"}"], 3.0);
    assert!(!values.contains_key("adrt_agent_uptime_seconds{agent=\"night-watch\"}"));
}

#[test]
fn no_agents_are_no_samples() {
    assert_eq!(super::page(&[], now(), Format::OpenMetrics), "# EOF\n");
    assert_eq!(super::page(&[], now(), Format::Classic), "");
}
