//! The mappings in force. A reload swaps them between two messages; what is under way keeps those
//! it began with.

use std::sync::{Arc, PoisonError, RwLock};

use super::ports::ReplyWriter;
use crate::domain::Reply;
use crate::transform::Catalog;

/// The mappings in force.
pub struct Transforms {
    current: RwLock<Arc<Catalog>>,
}

impl Transforms {
    /// Begins with these mappings.
    pub fn new(catalog: Catalog) -> Self {
        Self { current: RwLock::new(Arc::new(catalog)) }
    }

    /// The mappings in force now. Take them once per batch, so that a batch is translated alike.
    pub fn current(&self) -> Arc<Catalog> {
        Arc::clone(&self.current.read().unwrap_or_else(PoisonError::into_inner))
    }

    /// Puts others in force and returns those before.
    pub fn swap(&self, catalog: Catalog) -> Arc<Catalog> {
        let mut current = self.current.write().unwrap_or_else(PoisonError::into_inner);
        std::mem::replace(&mut *current, Arc::new(catalog))
    }
}

impl ReplyWriter for Transforms {
    fn write(&self, reply: &Reply) -> Vec<u8> {
        self.current().write_reply(reply)
    }
}
