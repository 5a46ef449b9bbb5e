//! Keeps what the tokenizers library does not check about a foreign file from ending the process.

use std::panic::{AssertUnwindSafe, catch_unwind};

/// Does `work` with the library, and turns a panic in it into a message.
///
/// A damaged character map is indexed out of bounds, when the file is read or when a text meets the damage, and a template
/// that names a token it does not define is unwrapped (tokenizers 0.22.2). Neither can be seen from outside beforehand.
/// What `work` leaves behind is only read again: the library's caches hold answers that were complete.
pub(super) fn guarded<T>(work: impl FnOnce() -> Result<T, String>) -> Result<T, String> {
    catch_unwind(AssertUnwindSafe(work))
        .unwrap_or_else(|_| Err("the tokenizers library cannot work with it".to_owned()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_panic_becomes_a_message() {
        assert_eq!(guarded(|| Ok(3)), Ok(3));
        assert_eq!(guarded(|| Err::<(), _>("no".to_owned())), Err("no".to_owned()));
        let none: Option<u32> = std::hint::black_box(None);
        assert!(guarded(|| Ok(none.unwrap())).unwrap_err().contains("tokenizers library"));
    }
}
