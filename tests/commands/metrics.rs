//! `adrt metrics`: of a running agent, of a stopped one, and of all.

use std::io::Write as _;
use std::process::{Command, Stdio};

use crate::world::{World, assert_three_lines, failed, output, until};

/// A sample's value; none if it is not told.
fn sample(page: &str, series: &str) -> Option<f64> {
    let line = page.lines().find_map(|line| line.strip_prefix(&format!("{series} ")))?;
    Some(line.parse().expect("a number"))
}

#[test]
fn metrics_of_a_running_and_a_stopped_agent() {
    let world = World::with(&["b"]);
    let mut running = world.idle("a");
    world.ok(&["state", "patch", "a", "{\"n\":1}"]);
    world.ok(&["events", "emit", "a", "{\"type\":\"x\"}"]);
    let page = world.ok(&["metrics"]);
    assert!(page.ends_with("# EOF\n"), "{page}");
    for (series, value) in [
        ("adrt_agent_up{agent=\"a\"}", Some(1.0)),
        ("adrt_agent_up{agent=\"b\"}", Some(0.0)),
        ("adrt_agent_phase{agent=\"a\",phase=\"running\"}", Some(1.0)),
        ("adrt_agent_phase{agent=\"b\",phase=\"stopped\"}", Some(1.0)),
        ("adrt_incarnations_total{agent=\"a\"}", Some(1.0)),
        ("adrt_incarnations_total{agent=\"b\"}", Some(1.0)),
        ("adrt_state_version{agent=\"a\"}", Some(1.0)),
        ("adrt_inbox_events{agent=\"a\",state=\"pending\"}", Some(1.0)),
        ("adrt_events_arrived_total{agent=\"a\"}", Some(1.0)),
        ("adrt_store_failing{agent=\"a\"}", Some(0.0)),
        // What no run counts is not told.
        ("adrt_events_arrived_total{agent=\"b\"}", None),
        ("adrt_agent_uptime_seconds{agent=\"b\"}", None),
    ] {
        assert_eq!(sample(&page, series), value, "{series}: {page}");
    }
    for known in ["adrt_agent_uptime_seconds", "adrt_inbox_oldest_seconds"] {
        assert!(sample(&page, &format!("{known}{{agent=\"a\"}}")).is_some(), "{page}");
    }
    for positive in [
        "adrt_agent_resident_memory_bytes",
        "adrt_db_bytes",
        "adrt_store_written_bytes_total",
        "adrt_store_written_day_bytes",
        "adrt_commit_seconds_count",
    ] {
        assert!(sample(&page, &format!("{positive}{{agent=\"a\"}}")) > Some(0.0), "{page}");
    }
    let one = world.ok(&["metrics", "b"]);
    assert!(one.contains("agent=\"b\"") && !one.contains("agent=\"a\""), "{one}");
    parsed_by_others(&page, "openmetrics.parser");

    world.ok(&["stop", "a"]);
    assert_eq!(running.ended(), Some(0));
    let page = world.ok(&["metrics", "a"]);
    assert_eq!(sample(&page, "adrt_agent_up{agent=\"a\"}"), Some(0.0));
    assert_eq!(sample(&page, "adrt_state_version{agent=\"a\"}"), Some(1.0));
}

/// What Prometheus' own library for Python makes of it, where that is installed.
fn parsed_by_others(page: &str, parser: &str) {
    let script = format!(
        "import sys\n\
         try: from prometheus_client.{parser} import text_string_to_metric_families as parse\n\
         except ImportError: sys.exit(77)\n\
         assert len(list(parse(sys.stdin.read()))) > 20"
    );
    let mut command = Command::new("python3");
    command.args(["-c", &script]).stdin(Stdio::piped()).stderr(Stdio::piped());
    #[expect(clippy::disallowed_methods, reason = "a test starts it from outside")]
    let mut child = command.spawn().expect("the tests need python3");
    let mut stdin = child.stdin.take().expect("a pipe");
    let _it_may_have_left = stdin.write_all(page.as_bytes());
    drop(stdin);
    let ended = child.wait_with_output().expect("waits");
    match ended.status.code() {
        Some(77) => println!("skipped: python3 has no prometheus_client here"),
        code => assert_eq!(code, Some(0), "{}", String::from_utf8_lossy(&ended.stderr)),
    }
}

#[test]
fn a_file_is_kept_fresh() {
    use std::os::unix::fs::PermissionsExt as _;
    let world = World::new();
    let file = world.path("a.prom");
    let path = file.display().to_string();
    let words = ["run", "-n", "a", "--metrics", &path, "--release", "7", "--", "sleep", "1000"];
    let mut running = world.run("a", &words, "running");
    let read = || std::fs::read_to_string(&file).unwrap_or_default();
    let page = until("it says running", || {
        let page = read();
        let phase = "adrt_agent_phase{agent=\"a\",phase=\"running\"}";
        (sample(&page, phase) == Some(1.0)).then_some(page)
    });
    assert_eq!(sample(&page, "adrt_agent_up{agent=\"a\"}"), Some(1.0));
    assert!(page.contains("adrt_agent_info{agent=\"a\",release=\"7\","), "{page}");
    assert!(page.contains("# TYPE adrt_incarnations_total counter\n"), "{page}");
    assert!(!page.contains("# EOF") && !page.contains("# UNIT"), "{page}");
    parsed_by_others(&page, "parser");
    let mode = std::fs::metadata(&file).expect("is there").permissions().mode();
    assert_eq!(mode & 0o777, 0o644);
    world.ok(&["stop", "a"]);
    assert_eq!(running.ended(), Some(0));
    let page = read();
    assert_eq!(sample(&page, "adrt_agent_up{agent=\"a\"}"), Some(0.0), "{page}");
    assert_eq!(sample(&page, "adrt_agent_phase{agent=\"a\",phase=\"stopped\"}"), Some(1.0));
    let beside = std::fs::read_dir(file.parent().expect("has one")).expect("reads");
    let left = beside.filter(|entry| {
        entry.as_ref().is_ok_and(|e| e.file_name().to_string_lossy().starts_with(".a.prom"))
    });
    assert_eq!(left.count(), 0, "something is left beside it");
}

#[test]
fn a_file_that_can_not_be_is_one_warning() {
    let world = World::new();
    let path = world.path("no/such/dir/a.prom").display().to_string();
    let words = ["run", "-n", "a", "--metrics", &path, "--", "true"];
    let ended = output(&mut world.adrt(&words));
    assert_eq!(ended.status.code(), Some(0));
    let said = String::from_utf8_lossy(&ended.stderr).into_owned();
    assert_eq!(said.matches("metrics can't be kept").count(), 1, "{said}");
}

#[test]
fn nobody_and_the_unreadable() {
    let world = World::with(&["a", "broken"]);
    assert_eq!(World::new().ok(&["metrics"]), "# EOF\n");
    assert_three_lines(&world.fails(66, &["metrics", "nobody"]));
    let db = world.path("state/broken/db/adrt.db");
    std::fs::write(db, b"no database, but long enough for one".repeat(200)).expect("writes");
    failed(74, &mut world.adrt(&["metrics", "broken"]));
    // Of all, the others are still told of.
    let all = output(&mut world.adrt(&["metrics"]));
    assert_eq!(all.status.code(), Some(0));
    let page = String::from_utf8_lossy(&all.stdout).into_owned();
    assert!(page.contains("agent=\"a\"") && !page.contains("agent=\"broken\""), "{page}");
    assert!(String::from_utf8_lossy(&all.stderr).contains("broken"));
}
