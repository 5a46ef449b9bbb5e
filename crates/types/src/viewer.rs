//! Who asks, where documents say who may find them.

/// The principal that everyone is: a document that names it is open to all.
pub const EVERYONE: &str = "everyone";

/// Who looks at an index whose documents say who may find them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Viewer {
    /// Whoever owns the files of the index: sees everything.
    Owner,
    /// Someone who is all of these, such as `alice` and `group:eng`, and [`EVERYONE`] beside; with none of them, sees only
    /// what is open to all.
    Principals(Vec<String>),
}
