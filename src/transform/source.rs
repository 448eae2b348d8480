//! The elements that the mappings of one kind of message ask for, as a tree of names, and where in
//! it a path ends.

use super::path::Path;

/// The place of a name in the [`Tree`].
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct NodeId(u32);

impl NodeId {
    pub(super) const ROOT: Self = Self(0);

    pub(super) fn index(self) -> usize {
        self.0 as usize
    }
}

/// A power of two, as is every further number of slots.
const SLOTS_MIN: usize = 64;

/// The names that are asked for. Whatever is not in it is passed over when a message is read.
#[derive(Debug)]
pub(super) struct Tree {
    nodes: Vec<Node>,
    /// The places by parent and name: each stands in the first free slot from its hash on. A look
    /// takes the same time however many names are asked for.
    slots: Vec<Option<NodeId>>,
}

#[derive(Debug)]
struct Node {
    name: Box<str>,
    parent: NodeId,
    children: Vec<NodeId>,
    has_attributes: bool,
    keeps_text: bool,
    ignored: bool,
}

/// A path of a rule, as a place in the tree.
#[derive(Clone, Debug)]
pub(super) struct Source {
    pub(super) node: NodeId,
    /// The choices along the path, innermost last.
    pub(super) tests: Vec<Choice>,
    /// Whether the path starts at the root although its rule stands in an `each`.
    pub(super) from_root: bool,
    /// The path as it is shown to people, from the root on.
    pub(super) shown: Box<str>,
}

/// Which of several elements of one name: that whose child has this value.
#[derive(Clone, Debug)]
pub(super) struct Choice {
    pub(super) element: NodeId,
    pub(super) child: NodeId,
    pub(super) value: Box<str>,
}

impl Tree {
    pub(super) fn new(root: &str) -> Self {
        let root = Node {
            name: root.into(),
            parent: NodeId::ROOT,
            children: Vec::new(),
            has_attributes: false,
            keeps_text: false,
            ignored: false,
        };
        Self { nodes: vec![root], slots: vec![None; SLOTS_MIN] }
    }

    pub(super) fn len(&self) -> usize {
        self.nodes.len()
    }

    /// Finds the place of a path below `base`, which is the source of the `each` around, if any.
    pub(super) fn add(&mut self, path: &Path, base: Option<&Source>) -> Source {
        let base = base.filter(|_| !path.absolute);
        let mut node = base.map_or(NodeId::ROOT, |base| base.node);
        let mut tests = Vec::new();
        let mut shown = base.map_or_else(String::new, |base| base.shown.to_string());
        for segment in &path.segments {
            node = self.add_child(node, &segment.name);
            if !shown.is_empty() {
                shown.push('/');
            }
            shown.push_str(&segment.name);
            if let Some(test) = &segment.test {
                let child = self.add_child(node, &test.child);
                self.nodes[child.index()].keeps_text = true;
                let choice = Choice { element: node, child, value: test.value.as_str().into() };
                tests.push(choice);
                shown = format!("{shown}[{}={}]", test.child, test.value);
            }
        }
        Source { node, tests, from_root: base.is_none(), shown: shown.into() }
    }

    /// Says that somebody asks for the text at a place, and not only for what stands inside.
    pub(super) fn keep_text(&mut self, node: NodeId) {
        self.nodes[node.index()].keeps_text = true;
    }

    /// Marks a path as known: neither read nor reported as unknown.
    pub(super) fn ignore(&mut self, path: &Path) {
        let mut node = NodeId::ROOT;
        for segment in &path.segments {
            node = self.add_child(node, &segment.name);
        }
        self.nodes[node.index()].ignored = true;
    }

    fn add_child(&mut self, parent: NodeId, name: &str) -> NodeId {
        if let Some(child) = self.child(parent, name) {
            return child;
        }
        let id = NodeId(u32::try_from(self.nodes.len()).unwrap_or(u32::MAX));
        self.nodes.push(Node {
            name: name.into(),
            parent,
            children: Vec::new(),
            has_attributes: false,
            keeps_text: false,
            ignored: false,
        });
        let parent = &mut self.nodes[parent.index()];
        parent.children.push(id);
        parent.has_attributes |= name.starts_with('@');
        // Half of the slots stay free, so that a look is a short one.
        if self.nodes.len() * 2 > self.slots.len() {
            self.slots = vec![None; self.slots.len() * 2];
            (1..id.0).for_each(|other| self.enter(NodeId(other)));
        }
        self.enter(id);
        id
    }

    fn enter(&mut self, id: NodeId) {
        let node = &self.nodes[id.index()];
        let mut slot = self.slot(node.parent, &node.name);
        while self.slots[slot].is_some() {
            slot = (slot + 1) & (self.slots.len() - 1);
        }
        self.slots[slot] = Some(id);
    }

    pub(super) fn child(&self, parent: NodeId, name: &str) -> Option<NodeId> {
        let mut slot = self.slot(parent, name);
        while let Some(id) = self.slots[slot] {
            let node = &self.nodes[id.index()];
            if node.parent == parent && *node.name == *name {
                return Some(id);
            }
            slot = (slot + 1) & (self.slots.len() - 1);
        }
        None
    }

    /// Where a look for a name begins. Its first and last bytes tell names apart well enough.
    fn slot(&self, parent: NodeId, name: &str) -> usize {
        const SPREAD: u64 = 0x9E37_79B9_7F4A_7C15;
        let bytes = name.as_bytes();
        let (head, tail) = match (bytes.first_chunk(), bytes.last_chunk()) {
            (Some(head), Some(tail)) => (u64::from_le_bytes(*head), u64::from_le_bytes(*tail)),
            _ => (bytes.iter().fold(0, |all, byte| all << 8 | u64::from(*byte)), 0),
        };
        let mixed = (head ^ tail.rotate_left(23) ^ u64::from(parent.0)).wrapping_mul(SPREAD);
        // The high bits of a product depend on all bits of its factors.
        usize::try_from(mixed >> 32).unwrap_or_default() & (self.slots.len() - 1)
    }

    /// The attributes asked for, with their names.
    pub(super) fn attributes(&self, node: NodeId) -> impl Iterator<Item = (NodeId, &str)> {
        let node = &self.nodes[node.index()];
        let children: &[NodeId] = if node.has_attributes { &node.children } else { &[] };
        children.iter().filter_map(|child| {
            self.nodes[child.index()].name.strip_prefix('@').map(|name| (*child, name))
        })
    }

    pub(super) fn parent(&self, node: NodeId) -> NodeId {
        self.nodes[node.index()].parent
    }

    pub(super) fn keeps_text(&self, node: NodeId) -> bool {
        self.nodes[node.index()].keeps_text
    }

    pub(super) fn is_ignored(&self, node: NodeId) -> bool {
        self.nodes[node.index()].ignored
    }

    /// The path of an element as shown to people.
    pub(super) fn shown(&self, node: NodeId, child: &str) -> String {
        let mut names = vec![child];
        let mut node = node;
        while node != NodeId::ROOT {
            names.push(&self.nodes[node.index()].name);
            node = self.parent(node);
        }
        names.reverse();
        names.join("/")
    }
}
