//! How much memory an agent's own group uses: for who looks from outside, and
//! has nothing of the run but a process's number.

use std::path::Path;

use super::here::{Found, Here};
use super::{AGENT_PREFIX, MEMORY_MAX, files};

/// What is used.
const MEMORY_NOW: &str = "memory.current";

/// Memory of a group, where it is counted for it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct InUse {
    /// Bytes that all in it use together, with what the kernel holds for them:
    /// files that were read, above all.
    pub bytes: u64,
    /// How many they may; none without a limit of its own.
    pub limit: Option<u64>,
}

impl InUse {
    /// Of the group that this process of the agent is in, if a run has made one.
    pub fn of_agent(agent: &str, pid: i32) -> Option<Self> {
        Self::of(&Here::of(&pid.to_string()).unified?, agent)
    }

    /// The agent may have made groups of its own below it.
    fn of(found: &Found, agent: &str) -> Option<Self> {
        let prefix = format!("{AGENT_PREFIX}{agent}.");
        let is_its = |dir: &Path| {
            dir.file_name().and_then(|name| name.to_str()).is_some_and(|it| it.starts_with(&prefix))
        };
        let visible = found.dir.ancestors().take_while(|dir| dir.starts_with(&found.top));
        let dir = visible.into_iter().find(|dir| is_its(dir))?;
        let bytes = files::number(dir, MEMORY_NOW)?;
        // Without a limit the file says "max".
        Some(Self { bytes, limit: files::number(dir, MEMORY_MAX) })
    }
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    #[test]
    fn it_is_told_of_the_agents_own_group_alone() {
        let top = tempfile::tempdir().unwrap();
        let group = top.path().join("unit/agent.a.0123456789abcdef");
        fs::create_dir_all(group.join("own")).unwrap();
        let of = |dir: &Path, agent: &str| {
            let found = Found { dir: dir.to_owned(), top: top.path().to_owned(), is_root: false };
            InUse::of(&found, agent)
        };
        assert_eq!(of(&group, "a"), None, "memory is not counted for it");
        fs::write(top.path().join("unit").join(MEMORY_NOW), "9\n").unwrap();
        fs::write(group.join(MEMORY_NOW), "4096\n").unwrap();
        fs::write(group.join(MEMORY_MAX), "max\n").unwrap();
        let unlimited = Some(InUse { bytes: 4096, limit: None });
        assert_eq!(of(&group, "a"), unlimited);
        assert_eq!(of(&group.join("own"), "a"), unlimited, "one that the agent has made");
        fs::write(group.join(MEMORY_MAX), "8192\n").unwrap();
        assert_eq!(of(&group, "a"), Some(InUse { bytes: 4096, limit: Some(8192) }));
        assert_eq!(of(&group, "b"), None, "another's");
        assert_eq!(of(&top.path().join("unit"), "a"), None);
        let us = i32::try_from(std::process::id()).unwrap();
        assert_eq!(InUse::of_agent("a", us), None, "nobody runs us");
    }
}
