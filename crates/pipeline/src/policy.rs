//! Who may find the documents of an index and until when, and what is done about those that have expired.

use std::path::Path;
use std::time::SystemTime;

use berth_index::{IndexReader, IndexWriter, Policy, dates, has_field};
use berth_types::{Document, TimeSpan};

use crate::Error;

/// What is to be different in a policy; none: as it is.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct PolicyChange {
    /// The field that names who may find a document; empty: nobody is kept from any.
    pub access_field: Option<String>,
    /// The field that says until when a document may be found; empty: no field does.
    pub expires_field: Option<String>,
    /// How long after its modification a document may be found.
    pub time_to_live: Option<TimeToLive>,
}

/// How long a document may be found.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TimeToLive {
    /// So long after its modification.
    Span(TimeSpan),
    /// Whatever its age.
    Forever,
}

impl PolicyChange {
    pub(crate) fn applied(&self, policy: &Policy) -> Policy {
        let name = |change: &Option<String>, now: &Option<String>| match change {
            None => now.clone(),
            Some(name) => Some(name.clone()).filter(|name| !name.is_empty()),
        };
        let mut changed = policy.clone();
        changed.access_field = name(&self.access_field, &policy.access_field);
        changed.expires_field = name(&self.expires_field, &policy.expires_field);
        match self.time_to_live {
            None => {}
            Some(TimeToLive::Span(span)) => changed.time_to_live = Some(span),
            Some(TimeToLive::Forever) => changed.time_to_live = None,
        }
        changed
    }

    /// Applies what a run of indexing asks for. Whoever is let in is not changed in passing.
    pub(crate) fn apply_in_passing(&self, index: &Path, writer: &mut IndexWriter) -> Result<(), Error> {
        let policy = writer.policy().clone();
        if let (Some(now), Some(asked)) = (&policy.access_field, &self.access_field)
            && now != asked
        {
            return Err(Error::InvalidSettings(format!(
                "the access lists of {} are in field '{now}', not '{asked}'; `berth policy set --access-field` changes that",
                index.display()
            )));
        }
        let changed = self.applied(&policy);
        if changed != policy {
            writer.set_policy(&changed)?;
        }
        Ok(())
    }
}

/// The policy of an index.
///
/// # Errors
/// An index that is not there or damaged.
pub fn policy(index: &Path) -> Result<Policy, Error> {
    Ok(IndexReader::open(index)?.snapshot().policy().clone())
}

/// Changes the policy of an index. Needs no model. What was removed before does not hold time up any more.
///
/// # Errors
/// A field of another kind; an index that is not there, damaged, or being written by another process; a disk that refuses.
pub fn change_policy(index: &Path, change: &PolicyChange) -> Result<Policy, Error> {
    with_writer(index, |writer| {
        let changed = change.applied(writer.policy());
        writer.set_policy(&changed)?;
        Ok(writer.policy().clone())
    })
}

/// Opens an index for writing as it is, without a model, and commits what is done to it.
pub(crate) fn with_writer<T>(
    index: &Path,
    work: impl FnOnce(&mut IndexWriter) -> Result<T, Error>,
) -> Result<T, Error> {
    let settings = IndexReader::open(index)?.snapshot().settings().clone();
    let mut writer = IndexWriter::create_or_open(index, &settings)?;
    let done = work(&mut writer)?;
    writer.finish()?;
    Ok(done)
}

/// Who may find documents that do not say it themselves.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(crate) struct AccessGiven {
    field: String,
    principals: Vec<String>,
}

impl AccessGiven {
    /// # Errors
    /// `InvalidSettings` when nothing says in which field the index has it.
    pub(crate) fn of(principals: &[String], policy: &Policy, index: &Path) -> Result<Option<Self>, Error> {
        if principals.is_empty() {
            return Ok(None);
        }
        let Some(field) = policy.access_field.clone() else {
            return Err(Error::InvalidSettings(format!(
                "the documents of {} do not say who may find them; name the field that does with --access-field too",
                index.display()
            )));
        };
        Ok(Some(Self { field, principals: principals.to_vec() }))
    }

    /// Adds them to a document that says nothing; says whether it did.
    pub(crate) fn add(&self, document: &mut Document) -> bool {
        let says_nothing = !has_field(&document.metadata, &self.field);
        if says_nothing {
            document.metadata.insert(self.field.clone(), self.principals.clone().into());
        }
        says_nothing
    }
}

/// What became of the documents that have expired.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(crate) struct Expired {
    /// How many were removed.
    pub(crate) removed: usize,
    /// Why none was, when it looked like a mistake.
    pub(crate) refused: Option<String>,
    /// What looks strange about the clock.
    pub(crate) warning: Option<String>,
}

/// Removes what has expired, unless that is more than half and nobody insists: a clock that is wrong, or a span that is too
/// short, looks the same. Nothing is committed.
pub(crate) fn remove_expired(
    index: &Path,
    writer: &mut IndexWriter,
    clock: SystemTime,
    force: bool,
) -> Result<Expired, Error> {
    let policy = writer.policy().clone();
    let warning = policy.is_behind(clock).then(|| {
        "the clock of this machine is behind the moment at which documents expired that were removed: what would have expired \
         by then stays hidden; if the clock is right, `berth policy set` begins anew"
            .to_owned()
    });
    if !policy.expires() {
        return Ok(Expired::default());
    }
    // The writer's lock keeps the last commit as it is.
    let snapshot = IndexReader::open(index)?.snapshot();
    let (expired, all) = (snapshot.expired(&policy, clock)?, snapshot.status().documents);
    if !force && let Some(refused) = objection(&expired, all, clock) {
        return Ok(Expired { refused: Some(refused), warning, removed: 0 });
    }
    Ok(Expired { removed: writer.remove_expired(&expired)?, refused: None, warning })
}

/// Why documents that have expired should not be removed unasked: they are more than half.
pub(crate) fn objection(expired: &[(String, i64)], all: u64, clock: SystemTime) -> Option<String> {
    let latest = expired.iter().map(|&(_, expiry)| expiry).max().filter(|_| expired.len() as u64 * 2 > all)?;
    Some(format!(
        "{} of {all} documents have expired, the last of them on {}, by a clock that says {}",
        expired.len(),
        dates::of_micros(latest),
        dates::of_clock(clock)
    ))
}

/// As [`remove_expired`], where there is no report that could say why nothing was removed.
pub(crate) fn remove_expired_or_fail(index: &Path, writer: &mut IndexWriter, force: bool) -> Result<usize, Error> {
    let expired = remove_expired(index, writer, SystemTime::now(), force)?;
    match expired.refused {
        Some(reason) => Err(Error::ExpiryRefused { reason }),
        None => Ok(expired.removed),
    }
}
