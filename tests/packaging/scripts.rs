//! The scripts that run on a device when the package comes and goes, and those
//! that build for it.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Output;

use crate::support::World;

fn packaging() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("packaging")
}

#[test]
fn every_shell_script_is_one() {
    let world = World::new();
    let mut scripts: Vec<PathBuf> = Vec::new();
    for dir in [packaging(), packaging().join("debian")] {
        for entry in fs::read_dir(dir).unwrap() {
            let path = entry.unwrap().path();
            if fs::read(&path).is_ok_and(|text| text.starts_with(b"#!/bin/sh\n")) {
                scripts.push(path);
            }
        }
    }
    for name in ["build-static", "check", "preinst", "postinst", "prerm", "postrm"] {
        assert!(scripts.iter().any(|path| path.ends_with(name)), "where is {name}?");
    }
    for script in scripts {
        let read = world.program("sh").arg("-n").arg(&script).output().unwrap();
        assert!(read.status.success(), "{}: {}", script.display(), said(&read));
    }
}

/// Runs the package's preinst on a machine that calls itself so.
fn preinst(architecture: &str, machine: &str, arguments: &[&str]) -> Output {
    let world = World::new();
    world.script("uname", &format!("echo {machine}"));
    let path = format!("{}:{}", world.path("").display(), std::env::var("PATH").unwrap());
    world
        .program("sh")
        .arg(packaging().join("debian/preinst"))
        .args(arguments)
        .env("PATH", path)
        .env("DPKG_MAINTSCRIPT_ARCH", architecture)
        .output()
        .unwrap()
}

fn said(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

#[test]
fn a_board_older_than_armv7_is_refused_with_a_sentence() {
    for arguments in [&["install"][..], &["upgrade", "0.0.9-1", "0.1.0-1"]] {
        let refused = preinst("armhf", "armv6l", arguments);
        assert_eq!(refused.status.code(), Some(1));
        let said = said(&refused);
        assert!(said.starts_with("adrt: this board is older than ARMv7"), "{said}");
        assert_eq!(said.lines().count(), 1, "{said}");
    }
}

#[test]
fn other_boards_are_not() {
    // An armhf system may run on a kernel of 64 bits; and only armhf is the
    // name of two things.
    let boards = [
        ("armhf", "armv7l"),
        ("armhf", "armv8l"),
        ("armhf", "aarch64"),
        ("arm64", "aarch64"),
        ("amd64", "x86_64"),
    ];
    for (architecture, machine) in boards {
        let taken = preinst(architecture, machine, &["install"]);
        assert!(taken.status.success(), "{architecture} {machine}: {}", said(&taken));
        assert_eq!(said(&taken), "");
    }
    // Going back from a failed upgrade is never hindered.
    assert!(preinst("armhf", "armv6l", &["abort-upgrade", "0.0.9-1"]).status.success());
}

#[test]
fn there_is_no_build_for_them_either() {
    let world = World::new();
    for (board, expected) in
        [("armv6", "older than ARMv7"), ("mips", "which machine"), ("", "which machine")]
    {
        let refused = world.program(packaging().join("build-static")).arg(board).output().unwrap();
        assert_eq!(refused.status.code(), Some(1), "{board}");
        assert!(said(&refused).contains(expected), "{board}: {}", said(&refused));
    }
}
