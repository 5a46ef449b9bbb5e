//! Who asks, and what they may do.

pub(crate) mod audit;
pub(crate) mod keys;
pub(crate) mod rates;

use std::sync::Arc;

use berth_types::Viewer;

use self::keys::Scope;
use crate::failure::{Code, Failure};

/// Who asks.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Caller {
    /// Id of the key; the address where there are no keys.
    pub(crate) id: Arc<str>,
    scopes: Vec<Scope>,
    /// All where none.
    collections: Option<Vec<String>>,
    /// Who the holder of the key is, where documents say who may find them; whoever a request says where none.
    principals: Option<Vec<String>>,
}

impl Caller {
    /// Whoever reaches a server without keys.
    pub(crate) fn anyone(address: &str) -> Self {
        Self { id: address.into(), scopes: vec![Scope::Admin], collections: None, principals: None }
    }

    pub(crate) fn of_key(key: &keys::Key) -> Self {
        Self {
            id: key.id.as_str().into(),
            scopes: key.scopes.clone(),
            collections: key.collections.clone(),
            principals: key.principals.clone(),
        }
    }

    /// Whether this may be done at all.
    ///
    /// # Errors
    /// `Forbidden`.
    pub(crate) fn may(&self, scope: Scope) -> Result<(), Failure> {
        if self.scopes.contains(&scope) || self.scopes.contains(&Scope::Admin) {
            return Ok(());
        }
        Err(Failure::new(Code::Forbidden, format!("the key lacks the scope '{scope}'")))
    }

    /// Whether this may be done to this collection, whether or not there is one of the name.
    ///
    /// # Errors
    /// `Forbidden`.
    pub(crate) fn may_in(&self, scope: Scope, collection: &str) -> Result<(), Failure> {
        self.may(scope)?;
        if self.sees(collection) {
            return Ok(());
        }
        let message = "the key is not for this collection; name one that it is for";
        Err(Failure { field: Some("collection"), ..Failure::new(Code::Forbidden, message) })
    }

    /// Whether the collection is one of the caller's.
    pub(crate) fn sees(&self, collection: &str) -> bool {
        self.collections.as_ref().is_none_or(|own| own.iter().any(|name| name == collection))
    }

    /// Whether the key is someone's, who may not find every document.
    pub(crate) fn is_someone(&self) -> bool {
        self.principals.is_some()
    }

    /// The collections that the key is for; all where none.
    pub(crate) fn collections(&self) -> Option<&[String]> {
        self.collections.as_deref()
    }

    /// Who asks, where documents say who may find them. A key that is someone's stays that one, or less.
    ///
    /// # Errors
    /// `Forbidden` for more than the key allows.
    pub(crate) fn viewer(&self, principals: &[String], as_owner: bool) -> Result<Option<Viewer>, Failure> {
        let names = || -> Vec<String> {
            principals.iter().map(|name| name.trim().to_owned()).filter(|name| !name.is_empty()).collect()
        };
        let forbidden =
            |field, message: &str| Err(Failure { field: Some(field), ..Failure::new(Code::Forbidden, message) });
        match &self.principals {
            Some(_) if as_owner => forbidden("as_owner", "the key is someone's, who is not the owner"),
            Some(own) if principals.is_empty() => Ok(Some(Viewer::Principals(own.clone()))),
            Some(own) if names().iter().all(|name| own.contains(name)) => Ok(Some(Viewer::Principals(names()))),
            Some(_) => forbidden("principals", "the key is not for these principals"),
            None if !principals.is_empty() => Ok(Some(Viewer::Principals(names()))),
            None if as_owner => {
                self.may(Scope::Admin)?;
                Ok(Some(Viewer::Owner))
            }
            None => Ok(None),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn caller(scopes: &[Scope], collections: Option<&[&str]>, principals: Option<&[&str]>) -> Caller {
        let owned = |names: &[&str]| names.iter().map(ToString::to_string).collect();
        Caller {
            id: "k".into(),
            scopes: scopes.to_vec(),
            collections: collections.map(owned),
            principals: principals.map(owned),
        }
    }

    #[test]
    fn scopes_and_collections_both_count() {
        let key = caller(&[Scope::Search], Some(&["a"]), None);
        assert!(key.may_in(Scope::Search, "a").is_ok());
        for (scope, collection) in [(Scope::Search, "b"), (Scope::Write, "a"), (Scope::Admin, "a"), (Scope::Search, "")]
        {
            assert_eq!(key.may_in(scope, collection).unwrap_err().code, Code::Forbidden, "{scope} {collection}");
        }
        let admin = caller(&[Scope::Admin], None, None);
        assert!(Scope::ALL.into_iter().all(|scope| admin.may_in(scope, "any").is_ok()));
        assert!(caller(&[], None, None).may(Scope::Search).is_err());
    }

    #[test]
    fn nobody_becomes_more_than_their_key_says() {
        let words = |names: &[&str]| names.iter().map(ToString::to_string).collect::<Vec<_>>();
        let principals = |names: &[&str]| Ok(Some(Viewer::Principals(words(names))));
        let alice = caller(&[Scope::Admin], None, Some(&["alice", "group:eng"]));
        assert_eq!(alice.viewer(&[], false), principals(&["alice", "group:eng"]));
        assert_eq!(alice.viewer(&words(&["group:eng"]), false), principals(&["group:eng"]));
        assert!(alice.viewer(&words(&["bob"]), false).is_err() && alice.viewer(&[], true).is_err());
        let service = caller(&[Scope::Search], None, None);
        assert_eq!(service.viewer(&words(&["bob", " "]), false), principals(&["bob"]));
        assert_eq!(service.viewer(&[], false), Ok(None));
        assert!(service.viewer(&[], true).is_err());
        assert_eq!(Caller::anyone("x").viewer(&[], true), Ok(Some(Viewer::Owner)));
    }
}
