//! The words that say which documents may be found, and by whom.

use berth_pipeline::{PolicyChange, TimeToLive};
use berth_types::{Facet, Narrowing, Sort, TimeSpan, Viewer};
use clap::Args;

/// Which documents may be found, and what is said of them together.
#[derive(Debug, Args)]
pub(crate) struct NarrowingArgs {
    /// Find only documents that fulfil this, such as 'lang:ko AND year:[2020 TO *]'
    #[arg(long, value_name = "FILTER")]
    pub(crate) filter: Option<String>,
    /// Count the values of a field among the matching documents; several are separated by commas
    #[arg(long, value_name = "FIELD[:COUNT]", value_delimiter = ',')]
    pub(crate) facet: Vec<Facet>,
    /// Sort the hits by a field instead of their score
    #[arg(long, value_name = "FIELD[:asc|:desc]")]
    pub(crate) sort: Option<Sort>,
    #[command(flatten)]
    pub(crate) viewer: ViewerArgs,
}

impl NarrowingArgs {
    pub(crate) fn narrowing(&self) -> Narrowing {
        Narrowing {
            filter: self.filter.clone(),
            facets: self.facet.clone(),
            sort: self.sort.clone(),
            viewer: self.viewer.viewer(),
        }
    }
}

/// Who asks, where documents say who may find them.
#[derive(Debug, Args)]
pub(crate) struct ViewerArgs {
    /// Who asks, in an index with access lists: principals such as alice,group:eng; only what one of them, or everyone, may
    /// find is found
    #[arg(long = "as", value_name = "PRINCIPAL", value_delimiter = ',')]
    pub(crate) asking: Vec<String>,
    /// Ask as the owner of an index with access lists, who may find everything; --as comes first
    #[arg(long)]
    pub(crate) as_owner: bool,
}

impl ViewerArgs {
    pub(crate) fn viewer(&self) -> Option<Viewer> {
        // An empty name is nobody's, and still somebody asks who is not the owner.
        if self.asking.is_empty() {
            return self.as_owner.then_some(Viewer::Owner);
        }
        Some(Viewer::Principals(principals(&self.asking)))
    }
}

fn principals(words: &[String]) -> Vec<String> {
    words.iter().map(|name| name.trim().to_owned()).filter(|name| !name.is_empty()).collect()
}

/// Who may find what is indexed, and until when.
#[derive(Debug, Args)]
pub(crate) struct PolicyArgs {
    /// Metadata field that names who may find a document; from then on only they find it, and nobody finds one that names
    /// nobody
    #[arg(long, value_name = "FIELD", value_parser = clap::builder::NonEmptyStringValueParser::new())]
    pub(crate) access_field: Option<String>,
    /// Who may find documents of this run that do not say it themselves; 'everyone' is everyone
    #[arg(long, value_name = "PRINCIPAL", value_delimiter = ',')]
    pub(crate) access: Vec<String>,
    /// Metadata field with the date at which a document expires: nobody finds it any more, and the next run removes it
    #[arg(long, value_name = "FIELD", value_parser = clap::builder::NonEmptyStringValueParser::new())]
    pub(crate) expires_field: Option<String>,
    /// How long after the modification of its file a document expires, such as 12h, 30d or 8w
    #[arg(long, value_name = "SPAN")]
    pub(crate) ttl: Option<TimeSpan>,
}

impl PolicyArgs {
    pub(crate) fn change(&self) -> PolicyChange {
        PolicyChange {
            access_field: self.access_field.clone(),
            expires_field: self.expires_field.clone(),
            time_to_live: self.ttl.map(TimeToLive::Span),
        }
    }

    pub(crate) fn access(&self) -> Vec<String> {
        principals(&self.access)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_asks_is_never_more_than_was_said() {
        let viewer = |asking: &[&str], as_owner| {
            ViewerArgs { asking: asking.iter().map(ToString::to_string).collect(), as_owner }.viewer()
        };
        let principals = |names: &[&str]| Some(Viewer::Principals(names.iter().map(ToString::to_string).collect()));
        assert_eq!(viewer(&[], false), None);
        assert_eq!(viewer(&[], true), Some(Viewer::Owner));
        assert_eq!(viewer(&["alice", " group:eng "], true), principals(&["alice", "group:eng"]));
        assert_eq!(viewer(&[""], true), principals(&[]));
    }
}
