//! `berth key create | list | revoke --keys FILE`: the API keys of a server.

use berth_server::{Key, KeyError, NewKey, add_key, read_keys, revoke_key};
use serde::Serialize;

use crate::Outcome;
use crate::output::{self, WrongUsage, printable, say};
use crate::serve_args::{KeyAction, KeyArgs, KeyCreateArgs};

/// The contract of `--json`: a key without what is secret about it.
#[derive(Debug, Serialize)]
struct Line<'a> {
    id: &'a str,
    name: &'a str,
    scopes: &'a [berth_server::Scope],
    collections: Option<&'a [String]>,
    principals: Option<&'a [String]>,
    rate: Option<u32>,
    expires: Option<&'a str>,
    /// The key itself; only where it was just made.
    #[serde(skip_serializing_if = "Option::is_none")]
    key: Option<&'a str>,
}

impl<'a> Line<'a> {
    fn of(key: &'a Key, shown: Option<&'a str>) -> Self {
        Self {
            id: &key.id,
            name: &key.name,
            scopes: &key.scopes,
            collections: key.collections.as_deref(),
            principals: key.principals.as_deref(),
            rate: key.rate,
            expires: key.expires.as_deref(),
            key: shown,
        }
    }
}

pub(crate) fn run(args: &KeyArgs) -> anyhow::Result<Outcome> {
    match &args.action {
        KeyAction::Create(args) => create(args),
        KeyAction::List(place) => {
            let keys = read_keys(&place.keys).map_err(in_words)?;
            for key in &keys {
                if place.json {
                    output::print_json(&Line::of(key, None))?;
                } else {
                    output::print(&format!("{}\n", line(key)))?;
                }
            }
            if keys.is_empty() {
                say(&format!("berth: {} has no key", place.keys.display()));
            }
            Ok(if keys.is_empty() { Outcome::NothingFound } else { Outcome::Done })
        }
        KeyAction::Revoke(args) => {
            let revoked = match revoke_key(&args.place.keys, &args.id) {
                Err(error @ KeyError::Unknown { .. }) => {
                    say(&format!("berth: {error}"));
                    return Ok(Outcome::NothingFound);
                }
                revoked => revoked.map_err(in_words)?,
            };
            if args.place.json {
                output::print_json(&Line::of(&revoked, None))?;
            } else {
                output::print(&format!("{} is void\n", revoked.id))?;
            }
            Ok(Outcome::Done)
        }
    }
}

fn create(args: &KeyCreateArgs) -> anyhow::Result<Outcome> {
    let some = |words: &Vec<String>| (!words.is_empty()).then(|| words.clone());
    let wanted = NewKey {
        name: args.name.clone(),
        scopes: args.scope.clone(),
        collections: some(&args.collection),
        principals: some(&args.asking),
        rate: args.rate,
        expires: args.expires.clone(),
    };
    let (key, shown) = add_key(&args.place.keys, wanted).map_err(in_words)?;
    if args.place.json {
        output::print_json(&Line::of(&key, Some(&shown)))?;
    } else {
        output::print(&format!("{shown}\n"))?;
        say("berth: this is the only time that the key is shown; the file has its hash");
    }
    Ok(Outcome::Done)
}

/// A file of keys that is damaged is the user's to mend.
fn in_words(error: KeyError) -> anyhow::Error {
    match error {
        KeyError::Syntax { .. } | KeyError::Scope(_) | KeyError::Date(_) => WrongUsage(error.to_string()).into(),
        error => error.into(),
    }
}

fn line(key: &Key) -> String {
    let scopes: Vec<String> = key.scopes.iter().map(ToString::to_string).collect();
    let mut parts = vec![key.id.clone(), scopes.join(",")];
    parts.push(key.collections.as_ref().map_or("all collections".to_owned(), |names| names.join(",")));
    if let Some(principals) = &key.principals {
        parts.push(format!("as {}", principals.join(",")));
    }
    if let Some(rate) = key.rate {
        parts.push(format!("{rate} a second"));
    }
    if let Some(expires) = &key.expires {
        parts.push(format!("until {expires}"));
    }
    if !key.name.is_empty() {
        parts.push(key.name.clone());
    }
    printable(&parts.join("  "))
}
