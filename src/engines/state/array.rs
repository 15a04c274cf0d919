//! An opened array: a tree of small chunks, found by index.
//!
//! Leaves hold elements, forks hold parts and the count of elements below
//! them. A change copies one leaf and the forks above it, whatever the
//! array's size.

use std::ops::ControlFlow;
use std::sync::Arc;

use super::node::Node;
use crate::json::{self, JsonFault};

/// The most elements of a leaf, and parts of a fork. A change copies this
/// many reference counts a level.
const CHUNK_MAX: usize = 64;

#[derive(Debug, Clone)]
enum Part {
    Leaf(Vec<Node>),
    Fork { len: usize, parts: Vec<Arc<Part>> },
}

/// The elements of an array.
#[derive(Debug, Clone)]
pub(super) struct Array {
    root: Arc<Part>,
    /// Bytes of all elements, without the commas.
    bytes: usize,
    height: usize,
}

impl Array {
    /// Opens the text of an array.
    pub(super) fn open(text: &str) -> Result<Self, JsonFault> {
        let mut leaves = Vec::new();
        let mut leaf = Vec::new();
        let mut bytes = 0;
        json::each_element(text, |element| {
            let node = Node::from_valid(element);
            bytes += node.text_len();
            leaf.push(node);
            if leaf.len() == CHUNK_MAX {
                leaves.push(Arc::new(Part::Leaf(std::mem::take(&mut leaf))));
            }
            ControlFlow::Continue(())
        })?;
        leaves.push(Arc::new(Part::Leaf(leaf)));
        Ok(Self { root: Part::grow(leaves), bytes, height: 1 })
    }

    pub(super) fn len(&self) -> usize {
        self.root.len()
    }

    pub(super) fn text_len(&self) -> usize {
        "[]".len() + self.bytes + self.len().saturating_sub(1)
    }

    pub(super) fn height(&self) -> usize {
        self.height
    }

    pub(super) fn write_to(&self, out: &mut String) {
        out.push('[');
        for (place, element) in self.elements().into_iter().enumerate() {
            if place > 0 {
                out.push(',');
            }
            element.write_to(out);
        }
        out.push(']');
    }

    /// All elements, in order.
    pub(super) fn elements(&self) -> Vec<&Node> {
        let mut elements = Vec::with_capacity(self.len());
        self.root.collect(&mut elements);
        elements
    }

    pub(super) fn get(&self, mut index: usize) -> Option<&Node> {
        let mut part = &*self.root;
        loop {
            match part {
                Part::Leaf(nodes) => return nodes.get(index),
                Part::Fork { parts, .. } => {
                    let (place, inner) = find(parts, index)?;
                    part = &parts[place];
                    index = inner;
                }
            }
        }
    }

    /// Changes an element in place; `None` if there is no such element.
    pub(super) fn update<R>(
        &mut self,
        index: usize,
        change: impl FnOnce(&mut Node) -> R,
    ) -> Option<R> {
        // Looked up first, so that a miss copies nothing.
        let before = self.get(index)?.text_len();
        let node = Part::find_mut(&mut self.root, index)?;
        let result = change(node);
        self.bytes = self.bytes - before + node.text_len();
        self.height = self.height.max(node.height() + 1);
        Some(result)
    }

    /// Puts an element before the one at `index`, or last if `index` is the
    /// length. `false`, and nothing done, if `index` is beyond that.
    pub(super) fn insert(&mut self, index: usize, node: Node) -> bool {
        if index > self.len() {
            return false;
        }
        self.bytes += node.text_len();
        self.height = self.height.max(node.height() + 1);
        if let Some(sibling) = Part::insert(&mut self.root, index, node) {
            self.root = Part::grow(vec![Arc::clone(&self.root), sibling]);
        }
        true
    }

    /// Takes an element out; those after it move up.
    pub(super) fn remove(&mut self, index: usize) -> Option<Node> {
        self.get(index)?;
        let node = Part::remove(&mut self.root, index)?;
        self.bytes -= node.text_len();
        while let Part::Fork { parts, .. } = &*self.root
            && let [only] = parts.as_slice()
        {
            self.root = Arc::clone(only);
        }
        Some(node)
    }
}

/// Which part has the element, and at which place in it.
fn find(parts: &[Arc<Part>], mut index: usize) -> Option<(usize, usize)> {
    for (place, part) in parts.iter().enumerate() {
        let len = part.len();
        if index < len {
            return Some((place, index));
        }
        index -= len;
    }
    None
}

impl Part {
    fn len(&self) -> usize {
        match self {
            Self::Leaf(nodes) => nodes.len(),
            Self::Fork { len, .. } => *len,
        }
    }

    /// Puts forks above the parts until there is one root.
    fn grow(mut parts: Vec<Arc<Self>>) -> Arc<Self> {
        loop {
            if parts.len() == 1
                && let Some(root) = parts.pop()
            {
                return root;
            }
            parts = parts.chunks(CHUNK_MAX).map(|chunk| Arc::new(Self::over(chunk))).collect();
        }
    }

    fn over(parts: &[Arc<Self>]) -> Self {
        let len = parts.iter().map(|part| part.len()).sum();
        Self::Fork { len, parts: parts.to_vec() }
    }

    fn collect<'a>(&'a self, nodes: &mut Vec<&'a Node>) {
        match self {
            Self::Leaf(own) => nodes.extend(own),
            Self::Fork { parts, .. } => parts.iter().for_each(|part| part.collect(nodes)),
        }
    }

    fn find_mut(part: &mut Arc<Self>, index: usize) -> Option<&mut Node> {
        match Arc::make_mut(part) {
            Self::Leaf(nodes) => nodes.get_mut(index),
            Self::Fork { parts, .. } => {
                let (place, inner) = find(parts, index)?;
                Self::find_mut(&mut parts[place], inner)
            }
        }
    }

    /// Gives the second half if the part had to be split.
    fn insert(part: &mut Arc<Self>, index: usize, node: Node) -> Option<Arc<Self>> {
        match Arc::make_mut(part) {
            Self::Leaf(nodes) => {
                nodes.insert(index, node);
                let cut = cut(nodes.len(), index)?;
                Some(Arc::new(Self::Leaf(nodes.split_off(cut))))
            }
            Self::Fork { len, parts } => {
                *len += 1;
                // Past the end means into the last part.
                let last = parts.len() - 1;
                let (place, inner) =
                    find(parts, index).unwrap_or_else(|| (last, parts[last].len()));
                let sibling = Self::insert(&mut parts[place], inner, node)?;
                parts.insert(place + 1, sibling);
                let cut = cut(parts.len(), place + 1)?;
                let second = Self::over(&parts.split_off(cut));
                *len -= second.len();
                Some(Arc::new(second))
            }
        }
    }

    fn remove(part: &mut Arc<Self>, index: usize) -> Option<Node> {
        match Arc::make_mut(part) {
            Self::Leaf(nodes) => (index < nodes.len()).then(|| nodes.remove(index)),
            Self::Fork { len, parts } => {
                let (place, inner) = find(parts, index)?;
                let node = Self::remove(&mut parts[place], inner)?;
                *len -= 1;
                // One part is always left: a root needs something to hold.
                if parts[place].len() == 0 && parts.len() > 1 {
                    parts.remove(place);
                }
                Some(node)
            }
        }
    }
}

/// Where to split a chunk that has become too big. One that grew at its end is
/// left full: appending must not leave half-empty chunks behind.
fn cut(len: usize, grown_at: usize) -> Option<usize> {
    if len <= CHUNK_MAX {
        return None;
    }
    Some(if grown_at + 1 == len { CHUNK_MAX } else { len / 2 })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn text(elements: &[u32]) -> String {
        let elements: Vec<_> = elements.iter().map(u32::to_string).collect();
        format!("[{}]", elements.join(","))
    }

    fn written(array: &Array) -> String {
        let mut out = String::new();
        array.write_to(&mut out);
        assert_eq!(out.len(), array.text_len());
        out
    }

    /// The counts in the forks are right; gives the depth.
    fn check(part: &Part) -> usize {
        match part {
            Part::Leaf(nodes) => {
                assert!(nodes.len() <= CHUNK_MAX);
                1
            }
            Part::Fork { len, parts } => {
                assert!(!parts.is_empty() && parts.len() <= CHUNK_MAX);
                assert_eq!(parts.iter().map(|part| part.len()).sum::<usize>(), *len);
                1 + parts.iter().map(|part| check(part)).max().unwrap_or(0)
            }
        }
    }

    proptest! {
        #[test]
        fn like_a_vector(
            start in 0u32..6000,
            steps in proptest::collection::vec(
                (any::<prop::sample::Index>(), any::<u32>(), 0u8..10), 0..600),
            front in any::<bool>(),
        ) {
            let mut model: Vec<u32> = (0..start).collect();
            let mut array = Array::open(&text(&model)).unwrap();
            let before = array.clone();
            for (index, value, kind) in steps {
                let index = if front { 0 } else { index.index(model.len() + 1) };
                let node = Node::from_valid(&value.to_string());
                if kind < 5 {
                    prop_assert!(array.insert(index, node));
                    model.insert(index, value);
                } else if kind < 9 {
                    let removed = array.remove(index).map(|node| node.to_text());
                    let expected = (index < model.len()).then(|| model.remove(index).to_string());
                    prop_assert_eq!(removed, expected);
                } else {
                    let changed = array.update(index, |old| *old = node).is_some();
                    prop_assert_eq!(changed, index < model.len());
                    model.get_mut(index).into_iter().for_each(|old| *old = value);
                }
            }
            prop_assert_eq!(array.len(), model.len());
            prop_assert_eq!(written(&array), text(&model));
            prop_assert!(check(&array.root) <= 4);
            let start: Vec<u32> = (0..start).collect();
            prop_assert_eq!(written(&before), text(&start));
        }
    }

    #[test]
    fn appending_leaves_full_chunks() {
        let mut array = Array::open("[]").expect("an array");
        for value in 0..10_000 {
            assert!(array.insert(value, Node::from_valid(&value.to_string())));
        }
        fn leaves(part: &Part) -> usize {
            match part {
                Part::Leaf(_) => 1,
                Part::Fork { parts, .. } => parts.iter().map(|part| leaves(part)).sum(),
            }
        }
        assert_eq!(leaves(&array.root), 10_000usize.div_ceil(CHUNK_MAX));
        assert!(!array.insert(10_001, Node::from_valid("0")));
        while array.remove(0).is_some() {}
        assert_eq!(written(&array), "[]");
        assert!(array.insert(0, Node::from_valid("1")));
        assert_eq!(written(&array), "[1]");
    }
}
