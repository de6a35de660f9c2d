//! Paths to values in the tree of settings: `clients[0].redirect_uris[1]`.

use std::fmt;

use serde_path_to_error::Segment;
use toml::Value;

#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Step {
    Key(String),
    Index(usize),
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Path(pub(super) Vec<Step>);

impl Path {
    pub(super) fn section(name: &str) -> Self {
        Self(vec![Step::Key(name.to_owned())])
    }

    /// Appends the path of an error inside this value.
    pub(super) fn join(mut self, inner: &serde_path_to_error::Path) -> Self {
        self.0
            .extend(inner.iter().filter_map(|segment| match segment {
                Segment::Seq { index } => Some(Step::Index(*index)),
                Segment::Map { key } => Some(Step::Key(key.clone())),
                Segment::Enum { .. } | Segment::Unknown => None,
            }));
        self
    }

    pub(super) fn key(mut self, name: &str) -> Self {
        self.0.push(Step::Key(name.to_owned()));
        self
    }

    /// Whether the path ends with this key.
    pub(super) fn ends_with(&self, name: &str) -> bool {
        matches!(self.0.last(), Some(Step::Key(key)) if key == name)
    }

    pub(super) fn is_element(&self) -> bool {
        matches!(self.0.last(), Some(Step::Index(_)))
    }

    pub(super) fn keys(&self) -> impl DoubleEndedIterator<Item = &str> {
        self.0.iter().filter_map(|step| match step {
            Step::Key(key) => Some(key.as_str()),
            Step::Index(_) => None,
        })
    }

    /// Returns the value at this path.
    pub(super) fn find<'a>(&self, root: &'a mut Value) -> Option<&'a mut Value> {
        find(&self.0, root)
    }

    /// Puts a value at this path, if the table or list around it exists.
    pub(super) fn put(&self, root: &mut Value, value: Value) {
        let Some((last, parent)) = self.0.split_last() else {
            return;
        };
        match (last, find(parent, root)) {
            (Step::Key(key), Some(Value::Table(table))) => {
                table.insert(key.clone(), value);
            }
            (Step::Index(index), Some(Value::Array(list))) => {
                if let Some(element) = list.get_mut(*index) {
                    *element = value;
                }
            }
            _ => {}
        }
    }

    /// Removes the key at the end of this path. Elements of lists stay, since removal would
    /// renumber those after them.
    pub(super) fn remove(&self, root: &mut Value) {
        if let Some((Step::Key(key), parent)) = self.0.split_last()
            && let Some(Value::Table(table)) = find(parent, root)
        {
            table.remove(key);
        }
    }
}

fn find<'a>(steps: &[Step], root: &'a mut Value) -> Option<&'a mut Value> {
    steps
        .iter()
        .try_fold(root, |value, step| match (step, value) {
            (Step::Key(key), Value::Table(table)) => table.get_mut(key),
            (Step::Index(index), Value::Array(list)) => list.get_mut(*index),
            _ => None,
        })
}

impl fmt::Display for Path {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (at, step) in self.0.iter().enumerate() {
            match step {
                Step::Key(key) if at == 0 => f.write_str(key)?,
                Step::Key(key) => write!(f, ".{key}")?,
                Step::Index(index) => write!(f, "[{index}]")?,
            }
        }
        Ok(())
    }
}
