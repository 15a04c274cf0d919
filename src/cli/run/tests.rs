use std::io::Write as _;
use std::time::Duration;

use clap::{Args as _, FromArgMatches as _};

use super::*;
use crate::cli::quantity;
use crate::settings::{OnCrashLoop, OnDamage, RestartMode};

fn parser() -> clap::Command {
    RunArgs::augment_args(clap::Command::new("run")).mut_args(|arg| arg.env(None::<&'static str>))
}

fn args(words: &[&str]) -> RunArgs {
    let words = std::iter::once("run").chain(words.iter().copied());
    let matches = parser().try_get_matches_from(words).expect("parses");
    RunArgs::from_arg_matches(&matches).expect("parses")
}

fn env() -> Env {
    Env::made_up(0, &[])
}

fn of(words: &[&str]) -> Result<Settings, Failure> {
    settings(args(words), None, &env())
}

#[test]
fn the_command_is_left_as_it_is() {
    let argv = |words: &[&str]| of(words).map(|settings| settings.argv);
    let expected: Vec<OsString> =
        ["python3", "a.py", "--", "-x", "--name", ""].map(Into::into).into();
    let ours = ["--", "python3", "a.py", "--", "-x", "--name", ""];
    assert_eq!(argv(&ours), Ok(expected.clone()));
    assert_eq!(argv(&ours[1..]), Ok(expected), "the first -- may be left out");
    assert_eq!(argv(&["-n", "x", "-v", "ls", "-v"]), Ok(vec!["ls".into(), "-v".into()]));
}

#[test]
fn names_and_their_scripts() {
    let named = of(&["--", "python3", "src/agent.py"]).expect("named");
    assert_eq!(named.agent, "agent");
    assert_eq!(named.script, Some("/cwd/src/agent.py".into()));
    let named = of(&["-n", "other", "--", "bash", "-c", "true"]).expect("named");
    assert_eq!((named.agent.as_str(), named.script), ("other", None));
    for words in [&["--", "bash", "-c", "true"][..], &["-n", "a b", "--", "ls"], &[], &["--", ""]] {
        let failure = of(words).expect_err("refused");
        assert_eq!(failure.kind, Kind::Usage, "{words:?}");
        assert!(!failure.why.is_empty() && !failure.hint.is_empty(), "{words:?}");
    }
}

#[test]
fn flags_over_file_over_defaults() {
    let mut file = tempfile::NamedTempFile::new().expect("temporary file");
    let text = "name = \"night\"\ncommand = [\"./watch\"]\nbackoff-max = \"5m\"\n\
                backoff-initial = \"2s\"\nephemeral = true\nstate-dir = \"/file\"\n\
                restart = \"always\"\nevents = \"feed\"\nmax-attempts = 5\n\
                nack-max = \"30s\"\nevent-max-age = \"1h\"\nevent-timeout = \"2m\"\n\
                ordered = true\non-crash-loop = \"rollback\"\ncheckpoint-every = 9\n\
                sensors-every = \"0\"\nsensors-root = \"/tmp\"\n";
    file.write_all(text.as_bytes()).expect("written");
    let path = file.path().to_str().expect("text");
    let found =
        of(&["--config", path, "--backoff-initial", "3s", "--ephemeral=false"]).expect("ok");
    assert_eq!(found.agent, "night");
    assert_eq!(found.argv, ["./watch"]);
    assert_eq!(found.state_dir, Path::new("/file"));
    assert_eq!(found.backoff_initial, Duration::from_secs(3));
    assert_eq!(found.backoff_max, Duration::from_secs(300));
    assert_eq!(found.backoff_reset, Policy::default().reset);
    assert_eq!(found.restart, RestartMode::Always);
    assert!(!found.ephemeral);
    assert_eq!(found.events, Some(EventSource::Path("/cwd/feed".into())));
    assert_eq!((found.max_attempts, found.ordered), (5, true));
    assert_eq!(found.nack_max, Duration::from_secs(30));
    assert_eq!(found.event_max_age, Duration::from_secs(3600));
    assert_eq!(found.event_timeout, Some(Duration::from_secs(120)));
    assert_eq!(found.on_crash_loop, OnCrashLoop::Rollback);
    assert_eq!(found.checkpoint_every, Some(9));
    assert_eq!((found.sensors_every, found.sensors_root.as_path()), (None, Path::new("/tmp")));
    let found = of(&["--config", path, "-n", "x", "--", "ls"]).expect("ok");
    assert_eq!((found.agent.as_str(), found.argv.as_slice()), ("x", &["ls".into()][..]));
    assert!(found.ephemeral);
}

#[test]
fn settings_that_do_not_go_together() {
    for words in [
        &["--backoff-initial", "2m", "--", "ls"][..],
        &["--max-frame", "10", "--", "ls"],
        &["--max-db", "1KiB", "--", "ls"],
        &["--events", "-", "--stdin", "inherit", "--", "ls"],
        &["--event-timeout", "0", "--", "ls"],
        &["--nack-max", "0s", "--", "ls"],
        &["--sensors-every", "1ms", "--", "ls"],
        &["--sensors-root", "/nowhere/at/all", "--", "ls"],
    ] {
        assert_eq!(of(words).expect_err("refused").kind, Kind::Usage, "{words:?}");
    }
}

#[test]
fn where_events_come_from() {
    let source = |words: &[&str]| of(words).expect("ok").events;
    let path = |path: &str| Some(EventSource::Path(path.into()));
    assert_eq!(source(&["--", "ls"]), None);
    assert_eq!(source(&["--events", "-", "--", "ls"]), Some(EventSource::Stdin));
    assert_eq!(source(&["--events", "feed", "--", "ls"]), path("/cwd/feed"));
    assert_eq!(source(&["--events=./-", "--", "ls"]), path("/cwd/./-"));
    assert_eq!(source(&["--events", "/x/y", "--", "ls"]), path("/x/y"));
    for bad in [&["run", "--events="][..], &["run", "--max-attempts=0"], &["run", "--ordered=x"]] {
        assert!(parser().try_get_matches_from(bad).is_err(), "{bad:?}");
    }
}

#[test]
fn where_rules_are() {
    let dir = tempfile::tempdir().expect("a directory");
    let config = |text: &str| {
        let path = dir.path().join("adrt.toml");
        std::fs::write(&path, text).expect("written");
        path.to_str().expect("text").to_owned()
    };
    let rules = |words: &[&str]| of(words).expect("ok").rules;
    let own = |path: &str| Some(RulesFile::Own(path.into()));
    assert_eq!(rules(&["--", "ls"]), None);
    assert_eq!(rules(&["--rules", "r.toml", "--", "ls"]), own("/cwd/r.toml"));
    let path = config("rules = \"r.toml\"\n");
    assert_eq!(rules(&["--config", &path, "--", "ls"]), own("/cwd/r.toml"));
    assert_eq!(rules(&["--config", &path, "--rules", "/x", "--", "ls"]), own("/x"));
    for text in ["", "[rules.reviews]\ntimeout = \"1h\"\n", "[rules]\nwhatever = 1\n"] {
        let path = config(text);
        // What is in it is looked at where it is read.
        let expected = Some(RulesFile::Config(path.clone().into()));
        assert_eq!(rules(&["--config", &path, "--", "ls"]), expected, "{text}");
    }
    let path = config("[rules]\n");
    let failure = of(&["--config", &path, "--rules", "r.toml", "--", "ls"]).expect_err("refused");
    assert_eq!(failure.kind, Kind::Usage);
    assert!(parser().try_get_matches_from(["run", "--rules="]).is_err());
}

#[test]
fn a_missing_file_is_bad_configuration() {
    let failure = of(&["--config", "/nowhere/x.toml", "--", "ls"]).expect_err("refused");
    assert_eq!(failure.kind, Kind::Config);
}

/// The help's `[default: …]` is written by hand.
#[test]
fn the_help_tells_the_real_defaults() {
    let parser = parser();
    let told = |long: &str| {
        let arg = parser.get_arguments().find(|arg| arg.get_long() == Some(long)).expect("there");
        let help = arg.get_help().map(ToString::to_string).unwrap_or_default();
        let (_, after) = help.split_once("[default: ").expect("a default is told");
        after.trim_end_matches(']').to_owned()
    };
    let real = of(&["--", "ls"]).expect("ok");
    let span = |long: &str| quantity::duration(&told(long)).expect("a span");
    let size = |long: &str| quantity::size(&told(long)).expect("a size");
    let number = |long: &str| told(long).parse::<f64>().expect("a number");
    assert_eq!(span("backoff-initial"), real.backoff_initial);
    assert_eq!(span("backoff-max"), real.backoff_max);
    assert_eq!(span("backoff-reset"), real.backoff_reset);
    assert_eq!(span("stop-timeout"), real.stop_timeout);
    assert_eq!(span("ready-timeout"), real.ready_timeout);
    assert_eq!(number("backoff-multiplier"), real.backoff_multiplier);
    assert_eq!(number("backoff-jitter"), real.backoff_jitter);
    assert_eq!(number("max-inflight"), real.max_inflight as f64);
    assert_eq!(size("max-db"), real.max_db);
    assert_eq!(size("max-state"), real.max_state as u64);
    assert_eq!(size("max-frame"), real.max_frame as u64);
    assert_eq!((told("restart").as_str(), real.restart), ("on-failure", RestartMode::OnFailure));
    assert_eq!((told("on-damage").as_str(), real.on_damage), ("stop", OnDamage::Stop));
    assert_eq!((told("stdin").as_str(), real.stdin_inherit), ("wire", false));
    assert_eq!(Some(span("sensors-every")), real.sensors_every);
    assert_eq!(Path::new(&told("sensors-root")), real.sensors_root);
    assert_eq!(number("max-attempts"), f64::from(real.max_attempts));
    assert_eq!(span("nack-max"), real.nack_max);
    assert_eq!(span("event-max-age"), real.event_max_age);
    assert_eq!((told("event-timeout").as_str(), real.event_timeout), ("for ever", None));
    assert_eq!(
        (told("on-crash-loop").as_str(), real.on_crash_loop),
        ("continue", OnCrashLoop::Continue)
    );
    assert_eq!((told("ready").as_str(), real.ready_from_agent), ("any", false));
    assert_eq!((told("hang-timeout").as_str(), real.hang_timeout), ("for ever", None));
    assert_eq!((told("memory-max").as_str(), real.memory_max), ("no limit", None));
    assert_eq!((told("max-restarts").as_str(), real.max_restarts), ("never", None));
}
