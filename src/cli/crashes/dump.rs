//! Where the core of a crashed process may be.
//!
//! The kernel keeps no record of it: what can be told is where this machine
//! puts cores now. See core(5).

use std::fs;
use std::path::Path;

use crate::cli::text::escaped;

/// What the kernel does with cores.
const PATTERN: &str = "/proc/sys/kernel/core_pattern";
/// "1" if the process's number is put behind a pattern without one.
const USES_PID: &str = "/proc/sys/kernel/core_uses_pid";

/// One sentence.
pub(super) fn hint(pid: i32) -> String {
    let Ok(pattern) = fs::read_to_string(PATTERN) else {
        return "dumped; this machine does not say where".to_owned();
    };
    let uses_pid = fs::read_to_string(USES_PID).is_ok_and(|text| text.trim() == "1");
    sentence(pattern.trim_end(), uses_pid, pid)
}

fn sentence(pattern: &str, uses_pid: bool, pid: i32) -> String {
    if let Some(command) = pattern.strip_prefix('|') {
        let program = command.split_whitespace().next().unwrap_or_default();
        let name = Path::new(program).file_name().unwrap_or_default();
        return if name == "systemd-coredump" {
            format!("coredumpctl info {pid}")
        } else {
            format!("dumped; this machine gives cores to {}", escaped(program))
        };
    }
    if pattern.is_empty() && !uses_pid {
        return "dumped; this machine keeps none".to_owned();
    }
    let file = escaped(&file(pattern, uses_pid, pid));
    let which = if file.contains('%') { " (see core(5) for what stands for %)" } else { "" };
    if pattern.starts_with('/') {
        format!("{file}{which}, if it is still there")
    } else {
        format!("{file}{which} in the directory that adrt was started in")
    }
}

/// The file's name, with the process's number where it belongs; what else the
/// kernel fills in stays as it is.
fn file(pattern: &str, uses_pid: bool, pid: i32) -> String {
    let mut name = String::new();
    let mut has_pid = false;
    let mut rest = pattern.chars();
    while let Some(c) = rest.next() {
        match (c, (c == '%').then(|| rest.next()).flatten()) {
            ('%', Some('%')) => name.push('%'),
            ('%', Some('p')) => {
                has_pid = true;
                name.push_str(&pid.to_string());
            }
            (c, next) => name.extend([Some(c), next].into_iter().flatten()),
        }
    }
    if uses_pid && !has_pid {
        name.push_str(&format!(".{pid}"));
    }
    name
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn where_it_may_be() {
        for (pattern, uses_pid, told) in [
            ("core", false, "core in the directory that adrt was started in"),
            ("core", true, "core.7 in the directory that adrt was started in"),
            ("", true, ".7 in the directory that adrt was started in"),
            ("", false, "dumped; this machine keeps none"),
            ("/var/crash/core.%p", true, "/var/crash/core.7, if it is still there"),
            (
                "/cores/%e.%p",
                false,
                "/cores/%e.7 (see core(5) for what stands for %), if it is still there",
            ),
            ("|/usr/lib/systemd/systemd-coredump %P %u %g %s %t %c %h", true, "coredumpctl info 7"),
            (
                "|/usr/share/apport/apport -p%p",
                false,
                "dumped; this machine gives cores to /usr/share/apport/apport",
            ),
        ] {
            assert_eq!(sentence(pattern, uses_pid, 7), told, "{pattern}");
        }
    }
}
