//! A commit as someone sees it at some moment: what others alone may see, and what has expired, is not there.
//!
//! What is hidden is one more condition beside a filter, so that it holds before anything is ranked, in both halves, and for
//! what is counted, listed and read.

use std::sync::Arc;
use std::time::SystemTime;

use berth_types::{EVERYONE, FacetCount, Viewer};

use crate::query_language::LanguageFault;
use crate::schema::{column, column_name};
use crate::select::{Condition, Values};
use crate::{Error, FieldValue, LexicalAnswer, Policy, Question, Selection, Snapshot, StoredDocument, TermScore};

/// A snapshot without what is hidden from whoever looks.
#[derive(Debug, Clone)]
pub struct View<'a> {
    snapshot: &'a Snapshot,
    /// What a document has to be to be seen; none: all are.
    seen: Option<Condition>,
    /// Whether others see more.
    is_restricted: bool,
}

impl Snapshot {
    /// What someone sees at a moment. `viewer` is needed where documents say who may find them.
    ///
    /// # Errors
    /// `WhoAsks` when it is needed and not there, `NoAccessLists` for someone who may not see everything where nothing says
    /// what; `Corrupted`, `Lexical`.
    pub fn view(&self, viewer: Option<&Viewer>, clock: SystemTime) -> Result<View<'_>, Error> {
        let policy = self.policy();
        let mut conditions = Vec::new();
        let path = || self.dir().to_path_buf();
        match (&policy.access_field, viewer) {
            (_, Some(Viewer::Owner)) | (None, None) => {}
            (Some(field), Some(Viewer::Principals(names))) => conditions.push(names_one_of(field, names)),
            (Some(field), None) => return Err(Error::WhoAsks { path: path(), field: field.clone() }),
            // To answer with everything would be to forget who asks.
            (None, Some(Viewer::Principals(_))) => return Err(Error::NoAccessLists { path: path() }),
        }
        let is_restricted = !conditions.is_empty();
        conditions.extend(self.not_expired(policy, clock)?);
        let seen = (!conditions.is_empty()).then_some(Condition::And(conditions));
        Ok(View { snapshot: self, seen, is_restricted })
    }

    /// `None` while nothing has expired.
    fn not_expired(&self, policy: &Policy, clock: SystemTime) -> Result<Option<Condition>, Error> {
        // Between two moments at which something expires the answer is the same, and so is the condition: sets are kept by it.
        let moments = self.expiry_moments()?;
        let past = moments.partition_point(|&moment| moment <= policy.moment(clock));
        let Some(&last) = past.checked_sub(1).and_then(|last| moments.get(last)) else { return Ok(None) };
        let within =
            |name: String, low: i64, high: i64| Condition::Column { name, values: Values::Integers(low..=high) };
        let mut expired = Vec::new();
        if let Some(field) = &policy.expires_field {
            expired.push(within(column_name(field), i64::MIN, last));
        }
        if let Some(span) = policy.time_to_live {
            // The end of life is in whole microseconds: all nanoseconds of the last one count.
            let modified = last.saturating_sub(span.micros()).saturating_mul(1000).saturating_add(999);
            expired.push(within(column::MODIFIED_NS.to_owned(), 1, modified));
        }
        Ok(Some(Condition::Not(Box::new(Condition::Or(expired)))))
    }
}

/// Whether a document names one of the principals, or everyone.
fn names_one_of(field: &str, names: &[String]) -> Condition {
    let mut names: Vec<&str> = names.iter().map(String::as_str).chain([EVERYONE]).collect();
    names.sort_unstable();
    names.dedup();
    let name = |name: &str| Condition::Column { name: column_name(field), values: Values::Word(name.to_owned()) };
    Condition::Or(names.into_iter().map(name).collect())
}

impl<'a> View<'a> {
    /// The snapshot, with all that is in it.
    pub fn snapshot(&self) -> &'a Snapshot {
        self.snapshot
    }

    /// Whether anything may be hidden.
    pub fn hides(&self) -> bool {
        self.seen.is_some()
    }

    /// Whether the viewer is not to know what others may find.
    pub fn is_restricted(&self) -> bool {
        self.is_restricted
    }

    /// As [`Snapshot::selection`], of what is seen.
    ///
    /// # Errors
    /// As there.
    pub fn selection(
        &self,
        filter: Option<&str>,
        question: Option<&Question>,
    ) -> Result<Option<Arc<Selection>>, Error> {
        let selected = self.snapshot.selection_within(self.seen.as_ref(), filter, question);
        selected.map_err(|error| self.discreet(error))
    }

    /// As [`Snapshot::matches`], of what is seen.
    ///
    /// # Errors
    /// As there.
    pub fn matches(&self, filter: Option<&str>, question: &Question) -> Result<Option<Arc<Selection>>, Error> {
        let selected = self.snapshot.matches_within(self.seen.as_ref(), filter, question);
        selected.map_err(|error| self.discreet(error))
    }

    /// As [`Snapshot::lexical_within`], of what is seen.
    ///
    /// # Errors
    /// As there.
    pub fn lexical_within(
        &self,
        question: &Question,
        filter: Option<&str>,
        depth: usize,
    ) -> Result<LexicalAnswer, Error> {
        let answer = self.snapshot.lexical_of_seen(self.seen.as_ref(), question, filter, depth);
        answer.map_err(|error| self.discreet(error))
    }

    /// As [`Snapshot::explain`], of a chunk that is seen.
    ///
    /// # Errors
    /// As there.
    pub fn explain(&self, question: &Question, chunk_id: u64) -> Result<Vec<TermScore>, Error> {
        self.snapshot.explain_of_seen(self.seen.as_ref(), question, chunk_id)
    }

    /// As [`Snapshot::facet`].
    ///
    /// # Errors
    /// As there.
    pub fn facet(&self, facet: &berth_types::Facet, within: Option<&Selection>) -> Result<Vec<FacetCount>, Error> {
        let seen = if within.is_none() { self.selection(None, None)? } else { None };
        self.snapshot.facet(facet, within.or(seen.as_deref())).map_err(|error| self.discreet(error))
    }

    /// As [`Snapshot::document_numbers`], of what is seen.
    ///
    /// # Errors
    /// As there.
    pub fn document_numbers(&self, within: Option<&Selection>) -> Result<Vec<u64>, Error> {
        let seen = if within.is_none() { self.selection(None, None)? } else { None };
        self.snapshot.document_numbers(within.or(seen.as_deref()))
    }

    /// As [`Snapshot::sort_values`].
    ///
    /// # Errors
    /// As there.
    pub fn sort_values(
        &self,
        field: &str,
        descending: bool,
        document_nos: impl Iterator<Item = u64>,
    ) -> Result<Vec<Option<FieldValue>>, Error> {
        self.snapshot.sort_values(field, descending, document_nos).map_err(|error| self.discreet(error))
    }

    /// As [`Snapshot::document`], when it is seen.
    ///
    /// # Errors
    /// As there.
    pub fn document(&self, id: &str) -> Result<Option<StoredDocument>, Error> {
        let Some(stored) = self.snapshot.document(id)? else { return Ok(None) };
        Ok(if self.sees(stored.document_no)? { Some(stored) } else { None })
    }

    /// At most `limit` ids of what is seen that end with `suffix`, sorted.
    ///
    /// # Errors
    /// `Corrupted`, `Lexical`.
    pub fn document_ids(&self, suffix: &str, limit: usize) -> Result<Vec<String>, Error> {
        if !self.hides() {
            return self.snapshot.document_ids(suffix, limit);
        }
        let mut ids = Vec::new();
        for id in self.snapshot.document_ids(suffix, usize::MAX)? {
            if ids.len() == limit {
                break;
            }
            if let Some(number) = self.snapshot.document_number(&id)?
                && self.sees(number)?
            {
                ids.push(id);
            }
        }
        Ok(ids)
    }

    /// Whether the document of this number is seen.
    ///
    /// # Errors
    /// `Corrupted`, `Lexical`.
    pub fn sees(&self, document_no: u64) -> Result<bool, Error> {
        match self.selection(None, None)? {
            None => Ok(true),
            Some(selection) => self.snapshot.is_in(&selection, document_no),
        }
    }

    /// Names of fields are taken from documents, and those may be hidden: a message does not list them.
    fn discreet(&self, error: Error) -> Error {
        let hidden = |fault| match fault {
            LanguageFault::UnknownField { name, .. } if self.is_restricted => LanguageFault::UnknownField {
                name,
                known: "id, source, modified, title, language and those of your documents".into(),
            },
            other => other,
        };
        match error {
            Error::BadFilter { filter, fault } => Error::BadFilter { filter, fault: hidden(fault) },
            Error::BadField { action, fault } => Error::BadField { action, fault: hidden(fault) },
            other => other,
        }
    }
}
