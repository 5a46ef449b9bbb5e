//! One vocabulary of failure, mapped once to exit codes and once to each protocol.

/// What kind of failure an error is, for whoever must react to it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum ErrorKind {
    /// The caller handed in something that cannot be served as asked.
    InvalidInput,
    /// Something that had to be there is not.
    NotFound,
    /// A queue is full, or a lock is held by another process.
    Overloaded,
    /// Time ran out.
    DeadlineExceeded,
    /// Bytes on disk are damaged, or belong to another model or format.
    Corrupted,
    /// Something outside cannot be reached: disk full, library missing, permission denied.
    Unavailable,
    /// A guard said no; the caller may insist.
    Refused,
    /// A fault of Berth itself or of an engine below it.
    Internal,
}
