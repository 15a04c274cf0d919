//! An opened object: a hash trie that remembers the order of its members.
//!
//! Members sit in leaves of a few dozen; a leaf that grows too big becomes a
//! fork of leaves, told apart by four bits of the hash of the member's name.
//! A change copies one leaf and the forks above it, whatever the object's
//! size, and never moves the other members. Each member carries a rising
//! number from which the order is recovered when the object is written.
//!
//! Names are compared by content, but kept as the literal they came in.

use std::hash::{DefaultHasher, Hasher as _};
use std::ops::ControlFlow;
use std::sync::Arc;

use super::node::Node;
use crate::json::{self, MembersError};

/// The most members of a leaf. A change copies this many reference counts, so
/// it is kept small; below it, an object is one flat list.
const LEAF_MAX: usize = 32;

/// A fork with no more members than this becomes a leaf again.
const LEAF_AGAIN: usize = LEAF_MAX / 2;

/// Bits of the hash that a fork looks at.
const FORK_BITS: u32 = 4;

/// The forks above a leaf, at most: then the hash is used up.
const LEVELS_MAX: u32 = u64::BITS / FORK_BITS;

/// One member.
#[derive(Debug, Clone)]
pub(super) struct Member {
    order: u64,
    /// The literal, quotes included.
    pub(super) key: Arc<str>,
    pub(super) node: Node,
}

#[derive(Debug, Clone)]
enum Part {
    Leaf(Vec<Member>),
    Fork { len: usize, parts: Vec<Arc<Part>> },
}

/// The members of an object.
#[derive(Debug, Clone)]
pub(super) struct Object {
    root: Arc<Part>,
    len: usize,
    next_order: u64,
    /// Bytes of all `"key":value`, without the commas.
    bytes: usize,
    height: usize,
}

impl Object {
    pub(super) fn new() -> Self {
        let root = Arc::new(Part::Leaf(Vec::new()));
        Self { root, len: 0, next_order: 0, bytes: 0, height: 1 }
    }

    /// Opens the text of an object.
    pub(super) fn open(text: &str) -> Result<Self, MembersError> {
        let mut object = Self::new();
        let mut duplicate = None;
        json::each_member(text, |key, value| {
            if object.insert(Arc::from(key), Node::from_valid(value)).is_some() {
                duplicate = Some(json::display(key));
                return ControlFlow::Break(());
            }
            ControlFlow::Continue(())
        })
        .map_err(MembersError::Malformed)?;
        match duplicate {
            Some(name) => Err(MembersError::Duplicate { name }),
            None => Ok(object),
        }
    }

    pub(super) fn text_len(&self) -> usize {
        "{}".len() + self.bytes + self.len.saturating_sub(1)
    }

    pub(super) fn height(&self) -> usize {
        self.height
    }

    pub(super) fn write_to(&self, out: &mut String) {
        out.push('{');
        for (place, member) in self.members().into_iter().enumerate() {
            if place > 0 {
                out.push(',');
            }
            out.push_str(&member.key);
            out.push(':');
            member.node.write_to(out);
        }
        out.push('}');
    }

    /// All members, in order.
    pub(super) fn members(&self) -> Vec<&Member> {
        let mut members = Vec::with_capacity(self.len);
        self.root.collect(&mut members);
        members.sort_unstable_by_key(|member| member.order);
        members
    }

    /// The member whose name has this content.
    pub(super) fn get(&self, name: &[u8]) -> Option<&Node> {
        let hash = hash(name);
        let mut part = &*self.root;
        for level in 0.. {
            match part {
                Part::Leaf(members) => {
                    return members.iter().find(|member| member.is(name)).map(|found| &found.node);
                }
                Part::Fork { parts, .. } => part = &parts[slot(hash, level)],
            }
        }
        None
    }

    /// Puts a member in: in its old place, with its old literal, if there is
    /// one of that name, else last. Gives the old value.
    pub(super) fn insert(&mut self, key: Arc<str>, node: Node) -> Option<Node> {
        let name = json::decode(&key).into_owned();
        let size = key.len() + 1;
        let value_size = node.text_len();
        self.height = self.height.max(node.height() + 1);
        let member = Member { order: self.next_order, key, node };
        let old = Part::insert(&mut self.root, hash(&name), 0, &name, member);
        self.bytes += value_size;
        match &old {
            Some(old) => self.bytes -= old.text_len(),
            None => {
                self.bytes += size;
                self.len += 1;
                self.next_order += 1;
            }
        }
        old
    }

    /// Changes a member in place; `None` if there is no such member.
    pub(super) fn update<R>(
        &mut self,
        name: &[u8],
        change: impl FnOnce(&mut Node) -> R,
    ) -> Option<R> {
        // Looked up first, so that a miss copies nothing.
        let before = self.get(name)?.text_len();
        let node = Part::find_mut(&mut self.root, hash(name), name)?;
        let result = change(node);
        self.bytes = self.bytes - before + node.text_len();
        self.height = self.height.max(node.height() + 1);
        Some(result)
    }

    /// Takes a member out.
    pub(super) fn remove(&mut self, name: &[u8]) -> Option<Node> {
        self.get(name)?;
        let member = Part::remove(&mut self.root, hash(name), 0, name)?;
        self.bytes -= member.key.len() + 1 + member.node.text_len();
        self.len -= 1;
        Some(member.node)
    }
}

impl Member {
    fn is(&self, name: &[u8]) -> bool {
        // A literal is as long as its content and two quotes, or it is longer
        // because of escapes.
        let length = self.key.len() - "\"\"".len();
        length >= name.len() && *json::decode(&self.key) == *name
    }
}

impl Part {
    fn collect<'a>(&'a self, members: &mut Vec<&'a Member>) {
        match self {
            Self::Leaf(own) => members.extend(own),
            Self::Fork { parts, .. } => parts.iter().for_each(|part| part.collect(members)),
        }
    }

    fn insert(
        part: &mut Arc<Self>,
        hash: u64,
        level: u32,
        name: &[u8],
        member: Member,
    ) -> Option<Node> {
        let part = Arc::make_mut(part);
        match part {
            Self::Leaf(members) => {
                if let Some(old) = members.iter_mut().find(|old| old.is(name)) {
                    return Some(std::mem::replace(&mut old.node, member.node));
                }
                members.push(member);
                if members.len() > LEAF_MAX && level < LEVELS_MAX {
                    *part = Self::fork(std::mem::take(members), level);
                }
                None
            }
            Self::Fork { len, parts } => {
                let next = &mut parts[slot(hash, level)];
                let old = Self::insert(next, hash, level + 1, name, member);
                *len += usize::from(old.is_none());
                old
            }
        }
    }

    /// Deals the members of a full leaf out to new leaves.
    fn fork(members: Vec<Member>, level: u32) -> Self {
        let len = members.len();
        let mut leaves = vec![Vec::new(); 1 << FORK_BITS];
        for member in members {
            let hash = hash(&json::decode(&member.key));
            leaves[slot(hash, level)].push(member);
        }
        let parts = leaves.into_iter().map(|leaf| Arc::new(Self::Leaf(leaf))).collect();
        Self::Fork { len, parts }
    }

    fn find_mut<'a>(part: &'a mut Arc<Self>, hash: u64, name: &[u8]) -> Option<&'a mut Node> {
        let mut part = part;
        for level in 0.. {
            match Arc::make_mut(part) {
                Self::Leaf(members) => {
                    let found = members.iter_mut().find(|member| member.is(name));
                    return found.map(|member| &mut member.node);
                }
                Self::Fork { parts, .. } => part = &mut parts[slot(hash, level)],
            }
        }
        None
    }

    fn remove(part: &mut Arc<Self>, hash: u64, level: u32, name: &[u8]) -> Option<Member> {
        let part = Arc::make_mut(part);
        match part {
            Self::Leaf(members) => {
                let place = members.iter().position(|member| member.is(name))?;
                Some(members.remove(place))
            }
            Self::Fork { len, parts } => {
                let next = &mut parts[slot(hash, level)];
                let member = Self::remove(next, hash, level + 1, name)?;
                *len -= 1;
                if *len <= LEAF_AGAIN {
                    let mut rest = Vec::new();
                    part.collect(&mut rest);
                    *part = Self::Leaf(rest.into_iter().cloned().collect());
                }
                Some(member)
            }
        }
    }
}

/// Fixed keys: the tree's shape must not differ from run to run. A peer that
/// makes names collide on purpose gains a few levels, not a long leaf, unless
/// all 64 bits collide.
fn hash(name: &[u8]) -> u64 {
    let mut hasher = DefaultHasher::new();
    hasher.write(name);
    hasher.finish()
}

fn slot(hash: u64, level: u32) -> usize {
    // Four bits always fit.
    (hash >> (level * FORK_BITS) & ((1 << FORK_BITS) - 1)) as usize
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn key(number: u16) -> String {
        format!("\"k{number}\"")
    }

    fn text(members: &[(u16, u32)]) -> String {
        let members: Vec<_> =
            members.iter().map(|(name, value)| format!("{}:{value}", key(*name))).collect();
        format!("{{{}}}", members.join(","))
    }

    fn written(object: &Object) -> String {
        let mut out = String::new();
        object.write_to(&mut out);
        assert_eq!(out.len(), object.text_len());
        out
    }

    /// The counts in the forks are right, and no fork is small enough to be a leaf.
    fn check(part: &Part) -> usize {
        match part {
            Part::Leaf(members) => {
                assert!(members.len() <= LEAF_MAX);
                members.len()
            }
            Part::Fork { len, parts } => {
                assert_eq!(parts.iter().map(|part| check(part)).sum::<usize>(), *len);
                assert!(*len > LEAF_AGAIN);
                *len
            }
        }
    }

    proptest! {
        #[test]
        fn like_a_list_of_pairs(
            steps in proptest::collection::vec((0u16..300, any::<u32>(), 0u8..10), 0..1500),
            emptied in any::<bool>(),
        ) {
            let mut object = Object::new();
            let mut model: Vec<(u16, u32)> = Vec::new();
            let mut kept = None;
            for (step, (name, value, kind)) in steps.into_iter().enumerate() {
                let place = model.iter().position(|(other, _)| *other == name);
                let node = Node::from_valid(&value.to_string());
                if kind < 6 {
                    let old = object.insert(Arc::from(key(name)), node);
                    prop_assert_eq!(old.is_some(), place.is_some());
                    match place {
                        Some(place) => model[place].1 = value,
                        None => model.push((name, value)),
                    }
                } else if kind < 9 {
                    let old = object.remove(&key(name).as_bytes()[1..key(name).len() - 1]);
                    prop_assert_eq!(old.is_some(), place.is_some());
                    place.map(|place| model.remove(place));
                } else {
                    let inner = key(name);
                    let changed = object.update(inner.trim_matches('"').as_bytes(), |old| *old = node);
                    prop_assert_eq!(changed.is_some(), place.is_some());
                    place.into_iter().for_each(|place| model[place].1 = value);
                }
                if step == 700 {
                    kept = Some((object.clone(), text(&model)));
                }
            }
            prop_assert_eq!(written(&object), text(&model));
            check(&object.root);
            if emptied {
                for (name, _) in model.drain(..) {
                    object.remove(key(name).trim_matches('"').as_bytes());
                }
                prop_assert_eq!(written(&object), "{}");
                prop_assert!(matches!(&*object.root, Part::Leaf(_)));
            }
            if let Some((object, text)) = kept {
                prop_assert_eq!(written(&object), text);
            }
        }
    }

    #[test]
    fn names_are_told_by_content_and_kept_as_written() {
        let mut object = Object::open(r#"{"\u0061":1,"\ud800":2}"#).expect("an object");
        assert!(object.insert(Arc::from("\"a\""), Node::from_valid("3")).is_some());
        assert_eq!(written(&object), r#"{"\u0061":3,"\ud800":2}"#);
        assert!(object.remove(b"\xed\xa0\x80").is_some());
        assert_eq!(written(&object), r#"{"\u0061":3}"#);
    }

    #[test]
    fn opening_drops_white_space_and_refuses_duplicates() {
        let object = Object::open(" { \"a\" : [ 1 ] , \"b\":2 } ").expect("an object");
        assert_eq!(written(&object), r#"{"a":[ 1 ],"b":2}"#);
        assert_eq!(
            Object::open(r#"{"a":1,"b":2,"\u0061":3}"#).err(),
            Some(MembersError::Duplicate { name: "a".into() })
        );
    }
}
