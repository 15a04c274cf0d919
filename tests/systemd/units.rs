//! Units as they are printed: what systemd says of them, and what can be done
//! in them.

use crate::machine::machine;
use crate::support::wait_for;

/// The loosest that a unit may be, times ten: with everything opened that can
/// be, it still counts as "OK".
const EXPOSURE_MAX: &str = "20";

#[test]
fn every_shape_of_unit_is_sound_and_tight() {
    let Some(machine) = machine() else { return };
    machine.write("/opt/shape/agent.py", "");
    machine.write("/opt/shape/key", "secret");
    machine.write("/etc/systemd/system/call-me.service", "[Service]\nExecStart=/bin/true\n");
    let shapes: [&[&str]; 4] = [
        &[],
        &["--device", "/dev/null", "--group", "tty"],
        &["--write", "/srv/a b", "--read", "/home/pi", "--load-credential", "key:/opt/shape/key"],
        &["--user-name", "daemon", "--on-failure", "call-me.service", "--max-restarts", "3"],
    ];
    for (number, options) in shapes.iter().enumerate() {
        let unit = format!("adrt-shape{number}.service");
        machine.install_command(
            &format!("shape{number}"),
            options,
            &["/usr/bin/python3", "/opt/shape/agent.py"],
        );
        assert_sound_and_tight(&machine, &unit);
    }
    let template = machine.ok(&["adrt", "systemd", "template"]);
    machine.write("/etc/systemd/system/adrt@.service", &template);
    assert_sound_and_tight(&machine, "adrt@x.service");
}

fn assert_sound_and_tight(machine: &crate::machine::Machine, unit: &str) {
    let done = machine.run(&["systemd-analyze", "verify", "--man=no", unit]);
    assert_eq!((done.code, done.stderr.as_str()), (Some(0), ""), "{unit}");
    let path = format!("/etc/systemd/system/{}", unit.replace("@x", "@"));
    let words = ["systemd-analyze", "security", "--offline=true", "--threshold", EXPOSURE_MAX];
    let done = machine.run(&[&words[..], &[&path]].concat());
    assert_eq!(done.code, Some(0), "{done:?}");
}

/// Words reach the agent as they were typed, whatever they mean to systemd.
#[test]
fn words_reach_the_agent_as_they_are() {
    let Some(machine) = machine() else { return };
    let agent = "import sys\nfrom adaptive_runtime import Agent\n\
                 with Agent() as agent:\n    agent.patch({'argv': sys.argv[1:]})\n    agent.finish()\n";
    let words = [
        "%i",
        "%%",
        "$HOME",
        "${HOME}",
        "$$",
        "a b",
        "it's",
        "say \"so\"",
        r"C:\x\n",
        ";",
        "",
        "#",
        "two\nlines\ttab",
        "\x1b[0m",
        "grün",
        "-x",
        "@",
    ];
    machine.write("/opt/words/agent.py", agent);
    let argv = [&["/usr/bin/python3", "/opt/words/agent.py"], &words[..]].concat();
    machine.install_command("words", &[], &argv);
    machine.ok(&["systemctl", "start", "adrt-words"]);
    assert_eq!(machine.state("words", "/argv"), serde_json::json!(words));
}

/// What Python programs do all day, inside the sandbox.
#[test]
fn a_python_agent_can_do_its_work() {
    let Some(machine) = machine() else { return };
    let agent = r#"
import ctypes, multiprocessing, os, pathlib, socket, sqlite3, ssl, subprocess, tempfile, threading
from adaptive_runtime import Agent

done = {}

def attempt(name, what):
    try:
        what()
        done[name] = "ok"
    except Exception as error:
        done[name] = repr(error)

def database():
    with tempfile.TemporaryDirectory() as place:
        sqlite3.connect(place + "/x.db").execute("create table t (a)")

def loopback():
    server = socket.create_server(("127.0.0.1", 0))
    socket.create_connection(server.getsockname()).close()

def thread():
    worker = threading.Thread(target=len, args=("",))
    worker.start()
    worker.join()

def process():
    assert subprocess.run(["/bin/echo", "x"], capture_output=True, check=True).stdout == b"x\n"

def state_directory():
    place = pathlib.Path(os.environ["STATE_DIRECTORY"], "files")
    place.mkdir(exist_ok=True)
    (place / "a").write_text("x")
    os.chown(place / "a", os.getuid(), os.getgid())

def written_elsewhere():
    try:
        pathlib.Path("/opt/able/x").write_text("x")
    except OSError:
        return
    raise RuntimeError("the sandbox is open")

with Agent() as agent:
    attempt("database", database)
    attempt("loopback", loopback)
    attempt("thread", thread)
    attempt("process", process)
    attempt("lock", lambda: multiprocessing.get_context("spawn").Lock())
    attempt("affinity", lambda: os.sched_setaffinity(0, os.sched_getaffinity(0)))
    attempt("tls", ssl.create_default_context)
    attempt("callback", lambda: ctypes.CFUNCTYPE(ctypes.c_int)(lambda: 1)())
    attempt("names", lambda: socket.getaddrinfo("localhost", 80))
    attempt("state_directory", state_directory)
    attempt("pressure", lambda: os.path.exists("/proc/pressure") and open("/proc/pressure/cpu").read())
    attempt("written_elsewhere", written_elsewhere)
    agent.patch({"done": done, "user": os.getuid()})
    agent.finish()
"#;
    let told = machine.install("able", &[], agent);
    assert!(!told.contains("warning"), "{told}");
    machine.ok(&["systemctl", "start", "adrt-able"]);
    let done = machine.state("able", "/done");
    for (name, how) in done.as_object().unwrap() {
        assert_eq!(how, "ok", "{name}");
    }
    assert_ne!(machine.state("able", "/user"), 0);
}

/// What a person is told outside, the agent's own user is told in the unit.
#[test]
fn the_doctor_finds_nothing_wrong_in_a_unit() {
    let Some(machine) = machine() else { return };
    let agent = "import json, subprocess\nfrom adaptive_runtime import Agent\n\
                 with Agent() as agent:\n    \
                     done = subprocess.run(['adrt', 'doctor', '--json'], capture_output=True)\n    \
                     agent.patch({'stderr': done.stderr.decode(),\n        \
                         'found': json.loads(done.stdout or 'null')})\n    \
                     agent.finish()\n";
    machine.install("examined", &[], agent);
    machine.ok(&["systemctl", "start", "adrt-examined"]);
    let found = machine.state("examined", "/found");
    // Other tests' agents on this machine are as they are, and so are its disk
    // and how busy it is.
    let own =
        |finding: &&serde_json::Value| finding["agent"].is_null() || finding["agent"] == "examined";
    let findings: Vec<_> = found["findings"].as_array().unwrap().iter().filter(own).collect();
    for check in ["unit", "group", "python", "database", "limits"] {
        let of_it: Vec<_> = findings.iter().filter(|it| it["check"] == check).collect();
        assert!(!of_it.is_empty(), "{check} was not looked at: {found:#}");
        assert!(of_it.iter().all(|it| it["level"] == "ok"), "{of_it:#?}");
    }
    assert!(findings.iter().all(|it| it["level"] != "problem"), "{findings:#?}");
}

/// What is opened is open, and a secret is where it was said to be.
#[test]
fn what_is_opened_is_open() {
    let Some(machine) = machine() else { return };
    machine.write("/home/pi/data/in", "from home");
    machine.write("/srv/spool/x", "");
    machine.ok(&["chown", "-R", "adrt", "/srv/spool"]);
    machine.ok(&["chmod", "-R", "a+rX", "/home/pi"]);
    machine.write("/opt/opened/key", "a secret");
    machine.ok(&["chmod", "600", "/opt/opened/key"]);
    let agent = "import os\nfrom adaptive_runtime import Agent\n\
                 with Agent() as agent:\n    \
                     open('/srv/spool/y', 'w').write('x')\n    \
                     secret = open(os.environ['CREDENTIALS_DIRECTORY'] + '/key').read()\n    \
                     seen = open('/home/pi/data/in').read()\n    \
                     null = open('/dev/null', 'w').write('x')\n    \
                     agent.patch({'seen': seen, 'secret': secret, 'groups': len(os.getgroups())})\n    \
                     agent.finish()\n";
    let options = [
        ["--write", "/srv/spool"],
        ["--read", "/home/pi/data"],
        ["--load-credential", "key:/opt/opened/key"],
        ["--group", "tty"],
        ["--device", "/dev/full"],
    ];
    let told = machine.install("opened", &options.concat(), agent);
    for said in ["opened: device /dev/full", "opened: group tty", "opened: writing to /srv/spool"] {
        assert!(told.contains(said), "{told}");
    }
    machine.ok(&["systemctl", "start", "adrt-opened"]);
    assert_eq!(machine.state("opened", "/seen"), "from home");
    assert_eq!(machine.state("opened", "/secret"), "a secret");
    wait_for("the file", || machine.path("/srv/spool/y").exists().then_some(()));
}
