//! `berth policy show | set`.

use std::path::Path;
use std::time::SystemTime;

use berth_pipeline::{Error, IndexReader, Policy, PolicyChange, change_policy};
use serde::Serialize;

use crate::Outcome;
use crate::curation_args::{PolicyAction, PolicyCommandArgs, PolicySetArgs};
use crate::output::{self, WrongUsage, grouped, printable};

/// The contract of `--json`.
#[derive(Debug, Serialize)]
struct Shown {
    access_field: Option<String>,
    expires_field: Option<String>,
    /// As `--ttl` takes it.
    ttl: Option<String>,
    /// Documents that nobody finds any more and that are still there.
    expired: usize,
}

pub(crate) fn run(args: &PolicyCommandArgs) -> anyhow::Result<Outcome> {
    match &args.action {
        PolicyAction::Show(args) => {
            let policy = IndexReader::open(&args.index).map_err(Error::from)?.snapshot().policy().clone();
            show(&args.index, policy, args.json)
        }
        PolicyAction::Set(args) => {
            let policy = change_policy(&args.index, &change(args)?)?;
            show(&args.index, policy, args.json)
        }
    }
}

fn change(args: &PolicySetArgs) -> anyhow::Result<PolicyChange> {
    let PolicySetArgs { access_field, expires_field, ttl, .. } = args;
    if access_field.is_none() && expires_field.is_none() && ttl.is_none() {
        let message = "nothing to set: give --access-field, --expires-field or --ttl, each a value or 'none'";
        return Err(WrongUsage(message.to_owned()).into());
    }
    let field =
        |name: &Option<String>| name.as_ref().map(|name| if name == "none" { String::new() } else { name.clone() });
    Ok(PolicyChange { access_field: field(access_field), expires_field: field(expires_field), time_to_live: *ttl })
}

fn show(index: &Path, policy: Policy, json: bool) -> anyhow::Result<Outcome> {
    let snapshot = IndexReader::open(index).map_err(Error::from)?.snapshot();
    let expired = snapshot.expired(&policy, SystemTime::now()).map_err(Error::from)?.len();
    let ttl = policy.time_to_live.map(|span| span.to_string());
    let shown = Shown { access_field: policy.access_field, expires_field: policy.expires_field, ttl, expired };
    if json {
        output::print_json(&shown)?;
    } else {
        output::print(&page(&shown))?;
    }
    Ok(Outcome::Done)
}

fn page(shown: &Shown) -> String {
    let access = match &shown.access_field {
        Some(field) => format!("those that field '{field}' of a document names; of one that names nobody, the owner"),
        None => "everyone".to_owned(),
    };
    let mut ends = Vec::new();
    ends.extend(shown.expires_field.as_ref().map(|field| format!("until the date in field '{field}'")));
    ends.extend(shown.ttl.as_ref().map(|ttl| format!("for {ttl} after its modification")));
    let ends = if ends.is_empty() { "for ever".to_owned() } else { ends.join(", or ") };
    let mut rows = vec![("found by", access), ("found", ends)];
    if shown.expired > 0 {
        rows.push(("expired", format!("{} documents, which the next run removes", grouped(shown.expired as u64))));
    }
    rows.iter().map(|(name, value)| format!("{name:<9} {}\n", printable(value))).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn says_who_finds_documents_and_until_when() {
        let shown = |access: Option<&str>, field: Option<&str>, ttl: Option<&str>, expired| Shown {
            access_field: access.map(str::to_owned),
            expires_field: field.map(str::to_owned),
            ttl: ttl.map(str::to_owned),
            expired,
        };
        insta::assert_snapshot!(page(&shown(None, None, None, 0)), @r"
        found by  everyone
        found     for ever
        ");
        insta::assert_snapshot!(page(&shown(Some("acl"), Some("until"), Some("30d"), 1200)), @r"
        found by  those that field 'acl' of a document names; of one that names nobody, the owner
        found     until the date in field 'until', or for 30d after its modification
        expired   1,200 documents, which the next run removes
        ");
    }
}
