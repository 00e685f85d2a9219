//! The memory that threads work in.

use crate::memory::Buffer;

/// Numbers of each kind of workspace.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Needs {
    pub(crate) left: usize,
    pub(crate) region: usize,
    pub(crate) product: usize,
}

impl Needs {
    pub(crate) fn join(self, other: Self) -> Self {
        Self {
            left: self.left.max(other.left),
            region: self.region.max(other.region),
            product: self.product.max(other.product),
        }
    }
}

/// Memory of one thread.
pub(crate) struct Workspace {
    pub(crate) left: Buffer,
    pub(crate) region: Buffer,
    pub(crate) product: Buffer,
}

/// Memory of all threads.
#[derive(Default)]
pub(crate) struct Workspaces {
    /// The left-hand side when all threads work on one block.
    pub(super) shared: Buffer,
    pub(crate) threads: Vec<Workspace>,
}

impl Workspaces {
    pub(crate) fn new(threads: usize, needs: Needs) -> Self {
        let workspace = |_| Workspace {
            left: Buffer::zeroed(needs.left),
            region: Buffer::zeroed(needs.region),
            product: Buffer::zeroed(needs.product),
        };
        Self {
            shared: Buffer::zeroed(if threads > 1 { needs.left } else { 0 }),
            threads: (0..threads).map(workspace).collect(),
        }
    }
}
