//! Objects in the order of their creation, found by their id.

use std::collections::HashMap;

/// An object that a vendor made.
pub(super) trait Keyed {
    fn id(&self) -> &str;
}

/// Objects in the order of their creation.
pub(super) struct Table<T> {
    rows: Vec<T>,
    index: HashMap<String, usize>,
}

impl<T> Default for Table<T> {
    fn default() -> Self {
        Self { rows: Vec::new(), index: HashMap::new() }
    }
}

impl<T: Keyed> Table<T> {
    pub(super) fn push(&mut self, row: T) {
        self.index.insert(row.id().to_owned(), self.rows.len());
        self.rows.push(row);
    }

    pub(super) fn get(&self, id: &str) -> Option<&T> {
        self.rows.get(self.position(id)?)
    }

    pub(super) fn get_mut(&mut self, id: &str) -> Option<&mut T> {
        let at = self.position(id)?;
        self.rows.get_mut(at)
    }

    pub(super) fn position(&self, id: &str) -> Option<usize> {
        self.index.get(id).copied()
    }

    /// Oldest first.
    pub(super) fn rows(&self) -> &[T] {
        &self.rows
    }
}
