//! The message that a mapping writes, as a list of steps: open this element, write that rule's
//! value, close it again. Elements that stay empty are not written.

use super::awake::Alarm;
use super::path::{Path, Segment, Test};
use super::rule::{Group, Rule};

/// A whole message: its outermost block.
#[derive(Debug)]
pub(super) struct Layout {
    pub(super) block: Block,
    pub(super) alarm: Alarm,
}

/// Rules with the elements that they fill.
#[derive(Debug, Default)]
pub(super) struct Block {
    pub(super) rules: Vec<Rule>,
    pub(super) groups: Vec<Group>,
    pub(super) steps: Vec<Step>,
}

/// One step of writing.
#[derive(Debug)]
pub(super) enum Step {
    Open(Tag),
    Close,
    /// An element with a value: that of the first of the rules that applies.
    Leaf {
        name: Box<str>,
        rules: Vec<usize>,
    },
    /// A group, once for each element of its source.
    Each(usize),
}

/// An element that has others inside.
#[derive(Debug)]
pub(super) struct Tag {
    pub(super) name: Box<str>,
    /// The default namespace, at the root only.
    pub(super) namespace: Option<Box<str>>,
    /// A child that is always the same, from `[child=value]` in the target path.
    pub(super) fixed: Option<(Box<str>, Box<str>)>,
}

/// Collects the target paths of a block and makes its steps of them. Elements stand in the order
/// in which the mapping names them first.
#[derive(Debug)]
pub(super) struct Outline {
    nodes: Vec<Node>,
}

#[derive(Debug)]
struct Node {
    segment: Segment,
    children: Vec<usize>,
    content: Content,
}

#[derive(Debug, PartialEq, Eq)]
enum Content {
    /// Other elements, or nothing yet.
    Elements,
    Rules(Vec<usize>),
    Group(usize),
}

/// Why a target path cannot stand beside the others.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Clash {
    /// It has a value already, and now gets elements inside, or the other way round.
    LeafAndGroup,
    /// It has a rule already.
    Taken,
}

impl Outline {
    pub(super) fn new() -> Self {
        let segment = Segment { name: String::new(), test: None };
        Self { nodes: vec![Node { segment, children: Vec::new(), content: Content::Elements }] }
    }

    /// Enters a rule. `shared` says that every rule entered there before has a condition.
    pub(super) fn add_rule(
        &mut self,
        path: &Path,
        rule: usize,
        shared: impl Fn(usize) -> bool,
    ) -> Result<(), Clash> {
        let node = self.walk(path)?;
        let node = &mut self.nodes[node];
        if !node.children.is_empty() || node.segment.test.is_some() {
            return Err(Clash::LeafAndGroup);
        }
        match &mut node.content {
            Content::Elements => node.content = Content::Rules(vec![rule]),
            Content::Rules(rules) if rules.iter().all(|rule| shared(*rule)) => rules.push(rule),
            Content::Rules(_) | Content::Group(_) => return Err(Clash::Taken),
        }
        Ok(())
    }

    pub(super) fn add_group(&mut self, path: &Path, group: usize) -> Result<(), Clash> {
        let node = self.walk(path)?;
        let node = &mut self.nodes[node];
        if !node.children.is_empty() {
            return Err(Clash::LeafAndGroup);
        }
        if node.content != Content::Elements {
            return Err(Clash::Taken);
        }
        node.content = Content::Group(group);
        Ok(())
    }

    fn walk(&mut self, path: &Path) -> Result<usize, Clash> {
        let mut node = 0;
        for segment in &path.segments {
            if self.nodes[node].content != Content::Elements {
                return Err(Clash::LeafAndGroup);
            }
            if let Some(test) = &self.nodes[node].segment.test
                && test.child == segment.name
            {
                return Err(Clash::Taken);
            }
            let mut children = self.nodes[node].children.iter().copied();
            let known = children.find(|child| self.nodes[*child].segment == *segment);
            node = known.unwrap_or_else(|| self.grow(node, segment));
        }
        Ok(node)
    }

    fn grow(&mut self, parent: usize, segment: &Segment) -> usize {
        let child = self.nodes.len();
        let segment = segment.clone();
        self.nodes.push(Node { segment, children: Vec::new(), content: Content::Elements });
        self.nodes[parent].children.push(child);
        child
    }

    /// Makes the steps. The outermost element is given, because it has the namespace, or belongs
    /// to the group around.
    pub(super) fn into_steps(self, outermost: Tag) -> Vec<Step> {
        let mut steps = vec![Step::Open(outermost)];
        for child in &self.nodes[0].children {
            self.write_steps(*child, &mut steps);
        }
        steps.push(Step::Close);
        steps
    }

    fn write_steps(&self, node: usize, steps: &mut Vec<Step>) {
        let node = &self.nodes[node];
        match &node.content {
            Content::Rules(rules) => {
                let name = node.segment.name.as_str().into();
                steps.push(Step::Leaf { name, rules: rules.clone() });
            }
            Content::Group(group) => steps.push(Step::Each(*group)),
            Content::Elements => {
                steps.push(Step::Open(Tag::of(&node.segment)));
                for child in &node.children {
                    self.write_steps(*child, steps);
                }
                steps.push(Step::Close);
            }
        }
    }
}

impl Tag {
    pub(super) fn of(segment: &Segment) -> Self {
        let fixed = segment
            .test
            .as_ref()
            .map(|Test { child, value }| (child.as_str().into(), value.as_str().into()));
        Self { name: segment.name.as_str().into(), namespace: None, fixed }
    }
}
