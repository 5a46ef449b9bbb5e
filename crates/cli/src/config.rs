//! Option before environment variable before `berth.toml` before default.
//!
//! Both layers are added to clap's own definition of every option, so that no option can be without them.

use std::collections::BTreeMap;
use std::ffi::{OsStr, OsString};
use std::path::{Path, PathBuf};

use berth_pipeline::Home;
use clap::builder::FalseyValueParser;
use clap::{Arg, ArgAction, Command, CommandFactory};
use toml::{Table, Value};

use crate::args::Cli;

/// Options that ask for a text instead of work.
const HELP_OPTIONS: [&str; 4] = ["--help", "-h", "--version", "-V"];
/// Options that make no sense in a file or a variable.
const NOT_LAYERED: [&str; 2] = ["help", "version"];

/// Clap's definition of the command line with environment and configuration file below it.
///
/// # Errors
/// A message for people, when the configuration file cannot be read or has a key that no option has.
pub(crate) fn layered_command(arguments: impl Iterator<Item = OsString>) -> Result<Command, String> {
    let command = Cli::command();
    let arguments: Vec<OsString> = arguments.collect();
    let mut options = arguments.iter().take_while(|word| *word != "--");
    let wants_help = options.any(|word| HELP_OPTIONS.iter().any(|help| word == help))
        || arguments.get(1).is_some_and(|word| word == "help");
    let table = match find_file(&arguments) {
        // Help must be there also when the file is broken.
        Some(path) if !wants_help => read(&path, &command)?,
        _ => Table::new(),
    };
    Ok(layer(command, &table, &[]))
}

/// The file named by `--config` or `BERTH_CONFIG`, else `./berth.toml`, else `BERTH_HOME/berth.toml`.
fn find_file(arguments: &[OsString]) -> Option<PathBuf> {
    let named = |option: &str, variable: &str| {
        let mut words = arguments.iter().take_while(|word| *word != "--");
        while let Some(word) = words.next() {
            if word == option {
                return words.next().map(PathBuf::from);
            }
            let prefix = format!("{option}=");
            if let Some(value) = word.to_str().and_then(|word| word.strip_prefix(&prefix)) {
                return Some(PathBuf::from(value));
            }
        }
        std::env::var_os(variable).filter(|value| !value.is_empty()).map(PathBuf::from)
    };
    if let Some(path) = named("--config", "BERTH_CONFIG") {
        return Some(path);
    }
    let in_home = named("--home", "BERTH_HOME").or_else(Home::default_root).map(|home| home.join("berth.toml"));
    [Some(PathBuf::from("berth.toml")), in_home].into_iter().flatten().find(|path| path.is_file())
}

fn read(path: &Path, command: &Command) -> Result<Table, String> {
    let text = std::fs::read_to_string(path).map_err(|error| format!("cannot read {}: {error}", path.display()))?;
    let table: Table = text.parse().map_err(|error| format!("{}: {error}", path.display()))?;
    check_table(path, &table, command)?;
    Ok(table)
}

/// Checks that every key is an option of this command or of one below it, or names a table for such a command.
fn check_table(path: &Path, table: &Table, command: &Command) -> Result<(), String> {
    let known = options_of(command);
    for (key, value) in table {
        if let (Some(subcommand), Value::Table(inner)) = (command.find_subcommand(key), value) {
            check_table(path, inner, subcommand)?;
            continue;
        }
        let Some(takes_several) = known.get(&key.replace('-', "_")) else {
            let known = known.keys().map(String::as_str).collect::<Vec<_>>().join(", ");
            return Err(format!("{}: unknown key '{key}'; known are {known}", path.display()));
        };
        let fits = match value {
            Value::Table(_) | Value::Datetime(_) => false,
            Value::Array(_) => *takes_several,
            _ => true,
        };
        if !fits {
            return Err(format!("{}: '{key}' takes one value, not {}", path.display(), value.type_str()));
        }
    }
    Ok(())
}

/// Keys of a command and those below it, each with whether it takes several values.
fn options_of(command: &Command) -> BTreeMap<String, bool> {
    let several = |argument: &Arg| argument.get_value_delimiter().is_some();
    let own = command.get_arguments().filter_map(|argument| Some((key_of(argument)?, several(argument))));
    let below = command.get_subcommands().flat_map(options_of);
    own.chain(below).collect()
}

/// An option that names its variable itself means something else than the same word of other commands.
fn key_of(argument: &Arg) -> Option<String> {
    let long = argument.get_long().filter(|long| !NOT_LAYERED.contains(long))?;
    let own = argument.get_env().and_then(OsStr::to_str).and_then(|variable| variable.strip_prefix("BERTH_"));
    Some(own.map_or_else(|| long.replace('-', "_"), str::to_lowercase))
}

/// Adds both layers to every option; a table named like a subcommand overrides the top level.
fn layer(command: Command, table: &Table, path: &[String]) -> Command {
    let find = |key: &str| {
        let lookup = |table: &Table| table.get(key).or_else(|| table.get(&key.replace('_', "-"))).cloned();
        let mut inner = Some(table);
        for name in path {
            inner = inner.and_then(|table| table.get(name)).and_then(Value::as_table);
        }
        inner.and_then(lookup).or_else(|| lookup(table)).filter(|value| !value.is_table())
    };
    let names: Vec<String> = command.get_subcommands().map(|subcommand| subcommand.get_name().to_owned()).collect();
    let mut command = command.mut_args(|argument| {
        let Some(key) = key_of(&argument) else {
            return argument;
        };
        let mut argument = argument.env(format!("BERTH_{}", key.to_uppercase())).hide_env(true);
        if matches!(argument.get_action(), ArgAction::SetTrue) {
            // A switch in a variable is on unless it says no, off, false or 0.
            argument = argument.value_parser(FalseyValueParser::new());
        }
        match find(&key) {
            Some(value) => with_default(argument, &value),
            None => argument,
        }
    });
    for name in names {
        let path: Vec<String> = path.iter().cloned().chain([name.clone()]).collect();
        command = command.mut_subcommand(name, |subcommand| layer(subcommand, table, &path));
    }
    command
}

fn with_default(argument: Arg, value: &Value) -> Arg {
    let word = |value: &Value| match value {
        Value::String(text) => text.clone(),
        other => other.to_string(),
    };
    let argument = match argument.get_action() {
        ArgAction::SetTrue | ArgAction::Set | ArgAction::Append => argument.required(false),
        _ => return argument,
    };
    match value {
        Value::Array(values) => argument.default_values(values.iter().map(word).collect::<Vec<_>>()),
        value => argument.default_value(word(value)),
    }
}

#[cfg(test)]
mod tests {
    use clap::FromArgMatches;

    use super::*;
    use crate::args;

    fn search(file: &str, words: &[&str]) -> args::SearchArgs {
        let table: Table = file.parse().unwrap();
        let matches = layer(Cli::command(), &table, &[]).get_matches_from(words);
        match Cli::from_arg_matches(&matches).unwrap().command {
            args::Command::Search(args) => args,
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn the_definition_is_sound() {
        Cli::command().debug_assert();
        layer(Cli::command(), &"index = \"x\"\njson = true".parse().unwrap(), &[]).debug_assert();
    }

    #[test]
    fn options_win_over_the_file_and_the_file_over_defaults() {
        let file = "index = \"i\"\nk = 3\ndense-weight = 0.25\n[search]\nk = 4\nexplain = true\n";
        let args = search(file, &["berth", "search", "q"]);
        assert_eq!((args.index, args.k, args.explain), (PathBuf::from("i"), 4, true));
        assert_eq!(args.ranking.fusion.dense_weight, Some(0.25));
        assert_eq!(search(file, &["berth", "search", "q", "-k", "5", "--index", "j"]).k, 5);
        assert_eq!(search("index = \"i\"", &["berth", "search", "q"]).k, 10);
    }

    #[test]
    fn every_option_is_an_environment_variable() {
        let command = layer(Cli::command(), &Table::new(), &[]);
        let index = command.find_subcommand("index").unwrap();
        let variable = |name: &str| index.get_arguments().find(|a| a.get_long() == Some(name)).unwrap().get_env();
        assert_eq!(variable("commit-seconds"), Some(OsStr::new("BERTH_COMMIT_SECONDS")));
        assert!(index.get_arguments().filter(|a| key_of(a).is_some()).all(|a| a.get_env().is_some()));
        let eval = command.find_subcommand("eval").unwrap();
        let own = eval.get_arguments().find(|argument| argument.get_long() == Some("index")).unwrap();
        assert_eq!(own.get_env(), Some(OsStr::new("BERTH_EVAL_INDEX")), "not the index that others share");
    }

    #[test]
    fn unknown_keys_are_named_with_the_known_ones() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("berth.toml");
        let check = |text: &str, part: &str| {
            std::fs::write(&path, text).unwrap();
            let message = read(&path, &Cli::command()).unwrap_err();
            assert!(message.contains(part) && message.contains("berth.toml"), "{message}");
        };
        check("colour = 1", "unknown key 'colour'");
        check("[search]\nwindow = 1", "unknown key 'window'");
        check("k = ", "berth.toml");
        check("k = [1, 2]", "one value");
        check("[k]\nx = 1", "one value");
        check("[model.import]\nfoo = 1", "unknown key 'foo'");
        check("[eval]\nindex = 1", "eval_index");
    }
}
