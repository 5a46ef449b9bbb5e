//! Why a request was not answered, in words that may leave the machine.

use std::cmp::Reverse;
use std::path::PathBuf;
use std::sync::{PoisonError, RwLock};
use std::time::Duration;

use berth_pipeline::{EncoderError, Error, IndexError};
use berth_types::ErrorKind;

/// Characters of what a message quotes, and of a message.
const QUOTED: usize = 200;
const LONGEST: usize = 1000;

/// Why a request failed. Its message names no path of this machine.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
#[error("{message}")]
pub(crate) struct Failure {
    pub(crate) code: Code,
    pub(crate) message: String,
    /// The limit that was met, by its name.
    pub(crate) limit: Option<&'static str>,
    /// The field of the request that is at fault.
    pub(crate) field: Option<&'static str>,
    /// After which time it makes sense to ask again.
    pub(crate) retry_after: Option<Duration>,
}

/// What kind of failure it is, for whoever must react: the kinds of [`ErrorKind`], and those that only a service knows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Code {
    InvalidInput,
    TooLarge,
    NotFound,
    Unauthenticated,
    Forbidden,
    Refused,
    Overloaded,
    DeadlineExceeded,
    Unavailable,
    Corrupted,
    Unimplemented,
    Internal,
}

impl Code {
    pub(crate) const ALL: [Self; 12] = [
        Self::InvalidInput,
        Self::TooLarge,
        Self::NotFound,
        Self::Unauthenticated,
        Self::Forbidden,
        Self::Refused,
        Self::Overloaded,
        Self::DeadlineExceeded,
        Self::Unavailable,
        Self::Corrupted,
        Self::Unimplemented,
        Self::Internal,
    ];

    /// The word in JSON, in metrics and in the reason of gRPC's `ErrorInfo`.
    pub(crate) fn as_str(self) -> &'static str {
        match self {
            Self::InvalidInput => "invalid_input",
            Self::TooLarge => "too_large",
            Self::NotFound => "not_found",
            Self::Unauthenticated => "unauthenticated",
            Self::Forbidden => "forbidden",
            Self::Refused => "refused",
            Self::Overloaded => "overloaded",
            Self::DeadlineExceeded => "deadline_exceeded",
            Self::Unavailable => "unavailable",
            Self::Corrupted => "corrupted",
            Self::Unimplemented => "unimplemented",
            Self::Internal => "internal",
        }
    }
}

impl Failure {
    pub(crate) fn new(code: Code, message: impl Into<String>) -> Self {
        Self { code, message: shortened(message.into()), limit: None, field: None, retry_after: None }
    }

    pub(crate) fn invalid(field: &'static str, message: impl Into<String>) -> Self {
        Self { field: Some(field), ..Self::new(Code::InvalidInput, message) }
    }

    /// More than a limit allows.
    pub(crate) fn limit(limit: &'static str, field: &'static str, message: impl Into<String>) -> Self {
        Self { limit: Some(limit), field: Some(field), ..Self::new(Code::TooLarge, message) }
    }

    pub(crate) fn overloaded(limit: &'static str, message: impl Into<String>, retry_after: Duration) -> Self {
        Self { limit: Some(limit), retry_after: Some(retry_after), ..Self::new(Code::Overloaded, message) }
    }

    pub(crate) fn deadline() -> Self {
        Self::new(Code::DeadlineExceeded, "the deadline passed before there was an answer")
    }

    /// A thread that worked on the request ended without an answer.
    pub(crate) fn lost() -> Self {
        Self::new(Code::Internal, "the work on this request ended without an answer; the log of the server says more")
    }

    /// Says the same of one of several things.
    pub(crate) fn at(self, what: &str, number: usize) -> Self {
        self.about(&format!("{what} {number}"))
    }

    /// Says what it is about.
    pub(crate) fn about(self, what: &str) -> Self {
        Self { message: shortened(format!("{what}: {}", self.message)), ..self }
    }
}

impl From<IndexError> for Failure {
    fn from(error: IndexError) -> Self {
        Error::from(error).into()
    }
}

impl From<EncoderError> for Failure {
    fn from(error: EncoderError) -> Self {
        Error::from(error).into()
    }
}

impl From<Error> for Failure {
    /// What the caller can mend is said in full, without paths; what only the operator can mend goes to the log.
    fn from(error: Error) -> Self {
        let full = error.to_string();
        let told = |code| Self::new(code, without_paths(&full));
        let kept = |code, message: &str| {
            tracing::error!(error = %full, "a request failed");
            Self::new(code, message)
        };
        match (&error, error.kind()) {
            (Error::Index(IndexError::Locked { .. }), _) => Self {
                retry_after: Some(Duration::from_secs(2)),
                ..Self::new(Code::Unavailable, "the collection is being written by another process; try again soon")
            },
            (Error::Index(IndexError::WhoAsks { field, .. }), _) => {
                let message = format!(
                    "the documents say who may find them (field '{field}'): say who asks in principals, or ask as_owner"
                );
                Self::invalid("principals", message)
            }
            (Error::Index(IndexError::NoAccessLists { .. }), _) => {
                Self::invalid("principals", "the documents do not say who may find them; leave principals out")
            }
            (Error::Encoder(EncoderError::TextTooLong { tokens, max_tokens }), _) => {
                let message = format!(
                    "the text has {tokens} tokens, and the model reads {max_tokens} of a text at once; send less of it, or \
                     set truncate"
                );
                Self::invalid("input", message)
            }
            (Error::Encoder(EncoderError::Cancelled), _) => {
                Self::new(Code::DeadlineExceeded, "the request was taken back")
            }
            (_, ErrorKind::InvalidInput) => told(Code::InvalidInput),
            (_, ErrorKind::NotFound) => told(Code::NotFound),
            (_, ErrorKind::Refused) => told(Code::Refused),
            (_, ErrorKind::DeadlineExceeded) => Self::deadline(),
            (_, ErrorKind::Overloaded) => told(Code::Overloaded),
            (_, ErrorKind::Corrupted) => {
                kept(Code::Corrupted, "data on the server's disk is damaged or of another model; its log says more")
            }
            (_, ErrorKind::Unavailable) => {
                kept(Code::Unavailable, "something that the server needs cannot be reached; its log says more")
            }
            _ => kept(Code::Internal, "the server failed at this; its log says more"),
        }
    }
}

/// The message with what it quotes cut to a length that people read: a request may be quoted back, and is not to be sent back.
fn shortened(message: String) -> String {
    if message.len() <= QUOTED {
        return message;
    }
    let mut short = String::with_capacity(QUOTED);
    for (place, part) in message.split(['\'', '`', '"']).enumerate() {
        if place > 0 {
            short.push('\'');
        }
        match part.char_indices().nth(QUOTED) {
            Some((at, _)) => {
                short.push_str(&part[..at]);
                short.push('…');
            }
            None => short.push_str(part),
        }
        if short.len() > LONGEST {
            break;
        }
    }
    if let Some((at, _)) = short.char_indices().nth(LONGEST) {
        short.truncate(at);
        short.push('…');
    }
    short
}

/// Folders of the server, which may have blanks in their names, or be named from where it was started.
static FOLDERS: RwLock<Vec<String>> = RwLock::new(Vec::new());

/// Has messages leave these folders out from now on.
pub(crate) fn hide(folders: impl Iterator<Item = PathBuf>) {
    let mut hidden = FOLDERS.write().unwrap_or_else(PoisonError::into_inner);
    let named = folders.map(|folder| folder.to_string_lossy().into_owned());
    hidden.extend(named.filter(|folder| folder.len() > 1 && folder.contains(['/', ' '])));
    // What lies inside of another one goes first.
    hidden.sort_unstable_by_key(|folder| Reverse(folder.len()));
    hidden.dedup();
}

/// The message with absolute paths replaced: what lies where on the host is nobody's business.
pub(crate) fn without_paths(message: &str) -> String {
    let mut message = message.to_owned();
    for folder in FOLDERS.read().unwrap_or_else(PoisonError::into_inner).iter() {
        if message.contains(folder) {
            // What follows it goes with it.
            message = message.replace(folder, "/-");
        }
    }
    let mut clean = String::with_capacity(message.len());
    let mut rest = message.as_str();
    while let Some(at) = rest.find('/') {
        let begins =
            rest[..at].chars().next_back().is_none_or(|before| !before.is_alphanumeric() && !":/.<".contains(before));
        let end =
            rest[at..].find(|c: char| c.is_whitespace() || "'\"`,;()".contains(c)).map_or(rest.len(), |end| at + end);
        let path = rest[at..end].trim_end_matches([':', '.']);
        clean.push_str(&rest[..at]);
        if begins && path.len() > 1 {
            clean.push_str("[path]");
        } else {
            clean.push_str(path);
        }
        rest = &rest[at + path.len()..];
    }
    clean.push_str(rest);
    clean
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_sent_is_not_sent_back_whole() {
        let long = "ü".repeat(1 << 20);
        let message =
            Failure::new(Code::InvalidInput, format!("unknown field `{long}`, expected one of `a`, `b`")).message;
        assert!(
            message.starts_with("unknown field 'üü") && message.ends_with("…', expected one of 'a', 'b'"),
            "{message}"
        );
        assert!(message.len() < 500);
        let many = format!("{}{}", "'x' ".repeat(1 << 20), "y".repeat(1 << 20));
        assert!(Failure::new(Code::InvalidInput, many).message.chars().count() <= LONGEST + 1);
        assert_eq!(Failure::new(Code::InvalidInput, "it's \"short\"").message, "it's \"short\"");
    }

    #[test]
    fn paths_of_the_host_stay_at_home() {
        let check = |message: &str, clean: &str| assert_eq!(without_paths(message), clean);
        check("cannot read /srv/x/y.toml: denied", "cannot read [path]: denied");
        check(
            "model 'm' is not installed in /home/a/.local/models; run it",
            "model 'm' is not installed in [path]; run it",
        );
        check("/a was built", "[path] was built");
        check("24/7 and and/or, 'a/b', http://x/y", "24/7 and and/or, 'a/b', http://x/y");
        check("a lone / and '/srv/q'", "a lone / and '[path]'");
        check("", "");
        let hidden = ["/srv/My Docs", "/srv/My Docs/law", "./home"].into_iter().map(PathBuf::from);
        hide(hidden);
        check("no model in /srv/My Docs/law/models/x; run it", "no model in [path]; run it");
        check("'./home/models' and '/srv/My Docs'", "'[path]' and '[path]'");
    }
}
