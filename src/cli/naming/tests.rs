use super::*;

fn argv(line: &str) -> Vec<OsString> {
    line.split(' ').map(OsString::from).collect()
}

fn name(line: &str) -> String {
    match from_command(&argv(line)) {
        Ok(named) => named.name,
        Err(unnamed) => format!("{unnamed:?}"),
    }
}

#[test]
fn scripts_and_modules() {
    for (line, expected) in [
        ("python3 agent.py", "agent"),
        ("python3 -u agent.py", "agent"),
        ("python3 -u agent.py --name other.py", "agent"),
        ("/usr/bin/python3.11 -X dev -m pkg.mod", "pkg.mod"),
        ("python3.11 -Xdev -m mod", "mod"),
        ("python -um mod -- x", "mod"),
        ("python -uX dev agent.py", "agent"),
        ("python -W error::Warning agent.py", "agent"),
        ("python3 -mmod", "mod"),
        ("python3 -m mod.__main__", "mod"),
        ("python3 -- agent.py", "agent"),
        ("python3 src/pkg/__main__.py", "pkg"),
        ("python3 /opt/agents/night.watch.py", "night.watch"),
        ("pypy3 agent.py", "agent"),
        ("node agent.js", "agent"),
        ("node -r dotenv/config dist/agent.mjs", "agent"),
        ("deno run --allow-net agent.ts", "agent"),
        ("bun agent.ts", "agent"),
        ("bun run agent.ts", "agent"),
        ("ruby -w agent.rb", "agent"),
        ("perl -I lib agent.pl", "agent"),
        ("java -Xmx1g -jar build/agent.jar", "agent"),
        ("bash agent.sh", "agent"),
        ("sh -x ./agent.sh", "agent"),
        ("bash -o pipefail agent.sh", "agent"),
        ("./agent", "agent"),
        ("./agent.py", "agent"),
        ("/opt/bin/agent-2.1", "agent-2.1"),
        ("agent", "agent"),
    ] {
        assert_eq!(name(line), expected, "{line}");
    }
}

#[test]
fn launchers_are_looked_through() {
    for line in [
        "env A=1 python3 agent.py",
        "env -i A=1 B= python3 agent.py",
        "env -u HOME -C /tmp python3 agent.py",
        "env - python3 agent.py",
        "/usr/bin/env -S python3 -u agent.py",
        "/usr/bin/env python3 agent.py",
        "uv run agent.py",
        "uv run --with x agent.py",
        "uv run --with x --python 3.12 -- python -u agent.py",
        "uv --directory proj run agent.py",
        "uv run -m agent",
        "poetry run python agent.py",
        "poetry -C proj run python agent.py",
        "pdm run python agent.py",
        "pipenv run python agent.py",
        "nice -n 10 python3 agent.py",
        "nice -10 env A=1 uv run python agent.py",
        "nohup setsid ./agent.sh",
        "stdbuf -oL ./agent",
    ] {
        assert_eq!(name(line), "agent", "{line}");
    }
    let split = [OsString::from("/usr/bin/env"), "-S".into(), "A=1 python3 -u agent.py".into()];
    assert_eq!(from_command(&split).map(|named| named.name), Ok("agent".to_owned()));
    let joined = [OsString::from("env"), "-Spython3 agent.py".into(), "more".into()];
    assert_eq!(from_command(&joined).map(|named| named.name), Ok("agent".to_owned()));
}

#[test]
fn code_on_the_command_line_needs_a_name() {
    for (line, program, option) in [
        ("bash -c true", "bash", "-c"),
        ("sh -ec true", "sh", "-ec"),
        ("python3 -c pass", "python3", "-c"),
        ("python3 -uc pass", "python3", "-uc"),
        ("node --eval=1 agent.js", "node", "--eval=1"),
        ("env A=1 bash -lc true", "bash", "-lc"),
    ] {
        assert_eq!(
            from_command(&argv(line)),
            Err(Unnamed::Inline { program: program.to_owned(), option: option.to_owned() }),
            "{line}"
        );
    }
}

#[test]
fn an_interpreter_alone_needs_a_name() {
    for line in ["python3", "python3 -u", "python3 -", "uv run python", "bash", "python -m"] {
        assert!(
            matches!(from_command(&argv(line)), Err(Unnamed::NoScript { .. })),
            "{line}: {}",
            name(line)
        );
    }
    assert!(matches!(from_command(&argv("env A=1")), Err(Unnamed::NoScript { .. })));
}

#[test]
fn a_stem_that_is_no_name_comes_with_the_nearest() {
    let script = [OsString::from("python3"), "/x/my agent.py".into()];
    let Err(Unnamed::BadStem { stem, nearest, .. }) = from_command(&script) else {
        panic!("named");
    };
    assert_eq!((stem.as_str(), nearest.as_deref()), ("my agent", Some("my-agent")));
    assert!(matches!(
        from_command(&argv("python3 _agent.py")),
        Err(Unnamed::BadStem { nearest: Some(name), .. }) if name == "agent"
    ));
    assert!(matches!(
        from_command(&argv("./代理.py")),
        Err(Unnamed::BadStem { nearest: None, .. })
    ));
}

#[test]
fn the_rule() {
    for good in ["a", "9", "agent", "a.b_c-d", &"x".repeat(64)] {
        assert_eq!(check(good), Ok(()), "{good}");
        assert!(crate::store::home::valid_name(good), "{good}");
    }
    for bad in ["", ".a", "-a", "_a", "a/b", "a b", "é", "a\n", "..", &"x".repeat(65)] {
        assert!(check(bad).is_err(), "{bad}");
        assert!(!crate::store::home::valid_name(bad), "{bad}");
    }
}

#[test]
fn identities_are_absolute() {
    let cwd = Path::new("/home/u/p");
    let path = OsStr::new("/nowhere");
    let id = |source: &Source| identity(source, cwd, path).map(|p| p.display().to_string());
    assert_eq!(id(&Source::Script("./a.py".into())).as_deref(), Some("/home/u/p/a.py"));
    assert_eq!(id(&Source::Script("../q/./a.py".into())).as_deref(), Some("/home/u/q/a.py"));
    assert_eq!(id(&Source::Script("/a.py".into())).as_deref(), Some("/a.py"));
    assert_eq!(id(&Source::Module("pkg.mod".into())).as_deref(), Some("/home/u/p/pkg/mod"));
    assert_eq!(id(&Source::Command("nothing-of-that-name".into())), None);
}
