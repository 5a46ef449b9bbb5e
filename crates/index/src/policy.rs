//! Who may find the documents of an index, and until when.
//!
//! A policy is part of the manifest, so that it changes with a commit and travels with copies. What it hides is decided
//! for each question, in [`View`](crate::View); what has expired is also removed, by whoever writes next.

use std::time::{SystemTime, UNIX_EPOCH};

use berth_types::{Document, DocumentRecord, FieldDeclaration, FieldKind, TimeSpan};
use serde::{Deserialize, Serialize};

use crate::fields::{Value, extract};
use crate::schema::{column, column_name};
use crate::{Error, FieldKinds, IndexWriter, Snapshot};

/// Who may find documents, and until when.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Policy {
    /// The keyword field that names the principals who may find a document. An index with one is closed: a document that
    /// names nobody is for the owner alone.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub access_field: Option<String>,
    /// The date field that says until when a document may be found; one without a value stays.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub expires_field: Option<String>,
    /// How long after its file was modified a document may be found; one whose file has no date stays.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub time_to_live: Option<TimeSpan>,
    /// The latest moment, in microseconds since 1970, at which a document expired that was removed for it. Time does not go
    /// back behind it: what a clock that is set back would bring to life stays expired. The writer's to set.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub expired_until: Option<i64>,
}

impl Policy {
    pub(crate) fn is_default(&self) -> bool {
        *self == Self::default()
    }

    /// Whether documents can expire.
    pub fn expires(&self) -> bool {
        self.expires_field.is_some() || self.time_to_live.is_some()
    }

    /// The fields that it needs, with their kinds.
    fn declarations(&self) -> Vec<FieldDeclaration> {
        let declare = |name: &Option<String>, kind| name.clone().map(|name| FieldDeclaration { name, kind });
        let access = declare(&self.access_field, FieldKind::Keyword);
        access.into_iter().chain(declare(&self.expires_field, FieldKind::Date)).collect()
    }

    /// The moment as far as documents can expire by it, in microseconds since 1970: the clock's, unless something that was
    /// removed expired later.
    pub(crate) fn moment(&self, clock: SystemTime) -> i64 {
        micros_of(clock).max(self.expired_until.unwrap_or(i64::MIN))
    }

    /// Whether a document of this expiry may not be found any more.
    pub fn is_expired(&self, expiry: i64, clock: SystemTime) -> bool {
        expiry <= self.moment(clock)
    }

    /// Whether the clock stands before the moment at which something expired that was removed, by more than a day: it has
    /// been set back, or had been ahead.
    pub fn is_behind(&self, clock: SystemTime) -> bool {
        const DAY: i64 = 86_400_000_000;
        self.expired_until.is_some_and(|until| until.saturating_sub(micros_of(clock)) > DAY)
    }

    /// The first microsecond in which a document may not be found any more; `None` when it stays.
    pub fn expiry_of(&self, document: &Document, record: &DocumentRecord, fields: &FieldKinds) -> Option<i64> {
        let dates = self.expires_field.as_ref().and_then(|field| {
            let values = extract(&document.metadata, &mut fields.clone(), &mut |_, _| {}).remove(field)?;
            values
                .into_iter()
                .filter_map(|value| if let Value::Date(micros) = value { Some(micros) } else { None })
                .min()
        });
        dates.into_iter().chain(self.end_of_life(record.modified_ns)).min()
    }

    /// When a document dies of age.
    fn end_of_life(&self, modified_ns: i64) -> Option<i64> {
        let span = self.time_to_live.filter(|_| modified_ns > 0)?;
        Some((modified_ns / 1000).saturating_add(span.micros()))
    }
}

pub(crate) fn micros_of(clock: SystemTime) -> i64 {
    let since = |clock: SystemTime| clock.duration_since(UNIX_EPOCH).ok();
    since(clock).and_then(|since| i64::try_from(since.as_micros()).ok()).unwrap_or(0)
}

impl Snapshot {
    /// Who may find the documents, and until when.
    pub fn policy(&self) -> &Policy {
        &self.manifest().policy
    }

    /// The documents that have expired under a policy, which need not be the index's own, with the moment of each in
    /// microseconds since 1970; by id.
    ///
    /// # Errors
    /// `Corrupted`, `Lexical`.
    pub fn expired(&self, policy: &Policy, clock: SystemTime) -> Result<Vec<(String, i64)>, Error> {
        let moment = policy.moment(clock);
        let mut expired = Vec::new();
        for (document_no, expiry) in self.expiries(policy)? {
            if expiry <= moment
                && let Some(id) = self.document_id(document_no)?
            {
                expired.push((id, expiry));
            }
        }
        expired.sort_unstable();
        Ok(expired)
    }

    /// When each document expires that does, in microseconds since 1970; with its number. Reads columns only.
    pub(crate) fn expiries(&self, policy: &Policy) -> Result<Vec<(u64, i64)>, Error> {
        if !policy.expires() {
            return Ok(Vec::new());
        }
        let mut expiries = Vec::new();
        for reader in self.lookup().searcher.segment_readers() {
            let columns = reader.fast_fields();
            let numbers = columns.column_opt::<u64>(column::DOCUMENT_NO)?;
            let chunks = columns.column_opt::<u64>(column::CHUNKS)?;
            let modified = columns.column_opt::<i64>(column::MODIFIED_NS)?.filter(|_| policy.time_to_live.is_some());
            let dates = match &policy.expires_field {
                Some(field) => columns.column_opt::<i64>(&column_name(field))?,
                None => None,
            };
            let (Some(numbers), Some(chunks)) = (numbers, chunks) else { continue };
            for entry in reader.doc_ids_alive() {
                // Only the head of a document has the number of its chunks.
                let Some(number) = numbers.first(entry).filter(|_| chunks.first(entry).is_some()) else { continue };
                let date = dates.as_ref().and_then(|dates| dates.values_for_doc(entry).min());
                let modified_ns = modified.as_ref().and_then(|modified| modified.first(entry)).unwrap_or(0);
                if let Some(expiry) = date.into_iter().chain(policy.end_of_life(modified_ns)).min() {
                    expiries.push((number, expiry));
                }
            }
        }
        Ok(expiries)
    }
}

impl IndexWriter {
    /// Who may find the documents, and until when; changes that are not committed yet included.
    pub fn policy(&self) -> &Policy {
        &self.beside.policy
    }

    /// Says who may find documents, and until when, from the next commit on. What was removed before does not hold time up
    /// any more.
    ///
    /// # Errors
    /// `NoFields` when the index was made before there were metadata fields, `FieldKindMismatch` when a field is of another
    /// kind than it has to be, `InvalidField`.
    pub fn set_policy(&mut self, policy: &Policy) -> Result<(), Error> {
        self.declare_fields(&policy.declarations())?;
        let policy = Policy { expired_until: None, ..policy.clone() };
        if policy != self.beside.policy {
            self.beside.policy = policy;
            self.mark_changed();
        }
        Ok(())
    }

    /// When a document expires that is to be put; see [`Policy::expiry_of`].
    pub fn expiry_of(&self, document: &Document, record: &DocumentRecord) -> Option<i64> {
        self.beside.policy.expiry_of(document, record, self.fields())
    }

    /// Removes documents that have expired, as [`Snapshot::expired`] names them, and remembers until when. Returns how many
    /// of them there still were.
    ///
    /// # Errors
    /// `WriterStopped`.
    pub fn remove_expired(&mut self, expired: &[(String, i64)]) -> Result<usize, Error> {
        let mut removed = 0;
        for (id, expiry) in expired {
            if self.remove(id)? {
                removed += 1;
                let until = &mut self.beside.policy.expired_until;
                *until = Some(until.map_or(*expiry, |until| until.max(*expiry)));
            }
        }
        Ok(removed)
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use serde_json::json;

    use super::*;

    fn document(metadata: &serde_json::Value) -> Document {
        Document { metadata: metadata.as_object().cloned().unwrap(), ..Document::default() }
    }

    #[test]
    fn the_earlier_of_both_ends_counts() {
        let policy = Policy {
            expires_field: Some("until".to_owned()),
            time_to_live: Some("1d".parse().unwrap()),
            ..Policy::default()
        };
        let fields: FieldKinds = [("until".to_owned(), FieldKind::Date)].into();
        let day = 86_400_000_000_i64;
        let expiry = |metadata: serde_json::Value, modified_ns| {
            let record = DocumentRecord { modified_ns, ..DocumentRecord::default() };
            policy.expiry_of(&document(&metadata), &record, &fields)
        };
        assert_eq!(expiry(json!({}), 0), None, "no date at all");
        assert_eq!(expiry(json!({}), 5000), Some(day + 5));
        assert_eq!(expiry(json!({"until": "1970-01-03"}), 0), Some(2 * day));
        assert_eq!(expiry(json!({"until": "1970-01-03"}), 5000), Some(day + 5));
        assert_eq!(expiry(json!({"until": ["1970-01-09", "1970-01-01T00:00:01Z"]}), 5000), Some(1_000_000));
        assert_eq!(expiry(json!({"until": "whenever"}), 0), None, "no date; a warning says so when it is put");
    }

    #[test]
    fn time_does_not_go_back_behind_what_was_removed() {
        let at = |seconds| UNIX_EPOCH + Duration::from_secs(seconds);
        let policy = Policy { expired_until: Some(1_000_000_000_000), ..Policy::default() };
        assert_eq!(policy.moment(at(2_000_000)), 2_000_000_000_000);
        assert_eq!(policy.moment(at(5)), 1_000_000_000_000);
        assert!(policy.is_behind(at(5)) && !policy.is_behind(at(999_999)) && !policy.is_behind(at(2_000_000)));
        assert_eq!(Policy::default().moment(at(5)), 5_000_000);
    }
}
