//! The package's list of files, without building it.

use std::fs;
use std::path::Path;

use toml::{Table, Value};
use wildmatch::WildMatch;

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

fn read(name: &str) -> String {
    fs::read_to_string(root().join(name)).unwrap()
}

fn deb() -> Table {
    let manifest: Table = read("Cargo.toml").parse().unwrap();
    manifest["package"]["metadata"]["deb"].as_table().unwrap().clone()
}

/// What the package takes, and where to.
fn assets() -> Vec<(String, String)> {
    let text = |value: &Value| value.as_str().unwrap().to_owned();
    let assets = deb()["assets"].as_array().unwrap().clone();
    assets.iter().map(|asset| (text(&asset[0]), text(&asset[1]))).collect()
}

/// Whether a pattern of ours, which is of a folder and then of a name, takes this file.
fn takes(pattern: &str, folder: &str, name: &str) -> bool {
    let (of_folder, of_name) = pattern.rsplit_once('/').unwrap_or((".", pattern));
    of_folder == folder && WildMatch::new(of_name).matches(name)
}

#[test]
fn every_page_every_example_and_every_unit_is_in_it() {
    let assets = assets();
    for folder in ["man", "examples", "systemd", "packaging/completions"] {
        for entry in fs::read_dir(root().join(folder)).unwrap() {
            let entry = entry.unwrap();
            if entry.file_type().unwrap().is_dir() {
                continue;
            }
            let name = entry.file_name().into_string().unwrap();
            let taken = assets.iter().any(|(pattern, _)| takes(pattern, folder, &name));
            assert!(taken, "{folder}/{name} is not in the package: see assets in Cargo.toml");
        }
    }
}

#[test]
fn what_it_takes_is_there() {
    for (pattern, _) in assets() {
        if pattern.starts_with("target/") {
            continue;
        }
        let folder = pattern.rsplit_once('/').map_or(".", |(folder, _)| folder);
        let names = fs::read_dir(root().join(folder)).unwrap().map(|e| e.unwrap().file_name());
        let found = names.filter(|name| takes(&pattern, folder, &name.to_string_lossy())).count();
        assert!(found > 0, "{pattern} takes nothing");
    }
}

#[test]
fn nothing_goes_where_dpkg_would_ask_about_it_or_remove_memory() {
    for (pattern, target) in assets() {
        assert!(target.starts_with("usr/"), "{pattern} goes to {target}");
    }
}

#[test]
fn its_version_is_that_of_adrt() {
    let changelog = read("packaging/debian/changelog");
    let first = format!("adrt ({}-1) ", env!("CARGO_PKG_VERSION"));
    assert!(changelog.starts_with(&first), "packaging/debian/changelog begins with {first}");
}

#[test]
fn both_wheels_are_one_distribution() {
    let [whole, pure] = ["pyproject.toml", "python/pyproject.toml"]
        .map(|file| read(file).parse::<Table>().unwrap()["project"].as_table().unwrap().clone());
    for same in ["name", "requires-python", "dynamic"] {
        assert_eq!(whole[same], pure[same], "{same}");
    }
}

/// The value of a setting of the unit, the last one.
fn unit_says(key: &str) -> String {
    let unit = read("systemd/adrt@.service");
    let mut values = unit.lines().filter_map(|line| line.strip_prefix(key)?.strip_prefix('='));
    values.next_back().unwrap_or_else(|| panic!("the unit has no {key}=")).to_owned()
}

#[test]
fn the_unit_the_account_and_the_scripts_mean_the_same() {
    let binary = assets().into_iter().find(|(from, _)| from == "target/release/adrt").unwrap().1;
    for key in ["ExecStart", "ExecReload"] {
        let command = unit_says(key);
        assert!(command.starts_with(&format!("/{binary}adrt ")), "{key} is {command}");
    }
    // `u adrt - "adrt agents" /var/lib/adrt`
    let account = read("systemd/adrt.sysusers");
    let line = account.lines().find(|line| line.starts_with("u ")).unwrap();
    let name = line.split(' ').nth(1).unwrap();
    assert_eq!((unit_says("User"), unit_says("Group")), (name.to_owned(), name.to_owned()));
    let home = format!("/var/lib/{}", unit_says("StateDirectory"));
    assert!(line.ends_with(&format!(" {home}")), "{line}");
    let postinst = read("packaging/debian/postinst");
    for same in [
        format!("--home-dir {home} "),
        format!("--comment {} {name}\n", "\"adrt agents\""),
        format!("-g {name} /etc/adrt"),
        "systemd-sysusers adrt.conf".to_owned(),
    ] {
        assert!(postinst.contains(&same), "postinst has not: {same}");
    }
    assert!(unit_says("ExecStart").contains(" --config /etc/adrt/%i.toml"));
    assert!(read("packaging/debian/postrm").contains(&home), "what a purge keeps");
    let sysusers = assets().into_iter().find(|(from, _)| from == "systemd/adrt.sysusers");
    assert_eq!(sysusers.unwrap().1, "usr/lib/sysusers.d/adrt.conf");
}
