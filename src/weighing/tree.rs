//! A process and what has come of it.

use std::fs;

use rustix::process::Pid;
use serde::{Deserialize, Serialize};

use crate::sys::weight::{self, Weight};

/// The weights of a process and all its descendants.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Tree {
    /// Of all of them together. The sum of the resident sets counts shared pages more than once.
    pub total: Weight,
    /// Parents before children.
    pub processes: Vec<Process>,
}

/// One of them.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Process {
    /// Its number.
    pub pid: u32,
    /// Its part in the server, or its own name.
    pub name: String,
    /// How far it is from the root.
    pub depth: usize,
    /// Its weight.
    #[serde(flatten)]
    pub weight: Weight,
}

/// The entry of a living process in /proc.
#[derive(Debug, PartialEq, Eq)]
struct Stat {
    pid: u32,
    name: String,
    parent: u32,
}

impl Tree {
    /// Weighs the tree below a process; `None` when it has ended. One that ends meanwhile has no
    /// weight any more.
    pub fn weigh(root: u32) -> Option<Self> {
        let all: Vec<Stat> = fs::read_dir("/proc")
            .ok()?
            .flatten()
            .filter_map(|entry| entry.file_name().to_str()?.parse::<u32>().ok())
            .filter_map(|pid| parse(&fs::read_to_string(format!("/proc/{pid}/stat")).ok()?))
            .collect();
        let mut tree = Self::default();
        tree.add(root, 0, &all);
        (!tree.processes.is_empty()).then_some(tree)
    }

    fn add(&mut self, pid: u32, depth: usize, all: &[Stat]) {
        let Some(stat) = all.iter().find(|stat| stat.pid == pid) else {
            return;
        };
        let number = i32::try_from(pid).ok().and_then(Pid::from_raw);
        if let Some(weight) = number.and_then(weight::weigh) {
            self.total.private += weight.private;
            self.total.pss += weight.pss;
            self.total.rss += weight.rss;
            self.processes.push(Process {
                pid,
                name: stat.name.clone(),
                depth,
                weight,
            });
        }
        for child in all.iter().filter(|stat| stat.parent == pid) {
            self.add(child.pid, depth + 1, all);
        }
    }

    /// Says which of our own processes is which.
    pub(super) fn name_ours(&mut self) {
        for process in &mut self.processes {
            match process.depth {
                0 => process.name = "supervisor".to_owned(),
                1 => process.name = "worker".to_owned(),
                _ => {}
            }
        }
    }
}

/// `7 (a name) S 1 …`; a zombie weighs nothing.
fn parse(stat: &str) -> Option<Stat> {
    let (pid, rest) = stat.split_once(" (")?;
    // The name may itself have spaces and parentheses.
    let (name, rest) = rest.rsplit_once(") ")?;
    let mut fields = rest.split(' ');
    let state = fields.next()?;
    let parent = fields.next()?.parse().ok()?;
    (state != "Z").then_some(Stat {
        pid: pid.parse().ok()?,
        name: name.to_owned(),
        parent,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_may_look_like_anything() {
        let stat = parse("7 (a (b) Z) c) S 1 7 7 0").unwrap();
        assert_eq!(
            (stat.pid, stat.name.as_str(), stat.parent),
            (7, "a (b) Z) c", 1)
        );
        assert_eq!(parse("7 (a) Z 1 7 7 0"), None);
    }

    #[test]
    fn this_process_is_a_tree() {
        let tree = Tree::weigh(std::process::id()).unwrap();
        assert!(tree.total.private > 0 && tree.total.pss >= tree.processes[0].weight.private);
        assert_eq!(tree.processes[0].depth, 0);
    }
}
